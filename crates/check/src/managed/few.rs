//! Small sets without blocks of their own, and lists by number in one block.

/// Values kept of one operand, parameter or result.
pub const VALUE_LIMIT: usize = 16;

/// Different things in the order of their coming; what is too many is left out.
#[derive(Clone, Copy)]
pub struct Few<T> {
    items: [T; VALUE_LIMIT],
    count: usize,
}

impl<T: Copy + Default> Default for Few<T> {
    fn default() -> Few<T> {
        Few { items: [T::default(); VALUE_LIMIT], count: 0 }
    }
}

impl<T: Copy + PartialEq> Few<T> {
    pub fn add(&mut self, item: T) {
        if self.count < VALUE_LIMIT && !self.contains(&item) {
            self.items[self.count] = item;
            self.count += 1;
        }
    }
}

impl<T> std::ops::Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..self.count]
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Take<std::array::IntoIter<T, VALUE_LIMIT>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter().take(self.count)
    }
}

/// Lists by number, in one block. Invariant: `starts` ascends, and its last is `items.len()`.
pub struct Grouped<T> {
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T> Default for Grouped<T> {
    fn default() -> Grouped<T> {
        Grouped { starts: vec![0], items: Vec::new() }
    }
}

impl<T: Copy> Grouped<T> {
    /// Items of each number below `count`, in their order.
    pub fn new(count: usize, pairs: &[(u32, T)]) -> Grouped<T> {
        let Some(first) = pairs.first() else {
            return Grouped { starts: vec![0; count + 1], items: Vec::new() };
        };
        let mut starts = vec![0u32; count + 1];
        pairs.iter().for_each(|it| starts[it.0 as usize + 1] += 1);
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut items = vec![first.1; pairs.len()];
        for (number, item) in pairs {
            items[next[*number as usize] as usize] = *item;
            next[*number as usize] += 1;
        }
        Grouped { starts, items }
    }

    /// The list of a number; empty where there is none.
    pub fn get(&self, number: usize) -> &[T] {
        match self.starts.get(number..number + 2) {
            Some(&[start, end]) => &self.items[start as usize..end as usize],
            _ => &[],
        }
    }
}

impl<T: Copy + PartialEq> Grouped<T> {
    /// The same with different items only, and no more of them than [`VALUE_LIMIT`].
    pub fn distinct(count: usize, pairs: &[(u32, T)]) -> Grouped<T> {
        let all = Grouped::new(count, pairs);
        let (mut starts, mut items) = (Vec::with_capacity(count + 1), Vec::new());
        for number in 0..count {
            let start = items.len();
            starts.push(start as u32);
            for item in all.get(number) {
                if items.len() - start < VALUE_LIMIT && !items[start..].contains(item) {
                    items.push(*item);
                }
            }
        }
        starts.push(items.len() as u32);
        Grouped { starts, items }
    }
}

#[cfg(test)]
mod tests {
    use super::{Few, Grouped, VALUE_LIMIT};

    #[test]
    fn lists_keep_their_order_and_forget_what_comes_again() {
        let pairs = [(2, 'a'), (0, 'b'), (2, 'c'), (2, 'a')];
        let all = Grouped::new(4, &pairs);
        assert_eq!([0, 1, 2, 3, 9].map(|it| all.get(it).len()), [1, 0, 3, 0, 0]);
        assert_eq!(all.get(2), ['a', 'c', 'a']);
        assert_eq!(Grouped::distinct(4, &pairs).get(2), ['a', 'c']);
        assert!(Grouped::<u8>::default().get(0).is_empty());
    }

    #[test]
    fn few_are_different_and_bounded() {
        let mut few = Few::default();
        (0..100u32).for_each(|it| few.add(it / 2));
        assert_eq!(few.len(), VALUE_LIMIT);
        assert_eq!(few.into_iter().collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
    }
}
