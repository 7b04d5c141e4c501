//! Typed metadata of any kind, attached to a packet: `m_tag(9)` with types for cookies.

use alloc::boxed::Box;
use core::any::{Any, TypeId};
use core::fmt;

use crate::pool::CountedTag;
use crate::raw::Packet;

/// What a copy of a packet carries of a tag.
pub enum TagCopy {
    /// This tag: a deep copy, or another handle of something shared.
    With(Box<dyn Tag>),
    /// Nothing.
    Without,
    /// The packet cannot be copied: the operation fails with [`OpError::Tag`](crate::OpError::Tag).
    Refuse,
}

impl fmt::Debug for TagCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TagCopy::With(_) => "With(..)",
            TagCopy::Without => "Without",
            TagCopy::Refuse => "Refuse",
        })
    }
}

/// A value that can be attached to a packet. One of each type ([`set_tag`](Packet::set_tag)), or several
/// ([`push_tag`](Packet::push_tag)).
///
/// ```
/// use mbuf::{Packet, Pool, Tag, TagCopy};
///
/// #[derive(Clone, Debug, PartialEq)]
/// struct Label(&'static str);
/// impl Tag for Label {
///     fn copy(&self) -> TagCopy {
///         TagCopy::With(Box::new(self.clone()))
///     }
/// }
///
/// let pool = Pool::new();
/// let mut packet = Packet::from_slice(&pool, b"data")?;
/// packet.set_tag(Label("mine"));
/// assert_eq!(packet.share()?.tag::<Label>(), Some(&Label("mine")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Tag: Any + Send + Sync {
    /// What a copy of the packet (shared, duplicated, split off) carries. Nothing, unless overridden.
    fn copy(&self) -> TagCopy {
        TagCopy::Without
    }

    /// Whether [`clear_tags`](Packet::clear_tags) leaves the tag in place (`MTAG_PERSISTENT`). No, unless overridden.
    fn is_persistent(&self) -> bool {
        false
    }
}

struct Node {
    tag: Box<dyn Tag>,
    next: TagList,
    counted: CountedTag,
}

/// The tags of a packet: one pointer, null for most.
#[repr(transparent)]
pub(crate) struct TagList(Option<Box<Node>>);

