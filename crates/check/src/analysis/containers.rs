//! Objects of C++'s library: containers, texts and smart pointers, by what their methods do.
//!
//! ```text
//! container  -16 its storage   -8 how many elements   -24 whether there is room for more     elements: by key
//! pointer      0 what it owns
//! ```
//!
//! What iterators, references and `c_str()` lead to is one object, the *storage*. It is gone when the container
//! grows, is cleared or ends; a node of a list or map is gone when it is erased. An object that code which is
//! not seen may change is not followed further.

use super::engine::Engine;
use super::memory::each_value;
use super::state::{Class, Content, Object, Piece, State, Status};
use super::value::{Meaning, Source, Sym, Terms, Val};
use crate::ir::{Binary, Name, Type};
use crate::rules::native as rules;

/// Where a container keeps its storage and its number of elements: before its start.
const STORAGE: i64 = -16;
const COUNT: i64 = -8;
/// 1: room for more elements was asked for.
const RESERVED: i64 = -24;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Elements lie side by side: what grows moves them all.
    Array,
    Text,
    /// Elements are nodes: only what is erased goes.
    Nodes,
    Map,
    /// Nothing leads into it.
    Closed,
    Owner,
}

fn kind(class: &str) -> Option<Kind> {
    Some(match class {
        "vector" => Kind::Array,
        "string" | "wstring" | "basic_string" => Kind::Text,
        "list" | "forward_list" | "set" | "multiset" => Kind::Nodes,
        "map" | "multimap" | "unordered_map" | "unordered_multimap" => Kind::Map,
        "deque" | "stack" | "queue" => Kind::Closed,
        "unique_ptr" | "shared_ptr" | "auto_ptr" => Kind::Owner,
        _ => return None,
    })
}

