//! Interned spellings: every token's text is a number; punctuators and keywords have fixed ones.

use rustc_hash::FxHashMap;
use std::rc::Rc;

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

/// All spellings of one unit.
pub(crate) struct Symbols {
    texts: Vec<Rc<[u8]>>,
    map: FxHashMap<Rc<[u8]>, Sym>,
}

impl Symbols {
    pub(crate) fn new() -> Symbols {
        let mut it = Symbols { texts: Vec::new(), map: FxHashMap::default() };
        for text in FIXED {
            it.intern(text.as_bytes());
        }
        debug_assert_eq!(it.texts.len(), FIXED.len(), "fixed spellings differ");
        it
    }

    pub(crate) fn intern(&mut self, text: &[u8]) -> Sym {
        if let Some(&it) = self.map.get(text) {
            return it;
        }
        let id = Sym(u32::try_from(self.texts.len()).expect("sources are shorter than 4 GiB"));
        let text: Rc<[u8]> = text.into();
        self.texts.push(text.clone());
        self.map.insert(text, id);
        id
    }

    pub(crate) fn bytes(&self, it: Sym) -> &[u8] {
        &self.texts[it.0 as usize]
    }

    /// The spelling as text; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self, it: Sym) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(it))
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }
}
