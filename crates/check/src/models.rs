//! What library functions do, as data: one table format for all languages.
//!
//! A table is TOML: a list of `[[function]]` entries, each with `names` and what these functions do. A function
//! with an entry does what the entry says and nothing else: it keeps no argument unless `escapes` says so.
//! Sizes are sums of products over `aN` (argument N), `lenN` and `wlenN` (units of the text that argument N
//! leads to) and numbers: `"4*wlen0+4"`.
//!
//! The tables of this folder are part of the program; users' tables are read by the same code and win.

use rustc_hash::FxHashMap;
use serde::Deserialize;

/// A library that Heapwise knows.
const TABLES: &[(&str, &str)] = &[("c.toml", include_str!("models/c.toml"))];

/// Why a table was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{table}: {message}")]
    Syntax { table: String, message: String },
    #[error(
        "{table}: `{name}`: `{text}` is no size; expected a sum of products of numbers, aN, lenN and wlenN"
    )]
    Size { table: String, name: String, text: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    Number(i64),
    Argument(u8),
    /// Units before the terminator, units of so many bytes.
    Length {
        argument: u8,
        unit: u8,
    },
}

/// A sum of products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size(pub Vec<Vec<Factor>>);

/// How a failed allocation or acquisition shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fails {
    #[default]
    Never,
    /// By a null pointer.
    Null,
    /// By a negative number.
    Negative,
    /// By a result that is not zero, where the value itself comes through an argument.
    Status,
}

/// One thing that a function does. Arguments count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Allocate {
        family: u16,
        bytes: Option<Size>,
        is_zeroed: bool,
        fails: Fails,
        through: Option<u8>,
        text: Option<u8>,
    },
    Reallocate {
        argument: u8,
        bytes: Size,
    },
    Free {
        family: u16,
        argument: u8,
    },
    Acquire {
        class: u16,
        fails: Fails,
        through: Option<u8>,
        /// Numbers of 4 bytes, one after the other, that it is stored as; 0: one word.
        numbers: u8,
    },
    Release {
        class: u16,
        argument: u8,
    },
    Read {
        argument: u8,
        bytes: Size,
    },
    Write {
        argument: u8,
        bytes: Size,
        is_outside: bool,
    },
    Fill {
        argument: u8,
        value: u8,
        bytes: Size,
        unit: u8,
    },
    Copy {
        to: u8,
        from: u8,
        bytes: Size,
        may_overlap: bool,
    },
    /// Copies a text with its terminator, at most `limit` units.
    CopyText {
        to: u8,
        from: u8,
        limit: Option<Size>,
        is_appended: bool,
        is_padded: bool,
        unit: u8,
    },
    ReadText {
        argument: u8,
        unit: u8,
    },
    /// Writes a text of unknown content, at most `limit` units with its terminator.
    InputText {
        to: u8,
        limit: Option<Size>,
        unit: u8,
    },
    Format {
        to: u8,
        limit: Option<Size>,
        format: u8,
        unit: u8,
    },
    Print {
        format: u8,
    },
    Scan {
        format: u8,
    },
    Escape {
        argument: u8,
    },
    /// The pointer is followed: it may not be null.
    Follow {
        argument: u8,
    },
    Lock {
        argument: u8,
    },
    Unlock {
        argument: u8,
    },
    /// Allocates what the argument leads to, if that is null, and otherwise makes that block larger.
    Provide {
        family: u16,
        argument: u8,
    },
    /// Writes something, no more than there is room for.
    Overwrite {
        argument: u8,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Returns {
    /// Something of which nothing is known but that the library made it.
    #[default]
    Something,
    /// Input of the program of so many bytes.
    Outside(u8),
    Argument(u8),
    /// Somewhere in what that argument leads to, or null.
    Within(u8),
    Size(Size),
    Number(i64),
    /// Input of the program, from the number up to the size.
    Between(i64, Size),
}

/// What one function does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub effects: Vec<Effect>,
    pub returns: Returns,
    pub is_noreturn: bool,
}

