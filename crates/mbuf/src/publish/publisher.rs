//! The thread that writes, and those that tell it what.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::string::String;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};
use std::vec::Vec;
use std::{env, format, io, process, thread};

use super::directory::{Directory, try_lock};
use super::{ProcessStats, PublishError, page};
use crate::pool::{Pool, Shared};

/// Milliseconds between two snapshots.
static INTERVAL: AtomicU64 = AtomicU64::new(250);

/// Sets how often snapshots are written, for all pools of the process; not less than a millisecond. Default: four times
/// a second.
pub fn set_interval(interval: Duration) {
    let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    INTERVAL.store(millis, Ordering::Relaxed);
}

/// A pool is published while this exists.
#[derive(Debug)]
#[must_use = "the pool is published until this is dropped"]
pub struct Published {
    id: u64,
    pid: u32,
}

impl Drop for Published {
    fn drop(&mut self) {
        // After a fork, the page and its thread are the parent's.
        if self.pid == process::id() {
            withdraw(self.id);
        }
    }
}

/// The publisher of the process, while there is one.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

struct Current {
    /// The process that this belongs to: after a fork, not the running one.
    pid: u32,
    page: Arc<Page>,
    orders: Sender<Order>,
    published: Vec<u64>,
    next: u64,
}

enum Order {
    Add(u64, Weak<Shared>, Done),
    Remove(u64, Done),
    Stop(Done),
}

/// Dropped when an order has been carried out, or never will be.
type Done = Sender<()>;

fn current() -> MutexGuard<'static, Option<Current>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Current {
    fn start() -> Result<Self, PublishError> {
        let pid = process::id();
        let directory = Directory::make()?;
        let file = directory.create(pid)?;
        let page = Arc::new(Page { pid, directory, file: Mutex::new((file, 0)) });
        let (orders, inbox) = mpsc::channel();
        let of_thread = page.clone();
        let run = move || Publisher { page: of_thread, pools: Vec::new() }.run(&inbox);
        if let Err(error) = thread::Builder::new().name("mbuf-publish".into()).spawn(run) {
            page.remove();
            let path = page.directory.path().to_owned();
            return Err(PublishError::System { path, doing: "start a thread to write pages", error });
        }
        Ok(Current { pid, page, orders, published: Vec::new(), next: 0 })
    }

    /// Gives an order and waits for it, but not for ever: whoever orders may be in the way of the thread.
    fn order(&self, order: impl FnOnce(Done) -> Order) {
        let (done, wait) = mpsc::channel();
        if self.orders.send(order(done)).is_ok() {
            let _ = wait.recv_timeout(Duration::from_secs(1));
        }
    }
}

pub(super) fn publish(pool: &Pool) -> Result<Published, PublishError> {
    publish_shared(pool.downgrade())
}

fn publish_shared(pool: Weak<Shared>) -> Result<Published, PublishError> {
    let mut current = current();
    let current = match &mut *current {
        Some(current) if current.pid == process::id() => current,
        place => place.insert(Current::start()?),
    };
    let (id, pid) = (current.next, current.pid);
    current.next += 1;
    current.published.push(id);
    current.order(|done| Order::Add(id, pool, done));
    Ok(Published { id, pid })
}

fn withdraw(id: u64) {
    let mut place = current();
    let Some(current) = &mut *place else { return };
    current.published.retain(|&other| other != id);
    if current.published.is_empty() {
        current.order(Order::Stop);
        *place = None;
    } else {
        current.order(|done| Order::Remove(id, done));
    }
}