impl TagList {
    pub(crate) const EMPTY: Self = TagList(None);

    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        let mut list = self;
        core::iter::from_fn(move || {
            let node = list.0.as_deref()?;
            list = &node.next;
            Some(node)
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Tag> {
        self.nodes().map(|node| &*node.tag)
    }

    /// A copy, in order, or `None` if a tag refuses.
    #[inline]
    pub(crate) fn copy(&self) -> Option<Self> {
        if self.is_some() { self.copy_all() } else { Some(TagList::EMPTY) }
    }

    #[cold]
    fn copy_all(&self) -> Option<Self> {
        let mut copy = TagList::EMPTY;
        let mut end = &mut copy;
        for node in self.nodes() {
            match node.tag.copy() {
                TagCopy::Without => {}
                TagCopy::Refuse => return None,
                TagCopy::With(tag) => {
                    let counted = node.counted.another();
                    end = &mut end.0.insert(Box::new(Node { tag, next: TagList::EMPTY, counted })).next
                }
            }
        }
        Some(copy)
    }

    /// Drops all, one after the other, however many there are.
    #[cold]
    fn clear(&mut self) {
        while self.take(|_| true).is_some() {}
    }

    pub(crate) fn push(&mut self, tag: Box<dyn Tag>, counted: CountedTag) {
        let next = core::mem::replace(self, TagList::EMPTY);
        self.0 = Some(Box::new(Node { tag, next, counted }));
    }

    /// Takes out the first tag that `pick` wants.
    fn take(&mut self, pick: impl Fn(&dyn Tag) -> bool) -> Option<Box<dyn Tag>> {
        let mut place = self;
        loop {
            // Asked while all tags are in place: what is asked may panic.
            if pick(&*place.0.as_ref()?.tag) {
                let Node { tag, next, counted: _ } = *place.0.take()?;
                *place = next;
                return Some(tag);
            }
            place = &mut place.0.as_mut()?.next;
        }
    }
}

impl Drop for TagList {
    #[inline]
    fn drop(&mut self) {
        if self.is_some() {
            self.clear();
        }
    }
}

fn is<T: Tag>(tag: &dyn Tag) -> bool {
    (tag as &dyn Any).type_id() == TypeId::of::<T>()
}

/// Tags.
impl Packet {
    /// The tag of a type; if there are several, the one attached last.
    ///
    /// # BSD
    /// `m_tag_find`.
    #[doc(alias = "m_tag_find")]
    #[doc(alias = "m_tag_locate")]
    pub fn tag<T: Tag>(&self) -> Option<&T> {
        self.tags().find_map(|tag| (tag as &dyn Any).downcast_ref())
    }

    /// All tags, the one attached last first.
    #[doc(alias = "m_tag_first")]
    #[doc(alias = "m_tag_next")]
    pub fn tags(&self) -> impl Iterator<Item = &dyn Tag> {
        self.header().tags.iter()
    }

    /// The tags of a type, the one attached last first.
    ///
    /// # BSD
    /// `m_tag_locate`, called again and again.
    pub fn tags_of<T: Tag>(&self) -> impl Iterator<Item = &T> {
        self.tags().filter_map(|tag| (tag as &dyn Any).downcast_ref())
    }

    /// Attaches a tag beside others of the same type.
    ///
    /// # Cost
    /// Two heap allocations.
    ///
    /// # BSD
    /// `m_tag_alloc` and `m_tag_prepend`.
    #[doc(alias = "m_tag_prepend")]
    pub fn push_tag<T: Tag>(&mut self, tag: T) {
        let counted = CountedTag::new(&self.shared().ops);
        self.header_mut().tags.push(Box::new(tag), counted);
        self.note_tags();
    }

    /// Attaches a tag. Returns the one of the same type that it replaces, which is the one attached last.
    ///
    /// # Cost
    /// Two heap allocations.
    ///
    /// # BSD
    /// `m_tag_alloc` and `m_tag_prepend`.
    #[doc(alias = "m_tag_alloc")]
    #[doc(alias = "m_tag_prepend")]
    pub fn set_tag<T: Tag>(&mut self, tag: T) -> Option<T> {
        let old = self.remove_tag::<T>();
        self.push_tag(tag);
        old
    }

    /// Takes a tag off; if there are several of the type, the one attached last.
    ///
    /// # BSD
    /// `m_tag_unlink`, `m_tag_delete`.
    #[doc(alias = "m_tag_unlink")]
    #[doc(alias = "m_tag_delete")]
    pub fn remove_tag<T: Tag>(&mut self) -> Option<T> {
        if !self.header().tags.is_some() {
            return None;
        }
        let tag: Box<dyn Any> = self.header_mut().tags.take(is::<T>)?;
        tag.downcast().ok().map(|tag| *tag)
    }

    /// Drops all tags but the persistent ones.
    ///
    /// # BSD
    /// `m_tag_delete_nonpersistent`.
    #[doc(alias = "m_tag_delete_nonpersistent")]
    pub fn clear_tags(&mut self) {
        if self.header().tags.is_some() {
            while self.header_mut().tags.take(|tag| !tag.is_persistent()).is_some() {}
        }
    }

    /// Replaces all tags by copies of another packet's, each as it wishes.
    ///
    /// # Errors
    /// [`OpError::Tag`](crate::OpError::Tag) if one of them refuses; this packet keeps its own.
    ///
    /// # BSD
    /// `m_tag_copy_chain`. Differs: nothing is lost on failure.
    #[doc(alias = "m_tag_copy_chain")]
    pub fn copy_tags(&mut self, from: &Packet) -> Result<(), crate::OpError> {
        let tags = from.header().tags.copy().ok_or(crate::OpError::Tag)?;
        // The old ones are dropped last: that may run the user's code.
        let _old = core::mem::replace(&mut self.header_mut().tags, tags);
        self.note_tags();
        Ok(())
    }
}
