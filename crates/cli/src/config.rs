//! `heapwise.toml`: what to leave out, and defaults.
//!
//! Unknown keys are errors that name the nearest known one.

use crate::{Failure, analyze};
use globset::{Glob, GlobMatcher};
use heapwise_check::models::Models;
use heapwise_model::{Finding, Kind, Place, Report, Rule};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What the file says; all empty where there is none.
#[derive(Default)]
pub struct Config {
    pub suppress: Vec<Suppress>,
    pub free_stacks: Option<bool>,
    /// `[check]`: only these rules, if there are any.
    pub select: Vec<Rule>,
    /// `[check]`: all but these rules.
    pub ignore: Vec<Rule>,
    /// `[check]`: files and folders that are left out.
    pub exclude: Vec<Glob>,
    /// `[check.per-file]`: files, and the rules that are not reported there.
    per_file: Vec<(GlobMatcher, Vec<Rule>)>,
    /// `[[function]]`: what functions of the user's libraries do, as a table of models.
    pub models: Option<String>,
    /// All of the file and its place: what tells two configurations apart.
    pub identity: String,
    /// Where the file stands: globs of files are told from there.
    folder: PathBuf,
}

/// A finding of a run that is left out: every key that is given must match.
pub struct Suppress {
    rule: Option<Rule>,
    kind: Option<Kind>,
    function: Option<GlobMatcher>,
    module: Option<GlobMatcher>,
    path: Option<GlobMatcher>,
}

const FILE: &str = "heapwise.toml";
const TOP: [&str; 4] = ["run", "suppress", "check", "function"];
const RUN: [&str; 1] = ["free-stacks"];
const CHECK: [&str; 4] = ["select", "ignore", "exclude", "per-file"];
const SUPPRESS: [&str; 5] = ["rule", "kind", "function", "module", "path"];

/// What to say of a name that is not known: the nearest one, where one is near.
pub fn advice<'a>(prefix: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known.clone().map(|it| (distance(name, it), it)).min();
    match nearest.filter(|(distance, it)| *distance <= it.chars().count().div_ceil(2)) {
        Some((_, it)) => format!("did you mean {prefix}{it}?"),
        None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl Config {
    /// Reads `explicit`, or the nearest file upward from the current folder.
    pub fn load(explicit: Option<&Path>) -> Result<Config, Failure> {
        let path = match explicit {
            Some(path) => path.to_owned(),
            None => match find() {
                Some(path) => path,
                None => return Ok(Config::default()),
            },
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display()), None))?;
        let here = std::env::current_dir().unwrap_or_default();
        let shown = path.strip_prefix(here).unwrap_or(&path).display();
        let mut config =
            Config::parse(&text).map_err(|message| Failure::new(format!("{shown}: {message}"), None))?;
        let path = std::path::absolute(&path)?;
        config.identity = format!("{}\n{text}", path.display());
        config.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(config)
    }

    fn parse(text: &str) -> Result<Config, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        known_keys(&table, &TOP, "")?;
        let mut config = Config::default();
        if let Some(run) = table.get("run") {
            let run = run.as_table().ok_or("[run] must be a table")?;
            known_keys(run, &RUN, "run.")?;
            if let Some(value) = run.get("free-stacks") {
                config.free_stacks =
                    Some(value.as_bool().ok_or_else(|| {
                        format!("run.free-stacks must be true or false, {}", but_is(value))
                    })?);
            }
        }
        if let Some(check) = table.get("check") {
            let check = check.as_table().ok_or("[check] must be a table")?;
            known_keys(check, &CHECK, "check.")?;
            config.select = rules_of(check, "select", "check")?;
            config.ignore = rules_of(check, "ignore", "check")?;
            for text in strings(check, "exclude", "check")? {
                let glob = Glob::new(text).map_err(|error| format!("check.exclude: {error}"))?;
                config.exclude.push(glob);
            }
            if let Some(table) = check.get("per-file") {
                let table = table.as_table().ok_or("[check.per-file] must be a table")?;
                for files in table.keys() {
                    let glob = Glob::new(files).map_err(|error| format!("check.per-file: {error}"))?;
                    let rules = rules_of(table, files, "check.per-file")?;
                    config.per_file.push((glob.compile_matcher(), rules));
                }
            }
        }
        config.models = models(&table)?;
        if let Some(list) = table.get("suppress") {
            let list = list.as_array().ok_or("suppress must be an array of tables: [[suppress]]")?;
            for entry in list {
                config.suppress.push(Suppress::parse(entry)?);
            }
        }
        Ok(config)
    }

    /// Whether `[check.per-file]` leaves a finding of `check` out.
    pub fn is_ignored_in_file(&self, finding: &Finding) -> bool {
        let Place::Source(at) = &finding.place else { return false };
        let path = Path::new(&at.path);
        let absolute = std::path::absolute(path).unwrap_or_default();
        let inside = absolute.strip_prefix(&self.folder).unwrap_or(path);
        self.per_file.iter().any(|(glob, rules)| {
            rules.contains(&finding.rule) && (glob.is_match(inside) || glob.is_match(path))
        })
    }

    /// Whether the file says to leave this finding out.
    pub fn suppresses(&self, report: &Report, finding: &Finding) -> bool {
        self.suppress.iter().any(|it| it.matches(report, finding))
    }
}

