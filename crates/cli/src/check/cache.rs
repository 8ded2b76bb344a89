//! Results of earlier checks, so that nothing is checked again that has not changed.
//!
//! ```text
//! key = tool, folder, files, how each is compiled, options      entry = what every file read held, the result
//! ```
//!
//! An entry holds for the files that its check asked for, headers and those that were not there among them: each
//! must hold what it held then, by its hash. So a result that comes from here is the one that a check would give.
//! Where one of them changed, only what changed is lowered again (see [`super::modules`]), and C and C++ functions are
//! analyzed only where their code or what they see of others changed: beside the result stand the parts that it was
//! made from ([`Kept`]).
//!
//! Entries are written whole or not at all; what is damaged, of another version or too large is as if it were
//! not there. Invariant: nothing in an entry is an index, and nothing in it is trusted to be short.

use super::Subject;
use super::sources::Texts;
use heapwise_check::analysis::kept::Kept;
use heapwise_model::{
    Confidence, Edit, Engine, Excerpt, Finding, Fix, Kind, Language, Location, Place, Related, Report, Rule,
    Safety, Severity, SourceTotals,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// First bytes of a result and of its parts; the last one counts versions.
const MAGIC: &[u8; 8] = b"hwcheck\x02";
const MAGIC_ENTRIES: &[u8; 8] = b"hwparts\x01";
/// Larger results are not kept.
const ENTRY_MAX: u64 = 128 << 20;
/// What all entries may take; the ones that were not used for longest go.
const TOTAL_MAX: u64 = 512 << 20;
/// What the names of results end with, those of functions' results, and those of modules.
const END: &str = "checked";
pub const FUNCTIONS: &str = "functions";
pub const MODULES: &str = "modules";

pub type Hash = [u8; 32];

/// The folder of entries.
pub struct Cache {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    /// What each file held; `None`: there was none.
    files: Vec<(String, Option<Hash>)>,
    notes: Vec<String>,
    findings: Vec<KeptFinding>,
    excerpts: Vec<(String, u32, Vec<String>)>,
    totals: (u64, u64),
}

#[derive(Serialize, Deserialize)]
struct KeptFinding {
    rule: String,
    kind: Option<String>,
    severity: Severity,
    confidence: Confidence,
    language: Option<Language>,
    message: String,
    place: KeptLocation,
    related: Vec<(String, KeptLocation)>,
    help: Option<String>,
    fix: Option<KeptFix>,
}

#[derive(Serialize, Deserialize)]
struct KeptFix(String, Safety, Vec<(KeptLocation, String)>);

#[derive(Serialize, Deserialize)]
struct KeptLocation(String, u32, Option<u32>, Option<u32>, Option<u32>, Option<String>);

impl Cache {
    /// The user's; `None` where there is no place for it.
    pub fn of_user() -> Option<Cache> {
        let absolute = |it: &PathBuf| it.is_absolute();
        let folder =
            std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute).or_else(|| {
                let home = std::env::var_os("HOME").map(PathBuf::from).filter(absolute)?;
                Some(home.join(".cache"))
            })?;
        Some(Cache { folder: folder.join("heapwise") })
    }

    /// The result of a check, if all that it read is as it was.
    pub fn load(&self, key: &Key, texts: &Texts) -> Option<Report> {
        let path = self.path(&key.result, END);
        let entry: Entry = serde_json::from_slice(&read(&path)?).ok()?;
        let is_same = |(path, known): &(String, Option<Hash>)| texts.hash(path) == *known;
        if !entry.files.par_iter().all(is_same) {
            return None;
        }
        let report = entry.report()?;
        touch(&path);
        Some(report)
    }

    /// What an earlier check kept of the parts of these files, whatever they held then. `what`: [`FUNCTIONS`] or
    /// [`MODULES`].
    pub fn load_entries(&self, key: &Key, what: &str) -> Kept {
        let path = self.path(&key.parts, what);
        let read = || {
            let mut file = fs::File::open(&path).ok()?;
            let length = file.metadata().ok().filter(|it| it.len() <= ENTRY_MAX)?.len();
            let mut magic = [0; MAGIC_ENTRIES.len()];
            file.read_exact(&mut magic).ok().filter(|()| magic == *MAGIC_ENTRIES)?;
            // More room than there are bytes, so that their end is met without growing.
            let mut bytes = Vec::with_capacity(usize::try_from(length).ok()?);
            file.take(ENTRY_MAX).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        let kept = Kept::from_bytes(read().unwrap_or_default());
        touch(&path);
        kept
    }

    /// Keeps a result. Whether that works out changes nothing for the user.
    pub fn store(&self, key: &Key, texts: &Texts, report: &Report) {
        let Some(entry) = Entry::new(texts, report) else { return };
        let Ok(body) = serde_json::to_vec(&entry) else { return };
        self.keep(&self.path(&key.result, END), &[MAGIC, &hash(&body), &body]);
    }

    /// Keeps parts: new ones are written behind those that are there, until half is of no use.
    pub fn store_entries(&self, key: &Key, what: &str, before: &Kept, kept: &Kept) {
        if !kept.is_changed() && !before.is_damaged() {
            return;
        }
        let path = self.path(&key.parts, what);
        let is_room = kept.unused_bytes() < kept.used_bytes();
        if !before.is_empty() && !before.is_damaged() && is_room && append(&path, &kept.new_bytes()).is_ok() {
            return self.trim();
        }
        self.keep(&path, &[MAGIC_ENTRIES, &kept.to_bytes()]);
    }

    fn path(&self, key: &str, end: &str) -> PathBuf {
        self.folder.join(format!("{key}.{end}"))
    }

    fn keep(&self, path: &Path, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|it| it.len()).sum();
        if length as u64 <= ENTRY_MAX && self.write(path, parts).is_ok() {
            self.trim();
        }
    }

    fn write(&self, path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let draft = path.with_extension(std::process::id().to_string());
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        let written =
            parts.iter().try_for_each(|it| file.write_all(it)).and_then(|()| fs::rename(&draft, path));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// Removes the entries that were not used for longest, until the rest is small enough.
    fn trim(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut all: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter(|it| {
                it.path().extension().is_some_and(|it| it == END || it == FUNCTIONS || it == MODULES)
            })
            .filter_map(|it| it.metadata().ok().map(|meta| (meta, it.path())))
            .filter_map(|(meta, path)| Some((meta.modified().ok()?, meta.len(), path)))
            .collect();
        let mut total: u64 = all.iter().map(|it| it.1).sum();
        all.sort();
        for (_, length, path) in all {
            if total <= TOTAL_MAX {
                return;
            }
            if fs::remove_file(path).is_ok() {
                total -= length;
            }
        }
    }
}

/// Bytes before a result's body: magic and checksum.
const HEAD: u64 = 40;

/// The body of an undamaged result.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = limited(path)?;
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, body) = rest.split_first_chunk::<32>()?;
    if magic != MAGIC || *sum != hash(body) {
        return None;
    }
    Some(bytes.split_off(HEAD as usize))
}

