//! The leak scan: every aligned word of the program's memory that points to or into a live block.
//!
//! Conservative, as memcheck's (Valgrind manual 4.2.9): roots are the registers and stacks of all threads and
//! all writable memory that is not the heap (module data, thread-local storage, mappings the program made);
//! a pointer counts when it is an aligned word, to a block's start or, weaker, anywhere inside. Four
//! heuristics (manual, `--leak-check-heuristics`) take certain interior pointers for start pointers.
//!
//! What belongs to the allocator is no root: the brk heap, glibc's arenas (64 MiB aligned, beginning with
//! their arena's pointer), mapped blocks, and mappings in which blocks lie. Its bins in libc's data point into
//! free chunks, whose headers overlap the last bytes of the block before: interior pointers there mean nothing.
//!
//! What lies below a stack pointer is no root either, nor are the stacks of ended threads, which glibc keeps for
//! the next ones (see [`crate::stacks`]).

use crate::maps::{self, Region};
use crate::observation::Observation;
use crate::stacks;
use crate::sys::{self, NotStopped, Stopped};
use heapwise_heap::{FreeErrorKind, GraphBuilder};
use heapwise_model::{HeapGraph, NodeId};
use heapwise_trace::{Addr, Event, RootKind};
use std::collections::HashMap;

/// Where the thread that asked for the scan waits.
pub struct Waiting {
    pub thread: u32,
    /// Address of its saved registers: its thread pointer, 6 words, then the return address.
    pub registers: u64,
    /// Its live stack begins here.
    pub stack: u64,
}

/// The other threads, stopped until this is dropped.
pub struct Threads {
    stopped: Vec<Stopped>,
    pub names: Vec<(u32, String)>,
    failed: usize,
}

/// Stops every thread of `pid` but `waiting`, which waits by itself (0: there is none).
pub fn stop_others(pid: u32, waiting: u32) -> Threads {
    let mut threads = Threads { stopped: Vec::new(), names: Vec::new(), failed: 0 };
    let mut seen = std::collections::HashSet::new();
    // A thread that is not yet stopped can start another: look until none is new.
    for _ in 0..LOOKS {
        let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else { break };
        let mut is_new = false;
        for tid in entries.flatten().filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok()) {
            if !seen.insert(tid) {
                continue;
            }
            is_new = true;
            let name = std::fs::read(format!("/proc/{pid}/task/{tid}/comm")).unwrap_or_default();
            threads.names.push((tid, String::from_utf8_lossy(&name).trim_end().to_owned()));
            if tid != waiting {
                match Stopped::stop(tid) {
                    Ok(stopped) => threads.stopped.push(stopped),
                    Err(NotStopped::Gone) => {}
                    Err(NotStopped::Forbidden | NotStopped::Late) => threads.failed += 1,
                }
            }
        }
        if !is_new {
            break;
        }
    }
    threads
}

const LOOKS: usize = 10;

/// What the scan found.
pub struct Found {
    pub graph: HeapGraph,
    pub is_certain: bool,
    pub notes: Vec<String>,
    /// Where addresses lie that were freed without being blocks.
    pub places: Vec<(Addr, RootKind)>,
    /// The thread pointers of all threads; `None` where one of them could not be asked.
    pub thread_pointers: Option<Vec<u64>>,
}

