//! Real and imagined memory.

#[cfg(all(feature = "mapped", unix))]
mod mapped;
mod region;
#[cfg(feature = "virtual")]
mod r#virtual;

#[cfg(all(feature = "mapped", unix))]
pub use mapped::Mapped;
pub use region::Region;
#[cfg(feature = "virtual")]
pub use r#virtual::Virtual;
