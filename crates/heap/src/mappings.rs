//! Live `mmap` ranges: split and cut as the kernel does, apart from the heap's figures.
//!
//! Invariant: ranges are not empty and do not overlap. Cost: logarithmic per call, plus the ranges replaced.

use heapwise_model::{Addr, StackId};
use std::collections::BTreeMap;

/// A live range of addresses that the program mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub addr: Addr,
    /// Bytes, at least 1.
    pub size: u64,
    /// Who mapped it.
    pub stack: StackId,
}

/// All live ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mappings {
    /// Start to (last address, stack); the last address is inclusive so that the top byte can be mapped.
    ranges: BTreeMap<u64, (u64, StackId)>,
}

impl Mappings {
    /// Maps `[addr, addr + size)`; what was mapped there is gone, as with `MAP_FIXED`.
    pub fn map(&mut self, addr: u64, size: u64, stack: StackId) {
        if size == 0 {
            return;
        }
        self.unmap(addr, size);
        self.ranges.insert(addr, (last_of(addr, size), stack));
    }

    /// Unmaps `[addr, addr + size)`: cuts and splits the ranges it meets.
    pub fn unmap(&mut self, addr: u64, size: u64) {
        if size == 0 {
            return;
        }
        let last = last_of(addr, size);
        if let Some((&start, &(end, stack))) = self.ranges.range(..addr).next_back()
            && end >= addr
        {
            self.ranges.insert(start, (addr - 1, stack));
            if end > last {
                self.ranges.insert(last + 1, (end, stack));
                return;
            }
        }
        while let Some((&start, &(end, stack))) = self.ranges.range(addr..=last).next() {
            self.ranges.remove(&start);
            if end > last {
                self.ranges.insert(last + 1, (end, stack));
            }
        }
    }

    /// Unmaps from `addr` to the end of the range that holds it; for a `munmap` whose length is not known.
    pub fn unmap_at(&mut self, addr: u64) {
        if let Some((start, end, _)) = self.holding(addr)
            && start <= addr
        {
            // `end - addr + 1` overflows only for the whole address space.
            self.unmap(addr, (end - addr).saturating_add(1));
        }
    }

    /// Takes out the range that starts at `addr`.
    pub fn take(&mut self, addr: u64) -> Option<Mapping> {
        self.ranges.remove(&addr).map(|(last, stack)| mapping(addr, last, stack))
    }

    /// All ranges by ascending address.
    pub fn all(&self) -> Vec<Mapping> {
        self.ranges.iter().map(|(&start, &(last, stack))| mapping(start, last, stack)).collect()
    }

    fn holding(&self, addr: u64) -> Option<(u64, u64, StackId)> {
        let (&start, &(end, stack)) = self.ranges.range(..=addr).next_back()?;
        (end >= addr).then_some((start, end, stack))
    }
}

fn last_of(addr: u64, size: u64) -> u64 {
    addr.saturating_add(size - 1)
}

fn mapping(start: u64, last: u64, stack: StackId) -> Mapping {
    Mapping { addr: Addr(start), size: (last - start).saturating_add(1), stack }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Twin: the owner of each page, one by one.
        #[test]
        fn pages_agree(ops in prop::collection::vec((0u8..3, 0u64..40, 1u64..12), 1..80)) {
            let mut fast = Mappings::default();
            let mut slow = [None::<u32>; 64];
            for (i, (op, page, pages)) in ops.into_iter().enumerate() {
                let range = page as usize..(page + pages) as usize;
                match op {
                    0 => {
                        fast.map(page << 12, pages << 12, StackId(i as u32));
                        slow[range].fill(Some(i as u32));
                    }
                    1 => {
                        fast.unmap(page << 12, pages << 12);
                        slow[range].fill(None);
                    }
                    _ => {
                        fast.unmap_at(page << 12);
                        let owner = slow[page as usize];
                        if owner.is_some() {
                            slow.iter_mut().skip(page as usize).take_while(|it| **it == owner).for_each(|it| *it = None);
                        }
                    }
                }
                let mut seen = [None::<u32>; 64];
                for mapping in fast.all() {
                    let first = (mapping.addr.0 >> 12) as usize;
                    seen[first..first + (mapping.size >> 12) as usize].fill(Some(mapping.stack.0));
                }
                prop_assert_eq!(seen, slow);
            }
        }
    }

    #[test]
    fn top_of_the_address_space() {
        let mut ranges = Mappings::default();
        ranges.map(0, u64::MAX, StackId(1));
        ranges.map(u64::MAX, u64::MAX, StackId(2));
        ranges.unmap(u64::MAX, 1);
        ranges.unmap_at(5);
        assert_eq!(ranges.all(), vec![Mapping { addr: Addr(0), size: 5, stack: StackId(1) }]);
    }
}
