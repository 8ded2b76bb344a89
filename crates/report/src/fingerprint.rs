//! A finding's name across versions of the program.
//!
//! A fingerprint is 16 hex digits over the rule, the kind, and the names of the functions and files
//! of the first three own frames (for findings that are one per site: of the site's frame alone, as
//! which stack leads there most changes from run to run; for findings in source: of the function,
//! the file and the text of the line without its spaces). Line numbers and addresses are not in it,
//! so it stays when unrelated lines move. Where several findings of a report would share one, the second and later
//! are told apart by their number: as a set the fingerprints stay the same.

use crate::place::{self, MAX_FRAMES, Sources};
use heapwise_model::{Finding, Place, Report, ResolvedFrame, Rule, StackId};
use rustc_hash::FxHashMap;
use std::path::Path;

/// Own frames that a fingerprint covers.
const FRAMES: usize = 3;

/// The fingerprints of all findings of a report, in their order.
pub fn fingerprints(report: &Report, base: Option<&Path>) -> Vec<String> {
    let sources = Sources::new(report);
    let mut seen: FxHashMap<u64, u64> = FxHashMap::default();
    let mut one = |finding: &Finding| {
        let mut hash = of_finding(report, &sources, finding, base);
        let earlier = seen.entry(hash.0).or_default();
        if *earlier > 0 {
            hash.add(&earlier.to_string());
        }
        *earlier += 1;
        format!("{:016x}", hash.finish())
    };
    report.findings.iter().map(&mut one).collect()
}

fn of_finding(report: &Report, sources: &Sources<'_>, finding: &Finding, base: Option<&Path>) -> Fnv {
    let mut hash = Fnv::new();
    hash.add(finding.rule.name());
    hash.add(finding.kind.map_or("", |kind| kind.name()));
    match &finding.place {
        Place::Stack(stack) => match place::site(report, *stack).filter(|it| is_of_site(finding, it)) {
            Some(site) => add_frame(&mut hash, site),
            None => add_stack(&mut hash, report, *stack),
        },
        Place::Source(at) => {
            hash.add(&place::relative(&at.path, base));
            hash.add(at.function.as_deref().unwrap_or_default());
            let text = sources.line(&at.path, at.line).unwrap_or_default();
            hash.add(&text.split_whitespace().collect::<String>());
        }
        Place::Unknown => hash.add(&finding.message),
    }
    hash
}

/// Whether there is one finding for all stacks that lead to the place.
fn is_of_site(finding: &Finding, site: &ResolvedFrame) -> bool {
    !site.is_library
        && matches!(finding.rule, Rule::MemoryLeak | Rule::TemporaryAllocations | Rule::UnboundedGrowth)
}

fn add_stack(hash: &mut Fnv, report: &Report, stack: StackId) {
    let frames = || report.resolved(stack).take(MAX_FRAMES);
    if frames().any(|frame| !frame.is_library) {
        frames().filter(|frame| !frame.is_library).take(FRAMES).for_each(|frame| add_frame(hash, frame));
    } else {
        frames().take(FRAMES).for_each(|frame| add_frame(hash, frame));
    }
}

/// Without a function the module's name must do; an address would change with every build.
fn add_frame(hash: &mut Fnv, frame: &ResolvedFrame) {
    hash.add(frame.function.as_deref().unwrap_or(&frame.module));
    hash.add(frame.path.as_deref().map_or("", place::file_name));
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo) over length-delimited strings.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, text: &str) {
        // 0xff is in no UTF-8 text, so "ab" + "c" and "a" + "bc" differ.
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Mixed once more (the finalizer of MurmurHash3), because FNV's high bits move little.
    fn finish(&self) -> u64 {
        let mut x = self.0;
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    }
}
