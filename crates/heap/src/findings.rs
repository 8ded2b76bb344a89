//! From the ledger, and the classified heap graph if there is one, to findings.
//!
//! One finding per rule, kind and stack. A leak stands where the blocks were allocated, a wrong free where it
//! happened. Sorted by severity, then bytes, both descending, then stack.

use crate::classes::{Class, Classes};
use crate::ledger::Ledger;
use crate::memory_error::{FreeErrorKind, MemoryError};
use crate::text::{counted, grouped};
use heapwise_model::{
    Confidence, Engine, Family, Finding, HeapGraph, Kind, Leaks, NodeId, Place, Program, Related, Rule,
    Severity, StackCost, StackId, Total,
};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A site is hot from this many temporary allocations on,
pub const TEMPORARY_MIN: u64 = 10_000;
/// if they are at least one in so many of the site's allocations,
pub const TEMPORARY_OF_SITE: u64 = 2;
/// and one in so many of the program's.
pub const TEMPORARY_OF_PROGRAM: u64 = 20;
/// Runs shorter than this say nothing about growth: a program that only builds up its data grows all along.
pub const GROWTH_MIN_NS: u64 = 250_000_000;
/// Growth over the second half below which a site is silent.
pub const GROWTH_MIN_BYTES: u64 = 4096;
/// Share of the program's peak below which a growing site is silent: one in so many.
pub const GROWTH_OF_PEAK: u64 = 100;

/// All that the ledger and the graph prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Sorted.
    pub findings: Vec<Finding>,
    /// `None` without a graph.
    pub leaks: Option<Leaks>,
    /// By stack, ascending.
    pub costs: Vec<StackCost>,
}

/// Draws the conclusions. `heap`: the graph at the end and its classes, where there was a leak scan.
pub fn analyze(ledger: &Ledger, heap: Option<(&HeapGraph, &Classes)>) -> Analysis {
    let mut costs = ledger.costs();
    let mut findings = error_findings(ledger.errors());
    let sites = match heap {
        Some((graph, classes)) => leaking_sites(graph, classes),
        None => BTreeMap::new(),
    };
    for cost in &mut costs {
        if let Some(site) = sites.get(&(Class::Definite, cost.stack)) {
            cost.lost_bytes = site.total.bytes;
            cost.lost_blocks = site.total.blocks;
        }
    }
    match heap {
        Some(_) => {
            findings.extend(sites.iter().map(|(&(class, stack), site)| leak_finding(class, stack, site)))
        }
        None => findings.extend(costs.iter().filter(|cost| cost.live_blocks > 0).map(unclassified_finding)),
    }
    findings.extend(temporary_findings(&costs, ledger.totals().allocations));
    findings.extend(growth_findings(ledger, &costs));
    sort(&mut findings);
    Analysis { findings, leaks: heap.map(|(graph, classes)| classes.totals(graph)), costs }
}

/// The ledger's figures as a report shows them; the command, the process and its end are for the caller to add.
pub fn program(ledger: &Ledger, leaks: Option<Leaks>) -> Program {
    let totals = ledger.totals();
    Program {
        duration_ns: totals.now.0,
        allocations: totals.allocations,
        frees: totals.frees,
        allocated_bytes: totals.allocated_bytes,
        peak_bytes: totals.peak.bytes,
        peak_at_ns: totals.peak_at.0,
        peak_rss_bytes: totals.peak_rss_bytes,
        temporary: totals.temporary,
        live: totals.live,
        leaks,
        ..Program::default()
    }
}

/// The contract's order as far as it is known before symbols are: severity, bytes, stack, rule, kind.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|it| {
        (Reverse(it.severity), Reverse(it.bytes.unwrap_or(0)), stack_of(&it.place), it.rule, it.kind)
    });
}

#[derive(Clone, Debug, Default)]
struct Site {
    total: Total,
    /// What is lost with the site's blocks (definite sites).
    with: Total,
    /// Indirect sites: bytes per stack of the leading blocks.
    holders: FxHashMap<StackId, u64>,
}

