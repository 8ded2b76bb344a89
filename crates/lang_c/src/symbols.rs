//! Interned spellings: every token's text is a number; punctuators and keywords have fixed ones.

use rustc_hash::FxHasher;
use std::hash::Hasher;

/// A spelling in [`Symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sym(pub(crate) u32);

macro_rules! symbols {
    ($($name:ident $text:literal)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u32)]
        enum Fixed { $($name),* }
        /// Symbols with fixed numbers.
        #[allow(dead_code)]
        pub(crate) mod sym {
            use super::{Fixed, Sym};
            $(pub(crate) const $name: Sym = Sym(Fixed::$name as u32);)*
        }
        const FIXED: &[&str] = &[$($text),*];
    };
}

symbols! {
    EMPTY ""
    LPAREN "(" RPAREN ")" LBRACE "{" RBRACE "}" LBRACKET "[" RBRACKET "]"
    SEMI ";" COMMA "," DOT "." ARROW "->" ELLIPSIS "..." QUESTION "?" COLON ":" COLONS "::"
    PLUS "+" MINUS "-" STAR "*" SLASH "/" PERCENT "%" AMP "&" PIPE "|" CARET "^" TILDE "~" BANG "!"
    ASSIGN "=" PLUS_EQ "+=" MINUS_EQ "-=" STAR_EQ "*=" SLASH_EQ "/=" PERCENT_EQ "%=" AMP_EQ "&="
    PIPE_EQ "|=" CARET_EQ "^=" SHL_EQ "<<=" SHR_EQ ">>="
    SHL "<<" SHR ">>" EQ "==" NE "!=" LT "<" GT ">" LE "<=" GE ">=" AND_AND "&&" OR_OR "||"
    INC "++" DEC "--" HASH "#" HASH_HASH "##" DOT_STAR ".*" ARROW_STAR "->*" SPACESHIP "<=>"
    // Keywords of C and GNU C.
    AUTO "auto" BREAK "break" CASE "case" CHAR "char" CONST "const" CONTINUE "continue" DEFAULT "default"
    DO "do" DOUBLE "double" ELSE "else" ENUM "enum" EXTERN "extern" FLOAT "float" FOR "for" GOTO "goto"
    IF "if" INLINE "inline" INT "int" LONG "long" REGISTER "register" RESTRICT "restrict" RETURN "return"
    SHORT "short" SIGNED "signed" SIZEOF "sizeof" STATIC "static" STRUCT "struct" SWITCH "switch"
    TYPEDEF "typedef" UNION "union" UNSIGNED "unsigned" VOID "void" VOLATILE "volatile" WHILE "while"
    ALIGNAS_C "_Alignas" ALIGNOF_C "_Alignof" ATOMIC "_Atomic" BOOL_C "_Bool" COMPLEX "_Complex"
    GENERIC "_Generic" NORETURN "_Noreturn" STATIC_ASSERT_C "_Static_assert" THREAD_LOCAL_C "_Thread_local"
    IMAGINARY "_Imaginary" FLOAT128 "__float128" FLOAT128_C "_Float128" INT128 "__int128" INT128_T "__int128_t"
    UINT128_T "__uint128_t" FLOAT16 "_Float16" FLOAT32 "_Float32" FLOAT64 "_Float64" BF16 "__bf16"
    ASM "asm" ASM_ "__asm" ASM__ "__asm__" ATTRIBUTE "__attribute" ATTRIBUTE__ "__attribute__"
    CONST_ "__const" CONST__ "__const__" INLINE_ "__inline" INLINE__ "__inline__" VOLATILE_ "__volatile"
    VOLATILE__ "__volatile__" RESTRICT_ "__restrict" RESTRICT__ "__restrict__" SIGNED_ "__signed"
    SIGNED__ "__signed__" TYPEOF "typeof" TYPEOF_ "__typeof" TYPEOF__ "__typeof__" TYPEOF_UNQUAL "typeof_unqual"
    EXTENSION "__extension__" THREAD "__thread" LABEL__ "__label__" ALIGNOF_ "__alignof" ALIGNOF__ "__alignof__"
    AUTO_TYPE "__auto_type" DECLSPEC "__declspec" CDECL "__cdecl" STDCALL "__stdcall" FASTCALL "__fastcall"
    FORCEINLINE "__forceinline" INT64_MS "__int64" COMPLEX_ "__complex__" REAL "__real__" IMAG "__imag__"
    UNALIGNED "__unaligned" NULLABLE "_Nullable" NONNULL "_Nonnull"
    // Keywords of C++ (and of C23).
    ALIGNAS "alignas" ALIGNOF "alignof" BOOL "bool" CATCH "catch" CHAR8 "char8_t" CHAR16 "char16_t"
    CHAR32 "char32_t" CLASS "class" CONCEPT "concept" CONSTEVAL "consteval" CONSTEXPR "constexpr"
    CONSTINIT "constinit" CONST_CAST "const_cast" CO_AWAIT "co_await" CO_RETURN "co_return" CO_YIELD "co_yield"
    DECLTYPE "decltype" DELETE "delete" DYNAMIC_CAST "dynamic_cast" EXPLICIT "explicit" EXPORT "export"
    FALSE "false" FRIEND "friend" MUTABLE "mutable" NAMESPACE "namespace" NEW "new" NOEXCEPT "noexcept"
    NULLPTR "nullptr" OPERATOR "operator" PRIVATE "private" PROTECTED "protected" PUBLIC "public"
    REINTERPRET_CAST "reinterpret_cast" REQUIRES "requires" STATIC_ASSERT "static_assert"
    STATIC_CAST "static_cast" TEMPLATE "template" THIS "this" THREAD_LOCAL "thread_local" THROW "throw"
    TRUE "true" TRY "try" TYPEID "typeid" TYPENAME "typename" USING "using" VIRTUAL "virtual" WCHAR "wchar_t"
    OVERRIDE "override" FINAL "final"
    // Directives and names that the preprocessor knows.
    DEFINE "define" UNDEF "undef" INCLUDE "include" INCLUDE_NEXT "include_next" IMPORT "import" IFDEF "ifdef"
    IFNDEF "ifndef" ELIF "elif" ELIFDEF "elifdef" ELIFNDEF "elifndef" ENDIF "endif" ERROR "error"
    WARNING "warning" PRAGMA "pragma" PRAGMA_OP "_Pragma" LINE "line" DEFINED "defined" ONCE "once" PACK "pack"
    PUSH "push" POP "pop" VA_ARGS "__VA_ARGS__" VA_OPT "__VA_OPT__" HAS_INCLUDE "__has_include"
    HAS_INCLUDE_NEXT "__has_include_next" HAS_ATTRIBUTE "__has_attribute" HAS_BUILTIN "__has_builtin"
    HAS_FEATURE "__has_feature" HAS_EXTENSION "__has_extension" HAS_CPP_ATTRIBUTE "__has_cpp_attribute"
    HAS_C_ATTRIBUTE "__has_c_attribute" HAS_DECLSPEC "__has_declspec_attribute" HAS_WARNING "__has_warning"
    FILE_ "__FILE__" LINE_ "__LINE__" COUNTER_ "__COUNTER__" DATE_ "__DATE__" TIME_ "__TIME__"
    INCLUDE_LEVEL_ "__INCLUDE_LEVEL__" BASE_FILE_ "__BASE_FILE__" ONE "1" ZERO "0"
    // Names that the lowering knows.
    MAIN "main" STD "std" FUNC_ "__func__" FUNCTION_ "__FUNCTION__" PRETTY_ "__PRETTY_FUNCTION__"
    VA_ARG "__builtin_va_arg" OFFSETOF "__builtin_offsetof" EXPECT "__builtin_expect"
    EXPECT_PROBABILITY "__builtin_expect_with_probability" UNREACHABLE "__builtin_unreachable"
    TRAP "__builtin_trap" CONSTANT_P "__builtin_constant_p" CHOOSE "__builtin_choose_expr"
    TYPES_COMPATIBLE "__builtin_types_compatible_p" OBJECT_SIZE "__builtin_object_size"
    ALLOCA_BUILTIN "__builtin_alloca" ALLOCA "alloca" ASSUME "__heapwise_assume" VA_LIST "__builtin_va_list"
    BIT_CAST "__builtin_bit_cast" ADDRESSOF "__builtin_addressof" ASSUME_ALIGNED "__builtin_assume_aligned"
    A_NORETURN "noreturn" A_NORETURN_ "__noreturn__" A_MALLOC "malloc" A_MALLOC_ "__malloc__"
    A_CLEANUP "cleanup" A_CLEANUP_ "__cleanup__" A_PACKED "packed" A_PACKED_ "__packed__"
    A_ALIGNED "aligned" A_ALIGNED_ "__aligned__" A_ALLOC_SIZE "alloc_size" A_ALLOC_SIZE_ "__alloc_size__"
    A_RETURNS_NONNULL "returns_nonnull" A_RETURNS_NONNULL_ "__returns_nonnull__" A_OPAQUE "heapwise_opaque"
    A_CONSTRUCTOR "constructor" A_DESTRUCTOR "destructor" A_OWNERSHIP_RETURNS "ownership_returns"
    A_OWNERSHIP_TAKES "ownership_takes" A_OWNERSHIP_HOLDS "ownership_holds" A_VECTOR_SIZE "vector_size"
    A_VECTOR_SIZE_ "__vector_size__" A_MODE "mode" A_MODE_ "__mode__"
    EXIT "exit" ABORT "abort" EXIT_ "_exit" INITIALIZER_LIST "initializer_list"
}

