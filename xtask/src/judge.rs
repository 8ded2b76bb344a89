//! `judge`: findings of `heapwise check` on real code, held against what was judged by hand.
//!
//! ```text
//! FOLDER/zlib-1.2.13.dfsg --heapwise check--> errors --+
//! tests/real_code/judged.md, section zlib-1.2.13.dfsg -+--> true, false, not judged yet; false per 50,000 lines
//! ```
//!
//! Fetches nothing: each folder holds one project, unpacked, and has the name that its section in the list has.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::paths;

/// Lines of code that one false error is allowed in.
const LINES_PER_FALSE: f64 = 50_000.0;

/// Where an error was seen: path within the project, line, rule.
type Key = (String, u64, String);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    True,
    False,
}

/// Verdicts of each project.
type Judged = BTreeMap<String, BTreeMap<Key, Verdict>>;

#[derive(Default)]
struct Score {
    lines: u64,
    is_true: usize,
    is_false: usize,
    open: usize,
    warnings: u64,
}

impl Score {
    fn add(&mut self, other: &Score) {
        self.lines += other.lines;
        self.is_true += other.is_true;
        self.is_false += other.is_false;
        self.open += other.open;
        self.warnings += other.warnings;
    }

    fn row(&self, name: &str) -> String {
        let per = self.is_false as f64 * LINES_PER_FALSE / self.lines.max(1) as f64;
        format!(
            "{name:<32}{:>9}{:>7}{:>7}{:>7}{:>10}{per:>12.2}",
            self.lines, self.is_true, self.is_false, self.open, self.warnings
        )
    }
}

pub fn main(folders: &[String]) -> Result<ExitCode, String> {
    if folders.is_empty() || folders.iter().any(|it| it.starts_with('-')) {
        return Err("give the folders of unpacked projects".to_owned());
    }
    let heapwise = paths::heapwise();
    if !heapwise.is_file() {
        return Err(format!("{} is not there: build it, or name a binary in HEAPWISE", heapwise.display()));
    }
    let list = paths::root().join("tests/real_code/judged.md");
    let text = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let judged = read(&text).map_err(|error| format!("{}: {error}", list.display()))?;
    let none = BTreeMap::new();
    let mut all = Score::default();
    let mut rows = Vec::new();
    for folder in folders {
        let folder = Path::new(folder);
        let name = folder.file_name().map_or_else(String::new, |it| it.to_string_lossy().into_owned());
        let score = check(folder, &heapwise, judged.get(&name).unwrap_or(&none))?;
        rows.push(score.row(&name));
        all.add(&score);
    }
    println!(
        "{:<32}{:>9}{:>7}{:>7}{:>7}{:>10}{:>12}",
        "errors", "lines", "true", "false", "open", "warnings", "false/50 k"
    );
    rows.iter().for_each(|it| println!("{it}"));
    println!("{}", all.row("all"));
    Ok(ExitCode::from(u8::from(all.open > 0)))
}

/// Checks a project and prints the errors that were not judged to be true.
fn check(folder: &Path, heapwise: &Path, judged: &BTreeMap<Key, Verdict>) -> Result<Score, String> {
    let failed = |what: &str| format!("{}: {what}", folder.display());
    let mut command = Command::new(heapwise);
    command.args(["check", "--format", "json", "--fail-on", "never"]).current_dir(folder);
    let output = command.output().map_err(|error| failed(&error.to_string()))?;
    let document: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(&format!("{error}: {}", String::from_utf8_lossy(&output.stderr))))?;
    let mut score =
        Score { lines: document["summary"]["lines"].as_u64().unwrap_or_default(), ..Score::default() };
    for finding in document["findings"].as_array().into_iter().flatten() {
        match finding["severity"].as_str() {
            Some("error") => {}
            Some("warning") => {
                score.warnings += 1;
                continue;
            }
            _ => continue,
        }
        let place = &finding["location"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let line = place["line"].as_u64().unwrap_or_default();
        let path = text(&place["path"]);
        let key = (path.trim_start_matches("./").to_owned(), line, text(&finding["rule"]));
        let word = match judged.get(&key) {
            Some(Verdict::True) => {
                score.is_true += 1;
                continue;
            }
            Some(Verdict::False) => {
                score.is_false += 1;
                "false"
            }
            None => {
                score.open += 1;
                "open"
            }
        };
        println!("{word:<6} {}/{}:{line} {}: {}", folder.display(), key.0, key.2, text(&finding["message"]));
    }
    Ok(score)
}

/// Reads sections `## NAME` with rows `| PATH:LINE | RULE | true or false | why |`.
fn read(text: &str) -> Result<Judged, String> {
    let mut judged = Judged::new();
    let mut project = String::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("## ") {
            project = title.split_whitespace().next().unwrap_or_default().to_owned();
            continue;
        }
        let cells: Vec<&str> =
            line.trim().trim_matches('|').split('|').map(|it| it.trim().trim_matches('`')).collect();
        let [place, rule, verdict, ..] = cells[..] else { continue };
        let verdict = match verdict {
            "true" => Verdict::True,
            "false" => Verdict::False,
            _ => continue,
        };
        let (path, line) = place
            .rsplit_once(':')
            .and_then(|(path, line)| Some((path, line.parse().ok()?)))
            .ok_or_else(|| format!("line {}: {place:?} is not PATH:LINE", number + 1))?;
        judged.entry(project.clone()).or_default().insert((path.to_owned(), line, rule.to_owned()), verdict);
    }
    Ok(judged)
}

#[cfg(test)]
mod tests {
    use super::{Verdict, read};

    #[test]
    fn verdicts_belong_to_the_section_they_stand_in() {
        let text = "# Judged\n\n## a-1.0 (1,000 lines)\n\n| error | rule | verdict | why |\n|---|---|---|---|\n\
                    | `src/x.c:12` | `double-free` | true | freed in both branches |\n\
                    ## b-2\n| `y.c:3` | `memory-leak` | false | kept in a list |\n";
        let judged = read(text).expect("well formed");
        let a = ("src/x.c".to_owned(), 12, "double-free".to_owned());
        let b = ("y.c".to_owned(), 3, "memory-leak".to_owned());
        assert_eq!(judged["a-1.0"].get(&a), Some(&Verdict::True));
        assert_eq!(judged["b-2"].get(&b), Some(&Verdict::False));
        assert_eq!(judged["a-1.0"].len() + judged["b-2"].len(), 2);
    }

    #[test]
    fn a_row_without_a_line_is_told() {
        assert!(read("## a\n| `x.c` | `double-free` | true | |\n").is_err());
    }
}
