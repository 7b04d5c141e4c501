//! Where the pages are.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::string::String;
use std::time::Duration;
use std::vec::Vec;
use std::{env, format, thread};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{ProcessStats, PublishError, page, publisher};

/// A directory of pages.
///
/// That of the running user is `mbuf` in `$XDG_RUNTIME_DIR`, or in `/run/user/UID`, or else `/tmp/mbuf-UID`. It must be
/// theirs, with no access for others, and no symbolic link: whoever could put a page there could make a reader believe
/// anything.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

impl Directory {
    /// That of the running user. The first process to publish a pool makes it.
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn of_user() -> Result<Self, PublishError> {
        Self::open(Self::path_of_user())
    }

    /// That of the running user, made if it is not there.
    pub(super) fn make() -> Result<Self, PublishError> {
        let path = Self::path_of_user();
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(PublishError::system(&path, "make the directory")(errno)),
        }
        Self::open(path)
    }

    /// One that exists: another user's, say, for the superuser.
    ///
    /// # Errors
    /// [`PublishError`], if it cannot be opened, or anybody but its owner may use it, or the owner is neither the
    /// running user nor looked at by the superuser.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, PublishError> {
        let path = path.into();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let not_ours = |why| Err(PublishError::NotOurs { path: path.clone(), why });
        let fd = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::NOTDIR) => return not_ours("is no directory, or a symbolic link"),
            Err(errno) => return Err(PublishError::system(&path, "open the directory")(errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(PublishError::system(&path, "look at the directory"))?;
        let user = rustix::process::geteuid();
        if stat.st_uid != user.as_raw() && !user.is_root() {
            return not_ours("the directory belongs to another user");
        }
        if stat.st_mode & 0o077 != 0 {
            return not_ours("the directory is open to other users; it should have mode 0700");
        }
        Ok(Directory { path, fd })
    }

    /// Where that of the running user is, or would be.
    pub fn path_of_user() -> PathBuf {
        let user = rustix::process::geteuid().as_raw();
        let set = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let usual = PathBuf::from(format!("/run/user/{user}"));
        match set.into_iter().chain([usual]).find(|path| path.is_dir()) {
            Some(base) => base.join("mbuf"),
            None => PathBuf::from(format!("/tmp/mbuf-{user}")),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The processes that have a page here, living or not, lowest number first.
    ///
    /// # Errors
    /// [`PublishError::System`].
    pub fn processes(&self) -> Result<Vec<u32>, PublishError> {
        let cannot = |errno| PublishError::system(&self.path, "read the directory")(errno);
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            found.extend(process(entry.file_name().to_bytes()));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// What a process published last. If it has ended, its page is removed; what is there and is no page is kept.
    ///
    /// # Errors
    /// [`PublishError::Absent`] and [`Ended`](PublishError::Ended), if there is nothing to read;
    /// [`Damaged`](PublishError::Damaged), if what is there makes no sense, whatever it is.
    pub fn read(&self, pid: u32) -> Result<ProcessStats, PublishError> {
        let path = self.path.join(file_name(pid));
        // Closing any file of one's own page gives up its lock, so that is not opened a second time.
        if let Some(own) = publisher::own_page(pid, &self.path) {
            return own.read(&path);
        }
        let file = match self.open_page(pid, false) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Err(PublishError::Absent { pid }),
            Err(errno) => return Err(PublishError::system(&path, "open")(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(PublishError::system(&path, "look at the file"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(PublishError::Damaged { path, offset: 0, what: "is no regular file".into() });
        }
        if try_lock(&file).map_err(PublishError::system(&path, "lock"))? {
            // Nobody's. What was never a page is not ours to remove.
            page::check(&file, &path)?;
            // Removed while it is locked, so that it is not one that a new process just made its own.
            if self.is_linked(&file, pid) {
                self.unlink(pid).map_err(PublishError::system(&path, "remove"))?;
            }
            return Err(PublishError::Ended { pid });
        }
        page::read(&file, &path)
    }

    /// Makes or takes over the page of the running process, locked and empty.
    pub(super) fn create(&self, pid: u32) -> Result<File, PublishError> {
        let path = self.path.join(file_name(pid));
        // Somebody may be removing the page of a process that ended and had the same number.
        for _ in 0..100 {
            let file = self.open_page(pid, true).map_err(PublishError::system(&path, "make the file"))?;
            if try_lock(&file).map_err(PublishError::system(&path, "lock"))? && self.is_linked(&file, pid) {
                file.set_len(0).map_err(|error| PublishError::System {
                    path,
                    doing: "empty the file",
                    error,
                })?;
                return Ok(file);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(PublishError::NotOurs { path, why: "another process keeps the file" })
    }

    fn open_page(&self, pid: u32, create: bool) -> rustix::io::Result<File> {
        let mut flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if create {
            flags |= OFlags::CREATE;
        }
        rustix::fs::openat(&self.fd, file_name(pid), flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    /// Whether the file is still the one of its name.
    pub(super) fn is_linked(&self, file: &File, pid: u32) -> bool {
        let named = rustix::fs::statat(&self.fd, file_name(pid), AtFlags::SYMLINK_NOFOLLOW);
        match (named, rustix::fs::fstat(file)) {
            (Ok(named), Ok(open)) => (named.st_dev, named.st_ino) == (open.st_dev, open.st_ino),
            _ => false,
        }
    }

    pub(super) fn unlink(&self, pid: u32) -> rustix::io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, file_name(pid), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }
}

/// Takes the lock that a living process has on its page; false if one has it.
pub(super) fn try_lock(file: &File) -> rustix::io::Result<bool> {
    match rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn file_name(pid: u32) -> String {
    format!("{pid}.mbuf")
}

/// The process whose page has this name, if it is the name of one.
fn process(name: &[u8]) -> Option<u32> {
    let text = str::from_utf8(name).ok()?;
    let pid = text.strip_suffix(".mbuf")?.parse().ok()?;
    (OsStr::new(text) == OsStr::new(&file_name(pid))).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_pages_are_taken_for_pages() {
        assert_eq!(process(b"17.mbuf"), Some(17));
        for other in
            [&b"017.mbuf"[..], b"+17.mbuf", b"-1.mbuf", b"17", b".mbuf", b"99999999999.mbuf", b"\xff.mbuf"]
        {
            assert_eq!(process(other), None);
        }
    }
}
