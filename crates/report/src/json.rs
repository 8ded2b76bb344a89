//! The versioned JSON document.
//!
//! The shapes below are the format; no type of `model` is written as it is. What is not known is a
//! missing key. Additions are free, anything else raises [`VERSION`]. Strings of the program are
//! sanitized like everywhere else (a JSON decoder would give the escapes back to a terminal).

use crate::fingerprint::fingerprints;
use crate::place::{self, Ends, Located};
use crate::sanitize::clean;
use crate::{catalog, held, retainers, sanitize};
use heapwise_model::{
    Child, ClassTotal, Confidence, Engine, FIRST_STEPS, Finding, Fix, Held, HeldStep, Language, LeakTotals,
    Leaks, Location, ObjectTotals, Phase, Place, Program, Related, Report, ResolvedFrame, RetainerStep,
    Retainers, Safety, Sampled, Severity, StackCost, StackId, StackShare, Termination, Total,
};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Version of the document's shape.
pub const VERSION: u32 = 1;

/// Inserted text of a fix that is written; longer ones are cut to nothing a tool could apply.
const MAX_INSERT_BYTES: usize = 1 << 20;

/// Frames written of a stack: from the innermost on, and up to the outermost.
const INNER_FRAMES: usize = 48;
const OUTER_FRAMES: usize = 16;
/// Stacks written of a finding that has several; the rest is counted.
const MAX_STACKS: usize = 100;

/// How the document is written.
#[derive(Clone, Debug, Default)]
pub struct JsonOptions {
    /// Paths under this folder are written relative to it.
    pub base: Option<PathBuf>,
    /// All stacks of a finding that has several, however many.
    pub all_stacks: bool,
    /// On one line.
    pub compact: bool,
}

/// Writes the document and a final newline.
pub fn write(out: &mut dyn Write, report: &Report, options: &JsonOptions) -> io::Result<()> {
    let max_stacks = if options.all_stacks { usize::MAX } else { MAX_STACKS };
    let context = Context { report, base: options.base.as_deref(), max_stacks };
    let document = Document {
        version: VERSION,
        tool: Tool { name: "heapwise", version: &report.version },
        summary: context.summary(),
        notes: report.notes.iter().map(|note| clean(note).into_owned()).collect(),
        children: report.children.iter().map(child).collect(),
        findings: Findings { context: &context },
    };
    if options.compact {
        serde_json::to_writer(&mut *out, &document)?;
    } else {
        serde_json::to_writer_pretty(&mut *out, &document)?;
    }
    writeln!(out)
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    tool: Tool<'a>,
    summary: SummaryJson,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<ChildJson>,
    findings: Findings<'a>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct SummaryJson {
    findings: CountsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<ProgramJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heap: Option<HeapJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    phases: Vec<PhaseJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
}

#[derive(Serialize)]
struct CountsJson {
    error: u64,
    warning: u64,
    note: u64,
}

#[derive(Serialize)]
struct ProgramJson {
    command: Vec<String>,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<ExitJson>,
    duration_ns: u64,
    allocations: u64,
    frees: u64,
    allocated_bytes: u64,
    peak_bytes: u64,
    peak_at_ns: u64,
    /// Missing where the process was never sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_rss_bytes: Option<u64>,
    temporary: u64,
    live: TotalJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaks: Option<LeaksJson>,
}

/// A heap of a language's runtime.
#[derive(Serialize)]
struct HeapJson {
    bytes: u64,
    objects: u64,
    references: u64,
    /// Of the older snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<HeapBeforeJson>,
    classes: Vec<ClassJson>,
    /// Where objects that live at the end were made, by samples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sites: Vec<SampledJson>,
}

#[derive(Serialize)]
struct SampledJson {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<LocationJson>,
    stack: StackJson,
}

#[derive(Serialize)]
struct HeapBeforeJson {
    bytes: u64,
    objects: u64,
}

#[derive(Serialize)]
struct ClassJson {
    name: String,
    objects: u64,
    bytes: u64,
    retained_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    more_objects: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more_bytes: Option<i64>,
}

/// A part of the time that the program has named. All figures but times are differences to its begin.
#[derive(Serialize)]
struct PhaseJson {
    name: String,
    begin_ns: u64,
    duration_ns: u64,
    allocations: u64,
    allocated_bytes: u64,
    peak_bytes: u64,
    kept_bytes: u64,
    kept_blocks: u64,
    /// The greatest.
    sites: Vec<PhaseSiteJson>,
}

#[derive(Serialize)]
struct PhaseSiteJson {
    allocations: u64,
    peak_bytes: u64,
    kept_bytes: u64,
    kept_blocks: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<LocationJson>,
    #[serde(flatten)]
    stack: StackJson,
}

