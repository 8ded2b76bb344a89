//! What the program tells of itself: a function of ours that it may call, if it finds it.

use crate::{exit, python, stream};
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicU64, Ordering::*};
use heapwise_trace::ring::{Record, blob, tag, wide};

/// Bytes of a name that are kept.
const NAME_MAX: usize = 1000;

static MARKS: AtomicU64 = AtomicU64::new(0);

/// Says that `name` begins, and that what was said before has ended; an empty name begins nothing. 1 where this was
/// recorded, else 0.
///
/// # Safety
/// `name` is null or a terminated text.
#[cfg_attr(feature = "cdylib", unsafe(no_mangle))]
unsafe extern "C" fn heapwise_mark(name: *const c_char) -> i32 {
    let name = match name.is_null() {
        true => &[],
        // SAFETY: by the caller.
        false => unsafe { CStr::from_ptr(name) }.to_bytes(),
    };
    let (mut is_recorded, mut number) = (0, 0);
    stream::with(|thread| {
        number = MARKS.fetch_add(1, Relaxed) + 1;
        thread.write_blob(blob::MARK, &[&number.to_le_bytes(), &name[..name.len().min(NAME_MAX)]]);
        thread.mark(Record::new(tag::WIDE, wide::MARK, 0, number));
        is_recorded = 1;
    });
    if is_recorded != 0 && python::has_accounts() {
        exit::wait_for_accounts(number as u32);
    }
    is_recorded
}
