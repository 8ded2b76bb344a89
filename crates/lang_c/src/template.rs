//! Templates.
pub(crate) struct Template {}
