//! From what was observed to what is shown: findings, and names for the frames that are shown.

use crate::runtime::is_nodes_own;
use heapwise_heap::objects::{self, Fed, Told, Walked};
use heapwise_heap::{Analysis, Class, GROWTH_MIN_NS, Group, Holding, analyze, program};
use heapwise_model::{
    Code, Engine, Excerpt, Finding, Frame, Held, Kind, Language, Leaks, ObjectHeap, Place, Program, Report,
    ResolvedFrame, RootKind, Rule, Severity, StackId, StackTable, Variable,
};
use heapwise_report::numbers::counted;
use heapwise_report::place::{self, Located, SiteKey};
use heapwise_run::{Dump, Observation};
use heapwise_symbols::Symbolizer;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// How many names are looked up: symbols are read late, and only for what is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// For a screenful.
    Shown,
    /// For all findings.
    Findings,
    /// For every stack.
    All,
}

/// Findings beyond these are one line or less in a screenful.
const SHOWN_FINDINGS: usize = 24;
/// Stacks that a short list of sites is made from.
const SHOWN_STACKS: usize = 48;
/// Findings that are told why their memory is alive.
const HELD_FINDINGS: usize = 200;
/// Larger heaps are walked for a report, but not for a screenful.
const QUICK_BLOCKS: usize = 1 << 20;
/// Lines of source shown around a place.
const NEIGHBORS: u32 = 3;
/// Larger source files are generated ones.
const SOURCE_MAX: u64 = 16 << 20;
/// Excerpts kept in a report.
const EXCERPTS_MAX: usize = 2000;

/// Which findings stay, asked of each stack's.
pub type Filter<'a> = &'a dyn Fn(&Report, &Finding) -> bool;

/// What verbs show: one finding for each site.
pub fn report(observation: &Observation, names: Names, filter: Filter<'_>) -> Report {
    build(observation, names, filter, true)
}

/// What other tools take, which do their own grouping: one finding for each stack.
pub fn by_stack(observation: &Observation) -> Report {
    build(observation, Names::All, &|_, _| true, false)
}

fn build(observation: &Observation, names: Names, filter: Filter<'_>, joins: bool) -> Report {
    let heap = observation.graph.as_ref().map(|it| (&it.graph, &it.classes));
    let mut analysis = analyze(&observation.ledger, heap);
    analysis.findings.retain(|it| !is_held_by_runtime(observation, it) && !is_runtimes_own(observation, it));
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        program: Some(figures(observation, analysis.leaks)),
        notes: observation.notes.clone(),
        findings: std::mem::take(&mut analysis.findings),
        stacks: observation.stacks.clone(),
        costs: std::mem::take(&mut analysis.costs),
        timeline: observation.ledger.timeline(),
        phases: observation.phases.clone(),
        ..Report::default()
    };
    objects(observation, &mut report);
    report.findings.extend(crate::resources::findings(observation));
    crate::closing::name_lines(&mut report.findings, read_source);
    let holding = holding(observation, &report.findings, names);
    if let Some(holding) = &holding {
        chains(holding, &mut report.findings);
    }
    let named = resolve(&mut report, observation, names);
    let (kept, dropped): (Vec<_>, Vec<_>) =
        std::mem::take(&mut report.findings).into_iter().partition(|it| filter(&report, it));
    let kept = kept.into_iter().filter(|it| !is_nodes_own(&report, it)).collect();
    report.findings = if joins { join(&report, &analysis, kept, &named) } else { kept };
    if let Some(holding) = &holding {
        retained(holding, &mut report.findings);
    }
    sort(&mut report);
    if !dropped.is_empty() {
        let (count, be) =
            (counted(dropped.len() as u64, "finding"), if dropped.len() == 1 { "is" } else { "are" });
        report.notes.push(format!("{count} {be} suppressed by configuration or options"));
    }
    report.sources = excerpts(&report, names, &BTreeMap::new());
    report
}

