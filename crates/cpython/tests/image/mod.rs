//! Hand-made memory of a CPython 3.11: a runtime, an interpreter, a thread, types, and a few objects.
//!
//! What is built is described where it is built; its addresses are fields, so that tests can name and damage them.

use heapwise_cpython::{Interpreter, Memory, Version};

/// Where the memory begins.
pub const BASE: u64 = 0x10_0000;

/// Memory that is written front to back.
pub struct Image {
    pub bytes: Vec<u8>,
    pub runtime: u64,
    pub interpreter: u64,
    /// The head of the collector's first list, and its last member.
    head: u64,
    last: u64,
    type_type: u64,
    object_type: u64,
    pub list_type: u64,
    pub dict_type: u64,
    pub tuple_type: u64,
    pub text_type: u64,
    pub int_type: u64,
    pub module_type: u64,
    /// Of `app`: its dictionary holds `CACHE`.
    pub module: u64,
    pub cache: u64,
    /// Two lists that hold each other, and nothing else holds them.
    pub garbage: [u64; 2],
    /// A list that only C code holds.
    pub held: u64,
}

impl Memory for Image {
    fn read(&self, addr: u64, into: &mut [u8]) -> usize {
        let Some(rest) = addr.checked_sub(BASE).and_then(|it| self.bytes.get(it as usize..)) else {
            return 0;
        };
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        count
    }
}

const HEAP_HEAD: u64 = 16;
const COLLECTED: u64 = 1 << 14;
const READY: u64 = 1 << 12;

impl Image {
    pub fn new() -> Image {
        let mut it = Image {
            bytes: Vec::new(),
            runtime: 0,
            interpreter: 0,
            head: 0,
            last: 0,
            type_type: 0,
            object_type: 0,
            list_type: 0,
            dict_type: 0,
            tuple_type: 0,
            text_type: 0,
            int_type: 0,
            module_type: 0,
            module: 0,
            cache: 0,
            garbage: [0; 2],
            held: 0,
        };
        it.runtime = it.room(256);
        it.interpreter = it.room(2048);
        let thread = it.room(512);
        it.put(it.runtime + 40, it.interpreter);
        it.put(it.interpreter + 16, thread);
        for at in [0, 24, 48, 80] {
            let head = it.interpreter + 672 + at;
            it.put(head, head);
            it.put(head + 8, head);
        }
        (it.head, it.last) = (it.interpreter + 672, it.interpreter + 672);
        it.type_type = it.room(416);
        it.object_type = it.class("object", 16, 0, 0);
        it.describe(it.type_type, "type", 904, 40, 1 << 31 | COLLECTED);
        it.put(it.type_type + 288, 264);
        it.list_type = it.class("list", 40, 0, 1 << 25 | COLLECTED);
        it.dict_type = it.class("dict", 48, 0, 1 << 29 | COLLECTED);
        it.tuple_type = it.class("tuple", 24, 8, 1 << 26 | COLLECTED);
        it.text_type = it.class("str", 80, 0, 1 << 28);
        it.int_type = it.class("int", 24, 4, 1 << 24);
        it.module_type = it.class("module", 56, 0, COLLECTED);
        it.put(it.module_type + 288, 16);

        let numbers: Vec<u64> = (0..3).map(|value| it.number(value)).collect();
        let keys: Vec<u64> = ["a", "b", "c"].map(|text| it.text(text)).to_vec();
        it.cache = it.dict(&[(keys[0], numbers[0]), (keys[1], numbers[1]), (numbers[2], keys[2])]);
        let (name, variable) = (it.text("app"), it.text("CACHE"));
        let attributes = it.dict(&[(variable, it.cache)]);
        it.module = it.object(it.module_type, 56, true);
        it.put(it.module + 16, attributes);
        it.put(it.module + 48, name);
        let modules = it.dict(&[(name, it.module)]);
        it.put(it.interpreter + 888, modules);
        it.garbage = [it.list(&[]), it.list(&[])];
        let [one, other] = it.garbage;
        it.fill(one, &[other]);
        it.fill(other, &[one]);
        it.held = it.list(&[keys[0]]);
        it.count();
        it.put(it.held, 1);
        // Memory has whole pages.
        it.bytes.resize(it.bytes.len().next_multiple_of(4096), 0);
        it
    }

    pub fn interpreter(&self) -> Interpreter {
        Interpreter { runtime: self.runtime, version: Version::new(3, 11) }
    }

