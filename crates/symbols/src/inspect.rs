//! What a file is before it is started: native program, script, or something else.

use crate::elf::Elf;
use crate::source::Source;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kernel looks for `#!` lines in this many bytes (`BINPRM_BUF_SIZE`).
const SCRIPT_LINE: u64 = 256;

/// Why a file could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is missing, or may not be read, or is no regular file.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// As it was asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It has no build id, or is no ELF file.
    #[error("{path} has no build id: expected an ELF file with a .note.gnu.build-id section")]
    NoBuildId {
        /// As it was asked for.
        path: PathBuf,
    },
}

/// What `run` must know of a file before it starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// How the kernel starts it.
    pub kind: ExecutableKind,
    /// It has the set-user-id or set-group-id bit or file capabilities: the loader then ignores preloaded libraries.
    pub needs_privilege: bool,
}

/// How the kernel starts a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutableKind {
    /// An ELF program or library.
    Native(Native),
    /// Begins with `#!`; the interpreter may itself be a script.
    Script {
        /// Path of the interpreter, as written.
        interpreter: String,
        /// All the rest of the line is one argument.
        argument: Option<String>,
    },
    /// Neither; also an ELF file whose headers are damaged.
    Other,
}

/// An ELF program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Native {
    /// The dynamic loader it asks for.
    pub interpreter: Option<String>,
    /// What it is compiled for.
    pub machine: Machine,
    /// 32 or 64.
    pub bits: u8,
    /// No loader runs, so nothing can be preloaded.
    pub is_static: bool,
    /// Loaded at any address.
    pub is_pie: bool,
    /// The C library it is linked with.
    pub libc: Libc,
}

/// Instruction set of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// 32-bit x86.
    X86,
    /// 64-bit x86; with 32 bits it is x32.
    X86_64,
    /// 32-bit ARM.
    Arm,
    /// 64-bit ARM.
    Aarch64,
    /// RISC-V.
    RiscV,
    /// Number of the ELF header.
    Other(u16),
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Machine::X86 => f.write_str("x86"),
            Machine::X86_64 => f.write_str("x86-64"),
            Machine::Arm => f.write_str("arm"),
            Machine::Aarch64 => f.write_str("aarch64"),
            Machine::RiscV => f.write_str("riscv"),
            Machine::Other(number) => write!(f, "machine {number}"),
        }
    }
}

/// A C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
    /// Static, or neither.
    Unknown,
}

/// Looks at a file: its headers, its first line, its permissions. Links are followed.
///
/// Fails when the file cannot be read; a directory or pipe cannot.
pub fn inspect(path: &Path) -> Result<Executable, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(read)?.permissions().mode();
    let kind = kind_of(Source::open(path).map_err(read)?);
    // Set-group-id without group execute marks mandatory locks, not a privilege.
    let is_set_id = mode & 0o4000 != 0 || mode & 0o2010 == 0o2010;
    Ok(Executable { kind, needs_privilege: is_set_id || has_capabilities(path) })
}

/// The same for bytes that are not (yet) a file.
pub fn inspect_bytes(bytes: &[u8]) -> Executable {
    Executable { kind: kind_of(Source::Bytes(Arc::from(bytes))), needs_privilege: false }
}

/// The GNU build id of an ELF file; fails when the file cannot be read or has none.
pub fn build_id(path: &Path) -> Result<Vec<u8>, Error> {
    let source = Source::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    match Elf::parse(source) {
        Some(elf) if !elf.build_id.is_empty() => Ok(elf.build_id),
        _ => Err(Error::NoBuildId { path: path.to_owned() }),
    }
}

fn has_capabilities(path: &Path) -> bool {
    let mut value = [0u8; 64];
    rustix::fs::getxattr(path, "security.capability", &mut value[..]).is_ok_and(|size| size > 0)
}

fn kind_of(source: Source) -> ExecutableKind {
    if let Some(script) = read_script(&source) {
        return script;
    }
    match Elf::parse(source) {
        Some(elf) => native_of(&elf),
        None => ExecutableKind::Other,
    }
}