/// Publishes a pool that is being made, if the environment asks for it. If that is not possible it is said, once.
pub(crate) fn from_environment(pool: &Arc<Shared>) -> Option<Published> {
    static ASKED: OnceLock<bool> = OnceLock::new();
    static COMPLAINED: OnceLock<()> = OnceLock::new();
    let asked = ASKED.get_or_init(|| match env::var_os("MBUF_PUBLISH") {
        Some(value) if value == "1" => true,
        Some(value) if value != "0" && !value.is_empty() => {
            complain(&format!(
                "MBUF_PUBLISH is {}, neither 0 nor 1: pools are not published",
                value.display()
            ));
            false
        }
        _ => false,
    });
    if !asked {
        return None;
    }
    publish_shared(Arc::downgrade(pool))
        .inspect_err(|error| {
            COMPLAINED.get_or_init(|| complain(&format!("pools are not published: {error}")));
        })
        .ok()
}

/// Tells the operator, who set the variable. Nobody else may be there to be told.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "mbuf: {message}");
}

/// The running process's own page, if `pid` is the running process and its page is in that directory.
pub(super) fn own_page(pid: u32, directory: &Path) -> Option<Arc<Page>> {
    if pid != process::id() {
        return None;
    }
    let current = current();
    let page = &current.as_ref().filter(|current| current.pid == pid)?.page;
    (page.directory.path() == directory).then(|| page.clone())
}

/// The page of a process, as that process has it.
pub(super) struct Page {
    pid: u32,
    directory: Directory,
    /// The file, and the number of the last body.
    file: Mutex<(File, u64)>,
}

impl Page {
    fn file(&self) -> MutexGuard<'_, (File, u64)> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, path: &Path) -> Result<ProcessStats, PublishError> {
        page::read(&self.file().0, path)
    }

    fn write(&self, body: &[u8]) -> Result<(), PublishError> {
        let mut place = self.file();
        // If somebody removed the file, or took its lock by opening and closing it within this process, that is put
        // right here.
        if !matches!(try_lock(&place.0), Ok(true)) || !self.directory.is_linked(&place.0, self.pid) {
            place.0 = self.directory.create(self.pid)?;
        }
        place.1 += 1;
        page::write(&place.0, place.1, body).map_err(|error| {
            let path = self.directory.path().to_owned();
            PublishError::System { path, doing: "write the page", error }
        })
    }

    fn remove(&self) {
        if self.directory.is_linked(&self.file().0, self.pid) {
            let _ = self.directory.unlink(self.pid);
        }
    }
}

struct Publisher {
    page: Arc<Page>,
    pools: Vec<(u64, Weak<Shared>)>,
}

impl Publisher {
    fn run(mut self, inbox: &Receiver<Order>) {
        let mut next = Instant::now();
        loop {
            let done = match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Order::Add(id, pool, done)) => {
                    self.pools.push((id, pool));
                    Some(done)
                }
                Ok(Order::Remove(id, done)) => {
                    self.pools.retain(|(other, _)| *other != id);
                    Some(done)
                }
                Ok(Order::Stop(_done)) => return self.page.remove(),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.page.remove(),
            };
            // A full disk, say, may have room again the next time.
            let _ = self.page.write(&self.body());
            drop(done);
            next = Instant::now() + Duration::from_millis(INTERVAL.load(Ordering::Relaxed));
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut seen: Vec<&Weak<Shared>> = Vec::new();
        for (_, pool) in &self.pools {
            // Published twice, or gone.
            if pool.strong_count() > 0 && !seen.iter().any(|other| other.ptr_eq(pool)) {
                seen.push(pool);
            }
        }
        let pools = seen.into_iter().filter_map(|pool| Some(Pool::stats_of(&*pool.upgrade()?)));
        let mut stats = ProcessStats {
            pid: self.page.pid,
            program: program(),
            written_ms: SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64),
            interval_ms: INTERVAL.load(Ordering::Relaxed),
            pools: pools.collect(),
            omitted: 0,
        };
        loop {
            let body = serde_json::to_vec(&stats).unwrap_or_default();
            if body.len() <= page::MOST || stats.pools.is_empty() {
                return body;
            }
            let keep = stats.pools.len() / 2;
            stats.omitted += stats.pools.len() - keep;
            stats.pools.truncate(keep);
        }
    }
}

fn program() -> String {
    let path = env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
