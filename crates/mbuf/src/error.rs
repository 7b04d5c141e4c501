//! Every error of the crate: small, copyable, with the numbers that tell what was asked and what there was.

use core::error::Error;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::config::{Class, MJUM16BYTES};

/// A range that does not lie within the packet or chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundsError {
    /// First byte asked for.
    pub start: usize,
    /// Behind the last byte asked for, `usize::MAX` if that is no number; `start` if the range was open and begins
    /// behind the end.
    pub end: usize,
    /// Bytes there are.
    pub available: usize,
}

impl fmt::Display for BoundsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &BoundsError { start, end, available } = self;
        if end < start {
            write!(f, "the range {start}..{end} ends before it begins")
        } else if start > available {
            write!(f, "offset {start} is beyond the end of {available} bytes")
        } else {
            write!(f, "the range {start}..{end} reaches beyond the end of {available} bytes")
        }
    }
}

impl Error for BoundsError {}

/// What a pool keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// Mbufs.
    Mbuf,
    /// Storage of a size class.
    Storage(Class),
    /// Records of external storage.
    External,
}

impl From<Class> for Resource {
    fn from(class: Class) -> Self {
        Resource::Storage(class)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Mbuf => "mbufs",
            Resource::Storage(Class::Cluster) => "2 KiB clusters",
            Resource::Storage(Class::Page) => "4 KiB clusters",
            Resource::Storage(Class::Jumbo9) => "9 KiB clusters",
            Resource::Storage(Class::Jumbo16) => "16 KiB clusters",
            Resource::External => "external storage records",
        })
    }
}

/// The pool had nothing to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AllocError {
    /// What ran out.
    pub resource: Resource,
    /// Why.
    pub cause: AllocCause,
    /// Which pool.
    pub(crate) pool: PoolId,
}

/// Why a pool had nothing to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllocCause {
    /// The limit on this kind of buffer, in buffers, is in use.
    Limit(usize),
    /// The budget for all buffers, in bytes, is in use.
    Budget(usize),
    /// The page source is dry.
    Memory,
    /// Others wait for what is free, and this call would wait behind them.
    Waiters,
    /// A fault was injected ([`Pool::inject`](crate::Pool::inject)): there may be as much as one likes.
    Fault,
}

/// Names a pool within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolId(pub(crate) u32);

impl PoolId {
    /// One that no pool has, as long as there were fewer than 2^32.
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        PoolId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.resource;
        match self.cause {
            AllocCause::Limit(limit) => {
                write!(f, "no {what} are free: the pool's limit of {limit} is in use")
            }
            AllocCause::Budget(bytes) => {
                write!(f, "no {what} are free: the pool's budget of {bytes} bytes is in use")
            }
            AllocCause::Memory => write!(f, "no memory for {what}"),
            AllocCause::Waiters => write!(f, "others wait for the {what} that are free"),
            AllocCause::Fault => write!(f, "no {what}: a fault was injected"),
        }
    }
}

impl Error for AllocError {}

/// Why an operation was refused. The packet or chain it was called on, and those it was given, are unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpError {
    /// A range lies outside of the data.
    Bounds(BoundsError),
    /// The pool is dry.
    Alloc(AllocError),
    /// More bytes than the operation can handle.
    TooLong {
        /// Bytes asked for.
        len: usize,
        /// Most bytes possible.
        max: usize,
    },
    /// The data does not fit into so few segments.
    TooManySegments {
        /// Fewest segments possible.
        needed: usize,
        /// Segments allowed.
        max: usize,
    },
    /// The storage has as many sharers as can be counted (2^31).
    TooManySharers,
    /// A tag refused to be copied.
    Tag,
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHAIN: usize = u32::MAX as usize;
        match self {
            OpError::Bounds(error) => error.fmt(f),
            OpError::Alloc(error) => error.fmt(f),
            OpError::TooLong { len, max } => {
                let limit = match *max {
                    MJUM16BYTES => "that the largest buffer holds",
                    CHAIN => "that a chain may have",
                    _ => "possible here",
                };
                write!(f, "{len} bytes are more than the {max} {limit}")
            }
            OpError::TooManySegments { needed, max } => {
                write!(f, "{needed} segments are needed, {max} allowed")
            }
            OpError::TooManySharers => f.write_str("the storage has too many sharers"),
            OpError::Tag => f.write_str("a tag refused to be copied"),
        }
    }
}

impl Error for OpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            OpError::Bounds(error) => Some(error),
            OpError::Alloc(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BoundsError> for OpError {
    fn from(error: BoundsError) -> Self {
        OpError::Bounds(error)
    }
}

impl From<AllocError> for OpError {
    fn from(error: AllocError) -> Self {
        OpError::Alloc(error)
    }
}

/// An operation that takes over a value was refused: why, and the value back.
///
/// Turns into the bare [`OpError`] with `?` where the value is not needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Refused<T> {
    /// Why.
    pub error: OpError,
    /// What was given, unchanged.
    pub input: T,
}

