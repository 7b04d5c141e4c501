//! What `m_tag(9)` needs: a tag that holds C's list of tags.

use core::any::Any;

use alloc::boxed::Box;

use crate::pool::CountedTag;
use crate::raw::foreign::{Error, Loose};
use crate::tag::Tag;

impl Loose {
    /// The tag of a type that the first mbuf's header has.
    pub fn tag<T: Tag>(&self) -> Option<&T> {
        let first = self.segs().next().filter(|first| first.has_header())?;
        first.header().tags.iter().find_map(|tag| (tag as &dyn Any).downcast_ref())
    }

    /// Attaches a tag to the first mbuf's header.
    pub fn push_tag<T: Tag>(&mut self, tag: T) -> Result<(), Error> {
        let Some(mut first) = self.run.segs_mut().next().filter(|first| first.has_header()) else {
            return Err(Error::NoHeader);
        };
        let counted = CountedTag::new(&first.shared().ops);
        first.note_tags();
        first.header_mut().tags.push(Box::new(tag), counted);
        Ok(())
    }
}
