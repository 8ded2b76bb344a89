//! From the ledger, and the classified heap graph if there is one, to findings.
//!
//! At first one finding per rule, kind and stack; [`Analysis::group`] then joins those of one place, which only
//! names can tell. A leak stands where the blocks were allocated, a wrong free where it happened. Sorted by
//! severity, then bytes, both descending, then stack.

use crate::classes::{Class, Classes};
use crate::growth::Growth;
use crate::ledger::Ledger;
use crate::memory_error::{FreeErrorKind, MemoryError};
use crate::text::{counted, grouped};
use heapwise_model::{
    Confidence, Engine, Family, Finding, HeapGraph, Kind, Leaks, NodeId, Place, Program, Related, Rule,
    Severity, StackCost, StackId, StackShare, Total,
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// Sorted.
    pub findings: Vec<Finding>,
    /// `None` without a graph.
    pub leaks: Option<Leaks>,
    /// By stack, ascending.
    pub costs: Vec<StackCost>,
    /// What is lost with the definitely lost blocks of a stack.
    with: FxHashMap<StackId, Total>,
    /// Allocations of stacks that are reported for their temporary ones.
    allocations: FxHashMap<StackId, u64>,
    /// Bytes per second by which stacks that are reported grow.
    rates: FxHashMap<StackId, f64>,
}

impl Analysis {
    /// Joins findings whose stacks `site_of` gives the same number; one without a number stays as it is.
    ///
    /// The heaviest stack is the joint finding's place; all of them stand in `stacks`. Errors stay apart: each has a
    /// story of its own.
    pub fn group(&self, findings: Vec<Finding>, site_of: &dyn Fn(StackId) -> Option<u32>) -> Vec<Finding> {
        let mut apart = Vec::new();
        let mut groups: BTreeMap<(Rule, Option<Kind>, u32), Vec<Finding>> = BTreeMap::new();
        for finding in findings {
            // What is told of an object is told of this one.
            let site = match finding.rule {
                _ if finding.retainers.is_some() => None,
                Rule::MemoryLeak | Rule::TemporaryAllocations | Rule::UnboundedGrowth => {
                    site_of(StackId(stack_of(&finding.place)))
                }
                _ => None,
            };
            match site {
                Some(site) => groups.entry((finding.rule, finding.kind, site)).or_default().push(finding),
                None => apart.push(finding),
            }
        }
        apart.extend(groups.into_values().filter_map(|group| self.joined(group)));
        sort(&mut apart);
        apart
    }

