//! `m_tag(9)`: C's tags are a list of C's own records, which is one tag to the library.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;

use mbuf_core::ffi::{Error, Loose};
use mbuf_core::{OpError, Tag, TagCopy};

use crate::border::{M, edit_one, report, report_void, set_errno};
use crate::pool::pool;

/// `struct m_tag`; its data follow it.
#[repr(C)]
pub struct MTag {
    next: *mut MTag,
    id: u16,
    len: u16,
    cookie: u32,
    free: Option<unsafe extern "C" fn(*mut MTag)>,
}

const PERSISTENT: u16 = 0x800;

/// The tags of a packet.
///
/// # Invariants
/// 1. A list of records that this value owns, each made by [`m_tag_alloc`] or such that its `free` frees it.
struct Tags(Cell<*mut MTag>);

// SAFETY: C's tags go with their packet, and who has the packet has them.
unsafe impl Send for Tags {}
// SAFETY: a shared reference is used by whoever has the packet, alone.
unsafe impl Sync for Tags {}

impl Drop for Tags {
    fn drop(&mut self) {
        let mut next = self.0.get();
        while !next.is_null() {
            // SAFETY: ours; each is read before it is freed.
            unsafe {
                let tag = next;
                next = (*tag).next;
                m_tag_free(tag);
            }
        }
    }
}

