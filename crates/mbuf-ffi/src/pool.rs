//! The pool that all mbufs of C come from.

use std::ffi::c_int;
use std::sync::OnceLock;

use mbuf_core::ffi::Names;
use mbuf_core::{Pool, Wait};

use crate::room;

static POOL: OnceLock<Pool> = OnceLock::new();

/// For those in a hurry.
pub(crate) static NAMES: Names = Names::new();

/// The pool, made at first use of what the environment says.
#[inline(always)]
pub(crate) fn pool() -> &'static Pool {
    match POOL.get() {
        Some(pool) => pool,
        None => first_use(),
    }
}

#[cold]
#[inline(never)]
fn first_use() -> &'static Pool {
    let pool = POOL.get_or_init(|| {
        Pool::from_env().unwrap_or_else(|errors| {
            eprintln!("libmbuf: the environment's settings are not used: {errors}");
            Pool::new()
        })
    });
    NAMES.set(pool);
    room::follow(pool);
    pool
}

/// Makes this the pool, unless there is one.
pub(crate) fn set_pool(pool: Pool) -> bool {
    let set = POOL.set(pool).is_ok();
    if let Some(pool) = POOL.get() {
        NAMES.set(pool);
        room::follow(pool);
    }
    set
}

pub(crate) const M_NOWAIT: c_int = 1;
const M_WAITOK: c_int = 2;
const M_TRYWAIT: c_int = 4;

/// What an argument `how` says.
pub(crate) fn wait(how: c_int) -> Wait {
    if how & M_WAITOK != 0 {
        Wait::Forever
    } else if how & M_TRYWAIT != 0 {
        pool().default_wait()
    } else {
        Wait::No
    }
}
