//! A scenario: what to do on a page, as a file says it.
//!
//! ```toml
//! url = "http://localhost:8080/"
//! repeat = 5
//! setup = [{ click = "#accept" }]
//! action = [{ click = "#open" }, { type = "#name", text = "Ada" }, { press = "Enter" }, { wait_for = ".done" }]
//! back = [{ click = "#close" }]
//! ```

use crate::Failure;
use crate::args::duration;
use crate::config::advice;
use heapwise_run::page::{Scenario, Step};
use std::path::Path;
use std::time::Duration;
use toml::{Table, Value};

const KEYS: [&str; 5] = ["url", "repeat", "setup", "action", "back"];
const STEPS: [&str; 8] = ["click", "type", "press", "wait", "wait_for", "eval", "open", "back"];
/// Turns between two snapshots where nothing else is said.
const REPEAT: u32 = 5;
const REPEAT_MAX: i64 = 10_000;

/// What `path` says, of `url` where one is given.
pub fn read(path: Option<&Path>, url: Option<&str>) -> Result<Scenario, Failure> {
    let mut scenario = match path {
        None => Scenario { repeat: REPEAT, ..Scenario::default() },
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(format!("cannot read {}: {error}", path.display()), "is the path right?")
            })?;
            parse(&text).map_err(|(message, advice)| Failure::Told {
                message: format!("{}: {message}", path.display()),
                advice,
            })?
        }
    };
    if let Some(url) = url {
        scenario.url = url.to_owned();
    }
    if scenario.url.is_empty() {
        return Err(Failure::new(
            "no page is named",
            "heapwise run --page URL, or url = \"...\" in the scenario",
        ));
    }
    scenario.url = as_url(&scenario.url);
    Ok(scenario)
}

/// A path of a file is a URL, too; `localhost:8080` is one of HTTP.
fn as_url(text: &str) -> String {
    if text.contains("://") || text.starts_with("data:") || text.starts_with("about:") {
        return text.to_owned();
    }
    match std::fs::canonicalize(text) {
        Ok(path) => format!("file://{}", path.display()),
        Err(_) => format!("http://{text}"),
    }
}

/// What is wrong, and what to try.
type Wrong = (String, Option<String>);

fn parse(text: &str) -> Result<Scenario, Wrong> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| (error.to_string(), None))?;
    let mut scenario = Scenario { repeat: REPEAT, ..Scenario::default() };
    for (key, value) in &table {
        match (key.as_str(), value) {
            ("url", Value::String(url)) => scenario.url = url.clone(),
            ("repeat", Value::Integer(repeat @ 1..=REPEAT_MAX)) => scenario.repeat = *repeat as u32,
            ("setup", Value::Array(steps)) => scenario.setup = all(key, steps)?,
            ("action", Value::Array(steps)) => scenario.action = all(key, steps)?,
            ("back", Value::Array(steps)) => scenario.back = all(key, steps)?,
            (known, _) if KEYS.contains(&known) => {
                let expected = match known {
                    "url" => "a text",
                    "repeat" => "a number from 1 to 10000",
                    _ => "a list of steps",
                };
                return Err((format!("{known}: expected {expected}, found {value}"), None));
            }
            _ => return Err((format!("unknown key {key}"), Some(advice("", key, KEYS.into_iter())))),
        }
    }
    Ok(scenario)
}

fn all(key: &str, steps: &[Value]) -> Result<Vec<Step>, Wrong> {
    let numbered = steps.iter().zip(1..);
    let one = |(value, number)| step(value).map_err(|it| (format!("{key}, step {number}: {}", it.0), it.1));
    numbered.map(one).collect()
}

fn step(value: &Value) -> Result<Step, Wrong> {
    if value.as_str() == Some("back") {
        return Ok(Step::Back);
    }
    let expected = || (format!("expected a step, as in {{ click = \"#open\" }}, found {value}"), None);
    let table = value.as_table().ok_or_else(expected)?;
    let Some((name, of)) = table.iter().find(|it| it.0 != "text") else { return Err(expected()) };
    let text = || {
        of.as_str().map(str::to_owned).ok_or_else(|| (format!("{name}: expected a text, found {of}"), None))
    };
    let more = table.keys().find(|it| *it != name && (it.as_str() != "text" || name != "type"));
    if let Some(more) = more {
        return Err((format!("{name} and {more} are two steps, or one does not belong there"), None));
    }
    Ok(match name.as_str() {
        "click" => Step::Click(text()?),
        "type" => {
            let typed = table.get("text").and_then(Value::as_str);
            let typed = typed.ok_or_else(|| {
                ("type: what is typed is missing".to_owned(), Some("add text = \"...\"".to_owned()))
            })?;
            Step::Type { into: text()?, text: typed.to_owned() }
        }
        "press" => Step::Press(text()?),
        "wait" => {
            let number = of.as_integer().and_then(|it| u64::try_from(it).ok()).map(Duration::from_millis);
            let time = number.or_else(|| of.as_str().and_then(duration));
            Step::Wait(
                time.ok_or_else(|| (format!("wait: expected a time, as in \"500ms\", found {of}"), None))?,
            )
        }
        "wait_for" => Step::WaitFor(text()?),
        "eval" => Step::Eval(text()?),
        "open" => Step::Open(as_url(&text()?)),
        "back" => Step::Back,
        _ => return Err((format!("unknown step {name}"), Some(advice("", name, STEPS.into_iter())))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_all_kinds() {
        let scenario = parse(
            "url = \"http://x/\"\nrepeat = 3\nsetup = [{ wait = 20 }]\naction = [{ click = \"#a\" }, { type = \"#b\", text = \"c\" },\n\
             { press = \"Enter\" }, { wait = \"2s\" }, { wait_for = \"d\" }, { eval = \"e()\" }, { open = \"http://y/\" }]\nback = [\"back\"]",
        )
        .unwrap();
        assert_eq!((&*scenario.url, scenario.repeat), ("http://x/", 3));
        assert_eq!(scenario.setup, [Step::Wait(Duration::from_millis(20))]);
        assert_eq!(
            scenario.action,
            [
                Step::Click("#a".to_owned()),
                Step::Type { into: "#b".to_owned(), text: "c".to_owned() },
                Step::Press("Enter".to_owned()),
                Step::Wait(Duration::from_secs(2)),
                Step::WaitFor("d".to_owned()),
                Step::Eval("e()".to_owned()),
                Step::Open("http://y/".to_owned()),
            ]
        );
        assert_eq!(scenario.back, [Step::Back]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| parse(text).unwrap_err();
        assert_eq!(wrong("ulr = 1"), ("unknown key ulr".to_owned(), Some("did you mean url?".to_owned())));
        assert_eq!(wrong("repeat = 0").0, "repeat: expected a number from 1 to 10000, found 0");
        let (message, advice) = wrong("action = [{ clik = \"a\" }]");
        assert_eq!(
            (&*message, advice.as_deref()),
            ("action, step 1: unknown step clik", Some("did you mean click?"))
        );
        assert!(wrong("action = [{ click = \"a\", press = \"b\" }]").0.contains("two steps"));
        assert!(wrong("action = [{ type = \"a\" }]").0.contains("missing"));
        assert!(wrong("back = [7]").0.starts_with("back, step 1: expected a step"));
        assert!(wrong("action = [{ wait = \"soon\" }]").0.contains("expected a time"));
    }
}