fn leaking_sites(graph: &HeapGraph, classes: &Classes) -> BTreeMap<(Class, StackId), Site> {
    let mut sites: BTreeMap<(Class, StackId), Site> = BTreeMap::new();
    for (node, &class) in classes.class.iter().enumerate() {
        let site = sites.entry((class, graph.stack[node])).or_default();
        add(&mut site.total, Total { bytes: graph.size[node], blocks: 1 });
        add(&mut site.with, classes.with[node]);
        if class == Class::Indirect {
            let leader: NodeId = classes.leader[node];
            let bytes = site.holders.entry(graph.stack[leader.index()]).or_default();
            // An empty block counts for something, so that it has a holder too.
            *bytes = bytes.saturating_add(graph.size[node].max(1));
        }
    }
    sites
}

fn leak_finding(class: Class, stack: StackId, site: &Site) -> Finding {
    let (be, them) = if site.total.bytes == 1 { ("is", "it") } else { ("are", "them") };
    let (severity, kind, what, help) = match class {
        Class::Definite => (
            Severity::Error,
            Kind::Definite,
            format!("{be} never freed"),
            "no pointer to it is left: free it before the last one goes away".to_string(),
        ),
        Class::Indirect => (
            Severity::Note,
            Kind::Indirect,
            format!("{be} lost with the block that holds {them}"),
            "fix the block that holds this memory: freeing that one must free what it points to as well"
                .to_string(),
        ),
        Class::Possible => (
            Severity::Warning,
            Kind::Possible,
            format!("{be} held only by pointers into the middle of a block"),
            "check that a pointer to the start of the block is kept, and that the block is freed".to_string(),
        ),
        Class::Reachable => (
            Severity::Note,
            Kind::Reachable,
            format!("{be} still reachable at the end"),
            "harmless if needed until the end; otherwise free this memory when the last user is done with it"
                .to_string(),
        ),
    };
    let mut finding = finding(Rule::MemoryLeak, Some(kind), severity, stack);
    finding.message = format!("{} {what}", amount(site.total));
    if class == Class::Definite && site.with.blocks > 0 {
        let hold = if site.total.blocks == 1 { "it holds" } else { "they hold" };
        finding.message += &format!(", nor {} {hold}", counted(site.with.bytes, "byte"));
    }
    finding.help = Some(help);
    finding.related.extend(holder(site).map(|holder| related("kept by this lost block", holder)));
    measured(finding, site.total)
}

/// The stack whose blocks hold most of the site's bytes.
fn holder(site: &Site) -> Option<StackId> {
    site.holders.iter().max_by_key(|&(&stack, &bytes)| (bytes, Reverse(stack))).map(|(&stack, _)| stack)
}

fn unclassified_finding(cost: &StackCost) -> Finding {
    let total = Total { bytes: cost.live_bytes, blocks: cost.live_blocks };
    let mut finding = finding(Rule::MemoryLeak, None, Severity::Note, cost.stack);
    finding.message = format!(
        "{} {} live when the recording ended",
        amount(total),
        if total.bytes == 1 { "was" } else { "were" }
    );
    finding.help = Some(
        "whether the program could still reach this memory is not known: there was no leak scan".to_string(),
    );
    measured(finding, total)
}

fn error_findings(errors: &[MemoryError]) -> Vec<Finding> {
    // Kinds that end in the same rule and kind at the same place are one finding.
    let mut groups: BTreeMap<(Rule, Option<Kind>, StackId), Vec<&MemoryError>> = BTreeMap::new();
    for error in errors {
        let (rule, kind) = rule_of(error.kind);
        groups.entry((rule, kind, error.stack)).or_default().push(error);
    }
    groups
        .into_iter()
        .map(|((rule, kind, stack), errors)| {
            let mut finding = finding(rule, kind, Severity::Error, stack);
            let count = errors.iter().fold(0u64, |sum, error| sum.saturating_add(error.count));
            let times = if count > 1 { format!(", {} times", grouped(count)) } else { String::new() };
            finding.message = format!("{}{times}", error_message(errors[0]));
            finding.help = Some(error_help(errors[0]).to_string());
            for error in errors {
                let allocated = error.block.map(|block| related("allocated here", block.stack));
                let freed = error.first_free.map(|stack| related("first freed here", stack));
                for note in allocated.into_iter().chain(freed) {
                    if !finding.related.contains(&note) {
                        finding.related.push(note);
                    }
                }
            }
            finding
        })
        .collect()
}

