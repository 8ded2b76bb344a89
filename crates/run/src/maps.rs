//! What a process has mapped (`/proc/PID/maps`, proc(5)).

/// A line of it.
pub struct Region {
    pub start: u64,
    pub end: u64,
    pub is_readable: bool,
    pub is_writable: bool,
    pub is_executable: bool,
    pub is_file: bool,
    pub path: String,
}

impl Region {
    pub fn contains(&self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }
}

/// All mappings of a process, by address.
pub fn read(pid: u32) -> std::io::Result<Vec<Region>> {
    let text = std::fs::read(format!("/proc/{pid}/maps"))?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Region> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let flags = fields.next()?.as_bytes();
    let inode = fields.nth(2)?;
    let flag = |i: usize, letter: u8| flags.get(i) == Some(&letter);
    Some(Region {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        is_readable: flag(0, b'r'),
        is_writable: flag(1, b'w'),
        is_executable: flag(2, b'x'),
        is_file: inode != "0",
        path: fields.next().unwrap_or("").trim_start().to_owned(),
    })
}

/// The region of an address.
pub fn find(regions: &[Region], addr: u64) -> Option<&Region> {
    let after = regions.partition_point(|it| it.start <= addr);
    regions[..after].last().filter(|it| addr < it.end)
}

/// Anonymous memory right behind a file's writable data.
pub fn is_bss(region: &Region, regions: &[Region]) -> bool {
    !region.is_file
        && region.path.is_empty()
        && regions.iter().any(|it| it.end == region.start && it.is_file && it.is_writable)
}

/// Our own files in the process: the recorder, the control page and the rings. (What the recorder has of
/// anonymous memory, its `.bss` included, it tells itself.)
pub fn is_own_file(path: &str) -> bool {
    let mut parts = path.trim_end_matches(" (deleted)").rsplit('/');
    let (file, folder) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    folder.starts_with("heapwise-")
        && (file.starts_with("ring-") || file == "control" || file.starts_with("libheapwise_recorder."))
}

/// glibc's writable data, where its allocator keeps its bins; with the anonymous memory behind it.
pub fn is_libc(region: &Region, regions: &[Region]) -> bool {
    let is_name = |path: &str| {
        path.rsplit('/')
            .next()
            .is_some_and(|file| file.starts_with("libc.so.6") || file.starts_with("libc-2"))
    };
    is_name(&region.path)
        || is_bss(region, regions) && regions.iter().any(|it| it.end == region.start && is_name(&it.path))
}
