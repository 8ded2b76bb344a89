//! From lines of scripts that were generated to those that somebody wrote.
//!
//! A script names its source map at its end (`//# sourceMappingURL=`), a file or the map itself; of scripts that were
//! made in memory, the runtime tells.

use heapwise_model::ObjectHeap;
use rustc_hash::FxHashMap;
use sourcemap::{DecodedMap, SourceMap};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Scripts and maps beyond this size are not read.
const BYTES_MAX: u64 = 64 << 20;

/// A place in a source: path, line, column, both 1-based.
pub type Origin = (String, u32, u32);

/// The source maps of scripts, read when they are asked for.
#[derive(Default)]
pub struct SourceMaps {
    /// By script: where its map is, or the map itself, as the runtime says.
    told: BTreeMap<String, String>,
    known: FxHashMap<String, Option<Mapped>>,
}

struct Mapped {
    map: SourceMap,
    /// What its sources are relative to.
    base: PathBuf,
}

impl SourceMaps {
    pub fn new(told: BTreeMap<String, String>) -> SourceMaps {
        let told = told.into_iter().map(|(url, map)| (path_of(&url).to_owned(), map)).collect();
        SourceMaps { told, known: FxHashMap::default() }
    }

    /// Where a place of a script (1-based) was written; `None` where no map says, or the source is not here.
    pub fn origin(&mut self, script: &str, line: u32, column: u32) -> Option<Origin> {
        let told = self.told.get(script).map(String::as_str);
        let mapped =
            self.known.entry(script.to_owned()).or_insert_with(|| Mapped::read(script, told)).as_ref()?;
        let token = mapped.map.lookup_token(line.checked_sub(1)?, column.saturating_sub(1))?;
        let source = mapped.source(token.get_source()?)?;
        Some((source, token.get_src_line().checked_add(1)?, token.get_src_col().checked_add(1)?))
    }

    /// Moves the places of a heap's functions and classes to their sources.
    pub fn apply(&mut self, heap: &mut ObjectHeap) {
        let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
        let mut next = heap.scripts.last().map_or(0, |it| it.0);
        for place in &mut heap.places {
            let Ok(at) = heap.scripts.binary_search_by_key(&place.script, |it| it.0) else { continue };
            let Some((source, line, column)) = self.origin(&heap.scripts[at].1, place.line, place.column)
            else {
                continue;
            };
            let number = *numbers.entry(source).or_insert_with(|| {
                next = next.saturating_add(1);
                next
            });
            (place.script, place.line, place.column) = (number, line, column);
        }
        let mut added: Vec<(u32, String)> =
            numbers.into_iter().map(|(path, number)| (number, path)).collect();
        added.sort_unstable();
        heap.scripts.extend(added);
    }
}

impl Mapped {
    fn read(script: &str, told: Option<&str>) -> Option<Mapped> {
        let path = Path::new(script);
        let folder = path.parent().filter(|_| path.is_absolute())?;
        let url = match told {
            Some(url) => url.to_owned(),
            None => {
                let text = read(path)?;
                sourcemap::locate_sourcemap_reference_slice(&text).ok()??.get_url().to_owned()
            }
        };
        let (map, base) = if url.starts_with("data:") {
            (sourcemap::decode_data_url(&url).ok()?, folder.to_owned())
        } else {
            let file = folder.join(path_of(&url));
            let base = file.parent()?.to_owned();
            (sourcemap::decode_slice(&read(&file)?).ok()?, base)
        };
        let map = match map {
            DecodedMap::Regular(map) => map,
            DecodedMap::Index(index) => index.flatten().ok()?,
            DecodedMap::Hermes(_) => return None,
        };
        Some(Mapped { map, base })
    }

    /// The file that a map calls `name`, if it is here.
    fn source(&self, name: &str) -> Option<String> {
        let name = path_of(name);
        // Bundlers call files by a scheme of their own: `webpack://app/./src/a.ts`.
        let name = match name.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?.1,
            None => name,
        };
        let folders = self.base.ancestors().take(4);
        let mut found = folders.map(|it| plain(&it.join(name))).filter(|it| it.is_file());
        Some(found.next()?.to_string_lossy().into_owned())
    }
}

fn path_of(url: &str) -> &str {
    url.strip_prefix("file://").unwrap_or(url)
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines 1 to 3 of `out.js` are lines 5 to 7 of `src/in.ts`.
    const MAP: &str = r#"{"version":3,"sources":["../src/in.ts"],"names":[],"mappings":"AAIA;AACA;AACA"}"#;

    #[test]
    fn lines_of_sources() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for it in ["src", "dist"] {
            std::fs::create_dir(root.join(it)).unwrap();
        }
        let script = root.join("dist/out.js").to_str().unwrap().to_owned();
        std::fs::write(root.join("src/in.ts"), "").unwrap();
        std::fs::write(root.join("dist/out.js.map"), MAP).unwrap();
        std::fs::write(&script, "a\nb\nc\n//# sourceMappingURL=out.js.map\n").unwrap();
        let expected = |line| Some((root.join("src/in.ts").to_str().unwrap().to_owned(), line, 1));
        let mut maps = SourceMaps::default();
        assert_eq!(maps.origin(&script, 2, 9), expected(6));
        assert_eq!(maps.origin(&script, 0, 0), None);
        // As the runtime tells it, of a script that is nowhere.
        let url = format!("file://{}", root.join("dist/memory.js").display());
        let mut maps = SourceMaps::new(BTreeMap::from([(url.clone(), "out.js.map".to_owned())]));
        assert_eq!(maps.origin(path_of(&url), 3, 1), expected(7));
        // Damage, and what names no file.
        for map in
            ["", "{}", "{\"version\":3}", &MAP.replace("AAIA", "////"), &MAP.replace("in.ts", "gone.ts")]
        {
            std::fs::write(root.join("dist/out.js.map"), map).unwrap();
            assert_eq!(SourceMaps::default().origin(&script, 1, 1), None, "{map}");
        }
    }
}