fn rule_of(kind: FreeErrorKind) -> (Rule, Option<Kind>) {
    match kind {
        FreeErrorKind::Double => (Rule::DoubleFree, None),
        FreeErrorKind::Interior => (Rule::InvalidFree, Some(Kind::Interior)),
        FreeErrorKind::Stack => (Rule::InvalidFree, Some(Kind::Stack)),
        FreeErrorKind::Global => (Rule::InvalidFree, Some(Kind::Global)),
        FreeErrorKind::Wild | FreeErrorKind::Unknown => (Rule::InvalidFree, Some(Kind::Wild)),
        FreeErrorKind::Mismatched { .. } => (Rule::MismatchedFree, None),
    }
}

fn error_message(error: &MemoryError) -> String {
    let taker = taker(error.family);
    match error.kind {
        FreeErrorKind::Double => format!("a block that was freed before is freed again by `{taker}`"),
        FreeErrorKind::Interior => match error.block {
            Some(block) => {
                let inside = counted(error.addr.0.saturating_sub(block.addr.0), "byte");
                let size = block.size.map_or(String::new(), |size| format!(" of {}", counted(size, "byte")));
                format!("`{taker}` is given an address {inside} inside a block{size}")
            }
            None => format!("`{taker}` is given an address inside a block"),
        },
        FreeErrorKind::Stack => format!("`{taker}` is given an address on a thread's stack"),
        FreeErrorKind::Global => format!("`{taker}` is given the address of a global variable"),
        FreeErrorKind::Wild | FreeErrorKind::Unknown => {
            format!("`{taker}` is given an address that is not a heap block")
        }
        FreeErrorKind::Mismatched { allocated, .. } => {
            format!("memory from `{}` is freed with `{taker}`", giver(allocated))
        }
    }
}

fn error_help(error: &MemoryError) -> &'static str {
    match error.kind {
        FreeErrorKind::Double => {
            "let one owner free the block; set the pointer to null where it is freed first"
        }
        FreeErrorKind::Interior => {
            "free the pointer that the allocation returned, not one moved forward from it"
        }
        FreeErrorKind::Stack | FreeErrorKind::Global => {
            "free only what was allocated on the heap; this memory needs no free"
        }
        FreeErrorKind::Wild | FreeErrorKind::Unknown => {
            "check that the pointer was initialized, and was not overwritten since"
        }
        FreeErrorKind::Mismatched { allocated: Family::New, .. } => {
            "use `delete`, as the block comes from `new`"
        }
        FreeErrorKind::Mismatched { allocated: Family::NewArray, .. } => {
            "use `delete[]`, as the block comes from `new[]`"
        }
        FreeErrorKind::Mismatched { .. } => "use `free`, as the block comes from `malloc` or its kin",
    }
}

fn giver(family: Family) -> &'static str {
    match family {
        Family::Malloc => "malloc",
        Family::New => "new",
        Family::NewArray => "new[]",
        Family::Map => "mmap",
    }
}

fn taker(family: Family) -> &'static str {
    match family {
        Family::Malloc => "free",
        Family::New => "delete",
        Family::NewArray => "delete[]",
        Family::Map => "munmap",
    }
}

fn temporary_findings(costs: &[StackCost], allocations: u64) -> impl Iterator<Item = Finding> {
    let is_hot = move |cost: &&StackCost| {
        cost.temporary >= TEMPORARY_MIN
            && cost.temporary >= cost.allocations.div_ceil(TEMPORARY_OF_SITE)
            && cost.temporary >= allocations.div_ceil(TEMPORARY_OF_PROGRAM)
    };
    costs.iter().filter(is_hot).map(|cost| {
        let mut finding = finding(Rule::TemporaryAllocations, None, Severity::Warning, cost.stack);
        finding.message = format!(
            "{} of {} here are freed before the thread allocates again",
            grouped(cost.temporary),
            counted(cost.allocations, "allocation")
        );
        finding.help = Some(
            "reuse one buffer across calls, reserve its size once, or keep small ones on the stack"
                .to_string(),
        );
        finding.blocks = Some(cost.temporary);
        finding
    })
}

