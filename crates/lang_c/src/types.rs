//! Types of C and C++ with their sizes and layouts on LP64, and records with what their scopes hold.

use crate::symbols::Sym;
use heapwise_check::ir::{ClassId, Name};
use rustc_hash::FxHashMap;

/// A type in [`Types`]; the first ones are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct T(pub(crate) u32);

/// A struct, union or class in [`Types::records`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordId(pub(crate) u32);

/// A function type in [`Types::signatures`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SigId(pub(crate) u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ty {
    Void,
    Bool,
    /// The result of a comparison: an `int` that is 0 or 1.
    Truth,
    Int {
        bytes: u8,
        is_signed: bool,
        is_char: bool,
    },
    Float(u8),
    Pointer(T),
    Reference(T),
    Array(T, Option<u64>),
    /// Of a length that only the running program knows.
    Vla(T),
    Record(RecordId),
    Function(SigId),
    /// `auto`: the initializer says.
    Auto,
    Unknown,
    /// The parameter of a template that is not bound.
    Param(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Signature {
    pub(crate) ret: Option<T>,
    pub(crate) params: Vec<T>,
    pub(crate) is_variadic: bool,
    /// `f()` of C: says nothing about parameters.
    pub(crate) is_unknown: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldInfo {
    pub(crate) name: Sym,
    pub(crate) ty: T,
    pub(crate) offset: u64,
    /// A bit-field: its lowest bit and its width in the unit at `offset`.
    pub(crate) bits: Option<(u8, u8)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) class: ClassId,
    pub(crate) name: Name,
    pub(crate) tag: Sym,
    pub(crate) is_union: bool,
    pub(crate) is_complete: bool,
    /// A class of a library: what it holds is its model's affair.
    pub(crate) is_opaque: bool,
    pub(crate) fields: Vec<FieldInfo>,
    pub(crate) size: u64,
    pub(crate) align: u64,
    /// Bases that are known, with their offsets.
    pub(crate) bases: Vec<(RecordId, u64)>,
    /// A base's declaration was not found.
    pub(crate) has_unknown_base: bool,
    pub(crate) is_polymorphic: bool,
    pub(crate) scope: FxHashMap<Sym, crate::lower::Entity>,
    pub(crate) constructors: Option<crate::lower::SetId>,
    pub(crate) destructor: Option<crate::lower::FuncId>,
    /// The template that it is an instance of.
    pub(crate) template: Option<(u32, Vec<T>)>,
    /// Depends on unbound template parameters.
    pub(crate) is_dependent: bool,
    /// Byte and bit where the next bit-field begins.
    pub(crate) bit_at: u64,
}

pub(crate) struct Types {
    all: Vec<Ty>,
    map: FxHashMap<Ty, T>,
    pub(crate) records: Vec<Record>,
    pub(crate) signatures: Vec<Signature>,
    signature_map: FxHashMap<Signature, SigId>,
}

macro_rules! fixed {
    ($($name:ident = $index:literal $ty:expr;)*) => {
        impl Types {
            $(#[allow(dead_code)] pub(crate) const $name: T = T($index);)*
            const FIXED: &[Ty] = &[$($ty),*];
        }
    };
}

fixed! {
    VOID = 0 Ty::Void;
    BOOL = 1 Ty::Bool;
    TRUTH = 2 Ty::Truth;
    INT = 3 Ty::Int { bytes: 4, is_signed: true, is_char: false };
    UINT = 4 Ty::Int { bytes: 4, is_signed: false, is_char: false };
    LONG = 5 Ty::Int { bytes: 8, is_signed: true, is_char: false };
    ULONG = 6 Ty::Int { bytes: 8, is_signed: false, is_char: false };
    CHAR = 7 Ty::Int { bytes: 1, is_signed: true, is_char: true };
    UNKNOWN = 8 Ty::Unknown;
    DOUBLE = 9 Ty::Float(8);
    AUTO = 10 Ty::Auto;
    VOID_POINTER = 11 Ty::Pointer(Types::VOID);
    CHAR_POINTER = 12 Ty::Pointer(Types::CHAR);
    WCHAR = 13 Ty::Int { bytes: 4, is_signed: true, is_char: true };
    SHORT = 14 Ty::Int { bytes: 2, is_signed: true, is_char: false };
    USHORT = 15 Ty::Int { bytes: 2, is_signed: false, is_char: false };
    UCHAR = 16 Ty::Int { bytes: 1, is_signed: false, is_char: true };
    FLOAT = 17 Ty::Float(4);
    LONG_DOUBLE = 18 Ty::Float(16);
    INT128 = 19 Ty::Int { bytes: 16, is_signed: true, is_char: false };
    UINT128 = 20 Ty::Int { bytes: 16, is_signed: false, is_char: false };
    CHAR16 = 21 Ty::Int { bytes: 2, is_signed: false, is_char: true };
    CHAR32 = 22 Ty::Int { bytes: 4, is_signed: false, is_char: true };
}

impl Types {
    pub(crate) fn new() -> Types {
        let mut it = Types {
            all: Vec::new(),
            map: FxHashMap::default(),
            records: Vec::new(),
            signatures: Vec::new(),
            signature_map: FxHashMap::default(),
        };
        for &ty in Types::FIXED {
            it.add(ty);
        }
        it
    }

    pub(crate) fn add(&mut self, ty: Ty) -> T {
        let all = &mut self.all;
        *self.map.entry(ty).or_insert_with(|| {
            all.push(ty);
            T(u32::try_from(all.len() - 1).expect("fewer than 2^32 types"))
        })
    }

    pub(crate) fn get(&self, ty: T) -> Ty {
        self.all[ty.0 as usize]
    }

    pub(crate) fn pointer(&mut self, to: T) -> T {
        self.add(Ty::Pointer(to))
    }

    /// A reference; of a reference: that one.
    pub(crate) fn reference(&mut self, to: T) -> T {
        if matches!(self.get(to), Ty::Reference(_)) { to } else { self.add(Ty::Reference(to)) }
    }

    pub(crate) fn array(&mut self, of: T, length: Option<u64>) -> T {
        self.add(Ty::Array(of, length))
    }

    pub(crate) fn function(&mut self, signature: Signature) -> T {
        if let Some(&id) = self.signature_map.get(&signature) {
            return self.add(Ty::Function(id));
        }
        let id = SigId(u32::try_from(self.signatures.len()).expect("fewer than 2^32 types"));
        self.signatures.push(signature.clone());
        self.signature_map.insert(signature, id);
        self.add(Ty::Function(id))
    }

    pub(crate) fn signature(&self, id: SigId) -> &Signature {
        &self.signatures[id.0 as usize]
    }

    pub(crate) fn record(&self, id: RecordId) -> &Record {
        &self.records[id.0 as usize]
    }

    pub(crate) fn record_mut(&mut self, id: RecordId) -> &mut Record {
        &mut self.records[id.0 as usize]
    }

    /// The type of a record; it was made with it.
    pub(crate) fn find_record(&self, id: RecordId) -> Option<T> {
        self.map.get(&Ty::Record(id)).copied()
    }

    /// The record that this type is, behind no pointer or reference.
    pub(crate) fn as_record(&self, ty: T) -> Option<RecordId> {
        match self.get(ty) {
            Ty::Record(it) => Some(it),
            _ => None,
        }
    }

    /// Without a reference around it.
    pub(crate) fn unreferenced(&self, ty: T) -> T {
        match self.get(ty) {
            Ty::Reference(to) => to,
            _ => ty,
        }
    }

    /// What a pointer or array leads to.
    pub(crate) fn target(&self, ty: T) -> Option<T> {
        match self.get(ty) {
            Ty::Pointer(to) | Ty::Array(to, _) | Ty::Vla(to) | Ty::Reference(to) => Some(to),
            _ => None,
        }
    }

    /// Bytes; `None`: unknown.
    pub(crate) fn size(&self, ty: T) -> Option<u64> {
        match self.get(ty) {
            Ty::Void => Some(1),
            Ty::Bool => Some(1),
            Ty::Truth => Some(4),
            Ty::Int { bytes, .. } | Ty::Float(bytes) => Some(u64::from(bytes)),
            Ty::Pointer(_) | Ty::Reference(_) => Some(8),
            Ty::Array(of, length) => self.size(of)?.checked_mul(length?),
            Ty::Record(id) => {
                Some(self.record(id)).filter(|it| it.is_complete && !it.is_dependent).map(|it| it.size)
            }
            Ty::Function(_) => Some(1),
            Ty::Vla(_) | Ty::Auto | Ty::Unknown | Ty::Param(_) => None,
        }
    }

    pub(crate) fn align(&self, ty: T) -> u64 {
        match self.get(ty) {
            Ty::Array(of, _) | Ty::Vla(of) => self.align(of),
            Ty::Record(id) => self.record(id).align.max(1),
            _ => self.size(ty).unwrap_or(8).clamp(1, 16),
        }
    }

    pub(crate) fn is_integer(&self, ty: T) -> bool {
        matches!(self.get(ty), Ty::Int { .. } | Ty::Bool | Ty::Truth)
    }

    pub(crate) fn is_arithmetic(&self, ty: T) -> bool {
        self.is_integer(ty) || matches!(self.get(ty), Ty::Float(_))
    }

    pub(crate) fn is_pointer(&self, ty: T) -> bool {
        matches!(self.get(ty), Ty::Pointer(_) | Ty::Array(..) | Ty::Vla(_))
    }

    /// Bytes and signedness of an integer type.
    pub(crate) fn integer(&self, ty: T) -> Option<(u8, bool)> {
        match self.get(ty) {
            Ty::Int { bytes, is_signed, .. } => Some((bytes, is_signed)),
            Ty::Bool => Some((1, false)),
            Ty::Truth => Some((4, true)),
            _ => None,
        }
    }

    /// The type of an arithmetic operation on these.
    pub(crate) fn common(&self, a: T, b: T) -> T {
        match (self.get(a), self.get(b)) {
            (Ty::Float(x), Ty::Float(y)) => {
                if x >= y {
                    a
                } else {
                    b
                }
            }
            (Ty::Float(_), _) => a,
            (_, Ty::Float(_)) => b,
            _ => match (self.promoted(a), self.promoted(b)) {
                (Some((x, s)), Some((y, t))) => integer_type(
                    x.max(y),
                    if x == y {
                        s && t
                    } else if x > y {
                        s
                    } else {
                        t
                    },
                ),
                _ => Types::UNKNOWN,
            },
        }
    }

    fn promoted(&self, ty: T) -> Option<(u8, bool)> {
        self.integer(ty).map(|(bytes, is_signed)| if bytes < 4 { (4, true) } else { (bytes, is_signed) })
    }

    /// Whether unbound template parameters occur in it.
    pub(crate) fn is_dependent(&self, ty: T) -> bool {
        match self.get(ty) {
            Ty::Param(_) => true,
            Ty::Pointer(to) | Ty::Reference(to) | Ty::Array(to, _) | Ty::Vla(to) => self.is_dependent(to),
            Ty::Record(id) => self.record(id).is_dependent,
            Ty::Function(id) => {
                let it = self.signature(id);
                it.ret.is_some_and(|it| self.is_dependent(it))
                    || it.params.iter().any(|it| self.is_dependent(*it))
            }
            _ => false,
        }
    }
}

/// The integer type of this width.
pub(crate) fn integer_type(bytes: u8, is_signed: bool) -> T {
    match (bytes, is_signed) {
        (16, true) => Types::INT128,
        (16, false) => Types::UINT128,
        (8, true) => Types::LONG,
        (8, false) => Types::ULONG,
        (_, true) => Types::INT,
        (_, false) => Types::UINT,
    }
}

/// Rounded up to a multiple of `align`.
pub(crate) fn round_up(value: u64, align: u64) -> u64 {
    value.div_ceil(align.max(1)).saturating_mul(align.max(1))
}