/// What the last dumps of a runtime's objects tell.
fn objects(observation: &Observation, report: &mut Report) {
    let Some((last, older)) = observation.objects.split_last() else { return };
    let walked = Walked::new(&last.heap);
    let (totals, mut told) = match older {
        [] => objects::analyze(&walked),
        older => objects::compare(&recent(older), &walked),
    };
    report.objects = Some(totals);
    let findings = std::mem::take(&mut report.findings);
    report.findings = objects::without_held(&walked, &told, &observation.ledger, findings);
    // What grew until a function returned, as the program ended, is no longer there.
    if let Some((before, oldest)) = older.split_last().filter(|it| !it.1.is_empty()) {
        let mut earlier = objects::compare(&recent(oldest), &Walked::new(&before.heap)).1;
        let is_told = |it: &Told| told.iter().any(|other| is_same(it, other));
        earlier.retain(|it| it.finding.rule == Rule::UnboundedGrowth && !is_told(it));
        told.append(&mut earlier);
    }
    let fed = fed(observation, &walked);
    let is_explained = |it: &Finding| {
        let is_growth = it.rule == Rule::UnboundedGrowth && it.retainers.is_none();
        is_growth
            && place::stack_of(&it.place).is_some_and(|it| fed.iter().any(|fed| fed.stacks.contains(&it)))
    };
    report.findings.retain(|it| !is_explained(it));
    let is_new = |it: &Told| !told.iter().any(|other| is_about_same(it, other));
    let fed: Vec<Told> = fed.into_iter().map(|it| it.told).filter(is_new).collect();
    told.extend(fed);
    if !older.is_empty() {
        told.extend(repeated(observation, &walked));
    }
    let first = older.get(older.len().saturating_sub(2)).map_or(last.at.0, |it| it.at.0);
    let is_short = last.at.0.saturating_sub(first) < SURE_AFTER;
    for Told { finding, .. } in told {
        // In a short time what fills up once grows like what fills up for ever.
        let is_doubtful = is_short && finding.rule == Rule::UnboundedGrowth;
        let severity = if is_doubtful { finding.severity.min(Severity::Warning) } else { finding.severity };
        report.findings.push(Finding { engine: Engine::Run, severity, ..finding });
    }
    report.findings.retain(|it| !is_importing(observation, it) && !is_placeless(observation, it));
}

/// Whether what grows does so at no line of the program's: a list that the interpreter or its library fills.
fn is_placeless(observation: &Observation, finding: &Finding) -> bool {
    let is_own = |frame: Frame| match frame {
        Frame::Script { code, .. } => {
            observation.codes.get(code.index()).is_some_and(|it| !is_script_library(&it.path))
        }
        Frame::Native { .. } => false,
    };
    let has_own = |stack| {
        let mut frames = observation.stacks.frames(stack);
        frames.any(|it| observation.frames.get(it.index()).is_some_and(|it| is_own(*it)))
    };
    let is_asked = finding.rule == Rule::UnboundedGrowth && finding.retainers.is_some();
    is_asked
        && match finding.place {
            Place::Unknown => true,
            Place::Stack(stack) => !has_own(stack),
            Place::Source(ref at) => is_script_library(&at.path),
        }
}

/// Nanoseconds between the looks at a runtime's objects from which on growth is an error.
pub const SURE_AFTER: u64 = 3_000_000_000;

/// The last two: those before may be of the program's start.
fn recent(dumps: &[Dump]) -> Vec<&ObjectHeap> {
    dumps[dumps.len().saturating_sub(2)..].iter().map(|it| &it.heap).collect()
}

/// Whether what grows does so because modules are imported.
fn is_importing(observation: &Observation, finding: &Finding) -> bool {
    let Place::Stack(stack) = finding.place else { return false };
    let is_import = |it: Frame| match it {
        Frame::Script { code, .. } => {
            observation.codes.get(code.index()).is_some_and(|it| it.path == "<frozen importlib._bootstrap>")
        }
        Frame::Native { .. } => false,
    };
    let mut frames = observation.stacks.frames(stack).filter_map(|it| observation.frames.get(it.index()));
    matches!(finding.rule, Rule::UnboundedGrowth | Rule::RetainedObject) && frames.any(|it| is_import(*it))
}