fn find() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|it| it.join(FILE)).find(|it| it.is_file())
}

/// The tables of models, checked.
fn models(table: &Table) -> Result<Option<String>, String> {
    let Some(list) = table.get("function") else { return Ok(None) };
    let entries = list.as_array().ok_or("function must be an array of tables: [[function]]")?;
    for entry in entries {
        let entry = entry.as_table().ok_or("[[function]] must be a table")?;
        known_keys(entry, heapwise_check::models::KEYS, "function.")?;
    }
    let text = Table::from_iter([("function".to_owned(), list.clone())]).to_string();
    Models::default().add("[[function]]", &text).map_err(|error| error.to_string())?;
    Ok(Some(text))
}

/// An array of strings; empty where the key is missing.
fn strings<'a>(table: &'a Table, key: &str, prefix: &str) -> Result<Vec<&'a str>, String> {
    let Some(value) = table.get(key) else { return Ok(Vec::new()) };
    let list = value.as_array().and_then(|it| it.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    list.ok_or_else(|| format!("{prefix}.{key} must be an array of strings, {}", but_is(value)))
}

/// Of which type a value is instead.
fn but_is(value: &Value) -> String {
    match value {
        Value::Array(list) => match list.iter().find(|it| !it.is_str()) {
            Some(it) => format!("but holds {it}"),
            None => "but is another array".to_owned(),
        },
        other => format!("but is {other}"),
    }
}

fn rules_of(table: &Table, key: &str, prefix: &str) -> Result<Vec<Rule>, String> {
    strings(table, key, prefix)?.into_iter().map(rule).collect()
}

fn rule(name: &str) -> Result<Rule, String> {
    Rule::from_name(name)
        .ok_or_else(|| format!("no rule {name}; {}", advice("", name, Rule::ALL.iter().map(|it| it.name()))))
}

fn known_keys(table: &Table, known: &[&str], prefix: &str) -> Result<(), String> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            Err(format!("unknown key {prefix}{key}; {}", advice(prefix, key, known.iter().copied())))
        }
    }
}

impl Suppress {
    fn parse(entry: &Value) -> Result<Suppress, String> {
        let table = entry.as_table().ok_or("[[suppress]] must be a table")?;
        known_keys(table, &SUPPRESS, "suppress.")?;
        if table.is_empty() {
            return Err("[[suppress]] without a key would leave out everything".to_owned());
        }
        let text = |key: &str| match table.get(key) {
            None => Ok(None),
            Some(Value::String(it)) => Ok(Some(it.as_str())),
            Some(_) => Err(format!("suppress.{key} must be a string")),
        };
        let glob = |key: &str| -> Result<Option<GlobMatcher>, String> {
            text(key)?
                .map(|it| Glob::new(it).map(|it| it.compile_matcher()))
                .transpose()
                .map_err(|error| format!("suppress.{key}: {error}"))
        };
        let rule = text("rule")?.map(rule).transpose()?;
        let kind = match text("kind")? {
            None => None,
            Some(name) => Some(Kind::from_name(name).ok_or_else(|| {
                format!("no kind {name}; {}", advice("", name, Kind::ALL.iter().map(|it| it.name())))
            })?),
        };
        Ok(Suppress { rule, kind, function: glob("function")?, module: glob("module")?, path: glob("path")? })
    }