fn growth_findings(ledger: &Ledger, costs: &[StackCost]) -> Vec<Finding> {
    let totals = ledger.totals();
    if totals.now.0 < GROWTH_MIN_NS {
        return Vec::new();
    }
    let lost = |stack| {
        costs.binary_search_by_key(&stack, |cost| cost.stack).is_ok_and(|at| costs[at].lost_blocks > 0)
    };
    let growing = ledger.growth().into_iter().filter(|growth| {
        growth.grown_bytes >= GROWTH_MIN_BYTES
            && growth.bytes >= totals.peak.bytes / GROWTH_OF_PEAK
            && !lost(growth.stack)
    });
    growing
        .map(|growth| {
            let total = Total { bytes: growth.bytes, blocks: growth.blocks };
            let mut finding = finding(Rule::UnboundedGrowth, None, Severity::Warning, growth.stack);
            let rate = counted(rounded(growth.bytes_per_second), "byte");
            finding.message = format!(
                "memory allocated here grew by about {rate} per second to the end, to {}",
                amount(total)
            );
            finding.help = Some(
                "bound what collects here: drop old entries, limit the size, or free per unit of work"
                    .to_string(),
            );
            measured(finding, total)
        })
        .collect()
}

fn finding(rule: Rule, kind: Option<Kind>, severity: Severity, stack: StackId) -> Finding {
    Finding {
        rule,
        kind,
        severity,
        confidence: Confidence::Certain,
        engine: Engine::Run,
        language: None,
        message: String::new(),
        place: place(stack),
        related: Vec::new(),
        help: None,
        bytes: None,
        blocks: None,
        fix: None,
    }
}

fn measured(finding: Finding, total: Total) -> Finding {
    Finding { bytes: Some(total.bytes), blocks: Some(total.blocks), ..finding }
}

fn related(message: &str, stack: StackId) -> Related {
    Related { message: message.to_string(), place: place(stack) }
}

fn place(stack: StackId) -> Place {
    if stack == StackId::UNKNOWN { Place::Unknown } else { Place::Stack(stack) }
}

fn stack_of(place: &Place) -> u32 {
    match place {
        Place::Stack(stack) => stack.0,
        _ => 0,
    }
}

fn amount(total: Total) -> String {
    format!("{} in {}", counted(total.bytes, "byte"), counted(total.blocks, "block"))
}

/// To two significant digits: a fitted slope knows no more.
fn rounded(rate: f64) -> u64 {
    let step = 10f64.powf((rate.max(1.0).log10().floor() - 1.0).max(0.0));
    ((rate / step).round() * step) as u64
}

