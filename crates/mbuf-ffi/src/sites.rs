//! Where C called us from: for the last words of a program, and, while the pool is audited, for who freed an mbuf.

use std::backtrace::Backtrace;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mbuf_core::ffi::{CMbuf, is_audited};

use crate::pool::pool;

/// The first caller that is none of this library: function, file and line, as far as the program has them.
///
/// Walks the stack and looks names up: slow.
pub(crate) fn caller(function: &str) -> Option<String> {
    caller_in(&Backtrace::force_capture().to_string(), function)
}

fn caller_in(trace: &str, function: &str) -> Option<String> {
    // A frame is `  3: name`, and perhaps `     at file:line:column` below it.
    let mut frames: Vec<(&str, Option<&str>)> = Vec::new();
    for line in trace.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut() {
                frame.1 = Some(place);
            }
        } else if let Some((number, name)) = line.split_once(": ")
            && number.parse::<usize>().is_ok()
        {
            frames.push((name, None));
        }
    }
    // A program that was built with line tables only has names without a crate, and of functions made one any of them:
    // then the file tells.
    let here = file!().trim_end_matches("sites.rs");
    let last = frames.iter().rposition(|(name, place)| {
        *name == function
            || name.starts_with("m_priv_")
            || name.starts_with("mbuf::")
            || name.starts_with("<mbuf::")
            || place.is_some_and(|place| place.contains(here))
    })?;
    let (name, place) = frames.get(last + 1)?;
    Some(match place {
        Some(place) => format!("{name} at {place}"),
        None => (*name).to_owned(),
    })
}

/// Who freed which mbuf last.
static FREED: Mutex<Option<HashMap<usize, String>>> = Mutex::new(None);

/// Notes who freed an mbuf, while the pool is audited.
#[inline]
pub(crate) fn freed(function: &str, mbuf: *const CMbuf) {
    if is_audited(pool()) {
        note_freed(function, mbuf);
    }
}

#[cold]
fn note_freed(function: &str, mbuf: *const CMbuf) {
    let who = caller(function).unwrap_or_else(|| function.to_owned());
    let mut freed = FREED.lock().unwrap_or_else(PoisonError::into_inner);
    freed.get_or_insert_default().insert(mbuf.addr(), who);
}

/// Who freed an mbuf last, if that was noted.
pub(crate) fn who_freed(mbuf: *const CMbuf) -> Option<String> {
    FREED.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&mbuf.addr()).cloned()
}

#[cfg(test)]
mod tests {
    use super::caller_in;

    #[test]
    fn the_caller_is_behind_the_last_frame_of_ours() {
        let trace = "   0: std::backtrace::Backtrace::force_capture\n   1: mbuf::sites::caller\n             at ./src/sites.rs:1:2\n   \
                     2: m_freem\n             at ./src/free.rs:3:4\n   3: receive\n             at /home/me/rx.c:12:5\n   4: main\n";
        assert_eq!(caller_in(trace, "m_freem").as_deref(), Some("receive at /home/me/rx.c:12:5"));
        // A call in the last place of a function leaves no frame.
        assert_eq!(caller_in("   0: mbuf::free::free_all\n   1: main\n", "m_freem").as_deref(), Some("main"));
        // Nor is there a crate in a name where the program has line tables only.
        let trace = "   0: wrong<u8>\n             at /src/crates/mbuf-ffi/src/border.rs:6:1\n   1: free_all\n             \
                     at /src/crates/mbuf-ffi/src/free.rs:7:3\n   2: main\n             at ./leak.c:4:8\n";
        assert_eq!(caller_in(trace, "m_freem").as_deref(), Some("main at ./leak.c:4:8"));
        assert_eq!(caller_in("   0: <unknown>\n", "m_freem"), None);
    }
}
