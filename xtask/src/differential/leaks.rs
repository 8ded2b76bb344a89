//! What a tool says a program leaked, in a form that two tools can be compared in.
//!
//! Per class the blocks and bytes; per class and call stack, the stack cut down to the frames of the program's own
//! source file (what the C library's insides are called differs by the tool's reading of its symbols).

use std::collections::BTreeMap;

use serde_json::Value;

pub const CLASSES: [&str; 4] = ["definite", "indirect", "possible", "reachable"];

/// A thread's vector of thread-local blocks has a slot of 16 bytes per module that has any (glibc's `dtv_t`). The
/// recorder is one such module more, so the block that `pthread_create` makes is that much greater.
const DTV_SLOT: u64 = 16;

/// `(function, line)`, innermost first.
pub type Stack = Vec<(String, u64)>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaks {
    /// Bytes and blocks, in the order of `CLASSES`.
    pub totals: [(u64, u64); 4],
    pub sites: BTreeMap<(usize, Stack), (u64, u64)>,
}

impl Leaks {
    fn add(&mut self, class: usize, stack: Stack, bytes: u64, blocks: u64) {
        let site = self.sites.entry((class, stack)).or_default();
        site.0 += bytes;
        site.1 += blocks;
    }

    /// Leaves out `bytes` that belong to the tool and not to the program.
    fn take_off(&mut self, class: usize, stack: &Stack, bytes: u64) {
        self.totals[class].0 -= bytes.min(self.totals[class].0);
        if let Some(site) = self.sites.get_mut(&(class, stack.clone())) {
            site.0 -= bytes.min(site.0);
        }
    }

    /// Whether all that differs is which blocks of lost rings count as heads; `rings` is how many there can be.
    ///
    /// memcheck goes through lost blocks by address. The first of a ring that it meets is definitely lost and all
    /// that this one leads to indirectly. A lost block further up that points at another member finds it taken, and
    /// the ring keeps its head; further down it would have been the head of all. Addresses differ between the two
    /// runs, so each ring may move bytes between the classes, and one block more or less may be definitely lost.
    pub fn differs_in_heads_only(&self, theirs: &Leaks, rings: u64) -> bool {
        let lost = |leaks: &Leaks| {
            let mut merged = leaks.clone();
            let (definite, indirect) = (merged.totals[0], merged.totals[1]);
            merged.totals[0] = (definite.0 + indirect.0, definite.1 + indirect.1);
            merged.totals[1] = (0, 0);
            let sites = std::mem::take(&mut merged.sites);
            for ((class, stack), (bytes, blocks)) in sites {
                merged.add(if class == 1 { 0 } else { class }, stack, bytes, blocks);
            }
            merged
        };
        let heads = self.totals[0].1.abs_diff(theirs.totals[0].1);
        heads <= rings && lost(self).differences(&lost(theirs)).is_empty()
    }

    /// Lines that say what differs; none when all is alike.
    pub fn differences(&self, theirs: &Leaks) -> Vec<String> {
        let mut lines = Vec::new();
        for (class, name) in CLASSES.iter().enumerate() {
            if self.totals[class] != theirs.totals[class] {
                lines.push(format!(
                    "{name}: heapwise {}, valgrind {}",
                    show(self.totals[class]),
                    show(theirs.totals[class])
                ));
            }
        }
        // Classes whose sites a tool does not list are compared by their totals only.
        let listed = |class: usize| self.sites.keys().any(|it| it.0 == class) || class == 0 || class == 2;
        let keys: std::collections::BTreeSet<_> = self.sites.keys().chain(theirs.sites.keys()).collect();
        for key in keys {
            let (ours, other) = (
                self.sites.get(key).copied().unwrap_or_default(),
                theirs.sites.get(key).copied().unwrap_or_default(),
            );
            if ours != other && listed(key.0) && !key.1.is_empty() {
                let stack: Vec<String> =
                    key.1.iter().map(|(function, line)| format!("{function}:{line}")).collect();
                lines.push(format!(
                    "  {} at {}: heapwise {}, valgrind {}",
                    CLASSES[key.0],
                    stack.join(" < "),
                    show(ours),
                    show(other)
                ));
            }
        }
        lines
    }
}

fn show((bytes, blocks): (u64, u64)) -> String {
    format!("{bytes} bytes in {blocks}")
}

/// `make(int)`, `make` and `ns::make<int>(int)` are one name to us.
fn plain(function: &str) -> String {
    function.split(['(', '<']).next().unwrap_or(function).to_string()
}

/// Reads Heapwise's JSON document.
pub fn of_heapwise(text: &str, source: &str) -> Result<Leaks, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| format!("heapwise's JSON: {error}"))?;
    let mut leaks = Leaks::default();
    let totals = &document["summary"]["program"]["leaks"];
    for (class, name) in CLASSES.iter().enumerate() {
        let number = |field: &str| {
            totals[name][field]
                .as_u64()
                .ok_or_else(|| format!("summary.program.leaks.{name}.{field} is missing"))
        };
        leaks.totals[class] = (number("bytes")?, number("blocks")?);
    }
    for finding in document["findings"].as_array().into_iter().flatten() {
        if finding["rule"] != "memory-leak" {
            continue;
        }
        let kind = finding["kind"].as_str().unwrap_or_default();
        let class = CLASSES
            .iter()
            .position(|it| *it == kind)
            .ok_or_else(|| format!("memory-leak of kind {kind:?}"))?;
        // One finding for a site; its stacks stand in it where there are several.
        let stacks = finding["stacks"].as_array().map(Vec::as_slice).unwrap_or(std::slice::from_ref(finding));
        if finding["stack_count"].as_u64().is_some_and(|it| it != stacks.len() as u64) {
            return Err(format!("not all of {} stacks are listed", finding["stack_count"]));
        }
        for it in stacks {
            add_stack(&mut leaks, class, it, source);
        }
    }
    Ok(leaks)
}