    fn joined(&self, mut group: Vec<Finding>) -> Option<Finding> {
        group.sort_by_key(|it| {
            (Reverse(it.bytes.unwrap_or(0)), Reverse(it.blocks.unwrap_or(0)), stack_of(&it.place))
        });
        let share = |it: &Finding| StackShare {
            stack: StackId(stack_of(&it.place)),
            total: Total { bytes: it.bytes.unwrap_or(0), blocks: it.blocks.unwrap_or(0) },
        };
        let stacks: Vec<StackShare> = group.iter().map(share).collect();
        let mut heaviest = group.into_iter().next()?;
        if stacks.len() == 1 {
            return Some(heaviest);
        }
        let mut total = Total::default();
        stacks.iter().for_each(|it| add(&mut total, it.total));
        heaviest.message = match heaviest.rule {
            Rule::MemoryLeak => {
                let mut with = Total::default();
                let lost = stacks.iter().filter_map(|it| self.with.get(&it.stack));
                lost.for_each(|&it| add(&mut with, it));
                leak_message(heaviest.kind, total, with)
            }
            Rule::TemporaryAllocations => {
                let all = stacks.iter().filter_map(|it| self.allocations.get(&it.stack));
                temporary_message(total.blocks, all.fold(0, |sum, &it| sum.saturating_add(it)))
            }
            _ => {
                let rates = stacks.iter().filter_map(|it| self.rates.get(&it.stack));
                growth_message(rates.sum(), total)
            }
        };
        heaviest.bytes = heaviest.bytes.map(|_| total.bytes);
        heaviest.blocks = heaviest.blocks.map(|_| total.blocks);
        heaviest.stacks = stacks;
        Some(heaviest)
    }
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
        // What is live at the end of a sample is no more than a part of all.
        None if !ledger.sampling().is_exact() => {}
        None => findings.extend(costs.iter().filter(|cost| cost.live_blocks > 0).map(unclassified_finding)),
    }
    let hot = hot(&costs, ledger.totals().allocations);
    findings.extend(hot.iter().map(|it| temporary_finding(it)));
    let growing = growing(ledger, &costs);
    findings.extend(growing.iter().map(growth_finding));
    sort(&mut findings);
    let definite = sites.iter().filter(|((class, _), _)| *class == Class::Definite);
    Analysis {
        findings,
        leaks: heap.map(|(graph, classes)| classes.totals(graph)),
        allocations: hot.iter().map(|it| (it.stack, it.allocations)).collect(),
        with: definite.map(|(&(_, stack), site)| (stack, site.with)).collect(),
        rates: growing.iter().map(|it| (it.stack, it.bytes_per_second)).collect(),
        costs,
    }
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
    let (severity, kind, help) = match class {
        Class::Definite => (
            Severity::Error,
            Kind::Definite,
            "no pointer to it is left: free it before the last one goes away",
        ),
        Class::Indirect => (
            Severity::Note,
            Kind::Indirect,
            "fix the block that holds this memory: freeing that one must free what it points to as well",
        ),
        Class::Possible => (
            Severity::Warning,
            Kind::Possible,
            "check that a pointer to the start of the block is kept, and that the block is freed",
        ),
        Class::Reachable => (
            Severity::Note,
            Kind::Reachable,
            "harmless if needed until the end; otherwise free this memory when the last user is done with it",
        ),
    };
    let mut finding = finding(Rule::MemoryLeak, Some(kind), severity, stack);
    let with = if class == Class::Definite { site.with } else { Total::default() };
    finding.message = leak_message(finding.kind, site.total, with);
    finding.help = Some(help.to_owned());
    finding.related.extend(holder(site).map(|holder| related("kept by this lost block", holder)));
    measured(finding, site.total)
}

/// `kind` is `None` where there was no leak scan; `with`: what definitely lost blocks hold.
fn leak_message(kind: Option<Kind>, total: Total, with: Total) -> String {
    let is_one = total.bytes == 1;
    let (be, them) = if is_one { ("is", "it") } else { ("are", "them") };
    let what = match kind {
        Some(Kind::Definite) => format!("{be} never freed"),
        Some(Kind::Indirect) => format!("{be} lost with the block that holds {them}"),
        Some(Kind::Possible) => format!("{be} held only by pointers into the middle of a block"),
        Some(_) => format!("{be} still reachable at the end"),
        None => format!("{} live when the recording ended", if is_one { "was" } else { "were" }),
    };
    let mut message = format!("{} {what}", amount(total));
    if with.blocks > 0 {
        let hold = if total.blocks == 1 { "it holds" } else { "they hold" };
        message += &format!(", nor {} {hold}", counted(with.bytes, "byte"));
    }
    message
}

/// The stack whose blocks hold most of the site's bytes.
fn holder(site: &Site) -> Option<StackId> {
    site.holders.iter().max_by_key(|&(&stack, &bytes)| (bytes, Reverse(stack))).map(|(&stack, _)| stack)
}

fn unclassified_finding(cost: &StackCost) -> Finding {
    let total = Total { bytes: cost.live_bytes, blocks: cost.live_blocks };
    let mut finding = finding(Rule::MemoryLeak, None, Severity::Note, cost.stack);
    finding.message = leak_message(None, total, Total::default());
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
        Family::Object => "the runtime's allocator",
    }
}

fn taker(family: Family) -> &'static str {
    match family {
        Family::Malloc => "free",
        Family::New => "delete",
        Family::NewArray => "delete[]",
        Family::Map => "munmap",
        Family::Object => "the runtime's allocator",
    }
}

/// The stacks whose temporary allocations are worth a finding.
fn hot(costs: &[StackCost], allocations: u64) -> Vec<&StackCost> {
    let is_hot = |cost: &&StackCost| {
        cost.temporary >= TEMPORARY_MIN
            && cost.temporary >= cost.allocations.div_ceil(TEMPORARY_OF_SITE)
            && cost.temporary >= allocations.div_ceil(TEMPORARY_OF_PROGRAM)
    };
    costs.iter().filter(is_hot).collect()
}

