//! Live statistics: a process publishes its pools, another reads them (`mbufctl stat`, `mbufctl top`).
//!
//! ```text
//!  Pool ◀─weak─ publisher thread ──pwrite──▶ DIRECTORY/PID.mbuf ──pread──▶ Directory::read ─▶ ProcessStats
//!                 a few times a second         locked while the process lives
//! ```
//!
//! A pool is published by [`Pool::publish`], or every pool by `MBUF_PUBLISH=1` in the environment. There is one page per
//! process, in the [`Directory`] of its user. Nothing is done where buffers are taken and given back: a thread of its
//! own takes a snapshot now and then ([`set_interval`]). It keeps no pool alive.
//!
//! A child made by `fork` has no part in its parent's page; what it publishes itself goes into its own. The page goes
//! away with the last published pool. That of a process that ended without that is told by its lock, which the kernel
//! took away, and removed by whoever looks next.
//!
//! How it is built and why is in `docs/design/0008-live-statistics.md`.

mod directory;
mod page;
mod publisher;

use std::io;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use core::error::Error;
use core::fmt;

pub use directory::Directory;
pub(crate) use publisher::from_environment;
pub use publisher::{Published, set_interval};

use crate::pool::{Pool, PoolStats};

/// What a process published.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProcessStats {
    /// The process.
    pub pid: u32,
    /// The name of its program.
    pub program: String,
    /// When this was written, in milliseconds since 1970.
    pub written_ms: u64,
    /// How often it is written, in milliseconds.
    pub interval_ms: u64,
    /// The pools, in the order they were published.
    pub pools: Vec<PoolStats>,
    /// Pools for which there was no room.
    pub omitted: usize,
}

impl Pool {
    /// Publishes the pool's statistics to other processes of the same user until the returned value is dropped. They are
    /// there when this returns.
    ///
    /// ```no_run
    /// let pool = mbuf::Pool::new();
    /// let _published = pool.publish()?;
    /// # Ok::<(), mbuf::publish::PublishError>(())
    /// ```
    ///
    /// # Errors
    /// [`PublishError`], if the directory or the file cannot be made or belongs to somebody else.
    /// # Cost
    /// One thread and one file for all pools of the process; a snapshot of each several times a second.
    /// # BSD
    /// `kern.ipc.mbstat`, which `netstat -m` reads. Differs: of a process, and only of pools that are published.
    pub fn publish(&self) -> Result<Published, PublishError> {
        publisher::publish(self)
    }
}

/// Why statistics cannot be published or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The system refused something.
    System {
        /// On which file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// A file or directory that others could have put there, or could change.
    NotOurs {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file that is no page, or a page that is damaged.
    Damaged {
        /// Which.
        path: PathBuf,
        /// The byte from where it cannot be read.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The process publishes nothing.
    Absent {
        /// Which.
        pid: u32,
    },
    /// The process ended and left its page, which was removed.
    Ended {
        /// Which.
        pid: u32,
    },
}

impl PublishError {
    fn system(path: &Path, doing: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.to_owned();
        move |errno| PublishError::System { path, doing, error: errno.into() }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::System { path, doing, error } => {
                write!(f, "{}: cannot {doing}: {error}", path.display())
            }
            PublishError::NotOurs { path, why } => write!(f, "{}: {why}", path.display()),
            PublishError::Damaged { path, offset, what } => {
                write!(f, "{}: offset {offset}: {what}", path.display())
            }
            PublishError::Absent { pid } => write!(f, "process {pid} publishes no pools"),
            PublishError::Ended { pid } => {
                write!(f, "process {pid} has ended; what it left was removed")
            }
        }
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PublishError::System { error, .. } => Some(error),
            _ => None,
        }
    }
}