impl Engine<'_> {
    /// What a method of a class of the library returns; `None`: that is not known.
    pub fn object_of_library(
        &mut self,
        state: &mut State,
        class: Name,
        method: Name,
        args: &[Val],
    ) -> Option<Val> {
        let short = self.module.name(class).strip_prefix("std::")?;
        if matches!(short, "mutex" | "recursive_mutex" | "shared_mutex" | "timed_mutex") {
            let lock = self.state_value(state, *args.first()?);
            match self.module.name(method) {
                "lock" => self.lock(state, lock),
                "unlock" => Self::unlock(state, lock),
                _ => return None,
            }
            return Some(Val::ZERO);
        }
        let kind = kind(short)?;
        let receiver = *args.first()?;
        let receiver = self.state_value(state, receiver);
        let object = receiver.as_sym()?;
        let method = self.module.name(method);
        let method = if method == short { "" } else { method };
        if kind == Kind::Owner {
            if !self.is_variable_of(object, class) {
                return None;
            }
            return self.owner(state, (object, short != "shared_ptr"), method, &args[1..]);
        }
        let handed = self.storage_method(state, (object, kind), method, args.get(1).copied());
        if matches!(kind, Kind::Text) {
            return handed;
        }
        self.elements(state, (object, class), method, args).or(handed)
    }

    /// The object that everything leads to which leads into a container.
    fn storage(&mut self, state: &mut State, container: Sym) -> Sym {
        let held = self.peek(state, (container, Val::int(STORAGE)), 8);
        let held = self.state_value(state, held);
        match held.as_sym() {
            Some(it) if !held.is_uninit() => it,
            _ => self.new_storage(state, container),
        }
    }

    fn new_storage(&mut self, state: &mut State, container: Sym) -> Sym {
        let made = self.fresh(state, 0x40, Source::Known).a;
        self.poke(state, (container, Val::int(STORAGE)), 8, Val::sym(made));
        made
    }

    /// The elements move or go: nothing that led to them may be followed.
    fn end_storage(&mut self, state: &mut State, container: Sym) {
        let storage = self.storage(state, container);
        let by = self.here();
        self.ensure(state, storage);
        if let Some(object) = state.object_mut(storage)
            && object.class == Class::Storage
            && object.status == Status::Live
        {
            object.status = Status::Freed(by);
            object.is_written = true;
        }
        self.new_storage(state, container);
    }

    /// The elements move, if there is no room for one more.
    fn grow_storage(&mut self, state: &mut State, container: Sym) {
        if self.peek(state, (container, Val::int(RESERVED)), 8) != Val::int(1) {
            self.end_storage(state, container);
        }
    }

    /// Whether the object is a variable of that class, and not a record that begins with a member of it.
    fn is_variable_of(&self, object: Sym, class: Name) -> bool {
        let Meaning::Local(it) = self.symbols.meaning(object) else { return false };
        match self.module.types[self.ir.locals[it.index()].ty.index()] {
            Type::Record(of) => self.module.classes[of.index()].name == class,
            _ => false,
        }
    }

    /// Whether a local is an object of the library: what it leads to is not lost with the function's other locals.
    pub fn is_library_local(&self, object: Sym) -> bool {
        let Meaning::Local(it) = self.symbols.meaning(object) else { return false };
        match self.module.types[self.ir.locals[it.index()].ty.index()] {
            Type::Record(of) => {
                let name = self.module.name(self.module.classes[of.index()].name);
                name.strip_prefix("std::").and_then(kind) == Some(Kind::Owner)
            }
            _ => false,
        }
    }

    /// Somewhere in the storage.
    fn inside(&mut self, state: &mut State, container: Sym) -> Val {
        let storage = self.storage(state, container);
        let somewhere = self.fresh(state, 0x41, Source::Known);
        self.symbols.add(Val::sym(storage), somewhere)
    }

    fn storage_method(
        &mut self,
        state: &mut State,
        (container, kind): (Sym, Kind),
        method: &str,
        argument: Option<Val>,
    ) -> Option<Val> {
        self.ensure(state, container);
        let is_array = matches!(kind, Kind::Array | Kind::Text);
        match method {
            // Nothing leads into what is made here.
            "" if kind == Kind::Text => {
                self.new_storage(state, container);
                Some(Val::ZERO)
            }
            "~" => {
                self.end_storage(state, container);
                Some(Val::ZERO)
            }
            "clear" => {
                self.end_storage(state, container);
                None
            }
            "c_str" | "data" if is_array => Some(Val::sym(self.storage(state, container))),
            "operator[]" | "at" | "front" | "back" if kind == Kind::Text => {
                Some(self.inside(state, container))
            }
            "begin" | "end" | "cbegin" | "cend" | "rbegin" | "rend" | "find" | "lower_bound"
            | "upper_bound"
                if kind != Kind::Closed
                    && !(kind == Kind::Text && !method.ends_with("begin") && !method.ends_with("end")) =>
            {
                Some(self.inside(state, container))
            }
            "reserve" => {
                self.end_storage(state, container);
                self.poke(state, (container, Val::int(RESERVED)), 8, Val::int(1));
                Some(Val::ZERO)
            }
            "resize" | "assign" | "shrink_to_fit" | "operator=" if is_array => {
                self.end_storage(state, container);
                None
            }
            "insert" | "emplace" | "erase" if is_array => {
                self.end_storage(state, container);
                self.shuffle(state, container);
                (kind == Kind::Array && argument.is_some()).then(|| self.inside(state, container))
            }
            "push_back" | "emplace_back" | "append" | "operator+=" if is_array => {
                self.grow_storage(state, container);
                (kind == Kind::Text).then_some(Val::sym(container))
            }
            "size" | "length" | "capacity" if kind == Kind::Text => {
                let it = self.fresh(state, 0x42, Source::Known);
                state.limit(&self.symbols, it.a, 0, super::state::FAR);
                Some(it)
            }
            "empty" if kind == Kind::Text => Some(self.fresh(state, 0x42, Source::Known)),
            "erase" => {
                let at = self.state_value(state, argument?);
                let storage = self.storage(state, container);
                let (base, offset) = self.split(at)?;
                if base != storage {
                    return None;
                }
                self.has_gone_nodes = true;
                let node = self.symbols.id(Meaning::Slot { container: storage, key: offset });
                let mut gone = Object::new(Class::Storage, Content::Written(node));
                let by = self.here();
                gone.status = Status::Freed(by);
                gone.is_written = true;
                state.put(node, gone);
                self.has_slots = true;
                self.shuffle(state, container);
                Some(self.inside(state, container))
            }
            _ => None,
        }
    }

    /// An iterator is followed or moved on: the node that it stands at is still there.
    pub fn node(&mut self, state: &mut State, (storage, offset): (Sym, Val)) {
        if !self.has_gone_nodes {
            return;
        }
        let node = self.symbols.id(Meaning::Slot { container: storage, key: offset });
        let Some(object) = state.object(node).cloned() else { return };
        if let Status::Freed(by) = object.status
            && !object.is_told
        {
            let finding = rules::use_after_free::finding(self, &object, by, false);
            self.report(state, finding);
            if let Some(object) = state.object_mut(node) {
                object.is_told = true;
            }
        }
    }

    /// How many elements there are, and where each lies, is no longer known.
    fn shuffle(&mut self, state: &mut State, container: Sym) {
        let count = self.fresh(state, 0x43, Source::Known);
        state.limit(&self.symbols, count.a, 0, super::state::FAR);
        self.poke(state, (container, Val::int(COUNT)), 8, count);
        let mut slots = Vec::new();
        self.slots(state, container, &mut slots);
        let stamp = self.stamp(state);
        for it in slots {
            if let Some(object) = state.object_mut(it) {
                object.forget(stamp);
            }
        }
    }

    /// A container begins to live as this; nothing leads into it.
    fn begin(&mut self, state: &mut State, (container, class): (Sym, Name), object: Object) {
        if self.is_variable_of(container, class) || state.object(container).is_none() {
            state.put(container, object);
        } else if let Some(count) = object.piece(COUNT, 0)
            && let Piece::Value(count) = count.piece
        {
            self.poke(state, (container, Val::int(COUNT)), 8, count);
        }
        self.new_storage(state, container);
    }

    /// Elements are objects of their own, by key or position.
    fn elements(
        &mut self,
        state: &mut State,
        (container, class): (Sym, Name),
        method: &str,
        args: &[Val],
    ) -> Option<Val> {
        if method.is_empty() && args.len() == 1 {
            self.has_slots = true;
            let stamp = self.stamp(state);
            let mut object = Object::new(Class::Storage, Content::Written(stamp));
            object.write(COUNT, 0, Piece::Value(Val::ZERO), stamp);
            self.begin(state, (container, class), object);
            return Some(Val::ZERO);
        }
        if method.is_empty()
            && let Some(other) = args.get(1).and_then(|it| self.state_value(state, *it).as_sym())
            && state.object(other).is_some_and(|it| it.piece(COUNT, 0).is_some() && !it.is_escaped)
        {
            let copy = state.object(other).map(|it| (**it).clone()).expect("found above");
            self.begin(state, (container, class), copy);
            self.copy_slots(state, container, other);
            return Some(Val::ZERO);
        }
        let is_vector = self.module.name(class) == "std::vector";
        if is_vector
            && method.is_empty()
            && args.len() == 2
            && let Some(count) = args.get(1).and_then(|it| self.state_value(state, *it).as_int())
            // One 0 may be the only element of a list.
            && (1..1 << 32).contains(&count)
        {
            self.has_slots = true;
            let stamp = self.stamp(state);
            let mut object = Object::new(Class::Storage, Content::Written(stamp));
            object.write(COUNT, 0, Piece::Value(Val::int(count)), stamp);
            self.begin(state, (container, class), object);
            return Some(Val::ZERO);
        }
        self.ensure(state, container);
        if state.object(container).is_none_or(|it| it.is_escaped) {
            return None;
        }
        let count = self.peek(state, (container, Val::int(COUNT)), 8);
        let count = self.state_value(state, count);
        let slot = |it: &mut Self, key: Val| {
            it.has_slots = true;
            let sym = it.symbols.id(Meaning::Slot { container, key });
            Some(Val::sym(sym))
        };
        match (method, args.get(1)) {
            ("push_back" | "push" | "emplace_back", Some(&value)) if args.len() == 2 => {
                // Copies of smart pointers share what they own.
                if self.split(value).is_some_and(|it| self.is_library_local(it.0)) {
                    return None;
                }
                let at = slot(self, count)?;
                self.poke(state, (at.a, Val::ZERO), 8, value);
                self.poke(state, (container, Val::int(COUNT)), 8, count.plus(1));
                Some(Val::ZERO)
            }
            ("operator[]" | "at", Some(&key)) => {
                let key = self.state_value(state, key);
                let mut over = Terms::new(1);
                if is_vector
                    && method == "operator[]"
                    && over.add(key, 1)
                    && over.add(count, -1)
                    && self.exceeds(state, over)
                {
                    let finding = rules::heap_overflow::beyond(self, false, false, false);
                    self.report(state, finding);
                }
                slot(self, key)
            }
            ("front", None) => slot(self, Val::ZERO),
            ("back", None) | ("top", None) => slot(self, count.plus(-1)),
            ("size", None) => Some(count),
            ("empty", None) => Some(self.binary(state, Binary::Equal, count, Val::ZERO)),
            _ => None,
        }
    }

    /// A pointer that owns a block: where it takes one, hands it out, gives it up and frees it.
    fn owner(
        &mut self,
        state: &mut State,
        (object, is_only): (Sym, bool),
        method: &str,
        args: &[Val],
    ) -> Option<Val> {
        let at = (object, Val::ZERO);
        let given = args.first().map(|it| self.state_value(state, *it));
        self.ensure(state, object);
        if method.is_empty() {
            let value = match given {
                None => Val::ZERO,
                Some(it) if args.len() == 1 => self.taken(state, it, is_only)?,
                Some(_) => return None,
            };
            let mut made = Object::new(Class::Storage, Content::Zero);
            let stamp = self.stamp(state);
            made.write(0, 8, Piece::Value(value), stamp);
            state.put(object, made);
            return Some(Val::ZERO);
        }
        if !self.is_owner(state, object) {
            return None;
        }
        let held = self.peek(state, at, 8);
        let held = self.state_value(state, held);
        match method {
            "get" | "operator->" | "operator*" if args.is_empty() => Some(held),
            "operator bool" => Some(self.binary(state, Binary::NotEqual, held, Val::ZERO)),
            "release" => {
                self.poke(state, at, 8, Val::ZERO);
                Some(held)
            }
            "reset" | "~" => {
                self.poke(state, at, 8, given.unwrap_or(Val::ZERO));
                if !self.is_shared(state, held) {
                    self.end_owned(state, held);
                }
                Some(Val::ZERO)
            }
            _ => None,
        }
    }

    /// Whether something besides plain pointers holds a value: it may own the block, too.
    fn is_shared(&self, state: &State, held: Val) -> bool {
        state.objects.iter().any(|(sym, object)| {
            let is_pointer = match self.symbols.meaning(*sym) {
                Meaning::Local(it) => {
                    matches!(self.module.types[self.ir.locals[it.index()].ty.index()], Type::Pointer(_))
                }
                // A copy that only the operations of a call have seen.
                Meaning::Record { .. } => true,
                _ => false,
            };
            let mut is_held = false;
            each_value(object, |it| is_held |= it == held);
            is_held && !is_pointer
        })
    }

    /// Frees what a smart pointer owns; what its destructor does with what it holds is not known.
    fn end_owned(&mut self, state: &mut State, held: Val) {
        if let Some((base, _)) = self.split(held)
            && let Some(object) = state.object(base).cloned()
        {
            let mut inner = Vec::new();
            each_value(&object, |it| inner.push(it));
            self.escape(state, &inner, false);
        }
        let by = self.here();
        self.free(state, held, u16::MAX, by);
    }

    /// Whether what a smart pointer owns is known.
    fn is_owner(&self, state: &State, object: Sym) -> bool {
        state.object(object).is_some_and(|it| {
            let is_known = match it.piece(0, 8) {
                Some(piece) => matches!(piece.piece, Piece::Value(_)),
                // As the caller gave it.
                None => it.content == Content::Initial,
            };
            !it.is_escaped && it.status == Status::Live && is_known
        })
    }

    /// The block that a new smart pointer owns: what it is given, or what another one gives up.
    fn taken(&mut self, state: &mut State, given: Val, is_only: bool) -> Option<Val> {
        if given == Val::ZERO {
            return Some(given);
        }
        let sym = given.as_sym()?;
        match self.symbols.meaning(sym) {
            Meaning::Made { .. } => Some(given),
            Meaning::Local(_) if is_only && self.is_library_local(sym) && self.is_owner(state, sym) => {
                let held = self.peek(state, (sym, Val::ZERO), 8);
                self.poke(state, (sym, Val::ZERO), 8, Val::ZERO);
                Some(held)
            }
            _ => None,
        }
    }
}
