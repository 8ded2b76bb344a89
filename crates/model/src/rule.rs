//! One name per bug, whichever language or engine found it.

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type { $(#[serde(rename = $name)] $variant),* }
        impl $type {
            /// All, in the contract's order.
            pub const ALL: &'static [$type] = &[$($type::$variant),*];
            /// The name scripts hang on.
            pub fn name(self) -> &'static str { match self { $($type::$variant => $name),* } }
            /// By name.
            pub fn from_name(name: &str) -> Option<$type> { $type::ALL.iter().copied().find(|it| it.name() == name) }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.name()) }
        }
    };
}

names! {
    /// A rule of the contract that some engine of this version can find.
    Rule {
        MemoryLeak = "memory-leak",
        UnboundedGrowth = "unbounded-growth",
        DoubleFree = "double-free",
        InvalidFree = "invalid-free",
        MismatchedFree = "mismatched-free",
        TemporaryAllocations = "temporary-allocations",
    }
}

names! {
    /// A variant of a rule.
    Kind {
        Definite = "definite",
        Indirect = "indirect",
        Possible = "possible",
        Reachable = "reachable",
        Interior = "interior",
        Stack = "stack",
        Global = "global",
        Wild = "wild",
    }
}
