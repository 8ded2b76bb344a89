//! The memory that the recorder shares with `heapwise`.
