//! Costs per allocation site: stacks whose chosen frame ([`crate::place::site`]) is the same, summed.

use crate::place::{Located, SiteKey, site, site_key};
use heapwise_model::{Report, StackCost};
use rustc_hash::FxHashMap;

/// What stacks and sites are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Bytes that are definitely lost.
    Lost,
    /// Bytes live at the end.
    Live,
    /// Bytes live when most bytes were.
    Peak,
    /// Bytes ever allocated.
    Allocated,
    /// Number of allocations.
    Allocations,
    /// Number of allocations freed before the same thread allocated again.
    Temporary,
}

impl Metric {
    /// All, the most asked for first.
    pub const ALL: &'static [Metric] = &[
        Metric::Lost,
        Metric::Live,
        Metric::Peak,
        Metric::Allocated,
        Metric::Allocations,
        Metric::Temporary,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Lost => "lost",
            Metric::Live => "live",
            Metric::Peak => "peak",
            Metric::Allocated => "allocated",
            Metric::Allocations => "allocations",
            Metric::Temporary => "temporary",
        }
    }

    /// What it measures, in words.
    pub fn heading(self) -> &'static str {
        match self {
            Metric::Lost => "definitely lost bytes",
            Metric::Live => "bytes live at the end",
            Metric::Peak => "bytes live at the peak",
            Metric::Allocated => "bytes ever allocated",
            Metric::Allocations => "allocations",
            Metric::Temporary => "temporary allocations",
        }
    }

    /// By name.
    pub fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.iter().copied().find(|it| it.name() == name)
    }

    /// Whether the value is bytes (else a number of allocations).
    pub fn is_bytes(self) -> bool {
        !matches!(self, Metric::Allocations | Metric::Temporary)
    }

    /// The metric's value of one cost.
    pub fn of(self, cost: &StackCost) -> u64 {
        match self {
            Metric::Lost => cost.lost_bytes,
            Metric::Live => cost.live_bytes,
            Metric::Peak => cost.peak_bytes,
            Metric::Allocated => cost.allocated_bytes,
            Metric::Allocations => cost.allocations,
            Metric::Temporary => cost.temporary,
        }
    }

    /// Blocks that belong to the value, where they are counted apart.
    pub fn blocks(self, cost: &StackCost) -> u64 {
        match self {
            Metric::Lost => cost.lost_blocks,
            Metric::Live => cost.live_blocks,
            Metric::Peak => cost.peak_blocks,
            Metric::Allocated | Metric::Allocations => cost.allocations,
            Metric::Temporary => cost.temporary,
        }
    }
}

/// One allocation site with the sum of its stacks' costs (`cost.stack` is the dearest of them).
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// `None`: stacks of which nothing is known.
    pub place: Option<Located<'a>>,
    /// Sums saturate.
    pub cost: StackCost,
    /// Number of stacks that were summed.
    pub stacks: u64,
}

/// Sites by the metric, greatest first, those with nothing left out.
pub fn sites(report: &Report, by: Metric) -> Vec<Site<'_>> {
    let mut at: FxHashMap<Option<SiteKey<'_>>, usize> = FxHashMap::default();
    let mut all: Vec<Site<'_>> = Vec::new();
    let mut dearest: Vec<u64> = Vec::new();
    for cost in &report.costs {
        let place = site(report, cost.stack).map(Located::from);
        let key = place.as_ref().map(site_key);
        let index = *at.entry(key).or_insert_with(|| {
            all.push(Site {
                place,
                cost: StackCost { stack: cost.stack, ..StackCost::default() },
                stacks: 0,
            });
            dearest.push(0);
            all.len() - 1
        });
        if by.of(cost) > dearest[index] {
            dearest[index] = by.of(cost);
            all[index].cost.stack = cost.stack;
        }
        all[index].add(cost);
    }
    all.retain(|site| by.of(&site.cost) > 0);
    all.sort_by(|a, b| by.of(&b.cost).cmp(&by.of(&a.cost)).then_with(|| order(a).cmp(&order(b))));
    all
}

/// Ties are broken by place, so that output does not depend on the order of recording.
fn order<'a>(site: &Site<'a>) -> (Option<&'a str>, Option<u32>, Option<&'a str>, Option<u64>) {
    let place = site.place.unwrap_or_default();
    (place.path, place.line, place.function, place.offset)
}

impl Site<'_> {
    fn add(&mut self, cost: &StackCost) {
        self.stacks += 1;
        self.cost.add(cost);
    }
}
