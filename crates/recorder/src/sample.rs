//! Some blocks for all: with a mean distance, each byte that is handed out is as likely as any other to have its block
//! told (a Poisson process over bytes, as of tcmalloc's and Go's heap profilers), so that `heapwise` can weigh each block
//! by its size alone.
//!
//! ```text
//!   handed out   bytes left until the next one  -> not reached: nobody hears of it
//!   taken back   filter: how many told blocks have that hash -> none: it is none of them
//!                words by address (`blocks`)                 -> 0: it is none of them
//! ```

use crate::{blocks, session, tls};
use core::sync::atomic::{AtomicU8, Ordering::*};

const FILTER_BITS: u32 = 15;
/// Live blocks that are told, by a hash of their address; one that is full stays so.
static FILTER: [AtomicU8; 1 << FILTER_BITS] = [const { AtomicU8::new(0) }; 1 << FILTER_BITS];
/// Who handed a block out that is told. A block of an interpreter's allocator may be one of libc's, by another name.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Giver {
    Libc = 1,
    Interpreter = 2,
}

/// Whether every block is told.
#[inline(always)]
pub fn is_exact() -> bool {
    session::sample() == 0
}

/// Whether to tell of a block of so many bytes that is to be handed out.
#[inline(always)]
pub fn takes(size: usize) -> bool {
    let mean = session::sample();
    if mean == 0 {
        return true;
    }
    let tls = tls::get();
    // SAFETY: this thread's words. A signal handler between the two makes one block more or less told.
    unsafe {
        let left = (*tls).left.saturating_sub(size.min(isize::MAX as usize) as i64);
        (*tls).left = left;
        left <= 0 && reached(tls, mean)
    }
}

/// # Safety
/// `tls` is this thread's.
#[cold]
#[inline(never)]
unsafe fn reached(tls: *mut tls::Tls, mean: u64) -> bool {
    // SAFETY: by the caller.
    unsafe {
        let is_first = (*tls).random == 0;
        if is_first {
            (*tls).random = (crate::sys::stamp() ^ tls as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        }
        // xorshift64 (Marsaglia 2003).
        let mut random = (*tls).random;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (*tls).random = random;
        (*tls).left = distance(random, mean);
        // A thread's first block is as good as any other.
        !is_first
    }
}

/// Bytes until the next block, of an exponential distribution: -ln(u) times the mean, u uniform in (0, 1].
fn distance(random: u64, mean: u64) -> i64 {
    let random = random.max(1);
    let zeros = random.leading_zeros();
    // u = (1 + f) / 2^(zeros + 1).
    let mantissa = (random << zeros << 1) >> 12;
    let f = mantissa as f64 / (1u64 << 52) as f64;
    // log2(1 + f), to 3e-5: least squares over [0, 1].
    let log = f * (1.442_095 + f * (-0.710_121 + f * (0.417_285 + f * (-0.194_398 + f * 0.045_141))));
    let nats = (f64::from(zeros) + 1.0 - log).max(0.0) * core::f64::consts::LN_2;
    (nats * mean as f64) as i64 + 1
}

#[inline(always)]
fn filter(block: u64) -> &'static AtomicU8 {
    &FILTER[((block >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS)) as usize]
}

/// Notes a block that is told; false where there is no room to.
#[cold]
#[inline(never)]
pub fn tell(block: u64, giver: Giver) -> bool {
    if is_exact() {
        return true;
    }
    let Some(word) = blocks::new_word(block) else { return false };
    word.store(giver as u32, Relaxed);
    let count = filter(block);
    let _ = count.fetch_update(Relaxed, Relaxed, |it| it.checked_add(1));
    true
}

/// Whether a block that is to be taken back was told; it is no longer.
#[inline(always)]
pub fn was_told(block: u64, giver: Giver) -> bool {
    is_exact() || filter(block).load(Relaxed) != 0 && forget(block, giver)
}

#[cold]
#[inline(never)]
fn forget(block: u64, giver: Giver) -> bool {
    let Some(word) = blocks::word(block) else { return false };
    if word.compare_exchange(giver as u32, 0, Relaxed, Relaxed).is_err() {
        return false;
    }
    let _ = filter(block).fetch_update(Relaxed, Relaxed, |it| match it {
        0 | u8::MAX => None,
        it => Some(it - 1),
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_exponential() {
        let mut random = 88_172_645_463_325_252u64;
        let mean = 64 << 10;
        let mut all: Vec<i64> = (0..200_000)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                distance(random, mean)
            })
            .collect();
        let average = all.iter().sum::<i64>() as f64 / all.len() as f64 / mean as f64;
        assert!((0.98..1.02).contains(&average), "{average}");
        all.sort_unstable();
        // Quantiles of the exponential distribution.
        for (part, expected) in [(0.1, 0.105), (0.5, 0.693), (0.9, 2.303), (0.99, 4.605)] {
            let found = all[(all.len() as f64 * part) as usize] as f64 / mean as f64;
            assert!((found / expected - 1.0).abs() < 0.05, "{part}: {found}");
        }
    }
}