    fn room(&mut self, size: u64) -> u64 {
        let at = self.bytes.len().next_multiple_of(16);
        self.bytes.resize(at + size as usize, 0);
        BASE + at as u64
    }

    pub fn put(&mut self, addr: u64, word: u64) {
        let at = (addr - BASE) as usize;
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    pub fn get(&self, addr: u64) -> u64 {
        let at = (addr - BASE) as usize;
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    fn class(&mut self, name: &str, basic: u64, item: u64, flags: u64) -> u64 {
        let at = self.room(416);
        self.describe(at, name, basic, item, flags);
        at
    }

    fn describe(&mut self, at: u64, name: &str, basic: u64, item: u64, flags: u64) {
        let text = self.room(name.len() as u64 + 1);
        let start = (text - BASE) as usize;
        self.bytes[start..start + name.len()].copy_from_slice(name.as_bytes());
        let base = if self.object_type == at { 0 } else { self.object_type };
        for (offset, word) in
            [(8, self.type_type), (24, text), (32, basic), (40, item), (168, flags | READY), (256, base)]
        {
            self.put(at + offset, word);
        }
    }

    /// An object, in the collector's list if it is `collected`.
    pub fn object(&mut self, class: u64, size: u64, collected: bool) -> u64 {
        let at = self.room(HEAP_HEAD + size) + HEAP_HEAD;
        self.put(at + 8, class);
        if collected {
            let links = at - HEAP_HEAD;
            self.put(self.last, links);
            self.put(links + 8, self.last);
            self.put(links, self.head);
            self.put(self.head + 8, links);
            self.last = links;
        }
        at
    }

    pub fn text(&mut self, text: &str) -> u64 {
        let at = self.object(self.text_type, 48 + text.len() as u64 + 1, false);
        self.put(at + 16, text.len() as u64);
        // One byte a character, compact, ASCII, ready.
        self.put(at + 32, 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7);
        let start = (at + 48 - BASE) as usize;
        self.bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
        at
    }

    pub fn number(&mut self, value: u32) -> u64 {
        let at = self.object(self.int_type, 32, false);
        self.put(at + 16, u64::from(value != 0));
        self.put(at + 24, u64::from(value));
        at
    }

    pub fn list(&mut self, items: &[u64]) -> u64 {
        let at = self.object(self.list_type, 40, true);
        self.fill(at, items);
        at
    }

    fn fill(&mut self, list: u64, items: &[u64]) {
        let first = self.room(items.len() as u64 * 8);
        for (at, item) in (0..).zip(items) {
            self.put(first + at * 8, *item);
        }
        self.put(list + 16, items.len() as u64);
        self.put(list + 24, first);
        self.put(list + 32, items.len() as u64);
    }

    /// At most five entries.
    pub fn dict(&mut self, entries: &[(u64, u64)]) -> u64 {
        let at = self.object(self.dict_type, 48, true);
        // Eight slots of a byte each, and five entries of hash, key, value.
        let keys = self.room(32 + 8 + 5 * 24);
        self.put(keys, 1);
        self.put(keys + 8, u64::from_le_bytes([3, 3, 0, 0, 0, 0, 0, 0]));
        self.put(keys + 16, 5 - entries.len() as u64);
        self.put(keys + 24, entries.len() as u64);
        for (entry, (key, value)) in (0..).zip(entries) {
            self.put(keys + 40 + entry * 24 + 8, *key);
            self.put(keys + 40 + entry * 24 + 16, *value);
        }
        self.put(at + 16, entries.len() as u64);
        self.put(at + 32, keys);
        at
    }

    /// Sets the reference counts of all objects in the collector's list to the references that these have to them, and
    /// those of all others to a number that no count of references reaches.
    fn count(&mut self) {
        let mut objects = Vec::new();
        let mut links = self.get(self.head);
        while links != self.head {
            objects.push(links + HEAP_HEAD);
            links = self.get(links);
        }
        let words: Vec<u64> = (0..self.bytes.len() as u64 / 8).map(|it| self.get(BASE + it * 8)).collect();
        for &object in &objects {
            let count = words.iter().filter(|it| **it == object).count() as u64;
            self.put(object, count);
        }
        for class in [self.type_type, self.object_type, self.list_type, self.dict_type, self.module_type] {
            self.put(class, 1000);
        }
    }
}
