//! Which file an address belongs to. `heapwise` learns of a module when the first frame in it is seen.

use crate::stream::Thread;
use crate::{frames, real, sys};
use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use heapwise_trace::ring::blob;

/// glibc's `struct dl_find_object` (2.35, dl-find_object manual page).
#[repr(C)]
pub struct Object {
    pub flags: u64,
    pub map_start: *const u8,
    pub map_end: *const u8,
    link_map: *const LinkMap,
    /// `.eh_frame_hdr`, null when the file has none.
    pub eh_frame: *const u8,
    reserved: [u64; 7],
}

/// The public beginning of `struct link_map` (link.h).
#[repr(C)]
struct LinkMap {
    bias: u64,
    name: *const c_char,
}

/// The loaded file that contains `address`. Safe in signal handlers, takes no lock.
pub fn find(address: u64) -> Option<Object> {
    let find = real::FIND_OBJECT.get();
    if find == 0 {
        return crate::cfi::find_by_iteration(address);
    }
    let mut object = core::mem::MaybeUninit::<Object>::zeroed();
    // SAFETY: glibc's documented signature; the result is written only on success (0).
    unsafe {
        let f = real::call!(find, fn(*const c_void, *mut Object) -> i32);
        (f(address as *const c_void, object.as_mut_ptr()) == 0).then(|| object.assume_init())
    }
}

impl Object {
    /// Built by hand where `_dl_find_object` is missing (before glibc 2.35).
    pub fn from_parts(map_start: *const u8, map_end: *const u8, eh_frame: *const u8) -> Object {
        Object { flags: 0, map_start, map_end, link_map: core::ptr::null(), eh_frame, reserved: [0; 7] }
    }
}

const KNOWN_MAX: usize = 2048;
/// Ranges already announced in this image: base and end; 0 is free.
static KNOWN: [(AtomicU64, AtomicU64); KNOWN_MAX] =
    [const { (AtomicU64::new(0), AtomicU64::new(0)) }; KNOWN_MAX];
static COUNT: AtomicU32 = AtomicU32::new(0);

pub fn reset() {
    COUNT.store(0, Release);
    for (base, end) in &KNOWN {
        if base.swap(0, Relaxed) == 0 && end.load(Relaxed) == 0 {
            break;
        }
        end.store(0, Relaxed);
    }
}

fn known() -> &'static [(AtomicU64, AtomicU64)] {
    &KNOWN[..(COUNT.load(Acquire) as usize).min(KNOWN_MAX)]
}

/// Writes the module of `address` into the stream, unless some stream has it already.
pub fn announce(thread: &mut Thread, address: u64) {
    let address = address - 1;
    if known().iter().any(|(base, end)| base.load(Relaxed) <= address && address < end.load(Relaxed)) {
        return;
    }
    let Some(object) = find(address) else { return };
    let (base, end) = (object.map_start as u64, object.map_end as u64);
    let at = COUNT.fetch_add(1, AcqRel) as usize;
    if at < KNOWN_MAX {
        KNOWN[at].1.store(end, Relaxed);
        KNOWN[at].0.store(base, Release);
    }
    let mut buffer = [0u8; 1024];
    // SAFETY: the loader keeps a link map and its name as long as the object is loaded, and code of it is on the stack.
    let (bias, name) = unsafe {
        match object.link_map.as_ref() {
            Some(map) if !map.name.is_null() => (map.bias, core::ffi::CStr::from_ptr(map.name).to_bytes()),
            _ => (base, &b""[..]),
        }
    };
    let path = if name.is_empty() {
        let n = sys::readlink(b"/proc/self/exe\0", &mut buffer);
        &buffer[..n]
    } else {
        &name[..name.len().min(4096)]
    };
    let mut id = [0u8; 64];
    let length = build_id(object.map_start, end, bias, &mut id);
    thread.write_blob(
        blob::MODULE,
        &[&base.to_le_bytes(), &end.to_le_bytes(), &bias.to_le_bytes(), &[length as u8], &id[..length], path],
    );
}

/// Reads the GNU build id from the notes of a mapped ELF file.
fn build_id(start: *const u8, end: u64, bias: u64, id: &mut [u8; 64]) -> usize {
    // SAFETY: the loader mapped the first page of the file at `start` (it read the headers from there),
    // and maps a PT_NOTE that lies inside a PT_LOAD; both are checked to be within the object.
    unsafe {
        let read16 = |at: *const u8| at.cast::<u16>().read_unaligned();
        let read32 = |at: *const u8| at.cast::<u32>().read_unaligned();
        let read64 = |at: *const u8| at.cast::<u64>().read_unaligned();
        if read32(start) != u32::from_le_bytes(*b"\x7fELF") {
            return 0;
        }
        let (headers, size, count) = (read64(start.add(32)), read16(start.add(54)), read16(start.add(56)));
        if size != 56 || headers + 56 * count as u64 > sys::PAGE as u64 {
            return 0;
        }
        for i in 0..count as u64 {
            let header = start.add((headers + 56 * i) as usize);
            const PT_NOTE: u32 = 4;
            let (mut at, length) = (bias.wrapping_add(read64(header.add(16))), read64(header.add(40)));
            let note_end = at.saturating_add(length);
            if read32(header) != PT_NOTE || at < start as u64 || note_end > end {
                continue;
            }
            while at + 12 <= note_end {
                let note = at as *const u8;
                let (name, desc, kind) =
                    (read32(note) as u64, read32(note.add(4)) as u64, read32(note.add(8)));
                let value = at + 12 + name.next_multiple_of(4);
                if kind == 3
                    && name == 4
                    && read32(note.add(12)) == u32::from_le_bytes(*b"GNU\0")
                    && value + desc <= note_end
                {
                    let n = (desc as usize).min(id.len());
                    core::ptr::copy_nonoverlapping(value as *const u8, id.as_mut_ptr(), n);
                    return n;
                }
                at = value + desc.next_multiple_of(4);
            }
        }
        0
    }
}

/// After `dlclose`: says which modules are gone and forgets their frames.
pub fn check_unloaded(thread: &mut Thread) {
    for (base, end) in known() {
        let (from, to) = (base.load(Relaxed), end.load(Relaxed));
        if from != 0 && find(from).is_none_or(|it| it.map_end as u64 != to) {
            base.store(u64::MAX, Relaxed);
            end.store(0, Relaxed);
            frames::forget(from, to);
            thread.write_blob(blob::UNLOAD, &[&from.to_le_bytes(), &to.to_le_bytes()]);
        }
    }
}

/// Whether `address` lies in libstdc++ or libc++, whose operators call `malloc` and `free`.
pub fn is_cxx_runtime(address: u64) -> bool {
    let Some(object) = find(address) else { return false };
    // SAFETY: as in `announce`.
    let name = unsafe {
        match object.link_map.as_ref() {
            Some(map) if !map.name.is_null() => core::ffi::CStr::from_ptr(map.name).to_bytes(),
            _ => return true,
        }
    };
    let file = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    file.starts_with(b"libstdc++.") || file.starts_with(b"libc++")
}
