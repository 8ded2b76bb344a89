//! The thread's own CPU time: what a pause costs without what the machine does meanwhile.

/// Nanoseconds of CPU time that this thread has used; where the system does not tell, of a clock that only grows.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
pub fn thread_nanos() -> u64 {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanos: i64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }
    const THREAD_CPU_TIME: i32 = 3; // CLOCK_THREAD_CPUTIME_ID of Linux
    let mut time = Timespec { seconds: 0, nanos: 0 };
    // SAFETY: std links the C library; on 64-bit Linux its timespec is two 64-bit integers, and `time` outlives the call.
    unsafe { clock_gettime(THREAD_CPU_TIME, &raw mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanos as u64
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", not(miri))))]
pub fn thread_nanos() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
