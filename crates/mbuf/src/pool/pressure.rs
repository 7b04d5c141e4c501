//! The system's own word that memory is short: pressure stall information of Linux.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Weak;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::{Pool, Shared};

/// When the system counts as short of memory: when tasks waited for memory for so long within a window.
///
/// See `Documentation/accounting/psi.rst` of the kernel. The default watches the whole system,
/// `/proc/pressure/memory`, for 150 ms within two seconds in which some task stalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PressureTrigger {
    /// The file of the system or of a control group: `memory.pressure` in its directory.
    pub file: PathBuf,
    /// All tasks must have stalled at once, not some.
    pub full: bool,
    /// Time stalled, 1 µs or more.
    pub stall: Duration,
    /// The window, 500 ms to 10 s; without `CAP_SYS_RESOURCE`, a multiple of 2 s.
    pub window: Duration,
}

impl Default for PressureTrigger {
    fn default() -> Self {
        PressureTrigger {
            file: PathBuf::from("/proc/pressure/memory"),
            full: false,
            stall: Duration::from_millis(150),
            window: Duration::from_secs(2),
        }
    }
}

impl PressureTrigger {
    /// Registers the trigger.
    fn open(&self) -> io::Result<File> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.file)?;
        let kind = if self.full { "full" } else { "some" };
        let text = format!("{kind} {} {}\0", self.stall.as_micros(), self.window.as_micros());
        file.write_all(text.as_bytes())?;
        Ok(file)
    }
}

impl Pool {
    /// Calls [`low_memory`](Pool::low_memory) whenever the system is short of memory, on a thread of its own, until the
    /// returned value is dropped. The thread does not keep the pool alive.
    ///
    /// # Errors
    /// Those of opening and writing the trigger's file: there is none, it may not be written, or the kernel refuses
    /// the times (`EINVAL`); and of starting the thread.
    pub fn watch_pressure(&self, trigger: &PressureTrigger) -> io::Result<PressureWatch> {
        let explain = |error: io::Error| {
            let file = trigger.file.display();
            io::Error::new(error.kind(), format!("cannot watch {file} for {trigger:?}: {error}"))
        };
        watch(self, trigger.open().map_err(explain)?.into())
    }
}

fn watch(pool: &Pool, events: OwnedFd) -> io::Result<PressureWatch> {
    let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
    let (pool, stopped) = (pool.downgrade(), stop.try_clone()?);
    let thread = Builder::new().name("mbuf-pressure".into()).spawn(move || run(&pool, &events, &stopped))?;
    Ok(PressureWatch { stop, thread: Some(thread) })
}

/// Until it is told to stop, the pool is gone, or the file is.
fn run(pool: &Weak<Shared>, events: &OwnedFd, stopped: &OwnedFd) {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(events.as_fd(), PollFlags::PRI),
            PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        }
        let [event, stop] = fds.map(|fd| fd.revents());
        if !stop.is_empty() || event.intersects(PollFlags::ERR | PollFlags::NVAL | PollFlags::HUP) {
            return;
        }
        match pool.upgrade() {
            Some(shared) if event.contains(PollFlags::PRI) => {
                super::reclaim::low_memory(&shared);
            }
            Some(_) => {}
            None => return,
        }
    }
}

/// Ends the [watch](Pool::watch_pressure) when dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the watch"]
pub struct PressureWatch {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Drop for PressureWatch {
    fn drop(&mut self) {
        // Cannot fail: the counter is far from full.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // A reclaim hook may drop it, in that very thread.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

// Sockets and what the kernel says of its memory: not Miri's.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::ReclaimKind;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(60);

    /// A descriptor on which urgent data arrives, as events do on a pressure file.
    fn urgent() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (sender, listener.accept().unwrap().0)
    }

    fn shout(stream: &TcpStream) {
        rustix::net::send(stream, b"!", rustix::net::SendFlags::OOB).unwrap();
    }

    #[test]
    fn an_event_runs_the_hooks_until_the_watch_is_dropped() {
        let pool = Pool::new();
        let (sent, received) = mpsc::channel();
        let _guard = pool.on_reclaim(ReclaimKind::Memory, 0, move || sent.send(()).unwrap());
        let (sender, receiver) = urgent();
        let watch = watch(&pool, receiver.into()).unwrap();
        assert!(received.try_recv().is_err());
        shout(&sender);
        received.recv_timeout(LONG).unwrap();
        drop(watch);
        while received.try_recv().is_ok() {}
        assert!(received.recv_timeout(Duration::from_millis(10)).is_err());
    }

    #[test]
    fn the_pool_may_go_first_and_a_hook_may_end_the_watch() {
        let pool = Pool::new();
        let (sender, receiver) = urgent();
        let (hand, taken) = mpsc::channel::<PressureWatch>();
        let (sent, received) = mpsc::channel();
        let taken = std::sync::Mutex::new(taken);
        let guard = pool.on_reclaim(ReclaimKind::Memory, 0, move || {
            drop(taken.lock().unwrap().recv().unwrap());
            sent.send(()).unwrap();
        });
        hand.send(watch(&pool, receiver.into()).unwrap()).unwrap();
        shout(&sender);
        received.recv_timeout(LONG).unwrap();
        drop(guard);
        let (sender, receiver) = urgent();
        let watch = watch(&pool, receiver.into()).unwrap();
        drop(pool);
        shout(&sender);
        drop(watch);
    }

    #[test]
    fn the_kernel_takes_the_trigger_or_the_error_says_why_not() {
        let pool = Pool::new();
        let missing = PressureTrigger { file: "/nonexistent".into(), ..PressureTrigger::default() };
        let error = pool.watch_pressure(&missing).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("/nonexistent"), "{error}");
        // Some kernels and containers have none, or do not let us.
        match pool.watch_pressure(&PressureTrigger::default()) {
            Ok(watch) => {
                drop(watch);
                let absurd =
                    PressureTrigger { window: Duration::from_secs(3600), ..PressureTrigger::default() };
                assert_eq!(pool.watch_pressure(&absurd).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            }
            Err(error) => {
                assert!(std::env::var_os("MBUF_REQUIRE_PSI").is_none(), "{error}");
                println!("skipped: {error}");
            }
        }
    }
}
