//! Checks a command before it starts, and starts it with the recorder loaded.

use crate::session::Session;
use crate::{Snapshots, node};
use heapwise_symbols::{ExecutableKind, Libc, Machine, inspect};
use heapwise_trace::ring::SESSION_ENV;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("{command}: command not found")]
    NotFound { command: String },
    #[error("{path}: {reason}", path = path.display())]
    NotExecutable { path: PathBuf, reason: String },
    /// What its `#!` line or its header names to run it is not there.
    #[error("{path}: its interpreter or loader does not exist", path = path.display())]
    NoInterpreter { path: PathBuf },
    /// It would run, but unseen.
    #[error("{path} cannot be observed: {reason}", path = path.display())]
    Unobservable { path: PathBuf, reason: String, advice: String },
    #[error("{path} could not be started: {source}", path = path.display())]
    Start { path: PathBuf, source: std::io::Error },
}

/// The file a command names, as the shell finds it.
pub fn find(command: &OsStr) -> Result<PathBuf, LaunchError> {
    let not_found = || LaunchError::NotFound { command: command.to_string_lossy().into_owned() };
    if command.is_empty() {
        return Err(not_found());
    }
    if command.as_bytes().contains(&b'/') {
        let path = PathBuf::from(command);
        return match path.metadata() {
            Ok(_) => Ok(path),
            Err(_) => Err(not_found()),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"));
    let mut denied = None;
    for folder in std::env::split_paths(&path) {
        let candidate = folder.join(command);
        match candidate.metadata() {
            Ok(it) if it.is_file() && is_executable(&candidate) => return Ok(candidate),
            Ok(it) if it.is_file() => denied = denied.or(Some(candidate)),
            _ => {}
        }
    }
    match denied {
        Some(path) => Err(LaunchError::NotExecutable { path, reason: "permission denied".to_owned() }),
        None => Err(not_found()),
    }
}

fn is_executable(path: &Path) -> bool {
    let Ok(name) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: a terminated path.
    unsafe { libc::access(name.as_ptr(), libc::X_OK) == 0 }
}

/// `#!` lines may name scripts in turn; the kernel follows four.
const SCRIPTS_MAX: usize = 5;

/// Finds the command and says why it could not be observed, before anything runs.
pub fn check_command(command: &OsStr) -> Result<PathBuf, LaunchError> {
    let path = find(command)?;
    let metadata = path.metadata().map_err(|source| LaunchError::Start { path: path.clone(), source })?;
    let denied = |reason: &str| LaunchError::NotExecutable { path: path.clone(), reason: reason.to_owned() };
    if metadata.is_dir() {
        return Err(denied("is a directory"));
    }
    if metadata.permissions().mode() & 0o111 == 0 || !is_executable(&path) {
        return Err(denied("permission denied"));
    }
    let mut at = path.clone();
    for _ in 0..SCRIPTS_MAX {
        match check_file(&at)? {
            Some(interpreter) => at = interpreter,
            None => break,
        }
    }
    Ok(path)
}

/// The interpreter of a script; `None` for a program that can be observed.
fn check_file(path: &Path) -> Result<Option<PathBuf>, LaunchError> {
    // A program that may be run but not read is started, and the loader decides.
    let Ok(executable) = inspect(path) else { return Ok(None) };
    let refuse = |reason: &str, advice: &str| {
        Err(LaunchError::Unobservable {
            path: path.to_owned(),
            reason: reason.to_owned(),
            advice: advice.to_owned(),
        })
    };
    if executable.needs_privilege {
        return refuse(
            "it has the set-user-id or set-group-id bit or file capabilities, so the system lets no library be loaded into it",
            "run a copy without those bits (cp it somewhere), as a user who has the rights it needs",
        );
    }
    match executable.kind {
        ExecutableKind::Script { interpreter, .. } => Ok(Some(PathBuf::from(interpreter))),
        ExecutableKind::Native(native) => {
            if native.bits != 64 || native.machine != Machine::X86_64 {
                return refuse(
                    &format!(
                        "it is a {}-bit {} program; Heapwise knows 64-bit x86-64 ones",
                        native.bits, native.machine
                    ),
                    "build it for x86-64",
                );
            }
            if native.is_static {
                return refuse(
                    "it is statically linked: no loader runs into which the recorder could be put",
                    "link it dynamically (without -static) for the observed run",
                );
            }
            if native.libc == Libc::Musl {
                return refuse("it is linked with musl; Heapwise knows glibc", "build it for a glibc target");
            }
            Ok(None)
        }
        ExecutableKind::Other if is_binary(path) => Err(LaunchError::NotExecutable {
            path: path.to_owned(),
            reason: "neither a program of this system nor a script".to_owned(),
        }),
        ExecutableKind::Other => Ok(None),
    }
}

/// Whether a file that the kernel cannot run is no shell script either, as shells judge: by its first line.
fn is_binary(path: &Path) -> bool {
    let mut start = Vec::new();
    let Ok(file) = std::fs::File::open(path) else { return false };
    if file.take(128).read_to_end(&mut start).is_err() {
        return false;
    }
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"\x7fELF") || line.contains(&0)
}

/// What the program would have inherited from whoever started `heapwise`: both last through `exec`, and
/// `std` and our own handlers change them.
#[derive(Clone, Copy)]
pub struct Inherited {
    /// Bit `n`: signal `n` is ignored.
    ignored: u128,
    blocked: libc::sigset_t,
}

/// Whether `SIGPIPE` was ignored when `heapwise` began; `std` ignores it before `main`.
static IS_PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

// SAFETY: the loader runs what stands in this section once, before `main`, with this signature.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_STD: extern "C" fn() = note_pipe;

extern "C" fn note_pipe() {
    IS_PIPE_IGNORED.store(is_ignored(libc::SIGPIPE), Relaxed);
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: asks only; the structure outlives the call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

impl Inherited {
    /// To be called before any handler is installed.
    pub fn now() -> Inherited {
        let is_set = |signal: &i32| match *signal {
            libc::SIGPIPE => IS_PIPE_IGNORED.load(Relaxed),
            other => is_ignored(other),
        };
        let ignored = (1..=libc::SIGRTMAX()).filter(is_set).fold(0, |bits, it| bits | 1 << it);
        // SAFETY: asks only; the set outlives the call.
        let blocked = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
            set
        };
        Inherited { ignored, blocked }
    }

    /// In the child before `exec`; async-signal-safe.
    fn restore(&self) {
        for signal in (1..=libc::SIGRTMAX()).filter(|it| self.ignored >> it & 1 == 1) {
            // SAFETY: no handler is involved.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        // SAFETY: the set is one that the kernel gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.blocked, std::ptr::null_mut()) };
    }
}

/// Starts the command with the recorder loaded.
pub fn start(
    path: &Path,
    command: &[OsString],
    session: &Session,
    inherited: Inherited,
    snapshots: Snapshots,
) -> Result<Child, LaunchError> {
    let mut preload = session.recorder().into_os_string();
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|it| !it.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    let [name, arguments @ ..] = command else {
        return Err(LaunchError::NotFound { command: String::new() });
    };
    let mut program = Command::new(path);
    program
        .arg0(name)
        .args(arguments)
        .env("LD_PRELOAD", preload)
        .env(OsStr::from_bytes(SESSION_ENV), session.folder())
        .envs(node::environment(session, snapshots));
    // SAFETY: makes system calls only.
    unsafe {
        program.pre_exec(move || {
            inherited.restore();
            Ok(())
        });
    }
    program.spawn().map_err(|source| match source.raw_os_error() {
        Some(libc::ENOENT) => LaunchError::NoInterpreter { path: path.to_owned() },
        Some(libc::EACCES | libc::ENOEXEC) => {
            LaunchError::NotExecutable { path: path.to_owned(), reason: source.to_string() }
        }
        _ => LaunchError::Start { path: path.to_owned(), source },
    })
}
