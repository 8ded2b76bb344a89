//! What each rule means, as data: for `heapwise rules`, SARIF, CWE numbers, and `heapwise explain`.
//!
//! One row per rule that this version can find. The page of a rule is Markdown in `pages/`.

use heapwise_model::{Confidence, Engine, Kind, Language, Rule, Severity};

/// One rule, described.
#[derive(Clone, Copy, Debug)]
pub struct CatalogEntry {
    /// The rule.
    pub rule: Rule,
    /// Its variants; empty where there is only one.
    pub kinds: &'static [Kind],
    /// CWE numbers of the rule, all kinds together.
    pub cwe: &'static [u16],
    /// Languages it applies to.
    pub languages: &'static [Language],
    /// Engines that find it.
    pub engines: &'static [Engine],
    /// A short title.
    pub title: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Severity of most of its findings.
    pub severity: Severity,
    /// Confidence of its findings.
    pub confidence: Confidence,
    /// CVSS-like score 0.1 to 10.0 for code scanning; `None`: not a security matter.
    pub security_severity: Option<&'static str>,
}

/// Compiled languages whose heap `run` sees.
const COMPILED: &[Language] = &[Language::C, Language::Cpp, Language::Rust, Language::Native];
/// Languages whose sources `check` reads.
const NATIVE: &[Language] = &[Language::C, Language::Cpp];
const PYTHON: &[Language] = &[Language::Python];
const SCRIPTS: &[Language] = &[Language::Python, Language::JavaScript, Language::TypeScript];
const NATIVE_SCRIPTS: &[Language] =
    &[Language::C, Language::Cpp, Language::Python, Language::JavaScript, Language::TypeScript];
const COMPILED_SCRIPTS: &[Language] = &[
    Language::C,
    Language::Cpp,
    Language::Rust,
    Language::Native,
    Language::Python,
    Language::JavaScript,
    Language::TypeScript,
];
const RUN: &[Engine] = &[Engine::Run];
const CHECK: &[Engine] = &[Engine::Check];
const BOTH: &[Engine] = &[Engine::Run, Engine::Check];
const ALL: &[Engine] = &[Engine::Run, Engine::Check, Engine::Snapshot];
const CHECK_SNAPSHOT: &[Engine] = &[Engine::Check, Engine::Snapshot];
const SNAPSHOT: &[Engine] = &[Engine::Snapshot];