/// What is there many times, when there is most of all.
fn repeated(observation: &Observation, last: &Walked<'_>) -> Vec<Told> {
    let bytes = |it: &&Dump| it.heap.graph.size.iter().fold(0u64, |sum, it| sum.saturating_add(*it));
    match observation.objects.iter().max_by_key(bytes).filter(|it| !std::ptr::eq(&it.heap, last.heap)) {
        Some(fullest) => objects::repeated(&Walked::new(&fullest.heap)),
        None => objects::repeated(last),
    }
}

/// What holds the memory of the lines whose memory grows, by the last look that shows it.
fn fed(observation: &Observation, last: &Walked<'_>) -> Vec<Fed> {
    let mut growing = observation.ledger.filling();
    growing.retain(|it| is_scripted(observation, it.stack));
    if observation.last.0 < GROWTH_MIN_NS {
        return Vec::new();
    }
    let mut fed: Vec<Fed> = Vec::new();
    for dump in observation.objects.iter().rev().filter(|_| last.heap.language == Language::Python) {
        growing.retain(|it| !fed.iter().any(|fed| fed.stacks.contains(&it.stack)));
        if growing.is_empty() {
            break;
        }
        let found = match std::ptr::eq(&dump.heap, last.heap) {
            true => objects::fed(last, &growing),
            false => objects::fed(&Walked::new(&dump.heap), &growing),
        };
        for found in found {
            match fed.iter_mut().find(|it| is_about_same(&it.told, &found.told)) {
                Some(same) => same.stacks.extend(found.stacks),
                None => fed.push(found),
            }
        }
    }
    fed
}

/// Whether two findings are about one object, by whatever evidence.
fn is_about_same(one: &Told, other: &Told) -> bool {
    let is_named_so = one.name.is_some() && one.name == other.name;
    one.finding.rule == other.finding.rule && (is_named_so || one.finding.place == other.finding.place)
}

/// Whether two findings of different dumps are about one object.
fn is_same(one: &Told, other: &Told) -> bool {
    one.finding.rule == other.finding.rule && one.finding.kind == other.finding.kind && one.name == other.name
}

/// What a script allocated and a runtime still holds at its end is told by what holds it, not as a leak.
fn is_held_by_runtime(observation: &Observation, finding: &Finding) -> bool {
    let is_held = held_class(finding).is_some();
    is_held && place::stack_of(&finding.place).is_some_and(|it| is_scripted(observation, it))
}

/// Whether an interpreter lost a block without any other code's doing: nothing that its user could mend.
fn is_runtimes_own(observation: &Observation, finding: &Finding) -> bool {
    if finding.rule != Rule::MemoryLeak || observation.codes.len() <= 1 {
        return false;
    }
    let is_own = |it: Frame| {
        let Frame::Native { module, .. } = it else { return false };
        let path = observation.modules.get(module.index()).map_or("", |it| it.path.as_str());
        let file = path.rsplit('/').next().unwrap_or_default();
        ["libpython", "python3", "libc.so", "ld-linux"].iter().any(|it| file.starts_with(it))
    };
    let mut frames = place::stack_of(&finding.place).into_iter().flat_map(|it| observation.stacks.frames(it));
    frames.all(|it| observation.frames.get(it.index()).is_some_and(|it| is_own(*it)))
}

/// Whether a frame of a script is in the stack.
fn is_scripted(observation: &Observation, stack: StackId) -> bool {
    let mut frames = observation.stacks.frames(stack);
    frames.any(|it| matches!(observation.frames.get(it.index()), Some(Frame::Script { .. })))
}

fn figures(observation: &Observation, leaks: Option<Leaks>) -> Program {
    Program {
        command: observation.command.clone(),
        pid: observation.pid,
        exit: observation.exit.filter(|it| it.code.is_some() || it.signal.is_some()),
        duration_ns: observation.last.0,
        ..program(&observation.ledger, leaks)
    }
}

/// Sorts findings that were made elsewhere, and adds the source lines that they show.
pub fn finish(report: &mut Report, names: Names) {
    finish_with(report, names, &BTreeMap::new());
}