/// All tables.
#[derive(Clone, Debug, Default)]
pub struct Models {
    models: Vec<Model>,
    by_name: FxHashMap<String, u32>,
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    function: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    names: Vec<String>,
    /// Family of the block returned.
    allocates: Option<String>,
    /// Its size.
    bytes: Option<String>,
    #[serde(default)]
    zeroed: bool,
    #[serde(default)]
    fails: Fails,
    /// The block or resource is stored where this argument leads, not returned.
    through: Option<u8>,
    /// The block is a copy of that text.
    duplicates: Option<u8>,
    /// The block returned replaces that argument's, of the same family.
    reallocates: Option<u8>,
    frees: Option<Given>,
    acquires: Option<String>,
    releases: Option<Given>,
    #[serde(default)]
    reads: Vec<Bytes>,
    #[serde(default)]
    writes: Vec<Bytes>,
    fills: Option<FillEntry>,
    copies: Option<CopyEntry>,
    copies_text: Option<TextEntry>,
    #[serde(default)]
    reads_text: Vec<u8>,
    #[serde(default)]
    reads_wide_text: Vec<u8>,
    inputs_text: Option<InputEntry>,
    formats: Option<FormatEntry>,
    prints: Option<u8>,
    scans: Option<u8>,
    #[serde(default)]
    escapes: Vec<u8>,
    /// Something is written where these arguments lead.
    #[serde(default)]
    overwrites: Vec<u8>,
    /// These arguments may not be null.
    #[serde(default)]
    follows: Vec<u8>,
    /// The lock that is taken, or given back.
    locks: Option<u8>,
    unlocks: Option<u8>,
    /// A block for what this argument leads to, if that is null.
    provides: Option<Given>,
    /// As how many descriptors in a row `acquires` and `through` store.
    #[serde(default)]
    numbers: u8,
    returns: Option<String>,
    #[serde(default)]
    noreturn: bool,
}

/// Keys of an entry.
pub const KEYS: &[&str] = &[
    "names",
    "allocates",
    "bytes",
    "zeroed",
    "fails",
    "through",
    "duplicates",
    "reallocates",
    "frees",
    "acquires",
    "releases",
    "reads",
    "writes",
    "fills",
    "copies",
    "copies-text",
    "reads-text",
    "reads-wide-text",
    "inputs-text",
    "formats",
    "prints",
    "scans",
    "escapes",
    "overwrites",
    "follows",
    "locks",
    "unlocks",
    "provides",
    "numbers",
    "returns",
    "noreturn",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, as in { argument = 0, family = \"pool\" }")]