fn limited(path: &Path) -> Option<Vec<u8>> {
    let is_sane = fs::metadata(path).ok()?.len() <= ENTRY_MAX;
    is_sane.then(|| fs::read(path).ok()).flatten()
}

/// One write at the end of what is there: where two processes do so, both are whole. A write that is cut short is
/// damage, which the entries' checksums see.
fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().append(true).open(path)?;
    if file.metadata()?.len() + bytes.len() as u64 > ENTRY_MAX {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    file.write_all(bytes)
}

/// When an entry was used last decides what goes first. A folder that cannot be written still serves.
fn touch(path: &Path) {
    let _ = fs::File::options().write(true).open(path).and_then(|it| it.set_modified(SystemTime::now()));
}

/// What tells a content from others.
pub fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The names of what is kept of a check.
pub struct Key {
    result: String,
    parts: String,
}

/// What a result depends on besides the content of files. `options`: all that was asked for; `config`: all that was
/// configured; `paths`: where sources were looked for. `None`: the tool does not know which build it is.
pub fn key(subject: &Subject<'_>, config: &str, paths: &[PathBuf], options: &str) -> Option<Key> {
    let tool = std::env::current_exe().and_then(fs::metadata).ok()?;
    let here = std::env::current_dir().ok()?;
    let mut all = Sha256::new();
    add(&mut all, env!("CARGO_PKG_VERSION"));
    add(&mut all, &format!("{} {:?}", tool.len(), tool.modified().ok()?));
    add(&mut all, &here.to_string_lossy());
    add(&mut all, config);
    add(&mut all, &format!("{paths:?}"));
    let parts = hexadecimal(all.clone());
    add(&mut all, options);
    subject.sources.iter().for_each(|it| add(&mut all, &subject.compiled(it)));
    Some(Key { result: hexadecimal(all), parts })
}

