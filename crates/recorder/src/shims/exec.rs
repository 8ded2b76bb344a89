//! Programs started by this one, in its process or a new one: their environment names this library and the session,
//! whatever the program has made of its own environment.

use super::resources::{self, Caller};
use crate::real::{self, call};
use crate::{session, stream, sys, tls};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_void};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use heapwise_trace::ResourceKind;

type Strings = *const *const c_char;

/// Calls `f` with `environment`, in which the recorder's variables were added where they were left out.
///
/// # Safety
/// `environment` is null or a null-terminated array of strings.
unsafe fn with_carried<R>(environment: Strings, f: impl FnOnce(Strings) -> R) -> R {
    let Some(carried) = session::header().and_then(|_| session::carried()) else { return f(environment) };
    // SAFETY: by the caller.
    let given = unsafe { Given::read(environment, &carried) };
    if given.has_other_session || (given.has_session && given.is_preloaded) {
        return f(environment);
    }
    let joined = carried.preload.len() + 1 + given.preload.map_or(0, |(_, value)| value.len()) + 1;
    let words = given.count + 3 + joined.div_ceil(8);
    let Some(room) = Room::take(words) else { return f(environment) };
    let copy = room.at.cast::<*const c_char>();
    // SAFETY: `copy` has room for the entries, three more, and the joined string behind them; nobody else uses it.
    unsafe {
        if given.count > 0 {
            core::ptr::copy_nonoverlapping(environment, copy, given.count);
        }
        let mut count = given.count;
        if !given.is_preloaded {
            let text = copy.add(given.count + 3).cast::<u8>();
            let mut at = text;
            let mut push = |part: &[u8]| {
                core::ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            };
            push(carried.preload);
            if let Some((_, value)) = given.preload.filter(|(_, value)| !value.is_empty()) {
                push(b":");
                push(value);
            }
            push(b"\0");
            let index = given.preload.map_or(count, |(index, _)| index);
            *copy.add(index) = text.cast();
            count += usize::from(index == count);
        }
        if !given.has_session {
            *copy.add(count) = carried.session.as_ptr().cast();
            count += 1;
        }
        *copy.add(count) = core::ptr::null();
    }
    let result = f(copy);
    room.give_back();
    result
}

/// What an environment says about being recorded.
struct Given<'a> {
    count: usize,
    /// Index and value of the list of preloaded libraries.
    preload: Option<(usize, &'a [u8])>,
    is_preloaded: bool,
    has_session: bool,
    /// Of a `heapwise` inside: its business.
    has_other_session: bool,
}

impl Given<'_> {
    /// # Safety
    /// `environment` is null or a null-terminated array of strings that outlive the result.
    unsafe fn read<'a>(environment: Strings, carried: &session::Carried) -> Given<'a> {
        let mut given = Given {
            count: 0,
            preload: None,
            is_preloaded: false,
            has_session: false,
            has_other_session: false,
        };
        let library = carried.preload.strip_prefix(session::PRELOAD).unwrap_or_default();
        let own_session = carried.session.strip_suffix(b"\0").unwrap_or_default();
        let name_len = own_session.iter().position(|&it| it == b'=').map_or(0, |it| it + 1);
        if environment.is_null() {
            return given;
        }
        loop {
            // SAFETY: by the caller; not yet past the terminator.
            let entry = unsafe { *environment.add(given.count) };
            if entry.is_null() {
                return given;
            }
            // SAFETY: by the caller.
            let entry = unsafe { CStr::from_ptr(entry) }.to_bytes();
            if let Some(value) = entry.strip_prefix(session::PRELOAD) {
                if given.preload.is_none() {
                    given.preload = Some((given.count, value));
                    given.is_preloaded = value.split(|&it| it == b':' || it == b' ').any(|it| it == library);
                }
            } else if entry.starts_with(&own_session[..name_len]) {
                given.has_session |= entry == own_session;
                given.has_other_session |= entry != own_session;
            }
            given.count += 1;
        }
    }
}

const WORDS: usize = 4608;

