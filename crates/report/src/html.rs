//! The HTML page: one file that opens anywhere, without network and without a server.
//!
//! ```text
//!   page.html + page.css + *.js     as they stand in `html/`, put together here
//!   overview    JSON: verdict, figures, findings, timeline       -> DEFLATE -> base64
//!   trie        all stacks as one pre-order trie (see [`trie`])   -> DEFLATE -> base64
//! ```
//!
//! The overview stands before the script and the trie after it, so that a browser shows verdict
//! and findings while it still reads the stacks.
//!
//! Invariants: text of the observed program enters the page only inside the two compressed
//! blocks, from where the scripts set it as text, never as markup, and in the `noscript` table,
//! escaped. The content security policy names the hashes of the one script and the one style;
//! nothing else runs, nothing is fetched. Control and bidirectional characters are shown as
//! escapes by the crate's one sanitizer.
//!
//! Cost: linear in the stacks; a million distinct stacks make at most 8 MB.

mod overview;
mod trie;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use heapwise_model::Report;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");

/// In the order in which they build on each other.
const SCRIPTS: [&str; 6] = [
    include_str!("html/data.js"),
    include_str!("html/format.js"),
    include_str!("html/timeline.js"),
    include_str!("html/table.js"),
    include_str!("html/flame.js"),
    include_str!("html/main.js"),
];

/// Writes the page of `report`.
///
/// # Errors
/// What `out` fails with.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let script = script();
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        source_hash(&script),
        source_hash(STYLE),
    );
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (slot, after) = after.split_once("}}").expect("page.html closes its slots");
        out.write_all(before.as_bytes())?;
        match slot {
            "policy" => out.write_all(policy.as_bytes())?,
            "style" => out.write_all(STYLE.as_bytes())?,
            "script" => out.write_all(script.as_bytes())?,
            "findings" => overview::write_plain(out, report)?,
            "overview" => out.write_all(packed(&overview::encode(report))?.as_bytes())?,
            "trie" => out.write_all(packed(&trie::encode(report))?.as_bytes())?,
            _ => unreachable!("page.html has no other slot"),
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// All scripts in one scope of their own.
fn script() -> String {
    format!("(() => {{\n\"use strict\";\n{}}})();\n", SCRIPTS.concat())
}

/// A hash source of the content security policy.
fn source_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn packed(bytes: &[u8]) -> io::Result<String> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(7));
    encoder.write_all(bytes)?;
    Ok(STANDARD.encode(encoder.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_style_cannot_end_their_element() {
        for text in SCRIPTS.iter().chain([&STYLE]) {
            assert!(!text.contains("</script") && !text.contains("</style") && !text.contains("<!--"));
        }
    }

    #[test]
    fn the_policy_names_the_script_that_stands_in_the_page() {
        let mut page = Vec::new();
        write(&mut page, &Report::default()).unwrap();
        let page = String::from_utf8(page).unwrap();
        let script = page.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
        let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        assert!(page.contains(&source_hash(script)) && page.contains(&source_hash(style)));
        assert!(!page.contains("{{") && !page.contains("src=\"http") && !page.contains("href=\"http"));
    }
}
