//! Fields that stand at the same places in all versions, by the name of the type.
//!
//! What a type says of itself (`tp_members`) is not repeated here. Names in parentheses are no attributes.

use super::Field;

/// References of a type beyond `tp_members`, `tp_dictoffset` and its class. All of its references are then known.
pub const FIELDS: &[(&str, &[Field])] = &[
    ("method", &[(16, "__func__"), (24, "__self__")]),
    ("instancemethod", &[(16, "__func__")]),
    ("cell", &[(16, "(cell)")]),
    ("builtin_function_or_method", &[(24, "__self__"), (32, "__module__")]),
    ("builtin_method", &[(56, "__objclass__")]),
    ("traceback", &[(16, "tb_next"), (24, "tb_frame")]),
    ("staticmethod", &[(16, "__func__")]),
    ("classmethod", &[(16, "__func__")]),
    ("mappingproxy", &[(16, "mapping")]),
    ("method_descriptor", DESCRIPTOR),
    ("wrapper_descriptor", DESCRIPTOR),
    ("getset_descriptor", DESCRIPTOR),
    ("member_descriptor", DESCRIPTOR),
    ("classmethod_descriptor", DESCRIPTOR),
    ("method-wrapper", &[(16, "(descriptor)"), (24, "__self__")]),
    ("dict_keys", &[(16, "mapping")]),
    ("dict_values", &[(16, "mapping")]),
    ("dict_items", &[(16, "mapping")]),
    ("collections.defaultdict", &[(48, "default_factory")]),
    ("functools._lru_cache_wrapper", &[(72, "(cache)"), (88, "__wrapped__")]),
    ("numpy.ndarray", &[(48, "base"), (56, "dtype")]),
    ("functools._lru_list_elem", &[(40, "(key)"), (48, "(result)")]),
];

const DESCRIPTOR: &[Field] = &[(16, "__objclass__"), (24, "__name__"), (32, "__qualname__")];

/// Types without references beyond their class.
pub const CLOSED: &[&str] =
    &["object", "int", "bool", "float", "complex", "str", "bytes", "bytearray", "NoneType", "range_iterator"];