/// As [`finish`], with sources that are no files, by what they are called.
pub fn finish_with(report: &mut Report, names: Names, texts: &BTreeMap<String, String>) {
    sort(report);
    report.sources = excerpts(report, names, texts);
}

/// Contract's order: severity, bytes, then place and rule.
fn sort(report: &mut Report) {
    let mut findings = std::mem::take(&mut report.findings);
    findings.sort_by_cached_key(|it| {
        let (path, line, column) = place::locate(report, it)
            .map(|at| (at.path.map(str::to_owned), at.line, at.column))
            .unwrap_or_default();
        (std::cmp::Reverse((it.severity, it.bytes.unwrap_or(0))), path, line, column, it.rule)
    });
    report.findings = findings;
}

/// Classes whose blocks a root reaches.
fn held_class(finding: &Finding) -> Option<Class> {
    match (finding.rule, finding.kind) {
        (Rule::MemoryLeak, Some(Kind::Possible)) => Some(Class::Possible),
        (Rule::MemoryLeak, Some(Kind::Reachable)) => Some(Class::Reachable),
        _ => None,
    }
}

/// `None` where there is nothing to ask it, or a screenful is not worth the time.
fn holding<'a>(observation: &'a Observation, findings: &[Finding], names: Names) -> Option<Holding<'a>> {
    let it = observation.graph.as_ref()?;
    let is_small = names != Names::Shown || it.graph.addr.len() <= QUICK_BLOCKS;
    let is_asked = is_small && findings.iter().any(|it| held_class(it).is_some());
    is_asked.then(|| Holding::new(&it.graph, &it.classes))
}

/// Why the memory of the greatest findings is alive.
fn chains(holding: &Holding<'_>, findings: &mut [Finding]) {
    let group = |it: &Finding| Some((held_class(it)?, place::stack_of(&it.place)?));
    let asked: Vec<usize> =
        (0..findings.len()).filter(|&it| group(&findings[it]).is_some()).take(HELD_FINDINGS).collect();
    let groups: Vec<Group> = asked.iter().filter_map(|&it| group(&findings[it])).collect();
    for (at, chain) in asked.into_iter().zip(holding.chains(&groups)) {
        findings[at].held = chain;
    }
}

/// What the findings' blocks retain, all stacks of a site together.
fn retained(holding: &Holding<'_>, findings: &mut [Finding]) {
    let mut set_of = FxHashMap::default();
    for (finding, set) in findings.iter().zip(0u32..).filter(|it| it.0.held.is_some()) {
        let Some(class) = held_class(finding) else { continue };
        let stacks = finding.stacks.iter().map(|it| it.stack).chain(place::stack_of(&finding.place));
        set_of.extend(stacks.map(|it| ((class, it), set)));
    }
    let totals = holding.retained(findings.len(), &set_of);
    for (finding, total) in findings.iter_mut().zip(totals) {
        if let Some(held) = &mut finding.held {
            held.retained = total;
        }
    }
}

/// The variable that a root's pointer stands in.
fn variable(symbolizer: &mut Symbolizer, observation: &Observation, held: &Held) -> Option<Variable> {
    if held.kind != RootKind::Global {
        return None;
    }
    // A module's zeroed data may lie behind what is mapped of its file.
    let below = observation.modules.iter().skip(1).filter(|it| it.base <= held.place);
    let module = below.max_by_key(|it| it.base)?;
    Some(symbolizer.variable(module, held.place.wrapping_sub(module.bias)))
}

/// Findings of one site become one.
fn join(report: &Report, analysis: &Analysis, findings: Vec<Finding>, named: &Named) -> Vec<Finding> {
    let mut numbers: FxHashMap<SiteKey<'_>, u32> = FxHashMap::default();
    let mut of_stack: FxHashMap<StackId, u32> = FxHashMap::default();
    for stack in findings.iter().filter_map(|it| place::stack_of(&it.place)).filter(|&it| named.has(it)) {
        // In a stack without own frames the innermost one says nothing of who allocates.
        if let Some(site) = place::site(report, stack).filter(|it| !it.is_library) {
            let next = numbers.len() as u32;
            of_stack.insert(stack, *numbers.entry(place::site_key(&Located::from(site))).or_insert(next));
        }
    }
    analysis.group(findings, &|stack| of_stack.get(&stack).copied())
}