const CATALOG: &[CatalogEntry] = &[
    CatalogEntry {
        rule: Rule::MemoryLeak,
        kinds: &[Kind::Definite, Kind::Indirect, Kind::Possible, Kind::Reachable],
        cwe: &[401],
        languages: COMPILED,
        engines: BOTH,
        title: "Memory is never freed",
        summary: "A heap block was still allocated when the program ended, or nothing pointed to it any more.",
        severity: Severity::Error,
        confidence: Confidence::Certain,
        security_severity: Some("5.3"),
    },
    CatalogEntry {
        rule: Rule::ResourceLeak,
        kinds: &[
            Kind::File,
            Kind::Socket,
            Kind::Serial,
            Kind::Process,
            Kind::Thread,
            Kind::Lock,
            Kind::Figure,
            Kind::Mapping,
            Kind::Descriptor,
        ],
        cwe: &[772, 775],
        languages: NATIVE_SCRIPTS,
        engines: BOTH,
        title: "A resource is never given back",
        summary: "A file, socket, lock or other resource was opened, and on some path it is never closed.",
        severity: Severity::Error,
        confidence: Confidence::Proven,
        security_severity: Some("5.3"),
    },
    CatalogEntry {
        rule: Rule::UnboundedGrowth,
        kinds: &[Kind::List, Kind::Map, Kind::Set, Kind::Queue, Kind::Cache, Kind::String, Kind::Registry],
        cwe: &[770],
        languages: COMPILED_SCRIPTS,
        engines: ALL,
        title: "Something long-lived only grows",
        summary: "A container, or the live memory of an allocation site, grows with the work done and never shrinks.",
        severity: Severity::Warning,
        confidence: Confidence::Likely,
        security_severity: Some("5.3"),
    },
    CatalogEntry {
        rule: Rule::ReferenceCycle,
        kinds: &[Kind::Uncollected, Kind::Finalizer, Kind::Closure],
        cwe: &[401],
        languages: PYTHON,
        engines: CHECK_SNAPSHOT,
        title: "Objects keep each other alive",
        summary: "Objects that hold each other are freed only by the cycle collector, late or never.",
        severity: Severity::Warning,
        confidence: Confidence::Proven,
        security_severity: None,
    },
    CatalogEntry {
        rule: Rule::RetainedObject,
        kinds: &[
            Kind::Closure,
            Kind::Listener,
            Kind::Timer,
            Kind::Global,
            Kind::DetachedNode,
            Kind::WeakMissing,
        ],
        cwe: &[401],
        languages: SCRIPTS,
        engines: CHECK_SNAPSHOT,
        title: "An object is held that nobody needs",
        summary: "Something long-lived still refers to an object whose work is done.",
        severity: Severity::Warning,
        confidence: Confidence::Proven,
        security_severity: None,
    },
    CatalogEntry {
        rule: Rule::UseAfterFree,
        kinds: &[Kind::Read, Kind::Write, Kind::Call, Kind::Return],
        cwe: &[416],
        languages: NATIVE,
        engines: CHECK,
        title: "A freed block is used",
        summary: "A block is read, written, returned or passed on after it was freed.",
        severity: Severity::Error,
        confidence: Confidence::Proven,
        security_severity: Some("8.1"),
    },
    CatalogEntry {
        rule: Rule::DoubleFree,
        kinds: &[],
        cwe: &[415],
        languages: COMPILED,
        engines: BOTH,
        title: "A block is freed twice",
        summary: "A pointer was passed to a deallocation function after its block had been freed already.",
        severity: Severity::Error,
        confidence: Confidence::Certain,
        security_severity: Some("8.1"),
    },
    CatalogEntry {
        rule: Rule::InvalidFree,
        kinds: &[Kind::Interior, Kind::Stack, Kind::Global, Kind::Wild],
        cwe: &[590, 761],
        languages: COMPILED,
        engines: BOTH,
        title: "What is freed is not the start of a heap block",
        summary: "A deallocation function got a pointer that no allocation function had returned.",
        severity: Severity::Error,
        confidence: Confidence::Certain,
        security_severity: Some("7.5"),
    },
    CatalogEntry {
        rule: Rule::MismatchedFree,
        kinds: &[],
        cwe: &[762],
        languages: COMPILED,
        engines: BOTH,
        title: "An allocation and its free do not belong together",
        summary: "A block was given back by another family of functions than the one it came from.",
        severity: Severity::Error,
        confidence: Confidence::Certain,
        security_severity: Some("5.9"),
    },
    CatalogEntry {
        rule: Rule::HeapOverflow,
        kinds: &[Kind::Read, Kind::Write, Kind::UnderflowRead, Kind::UnderflowWrite],
        cwe: &[122, 124, 126, 127],
        languages: NATIVE,
        engines: CHECK,
        title: "A heap block is accessed outside its bounds",
        summary: "An offset lies before the start or behind the end of a heap block.",
        severity: Severity::Error,
        confidence: Confidence::Proven,
        security_severity: Some("8.1"),
    },
    CatalogEntry {
        rule: Rule::StackBufferOverflow,
        kinds: &[Kind::Read, Kind::Write, Kind::UnderflowRead, Kind::UnderflowWrite],
        cwe: &[121, 124, 126, 127],
        languages: NATIVE,
        engines: CHECK,
        title: "An array is accessed outside its bounds",
        summary: "An offset lies before the start or behind the end of a local or global array.",
        severity: Severity::Error,
        confidence: Confidence::Proven,
        security_severity: Some("8.1"),
    },
    CatalogEntry {
        rule: Rule::UndersizedAllocation,
        kinds: &[],
        cwe: &[131],
        languages: NATIVE,
        engines: CHECK,
        title: "A block is too small for what it is for",
        summary: "The size that is asked for is smaller than what the pointer stands for.",
        severity: Severity::Error,
        confidence: Confidence::Proven,
        security_severity: Some("7.5"),
    },
    CatalogEntry {
        rule: Rule::UninitializedRead,
        kinds: &[Kind::Heap, Kind::Stack, Kind::Syscall],
        cwe: &[457, 908],
        languages: NATIVE,
        engines: CHECK,
        title: "A value is used that was never written",
        summary: "A decision, an index or a result depends on memory that nothing was written to.",
        severity: Severity::Error,
        confidence: Confidence::Proven,
        security_severity: Some("5.9"),
    },
    CatalogEntry {
        rule: Rule::NullDereference,
        kinds: &[Kind::UncheckedAllocation, Kind::Null],
        cwe: &[476, 690],
        languages: NATIVE,
        engines: CHECK,
        title: "A null pointer is accessed",
        summary: "A pointer that is null, or an unchecked result of an allocation, is read or written through.",
        severity: Severity::Error,
        confidence: Confidence::Proven,
        security_severity: Some("5.3"),
    },
    CatalogEntry {
        rule: Rule::DanglingStackAddress,
        kinds: &[Kind::Return, Kind::Store],
        cwe: &[562],
        languages: NATIVE,
        engines: CHECK,
        title: "The address of a local outlives it",
        summary: "A local variable's address is returned, or kept where the caller sees it.",
        severity: Severity::Error,
        confidence: Confidence::Proven,
        security_severity: Some("7.5"),
    },
    CatalogEntry {
        rule: Rule::OverlappingCopy,
        kinds: &[],
        cwe: &[628],
        languages: NATIVE,
        engines: CHECK,
        title: "Memory is copied between ranges that overlap",
        summary: "Source and destination of memcpy, strcpy or the like overlap.",
        severity: Severity::Error,
        confidence: Confidence::Proven,
        security_severity: Some("5.9"),
    },
    CatalogEntry {
        rule: Rule::RacyLazyInit,
        kinds: &[],
        cwe: &[362, 543],
        languages: PYTHON,
        engines: CHECK,
        title: "Shared state is set after a check, without a lock",
        summary: "Two threads can both find a shared name unset, and both set it.",
        severity: Severity::Warning,
        confidence: Confidence::Proven,
        security_severity: None,
    },
    CatalogEntry {
        rule: Rule::RacySharedState,
        kinds: &[Kind::CheckThenAct, Kind::IterateWhileModified, Kind::InconsistentLock],
        cwe: &[362, 366],
        languages: SCRIPTS,
        engines: CHECK,
        title: "Shared state changes between check and use",
        summary: "Another thread can change what was just checked, or is being iterated.",
        severity: Severity::Warning,
        confidence: Confidence::Proven,
        security_severity: None,
    },
    CatalogEntry {
        rule: Rule::ThreadNeverStopped,
        kinds: &[Kind::Thread, Kind::Timer, Kind::Task],
        cwe: &[404],
        languages: PYTHON,
        engines: BOTH,
        title: "A thread is started that no path ends",
        summary: "A thread, timer or task is started, and nothing stops it or waits for it.",
        severity: Severity::Warning,
        confidence: Confidence::Proven,
        security_severity: None,
    },
    CatalogEntry {
        rule: Rule::EagerSequence,
        kinds: &[Kind::List, Kind::ReadAll],
        cwe: &[1325],
        languages: SCRIPTS,
        engines: CHECK,
        title: "A whole sequence is built where an iterator does",
        summary: "A list is built, or a file read whole, only to be walked once.",
        severity: Severity::Note,
        confidence: Confidence::Proven,
        security_severity: None,
    },
    CatalogEntry {
        rule: Rule::DeepNesting,
        kinds: &[],
        cwe: &[674],
        languages: PYTHON,
        engines: CHECK,
        title: "Depth follows the data",
        summary: "A recursion, or a structure it makes, is as deep as the data says.",
        severity: Severity::Warning,
        confidence: Confidence::Proven,
        security_severity: None,
    },
    CatalogEntry {
        rule: Rule::TemporaryAllocations,
        kinds: &[],
        cwe: &[],
        languages: COMPILED,
        engines: RUN,
        title: "A hot site allocates blocks that die at once",
        summary: "Most blocks of a busy allocation site were freed before the same thread allocated again.",
        severity: Severity::Note,
        confidence: Confidence::Certain,
        security_severity: None,
    },
    CatalogEntry {
        rule: Rule::DuplicateContent,
        kinds: &[Kind::String, Kind::Object],
        cwe: &[],
        languages: SCRIPTS,
        engines: SNAPSHOT,
        title: "The same content is held many times",
        summary: "Many strings of the heap say the same, and each has memory of its own.",
        severity: Severity::Note,
        confidence: Confidence::Certain,
        security_severity: None,
    },
];

