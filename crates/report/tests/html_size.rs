//! Holds the size of the HTML page; the browser test holds its time and memory.

#[path = "../examples/sample_report.rs"]
mod sample_report;

/// A million distinct stacks in at most 8 MB, whole page.
#[test]
fn a_million_stacks_fit_in_eight_megabytes() {
    let report = sample_report::large(1_030_000);
    assert!(report.costs.len() >= 1_000_000, "{} stacks", report.costs.len());
    // Every frame of the table has a callee that allocates, or does so itself.
    assert!(report.stacks.len() >= 1_780_000, "{} frames of the trie", report.stacks.len());
    let mut page = Vec::new();
    heapwise_report::html::write(&mut page, &report).unwrap();
    println!("{} stacks, {} frames: {} bytes", report.costs.len(), report.stacks.len(), page.len());
    assert!(page.len() <= 8_000_000, "{} bytes", page.len());
}

/// Names of the program stand nowhere in the page as they are, but escaped in the plain table.
#[test]
fn hostile_names_are_not_markup() {
    let mut page = Vec::new();
    heapwise_report::html::write(&mut page, &sample_report::hostile()).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert_eq!(page.matches("<script").count(), 3, "overview, script, trie");
    assert!(!page.contains("alert(1)<") && !page.contains("onerror=alert(1)>"));
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    assert!(!page.contains(['\u{202e}', '\u{2066}', '\u{1b}', '\0']));
}
