//! `heapwise export --to FORMAT RECORDING`.

use crate::args::{Common, Export, Target};
use crate::output::{self, Stream};
use crate::{Failure, analyze};
use heapwise_report::{firefox, folded, pprof, speedscope, valgrind_xml};
use heapwise_trace::{Addr, Event, Family, Nanos, StackId};
use std::collections::HashMap;
use std::io::IsTerminal;

pub fn run(args: &Export, common: &Common) -> Result<u8, Failure> {
    let is_binary = args.to == Target::Pprof;
    if is_binary && common.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::new("pprof is a binary format", "add --output app.pb.gz"));
    }
    let mut allocations = (args.to == Target::Firefox).then(Allocations::default);
    let observation = super::report::read_and(&args.recording, common, |event| {
        if let Some(allocations) = &mut allocations {
            allocations.apply(event);
        }
    })?;
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
            let options = firefox::FirefoxOptions { start_unix_ns: observation.start_unix_ns };
            let all = allocations.iter().flat_map(|it| &it.all).copied();
            firefox::write(out, &report, all, &options)
        }
    })?;
    let dropped = allocations.map_or(0, |it| it.dropped);
    if dropped > 0 && !common.quiet {
        anstream::eprintln!("note: the last {dropped} allocations are left out to keep the profile loadable");
    }
    Ok(0)
}

/// Allocations in a profile; with their frees, twice as many samples.
const ALLOCATIONS_MAX: usize = 1_000_000;

/// Blocks handed out and taken back, by time. After [`ALLOCATIONS_MAX`] only frees of blocks that are there are taken,
/// so that nothing freed counts as retained.
#[derive(Default)]
struct Allocations {
    all: Vec<firefox::Allocation>,
    /// Sizes of the blocks in `all` that are not freed yet.
    live: HashMap<Addr, u64>,
    taken: usize,
    dropped: u64,
}

impl Allocations {
    fn apply(&mut self, event: &Event<'_>) {
        match *event {
            Event::Alloc { at, thread, addr, size, family, stack } if family != Family::Map => {
                self.add(at, thread, addr, size, stack);
            }
            Event::Inherited { addr, size, stack, .. } => self.add(Nanos(0), 0, addr, size, stack),
            Event::Free { at, thread, addr, family, stack, .. } if family != Family::Map => {
                self.free(at, thread, addr, stack);
            }
            Event::Resize { at, thread, old, new, size, stack } => {
                self.free(at, thread, old, stack);
                self.add(at, thread, new, size, stack);
            }
            _ => {}
        }
    }

    fn add(&mut self, at: Nanos, thread: u32, addr: Addr, size: u64, stack: StackId) {
        if self.taken == ALLOCATIONS_MAX {
            self.dropped += 1;
            return;
        }
        self.taken += 1;
        self.live.insert(addr, size);
        self.all.push(firefox::Allocation { at_ns: at.0, thread, addr: addr.0, bytes: signed(size), stack });
    }

    fn free(&mut self, at: Nanos, thread: u32, addr: Addr, stack: StackId) {
        if let Some(size) = self.live.remove(&addr) {
            let bytes = -signed(size);
            self.all.push(firefox::Allocation { at_ns: at.0, thread, addr: addr.0, bytes, stack });
        }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