/// Both keys always: the contract shows `"signal": null`.
#[derive(Serialize)]
struct ExitJson {
    code: Option<u8>,
    signal: Option<u8>,
}

#[derive(Serialize)]
struct LeaksJson {
    definite: TotalJson,
    indirect: TotalJson,
    possible: TotalJson,
    reachable: TotalJson,
}

#[derive(Serialize)]
struct TotalJson {
    bytes: u64,
    blocks: u64,
}

#[derive(Serialize)]
struct ChildJson {
    command: String,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<ExitJson>,
    allocations: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaks: Option<LeaksJson>,
    errors: u64,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    severity: Severity,
    confidence: Confidence,
    engine: Engine,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<Language>,
    cwe: &'a [u16],
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<LocationJson>,
    #[serde(flatten)]
    stack: StackJson,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<RelatedJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<u64>,
    /// All stacks of the finding, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    stack_count: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stacks: Vec<ShareJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<HeldByJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<FixJson>,
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct LocationJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
}

#[derive(Serialize)]
struct FrameJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<Language>,
    #[serde(skip_serializing_if = "is_false")]
    inlined: bool,
    #[serde(skip_serializing_if = "is_false")]
    library: bool,
}

/// Part of the object whose stack it is.
#[derive(Serialize)]
struct StackJson {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stack: Vec<FrameJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack_left_out: Option<LeftOutJson>,
}

/// Frames that are missing in a deep stack, after so many of the list.
#[derive(Serialize)]
struct LeftOutJson {
    after: usize,
    frames: usize,
}

#[derive(Serialize)]
struct ShareJson {
    bytes: u64,
    blocks: u64,
    #[serde(flatten)]
    stack: StackJson,
}

#[derive(Serialize)]
#[serde(untagged)]
enum HeldByJson {
    Blocks(HeldJson),
    Objects(RetainersJson),
}

/// A chain of references from a root to the finding's object.
#[derive(Serialize)]
struct RetainersJson {
    path: String,
    chain: Vec<RetainerJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_left_out: Option<LeftOutStepsJson>,
    retained: TotalJson,
}

#[derive(Serialize)]
struct RetainerJson {
    object: String,
    /// How it refers to the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<LocationJson>,
}

/// A chain of pointers from a root to one of the finding's blocks.
#[derive(Serialize)]
struct HeldJson {
    root: RootJson,
    chain: Vec<StepJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_left_out: Option<LeftOutStepsJson>,
    retained: TotalJson,
}

#[derive(Serialize)]
struct RootJson {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
    /// Bytes into the variable; the module's own address where no variable is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

#[derive(Serialize)]
struct StepJson {
    bytes: u64,
    blocks: u64,
    /// Where in the block the pointer to the next step stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<LocationJson>,
}

#[derive(Serialize)]
struct LeftOutStepsJson {
    after: usize,
    steps: usize,
}

#[derive(Serialize)]
struct RelatedJson {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<LocationJson>,
    #[serde(flatten)]
    stack: StackJson,
}

#[derive(Serialize)]
struct FixJson {
    message: String,
    safety: Safety,
    edits: Vec<EditJson>,
}

#[derive(Serialize)]
struct EditJson {
    /// As it is: a tool opens it.
    path: String,
    line: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_column: Option<u32>,
    /// As it is: a tool writes it.
    insert: String,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Written one finding at a time, so that memory does not follow their number.
struct Findings<'a> {
    context: &'a Context<'a>,
}

impl Serialize for Findings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.context.report;
        let names = fingerprints(report, self.context.base);
        let mut list = serializer.serialize_seq(Some(report.findings.len()))?;
        for (finding, fingerprint) in report.findings.iter().zip(&names) {
            list.serialize_element(&self.context.finding(finding, fingerprint))?;
        }
        list.end()
    }
}

struct Context<'a> {
    report: &'a Report,
    base: Option<&'a Path>,
    max_stacks: usize,
}

impl<'a> Context<'a> {
    fn summary(&self) -> SummaryJson {
        let count =
            |severity| self.report.findings.iter().filter(|it| it.severity == severity).count() as u64;
        SummaryJson {
            findings: CountsJson {
                error: count(Severity::Error),
                warning: count(Severity::Warning),
                note: count(Severity::Note),
            },
            program: self.report.program.as_ref().map(program),
            heap: self.report.objects.as_ref().map(|it| self.heap(it)),
            phases: self.report.phases.iter().map(|it| self.phase(it)).collect(),
            recording: self.report.recording.as_deref().map(|path| clean(path).into_owned()),
            files: self.report.read.map(|it| it.files),
            lines: self.report.read.map(|it| it.lines),
        }
    }

