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
        ResourceLeak = "resource-leak",
        UnboundedGrowth = "unbounded-growth",
        ReferenceCycle = "reference-cycle",
        RetainedObject = "retained-object",
        UseAfterFree = "use-after-free",
        DoubleFree = "double-free",
        InvalidFree = "invalid-free",
        MismatchedFree = "mismatched-free",
        HeapOverflow = "heap-overflow",
        StackBufferOverflow = "stack-buffer-overflow",
        UndersizedAllocation = "undersized-allocation",
        UninitializedRead = "uninitialized-read",
        NullDereference = "null-dereference",
        DanglingStackAddress = "dangling-stack-address",
        OverlappingCopy = "overlapping-copy",
        RacyLazyInit = "racy-lazy-init",
        RacySharedState = "racy-shared-state",
        ThreadNeverStopped = "thread-never-stopped",
        EagerSequence = "eager-sequence",
        DeepNesting = "deep-nesting",
        TemporaryAllocations = "temporary-allocations",
        DuplicateContent = "duplicate-content",
    }
}

names! {
    /// A variant of a rule.
    Kind {
        Definite = "definite",
        Indirect = "indirect",
        Possible = "possible",
        Reachable = "reachable",
        File = "file",
        Socket = "socket",
        Serial = "serial",
        Process = "process",
        Thread = "thread",
        Lock = "lock",
        Figure = "figure",
        Mapping = "mapping",
        Descriptor = "descriptor",
        List = "list",
        Map = "map",
        Set = "set",
        Queue = "queue",
        Cache = "cache",
        String = "string",
        Registry = "registry",
        Uncollected = "uncollected",
        Finalizer = "finalizer",
        Closure = "closure",
        Listener = "listener",
        Timer = "timer",
        Global = "global",
        DetachedNode = "detached-node",
        WeakMissing = "weak-missing",
        Read = "read",
        Write = "write",
        Call = "call",
        Return = "return",
        Interior = "interior",
        Stack = "stack",
        Wild = "wild",
        UnderflowRead = "underflow-read",
        UnderflowWrite = "underflow-write",
        Heap = "heap",
        Syscall = "syscall",
        UncheckedAllocation = "unchecked-allocation",
        Null = "null",
        Store = "store",
        CheckThenAct = "check-then-act",
        IterateWhileModified = "iterate-while-modified",
        InconsistentLock = "inconsistent-lock",
        Task = "task",
        ReadAll = "read-all",
        Object = "object",
    }
}