fn add(all: &mut Sha256, text: &str) {
    all.update((text.len() as u64).to_le_bytes());
    all.update(text);
}

fn hexadecimal(all: Sha256) -> String {
    all.finalize().iter().map(|it| format!("{it:02x}")).collect()
}

impl Entry {
    /// `None`: the report holds what entries have no room for.
    fn new(texts: &Texts, report: &Report) -> Option<Entry> {
        let hashed = |path: String| {
            let hash = texts.hash(&path);
            (path, hash)
        };
        let mut files: Vec<(String, Option<Hash>)> = texts.all().into_par_iter().map(hashed).collect();
        files.sort();
        let totals = report.read?;
        Some(Entry {
            files,
            notes: report.notes.clone(),
            findings: report.findings.iter().map(KeptFinding::new).collect::<Option<_>>()?,
            excerpts: report
                .sources
                .iter()
                .map(|it| (it.path.clone(), it.first_line, it.lines.clone()))
                .collect(),
            totals: (totals.files, totals.lines),
        })
    }

    fn report(self) -> Option<Report> {
        let excerpt = |(path, first_line, lines)| Excerpt { path, first_line, lines };
        Some(Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            findings: self.findings.into_iter().map(KeptFinding::finding).collect::<Option<_>>()?,
            notes: self.notes,
            sources: self.excerpts.into_iter().map(excerpt).collect(),
            read: Some(SourceTotals { files: self.totals.0, lines: self.totals.1 }),
            ..Report::default()
        })
    }
}

impl KeptFinding {
    fn new(it: &Finding) -> Option<KeptFinding> {
        // Named one by one, so that a new field is not forgotten here.
        let Finding {
            rule,
            kind,
            severity,
            confidence,
            engine,
            language,
            message,
            place,
            related,
            help,
            bytes,
            blocks,
            stacks,
            held,
            retainers,
            fix,
        } = it;
        let is_plain = *engine == Engine::Check
            && bytes.is_none()
            && blocks.is_none()
            && stacks.is_empty()
            && held.is_none()
            && retainers.is_none();
        if !is_plain {
            return None;
        }
        let of_place = |it: &Place| match it {
            Place::Source(at) => Some(KeptLocation::new(at)),
            _ => None,
        };
        let related = related.iter().map(|it| Some((it.message.clone(), of_place(&it.place)?)));
        let fix = fix.as_ref().map(|Fix { message, safety, edits }| {
            let edits = edits.iter().map(|it| (KeptLocation::new(&it.location), it.insert.clone()));
            KeptFix(message.clone(), *safety, edits.collect())
        });
        Some(KeptFinding {
            rule: rule.name().to_owned(),
            kind: kind.map(|it| it.name().to_owned()),
            severity: *severity,
            confidence: *confidence,
            language: *language,
            message: message.clone(),
            place: of_place(place)?,
            related: related.collect::<Option<_>>()?,
            help: help.clone(),
            fix,
        })
    }

    fn finding(self) -> Option<Finding> {
        let related = self
            .related
            .into_iter()
            .map(|(message, at)| Related { message, place: Place::Source(at.location()) });
        let fix = self.fix.map(|KeptFix(message, safety, edits)| {
            let edits = edits.into_iter().map(|(at, insert)| Edit { location: at.location(), insert });
            Fix { message, safety, edits: edits.collect() }
        });
        Some(Finding {
            rule: Rule::from_name(&self.rule)?,
            kind: match &self.kind {
                Some(name) => Some(Kind::from_name(name)?),
                None => None,
            },
            severity: self.severity,
            confidence: self.confidence,
            engine: Engine::Check,
            language: self.language,
            message: self.message,
            place: Place::Source(self.place.location()),
            related: related.collect(),
            help: self.help,
            bytes: None,
            blocks: None,
            stacks: Vec::new(),
            held: None,
            retainers: None,
            fix,
        })
    }
}

impl KeptLocation {
    fn new(it: &Location) -> KeptLocation {
        let Location { path, line, column, end_line, end_column, function } = it;
        KeptLocation(path.clone(), *line, *column, *end_line, *end_column, function.clone())
    }

    fn location(self) -> Location {
        let KeptLocation(path, line, column, end_line, end_column, function) = self;
        Location { path, line, column, end_line, end_column, function }
    }
}
