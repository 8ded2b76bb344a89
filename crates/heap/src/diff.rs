//! What grew between two runs: per-site figures matched by a key that means the same in both.
//!
//! Stack ids and addresses differ from run to run, so the caller makes the key (a fingerprint of the frames' names,
//! a string). Figures under the same key are added up.

use heapwise_model::StackCost;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A site's figures in two runs; zeros where it did not occur. `stack` is the first one seen with that key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteChange<K> {
    /// What the caller named the site by.
    pub key: K,
    /// `None`: the site is new.
    pub old: Option<StackCost>,
    /// `None`: the site is gone.
    pub new: Option<StackCost>,
}

impl<K> SiteChange<K> {
    /// Change of live bytes.
    pub fn live_bytes(&self) -> i128 {
        self.change(|cost| cost.live_bytes)
    }

    /// Change of definitely lost bytes.
    pub fn lost_bytes(&self) -> i128 {
        self.change(|cost| cost.lost_bytes)
    }

    /// Change of bytes live at the peak.
    pub fn peak_bytes(&self) -> i128 {
        self.change(|cost| cost.peak_bytes)
    }

    /// Change of the number of allocations.
    pub fn allocations(&self) -> i128 {
        self.change(|cost| cost.allocations)
    }

    /// Change of any figure.
    pub fn change(&self, figure: impl Fn(&StackCost) -> u64) -> i128 {
        let value = |cost: &Option<StackCost>| cost.as_ref().map_or(0, |cost| i128::from(figure(cost)));
        value(&self.new) - value(&self.old)
    }
}

/// Sites whose figures changed: most lost bytes first, then live bytes, bytes at the peak, allocations, key.
pub fn diff<K: Ord + Clone>(
    old: impl IntoIterator<Item = (K, StackCost)>,
    new: impl IntoIterator<Item = (K, StackCost)>,
) -> Vec<SiteChange<K>> {
    let mut sites: BTreeMap<K, (Option<StackCost>, Option<StackCost>)> = BTreeMap::new();
    for (key, cost) in old {
        add(&mut sites.entry(key).or_default().0, cost);
    }
    for (key, cost) in new {
        add(&mut sites.entry(key).or_default().1, cost);
    }
    let figures =
        |cost: Option<StackCost>| StackCost { stack: Default::default(), ..cost.unwrap_or_default() };
    let mut changes: Vec<SiteChange<K>> = sites
        .into_iter()
        .filter(|(_, (old, new))| figures(*old) != figures(*new))
        .map(|(key, (old, new))| SiteChange { key, old, new })
        .collect();
    // Stable, so equal changes stay in the order of their keys.
    changes.sort_by_key(|it| Reverse((it.lost_bytes(), it.live_bytes(), it.peak_bytes(), it.allocations())));
    changes
}

fn add(sum: &mut Option<StackCost>, cost: StackCost) {
    match sum {
        Some(sum) => sum.add(&cost),
        None => *sum = Some(cost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapwise_model::StackId;

    fn cost(stack: u32, live_bytes: u64) -> StackCost {
        StackCost { stack: StackId(stack), live_bytes, ..StackCost::default() }
    }

    #[test]
    fn what_grew_comes_first() {
        let old = [("same", cost(1, 10)), ("gone", cost(2, 5)), ("grown", cost(3, 1))];
        let new = [
            ("same", cost(9, 10)),
            ("grown", cost(8, 1)),
            ("grown", cost(7, 100)),
            ("born", cost(6, 7)),
            ("big", cost(5, u64::MAX)),
        ];
        let changes = diff(old, new);
        let shown: Vec<_> = changes.iter().map(|it| (it.key, it.live_bytes())).collect();
        assert_eq!(shown, [("big", i128::from(u64::MAX)), ("grown", 100), ("born", 7), ("gone", -5)]);
        assert_eq!(changes[3].new, None);
    }
}