/// The stacks all of whose frames have been named, by their ids.
struct Named(Vec<bool>);

impl Named {
    /// `stacks` and all that they extend, each visited once.
    fn new(table: &StackTable, stacks: impl Iterator<Item = StackId>) -> Named {
        let mut named = vec![false; table.len()];
        for mut at in stacks {
            while at != StackId::UNKNOWN && named.get(at.index()) == Some(&false) {
                named[at.index()] = true;
                at = table.parent(at);
            }
        }
        Named(named)
    }

    fn has(&self, stack: StackId) -> bool {
        self.0.get(stack.index()).copied().unwrap_or(false)
    }

    fn frames(&self, table: &StackTable) -> BTreeSet<usize> {
        let ids = self.0.iter().enumerate().filter(|it| *it.1).map(|it| StackId(it.0 as u32));
        ids.map(|it| table.frame(it).index()).collect()
    }
}

/// Names the frames that will be shown.
fn resolve(report: &mut Report, observation: &Observation, names: Names) -> Named {
    let shown = Named::new(&report.stacks, shown_stacks(report, names).into_iter());
    let shown_frames = shown.frames(&report.stacks);
    let wanted = match names {
        Names::All => (1..observation.frames.len()).collect(),
        _ => shown_frames.clone(),
    };
    let ids: Vec<usize> = wanted.into_iter().filter(|&it| it < observation.frames.len()).collect();
    let frames: Vec<Frame> = ids.iter().map(|&it| observation.frames[it]).collect();
    let mut symbolizer = Symbolizer::default();
    let resolved = symbolizer.resolve_all(&observation.modules, &frames);
    report.frames = vec![Vec::new(); observation.frames.len()];
    for ((id, frame), names) in ids.into_iter().zip(frames).zip(resolved) {
        report.frames[id] = match frame {
            Frame::Script { code, line } => vec![script_frame(observation.codes.get(code.index()), line)],
            _ if frame == Frame::default() => vec![cut()],
            _ => names,
        };
    }
    for held in report.findings.iter_mut().filter_map(|it| it.held.as_mut()) {
        held.variable = variable(&mut symbolizer, observation, held);
    }
    report.notes.extend(symbolizer.notes());
    report.notes.extend(nameless(report, &shown_frames));
    shown
}

/// Which of the user's own modules have no names or lines for what is shown, and what would give them.
fn nameless(report: &Report, shown: &BTreeSet<usize>) -> Option<String> {
    let frames = shown.iter().filter_map(|&it| report.frames.get(it)).flatten();
    // By module: frames, those without a name, and whether none has a line.
    let mut modules: BTreeMap<&str, (usize, usize, bool)> = BTreeMap::new();
    for frame in frames.filter(|it| !it.is_library && !it.module.is_empty()) {
        let (all, nameless, is_bare) = modules.entry(&frame.module).or_insert((0, 0, true));
        *all += 1;
        *nameless += usize::from(frame.function.is_none());
        // A start-up routine without lines is no reason to complain.
        *is_bare &= frame.line.is_none();
    }
    modules.retain(|_, it| it.2);
    let more = match modules.len() {
        0 => return None,
        1..=3 => String::new(),
        more => format!(" and {} more", more - 3),
    };
    let first = modules.keys().take(3).copied().collect::<Vec<_>>().join(", ");
    // Exported functions have names in stripped files, too.
    let is_stripped = modules.values().any(|(all, nameless, _)| nameless * 4 > *all);
    let missing = if is_stripped { "names and lines" } else { "lines" };
    Some(format!("no {missing} for {first}{more}: -g, or a -dbgsym or -debuginfo package, gives them"))
}

/// A script's frame brings its own place.
fn script_frame(code: Option<&Code>, line: u32) -> ResolvedFrame {
    let path = code.map(|it| it.path.clone()).filter(|it| !it.is_empty());
    let is_library = path.as_deref().is_none_or(is_script_library);
    ResolvedFrame {
        function: code.map(|it| it.name.clone()).filter(|it| !it.is_empty()),
        path,
        line: Some(line).filter(|it| *it > 0),
        is_library,
        language: Some(Language::Python),
        ..ResolvedFrame::default()
    }
}