/// All spellings of a unit, or of several: one text after the other, found by a table of open addressing.
///
/// Invariants: `ends.len() == hashes.len()`; a slot holds 0 or one more than an id; at most half of the slots
/// are taken; symbols are numbered in the order in which they are met.
#[derive(Default)]
pub(crate) struct Symbols {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    hashes: Vec<u32>,
    slots: Vec<u32>,
}

/// Texts of symbols that follow each other, and where each ends among all texts.
pub(crate) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

/// Whether C has this word for itself.
pub(crate) fn is_c_keyword(it: Sym) -> bool {
    it.0 >= sym::AUTO.0 && it.0 < sym::ALIGNAS.0
}

const FIRST_SLOTS: usize = 4096;

impl Symbols {
    pub(crate) fn new() -> Symbols {
        let mut it =
            Symbols { bytes: Vec::new(), ends: Vec::new(), hashes: Vec::new(), slots: vec![0; FIRST_SLOTS] };
        for text in FIXED {
            it.intern(text.as_bytes());
        }
        debug_assert_eq!(it.len(), FIXED.len(), "fixed spellings differ");
        it
    }

    /// The number of a spelling. Where all of them would be longer than 4 GiB, a new one is the empty one.
    pub(crate) fn intern(&mut self, text: &[u8]) -> Sym {
        let hash = hash(text);
        let mut slot = self.slot(hash);
        while let Some(id) = self.slots[slot].checked_sub(1) {
            let it = Sym(id);
            if self.hashes[id as usize] == hash && self.bytes(it) == text {
                return it;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        let Ok(end) = u32::try_from(self.bytes.len() + text.len()) else { return sym::EMPTY };
        let id = self.ends.len() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(end);
        self.hashes.push(hash);
        self.slots[slot] = id + 1;
        if self.ends.len() * 2 > self.slots.len() {
            self.grow();
        }
        Sym(id)
    }

    fn slot(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for id in 0..self.ends.len() {
            let mut slot = self.slot(self.hashes[id]);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            self.slots[slot] = id as u32 + 1;
        }
    }

    /// The texts from this number on.
    pub(crate) fn texts_from(&self, first: usize) -> Texts {
        let start = first.checked_sub(1).map_or(0, |it| self.ends[it]);
        Texts { bytes: self.bytes[start as usize..].to_vec(), ends: self.ends[first..].to_vec() }
    }

    /// Spellings by their numbers alone, to which [`Symbols::append`] adds: none of these can be interned.
    pub(crate) fn numbered() -> Symbols {
        Symbols::default()
    }

    pub(crate) fn append(&mut self, texts: &Texts) {
        self.bytes.extend_from_slice(&texts.bytes);
        self.ends.extend_from_slice(&texts.ends);
    }

    pub(crate) fn bytes(&self, it: Sym) -> &[u8] {
        let start = (it.0 as usize).checked_sub(1).map_or(0, |it| self.ends[it]);
        &self.bytes[start as usize..self.ends[it.0 as usize] as usize]
    }

    /// The spelling as text; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self, it: Sym) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(it))
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

fn hash(text: &[u8]) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_told_apart_and_found_again() {
        let mut symbols = Symbols::new();
        assert_eq!(symbols.intern(b""), sym::EMPTY);
        assert_eq!(symbols.intern(b"while"), sym::WHILE);
        let made: Vec<Sym> = (0..20_000).map(|it| symbols.intern(format!("n{it}").as_bytes())).collect();
        for (index, it) in made.iter().enumerate() {
            let text = format!("n{index}");
            assert_eq!(symbols.bytes(*it), text.as_bytes());
            assert_eq!(symbols.intern(text.as_bytes()), *it);
        }
        assert_eq!(symbols.len(), FIXED.len() + made.len());
    }
}
