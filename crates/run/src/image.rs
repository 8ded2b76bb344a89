//! One process image (from its start or exec to its end): its ring is read, its ids are made dense, its
//! events go to the ledger and into its recording.

use crate::accounts::{self, Accounts, ObjectBlock};
use crate::attachment::Incoming;
use crate::merge::{Merge, Sink, Wide};
use crate::objects::{self, Dump};
use crate::observation::Observation;
use crate::ring::Ring;
use crate::script::Scripts;
use crate::sys::Shared;
use crate::{functions, held, scan, sys};
use heapwise_cpython::Found;
use heapwise_heap::{Block, Change, Ledger, Open, Sampling};
use heapwise_model::Termination;
use heapwise_trace::recording::Writer;
use heapwise_trace::ring::*;
use heapwise_trace::{Addr, CodeId, Event, Family, FrameId, ModuleId, Nanos, ResourceKind, StackId};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;
use std::time::{Duration, Instant};

/// Stamps per nanosecond, measured since `heapwise` started.
pub struct Clock {
    stamp: u64,
    instant: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { stamp: sys::stamp(), instant: Instant::now() }
    }
    fn rate(&self) -> f64 {
        let ns = self.instant.elapsed().as_nanos() as f64;
        let stamps = sys::stamp().wrapping_sub(self.stamp) as f64;
        if ns > 0.0 && stamps > 0.0 { stamps / ns } else { 1.0 }
    }
}

pub struct Image {
    pub pid: u32,
    /// The fork that made it, as numbered in its parent.
    pub fork: u64,
    ring: Ring,
    merge: Merge,
    book: Book,
    pub is_over: bool,
    began: Instant,
    last_flush: Instant,
    last_sample: Instant,
    /// When accounts are read next.
    next_accounts: Instant,
    /// When the objects of a runtime are looked at next; `None` before there is a runtime.
    dumps: Option<Looks>,
}

/// Looks at the objects of a runtime.
struct Looks {
    /// When one is due, if there is more than at the last one.
    due: Instant,
    /// When one is due anyway.
    overdue: Instant,
    interval: Duration,
    /// Live bytes at the last one.
    live_bytes: u64,
    /// Processor time that all took.
    took: Duration,
}

impl Looks {
    fn first(now: Instant) -> Looks {
        let took = Duration::ZERO;
        Looks { due: now + FIRST_DUMP, overdue: now + FIRST_DUMP, interval: FIRST_DUMP, live_bytes: 0, took }
    }

    /// After one that took so long.
    fn after(&self, took: Duration, live_bytes: u64) -> Looks {
        let all = self.took + took;
        let part = if all < EARLY { EARLY_PART } else { DUMP_PART };
        let more = if self.interval < OFTEN_UNTIL { self.interval / 2 } else { self.interval };
        let (now, interval) = (Instant::now(), (self.interval + more).max(took * part));
        Looks {
            due: now + interval,
            overdue: now + interval * LOOKS_OVERDUE,
            interval,
            live_bytes,
            took: all,
        }
    }

    fn is_due(&self, now: Instant, live_bytes: u64) -> bool {
        let more = live_bytes.saturating_sub(self.live_bytes);
        now >= self.overdue || now >= self.due && more >= GROWTH_MIN.max(self.live_bytes / GROWTH_PART)
    }
}

/// What a forked child begins with.
pub struct Birth {
    observation: Observation,
    /// By its parent's numbers, in which live blocks may tell of stacks.
    stacks: Vec<u32>,
}

/// Where the events of an image go.
struct Book {
    observation: Observation,
    writer: Option<Writer<File>>,
    /// Where attachments go when there is no recording: a file without a name.
    spool: Option<Writer<File>>,
    /// Attachments that are still to be written.
    incoming: VecDeque<Incoming>,
    path: Option<PathBuf>,
    /// Recorder's numbers to dense ids; 0 is not known.
    frames: Vec<u32>,
    stacks: Vec<u32>,
    /// All stacks by caller and frame.
    known: FxHashMap<(StackId, FrameId), StackId>,
    /// Loaded modules by base: end and number.
    modules: BTreeMap<u64, (u64, ModuleId)>,
    cut: FrameId,
    scripts: Scripts,
    /// Definitions that came before what they build on.
    waiting: Vec<Record>,
    /// Definitions that came, and how many of them had when `waiting` was looked at.
    defined: u64,
    settled: u64,
    /// Names of marks whose turn has not come, by number.
    marks: FxHashMap<u64, Vec<u8>>,
    start_stamp: u64,
    /// Of the last event; its time is `observation.last`.
    last_stamp: u64,
    /// Nanoseconds per stamp.
    scale: f64,
    /// `realloc`s under way, by stream: the old address, taken out of the ledger.
    resizing: FxHashMap<u32, (Addr, StackId)>,
    /// Forks whose child has not shown up yet.
    forks: Vec<(u64, Birth)>,
    /// The memory with the ring's header.
    header: Arc<Shared>,
    accounts: Accounts,
}

