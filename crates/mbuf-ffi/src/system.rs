//! Set-up, settings, statistics, and letting go of buffers.

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use std::ptr;

use mbuf_core::{HookGuard, MCLBYTES, MHLEN, MINCLSIZE, MLEN, MSIZE, Pool, ReclaimKind, Tunables, Value};

use crate::border::{OnError, set_errno, set_on_error};
use crate::pool::{pool, set_pool};

/// `struct mbuf_setting`.
#[repr(C)]
pub struct Setting {
    name: *const c_char,
    value: *const c_char,
}

/// `struct mbuf_config`.
#[repr(C)]
pub struct Config {
    settings: *const Setting,
    count: usize,
    file: *const c_char,
    on_error: c_int,
}

/// A string of C's; what is no UTF-8 names nothing of ours.
pub(crate) unsafe fn text<'a>(string: *const c_char) -> Option<&'a str> {
    if string.is_null() {
        return None;
    }
    // SAFETY: a string of C's.
    unsafe { CStr::from_ptr(string) }.to_str().ok()
}

fn told<E: std::fmt::Display>(function: &str, error: E) -> c_int {
    eprintln!("libmbuf: {function}: {error}");
    libc::EINVAL
}

unsafe fn tunables(config: &Config) -> Result<Tunables, c_int> {
    let mut tunables = Tunables::new();
    let function = "mbuf_init";
    // SAFETY: strings of C's, and so many settings.
    unsafe {
        if let Some(file) = text(config.file) {
            tunables.read_file(file).map_err(|errors| told(function, errors))?;
        }
        tunables.read_env().map_err(|errors| told(function, errors))?;
        for i in 0..config.count {
            let setting = &*config.settings.add(i);
            let (Some(name), Some(value)) = (text(setting.name), text(setting.value)) else {
                return Err(told(function, "a setting without name or value"));
            };
            tunables.set_text(name, value).map_err(|error| told(function, error))?;
        }
    }
    Ok(tunables)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_init(config: *const Config) -> c_int {
    // SAFETY: C's own structure, or none.
    let made = match unsafe { config.as_ref() } {
        None => Pool::from_env().map_err(|errors| told("mbuf_init", errors)),
        // SAFETY: as above.
        Some(config) => unsafe { tunables(config) }.and_then(|tunables| {
            let builder = Pool::builder().tunables(&tunables).map_err(|errors| told("mbuf_init", errors))?;
            match config.on_error {
                1 => set_on_error(OnError::Abort),
                2 => set_on_error(OnError::Report),
                _ => {}
            }
            builder.build().map_err(|error| told("mbuf_init", error))
        }),
    };
    match made {
        Err(errno) => errno,
        Ok(pool) => {
            if set_pool(pool) {
                0
            } else {
                libc::EBUSY
            }
        }
    }
}

/// Writes as much of a text as there is room for, and a zero; returns how long it is.
pub(crate) unsafe fn write(text: &str, out: *mut c_char, size: usize) -> usize {
    if size > 0 {
        let n = text.len().min(size - 1);
        // SAFETY: there is room for `size` bytes.
        unsafe {
            ptr::copy_nonoverlapping(text.as_ptr().cast(), out, n);
            *out.add(n) = 0;
        }
    }
    text.len()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_sysctl_get(name: *const c_char, out: *mut c_char, size: usize) -> isize {
    // SAFETY: a string of C's.
    match unsafe { text(name) }.map(|name| pool().sysctl().read(name)) {
        // SAFETY: room of C's.
        Some(Ok(value)) => unsafe { write(&value.to_string(), out, size) as isize },
        _ => {
            set_errno(libc::ENOENT);
            -1
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_sysctl_set(name: *const c_char, value: *const c_char) -> c_int {
    // SAFETY: strings of C's.
    let (Some(name), Some(value)) = (unsafe { text(name) }, unsafe { text(value) }) else {
        return libc::EINVAL;
    };
    match pool().sysctl().set(name, value) {
        Ok(_) => 0,
        Err(error) => told("mbuf_sysctl_set", error),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_sysctl_number(name: *const c_char, number: *mut u64) -> c_int {
    // SAFETY: a string of C's.
    match unsafe { text(name) }.map(|name| pool().sysctl().read(name)) {
        Some(Ok(value)) => {
            let value = match value {
                Value::Number(number) => number,
                Value::Unlimited => u64::MAX,
                _ => return libc::EINVAL,
            };
            // SAFETY: C wants it there.
            unsafe { *number = value };
            0
        }
        _ => libc::ENOENT,
    }
}

/// `struct mbstat`.
#[repr(C)]
pub struct MbStat {
    mbufs: c_ulong,
    clusters: c_ulong,
    spare: c_ulong,
    clfree: c_ulong,
    drops: c_ulong,
    wait: c_ulong,
    drain: c_ulong,
    mcfail: c_ulong,
    mpfail: c_ulong,
    msize: c_ulong,
    mclbytes: c_ulong,
    minclsize: c_ulong,
    mlen: c_ulong,
    mhlen: c_ulong,
    numtypes: c_long,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_stat(out: *mut MbStat) {
    let stats = pool().stats();
    let denied: u64 = stats.classes().map(|(_, class)| class.denied).sum();
    let waited: u64 = stats.classes().filter_map(|(_, class)| class.waited).sum();
    let stat = MbStat {
        mbufs: stats.mbufs.current as c_ulong,
        clusters: stats.clusters.current as c_ulong,
        spare: stats.mbufs.cached as c_ulong,
        clfree: stats.clusters.cached as c_ulong,
        drops: denied as c_ulong,
        wait: waited as c_ulong,
        drain: stats.reclaims as c_ulong,
        mcfail: (stats.ops.copy_failures + stats.ops.duplicate_failures) as c_ulong,
        mpfail: stats.ops.pullup_failures as c_ulong,
        msize: MSIZE as c_ulong,
        mclbytes: MCLBYTES as c_ulong,
        minclsize: MINCLSIZE as c_ulong,
        mlen: MLEN as c_ulong,
        mhlen: MHLEN as c_ulong,
        numtypes: 16,
    };
    // SAFETY: C wants it there.
    unsafe { out.write(stat) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_types(out: *mut c_long) {
    let stats = pool().stats();
    for i in 0..16 {
        let count = stats.types.iter().find(|&(kind, _)| kind as usize == i).map_or(0, |(_, count)| count);
        // SAFETY: room for 16 numbers.
        unsafe { *out.add(i) = count as c_long };
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_netstat(out: *mut c_char, size: usize) -> usize {
    // SAFETY: room of C's.
    unsafe { write(&pool().stats().to_string(), out, size) }
}

/// `struct mbuf_drain`: what registers a function.
pub struct Drain(#[allow(dead_code)] HookGuard);

/// C's function and its argument.
struct Hook(unsafe extern "C" fn(*mut c_void), *mut c_void);

// SAFETY: C registers what may be called on any thread.
unsafe impl Send for Hook {}
// SAFETY: as above.
unsafe impl Sync for Hook {}

impl Hook {
    fn call(&self) {
        // SAFETY: C's own function and argument.
        unsafe { (self.0)(self.1) };
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn mbuf_drain_register(
    drain: Option<unsafe extern "C" fn(*mut c_void)>,
    arg: *mut c_void,
    kind: c_int,
    priority: c_int,
) -> *mut Drain {
    let kind = match kind {
        0 => ReclaimKind::Protocol,
        1 => ReclaimKind::Interface,
        2 => ReclaimKind::Memory,
        _ => {
            set_errno(libc::EINVAL);
            return ptr::null_mut();
        }
    };
    let Some(drain) = drain else {
        set_errno(libc::EINVAL);
        return ptr::null_mut();
    };
    let hook = Hook(drain, arg);
    Box::into_raw(Box::new(Drain(pool().on_reclaim(kind, priority, move || hook.call()))))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_drain_deregister(drain: *mut Drain) {
    if !drain.is_null() {
        // SAFETY: made by `mbuf_drain_register`.
        drop(unsafe { Box::from_raw(drain) });
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn m_reclaim() -> c_int {
    c_int::from(pool().reclaim())
}

#[unsafe(no_mangle)]
pub extern "C" fn mb_reclaim() {
    pool().reclaim();
}

#[unsafe(no_mangle)]
pub extern "C" fn mbuf_trim() -> usize {
    pool().trim()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_audit(out: *mut c_char, size: usize) -> usize {
    // SAFETY: room of C's.
    unsafe { write(&pool().audit_report().to_string(), out, size) }
}
