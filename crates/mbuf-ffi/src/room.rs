//! How much room packets have for headers, as BSD code reads and raises it: variables.

use std::sync::atomic::{AtomicI32, Ordering};

use mbuf_core::{Pool, Value};

const NAMES: [&str; 4] =
    ["kern.ipc.max_linkhdr", "kern.ipc.max_protohdr", "kern.ipc.max_hdr", "kern.ipc.max_datalen"];
const UNSET: [i32; 4] = [16, 48, 64, 88];

#[unsafe(export_name = "max_linkhdr")]
pub static MAX_LINKHDR: AtomicI32 = AtomicI32::new(UNSET[0]);
#[unsafe(export_name = "max_protohdr")]
pub static MAX_PROTOHDR: AtomicI32 = AtomicI32::new(UNSET[1]);
#[unsafe(export_name = "max_hdr")]
pub static MAX_HDR: AtomicI32 = AtomicI32::new(UNSET[2]);
#[unsafe(export_name = "max_datalen")]
pub static MAX_DATALEN: AtomicI32 = AtomicI32::new(UNSET[3]);

/// Gives those that C has not written yet the values that the pool has.
pub(crate) fn follow(pool: &Pool) {
    let variables = [&MAX_LINKHDR, &MAX_PROTOHDR, &MAX_HDR, &MAX_DATALEN];
    for ((name, unset), variable) in NAMES.into_iter().zip(UNSET).zip(variables) {
        if let Ok(Value::Number(value)) = pool.sysctl().read(name) {
            // Relaxed: a number of its own.
            let _ = variable.compare_exchange(unset, value as i32, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// Bytes that a packet from a device has in front.
pub(crate) fn link_header() -> usize {
    // Relaxed: a number of its own.
    MAX_LINKHDR.load(Ordering::Relaxed).max(0) as usize
}
