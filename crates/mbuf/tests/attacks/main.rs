//! Programs that try to break the library from safe code: hostile owners, tags and iterators, sharers that write in
//! every order, threads. Small enough to run under Miri, which sees what the assertions cannot.

mod arguments;
mod callbacks;
mod memory;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use mbuf::{Packet, Pool, Tag, TagCopy};

fn in_use(pool: &Pool) -> [usize; 3] {
    let stats = pool.stats();
    [stats.mbufs.current, stats.clusters.current, stats.jumbo_page.current]
}

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// Does something when it is dropped: as the owner of bytes, and as a tag.
struct OnDrop<F: FnMut() + Send + 'static>(Vec<u8>, Mutex<F>);

impl<F: FnMut() + Send> OnDrop<F> {
    fn new(bytes: &[u8], f: F) -> Self {
        OnDrop(bytes.to_vec(), Mutex::new(f))
    }
}

impl<F: FnMut() + Send> AsRef<[u8]> for OnDrop<F> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<F: FnMut() + Send> Tag for OnDrop<F> {}

impl<F: FnMut() + Send> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.1.get_mut().unwrap())();
    }
}

fn bomb(bytes: &[u8]) -> OnDrop<impl FnMut() + Send + 'static> {
    OnDrop::new(bytes, || panic!("a bomb"))
}

/// 600 bytes in two segments, in clusters of the pool.
fn plain(pool: &Pool, byte: u8) -> Packet {
    let mut packet = Packet::from_slice(pool, &[byte; 300]).unwrap();
    packet.append(Packet::from_slice(pool, &[byte; 300]).unwrap()).unwrap();
    packet
}

#[derive(Debug, PartialEq)]
struct Sure(u8);
impl Tag for Sure {
    fn copy(&self) -> TagCopy {
        TagCopy::With(Box::new(Sure(self.0)))
    }
    fn is_persistent(&self) -> bool {
        true
    }
}