fn temporary_finding(cost: &StackCost) -> Finding {
    let mut finding = finding(Rule::TemporaryAllocations, None, Severity::Warning, cost.stack);
    finding.message = temporary_message(cost.temporary, cost.allocations);
    finding.help = Some(
        "reuse one buffer across calls, reserve its size once, or keep small ones on the stack".to_string(),
    );
    finding.blocks = Some(cost.temporary);
    finding
}

fn temporary_message(temporary: u64, allocations: u64) -> String {
    let all = counted(allocations, "allocation");
    format!("{} of {all} here are freed before the thread allocates again", grouped(temporary))
}

/// The stacks whose growth is worth a finding.
fn growing(ledger: &Ledger, costs: &[StackCost]) -> Vec<Growth> {
    let totals = ledger.totals();
    if totals.now.0 < GROWTH_MIN_NS {
        return Vec::new();
    }
    let lost = |stack| {
        costs.binary_search_by_key(&stack, |cost| cost.stack).is_ok_and(|at| costs[at].lost_blocks > 0)
    };
    let is_told = |growth: &Growth| {
        growth.grown_bytes >= GROWTH_MIN_BYTES
            && growth.bytes >= totals.peak.bytes / GROWTH_OF_PEAK
            && !lost(growth.stack)
    };
    ledger.growth().into_iter().filter(is_told).collect()
}

fn growth_finding(growth: &Growth) -> Finding {
    let total = Total { bytes: growth.bytes, blocks: growth.blocks };
    let mut finding = finding(Rule::UnboundedGrowth, None, Severity::Warning, growth.stack);
    finding.message = growth_message(growth.bytes_per_second, total);
    finding.help = Some(
        "bound what collects here: drop old entries, limit the size, or free per unit of work".to_string(),
    );
    measured(finding, total)
}

fn growth_message(bytes_per_second: f64, total: Total) -> String {
    let rate = counted(rounded(bytes_per_second), "byte");
    format!("memory allocated here grew by about {rate} per second to the end, to {}", amount(total))
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
        stacks: Vec::new(),
        held: None,
        retainers: None,
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
    fn findings_of_a_site_join() {
        let mut ledger = ledger();
        for (i, (size, stack)) in [(10u64, 1), (30, 2), (1, 2), (7, 3), (5, 4)].into_iter().enumerate() {
            ledger.alloc(Nanos(1), 1, Addr(0x1000 * (i as u64 + 1)), size, Family::Malloc, S(stack));
        }
        ledger.free(Nanos(1), 1, Addr(0x9000), Family::Malloc, S(1));
        ledger.free(Nanos(1), 1, Addr(0x9000), Family::Malloc, S(2));
        let mut builder = GraphBuilder::new(&ledger.live_blocks());
        builder.edge(Addr(0x1000), 0, Addr(0x5000));
        let graph = builder.finish();
        let found = analyze(&ledger, Some((&graph, &classify(&graph))));
        let site_of = |stack: StackId| (stack != S(3)).then_some(9);
        let joined = found.group(found.findings.clone(), &site_of);
        assert_eq!(
            messages(&joined)[..2],
            [
                (
                    "memory-leak",
                    Some("definite"),
                    "41 bytes in 3 blocks are never freed, nor 5 bytes they hold"
                ),
                ("memory-leak", Some("definite"), "7 bytes in 1 block are never freed"),
            ]
        );
        let share = |stack, bytes, blocks| StackShare { stack: S(stack), total: Total { bytes, blocks } };
        assert_eq!(joined[0].stacks, [share(2, 31, 2), share(1, 10, 1)]);
        assert_eq!(joined[0].place, Place::Stack(S(2)));
        assert!(joined[1].stacks.is_empty());
        assert_eq!(joined.iter().filter(|it| it.rule == Rule::InvalidFree).count(), 2);
        assert_eq!(found.group(found.findings.clone(), &|_| None), found.findings);
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
