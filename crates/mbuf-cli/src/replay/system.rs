//! What the operating system is asked for beyond files: which file is which, and to be told of Ctrl-C.
//!
//! ```text
//!   SIGINT, SIGTERM ─▶ signal number ─▶ between frames: the input ends here
//!                   └▶ wake ──────────▶ while a pipe has nothing: waiting ends
//! ```

#[cfg(unix)]
pub(super) use unix::{Interrupt, file_number, stdin, stdout_number};

#[cfg(windows)]
pub(super) use windows::{Interrupt, file_number, stdin, stdout_number};

#[cfg(unix)]
mod unix {
    use std::fs::{File, Metadata};
    use std::io::{self, Read};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use rustix::event::{PollFd, PollFlags, poll};
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::{flag, low_level};

    /// What tells a file from every other, whatever its names are.
    pub(in crate::replay) fn file_number(meta: &Metadata) -> Option<(u64, u64)> {
        Some((meta.dev(), meta.ino()))
    }

    /// The number of what standard output is.
    pub(in crate::replay) fn stdout_number() -> Option<(u64, u64)> {
        let file = duplicate(io::stdout().as_fd()).ok()?;
        file_number(&file.metadata().ok()?)
    }

    /// Standard input, unbuffered.
    pub(in crate::replay) fn stdin() -> io::Result<File> {
        duplicate(io::stdin().as_fd())
    }

    fn duplicate(fd: BorrowedFd<'_>) -> io::Result<File> {
        Ok(File::from(fd.try_clone_to_owned()?))
    }

    /// Notices that somebody wants the run to end early.
    pub(in crate::replay) struct Interrupt {
        signal: Arc<AtomicUsize>,
        /// Readable from the first signal on.
        woken: Arc<UnixStream>,
        wake: UnixStream,
    }

    impl Interrupt {
        /// Prepares; signals do what they always do until [`catch`](Self::catch).
        pub(in crate::replay) fn new() -> io::Result<Self> {
            let (woken, wake) = UnixStream::pair()?;
            Ok(Self { signal: Arc::default(), woken: Arc::new(woken), wake })
        }

        /// From here on the first signal ends the input, and the second ends the program.
        ///
        /// A hangup is left alone: `nohup` must keep its meaning.
        pub(in crate::replay) fn catch(&self) -> io::Result<()> {
            let again = Arc::new(AtomicBool::new(false));
            for signal in [SIGINT, SIGTERM] {
                flag::register_conditional_default(signal, Arc::clone(&again))?;
                flag::register(signal, Arc::clone(&again))?;
                flag::register_usize(signal, Arc::clone(&self.signal), signal.unsigned_abs() as usize)?;
                low_level::pipe::register(signal, self.wake.try_clone()?)?;
            }
            Ok(())
        }

        /// The signal that came, if one did: its name and number.
        pub(in crate::replay) fn signal(&self) -> Option<(&'static str, u8)> {
            // Nothing but the number itself is passed from the handler.
            let number =
                i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|number| *number != 0)?;
            Some((low_level::signal_name(number)?, u8::try_from(number).ok()?))
        }

        /// A reader of `file` that stops waiting when a signal comes.
        pub(in crate::replay) fn reader(&self, file: File) -> impl Read + 'static {
            Reader { file, woken: Arc::clone(&self.woken) }
        }
    }

    struct Reader {
        file: File,
        woken: Arc<UnixStream>,
    }

    impl Read for Reader {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let mut waiting =
                [PollFd::new(&self.file, PollFlags::IN), PollFd::new(&self.woken, PollFlags::IN)];
            poll(&mut waiting, None)?;
            if !waiting[1].revents().is_empty() {
                return Err(io::Error::other("interrupted"));
            }
            self.file.read(buf)
        }
    }
}

/// Files are told apart by their canonical names, and Ctrl-C ends the program.
#[cfg(windows)]
mod windows {
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::windows::io::AsHandle;

    pub(in crate::replay) fn file_number(_: &Metadata) -> Option<(u64, u64)> {
        None
    }

    pub(in crate::replay) fn stdout_number() -> Option<(u64, u64)> {
        None
    }

    pub(in crate::replay) fn stdin() -> io::Result<File> {
        Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
    }

    pub(in crate::replay) struct Interrupt;

    impl Interrupt {
        pub(in crate::replay) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::replay) fn catch(&self) -> io::Result<()> {
            Ok(())
        }

        pub(in crate::replay) fn signal(&self) -> Option<(&'static str, u8)> {
            None
        }

        pub(in crate::replay) fn reader(&self, file: File) -> File {
            file
        }
    }
}
