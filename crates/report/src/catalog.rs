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
const RUN: &[Engine] = &[Engine::Run];

const CATALOG: &[CatalogEntry] = &[
    CatalogEntry {
        rule: Rule::MemoryLeak,
        kinds: &[Kind::Definite, Kind::Indirect, Kind::Possible, Kind::Reachable],
        cwe: &[401],
        languages: COMPILED,
        engines: RUN,
        title: "Memory is never freed",
        summary: "A heap block was still allocated when the program ended, or nothing pointed to it any more.",
        severity: Severity::Error,
        confidence: Confidence::Certain,
        security_severity: Some("5.3"),
    },
    CatalogEntry {
        rule: Rule::UnboundedGrowth,
        kinds: &[],
        cwe: &[770],
        languages: COMPILED,
        engines: RUN,
        title: "Live memory of an allocation site only grows",
        summary: "The live bytes of one allocation site rose through the whole run and never came down.",
        severity: Severity::Warning,
        confidence: Confidence::Likely,
        security_severity: Some("5.3"),
    },
    CatalogEntry {
        rule: Rule::DoubleFree,
        kinds: &[],
        cwe: &[415],
        languages: COMPILED,
        engines: RUN,
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
        engines: RUN,
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
        engines: RUN,
        title: "Allocation and deallocation functions do not belong together",
        summary: "A block was given back by another family of functions than the one it came from.",
        severity: Severity::Error,
        confidence: Confidence::Certain,
        security_severity: Some("5.9"),
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
        Rule::UnboundedGrowth => include_str!("pages/unbounded-growth.md"),
        Rule::DoubleFree => include_str!("pages/double-free.md"),
        Rule::InvalidFree => include_str!("pages/invalid-free.md"),
        Rule::MismatchedFree => include_str!("pages/mismatched-free.md"),
        Rule::TemporaryAllocations => include_str!("pages/temporary-allocations.md"),
    }
}

/// CWE numbers of one finding: narrower than the rule's where the kind decides.
pub fn cwe(rule: Rule, kind: Option<Kind>) -> &'static [u16] {
    match (rule, kind) {
        (Rule::InvalidFree, Some(Kind::Interior)) => &[761],
        (Rule::InvalidFree, Some(_)) => &[590],
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