/// Whether a script is part of Python's library or of an installed package.
pub fn is_script_library(path: &str) -> bool {
    let mut folders = path.split('/').rev().skip(1);
    path.starts_with('<')
        || folders.any(|it| {
            let version = it.strip_prefix("python3").unwrap_or("no");
            matches!(it, "site-packages" | "dist-packages") || version.is_empty() || version.starts_with('.')
        })
}

/// The marker of a stack that could not be followed further.
fn cut() -> ResolvedFrame {
    ResolvedFrame {
        function: Some("[stack cut short]".to_owned()),
        is_library: true,
        ..ResolvedFrame::default()
    }
}

fn shown_stacks(report: &Report, names: Names) -> Vec<StackId> {
    // Of what is merely noted, a screenful shows the first at most.
    let is_shown = |at: usize, it: &Finding| {
        names != Names::Shown || it.severity > Severity::Note || at < SHOWN_FINDINGS
    };
    let mut stacks = Vec::new();
    for (_, finding) in report.findings.iter().enumerate().filter(|(at, it)| is_shown(*at, it)) {
        let places = std::iter::once(&finding.place).chain(finding.related.iter().map(|it| &it.place));
        stacks.extend(places.filter_map(place::stack_of));
        stacks.extend(finding.held.iter().flat_map(|it| &it.steps).map(|it| it.stack));
    }
    stacks.extend(report.phases.iter().flat_map(|it| &it.sites).map(|it| it.stack));
    let mut dearest: Vec<_> = report.costs.iter().filter(|it| it.peak_bytes > 0).collect();
    dearest.sort_by_key(|it| std::cmp::Reverse(it.peak_bytes));
    stacks.extend(dearest.iter().take(SHOWN_STACKS).map(|it| it.stack));
    stacks
}

/// Source lines around the places of findings, from files that can be read now.
fn excerpts(report: &Report, names: Names, texts: &BTreeMap<String, String>) -> Vec<Excerpt> {
    let count = if names == Names::Shown { SHOWN_FINDINGS } else { EXCERPTS_MAX };
    let mut lines: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for finding in report.findings.iter().take(count) {
        let places = std::iter::once(&finding.place).chain(finding.related.iter().map(|it| &it.place));
        for at in places.filter_map(|it| place::locate_place(report, it)) {
            if let (Some(path), Some(line)) = (at.path, at.line) {
                let around = line.saturating_sub(NEIGHBORS).max(1)..=line.saturating_add(NEIGHBORS);
                lines.entry(path.to_owned()).or_default().extend(around);
            }
        }
    }
    let of = |(path, wanted): (String, BTreeSet<u32>)| {
        let text = texts.get(&path).cloned().or_else(|| read_source(&path)).unwrap_or_default();
        excerpts_of(&path, &text, &wanted)
    };
    lines.into_iter().flat_map(of).collect()
}

fn excerpts_of(path: &str, text: &str, wanted: &BTreeSet<u32>) -> Vec<Excerpt> {
    let mut found: Vec<Excerpt> = Vec::new();
    for (line, number) in text.lines().zip(1u32..) {
        if !wanted.contains(&number) {
            continue;
        }
        let line: String = line.chars().take(400).collect();
        match found.last_mut() {
            Some(last) if last.first_line + last.lines.len() as u32 == number => last.lines.push(line),
            _ => found.push(Excerpt { path: path.to_owned(), first_line: number, lines: vec![line] }),
        }
    }
    found
}

/// A regular file of sane size, whatever it holds.
fn read_source(path: &str) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > SOURCE_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(SOURCE_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a finding is about one of the paths, functions or modules.
pub fn frames_of<'a>(report: &'a Report, finding: &Finding) -> impl Iterator<Item = &'a ResolvedFrame> {
    let stack = match finding.place {
        Place::Stack(stack) => stack,
        _ => StackId::UNKNOWN,
    };
    report.resolved(stack)
}
