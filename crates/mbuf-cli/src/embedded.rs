//! The capture inside the program: what `mbufctl replay` runs when it is given none.

/// What reports and errors call it.
pub(crate) const NAME: &str = "(embedded capture)";

/// Recorded between network namespaces from real programs; see `captures/` in the repository.
pub(crate) const CAPTURE: &[u8] = include_bytes!("../../../captures/real.pcapng");