/// All rules, in the contract's order.
pub fn catalog() -> &'static [CatalogEntry] {
    CATALOG
}

/// The row of a rule.
pub fn entry(rule: Rule) -> &'static CatalogEntry {
    CATALOG.iter().find(|entry| entry.rule == rule).expect("a test walks all rules")
}

/// The page of a rule, as Markdown.
pub fn page(rule: Rule) -> &'static str {
    match rule {
        Rule::MemoryLeak => include_str!("pages/memory-leak.md"),
        Rule::ResourceLeak => include_str!("pages/resource-leak.md"),
        Rule::UnboundedGrowth => include_str!("pages/unbounded-growth.md"),
        Rule::ReferenceCycle => include_str!("pages/reference-cycle.md"),
        Rule::RetainedObject => include_str!("pages/retained-object.md"),
        Rule::UseAfterFree => include_str!("pages/use-after-free.md"),
        Rule::DoubleFree => include_str!("pages/double-free.md"),
        Rule::InvalidFree => include_str!("pages/invalid-free.md"),
        Rule::MismatchedFree => include_str!("pages/mismatched-free.md"),
        Rule::HeapOverflow => include_str!("pages/heap-overflow.md"),
        Rule::StackBufferOverflow => include_str!("pages/stack-buffer-overflow.md"),
        Rule::UndersizedAllocation => include_str!("pages/undersized-allocation.md"),
        Rule::UninitializedRead => include_str!("pages/uninitialized-read.md"),
        Rule::NullDereference => include_str!("pages/null-dereference.md"),
        Rule::DanglingStackAddress => include_str!("pages/dangling-stack-address.md"),
        Rule::OverlappingCopy => include_str!("pages/overlapping-copy.md"),
        Rule::RacyLazyInit => include_str!("pages/racy-lazy-init.md"),
        Rule::RacySharedState => include_str!("pages/racy-shared-state.md"),
        Rule::ThreadNeverStopped => include_str!("pages/thread-never-stopped.md"),
        Rule::EagerSequence => include_str!("pages/eager-sequence.md"),
        Rule::DeepNesting => include_str!("pages/deep-nesting.md"),
        Rule::TemporaryAllocations => include_str!("pages/temporary-allocations.md"),
        Rule::DuplicateContent => include_str!("pages/duplicate-content.md"),
    }
}

