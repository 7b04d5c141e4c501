//! A program that loses packets, and an audit that finds out where.
//!
//! A reassembler keeps the fragments of each datagram until all of them are there. Datagrams that never become whole are
//! never forgotten: that is the leak. `docs/debugging.md` shows what this prints.

use std::collections::HashMap;

use mbuf::{Audit, Packet, Pool};

/// Fragments of datagrams that are not whole yet.
#[derive(Default)]
struct Reassembler {
    waiting: HashMap<u32, Packet>,
}

impl Reassembler {
    /// Takes the next fragment of a datagram; gives the datagram when it has two.
    fn fragment(&mut self, pool: &Pool, datagram: u32, bytes: &[u8]) -> Option<Packet> {
        let packet = Packet::from_slice(pool, bytes).ok()?;
        packet.claim("reassembler", datagram);
        let Some(mut first) = self.waiting.remove(&datagram) else {
            self.waiting.insert(datagram, packet);
            return None;
        };
        first.append(packet).ok()?;
        Some(first)
    }
}

pub(crate) fn main() {
    let pool = Pool::builder().name("rx").audit(Audit::every()).on_audit(|event| println!("{event}"));
    let pool = pool.build().expect("good settings");
    let mut reassembler = Reassembler::default();
    let mut whole = 0;
    for datagram in 0..100 {
        whole += usize::from(reassembler.fragment(&pool, datagram, &[1; 1000]).is_some());
        // Of every tenth, the second fragment is lost on the way.
        if datagram % 10 != 9 {
            whole += usize::from(reassembler.fragment(&pool, datagram, &[2; 400]).is_some());
        }
    }
    println!("{whole} datagrams\n");

    // On demand, at any time.
    println!("{}\n", pool.audit_report());

    // And by itself, when the pool is closed while something is out.
    drop(pool);
}
