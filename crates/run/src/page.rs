//! A page in a browser: opened, worked on again and again, its heap looked at before and between.
//!
//! ```text
//!   open, set up, (action, back) x warm   -> snapshot 1
//!   (action, back) x repeat               -> snapshot 2
//!   (action, back) x repeat               -> snapshot 3
//! ```
//!
//! Each time the page is back where it was: what came with the first half and is there after the second, and has grown
//! by as much again, is what each turn leaves behind. Without an action the page is left to itself for as long.

mod browser;
mod protocol;

use crate::sys;
use browser::Browser;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a user does on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first element that a CSS selector finds.
    Click(String),
    /// Text into that element.
    Type {
        into: String,
        text: String,
    },
    /// A key of its name: `Enter`, `Escape`, `Tab`, `a`.
    Press(String),
    Wait(Duration),
    /// Until a selector finds something.
    WaitFor(String),
    /// A line of JavaScript; of a promise, its end.
    Eval(String),
    Open(String),
    /// To the entry before in the page's history.
    Back,
}

/// What is to be done on a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    pub url: String,
    /// Once, after the page was opened.
    pub setup: Vec<Step>,
    pub action: Vec<Step>,
    /// What undoes the action. Empty: back in history, if the action has moved the page on.
    pub back: Vec<Step>,
    /// Turns between two snapshots.
    pub repeat: u32,
}

/// Turns before the first snapshot: what is made once is made then.
const WARM_UP: u32 = 2;
/// How long a page without an action is left to itself between two snapshots.
const IDLE: Duration = Duration::from_secs(3);
/// How long a page may load, until its network is idle, and until an element appears.
const LOAD_MAX: Duration = Duration::from_secs(30);
const QUIET_MAX: Duration = Duration::from_secs(5);
const APPEAR_MAX: Duration = Duration::from_secs(10);
/// What a page does about a step is mostly done after this.
const SETTLE: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(50);
/// Between two signs of life of a browser that writes a snapshot.
const SNAPSHOT_MAX: Duration = Duration::from_secs(300);
/// Bytes of all scripts that are kept.
const SCRIPTS_MAX: usize = 256 << 20;

/// Why a page could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error("no Chromium or Chrome is installed")]
    NoBrowser,
    #[error("{path} could not be started: {source}", path = path.display())]
    Start { path: PathBuf, source: std::io::Error },
    #[error("the browser ended, or said what it should not")]
    Gone,
    #[error("the browser does not answer {method}")]
    Silent { method: String },
    #[error("{method}: {reason}")]
    Refused { method: String, reason: String },
    #[error("{url} could not be opened: {reason}")]
    Load { url: String, reason: String },
    #[error("turn {turn}, {step}: {reason}")]
    Step { turn: u32, step: String, reason: String },
    #[error("a heap snapshot could not be written to {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// A folder of our own in the system's temporary one; goes with its last user.