    fn matches(&self, report: &Report, finding: &Finding) -> bool {
        let has = |glob: &Option<GlobMatcher>, text: fn(&heapwise_model::ResolvedFrame) -> Option<&str>| {
            glob.as_ref().is_none_or(|glob| {
                analyze::frames_of(report, finding)
                    .any(|frame| text(frame).is_some_and(|it| glob.is_match(it)))
            })
        };
        self.rule.is_none_or(|it| it == finding.rule)
            && self.kind.is_none_or(|it| Some(it) == finding.kind)
            && has(&self.function, |it| it.function.as_deref())
            && has(&self.module, |it| Some(&it.module))
            && has(&self.path, |it| it.path.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_name_the_nearest() {
        let error = |text: &str| Config::parse(text).err().expect("refused");
        assert_eq!(error("[rum]\n"), "unknown key rum; did you mean run?");
        assert_eq!(
            error("[[suppress]]\nfuntion = \"x\"\n"),
            "unknown key suppress.funtion; did you mean suppress.function?"
        );
        assert_eq!(
            error("[[suppress]]\nrule = \"memory-leek\"\n"),
            "no rule memory-leek; did you mean memory-leak?"
        );
        assert!(error("[[suppress]]\n").contains("everything"));
        // A guess that is far off helps nobody.
        assert_eq!(error("[x]\n"), "unknown key x; known are run, suppress, check, function");
        assert_eq!(error("[check]\nselect = 3\n"), "check.select must be an array of strings, but is 3");
        assert!(error("[check]\nselect = [\"a\", 1]\n").ends_with("but holds 1"));
    }

    #[test]
    fn what_check_is_told() {
        let config = Config::parse("[check]\nignore = [\"double-free\"]\nexclude = [\"third_party\"]\n");
        let config = config.expect("valid");
        assert_eq!((config.ignore, config.exclude.len()), (vec![Rule::DoubleFree], 1));
        let error = |text: &str| Config::parse(text).err().expect("refused");
        assert!(error("[check]\nselect = \"double-free\"\n").contains("array of strings"));
        assert!(error("[check]\nselect = [\"double-fre\"]\n").contains("double-free"));
        assert!(error("[check]\nexcluded = []\n").contains("check.exclude"));
    }

    #[test]
    fn rules_are_left_out_per_file() {
        let text = "[check.per-file]\n\"tests/**\" = [\"memory-leak\"]\n\"*.gen.c\" = [\"double-free\"]\n";
        let config = Config::parse(text).expect("valid");
        let finding = |rule, path: &str| {
            let at = heapwise_model::Location { path: path.to_owned(), ..Default::default() };
            let finding = Finding {
                rule,
                kind: None,
                severity: heapwise_model::Severity::Error,
                confidence: heapwise_model::Confidence::Proven,
                engine: heapwise_model::Engine::Check,
                language: None,
                message: String::new(),
                place: Place::Source(at),
                related: Vec::new(),
                help: None,
                bytes: None,
                blocks: None,
                stacks: Vec::new(),
                held: None,
                retainers: None,
                fix: None,
            };
            config.is_ignored_in_file(&finding)
        };
        assert!(finding(Rule::MemoryLeak, "tests/sub/a.c"));
        assert!(finding(Rule::DoubleFree, "src/x.gen.c"));
        assert!(!finding(Rule::DoubleFree, "tests/a.c"));
        assert!(!finding(Rule::MemoryLeak, "src/tests.c"));
        let error = |text: &str| Config::parse(text).err().expect("refused");
        assert!(error("[check.per-file]\n\"a\" = [\"memory-leek\"]\n").contains("did you mean memory-leak?"));
        assert!(error("[check.per-file]\n\"a\" = 1\n").contains("array of strings"));
    }

    #[test]
    fn users_models_are_checked() {
        let models = |text: &str| Config::parse(text).map(|it| it.models);
        let known = models("[[function]]\nnames = [\"pool_get\"]\nallocates = \"pool\"\nbytes = \"a1\"\n");
        assert!(known.expect("valid").is_some_and(|it| it.contains("pool_get")));
        let error = |text: &str| models(text).expect_err("refused");
        let unknown = error("[[function]]\nnames = [\"f\"]\nalocates = \"pool\"\n");
        assert_eq!(unknown, "unknown key function.alocates; did you mean function.allocates?");
        assert!(error("[[function]]\nnames = [\"f\"]\nallocates = \"p\"\nbytes = \"b7\"\n").contains("size"));
        assert!(error("[[function]]\nallocates = \"p\"\n").contains("names"));
    }

    #[test]
    fn every_given_key_must_match() {
        let config = Config::parse(
            "[[suppress]]\nrule = \"memory-leak\"\nkind = \"reachable\"\n[run]\nfree-stacks = false\n",
        )
        .expect("valid");
        assert_eq!(config.suppress.len(), 1);
        assert_eq!(config.free_stacks, Some(false));
    }
}