/// A place to make an environment in. Not the stack: a `vfork` child runs on its parent's, and stacks can be small.
struct Buffer {
    /// Address of the thread's words (see [`tls::get`]); 0 when free.
    owner: AtomicUsize,
    /// The process that took it, which is another than the owner's after `vfork`. When that child has become another
    /// program nobody gives the buffer back; its parent's thread, which slept until then, may take it again.
    pid: AtomicU32,
    words: UnsafeCell<[usize; WORDS]>,
}
// SAFETY: `words` belong to the thread that is the owner.
unsafe impl Sync for Buffer {}

static BUFFERS: [Buffer; 4] = [const {
    Buffer { owner: AtomicUsize::new(0), pid: AtomicU32::new(0), words: UnsafeCell::new([0; WORDS]) }
}; 4];

struct Room {
    at: *mut usize,
    words: usize,
    /// `None`: a mapping.
    buffer: Option<&'static Buffer>,
}

impl Room {
    fn take(words: usize) -> Option<Room> {
        let me = tls::get() as usize;
        let pid = sys::pid();
        let may_take = |it: &Buffer| match it.owner.load(Acquire) {
            0 => it.owner.compare_exchange(0, me, AcqRel, Relaxed).is_ok(),
            owner => owner == me && it.pid.load(Relaxed) != pid,
        };
        if words <= WORDS
            && let Some(buffer) = BUFFERS.iter().find(|it| may_take(it))
        {
            buffer.pid.store(pid, Relaxed);
            return Some(Room { at: buffer.words.get().cast(), words, buffer: Some(buffer) });
        }
        let at = sys::map(words * 8).cast::<usize>();
        (!at.is_null()).then_some(Room { at, words, buffer: None })
    }

    fn give_back(self) {
        match self.buffer {
            Some(buffer) => buffer.owner.store(0, Release),
            // SAFETY: our own mapping, not used any more.
            None => unsafe { sys::unmap(self.at.cast(), self.words * 8) },
        }
    }
}

/// Functions that replace this process's program.
macro_rules! exec {
    ($($name:ident = $real:ident($($more:ident: $t:ty),*)),* $(,)?) => { $(
        #[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
        unsafe extern "C" fn $name($($more: $t,)* arguments: Strings, environment: Strings) -> i32 {
            stream::flush();
            // SAFETY: libc's function with the program's arguments.
            unsafe {
                with_carried(environment, |it| {
                    call!(real::$real.get(), fn($($t,)* Strings, Strings) -> i32)($($more,)* arguments, it)
                })
            }
        }
    )* };
}

exec! {
    execve = EXECVE(path: *const c_char),
    execvpe = EXECVPE(path: *const c_char),
    fexecve = FEXECVE(descriptor: i32),
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn execv(path: *const c_char, arguments: Strings) -> i32 {
    // SAFETY: forwarded, with libc's environment.
    unsafe { execve(path, arguments, real::environ) }
}

#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn execvp(path: *const c_char, arguments: Strings) -> i32 {
    // SAFETY: forwarded, with libc's environment.
    unsafe { execvpe(path, arguments, real::environ) }
}

/// Functions that start a program in a new process.
macro_rules! spawn {
    ($($name:ident = $real:ident),*) => { $(
        unsafe extern "C" fn $name(
            pid: *mut i32,
            path: *const c_char,
            actions: *const c_void,
            attributes: *const c_void,
            arguments: Strings,
            environment: Strings,
            sp: *const u64,
            bp: u64,
        ) -> i32 {
            // SAFETY: libc's function with the program's arguments; it sets `pid` where it succeeds.
            unsafe {
                let error = with_carried(environment, |it| {
                    call!(
                        real::$real.get(),
                        fn(*mut i32, *const c_char, *const c_void, *const c_void, Strings, Strings) -> i32
                    )(pid, path, actions, attributes, arguments, it)
                });
                if error == 0 && let Some(pid) = pid.as_ref() {
                    resources::opened(ResourceKind::Process, *pid as u64, Caller(sp, bp));
                }
                error
            }
        }
    )* };
}

spawn!(on_posix_spawn = POSIX_SPAWN, on_posix_spawnp = POSIX_SPAWNP);
entry!(posix_spawn, 6, on_posix_spawn);
entry!(posix_spawnp, 6, on_posix_spawnp);