struct Given {
    #[serde(default)]
    argument: u8,
    #[serde(alias = "class")]
    family: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bytes {
    argument: u8,
    bytes: String,
    #[serde(default)]
    outside: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FillEntry {
    to: u8,
    value: u8,
    bytes: String,
    #[serde(default = "one")]
    unit: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyEntry {
    to: u8,
    from: u8,
    bytes: String,
    #[serde(default)]
    overlap: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextEntry {
    to: u8,
    from: u8,
    limit: Option<String>,
    #[serde(default)]
    append: bool,
    #[serde(default)]
    padded: bool,
    #[serde(default = "one")]
    unit: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputEntry {
    to: u8,
    limit: Option<String>,
    #[serde(default = "one")]
    unit: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatEntry {
    to: u8,
    limit: Option<String>,
    format: u8,
    #[serde(default = "one")]
    unit: u8,
}

fn one() -> u8 {
    1
}

impl Models {
    /// The tables that come with Heapwise.
    pub fn bundled() -> Models {
        let mut it = Models::default();
        for (name, text) in TABLES {
            it.add(name, text).expect("a test reads all bundled tables");
        }
        it
    }

    /// Adds a table; its entries replace older ones of the same name.
    pub fn add(&mut self, table: &str, text: &str) -> Result<(), ModelError> {
        let parsed: Table = toml::from_str(text)
            .map_err(|it| ModelError::Syntax { table: table.to_owned(), message: it.to_string() })?;
        for entry in parsed.function {
            let model = self.compile(table, &entry)?;
            let id = u32::try_from(self.models.len()).expect("fewer than 2^32 models");
            self.models.push(model);
            for name in entry.names {
                self.by_name.insert(name, id);
            }
        }
        Ok(())
    }

    /// What a function does, by linkage or dotted name. C++ names of the C library, with
    /// their number of parameters, go by their C names.
    pub fn find(&self, name: &str) -> Option<u32> {
        let name = name.strip_prefix("::").unwrap_or(name);
        let bare = name.rsplit_once('/').map_or(name, |it| it.0);
        let plain = bare.strip_prefix("std::").unwrap_or(bare);
        [name, bare, plain].iter().find_map(|it| self.by_name.get(*it)).copied()
    }

    pub fn get(&self, id: u32) -> &Model {
        &self.models[id as usize]
    }

    /// Number of a family of allocation functions or of a class of resources.
    pub fn family(&mut self, name: &str) -> u16 {
        if let Some(it) = self.find_family(name) {
            return it;
        }
        self.names.push(name.to_owned());
        u16::try_from(self.names.len() - 1).expect("fewer than 65,536 families")
    }

    pub fn find_family(&self, name: &str) -> Option<u16> {
        self.names.iter().position(|it| it == name).map(|it| it as u16)
    }

    pub fn family_name(&self, family: u16) -> &str {
        self.names.get(usize::from(family)).map_or("unknown", String::as_str)
    }

    fn compile(&mut self, table: &str, entry: &Entry) -> Result<Model, ModelError> {
        let name = entry.names.first().map_or("", String::as_str);
        let size = |text: &str| {
            parse_size(text).ok_or_else(|| ModelError::Size {
                table: table.to_owned(),
                name: name.to_owned(),
                text: text.to_owned(),
            })
        };
        let maybe = |text: &Option<String>| text.as_deref().map(size).transpose();
        let mut effects = Vec::new();
        effects.extend(entry.locks.map(|argument| Effect::Lock { argument }));
        effects.extend(entry.unlocks.map(|argument| Effect::Unlock { argument }));
        effects.extend(entry.follows.iter().map(|&argument| Effect::Follow { argument }));
        for &argument in &entry.reads_text {
            effects.push(Effect::ReadText { argument, unit: 1 });
        }
        for &argument in &entry.reads_wide_text {
            effects.push(Effect::ReadText { argument, unit: 4 });
        }
        for it in &entry.reads {
            effects.push(Effect::Read { argument: it.argument, bytes: size(&it.bytes)? });
        }
        for it in &entry.writes {
            effects.push(Effect::Write {
                argument: it.argument,
                bytes: size(&it.bytes)?,
                is_outside: it.outside,
            });
        }
        if let Some(it) = &entry.fills {
            effects.push(Effect::Fill {
                argument: it.to,
                value: it.value,
                bytes: size(&it.bytes)?,
                unit: it.unit,
            });
        }
        if let Some(it) = &entry.copies {
            effects.push(Effect::Copy {
                to: it.to,
                from: it.from,
                bytes: size(&it.bytes)?,
                may_overlap: it.overlap,
            });
        }
        if let Some(it) = &entry.copies_text {
            effects.push(Effect::CopyText {
                to: it.to,
                from: it.from,
                limit: maybe(&it.limit)?,
                is_appended: it.append,
                is_padded: it.padded,
                unit: it.unit,
            });
        }
        if let Some(it) = &entry.inputs_text {
            effects.push(Effect::InputText { to: it.to, limit: maybe(&it.limit)?, unit: it.unit });
        }
        if let Some(it) = &entry.formats {
            effects.push(Effect::Format {
                to: it.to,
                limit: maybe(&it.limit)?,
                format: it.format,
                unit: it.unit,
            });
        }
        effects.extend(entry.prints.map(|format| Effect::Print { format }));
        effects.extend(entry.scans.map(|format| Effect::Scan { format }));
        effects.extend(entry.overwrites.iter().map(|&argument| Effect::Overwrite { argument }));
        effects.extend(entry.escapes.iter().map(|&argument| Effect::Escape { argument }));
        if let Some(it) = &entry.provides {
            effects.push(Effect::Provide { family: self.family(&it.family), argument: it.argument });
        }
        if let Some(it) = &entry.frees {
            effects.push(Effect::Free { family: self.family(&it.family), argument: it.argument });
        }
        if let Some(it) = &entry.releases {
            effects.push(Effect::Release { class: self.family(&it.family), argument: it.argument });
        }
        if let Some(argument) = entry.reallocates {
            let bytes = maybe(&entry.bytes)?.unwrap_or(Size(Vec::new()));
            effects.push(Effect::Reallocate { argument, bytes });
        }
        if let Some(family) = &entry.allocates {
            effects.push(Effect::Allocate {
                family: self.family(family),
                bytes: maybe(&entry.bytes)?,
                is_zeroed: entry.zeroed,
                fails: entry.fails,
                through: entry.through,
                text: entry.duplicates,
            });
        }
        if let Some(class) = &entry.acquires {
            effects.push(Effect::Acquire {
                class: self.family(class),
                fails: entry.fails,
                through: entry.through,
                numbers: entry.numbers,
            });
        }
        let returns = match entry.returns.as_deref() {
            None => Returns::Something,
            Some("outside") => Returns::Outside(4),
            Some("outside-8") => Returns::Outside(8),
            Some("outside-1") => Returns::Outside(1),
            Some(text) if text.starts_with("0 to ") => Returns::Between(0, size(&text[5..])?),
            Some(text) if text.starts_with("-1 to ") => Returns::Between(-1, size(&text[6..])?),
            Some(text) => match text.strip_prefix("within ").unwrap_or(text).strip_prefix('a') {
                Some(number) if number.parse::<u8>().is_ok() => {
                    let argument = number.parse().expect("checked");
                    if text.starts_with("within") {
                        Returns::Within(argument)
                    } else {
                        Returns::Argument(argument)
                    }
                }
                _ => match text.parse() {
                    Ok(number) => Returns::Number(number),
                    Err(_) => Returns::Size(size(text)?),
                },
            },
        };
        Ok(Model { effects, returns, is_noreturn: entry.noreturn })
    }
}

fn parse_size(text: &str) -> Option<Size> {
    let factor = |text: &str| {
        let text = text.trim();
        if let Some(it) = text.strip_prefix("wlen") {
            return Some(Factor::Length { argument: it.parse().ok()?, unit: 4 });
        }
        if let Some(it) = text.strip_prefix("len") {
            return Some(Factor::Length { argument: it.parse().ok()?, unit: 1 });
        }
        if let Some(it) = text.strip_prefix('a') {
            return Some(Factor::Argument(it.parse().ok()?));
        }
        Some(Factor::Number(text.parse().ok()?))
    };
    let products = text.split('+').map(|it| it.split('*').map(factor).collect());
    products.collect::<Option<Vec<Vec<Factor>>>>().map(Size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_tables_are_read() {
        let models = Models::bundled();
        let malloc = models.get(models.find("std::malloc").expect("malloc is known"));
        assert!(matches!(malloc.effects[..], [Effect::Allocate { fails: Fails::Null, .. }]));
    }

    #[test]
    fn keys_are_those_that_are_read() {
        let error =
            Models::default().add("t", "[[function]]\nnames = []\n'?' = 1\n").unwrap_err().to_string();
        let known: Vec<&str> =
            error.split("expected one of").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert_eq!(known, KEYS);
    }

    #[test]
    fn a_broken_size_is_an_error() {
        let table = "[[function]]\nnames = [\"f\"]\nallocates = \"f\"\nbytes = \"x0\"\n";
        assert!(matches!(Models::default().add("t", table), Err(ModelError::Size { .. })));
    }
}
