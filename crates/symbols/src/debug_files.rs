//! Where debug information is when it is not in the module itself.
//!
//! Tried in this order, each verified: by build id (`DEBUGDIR/.build-id/xx/yyyy.debug`), then by
//! `.gnu_debuglink` beside the module, in `.debug/` beside it, and under `DEBUGDIR` with the module's own
//! folder. What a file shares with others (`.gnu_debugaltlink`, made by dwz) and split units
//! (`.dwo`, `.dwp`) are looked for once a debug file is open.

use crate::elf::Elf;
use crate::source::Source;
use std::path::{Path, PathBuf};

/// Checksums are computed in pieces of this size.
const PIECE: usize = 1 << 20;

/// Folders and root of [`crate::Options`], ready to look in.
pub(crate) struct Search {
    /// With the root already before them.
    pub(crate) debug_dirs: Vec<PathBuf>,
    pub(crate) root: Option<PathBuf>,
}

impl Search {
    /// A path of the recorded file system as it is here.
    pub(crate) fn rooted(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    /// The separate debug file of `elf`, which lies at `path` (of the recorded file system).
    pub(crate) fn find_debug(&self, elf: &Elf, path: &Path) -> Option<Elf> {
        self.find_by_build_id(&elf.build_id).or_else(|| self.find_by_link(elf, path))
    }

    fn find_by_build_id(&self, build_id: &[u8]) -> Option<Elf> {
        let (first, rest) = build_id.split_first().filter(|(_, rest)| !rest.is_empty())?;
        let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.debug_dirs.iter().find_map(|folder| {
            let path = folder.join(format!(".build-id/{first:02x}/{rest}.debug"));
            open_elf(&path).filter(|found| found.build_id == build_id)
        })
    }

    fn find_by_link(&self, elf: &Elf, path: &Path) -> Option<Elf> {
        let link = elf.debug_link()?;
        let folder = path.parent()?;
        let beside = self.rooted(folder);
        let below = folder.strip_prefix("/").unwrap_or(folder);
        let places = [beside.join(&link.name), beside.join(".debug").join(&link.name)]
            .into_iter()
            .chain(self.debug_dirs.iter().map(|dir| dir.join(below).join(&link.name)));
        for place in places {
            let Some(found) = open_elf(&place) else {
                continue;
            };
            // Equal build ids say more than a checksum, and cost nothing.
            let is_same_build = !elf.build_id.is_empty() && found.build_id == elf.build_id;
            if is_same_build || crc32(&found.source) == Some(link.crc) {
                return Some(found);
            }
        }
        None
    }

    /// The file that `elf` shares debug information with; `path` is where `elf` lies here.
    pub(crate) fn find_supplementary(&self, elf: &Elf, path: &Path) -> Option<Elf> {
        let link = elf.debug_alt_link()?;
        let named = if link.name.starts_with('/') {
            self.rooted(Path::new(&link.name))
        } else {
            path.parent()?.join(&link.name)
        };
        open_elf(&named)
            .filter(|found| found.build_id == link.build_id)
            .or_else(|| self.find_by_build_id(&link.build_id))
    }

    /// The file of a split unit: as recorded, or beside the module. Its id is checked when it is read.
    pub(crate) fn find_split(&self, module: &Path, comp_dir: &str, name: &str) -> Option<Elf> {
        let recorded = Path::new(comp_dir).join(name);
        let recorded =
            recorded.is_absolute().then(|| self.rooted(&recorded)).and_then(|path| open_elf(&path));
        recorded.or_else(|| open_elf(&self.rooted(module).parent()?.join(Path::new(name).file_name()?)))
    }

    /// The package of all split units: the module's path with `.dwp` added.
    pub(crate) fn find_package(&self, module: &Path) -> Option<Elf> {
        let mut path = self.rooted(module).into_os_string();
        path.push(".dwp");
        open_elf(Path::new(&path))
    }
}

fn open_elf(path: &Path) -> Option<Elf> {
    Elf::parse(Source::open(path).ok()?)
}

fn crc32(source: &Source) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0u8; PIECE];
    let mut at = 0;
    while at < source.len() {
        let len = (source.len() - at).min(PIECE as u64) as usize;
        source.fill(at, &mut piece[..len])?;
        hasher.update(&piece[..len]);
        at += len as u64;
    }
    Some(hasher.finalize())
}