fn native_of(elf: &Elf) -> ExecutableKind {
    use object::elf as constants;
    let is_program = elf.kind == constants::ET_EXEC.0 || elf.kind == constants::ET_DYN.0;
    if !is_program {
        return ExecutableKind::Other;
    }
    let interpreter = elf.interpreter.as_deref().map(|path| String::from_utf8_lossy(path).into_owned());
    let machine = match elf.machine {
        3 => Machine::X86,
        62 => Machine::X86_64,
        40 => Machine::Arm,
        183 => Machine::Aarch64,
        243 => Machine::RiscV,
        other => Machine::Other(other),
    };
    ExecutableKind::Native(Native {
        is_static: interpreter.is_none() && elf.needed.is_empty(),
        is_pie: elf.kind == constants::ET_DYN.0 && (interpreter.is_some() || elf.is_pie),
        libc: libc_of(interpreter.as_deref(), &elf.needed),
        bits: if elf.is_64 { 64 } else { 32 },
        machine,
        interpreter,
    })
}

fn libc_of(interpreter: Option<&str>, needed: &[Vec<u8>]) -> Libc {
    let loader = interpreter.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let needs = |prefix: &[u8]| needed.iter().any(|name| name.starts_with(prefix));
    if loader.starts_with("ld-musl") || needs(b"libc.musl") || needs(b"ld-musl") {
        Libc::Musl
    } else if loader.starts_with("ld-linux") || loader.starts_with("ld64.so") || needs(b"libc.so.6") {
        Libc::Glibc
    } else {
        Libc::Unknown
    }
}

/// The `#!` line as Linux reads it.
fn read_script(source: &Source) -> Option<ExecutableKind> {
    let len = source.len().min(SCRIPT_LINE) as usize;
    let mut head = [0u8; SCRIPT_LINE as usize];
    let head = &mut head[..len];
    source.fill(0, head)?;
    let rest = head.strip_prefix(b"#!")?;
    let end = rest.iter().position(|byte| matches!(byte, b'\n' | 0));
    let is_cut = end.is_none() && source.len() > SCRIPT_LINE;
    let line = &rest[..end.unwrap_or(rest.len())];
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = line.iter().position(|byte| !is_blank(byte))?;
    let line = &line[start..];
    let name_end = line.iter().position(is_blank);
    if is_cut && name_end.is_none() {
        // The name itself may be cut: the kernel refuses it.
        return None;
    }
    let (name, argument) = line.split_at(name_end.unwrap_or(line.len()));
    let argument = String::from_utf8_lossy(argument.trim_ascii()).into_owned();
    Some(ExecutableKind::Script {
        interpreter: String::from_utf8_lossy(name).into_owned(),
        argument: (!argument.is_empty()).then_some(argument),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Option<(String, Option<String>)> {
        match inspect_bytes(text.as_bytes()).kind {
            ExecutableKind::Script { interpreter, argument } => Some((interpreter, argument)),
            _ => None,
        }
    }

    #[test]
    fn script_lines_are_read_as_linux_reads_them() {
        assert_eq!(script("#!/bin/sh\nx"), Some(("/bin/sh".into(), None)));
        assert_eq!(
            script("#! /usr/bin/env \tpython3 -u \n"),
            Some(("/usr/bin/env".into(), Some("python3 -u".into())))
        );
        assert_eq!(script("#!/bin/sh"), Some(("/bin/sh".into(), None)));
        assert_eq!(script("#!\n/bin/sh"), None);
        assert_eq!(script("#!"), None);
        assert_eq!(script("x"), None);
        assert_eq!(script(&format!("#!/{}\n", "x".repeat(300))), None);
        let (name, argument) = script(&format!("#!/bin/x {}\n", "y".repeat(300))).expect("the name is whole");
        assert_eq!((name.as_str(), argument.map(|it| it.len())), ("/bin/x", Some(256 - "#!/bin/x ".len())));
    }
}