pub struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// `kind` is the end of its name.
    pub fn new(kind: &str) -> std::io::Result<PrivateFolder> {
        let name = format!("heapwise-{}-{:016x}.{kind}", std::process::id(), sys::stamp());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(PrivateFolder(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // Who was killed a moment ago may still write.
        for _ in 0..50 {
            if std::fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// By URL.
pub type Texts = BTreeMap<String, String>;

/// What was seen of a page.
pub struct Visited {
    /// Three, in `folder`.
    pub snapshots: Vec<PathBuf>,
    /// Text of scripts by URL, as far as they are not files of this system.
    pub scripts: Texts,
    /// Where scripts say that their source maps are, or the maps themselves.
    pub maps: Texts,
    pub turns: u32,
    pub duration: Duration,
}

/// Does what `scenario` says; snapshots are written to `folder`.
pub fn visit(
    scenario: &Scenario,
    browser: Option<&Path>,
    folder: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Visited, PageError> {
    let began = Instant::now();
    let mut browser = Browser::start(&browser::find(browser)?)?;
    let mut page = Page::open(&mut browser)?;
    progress("opening");
    page.load(&scenario.url)?;
    for step in &scenario.setup {
        page.step(step, 0)?;
    }
    let repeat = scenario.repeat.max(1);
    let mut turns = 0;
    let mut snapshots = Vec::new();
    for (number, count) in [(1, WARM_UP), (2, repeat), (3, repeat)] {
        if scenario.action.is_empty() {
            progress("waiting");
            std::thread::sleep(IDLE);
        } else {
            for _ in 0..count {
                turns += 1;
                progress(&format!("turn {turns} of {}", WARM_UP + 2 * repeat));
                page.turn(scenario, turns)?;
            }
        }
        progress(&format!("snapshot {number} of 3"));
        let path = folder.join(format!("{number}.heapsnapshot"));
        page.snapshot(&path)?;
        snapshots.push(path);
    }
    let (scripts, maps) = page.scripts()?;
    Ok(Visited { snapshots, scripts, maps, turns, duration: began.elapsed() })
}

struct Page<'a> {
    browser: &'a mut Browser,
}

impl Page<'_> {
    fn open(browser: &mut Browser) -> Result<Page<'_>, PageError> {
        let mut page = Page { browser };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = page.call("Target.attachToTarget", attach)?;
        page.browser.connection.attach(attached["sessionId"].as_str().unwrap_or_default());
        for domain in ["Page.enable", "HeapProfiler.enable"] {
            page.call(domain, json!({}))?;
        }
        page.call("Page.setLifecycleEventsEnabled", json!({"enabled": true}))?;
        Ok(page)
    }

    fn call(&mut self, method: &str, params: Value) -> Result<Value, PageError> {
        self.browser.connection.call(method, params)
    }

    /// Opens a URL, and waits until it is loaded and its network idle.
    fn load(&mut self, url: &str) -> Result<(), PageError> {
        let failed = |reason: &str| PageError::Load { url: url.to_owned(), reason: reason.to_owned() };
        let answer = self.call("Page.navigate", json!({"url": url}))?;
        if let Some(reason) = answer["errorText"].as_str() {
            return Err(failed(reason));
        }
        // Without a loader the page has only moved within itself.
        if answer["loaderId"].is_string() {
            let is_loaded = self.wait_for_life("load", LOAD_MAX)?;
            if !is_loaded {
                return Err(failed("it does not end loading"));
            }
            self.wait_for_life("networkIdle", QUIET_MAX)?;
        }
        self.settle();
        Ok(())
    }

    fn wait_for_life(&mut self, name: &str, limit: Duration) -> Result<bool, PageError> {
        let mut is = |it: &protocol::Event| it.method == "Page.lifecycleEvent" && it.params["name"] == name;
        Ok(self.browser.connection.event(Instant::now() + limit, &mut is)?.is_some())
    }

    fn settle(&self) {
        std::thread::sleep(SETTLE);
    }

    /// The value of JavaScript in the page, or why there is none.
    fn eval(&mut self, expression: &str) -> Result<Result<Value, String>, PageError> {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let answer = match self.call("Runtime.evaluate", params) {
            // The page went elsewhere meanwhile.
            Err(PageError::Refused { reason, .. }) => return Ok(Err(reason)),
            other => other?,
        };
        let thrown = &answer["exceptionDetails"];
        if thrown.is_null() {
            return Ok(Ok(answer["result"]["value"].clone()));
        }
        let text = thrown["exception"]["description"].as_str().or(thrown["text"].as_str());
        Ok(Err(text.unwrap_or("it throws").lines().next().unwrap_or_default().to_owned()))
    }

    fn turn(&mut self, scenario: &Scenario, turn: u32) -> Result<(), PageError> {
        let before = self.address()?;
        for step in &scenario.action {
            self.step(step, turn)?;
        }
        for step in &scenario.back {
            self.step(step, turn)?;
        }
        if scenario.back.is_empty() && self.address()? != before {
            self.step(&Step::Back, turn)?;
        }
        Ok(())
    }

    fn address(&mut self) -> Result<Value, PageError> {
        Ok(self.eval("location.href")?.unwrap_or_default())
    }

    fn step(&mut self, step: &Step, turn: u32) -> Result<(), PageError> {
        let done: Result<(), String> = match step {
            Step::Click(selector) => self.click(selector)?,
            Step::Type { into, text } => self.type_text(into, text)?,
            Step::Press(key) => {
                self.press(key)?;
                Ok(())
            }
            Step::Wait(time) => {
                std::thread::sleep(*time);
                Ok(())
            }
            Step::WaitFor(selector) => self.appear(selector)?.map(|_| ()),
            Step::Eval(code) => self.eval(code)?.map(|_| ()),
            Step::Open(url) => {
                self.load(url)?;
                Ok(())
            }
            Step::Back => self.eval("history.back()")?.map(|_| ()),
        };
        self.settle();
        done.map_err(|reason| PageError::Step { turn, step: step.to_string(), reason })
    }

    /// The middle of the first element that a selector finds, in view; waits until there is one.
    fn appear(&mut self, selector: &str) -> Result<Result<(f64, f64), String>, PageError> {
        let find = format!(
            "(() => {{ const it = document.querySelector({}); if (!it) return null; \
             it.scrollIntoView({{ block: 'center', inline: 'center' }}); const at = it.getBoundingClientRect(); \
             return [at.x + at.width / 2, at.y + at.height / 2]; }})()",
            json!(selector)
        );
        let until = Instant::now() + APPEAR_MAX;
        loop {
            match self.eval(&find)? {
                Err(reason) => return Ok(Err(reason)),
                Ok(Value::Array(at)) => {
                    let number = |it: usize| at.get(it).and_then(Value::as_f64).unwrap_or(0.0);
                    return Ok(Ok((number(0), number(1))));
                }
                Ok(_) if Instant::now() > until => return Ok(Err("there is no such element".to_owned())),
                Ok(_) => std::thread::sleep(POLL),
            }
        }
    }

    fn click(&mut self, selector: &str) -> Result<Result<(), String>, PageError> {
        let (x, y) = match self.appear(selector)? {
            Ok(at) => at,
            Err(reason) => return Ok(Err(reason)),
        };
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({"type": kind, "x": x, "y": y, "button": button, "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event)?;
        }
        Ok(Ok(()))
    }

    fn type_text(&mut self, into: &str, text: &str) -> Result<Result<(), String>, PageError> {
        if let Err(reason) = self.appear(into)? {
            return Ok(Err(reason));
        }
        if let Err(reason) = self.eval(&format!("document.querySelector({}).focus()", json!(into)))? {
            return Ok(Err(reason));
        }
        self.call("Input.insertText", json!({"text": text}))?;
        Ok(Ok(()))
    }

    fn press(&mut self, key: &str) -> Result<(), PageError> {
        let text = match key {
            "Enter" => "\r",
            _ if key.chars().count() == 1 => key,
            _ => "",
        };
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "Backspace" => 8,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", event)?;
        }
        Ok(())
    }

    /// Writes a heap snapshot, without garbage.
    fn snapshot(&mut self, path: &Path) -> Result<(), PageError> {
        let failed = |source| PageError::Write { path: path.to_owned(), source };
        self.call("HeapProfiler.collectGarbage", json!({}))?;
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        let mut written = Ok(());
        let mut put = |event: protocol::Event| {
            let chunk = event.params["chunk"].as_str();
            if let (true, Ok(()), Some(text)) =
                (event.method == "HeapProfiler.addHeapSnapshotChunk", &written, chunk)
            {
                written = file.write_all(text.as_bytes());
            }
        };
        let params = json!({"reportProgress": false});
        let take = "HeapProfiler.takeHeapSnapshot";
        self.browser.connection.call_with(take, params, SNAPSHOT_MAX, &mut put)?;
        written.and_then(|()| file.flush()).map_err(failed)
    }

    /// Scripts of the page, and where their source maps are.
    fn scripts(&mut self) -> Result<(Texts, Texts), PageError> {
        let mut known = Vec::new();
        let mut note = |event: protocol::Event| {
            if event.method == "Debugger.scriptParsed" {
                known.push(event.params);
            }
        };
        self.browser.connection.call_with("Debugger.enable", json!({}), LOAD_MAX, &mut note)?;
        let (mut scripts, mut maps) = (Texts::new(), Texts::new());
        let mut bytes = 0;
        for script in known {
            let Some(url) = script["url"].as_str().filter(|it| !it.is_empty()) else { continue };
            if let Some(map) = script["sourceMapURL"].as_str().filter(|it| !it.is_empty()) {
                maps.insert(url.to_owned(), map.to_owned());
            }
            if url.starts_with("file:") || scripts.contains_key(url) {
                continue;
            }
            let answer = self.call("Debugger.getScriptSource", json!({"scriptId": script["scriptId"]}))?;
            let text = answer["scriptSource"].as_str().unwrap_or_default();
            bytes += text.len();
            if bytes > SCRIPTS_MAX {
                break;
            }
            scripts.insert(url.to_owned(), text.to_owned());
        }
        Ok((scripts, maps))
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Click(selector) => write!(out, "click {selector}"),
            Step::Type { into, .. } => write!(out, "type into {into}"),
            Step::Press(key) => write!(out, "press {key}"),
            Step::Wait(time) => write!(out, "wait {} ms", time.as_millis()),
            Step::WaitFor(selector) => write!(out, "wait for {selector}"),
            Step::Eval(code) => write!(out, "eval {code}"),
            Step::Open(url) => write!(out, "open {url}"),
            Step::Back => write!(out, "back"),
        }
    }
}