impl Tag for Tags {
    fn copy(&self) -> TagCopy {
        let copy = Tags(Cell::new(ptr::null_mut()));
        let mut place = copy.0.as_ptr();
        let mut next = self.0.get();
        while !next.is_null() {
            // SAFETY: ours, and the end of a list of our own.
            unsafe {
                let tag = m_tag_copy(next, 0);
                if tag.is_null() {
                    return TagCopy::Refuse;
                }
                *place = tag;
                place = &raw mut (*tag).next;
                next = (*next).next;
            }
        }
        TagCopy::With(Box::new(copy))
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn m_tag_alloc(cookie: u32, id: c_int, len: c_int, _how: c_int) -> *mut MTag {
    let (Ok(id), Ok(len)) = (u16::try_from(id), u16::try_from(len)) else {
        set_errno(libc::EINVAL);
        return ptr::null_mut();
    };
    // SAFETY: room for a record and its data.
    unsafe {
        let tag: *mut MTag = libc::malloc(size_of::<MTag>() + usize::from(len)).cast();
        if !tag.is_null() {
            tag.write(MTag { next: ptr::null_mut(), id, len, cookie, free: Some(m_tag_free_default) });
        }
        tag
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_free_default(tag: *mut MTag) {
    // SAFETY: made by `m_tag_alloc`.
    unsafe { libc::free(tag.cast::<c_void>()) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_free(tag: *mut MTag) {
    // SAFETY: by this function's contract.
    unsafe {
        if let Some(free) = tag.as_ref().and_then(|tag| tag.free) {
            free(tag);
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_copy(tag: *mut MTag, how: c_int) -> *mut MTag {
    // SAFETY: a record, and as many bytes behind it as it says.
    unsafe {
        let MTag { id, len, cookie, .. } = *tag;
        let copy = m_tag_alloc(cookie, c_int::from(id), c_int::from(len), how);
        if !copy.is_null() {
            ptr::copy_nonoverlapping(tag.add(1).cast::<u8>(), copy.add(1).cast(), usize::from(len));
        }
        copy
    }
}

/// What is done with a packet's list.
unsafe fn with<T>(function: &str, m: M, none: T, f: impl FnOnce(&Tags) -> T) -> T {
    // SAFETY: an mbuf of C's.
    match unsafe { edit_one(m, |list| Ok(list.tag::<Tags>().map(f))) } {
        Ok(done) => done.unwrap_or(none),
        Err(error) => {
            report(function, &error);
            none
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_first(m: M) -> *mut MTag {
    // SAFETY: by this function's contract.
    unsafe { with("m_tag_first", m, ptr::null_mut(), |tags| tags.0.get()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_next(_m: M, tag: *mut MTag) -> *mut MTag {
    // SAFETY: a record of a packet's.
    unsafe { tag.as_ref() }.map_or(ptr::null_mut(), |tag| tag.next)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_locate(m: M, cookie: u32, id: c_int, after: *mut MTag) -> *mut MTag {
    // SAFETY: by this function's contract; records of a packet's.
    unsafe {
        let mut next = if after.is_null() { m_tag_first(m) } else { (*after).next };
        while let Some(tag) = next.as_ref() {
            if tag.cookie == cookie && c_int::from(tag.id) == id {
                break;
            }
            next = tag.next;
        }
        next
    }
}

fn attach(list: &mut Loose, tag: *mut MTag) -> Result<(), Error> {
    if list.tag::<Tags>().is_none() {
        list.push_tag(Tags(Cell::new(ptr::null_mut())))?;
    }
    let Some(tags) = list.tag::<Tags>() else { return Err(Error::NoHeader) };
    // SAFETY: a record that C gives us.
    unsafe { (*tag).next = tags.0.replace(tag) };
    Ok(())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_prepend(m: M, tag: *mut MTag) {
    // SAFETY: an mbuf of C's.
    if let Err(error) = unsafe { edit_one(m, |list| attach(list, tag)) } {
        report_void("m_tag_prepend", &error);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_unlink(m: M, tag: *mut MTag) {
    // SAFETY: by this function's contract; records of a packet's.
    unsafe {
        with("m_tag_unlink", m, (), |tags| {
            let mut place = tags.0.as_ptr();
            while !(*place).is_null() {
                if *place == tag {
                    *place = (*tag).next;
                    return;
                }
                place = &raw mut (**place).next;
            }
        });
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_delete(m: M, tag: *mut MTag) {
    // SAFETY: by this function's contract.
    unsafe {
        m_tag_unlink(m, tag);
        m_tag_free(tag);
    }
}

unsafe fn delete_all(m: M, from: *mut MTag, goes: impl Fn(&MTag) -> bool) {
    // SAFETY: an mbuf of C's and records of its.
    unsafe {
        let mut next = if from.is_null() { m_tag_first(m) } else { from };
        while !next.is_null() {
            let tag = next;
            next = (*tag).next;
            if goes(&*tag) {
                m_tag_delete(m, tag);
            }
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_delete_chain(m: M, from: *mut MTag) {
    // SAFETY: by this function's contract.
    unsafe { delete_all(m, from, |_| true) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_delete_nonpersistent(m: M) {
    // SAFETY: by this function's contract.
    unsafe { delete_all(m, ptr::null_mut(), |tag| tag.id & PERSISTENT == 0) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_tag_copy_chain(to: M, from: M, _how: c_int) -> c_int {
    let copied = |tags: &Tags| match tags.copy() {
        TagCopy::With(tags) => Ok(Some(tags)),
        _ => Err(Error::Op(OpError::Tag)),
    };
    // SAFETY: two mbufs of C's.
    let done = unsafe {
        Loose::import_first(pool(), from).and_then(|(list, next)| {
            let copy = list.tag::<Tags>().map_or(Ok(None), copied);
            list.export_before(next);
            let copy = copy?;
            edit_one(to, |list| {
                if list.tag::<Tags>().is_none() {
                    list.push_tag(Tags(Cell::new(ptr::null_mut())))?;
                }
                let copy: Option<Box<dyn std::any::Any>> = copy.map(|tags| tags as Box<dyn std::any::Any>);
                let copy = copy.and_then(|tags| tags.downcast::<Tags>().ok());
                if let Some(tags) = list.tag::<Tags>() {
                    // The old ones are dropped with the copy that they are exchanged for.
                    match copy {
                        Some(copy) => tags.0.swap(&copy.0),
                        None => drop(Tags(Cell::new(tags.0.replace(ptr::null_mut())))),
                    }
                }
                Ok(())
            })
        })
    };
    match done {
        Ok(()) => 1,
        Err(error) => {
            report("m_tag_copy_chain", &error);
            0
        }
    }
}