/// CWE numbers of one finding: narrower than the rule's where the kind decides.
pub fn cwe(rule: Rule, kind: Option<Kind>) -> &'static [u16] {
    match (rule, kind) {
        (Rule::InvalidFree, Some(Kind::Interior)) => &[761],
        (Rule::InvalidFree, Some(_)) => &[590],
        (Rule::HeapOverflow, Some(Kind::Write)) => &[122],
        (Rule::StackBufferOverflow, Some(Kind::Write)) => &[121],
        (Rule::HeapOverflow | Rule::StackBufferOverflow, Some(Kind::Read)) => &[126],
        (Rule::HeapOverflow | Rule::StackBufferOverflow, Some(Kind::UnderflowRead)) => &[127],
        (Rule::HeapOverflow | Rule::StackBufferOverflow, Some(Kind::UnderflowWrite)) => &[124],
        (Rule::NullDereference, Some(Kind::UncheckedAllocation)) => &[690],
        (Rule::NullDereference, Some(Kind::Null)) => &[476],
        _ => entry(rule).cwe,
    }
}

/// A name as JSON and the catalog write it.
pub fn language_name(language: Language) -> &'static str {
    match language {
        Language::C => "c",
        Language::Cpp => "c++",
        Language::Rust => "rust",
        Language::Python => "python",
        Language::JavaScript => "javascript",
        Language::TypeScript => "typescript",
        Language::Native => "native",
    }
}

/// A name as JSON and the catalog write it.
pub fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Run => "run",
        Engine::Check => "check",
        Engine::Snapshot => "snapshot",
    }
}