/// Definitions that wait for others.
const WAITING_MAX: usize = 1 << 20;
/// Greatest recorder's number that is believed.
const NUMBER_MAX: u64 = 1 << 28;
/// Snapshots for children that have not shown up.
const FORKS_MAX: usize = 64;
/// Marks that are announced and have not come: some per thread.
const MARKS_MAX: usize = 1 << 12;

impl Image {
    /// `birth` is what a forked child began with, `sampling` how many blocks are told.
    pub fn new(ring: Ring, birth: Option<Birth>, sampling: Sampling, clock: &Clock) -> Image {
        let (memory, accounts) = ring.accounts();
        let header = ring.header();
        let (pid, fork) = (header.pid.load(Relaxed), header.fork.load(Relaxed));
        let start_stamp = header.start_stamp.load(Relaxed);
        let is_forked = birth.is_some();
        let (mut observation, stacks) = birth.map(|it| (it.observation, it.stacks)).unwrap_or_default();
        observation.pid = pid;
        observation.parent = header.parent_pid.load(Relaxed);
        // A child whose fork was not seen holds blocks that nobody told of.
        observation.ledger.set_tolerant(fork != 0 && !is_forked || !sampling.is_exact());
        observation.ledger.set_sampling(sampling);
        // By now a forked child may be another program; it began as its parent.
        if !is_forked && let Some(command) = read_command(pid) {
            observation.command = command;
        }
        let rate = clock.rate();
        let age_ns = sys::stamp().saturating_sub(start_stamp) as f64 / rate;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        observation.start_unix_ns = (now.as_nanos() as u64).saturating_sub(age_ns as u64);
        let book = Book {
            observation,
            writer: None,
            spool: None,
            incoming: VecDeque::new(),
            path: None,
            frames: Vec::new(),
            stacks,
            known: FxHashMap::default(),
            modules: BTreeMap::new(),
            cut: FrameId(0),
            scripts: Scripts::default(),
            waiting: Vec::new(),
            defined: 0,
            settled: 0,
            marks: FxHashMap::default(),
            start_stamp,
            last_stamp: 0,
            scale: 1.0 / rate,
            resizing: FxHashMap::default(),
            forks: Vec::new(),
            header: memory,
            accounts,
        };
        let now = Instant::now();
        let mut image = Image {
            pid,
            fork,
            ring,
            merge: Merge::default(),
            book,
            is_over: false,
            began: now,
            last_flush: now,
            last_sample: now,
            next_accounts: now,
            dumps: None,
        };
        image.sample();
        image
    }

    pub fn observation(&self) -> &Observation {
        &self.book.observation
    }

    pub fn into_observation(self) -> (Observation, Option<PathBuf>) {
        (self.book.observation, self.book.path)
    }

    /// Writes what is known so far, and from now on all that comes, into `file`.
    pub fn record_into(&mut self, file: File, path: PathBuf) -> std::io::Result<()> {
        self.book.writer = Some(self.book.observation.begin(file)?);
        self.book.path = Some(path);
        Ok(())
    }

    pub fn recording(&self) -> Option<&PathBuf> {
        self.book.path.as_ref()
    }

    /// Reads what has come; how many chunks were full.
    pub fn drain(&mut self, clock: &Clock, is_final: bool) -> usize {
        self.book.scale = 1.0 / clock.rate();
        let full = self.merge.drain(&mut self.ring, is_final, &mut self.book);
        let before = Instant::now();
        if is_final || before >= self.next_accounts {
            self.book.read_accounts(false);
            let cost = before.elapsed();
            self.next_accounts = before + (cost * ACCOUNTS_PART).max(ACCOUNTS_INTERVAL);
        }
        if self.last_sample.elapsed() >= SAMPLE_INTERVAL {
            self.sample();
        }
        if self.last_flush.elapsed() >= FLUSH_INTERVAL {
            self.flush();
        }
        full
    }

    /// Takes a file that belongs to the recording; [`Image::attach_some`] writes it.
    pub fn attach(&mut self, file: Incoming) {
        self.book.incoming.push_back(file);
    }

    /// Writes a piece of what is to be attached: short, so that the program is not kept waiting. Whether there is more.
    pub fn attach_some(&mut self) -> bool {
        self.book.attach_some();
        !self.book.incoming.is_empty()
    }

    pub fn is_attaching(&self) -> bool {
        !self.book.incoming.is_empty()
    }

    /// Puts what was collected into the file.
    pub fn flush(&mut self) {
        self.last_flush = Instant::now();
        if let Some(writer) = &mut self.book.writer {
            writer.flush();
        }
        self.book.check_writer();
    }

    /// Notes resident bytes and faults.
    fn sample(&mut self) {
        self.last_sample = Instant::now();
        let at = self.book.now();
        let Some(figures) = read_figures(self.pid) else { return };
        self.book.emit(&Event::Sample {
            at,
            rss_bytes: figures.rss_bytes,
            minor_faults: figures.minor_faults,
            major_faults: figures.major_faults,
            swap_bytes: figures.swap_bytes,
        });
    }

    /// Whether it forked a child that has not been heard of; the fork may have failed.
    pub fn awaits_child(&self) -> bool {
        !self.book.forks.is_empty()
    }

