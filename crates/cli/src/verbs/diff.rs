//! `heapwise diff OLD NEW`.

use super::heap_snapshot;
use crate::args::{Common, Diff, Format};
use crate::config::Config;
use crate::output::{self, Stream};
use crate::{Failure, analyze};
use heapwise_heap::{SiteChange, diff};
use heapwise_model::{Report, StackCost};
use heapwise_report::fingerprint::fingerprints;
use heapwise_report::names::short;
use heapwise_report::numbers::{grouped, human_bytes};
use heapwise_report::place::{self, frame_name};
use heapwise_report::sanitize::clean;
use heapwise_report::{Metric, sites};
use std::collections::BTreeSet;
use std::io::{self, Write};

pub fn run(args: &Diff, common: &Common) -> Result<u8, Failure> {
    if heap_snapshot::is_snapshot(&args.old) || heap_snapshot::is_snapshot(&args.new) {
        return heap_snapshot::diff(args, common);
    }
    if !args.later.is_empty() {
        return Err(Failure::new(
            "two recordings can be compared, not more",
            "heapwise diff OLD NEW; only heap snapshots can be three or more",
        ));
    }
    let config = Config::load(common.config.as_deref())?;
    let load = |path: &std::path::Path| -> Result<Report, Failure> {
        let observation = super::report::read(path, common)?;
        let mut report =
            analyze::report(&observation, analyze::Names::All, &super::report::filter(common, &config));
        report.recording = Some(path.display().to_string());
        Ok(report)
    };
    let old = load(&args.old)?;
    let mut new = load(&args.new)?;
    let changes = diff(costs(&old), costs(&new));
    // What the old recording had, too, is not new.
    let known: BTreeSet<String> = fingerprints(&old, output::base().as_deref()).into_iter().collect();
    let prints = fingerprints(&new, output::base().as_deref());
    let findings = std::mem::take(&mut new.findings);
    new.findings =
        findings.into_iter().zip(prints).filter(|(_, it)| !known.contains(it)).map(|(it, _)| it).collect();
    match common.format {
        Format::Text => output::with(common, Stream::Output, |out, color| {
            table(out, &old, &new, &changes, args)?;
            if new.findings.is_empty() {
                writeln!(out, "\nno new findings")
            } else {
                writeln!(out, "\nnew findings:\n")?;
                heapwise_report::text::write(out, &new, &output::text_options(common, Stream::Output, color))
            }
        })?,
        _ => output::findings(&new, common, Stream::Output)?,
    }
    Ok(u8::from(output::fails(&new, common)))
}

/// A site that means the same in both recordings: its function, file and module, without lines.
type Key = String;

/// Figures by site.
fn costs(report: &Report) -> Vec<(Key, StackCost)> {
    sites::sites(report, Metric::Allocations)
        .into_iter()
        .map(|site| {
            let inside = place::site_index(report, site.cost.stack).map_or(0, |it| it.0);
            let frames = report.resolved(site.cost.stack).skip(inside);
            let own = frames.filter(|it| !it.is_library).take(2).map(|it| frame_name(it).into_owned());
            let own: Vec<String> = own.collect();
            let place = site.place.unwrap_or_default();
            let name =
                if own.is_empty() { place.function.unwrap_or("?").to_owned() } else { own.join(" < ") };
            let file = place.path.map(place::file_name).or(place.module).unwrap_or("");
            (format!("{name} ({file})"), site.cost)
        })
        .collect()
}

fn table(
    out: &mut dyn Write,
    old: &Report,
    new: &Report,
    changes: &[SiteChange<Key>],
    args: &Diff,
) -> io::Result<()> {
    let figure = |cost: &StackCost| args.by.of(cost);
    let show = |value: u64| if args.by.is_bytes() { human_bytes(value) } else { grouped(value) };
    let signed = |value: i128| {
        let sign = if value < 0 { "-" } else { "+" };
        format!("{sign}{}", show(u64::try_from(value.unsigned_abs()).unwrap_or(u64::MAX)))
    };
    let mut rows: Vec<_> = changes.iter().filter(|it| it.change(figure) != 0).collect();
    rows.sort_by_key(|it| (std::cmp::Reverse(it.change(figure)), it.key.clone()));
    let sum = |report: &Report| report.costs.iter().map(figure).fold(0u64, u64::saturating_add);
    writeln!(out, "{}, old to new: {} -> {}\n", args.by.heading(), show(sum(old)), show(sum(new)))?;
    if rows.is_empty() {
        return writeln!(out, "nothing changed");
    }
    for row in rows.iter().take(args.limit) {
        let value = |cost: &Option<StackCost>| show(cost.as_ref().map_or(0, figure));
        writeln!(
            out,
            "{:>12}  {:>12} -> {:<12} {}",
            signed(row.change(figure)),
            value(&row.old),
            value(&row.new),
            clean(&short(&row.key))
        )?;
    }
    if rows.len() > args.limit {
        writeln!(out, "and {} more (--limit N shows more)", rows.len() - args.limit)?;
    }
    Ok(())
}