fn add(total: &mut Total, more: Total) {
    total.bytes = total.bytes.saturating_add(more.bytes);
    total.blocks = total.blocks.saturating_add(more.blocks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GraphBuilder, WildPlace, classify};
    use heapwise_model::{Addr, Nanos, RootKind};

    const S: fn(u32) -> StackId = StackId;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new();
        ledger.set_stack_limit(50);
        ledger
    }

    fn messages(findings: &[Finding]) -> Vec<(&str, Option<&str>, &str)> {
        findings.iter().map(|it| (it.rule.name(), it.kind.map(Kind::name), it.message.as_str())).collect()
    }

    #[test]
    fn the_contract_example() {
        let mut ledger = ledger();
        for i in 0..20_000u64 {
            ledger.alloc(Nanos(i), 1, Addr(0x1000 + i * 64), 44, Family::Malloc, S(7));
        }
        let graph = GraphBuilder::new(&ledger.live_blocks()).finish();
        let found = analyze(&ledger, Some((&graph, &classify(&graph))));
        assert_eq!(
            messages(&found.findings),
            [("memory-leak", Some("definite"), "880,000 bytes in 20,000 blocks are never freed")]
        );
        assert_eq!(found.findings[0].place, Place::Stack(S(7)));
        assert_eq!((found.findings[0].bytes, found.findings[0].blocks), (Some(880_000), Some(20_000)));
        assert_eq!(found.leaks.map(|it| it.definite), Some(Total { bytes: 880_000, blocks: 20_000 }));
        assert_eq!(found.costs[0].lost_bytes, 880_000);
        assert_eq!(program(&ledger, found.leaks).peak_bytes, 880_000);
    }

    #[test]
    fn classes_and_their_words() {
        let mut ledger = ledger();
        for (i, size) in [16u64, 1, 32, 1000].into_iter().enumerate() {
            ledger.alloc(Nanos(1), 1, Addr(0x1000 * (i as u64 + 1)), size, Family::Malloc, S(i as u32 + 1));
        }
        let mut builder = GraphBuilder::new(&ledger.live_blocks());
        builder.edge(Addr(0x1000), 8, Addr(0x2000));
        builder.root(RootKind::Stack, Addr(0), Addr(0x3004));
        builder.root(RootKind::Global, Addr(0), Addr(0x4000));
        let graph = builder.finish();
        let found = analyze(&ledger, Some((&graph, &classify(&graph))));
        assert_eq!(
            messages(&found.findings),
            [
                ("memory-leak", Some("definite"), "16 bytes in 1 block are never freed, nor 1 byte it holds"),
                (
                    "memory-leak",
                    Some("possible"),
                    "32 bytes in 1 block are held only by pointers into the middle of a block"
                ),
                ("memory-leak", Some("reachable"), "1,000 bytes in 1 block are still reachable at the end"),
                ("memory-leak", Some("indirect"), "1 byte in 1 block is lost with the block that holds it"),
            ]
        );
        assert_eq!(found.findings[3].related, [related("kept by this lost block", S(1))]);
        let unknown = analyze(&ledger, None);
        assert_eq!(unknown.leaks, None);
        assert_eq!(unknown.findings.len(), 4);
        assert_eq!(unknown.findings[0].message, "1,000 bytes in 1 block were live when the recording ended");
    }

    #[test]
    fn wrong_frees() {
        let mut ledger = ledger();
        let at = Nanos(5);
        ledger.alloc(at, 1, Addr(0x1000), 64, Family::Malloc, S(1));
        ledger.free(at, 1, Addr(0x1010), Family::Malloc, S(2));
        ledger.free(at, 1, Addr(0x1000), Family::NewArray, S(3));
        ledger.free(at, 1, Addr(0x1000), Family::Malloc, S(4));
        ledger.free(at, 1, Addr(0x1000), Family::Malloc, S(4));
        ledger.free(at, 1, Addr(0x9000), Family::New, S(5));
        ledger.free(at, 1, Addr(0x9100), Family::New, S(6));
        ledger.errors_mut().last_mut().expect("an error").set_place(WildPlace::Stack);
        let found = analyze(&ledger, None).findings;
        assert_eq!(
            messages(&found),
            [
                (
                    "invalid-free",
                    Some("interior"),
                    "`free` is given an address 16 bytes inside a block of 64 bytes"
                ),
                ("mismatched-free", None, "memory from `malloc` is freed with `delete[]`"),
                ("double-free", None, "a block that was freed before is freed again by `free`, 2 times"),
                ("invalid-free", Some("wild"), "`delete` is given an address that is not a heap block"),
                ("invalid-free", Some("stack"), "`delete` is given an address on a thread's stack"),
            ]
        );
        assert_eq!(found[2].related, [related("allocated here", S(1)), related("first freed here", S(3))]);
        assert!(found.iter().all(|it| it.severity == Severity::Error));
    }

    #[test]
    fn hot_temporaries_and_growth() {
        let mut ledger = ledger();
        for i in 0..100_000u64 {
            let at = Nanos(i * 50_000);
            ledger.alloc(at, 1, Addr(0x1000), 24, Family::Malloc, S(1));
            ledger.free(at, 1, Addr(0x1000), Family::Malloc, S(2));
            if i % 100 == 0 {
                ledger.alloc(at, 1, Addr(0x10_0000 + i * 16), 100, Family::Malloc, S(3));
            }
        }
        let mut builder = GraphBuilder::new(&ledger.live_blocks());
        ledger.live_blocks().iter().for_each(|block| {
            builder.root(RootKind::Global, Addr(0), block.addr);
        });
        let graph = builder.finish();
        let found = analyze(&ledger, Some((&graph, &classify(&graph)))).findings;
        assert_eq!(
            messages(&found),
            [
                (
                    "unbounded-growth",
                    None,
                    "memory allocated here grew by about 20,000 bytes per second to the end, to 100,000 bytes in 1,000 blocks"
                ),
                (
                    "temporary-allocations",
                    None,
                    "100,000 of 100,000 allocations here are freed before the thread allocates again"
                ),
                (
                    "memory-leak",
                    Some("reachable"),
                    "100,000 bytes in 1,000 blocks are still reachable at the end"
                ),
            ]
        );
        // The same blocks lost: a leak, and no second finding for its growth.
        let graph = GraphBuilder::new(&ledger.live_blocks()).finish();
        let found = analyze(&ledger, Some((&graph, &classify(&graph)))).findings;
        assert_eq!(
            found.iter().map(|it| it.rule).collect::<Vec<_>>(),
            [Rule::MemoryLeak, Rule::TemporaryAllocations]
        );
    }
}