    fn phase(&self, phase: &Phase) -> PhaseJson {
        let site = |it: &StackCost| PhaseSiteJson {
            allocations: it.allocations,
            peak_bytes: it.peak_bytes,
            kept_bytes: it.live_bytes,
            kept_blocks: it.live_blocks,
            location: self.location(&Place::Stack(it.stack)),
            stack: self.frames(it.stack),
        };
        PhaseJson {
            name: clean(&phase.name).into_owned(),
            begin_ns: phase.begin_ns,
            duration_ns: phase.end_ns - phase.begin_ns,
            allocations: phase.allocations,
            allocated_bytes: phase.allocated_bytes,
            peak_bytes: phase.peak_bytes,
            kept_bytes: phase.kept.bytes,
            kept_blocks: phase.kept.blocks,
            sites: phase.sites.iter().map(site).collect(),
        }
    }

    fn heap(&self, objects: &ObjectTotals) -> HeapJson {
        let site = |it: &Sampled| {
            let place = Place::Stack(it.stack);
            SampledJson { bytes: it.bytes, location: self.location(&place), stack: self.stack(&place) }
        };
        HeapJson { sites: self.report.sampled.iter().map(site).collect(), ..heap(objects) }
    }

    fn finding(&self, finding: &'a Finding, fingerprint: &'a str) -> FindingJson<'a> {
        FindingJson {
            rule: finding.rule.name(),
            kind: finding.kind.map(|kind| kind.name()),
            severity: finding.severity,
            confidence: finding.confidence,
            engine: finding.engine,
            language: place::language(self.report, finding),
            cwe: catalog::cwe(finding.rule, finding.kind),
            message: clean(&finding.message).into_owned(),
            location: self.location(&finding.place),
            stack: self.stack(&finding.place),
            related: finding.related.iter().map(|it| self.related(it)).collect(),
            bytes: finding.bytes,
            blocks: finding.blocks,
            stack_count: (!finding.stacks.is_empty()).then_some(finding.stacks.len()),
            stacks: finding.stacks.iter().take(self.max_stacks).map(|it| self.share(it)).collect(),
            held_by: self.held_by(finding),
            help: finding.help.as_deref().map(|help| clean(help).into_owned()),
            fix: finding.fix.as_ref().and_then(|fix| self.fix(fix)),
            fingerprint,
        }
    }

    fn path(&self, path: &str) -> String {
        sanitize::clean_to(&place::relative(path, self.base), MAX_PATH_CHARS).into_owned()
    }

    fn location(&self, place: &Place) -> Option<LocationJson> {
        let at: Located<'_> = place::locate_place(self.report, place)?;
        Some(LocationJson {
            path: at.path.map(|path| self.path(path)),
            line: at.line,
            column: at.column,
            end_line: at.end_line,
            end_column: at.end_column,
            function: at.function.map(|it| clean(it).into_owned()),
            module: at.module.map(|it| clean(it).into_owned()),
        })
    }

    fn stack(&self, place: &Place) -> StackJson {
        self.frames(place::stack_of(place).unwrap_or(StackId::UNKNOWN))
    }

    fn frames(&self, stack: StackId) -> StackJson {
        let Ends { inner, left_out, outer } = place::ends(self.report, stack, INNER_FRAMES, OUTER_FRAMES);
        StackJson {
            stack: inner.iter().chain(&outer).map(|it| self.frame(it)).collect(),
            stack_left_out: (left_out > 0).then_some(LeftOutJson { after: inner.len(), frames: left_out }),
        }
    }

    fn held(&self, held: &Held) -> HeldJson {
        let variable = held.variable.as_ref();
        let step = |it: &HeldStep| StepJson {
            bytes: it.total.bytes,
            blocks: it.total.blocks,
            offset: it.offset,
            location: self.location(&Place::Stack(it.stack)),
        };
        let after = held.steps.len().min(FIRST_STEPS);
        HeldJson {
            root: RootJson {
                kind: held::kind(held.kind),
                variable: variable.and_then(|it| it.name.as_deref()).map(|it| clean(it).into_owned()),
                offset: variable.map(|it| it.offset),
                module: variable.map(|it| clean(&it.module).into_owned()),
                address: (held.place != 0).then(|| format!("{:#x}", held.place)),
            },
            chain: held.steps.iter().map(step).collect(),
            chain_left_out: (held.left_out > 0).then_some(LeftOutStepsJson { after, steps: held.left_out }),
            retained: total(held.retained),
        }
    }

    fn held_by(&self, finding: &Finding) -> Option<HeldByJson> {
        match (&finding.held, &finding.retainers) {
            (Some(held), _) => Some(HeldByJson::Blocks(self.held(held))),
            (None, Some(held)) => Some(HeldByJson::Objects(self.retainers(held))),
            (None, None) => None,
        }
    }

    fn retainers(&self, held: &Retainers) -> RetainersJson {
        let step = |it: &RetainerStep| RetainerJson {
            object: clean(&it.object).into_owned(),
            reference: Some(clean(&it.reference).into_owned()).filter(|it| !it.is_empty()),
            location: it.place.clone().and_then(|it| self.location(&Place::Source(it))),
        };
        let after = held.steps.len().min(FIRST_STEPS);
        RetainersJson {
            path: retainers::path(held),
            chain: held.steps.iter().map(step).collect(),
            chain_left_out: (held.left_out > 0).then_some(LeftOutStepsJson { after, steps: held.left_out }),
            retained: total(held.retained),
        }
    }

    fn share(&self, share: &StackShare) -> ShareJson {
        let Total { bytes, blocks } = share.total;
        ShareJson { bytes, blocks, stack: self.frames(share.stack) }
    }

    fn frame(&self, frame: &ResolvedFrame) -> FrameJson {
        let at = Located::from(frame);
        FrameJson {
            function: at.function.map(|it| clean(it).into_owned()),
            path: at.path.map(|path| self.path(path)),
            line: at.line,
            column: at.column,
            module: at.module.map(|it| clean(it).into_owned()),
            address: format!("{:#x}", frame.offset),
            language: frame.language,
            inlined: frame.is_inlined,
            library: frame.is_library,
        }
    }

    fn related(&self, related: &Related) -> RelatedJson {
        RelatedJson {
            message: clean(&related.message).into_owned(),
            location: self.location(&related.place),
            stack: self.stack(&related.place),
        }
    }

    /// `None` for a fix that is too long to be one: half an edit would be worse than none.
    fn fix(&self, fix: &Fix) -> Option<FixJson> {
        let length = fix.edits.iter().fold(0usize, |sum, edit| sum.saturating_add(edit.insert.len()));
        (length <= MAX_INSERT_BYTES).then(|| FixJson {
            message: clean(&fix.message).into_owned(),
            safety: fix.safety,
            edits: fix.edits.iter().map(|edit| self.edit(&edit.location, &edit.insert)).collect(),
        })
    }

    fn edit(&self, at: &Location, insert: &str) -> EditJson {
        EditJson {
            path: place::relative(&at.path, self.base).into_owned(),
            line: at.line,
            column: at.column,
            end_line: at.end_line,
            end_column: at.end_column,
            insert: insert.to_owned(),
        }
    }
}