impl Found {
    /// The graph as events, targets of accepted interior pointers replaced by their block's start.
    pub fn events(&self, sink: &mut dyn FnMut(&Event<'_>)) {
        let graph = &self.graph;
        // An interior pointer is told as one byte (or nothing, for blocks of one byte) past the start.
        let target = |node: NodeId, interior: bool| Addr(graph.addr[node.index()] + u64::from(interior));
        for root in &graph.roots {
            sink(&Event::Root {
                kind: root.kind,
                place: Addr(root.place),
                target: target(root.target, root.interior),
            });
        }
        for from in 0..graph.addr.len() {
            for at in graph.first[from] as usize..graph.first[from + 1] as usize {
                let edge = graph.edges[at];
                sink(&Event::Edge {
                    from: Addr(graph.addr[from]),
                    offset: u64::from(graph.labels[at]),
                    target: target(edge.target(), edge.is_interior()),
                });
            }
        }
    }
}

/// Pages of the process, read once.
struct Memory {
    pid: u32,
    pages: HashMap<u64, Option<Box<[u8; PAGE]>>>,
}

const PAGE: usize = 4096;
/// Pages held for heuristics.
const PAGES_MAX: usize = 16 << 10;

impl Memory {
    /// The aligned word at `addr`.
    fn word(&mut self, addr: u64) -> Option<u64> {
        if self.pages.len() >= PAGES_MAX {
            self.pages.clear();
        }
        let pid = self.pid;
        let page = addr / PAGE as u64;
        let bytes = self.pages.entry(page).or_insert_with(|| {
            let mut bytes = Box::new([0u8; PAGE]);
            (sys::read_memory(pid, page * PAGE as u64, &mut bytes[..]) == PAGE).then_some(bytes)
        });
        let at = addr as usize % PAGE;
        let word = bytes.as_ref()?.get(at..at + 8)?;
        Some(u64::from_le_bytes(word.try_into().expect("eight bytes")))
    }
}

struct Scan<'a> {
    memory: Memory,
    regions: &'a [Region],
    builder: GraphBuilder,
    sizes: Vec<u64>,
    starts: Vec<u64>,
    buffer: Vec<u8>,
    /// Some blocks hold objects of a language's runtime.
    has_objects: bool,
}

/// Finds all roots and edges of a process whose threads are stopped, or wait.
pub fn scan(
    pid: u32,
    waiting: Option<&Waiting>,
    threads: &Threads,
    observation: &Observation,
    own: &[(u64, u64)],
) -> Result<Found, String> {
    let regions = maps::read(pid).map_err(|error| format!("/proc/{pid}/maps cannot be read: {error}"))?;
    let mut probe = [0u8; 8];
    let somewhere = regions.iter().find(|it| it.is_readable).map_or(0, |it| it.start);
    if sys::read_memory(pid, somewhere, &mut probe) < probe.len()
        || waiting.is_none() && threads.stopped.is_empty()
    {
        return Err("the system does not let Heapwise read the program's memory (ptrace is forbidden here: \
            allow SYS_PTRACE in the container, or set kernel.yama.ptrace_scope to 0 or 1)"
            .to_owned());
    }
    let blocks = observation.ledger.live_blocks();
    let builder = GraphBuilder::new(&blocks);
    let starts: Vec<u64> = blocks.iter().map(|it| it.addr.0).collect();
    let sizes: Vec<u64> = blocks.iter().map(|it| it.size).collect();
    let memory = Memory { pid, pages: HashMap::new() };
    let buffer = vec![0; BUFFER_BYTES];
    let has_objects = observation.codes.len() > 1;
    let mut scan = Scan { memory, regions: &regions, builder, sizes, starts, buffer, has_objects };
    let (mut stacks, mut live) = (Vec::new(), Vec::new());
    if let Some(waiting) = waiting {
        stacks.push(waiting.stack);
        live.push(scan.memory.word(waiting.registers).unwrap_or(0));
        scan.range(RootKind::Register, waiting.registers + WORD, waiting.registers + 7 * WORD, false);
    }
    let mut notes = Vec::new();
    let mut failed = threads.failed;
    for stopped in &threads.stopped {
        match stopped.registers() {
            Ok(registers) => {
                registers.general.iter().for_each(|&word| scan.root(RootKind::Register, 0, word, false));
                stacks.push(registers.stack().saturating_sub(RED_ZONE));
                live.push(registers.thread_pointer);
            }
            Err(_) => failed += 1,
        }
    }
    if failed > 0 {
        notes.push(format!(
            "{failed} threads could not be stopped for the leak scan: what only they hold may be called lost"
        ));
    }
    let excluded = [own, &stacks::ended(pid, &regions, &live, &stacks)].concat();
    scan.roots(&stacks, observation, &excluded);
    scan.edges();
    let places = observation
        .ledger
        .errors()
        .iter()
        .filter(|it| it.kind == FreeErrorKind::Unknown)
        .map(|it| (it.addr, place_of(it.addr.0, &regions, &stacks)))
        .collect();
    let is_certain = failed == 0 && scan.builder.is_complete();
    let thread_pointers = (failed == 0).then_some(live);
    Ok(Found { graph: scan.builder.finish(), is_certain, notes, places, thread_pointers })
}