    /// The snapshot for the child of fork `number`.
    pub fn take_fork(&mut self, number: u64) -> Option<Birth> {
        let at = self.book.forks.iter().position(|(it, _)| *it == number)?;
        Some(self.book.forks.swap_remove(at).1)
    }

    /// The process waits for its leak scan.
    pub fn wants_scan(&self) -> bool {
        self.ring.header().exit.load(Acquire) == EXIT_WAITING
    }

    /// How a process ended that is not our child, as it said before its leak scan.
    pub fn likely_end(&self) -> Termination {
        let header = self.ring.header();
        if header.exit.load(Acquire) == EXIT_NONE {
            return Termination::default();
        }
        match header.exit_signal.load(Relaxed) {
            0 => {
                let code = header.exit_code.load(Relaxed);
                let code = Some(code as u8).filter(|_| code != EXIT_CODE_UNKNOWN as u32);
                Termination { code, signal: None }
            }
            signal => Termination { code: None, signal: Some(signal as u8) },
        }
    }

    /// Finds roots and edges, then lets the process end.
    pub fn scan(&mut self, clock: &Clock) {
        self.sample();
        let header = self.ring.header();
        let waiting = scan::Waiting {
            thread: header.exit_thread.load(Relaxed),
            registers: header.exit_registers.load(Relaxed),
            stack: header.exit_stack.load(Relaxed),
        };
        let threads = scan::stop_others(self.pid, waiting.thread);
        self.drain(clock, true);
        for &(tid, ref name) in &threads.names {
            self.book.emit(&Event::Thread { id: tid, name: name.as_bytes() });
        }
        let objects = self.objects();
        self.book.hold(&objects);
        let own = self.ring.own_memory();
        let found = match self.book.observation.ledger.sampling().is_exact() {
            true => scan::scan(self.pid, Some(&waiting), &threads, &self.book.observation, &own),
            false => Err("not every block is recorded (--sample)".to_owned()),
        };
        match found {
            Ok(found) => {
                for note in &found.notes {
                    self.book.note(note);
                }
                let at = self.book.now();
                if let Some(writer) = &mut self.book.writer {
                    found.events(&mut |event| writer.event(event));
                    writer.event(&Event::GraphEnd { at, certain: found.is_certain });
                }
                self.book.observation.seen(at);
                self.book.observation.set_graph(found.graph, found.is_certain);
                self.settle_resources(at, found.thread_pointers.as_deref());
                // They are in the ledger.
                self.dump(at, true, &[]);
                for (addr, kind) in found.places {
                    self.book.emit(&Event::Place { addr, kind });
                }
            }
            Err(reason) => {
                self.book.note(&format!("leak classes are not known: {reason}"));
                let at = self.book.now();
                self.settle_resources(at, None);
                self.dump(at, true, &[]);
            }
        }
        drop(threads);
        self.flush();
        let header = self.ring.header();
        header.exit.store(EXIT_DONE, SeqCst);
        sys::futex_wake(&header.exit);
    }

    /// What the process no longer holds, by the system's word, was given back without being seen.
    fn settle_resources(&mut self, at: Nanos, threads: Option<&[u64]>) {
        let gone = held::gone(self.pid, &self.book.observation.resources, threads);
        for Open { kind, number, .. } in gone {
            self.book.emit(&Event::Close { at, thread: 0, kind, number, stack: StackId(0) });
        }
    }

    /// From time to time, as long as there is more and more, the process stands still for a look at the objects of its
    /// runtime: what grows from look to look is told at its end. The times between looks grow, and are long beside what
    /// the looks take.
    pub fn dump_if_due(&mut self, clock: &Clock) {
        if self.book.scripts.interpreter.is_none() || self.ring.header().exit.load(Acquire) != EXIT_NONE {
            return;
        }
        let now = Instant::now();
        let live_bytes = self.book.observation.ledger.totals().live.bytes;
        let Some(looks) = &self.dumps else {
            // While the interpreter starts there is nothing of the program's to be seen.
            if self.book.scripts.is_running || self.began.elapsed() >= START_MAX {
                self.dumps = Some(Looks::first(now));
            }
            return;
        };
        if !looks.is_due(now, live_bytes) {
            return;
        }
        // On a busy machine the program has as little of the time as the look.
        let before = sys::thread_time();
        let threads = scan::stop_others(self.pid, 0);
        self.drain(clock, true);
        let at = self.book.now();
        let objects = self.objects();
        self.dump(at, false, &objects);
        drop(threads);
        let took = sys::thread_time().saturating_sub(before);
        self.dumps = self.dumps.take().map(|it| it.after(took, live_bytes));
    }

    /// The live blocks of the runtime's own allocator; the process stands still.
    fn objects(&self) -> Vec<Block> {
        let objects = accounts::live_blocks(self.pid, self.ring.header().objects.load(Acquire));
        let block = |it: ObjectBlock| Block {
            addr: it.addr,
            size: u64::from(it.size),
            family: Family::Object,
            stack: self.book.stack(it.stack),
        };
        objects.into_iter().map(block).collect()
    }