/// Linux takes paths of 4096 bytes.
const MAX_PATH_CHARS: usize = 4096;

fn program(program: &Program) -> ProgramJson {
    ProgramJson {
        command: program.command.iter().map(|word| clean(word).into_owned()).collect(),
        pid: program.pid,
        exit: program.exit.map(exit),
        duration_ns: program.duration_ns,
        allocations: program.allocations,
        frees: program.frees,
        allocated_bytes: program.allocated_bytes,
        peak_bytes: program.peak_bytes,
        peak_at_ns: program.peak_at_ns,
        peak_rss_bytes: Some(program.peak_rss_bytes).filter(|bytes| *bytes > 0),
        temporary: program.temporary,
        live: total(program.live),
        leaks: leaks(program.leaks),
    }
}

fn heap(objects: &ObjectTotals) -> HeapJson {
    let class = |it: &ClassTotal| ClassJson {
        name: clean(&it.name).into_owned(),
        objects: it.total.blocks,
        bytes: it.total.bytes,
        retained_bytes: it.retained_bytes,
        more_objects: it.change.map(|it| it.0),
        more_bytes: it.change.map(|it| it.1),
    };
    HeapJson {
        bytes: objects.total.bytes,
        objects: objects.total.blocks,
        references: objects.references,
        before: objects.before.map(|it| HeapBeforeJson { bytes: it.bytes, objects: it.blocks }),
        classes: objects.classes.iter().map(class).collect(),
        sites: Vec::new(),
    }
}

fn child(child: &Child) -> ChildJson {
    ChildJson {
        command: clean(&child.command).into_owned(),
        pid: child.pid,
        recording: child.recording.as_deref().map(|path| clean(path).into_owned()),
        exit: child.exit.map(exit),
        allocations: child.allocations,
        leaks: leaks(child.leaks),
        errors: child.errors,
    }
}

fn exit(exit: Termination) -> ExitJson {
    ExitJson { code: exit.code, signal: exit.signal }
}

fn leaks(leaks: LeakTotals) -> Option<LeaksJson> {
    leaks.map(|Leaks { definite, indirect, possible, reachable }| LeaksJson {
        definite: total(definite),
        indirect: total(indirect),
        possible: total(possible),
        reachable: total(reachable),
    })
}

fn total(total: Total) -> TotalJson {
    TotalJson { bytes: total.bytes, blocks: total.blocks }
}