/// The ABI lets leaf functions use this much below the stack pointer.
const RED_ZONE: u64 = 128;
const BUFFER_BYTES: usize = 1 << 20;
const WORD: u64 = 8;

fn place_of(addr: u64, regions: &[Region], stacks: &[u64]) -> RootKind {
    let Some(region) = regions.iter().find(|it| it.start <= addr && addr < it.end) else {
        return RootKind::Mapping;
    };
    if stacks.iter().any(|&sp| region.start <= sp && sp < region.end) {
        RootKind::Stack
    } else if region.is_file || maps::is_bss(region, regions) {
        RootKind::Global
    } else {
        RootKind::Mapping
    }
}

/// glibc's secondary arenas lie in heaps of this size and alignment.
const ARENA_HEAP: u64 = 64 << 20;
/// As many are looked for in one region (256 GiB of it).
const ARENA_HEAPS_MAX: usize = 4096;

impl Scan<'_> {
    /// Scans everything that is writable and not the heap, but for what is `excluded`.
    fn roots(&mut self, stacks: &[u64], observation: &Observation, excluded: &[(u64, u64)]) {
        let mappings = observation.ledger.mappings();
        let regions = self.regions;
        for region in regions {
            let is_special = region.path.starts_with("[v")
                || region.path.starts_with("/dev/") && !region.path.starts_with("/dev/shm/");
            if !region.is_readable
                || !region.is_writable
                || is_special
                || region.path == "[heap]"
                || maps::is_own_file(&region.path)
            {
                continue;
            }
            // Mappings side by side are one region, so that blocks may lie behind a stack.
            let excluded = [excluded, &self.blocks_in(region), &self.arenas_in(region)].concat();
            if let Some(&sp) = stacks.iter().filter(|&&sp| region.contains(sp)).min() {
                self.pieces(RootKind::Stack, sp & !(WORD - 1), region.end, &excluded, false);
                continue;
            }
            let is_global = region.is_file || maps::is_bss(region, regions);
            // A mapping the program made, in which its own allocator put blocks, is heap.
            if !is_global
                && self.holds_blocks(region)
                && mappings.iter().any(|it| it.addr.0 < region.end && it.addr.0 + it.size > region.start)
            {
                continue;
            }
            let kind = if is_global { RootKind::Global } else { RootKind::Mapping };
            self.pieces(kind, region.start, region.end, &excluded, maps::is_libc(region, regions));
        }
    }

    /// glibc's secondary arenas in a region.
    fn arenas_in(&mut self, region: &Region) -> Vec<(u64, u64)> {
        if region.is_file {
            return Vec::new();
        }
        let first = region.start.next_multiple_of(ARENA_HEAP);
        (first..region.end)
            .step_by(ARENA_HEAP as usize)
            .take(ARENA_HEAPS_MAX)
            .filter(|&heap| self.is_arena_heap(heap))
            .map(|heap| (heap, heap + ARENA_HEAP))
            .collect()
    }

    /// Whether an arena's heap begins here: with the address of its arena, which lies behind the header of this
    /// or of another such heap, which begins with that address too.
    fn is_arena_heap(&mut self, heap: u64) -> bool {
        let Some(arena) = self.memory.word(heap) else { return false };
        (0x20..0x1000).contains(&(arena % ARENA_HEAP))
            && self.memory.word(arena - arena % ARENA_HEAP) == Some(arena)
    }

    /// Whether blocks lie in the region that have no mappings of their own.
    fn holds_blocks(&mut self, region: &Region) -> bool {
        let first = self.starts.partition_point(|&it| it < region.start);
        for block in first..self.starts.len() {
            let at = self.starts[block];
            if at >= region.end {
                return false;
            }
            if self.sizes[block] < MAPPED_BLOCK && self.mapped_chunk(at).is_none() {
                return true;
            }
        }
        false
    }

    /// The blocks in a region, with their headers and what their mappings hold behind them.
    fn blocks_in(&mut self, region: &Region) -> Vec<(u64, u64)> {
        let first = self.starts.partition_point(|&it| it < region.start);
        let mut found = Vec::new();
        for block in first..self.starts.len() {
            let (at, size) = (self.starts[block], self.sizes[block]);
            if at >= region.end {
                break;
            }
            found.push(self.mapped_chunk(at).unwrap_or((at.saturating_sub(HEADER), at + size)));
        }
        found
    }

    /// The mapping that glibc made for this block alone, which `realloc` may have made a small one.
    ///
    /// Before the block stand the bytes from the mapping's start to the header, and those from the header to the
    /// mapping's end with one flag (`IS_MMAPPED` of `malloc_chunk`); both ends lie on pages.
    fn mapped_chunk(&mut self, block: u64) -> Option<(u64, u64)> {
        const IS_MAPPED: u64 = 2;
        let header = block.checked_sub(HEADER)?;
        let (before, size) = (self.memory.word(header)?, self.memory.word(header + WORD)?);
        if size % 8 != IS_MAPPED {
            return None;
        }
        let (from, to) = (header.checked_sub(before)?, header.checked_add(size - IS_MAPPED)?);
        let is_page = |at: u64| at.is_multiple_of(PAGE as u64);
        (is_page(from) && is_page(to) && to > block).then_some((from, to))
    }

    /// A range without the excluded ones.
    fn pieces(&mut self, kind: RootKind, start: u64, end: u64, excluded: &[(u64, u64)], starts_only: bool) {
        let mut holes: Vec<(u64, u64)> =
            excluded.iter().copied().filter(|it| it.0 < end && it.1 > start).collect();
        holes.sort_unstable();
        let mut at = start;
        for (from, to) in holes {
            if from > at {
                self.range(kind, at, from, starts_only);
            }
            at = at.max(to.next_multiple_of(WORD));
        }
        if at < end {
            self.range(kind, at, end, starts_only);
        }
    }

    fn range(&mut self, kind: RootKind, start: u64, end: u64, starts_only: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut at = start;
        while at < end {
            let want = ((end - at) as usize).min(buffer.len());
            let got = sys::read_memory(self.memory.pid, at, &mut buffer[..want]);
            if got == 0 {
                // Unreadable (beyond a file's end, taken away): skip a page.
                at = (at + 1).next_multiple_of(PAGE as u64);
                continue;
            }
            let range = self.builder.index().range();
            for (i, word) in buffer[..got].as_chunks::<8>().0.iter().enumerate() {
                let word = u64::from_le_bytes(*word);
                if range.contains(&word) {
                    self.root(kind, at + i as u64 * WORD, word, starts_only);
                }
            }
            at += got as u64;
        }
        self.buffer = buffer;
    }

    #[inline]
    fn root(&mut self, kind: RootKind, place: u64, word: u64, starts_only: bool) {
        if let Some((node, offset)) = self.builder.index().find(word) {
            let target = self.accept(node, offset, word);
            if !(starts_only && target != self.starts[node.index()]) {
                self.builder.root(kind, Addr(place), Addr(target));
            }
        }
    }

    /// Scans the live blocks.
    fn edges(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut i = 0;
        while i < self.starts.len() {
            // As many blocks as one read holds.
            let from = self.starts[i];
            let mut last = i;
            let mut end = from + self.sizes[i];
            while last + 1 < self.starts.len() {
                let next = self.starts[last + 1] + self.sizes[last + 1];
                if next - from > buffer.len() as u64 || self.starts[last + 1] - end > PAGE as u64 {
                    break;
                }
                last += 1;
                end = end.max(next);
            }
            if last == i {
                self.large_block(i, &mut buffer);
            } else {
                let want = (end - from) as usize;
                let got = sys::read_memory(self.memory.pid, from, &mut buffer[..want]);
                for block in i..=last {
                    let begin = (self.starts[block] - from) as usize;
                    let stop = (begin + self.sizes[block] as usize).min(got);
                    if begin < stop {
                        self.words(block, 0, &buffer[begin..stop]);
                    }
                }
            }
            i = last + 1;
        }
        self.buffer = buffer;
    }

    fn large_block(&mut self, block: usize, buffer: &mut [u8]) {
        let mut offset = 0;
        while offset < self.sizes[block] {
            let want = ((self.sizes[block] - offset) as usize).min(buffer.len());
            let got = sys::read_memory(self.memory.pid, self.starts[block] + offset, &mut buffer[..want]);
            if got == 0 {
                return;
            }
            self.words(block, offset, &buffer[..got]);
            offset += got as u64;
        }
    }

    fn words(&mut self, block: usize, offset: u64, bytes: &[u8]) {
        // Words are aligned in memory, whatever the block's start.
        let skip = (self.starts[block] + offset).next_multiple_of(WORD) - (self.starts[block] + offset);
        let Some(bytes) = bytes.get(skip as usize..) else { return };
        let range = self.builder.index().range();
        for (i, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            if range.contains(&word)
                && let Some((node, inside)) = self.builder.index().find(word)
            {
                let target = self.accept(node, inside, word);
                self.builder.edge_from(NodeId(block as u32), offset + skip + i as u64 * WORD, target);
            }
        }
    }

    /// The block's start where a heuristic takes `pointer` for one, else `pointer`.
    fn accept(&mut self, node: NodeId, offset: u64, pointer: u64) -> u64 {
        if offset == 0 {
            return pointer;
        }
        let (start, size) = (self.starts[node.index()], self.sizes[node.index()]);
        let is_accepted = self.is_object(offset)
            || self.is_string(start, size, offset)
            || self.is_length64(start, size, offset)
            || self.is_new_array(start, size, offset)
            || self.is_second_base(start, pointer);
        if is_accepted { start } else { pointer }
    }

    /// What CPython's collector keeps in front of an object: its links, and since 3.11 two words of the object's own.
    fn is_object(&self, offset: u64) -> bool {
        self.has_objects && matches!(offset, 16 | 32)
    }

    /// The characters of an old, reference counted `std::string`: length, capacity, count, characters.
    fn is_string(&mut self, start: u64, size: u64, offset: u64) -> bool {
        if offset != 24 {
            return false;
        }
        let (Some(length), Some(capacity)) = (self.memory.word(start), self.memory.word(start + 8)) else {
            return false;
        };
        length <= capacity && capacity.checked_add(25) == Some(size)
    }

    /// Memory behind a word that holds its length (sqlite's allocations).
    fn is_length64(&mut self, start: u64, size: u64, offset: u64) -> bool {
        offset == 8 && self.memory.word(start).is_some_and(|it| it > 0 && it.checked_add(8) == Some(size))
    }

    /// Elements behind the count that `new[]` keeps for types with destructors.
    fn is_new_array(&mut self, start: u64, size: u64, offset: u64) -> bool {
        offset == 8
            && self.memory.word(start).is_some_and(|count| count > 0 && (size - 8).is_multiple_of(count))
    }

    /// A base class other than the first: it and the object begin with pointers to virtual tables.
    fn is_second_base(&mut self, start: u64, pointer: u64) -> bool {
        if !pointer.is_multiple_of(WORD) {
            return false;
        }
        let is_table_pointer = |word: &u64| word.is_multiple_of(WORD) && *word >= PAGE as u64;
        let Some(inner) = self.memory.word(pointer).filter(is_table_pointer) else { return false };
        let Some(outer) = self.memory.word(start).filter(is_table_pointer) else { return false };
        self.is_virtual_table(inner) && self.is_virtual_table(outer)
    }

    /// Two of the first words in a file's mapping point to code, the others are 0.
    fn is_virtual_table(&mut self, addr: u64) -> bool {
        const WORDS: u64 = 20;
        let Some(region) = maps::find(self.regions, addr).filter(|it| it.is_file && it.is_readable) else {
            return false;
        };
        let end = region.end;
        let mut functions = 0;
        for at in (addr..end.min(addr + (WORDS + 1) * WORD)).step_by(WORD as usize) {
            match self.memory.word(at) {
                Some(0) => {}
                Some(word)
                    if maps::find(self.regions, word).is_some_and(|it| it.is_file && it.is_executable) =>
                {
                    functions += 1
                }
                _ => return false,
            }
            if functions == 2 {
                return true;
            }
        }
        false
    }
}

/// What glibc keeps before a block: two words.
const HEADER: u64 = 16;

/// Blocks from here on may have mappings of their own (glibc's threshold starts at 128 KiB).
const MAPPED_BLOCK: u64 = 128 << 10;