    /// Takes the objects of the runtime that is in the process, which stands still.
    /// Before the end a moment may be an unlucky one, in the middle of a collection: nothing is said of that.
    fn dump(&mut self, at: Nanos, is_last: bool, objects: &[Block]) {
        let Some(interpreter) = &self.book.scripts.interpreter else { return };
        match objects::read(self.pid, interpreter, &self.book.observation, objects) {
            Ok(Found { heap, destructors }) => {
                if is_last {
                    self.tell_destructors(&destructors);
                }
                heap.notes.iter().filter(|_| is_last).for_each(|note| self.book.note(note));
                self.book.observation.dumped(Dump { at, heap });
            }
            Err(reason) if is_last => {
                self.book.note(&format!("the objects of Python are not known: {reason}"))
            }
            Err(_) => {}
        }
    }

    /// Says which frames of those that closed something lie in functions that take down objects, which begin at `starts`.
    fn tell_destructors(&mut self, starts: &[u64]) {
        let observation = &self.book.observation;
        let closers: Vec<StackId> =
            observation.resources.openers().iter().flat_map(|it| it.1.closes.keys().copied()).collect();
        for frame in functions::frames_in(self.pid, observation, closers.into_iter(), starts) {
            self.book.emit(&Event::Destructor { frame });
        }
    }

    /// Stops the process for a moment, finds roots and edges, and lets it go on. `file` gets what the recording holds
    /// so far, and the graph; all of it when [`Snapshot::write`] is done.
    pub fn snapshot(&mut self, clock: &Clock, file: File) -> Result<Snapshot, String> {
        if self.ring.header().exit.load(Acquire) != EXIT_NONE {
            return Err("it is ending".to_owned());
        }
        if !self.book.observation.ledger.sampling().is_exact() {
            return Err("it runs with --sample: a heap graph needs every block".to_owned());
        }
        self.sample();
        let threads = scan::stop_others(self.pid, 0);
        self.drain(clock, true);
        for &(tid, ref name) in &threads.names {
            self.book.emit(&Event::Thread { id: tid, name: name.as_bytes() });
        }
        let own = self.ring.own_memory();
        let objects = self.objects();
        for block in &objects {
            self.book.observation.apply(&inherited(block));
        }
        let found = scan::scan(self.pid, None, &threads, &self.book.observation, &own);
        self.book.observation.ledger.drop_objects();
        let at = self.book.now();
        self.dump(at, false, &objects);
        drop(threads);
        let found = found?;
        self.flush();
        let failed = |error: std::io::Error| format!("it cannot be written: {error}");
        let so_far = match &mut self.book.writer {
            Some(writer) => {
                // By descriptor: the path may be another file by now.
                let path = format!("/proc/self/fd/{}", writer.get_mut().as_raw_fd());
                SoFar::Recording(File::open(path).map_err(failed)?.take(writer.written()), file)
            }
            None => SoFar::Ledger(Box::new(self.book.observation.begin(file).map_err(failed)?)),
        };
        let dumps = self.book.observation.objects.clone();
        Ok(Snapshot { so_far, objects, dumps, found, at })
    }

    /// The image is gone (ended, or replaced by exec): takes the rest and closes the recording.
    pub fn end(&mut self, clock: &Clock, termination: Option<Termination>) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        self.drain(clock, true);
        self.book.read_accounts(true);
        while self.attach_some() {}
        self.book.restore_resizing();
        let lost = self.ring.header().lost.load(Relaxed);
        if lost > 0 {
            self.book.note(&format!("{lost} events could not be recorded"));
        }
        let at = self.book.now();
        let at = if termination.is_some() { at } else { self.book.observation.last };
        let Termination { code, signal } = termination.unwrap_or_default();
        let is_exact = self.book.observation.ledger.sampling().is_exact();
        if self.book.observation.graph.is_none() && termination.is_some() && is_exact {
            let why = match signal {
                Some(9) => "the program was killed (SIGKILL), which leaves no moment to look at its memory",
                Some(_) => "the program died before its memory could be looked at",
                None => "the program ended without a moment to look at its memory",
            };
            self.book.note(&format!("leak classes are not known: {why}"));
        }
        // Only those that are kept: each is a sizable part of a recording.
        if let Some(writer) = &mut self.book.writer {
            for dump in &self.book.observation.objects {
                objects::events(&dump.heap, dump.at, &mut |event| writer.event(event));
            }
        }
        self.book.emit(&Event::Exit { at, code, signal });
        self.book.observation.finish();
        if let Some(writer) = self.book.writer.take() {
            let (file, failure) = writer.finish();
            if let Some(error) = failure {
                self.book.write_failed(&error);
            }
            let _ = file;
        }
    }
}

fn inherited(block: &Block) -> Event<'static> {
    Event::Inherited { addr: block.addr, size: block.size, family: block.family, stack: block.stack }
}

/// A heap graph on its way to its file.
pub struct Snapshot {
    so_far: SoFar,
    objects: Vec<Block>,
    dumps: Vec<Dump>,
    found: scan::Found,
    at: Nanos,
}

