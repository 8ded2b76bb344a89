//! The functions behind the interposed ones, found once by `dlsym(RTLD_NEXT)`.

use crate::tls;
use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[link(name = "c")]
unsafe extern "C" {
    pub fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    pub fn dlerror() -> *mut c_char;
    pub static environ: *const *const c_char;
    pub static __libc_stack_end: *const u8;
    pub fn on_exit(f: extern "C" fn(i32, *mut c_void), arg: *mut c_void) -> i32;
    pub fn pthread_key_create(key: *mut u32, destructor: Option<extern "C" fn(*mut c_void)>) -> i32;
    pub fn pthread_setspecific(key: u32, value: *const c_void) -> i32;
}

pub const RTLD_NEXT: *mut c_void = -1isize as *mut c_void;

/// A function pointer that is found at the first use.
pub struct Real {
    name: &'static core::ffi::CStr,
    at: AtomicUsize,
}

impl Real {
    pub const fn new(name: &'static core::ffi::CStr) -> Real {
        Real { name, at: AtomicUsize::new(0) }
    }

    /// Address, 0 when no other object defines it.
    #[inline(always)]
    pub fn get(&self) -> usize {
        match self.at.load(Relaxed) {
            0 => self.find(),
            at => at,
        }
    }

    #[cold]
    #[inline(never)]
    fn find(&self) -> usize {
        let tls = tls::get();
        // SAFETY: this thread's word, and a terminated name. glibc's dlsym does not allocate when it succeeds, but it
        // frees what dlerror would have said; what an operator promised is not for that.
        let at = unsafe {
            let pending = core::mem::replace(&mut (*tls).pending, 0);
            let at = dlsym(RTLD_NEXT, self.name.as_ptr()) as usize;
            (*tls).pending = pending;
            at
        };
        self.at.store(at, Relaxed);
        at
    }

    /// Where the address is kept, for assembly.
    pub const fn slot(&self) -> &AtomicUsize {
        &self.at
    }
}

macro_rules! real {
    ($($id:ident = $name:literal),* $(,)?) => { $(pub static $id: Real = Real::new($name);)* };
}

real! {
    MALLOC = c"malloc", CALLOC = c"calloc", REALLOC = c"realloc", FREE = c"free",
    MEMALIGN = c"memalign", ALIGNED_ALLOC = c"aligned_alloc", POSIX_MEMALIGN = c"posix_memalign",
    VALLOC = c"valloc", PVALLOC = c"pvalloc",
    MMAP = c"mmap", MUNMAP = c"munmap", MREMAP = c"mremap",
    DLOPEN = c"dlopen", DLCLOSE = c"dlclose", PTHREAD_CREATE = c"pthread_create",
    FORK = c"fork", EXIT_NOW = c"_exit", QUICK_EXIT = c"quick_exit",
    SIGACTION = c"sigaction", SIGNAL = c"signal",
    EXECVE = c"execve", EXECVPE = c"execvpe", FEXECVE = c"fexecve",
    POSIX_SPAWN = c"posix_spawn", POSIX_SPAWNP = c"posix_spawnp",
    OPEN = c"open", OPEN64 = c"open64", OPENAT = c"openat", OPENAT64 = c"openat64", CLOSE = c"close",
    SOCKET = c"socket", SOCKETPAIR = c"socketpair", ACCEPT = c"accept", ACCEPT4 = c"accept4",
    PIPE = c"pipe", PIPE2 = c"pipe2", DUP = c"dup", DUP2 = c"dup2", DUP3 = c"dup3",
    FCNTL = c"fcntl", FCNTL64 = c"fcntl64", EPOLL_CREATE1 = c"epoll_create1", EVENTFD = c"eventfd",
    TIMERFD_CREATE = c"timerfd_create", INOTIFY_INIT1 = c"inotify_init1", MEMFD_CREATE = c"memfd_create",
    WAIT = c"wait", WAITPID = c"waitpid", WAIT3 = c"wait3", WAIT4 = c"wait4", WAITID = c"waitid",
    VFORK = c"vfork",
    FIND_OBJECT = c"_dl_find_object",
}

/// Casts a found address to a function.
macro_rules! call {
    ($real:expr, fn($($t:ty),*) $(-> $r:ty)?) => {
        core::mem::transmute::<usize, unsafe extern "C" fn($($t),*) $(-> $r)?>($real)
    };
}
pub(crate) use call;