impl<T> Refused<T> {
    pub(crate) fn new(error: impl Into<OpError>, input: T) -> Self {
        Refused { error: error.into(), input }
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> Error for Refused<T> {}

impl<T> From<Refused<T>> for OpError {
    fn from(refused: Refused<T>) -> Self {
        refused.error
    }
}

/// Settings from which no pool can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The default headroom leaves no room for data in a cluster.
    Headroom {
        /// Bytes asked for.
        asked: usize,
        /// Most bytes possible.
        max: usize,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Headroom { asked, max } => {
                write!(
                    f,
                    "a headroom of {asked} bytes is more than the {max} that leave room for data in a cluster"
                )
            }
        }
    }
}

impl Error for BuildError {}

/// Errors that may say that a pool was dry: what [`Pool::wait`](crate::Pool::wait) can do something about.
pub trait Shortage {
    /// What ran out, if that is what the error says.
    fn shortage(&self) -> Option<AllocError>;
}

impl Shortage for AllocError {
    fn shortage(&self) -> Option<AllocError> {
        Some(*self)
    }
}

impl Shortage for OpError {
    fn shortage(&self) -> Option<AllocError> {
        match self {
            OpError::Alloc(error) => Some(*error),
            _ => None,
        }
    }
}

impl<T> Shortage for Refused<T> {
    fn shortage(&self) -> Option<AllocError> {
        self.error.shortage()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};

    fn failed(resource: Resource, cause: AllocCause) -> AllocError {
        AllocError { resource, cause, pool: PoolId(0) }
    }

    #[test]
    fn an_allocation_that_failed_says_what_there_was_none_of_and_why() {
        let resources = [
            (Resource::Mbuf, "mbufs"),
            (Class::Cluster.into(), "2 KiB clusters"),
            (Class::Page.into(), "4 KiB clusters"),
            (Class::Jumbo9.into(), "9 KiB clusters"),
            (Class::Jumbo16.into(), "16 KiB clusters"),
            (Resource::External, "external storage records"),
        ];
        for (resource, name) in resources {
            let said = |cause| failed(resource, cause).to_string();
            assert_eq!(
                said(AllocCause::Limit(7)),
                format!("no {name} are free: the pool's limit of 7 is in use")
            );
            assert_eq!(
                said(AllocCause::Budget(9)),
                format!("no {name} are free: the pool's budget of 9 bytes is in use")
            );
            assert_eq!(said(AllocCause::Memory), format!("no memory for {name}"));
            assert_eq!(said(AllocCause::Waiters), format!("others wait for the {name} that are free"));
            assert_eq!(said(AllocCause::Fault), format!("no {name}: a fault was injected"));
        }
    }

    #[test]
    fn an_error_says_why_the_operation_was_refused_and_leads_to_its_source() {
        let bounds = BoundsError { start: 2, end: 5, available: 4 };
        let alloc = failed(Resource::Mbuf, AllocCause::Memory);
        let long = |max| OpError::TooLong { len: 70_000, max };
        let errors: [(OpError, String); 8] = [
            (bounds.into(), bounds.to_string()),
            (alloc.into(), alloc.to_string()),
            (long(MJUM16BYTES), "70000 bytes are more than the 16384 that the largest buffer holds".into()),
            (
                long(u32::MAX as usize),
                "70000 bytes are more than the 4294967295 that a chain may have".into(),
            ),
            (long(100), "70000 bytes are more than the 100 possible here".into()),
            (OpError::TooManySegments { needed: 3, max: 2 }, "3 segments are needed, 2 allowed".into()),
            (OpError::TooManySharers, "the storage has too many sharers".into()),
            (OpError::Tag, "a tag refused to be copied".into()),
        ];
        for (error, text) in errors {
            assert_eq!(error.to_string(), text);
            let source = error.source().map(ToString::to_string);
            assert_eq!(source, matches!(error, OpError::Bounds(_) | OpError::Alloc(_)).then_some(text));
            let shortage = (error == OpError::Alloc(alloc)).then_some(alloc);
            assert_eq!(error.shortage(), shortage);
            // What comes with a value says the same, and nothing of the value.
            let refused = Refused::new(error, "value");
            assert_eq!((refused.to_string(), refused.shortage()), (error.to_string(), shortage));
            assert_eq!(format!("{refused:?}"), format!("Refused {{ error: {error:?}, .. }}"));
        }
        let build = BuildError::Headroom { asked: 2048, max: 2047 };
        assert!(build.to_string().starts_with("a headroom of 2048 bytes is more than the 2047 "));
    }
}
