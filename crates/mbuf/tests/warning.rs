//! The warning when a limit is reached.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use mbuf::{AllocCause, Class, LimitWarning, Packet, Pool, PoolBuilder, Resource};
use mbuf_testkit::{FailingPages, assert_empty};

type Said = Arc<Mutex<Vec<String>>>;

fn listening(builder: PoolBuilder) -> (Pool, Said) {
    let said = Said::default();
    let to = said.clone();
    (builder.on_limit(move |warning| to.lock().unwrap().push(warning.to_string())).build().unwrap(), said)
}

#[test]
fn a_limit_is_warned_of_once_a_minute_for_each_pool_and_resource() {
    let (pool, said) = listening(Pool::builder().name("rx").mbufs(3).clusters(1).jumbo_9k(0));
    let (other, said_of_other) = listening(Pool::builder().name("tx").clusters(0));
    let held = Packet::with_cluster(&pool).unwrap();
    assert!(said.lock().unwrap().is_empty(), "there is nothing to warn of yet");
    for _ in 0..if cfg!(miri) { 5 } else { 100 } {
        Packet::with_cluster(&pool).unwrap_err();
        Packet::with_class(&pool, Class::Jumbo9).unwrap_err();
        Packet::with_cluster(&other).unwrap_err();
    }
    let more = [(); 2].map(|()| Packet::new(&pool).unwrap());
    Packet::new(&pool).unwrap_err();
    pool.cache().new_packet().unwrap_err();
    assert_eq!(
        *said.lock().unwrap(),
        [
            "pool rx: no 2 KiB clusters are free: the pool's limit of 1 is in use; for more, raise \
             PoolBuilder::clusters (kern.ipc.nmbclusters)",
            "pool rx: no 9 KiB clusters are free: the pool's limit of 0 is in use; for more, raise \
             PoolBuilder::jumbo_9k (kern.ipc.nmbjumbo9)",
            "pool rx: no mbufs are free: the pool's limit of 3 is in use; for more, raise \
             PoolBuilder::mbufs (kern.ipc.nmbufs)",
        ]
    );
    assert_eq!(said_of_other.lock().unwrap().len(), 1);
    drop((held, more));
    assert_empty(&pool);
}

#[test]
fn a_budget_is_warned_of_as_one_whatever_it_denies() {
    let (pool, said) = listening(Pool::builder().name("small").budget(0));
    for class in Class::ALL {
        Packet::with_class(&pool, class).unwrap_err();
    }
    Packet::new(&pool).unwrap_err();
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    let end = "budget of 0 bytes is in use; for more, raise PoolBuilder::budget (kern.ipc.maxmbufmem)";
    assert!(said[0].ends_with(end), "{said:?}");
    assert_empty(&pool);
}

#[test]
fn memory_that_runs_out_before_the_limit_is_no_matter_of_limits() {
    let (pool, said) = listening(Pool::builder().mbufs(1000).pages(FailingPages::new(0)));
    assert_eq!(Packet::new(&pool).unwrap_err().cause, AllocCause::Memory);
    assert!(said.lock().unwrap().is_empty());
    assert_empty(&pool);
}

#[test]
fn a_callback_may_use_the_pool_and_panic() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static POOL: OnceLock<Pool> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let warn = |_: &LimitWarning<'_>| {
            let pool = POOL.get().unwrap();
            CALLS.fetch_add(1, Ordering::Relaxed);
            // The same limit again, and another that is not reached.
            Packet::with_cluster(pool).unwrap_err();
            let packet = Packet::from_slice(pool, b"in the callback").unwrap();
            assert_eq!(pool.stats().mbufs.current, 2);
            drop(packet);
            pool.trim();
            panic!("out of the callback");
        };
        Pool::builder().mbufs(4).clusters(1).on_limit(warn).build().unwrap()
    });
    let held = Packet::with_cluster(pool).unwrap();
    for _ in 0..3 {
        let error = Packet::with_cluster(pool).unwrap_err();
        assert_eq!((error.resource, error.cause), (Resource::Storage(Class::Cluster), AllocCause::Limit(1)));
    }
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    drop(held);
    Packet::with_cluster(pool).unwrap();
    assert_empty(pool);
}

#[cfg(feature = "log")]
#[test]
fn without_a_callback_it_is_logged() {
    use std::sync::Mutex;
    struct Logger(Mutex<Vec<(log::Level, String, String)>>);
    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            let line = (record.level(), record.target().to_owned(), record.args().to_string());
            self.0.lock().unwrap().push(line);
        }
        fn flush(&self) {}
    }
    static LOGGER: Logger = Logger(Mutex::new(Vec::new()));
    log::set_logger(&LOGGER).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let pool = Pool::builder().name("logged").jumbo_pages(0).build().unwrap();
    for _ in 0..3 {
        Packet::with_class(&pool, Class::Page).unwrap_err();
    }
    let lines = LOGGER.0.lock().unwrap();
    let [(level, target, line)] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((*level, target.as_str()), (log::Level::Warn, "mbuf"));
    assert!(line.starts_with("pool logged: no 4 KiB clusters are free: the pool's limit of 0"), "{line}");
    assert_empty(&pool);
}