enum SoFar {
    /// A recording that goes on growing: the first part of it is to be copied.
    Recording(std::io::Take<File>, File),
    /// There is no recording: the live blocks only.
    Ledger(Box<Writer<File>>),
}

impl Snapshot {
    /// May take long; the process does not wait for it.
    pub fn write(self) -> std::io::Result<()> {
        let mut writer = match self.so_far {
            SoFar::Recording(mut from, mut file) => {
                let bytes = std::io::copy(&mut from, &mut file)?;
                Writer::append(file, bytes)?
            }
            SoFar::Ledger(mut writer) => {
                let text = b"there was no recording: what was freed before the snapshot is not in it";
                writer.event(&Event::Note { text });
                *writer
            }
        };
        self.objects.iter().for_each(|block| writer.event(&inherited(block)));
        self.found.events(&mut |event| writer.event(event));
        writer.event(&Event::GraphEnd { at: self.at, certain: self.found.is_certain });
        for &(addr, kind) in &self.found.places {
            writer.event(&Event::Place { addr, kind });
        }
        for dump in &self.dumps {
            objects::events(&dump.heap, dump.at, &mut |event| writer.event(event));
        }
        for note in &self.found.notes {
            writer.event(&Event::Note { text: note.as_bytes() });
        }
        writer.event(&Event::Note { text: b"a snapshot: the program went on after it" });
        match writer.finish() {
            (_, Some(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// From a runtime's beginning, at most, until the program's own code is taken to run.
const START_MAX: Duration = Duration::from_millis(500);
/// From then on until its objects are looked at first.
const FIRST_DUMP: Duration = Duration::from_millis(60);
/// The time between two looks up to which it grows slower than to double.
const OFTEN_UNTIL: Duration = Duration::from_millis(500);
/// Of the time between two looks, a look takes at most one such part;
const DUMP_PART: u32 = 20;
/// and this one until all have taken so long: programs that run for a second show little.
const EARLY_PART: u32 = 4;
const EARLY: Duration = Duration::from_millis(200);
/// Without growth, there is a look after so many of the times after which there would be one.
const LOOKS_OVERDUE: u32 = 8;
/// What counts as growth: so many bytes, and one such part of all.
const GROWTH_MIN: u64 = 16 << 10;
const GROWTH_PART: u64 = 100;
/// Between looks at the accounts, unless the recorder calls.
const ACCOUNTS_INTERVAL: Duration = Duration::from_millis(15);
/// Of the time between two looks at the accounts, a look takes at most one such part.
const ACCOUNTS_PART: u32 = 100;
const FLUSH_INTERVAL: Duration = Duration::from_millis(90);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

impl Book {
    #[inline]
    fn time(&self, stamp: u64) -> Nanos {
        Nanos((stamp.saturating_sub(self.start_stamp) as f64 * self.scale) as u64)
    }

    fn now(&self) -> Nanos {
        self.time(sys::stamp()).max(self.observation.last)
    }

    /// To both the observation and the recording.
    fn emit(&mut self, event: &Event<'_>) {
        self.observation.apply(event);
        if let Some(writer) = &mut self.writer {
            writer.event(event);
        }
    }

    /// Writes the next piece of the first attachment that waits.
    fn attach_some(&mut self) {
        let Some(mut incoming) = self.incoming.pop_front() else { return };
        let at = self.now();
        if self.writer.is_none() && self.spool.is_none() {
            self.spool = spool().ok();
        }
        let result = match self.writer.as_mut().or(self.spool.as_mut()) {
            Some(writer) => incoming.advance(writer, at).and_then(|done| match done {
                Some(mut attachment) => {
                    let path = format!("/proc/self/fd/{}", writer.get_mut().as_raw_fd());
                    attachment.set_file(Arc::new(File::open(path)?));
                    Ok(Some(attachment))
                }
                None => Ok(None),
            }),
            None => Err(std::io::ErrorKind::StorageFull.into()),
        };
        match result {
            Ok(Some(attachment)) => self.observation.attachments.push(attachment),
            Ok(None) => self.incoming.push_front(incoming),
            Err(error) => self.note(&format!("{} is not in the recording: {error}", incoming.name)),
        }
        self.check_writer();
    }

    /// Takes what the accounts say now. Stacks that are not defined yet are told later, or (`is_last`) as unknown.
    fn read_accounts(&mut self, is_last: bool) {
        let mut accounts = std::mem::take(&mut self.accounts);
        let memory = self.header.clone();
        let header: &RingHeader = memory.at(0);
        let (at, mut is_any) = (self.now(), false);
        accounts.changes(header, |number, change| {
            let stack = self.stack(number);
            if stack.0 == 0 && number != 0 && !is_last {
                return false;
            }
            is_any = true;
            let Change { allocations, allocated_bytes, temporary, live_blocks, live_bytes } = change;
            self.emit(&Event::Account {
                stack,
                allocations,
                allocated_bytes,
                temporary,
                live_blocks,
                live_bytes,
            });
            true
        });
        self.accounts = accounts;
        if is_any {
            self.emit(&Event::AccountsEnd { at });
        }
    }

    /// Puts blocks of a runtime's own allocator among the live ones.
    fn hold(&mut self, objects: &[Block]) {
        objects.iter().for_each(|block| self.emit(&inherited(block)));
    }

    fn note(&mut self, text: &str) {
        self.emit(&Event::Note { text: text.as_bytes() });
    }

    /// A failed write ends the recording; the program and the findings at its end are not harmed.
    fn check_writer(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        if let Some(error) = writer.failure() {
            let error = std::io::Error::new(error.kind(), error.to_string());
            let written = writer.written();
            // A block that was written in part would read as damage.
            let _ = writer.get_mut().set_len(written);
            self.writer = None;
            self.write_failed(&error);
        }
    }

    fn write_failed(&mut self, error: &std::io::Error) {
        let path = self.path.as_deref().unwrap_or(std::path::Path::new("")).display().to_string();
        self.observation.notes.push(format!(
            "the recording {path} is incomplete: {error}; free some space or choose another place with -o"
        ));
    }

    fn restore_resizing(&mut self) {
        // Killed inside realloc: the old block was still there.
        self.resizing.clear();
    }

    fn frame(&mut self, number: u32) -> FrameId {
        if number == FRAME_CUT {
            if self.cut.0 == 0 {
                self.cut = self.new_frame(ModuleId(0), 0);
            }
            return self.cut;
        }
        FrameId(self.frames.get(number as usize).copied().unwrap_or(0))
    }

    fn new_frame(&mut self, module: ModuleId, offset: u64) -> FrameId {
        let id = FrameId(self.observation.frames.len() as u32);
        self.emit(&Event::Frame { id, module, offset });
        id
    }

    #[inline]
    fn stack(&self, number: u32) -> StackId {
        StackId(self.stacks.get(number as usize).copied().unwrap_or(0))
    }

    fn define_frame(&mut self, number: u64, address: u64) {
        if number >= NUMBER_MAX {
            return;
        }
        let module = self.modules.range(..=address).next_back().filter(|(_, (end, _))| address < *end);
        let (module, offset) = match module {
            Some((_, &(_, id))) => (id, address.wrapping_sub(self.observation.modules[id.index()].bias)),
            None => (ModuleId(0), address),
        };
        let id = self.new_frame(module, offset);
        self.scripts.native_frame(&self.observation, id, module, address);
        set(&mut self.frames, number, id.0);
    }

    /// False: what it builds on is not defined yet.
    fn define_stack(&mut self, number: u64, key: u64) -> bool {
        if number >= NUMBER_MAX {
            return true;
        }
        let number_of_parent = (key >> 32) as u32;
        let parent = self.stack(number_of_parent);
        let is_missing = |number: u32, id: u32| number != 0 && id == 0;
        if is_missing(number_of_parent, parent.0) {
            return false;
        }
        let number_of_frame = key as u32;
        let id = if number_of_frame != FRAME_CUT && number_of_frame & frame::LINK != 0 {
            let mut merged = StackId(0);
            let script = self.stack(number_of_frame & !frame::LINK);
            if script.0 == 0 {
                return false;
            }
            for frame in self.scripts.merge(&self.observation, parent, script) {
                merged = self.extend(merged, frame);
            }
            merged
        } else {
            let frame = match number_of_frame {
                FRAME_CUT => self.frame(FRAME_CUT),
                number => self.frame(number & !frame::ENTRY),
            };
            if frame.0 == 0 {
                return false;
            }
            match number_of_frame & frame::ENTRY {
                0 if self.scripts.is_recorder(frame) => parent,
                0 => self.extend(parent, frame),
                _ if number_of_frame == FRAME_CUT => self.extend(parent, frame),
                _ => match self.scripts.entries.get(&(parent, frame)) {
                    Some(&id) => id,
                    None => {
                        let id = self.new_stack(parent, frame);
                        self.scripts.entered(parent, frame, id);
                        id
                    }
                },
            }
        };
        set(&mut self.stacks, number, id.0);
        true
    }

    /// Takes the definitions that came before what they build on, which another thread made.
    #[cold]
    fn settle(&mut self) {
        self.settled = self.defined;
        loop {
            let waiting = std::mem::take(&mut self.waiting);
            let count = waiting.len();
            for record in waiting {
                self.define_place(record);
            }
            if self.waiting.len() == count {
                return;
            }
        }
    }

    /// A stack, or a frame of a script.
    fn define_place(&mut self, record: Record) {
        let is_defined = match record.tag() {
            tag::STACK => self.define_stack(record.field(), record.1),
            _ => self.define_script_frame(record.field(), record.1),
        };
        if !is_defined && self.waiting.len() < WAITING_MAX {
            self.waiting.push(record);
        }
    }

    /// The stack of `frame` called from `parent`.
    fn extend(&mut self, parent: StackId, frame: FrameId) -> StackId {
        // Two threads may have made it at once.
        if let Some(&id) = self.known.get(&(parent, frame)) {
            return id;
        }
        let id = self.new_stack(parent, frame);
        self.known.insert((parent, frame), id);
        id
    }

    fn new_stack(&mut self, parent: StackId, frame: FrameId) -> StackId {
        let id = StackId(self.observation.stacks.len() as u32);
        self.emit(&Event::Stack { id, parent, frame });
        id
    }

    fn define_code(&mut self, bytes: &[u8]) {
        let word =
            |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().expect("four bytes")));
        let (Some(number), Some(length)) = (word(0), word(4)) else { return };
        let Some((name, path)) = bytes[8..].split_at_checked(length as usize) else { return };
        let path = absolute(self.observation.pid, path);
        let id = CodeId(self.observation.codes.len() as u32);
        self.scripts.is_running |= !is_runtimes(&path);
        self.emit(&Event::Code { id, name, path: &path });
        self.scripts.codes.insert(number, id);
    }

    /// False: its function is not defined yet.
    fn define_script_frame(&mut self, number: u64, word: u64) -> bool {
        if number >= NUMBER_MAX {
            return true;
        }
        let Some(&code) = self.scripts.codes.get(&((word >> 32) as u32)) else { return false };
        let id = FrameId(self.observation.frames.len() as u32);
        self.emit(&Event::ScriptFrame { id, code, line: word as u32 });
        set(&mut self.frames, number, id.0);
        true
    }

    fn define_module(&mut self, bytes: &[u8]) {
        let word = |at: usize| {
            bytes.get(at..at + 8).map(|it| u64::from_le_bytes(it.try_into().expect("eight bytes")))
        };
        let (Some(base), Some(end), Some(bias)) = (word(0), word(8), word(16)) else { return };
        let Some(length) = bytes.get(24).map(|&it| it as usize) else { return };
        let (Some(build_id), Some(path)) = (bytes.get(25..25 + length), bytes.get(25 + length..)) else {
            return;
        };
        if self.modules.get(&base).is_some_and(|it| it.0 == end) {
            return;
        }
        let id = ModuleId(self.observation.modules.len() as u32);
        self.emit(&Event::Module { id, base: Addr(base), end: Addr(end), bias, path, build_id });
        self.modules.insert(base, (end, id));
    }
}

/// `column[number] = id`, growing as needed.
fn set(column: &mut Vec<u32>, number: u64, id: u32) {
    let number = number as usize;
    if number >= column.len() {
        column.resize((number + 1).next_power_of_two(), 0);
    }
    column[number] = id;
}

impl Sink for Book {
    fn define(&mut self, record: Record, payload: &[Record]) {
        self.defined += 1;
        match record.tag() {
            tag::FRAME if record.time() == frame::SCRIPT => self.define_place(record),
            tag::FRAME => self.define_frame(record.field(), record.1),
            tag::STACK => self.define_place(record),
            _ => {
                let mut bytes: Vec<u8> = payload
                    .iter()
                    .flat_map(|it| [it.0.to_le_bytes(), it.1.to_le_bytes()])
                    .flatten()
                    .collect();
                bytes.truncate(record.field() as usize);
                match record.time() {
                    blob::MODULE => self.define_module(&bytes),
                    blob::CODE => self.define_code(&bytes),
                    blob::MARK if bytes.len() >= 8 && self.marks.len() < MARKS_MAX => {
                        let name = bytes.split_off(8);
                        let number = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                        self.marks.insert(number, name);
                    }
                    blob::PYTHON => {
                        if let Some(note) = self.scripts.interpreter(&bytes) {
                            self.note(&note);
                        }
                    }
                    blob::UNLOAD if bytes.len() >= 8 => {
                        let base = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
                        self.modules.remove(&base);
                    }
                    _ => {}
                }
            }
        }
    }

    #[inline(always)]
    fn expect(&mut self, records: &[Record]) {
        let mut touched = [(Addr(0), StackId(0)); Ledger::WARM_MAX];
        let mut count = 0;
        for (place, record) in touched.iter_mut().zip(records) {
            let is_object_free = record.tag() == tag::OBJECT && record.size() == 0;
            let is_free = matches!(record.tag(), tag::FREE..=tag::RESIZE_BEGIN) || is_object_free;
            let stack = self.stack(record.stack());
            *place = (Addr(record.addr()), if is_free { StackId(0) } else { stack });
            count += 1;
        }
        self.observation.ledger.warm(&touched[..count]);
    }

    #[inline(always)]
    fn event(&mut self, stream: u32, thread: u32, stamp: u64, record: Record, wide: &Wide) {
        // All that is older than an event is defined by now.
        if !self.waiting.is_empty() && self.settled != self.defined {
            self.settle();
        }
        if stamp != self.last_stamp {
            self.last_stamp = stamp;
            // After a snapshot a record may come that a stopped thread had begun.
            self.observation.seen(self.time(stamp));
        }
        let at = self.observation.last;
        let addr = Addr(wide.addr.unwrap_or(record.addr()));
        let size = wide.size.unwrap_or(record.size());
        let stack = self.stack(record.stack());
        let ledger = &mut self.observation.ledger;
        match record.tag() {
            tag::OBJECT if size == 0 => {
                ledger.free(at, thread, addr, Family::Object, StackId(0));
                if let Some(writer) = &mut self.writer {
                    writer.free(at, thread, addr, 0, Family::Object, StackId(0));
                }
            }
            kind @ (tag::OBJECT | tag::ALLOC..tag::FREE) => {
                let family = match kind {
                    tag::OBJECT => Family::Object,
                    kind => Family::from_bits((kind - tag::ALLOC) as u8),
                };
                ledger.alloc(at, thread, addr, size, family, stack);
                if let Some(writer) = &mut self.writer {
                    writer.alloc(at, thread, addr, size, family, stack);
                }
            }
            kind @ tag::FREE..tag::RESIZE_BEGIN => {
                let family = Family::from_bits((kind - tag::FREE) as u8);
                match family {
                    Family::Map => ledger.unmap(at, addr, size),
                    _ => ledger.free(at, thread, addr, family, stack),
                }
                if let Some(writer) = &mut self.writer {
                    writer.free(at, thread, addr, size, family, stack);
                }
            }
            tag::RESIZE_BEGIN => {
                self.resizing.insert(stream, (addr, stack));
            }
            tag::RESIZE_END => {
                let Some((old, free_stack)) = self.resizing.remove(&stream) else { return };
                match (addr.0, size) {
                    // realloc(p, 0) freed the block.
                    (0, 0) => {
                        ledger.free(at, thread, old, Family::Malloc, free_stack);
                        if let Some(writer) = &mut self.writer {
                            writer.free(at, thread, old, 0, Family::Malloc, free_stack);
                        }
                    }
                    // It failed: the old block is as it was.
                    (0, _) => {}
                    _ => {
                        ledger.resize(at, thread, old, addr, size, stack);
                        if let Some(writer) = &mut self.writer {
                            writer.resize(at, thread, old, addr, size, stack);
                        }
                    }
                }
            }
            tag::WIDE if record.time() == wide::MARK => {
                // The thread that made it waits for this.
                self.read_accounts(false);
                if let Some(name) = self.marks.remove(&record.1) {
                    self.emit(&Event::Mark { at, name: &name });
                }
                let header: &RingHeader = self.header.at(0);
                header.marked.fetch_max(record.1 as u32, SeqCst);
                sys::futex_wake(&header.marked);
            }
            tag::WIDE if matches!(record.time(), wide::OPEN | wide::CLOSE) => {
                let (kind, number) = (ResourceKind::from_number(record.size()), record.field());
                self.emit(&match record.time() {
                    wide::OPEN => Event::Open { at, thread, kind, number, stack },
                    _ => Event::Close { at, thread, kind, number, stack },
                });
            }
            tag::WIDE if record.time() == wide::FORK => {
                if self.forks.len() >= FORKS_MAX {
                    self.forks.remove(0);
                }
                self.read_accounts(false);
                let stacks =
                    if self.scripts.interpreter.is_some() { self.stacks.clone() } else { Vec::new() };
                self.forks.push((record.1, Birth { observation: self.observation.fork(), stacks }));
            }
            _ => {}
        }
    }
}

/// The path of a script as the process sees it now, if it is a relative one of a file that is there.
fn absolute(pid: u32, path: &[u8]) -> Vec<u8> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    if path.starts_with(b"/") || path.starts_with(b"<") || path.is_empty() {
        return path.to_vec();
    }
    let Ok(folder) = std::fs::read_link(format!("/proc/{pid}/cwd")) else { return path.to_vec() };
    let file = folder.join(std::ffi::OsStr::from_bytes(path));
    if file.is_file() { file.into_os_string().into_vec() } else { path.to_vec() }
}

/// Whether a script is one that the interpreter brings, by its path.
fn is_runtimes(path: &[u8]) -> bool {
    let has = |part: &[u8]| path.windows(part.len()).any(|it| it == part);
    path.starts_with(b"<frozen") || has(b"/lib/python3") || path.is_empty()
}

/// A recording in a private file without a name.
fn spool() -> std::io::Result<Writer<File>> {
    let path = std::env::temp_dir().join(format!("heapwise-{}-{:x}.spool", std::process::id(), sys::stamp()));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Writer::new(file)
}

/// Command line of a process.
fn read_command(pid: u32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command: Vec<String> = bytes
        .split(|&it| it == 0)
        .filter(|it| !it.is_empty())
        .map(|it| String::from_utf8_lossy(it).into_owned())
        .collect();
    (!command.is_empty()).then_some(command)
}

struct Figures {
    rss_bytes: u64,
    minor_faults: u64,
    major_faults: u64,
    swap_bytes: u64,
}

/// From `/proc/PID/stat` (proc(5)) and, for swap, `/proc/PID/status`.
fn read_figures(pid: u32) -> Option<Figures> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = &stat[stat.rfind(')')? + 2..];
    let field = |n: usize| rest.split(' ').nth(n).and_then(|it| it.parse::<u64>().ok());
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Figures {
        rss_bytes: kib("VmRSS:")? * 1024,
        minor_faults: field(7)?,
        major_faults: field(9)?,
        swap_bytes: kib("VmSwap:").unwrap_or(0) * 1024,
    })
}