/// Adds a stack with its bytes and blocks.
fn add_stack(leaks: &mut Leaks, class: usize, share: &Value, source: &str) {
    let frames = share["stack"].as_array().map(Vec::as_slice).unwrap_or_default();
    let function = |frame: &Value| plain(frame["function"].as_str().unwrap_or("?"));
    let own = frames
        .iter()
        .filter(|frame| frame["path"].as_str().is_some_and(|path| path.rsplit('/').next() == Some(source)));
    let stack: Stack = own.map(|frame| (function(frame), frame["line"].as_u64().unwrap_or(0))).collect();
    let number = |field: &str| share[field].as_u64().unwrap_or(0);
    leaks.add(class, stack.clone(), number("bytes"), number("blocks"));
    if frames.iter().any(|frame| function(frame).contains("pthread_create")) {
        leaks.take_off(class, &stack, number("blocks") * DTV_SLOT);
    }
}

/// Reads valgrind's XML (protocol 4).
///
/// `leakedbytes` of a definite loss counts what it alone keeps alive too; the text beside it tells both, and only
/// the direct bytes are taken, as valgrind's own summary does.
pub fn of_valgrind(xml: &str, source: &str) -> Result<Leaks, String> {
    if !xml.contains("</valgrindoutput>") {
        return Err("valgrind's XML is cut".into());
    }
    let mut leaks = Leaks::default();
    for error in elements(xml, "error") {
        let kind = element(error, "kind").unwrap_or_default();
        let class = match kind {
            "Leak_DefinitelyLost" => 0,
            "Leak_IndirectlyLost" => 1,
            "Leak_PossiblyLost" => 2,
            "Leak_StillReachable" => 3,
            other => {
                return Err(format!(
                    "the program is wrong: {other}: {}",
                    element(error, "what").unwrap_or_default()
                ));
            }
        };
        let number = |name: &str| {
            element(error, name).and_then(|it| it.parse::<u64>().ok()).ok_or_else(|| format!("no {name}"))
        };
        let blocks = number("leakedblocks")?;
        let mut bytes = number("leakedbytes")?;
        let text = element(error, "text").unwrap_or_default();
        if let Some(direct) = text.split_once('(').and_then(|(_, rest)| rest.split_once(" direct")) {
            bytes = direct.0.replace(',', "").parse().map_err(|_| format!("{text:?}: no direct bytes"))?;
        }
        leaks.totals[class].0 += bytes;
        leaks.totals[class].1 += blocks;
        let frames = elements(element(error, "stack").unwrap_or_default(), "frame");
        let own = frames.filter(|frame| element(frame, "file") == Some(source));
        let stack = own.map(|frame| {
            let function = element(frame, "fn").unwrap_or("?").replace("&lt;", "<").replace("&gt;", ">");
            (plain(&function), element(frame, "line").and_then(|it| it.parse().ok()).unwrap_or(0))
        });
        leaks.add(class, stack.collect(), bytes, blocks);
    }
    Ok(leaks)
}

/// The insides of each `<name>` of `xml`; elements of one name do not nest in this format.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let begin = rest.find(&open)? + open.len();
        let end = begin + rest[begin..].find(&close)?;
        let inside = &rest[begin..end];
        rest = &rest[end + close.len()..];
        Some(inside)
    })
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    elements(xml, name).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<valgrindoutput><error><kind>Leak_DefinitelyLost</kind><xwhat><text>1,440 (1,040 direct, 400 indirect) bytes in 2 blocks are definitely lost</text><leakedbytes>1440</leakedbytes><leakedblocks>2</leakedblocks></xwhat><stack><frame><fn>malloc</fn></frame><frame><fn>make(int)</fn><file>p.c</file><line>7</line></frame></stack></error></valgrindoutput>";

    #[test]
    fn both_readers_agree() {
        let json = r#"{"summary": {"program": {"leaks": {"definite": {"bytes": 1040, "blocks": 2}, "indirect": {"bytes": 0, "blocks": 0},
            "possible": {"bytes": 0, "blocks": 0}, "reachable": {"bytes": 0, "blocks": 0}}}},
            "findings": [{"rule": "memory-leak", "kind": "definite", "bytes": 1040, "blocks": 2,
            "stack": [{"function": "malloc"}, {"function": "make", "path": "/x/p.c", "line": 7}]}]}"#;
        let (ours, theirs) = (of_heapwise(json, "p.c").unwrap(), of_valgrind(XML, "p.c").unwrap());
        assert_eq!(ours, theirs);
        assert!(ours.differences(&theirs).is_empty());
        assert_eq!(ours.differences(&Leaks::default()).len(), 2);
    }

    #[test]
    fn a_ring_may_have_another_head_but_not_another_size() {
        let leaks = |definite: u64, indirect: u64| {
            let mut leaks = Leaks::default();
            for (class, blocks) in [(0, definite), (1, indirect)] {
                leaks.totals[class] = (blocks * 8, blocks);
                if blocks > 0 {
                    leaks.add(class, vec![("make".into(), 7)], blocks * 8, blocks);
                }
            }
            leaks
        };
        assert!(leaks(2, 3).differs_in_heads_only(&leaks(1, 4), 1));
        assert!(!leaks(2, 3).differs_in_heads_only(&leaks(1, 4), 0));
        assert!(!leaks(3, 2).differs_in_heads_only(&leaks(1, 4), 1));
        assert!(!leaks(2, 3).differs_in_heads_only(&leaks(1, 3), 5));
    }

    #[test]
    fn a_cut_document_is_an_error() {
        assert!(of_valgrind(&XML[..90], "p.c").is_err());
    }
}
