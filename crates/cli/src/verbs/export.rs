//! `heapwise export --to FORMAT RECORDING`.

use crate::args::{Common, Export, Target};
use crate::output::{self, Stream};
use crate::{Failure, analyze};
use heapwise_report::{firefox, folded, pprof, speedscope, valgrind_xml};
use heapwise_run::Observation;
use heapwise_trace::{Addr, Event, Family, recording};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::Path;

pub fn run(args: &Export, common: &Common) -> Result<u8, Failure> {
    let is_binary = args.to == Target::Pprof;
    if is_binary && common.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::new("pprof is a binary format", "add --output app.pb.gz"));
    }
    let observation = super::report::read(&args.recording, common)?;
    let report = analyze::by_stack(&observation);
    output::with(common, Stream::Output, |out, _| match args.to {
        Target::Pprof => {
            pprof::write(out, &report, &pprof::PprofOptions { modules: observation.modules.clone() })
        }
        Target::Folded => folded::write(out, &report, &folded::FoldedOptions { metric: args.by }),
        Target::Speedscope => {
            speedscope::write(out, &report, &speedscope::SpeedscopeOptions { base: output::base() })
        }
        Target::ValgrindXml => valgrind_xml::write(out, &report, &Default::default()),
        Target::Firefox => {
            let options =
                firefox::FirefoxOptions { start_unix_ns: observation.start_unix_ns, ..Default::default() };
            let events = allocations(&args.recording, &observation, options.max_allocations as usize);
            let dropped = firefox::write(out, &report, events.into_iter(), &options)?;
            if dropped > 0 && !common.quiet {
                anstream::eprintln!(
                    "note: {dropped} later allocations are left out to keep the profile loadable"
                );
            }
            Ok(())
        }
    })?;
    Ok(0)
}

/// Allocations and frees with addresses; no more than `limit`.
fn allocations(path: &Path, _: &Observation, limit: usize) -> Vec<firefox::Allocation> {
    let mut live: HashMap<Addr, u64> = HashMap::new();
    let mut all = Vec::new();
    let mut add = |at_ns: u64, thread, addr: Addr, bytes: i64, stack| {
        if all.len() < limit {
            all.push(firefox::Allocation { at_ns, thread, addr: addr.0, bytes, stack });
        }
    };
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let _ = recording::read(
        path,
        &mut |event: Event<'_>| match event {
            Event::Alloc { at, thread, addr, size, family, stack } if family != Family::Map => {
                live.insert(addr, size);
                add(at.0, thread, addr, signed(size), stack);
            }
            Event::Free { at, thread, addr, family, stack, .. } if family != Family::Map => {
                if let Some(size) = live.remove(&addr) {
                    add(at.0, thread, addr, -signed(size), stack);
                }
            }
            Event::Resize { at, thread, old, new, size, stack } => {
                if let Some(size) = live.remove(&old) {
                    add(at.0, thread, old, -signed(size), stack);
                }
                live.insert(new, size);
                add(at.0, thread, new, signed(size), stack);
            }
            _ => {}
        },
        &mut |_, _| {},
    );
    all
}
