//! What a fault is: which allocations are to fail although there is memory.

use core::fmt;
use core::str::FromStr;

use mbuf_zone::raw::Site;

use crate::config::Class;
use crate::error::Resource;

/// Where an operation can fail as if memory had run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultPoint {
    /// A buffer is allocated. A packet with a 2 KiB cluster is a mbuf, then a cluster.
    Alloc(Resource),
    /// [`defragment`](crate::MbufChain::defragment) is about to copy.
    Defragment,
}

impl FaultPoint {
    /// The names in texts. Those of buffers are the ones of the limits on them.
    const NAMES: [(&str, FaultPoint); 7] = [
        ("mbufs", FaultPoint::Alloc(Resource::Mbuf)),
        ("clusters", FaultPoint::Alloc(Resource::Storage(Class::Cluster))),
        ("jumbop", FaultPoint::Alloc(Resource::Storage(Class::Page))),
        ("jumbo9", FaultPoint::Alloc(Resource::Storage(Class::Jumbo9))),
        ("jumbo16", FaultPoint::Alloc(Resource::Storage(Class::Jumbo16))),
        ("external", FaultPoint::Alloc(Resource::External)),
        ("defragment", FaultPoint::Defragment),
    ];
}

impl From<Resource> for FaultPoint {
    fn from(resource: Resource) -> Self {
        FaultPoint::Alloc(resource)
    }
}

impl From<Class> for FaultPoint {
    fn from(class: Class) -> Self {
        FaultPoint::Alloc(class.into())
    }
}

/// Which allocations of a pool fail although there is memory: see [`Pool::inject`](crate::Pool::inject).
///
/// Of those that it is about, the one after so many ([`nth`](Self::nth)), all after so many ([`after`](Self::after)), or
/// one in so many ([`one_in`](Self::one_in)). It is about all of them, about those of one kind ([`of`](Self::of)), or
/// about those that one place in the program asks for ([`at`](Self::at)).
///
/// As text, for [`Tunable::Fault`](crate::Tunable::Fault), it is what was called, in any order: `nth:3`, `after:0,of:clusters`,
/// `one-in:256,seed:7,at:src/rx.rs:40`. The kinds are `mbufs`, `clusters`, `jumbop`, `jumbo9`, `jumbo16`, `external` and
/// `defragment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub(crate) when: When,
    pub(crate) point: Option<FaultPoint>,
    place: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Nth(u32),
    After(u32),
    OneIn { n: u32, seed: u32 },
}

impl Fault {
    const fn new(when: When) -> Self {
        Fault { when, point: None, place: None }
    }

    /// The allocation after `n` others fails, and no other.
    pub const fn nth(n: u32) -> Self {
        Self::new(When::Nth(n))
    }

    /// All allocations after `n` others fail.
    pub const fn after(n: u32) -> Self {
        Self::new(When::After(n))
    }

    /// About one allocation in `n` fails, without a pattern, but the same ones each time the seed is the same: none if `n`
    /// is zero.
    pub const fn one_in(n: u32, seed: u32) -> Self {
        Self::new(When::OneIn { n, seed })
    }

    /// Only allocations of this kind, or defragmentations, are counted and fail.
    pub fn of(self, point: impl Into<FaultPoint>) -> Self {
        Fault { point: Some(point.into()), ..self }
    }

    /// Only what is asked for there is counted and fails: the line of the call, `src/rx.rs:40`, or any line of a file or
    /// folder. The name is a part of the path that the compiler knows.
    ///
    /// # Errors
    /// [`FaultError`], if it is empty, is longer than 63 bytes, or has a comma or blank in it.
    pub fn at(self, place: &str) -> Result<Self, FaultError> {
        Ok(Fault { place: Some(Place::new(place)?), ..self })
    }

    pub(crate) fn covers(&self, point: FaultPoint, site: Site) -> bool {
        // What is about allocations, unless it is told otherwise, is not about what uses them.
        let right = self.point.map_or(point != FaultPoint::Defragment, |only| only == point);
        right && self.place.is_none_or(|place| place.is(site))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.when {
            When::Nth(n) => write!(f, "nth:{n}")?,
            When::After(n) => write!(f, "after:{n}")?,
            When::OneIn { n, seed: 0 } => write!(f, "one-in:{n}")?,
            When::OneIn { n, seed } => write!(f, "one-in:{n},seed:{seed}")?,
        }
        if let Some((name, _)) = FaultPoint::NAMES.iter().find(|(_, point)| Some(*point) == self.point) {
            write!(f, ",of:{name}")?;
        }
        match self.place {
            Some(place) => write!(f, ",at:{}", place.text()),
            None => Ok(()),
        }
    }
}

/// Not a [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultError;

impl FaultError {
    pub(crate) const EXPECTED: &str =
        "`none`, or `nth:N`, `after:N` or `one-in:N` with `seed:N`, `of:KIND`, `at:PLACE`";
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", Self::EXPECTED)
    }
}

impl core::error::Error for FaultError {}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let number = |text: &str| {
            // No sign, and nothing that `Display` would not write.
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| digits).ok_or(FaultError)
        };
        let (mut when, mut seed, mut point, mut place) = (None, None, None, None);
        for part in text.split(',') {
            let (key, value) = part.split_once(':').ok_or(FaultError)?;
            let again = match key {
                "nth" => when.replace(When::Nth(number(value)?)).is_some(),
                "after" => when.replace(When::After(number(value)?)).is_some(),
                "one-in" => when.replace(When::OneIn { n: number(value)?, seed: 0 }).is_some(),
                "seed" => seed.replace(number(value)?).is_some(),
                "of" => {
                    let found = FaultPoint::NAMES.into_iter().find(|(name, _)| *name == value);
                    point.replace(found.ok_or(FaultError)?.1).is_some()
                }
                "at" => place.replace(Place::new(value)?).is_some(),
                _ => return Err(FaultError),
            };
            if again {
                return Err(FaultError);
            }
        }
        let when = match (when, seed) {
            (Some(When::OneIn { n, .. }), Some(seed)) => When::OneIn { n, seed },
            (Some(when), None) => when,
            _ => return Err(FaultError),
        };
        Ok(Fault { when, point, place })
    }
}

/// A part of a path, and perhaps a line.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    text: [u8; Place::MOST],
    len: u8,
}

impl Place {
    const MOST: usize = 63;

    fn new(place: &str) -> Result<Self, FaultError> {
        let bad =
            place.is_empty() || place.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control());
        let len = u8::try_from(place.len()).ok().filter(|&len| !bad && usize::from(len) <= Self::MOST);
        let len = len.ok_or(FaultError)?;
        let mut text = [0; Self::MOST];
        text[..place.len()].copy_from_slice(place.as_bytes());
        Ok(Place { text, len })
    }

    fn text(&self) -> &str {
        // Made of a string; nothing else makes one.
        core::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }

    fn is(&self, site: Site) -> bool {
        let line = |text: &str| text.parse::<u32>().ok();
        match self.text().rsplit_once(':').and_then(|(path, number)| Some((path, line(number)?))) {
            Some((path, line)) => site.line() == line && site.file().ends_with(path),
            None => site.file().contains(self.text()),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use core::panic::Location;

    #[test]
    fn a_fault_is_what_its_text_says() {
        for text in [
            "nth:0",
            "after:4294967295",
            "one-in:7",
            "one-in:7,seed:3",
            "nth:3,of:clusters",
            "nth:3,of:defragment,at:src/a.rs:3",
            "after:0,at:ops/",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for (_, point) in FaultPoint::NAMES {
            let fault = Fault::nth(1).of(point);
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        let long = alloc::format!("nth:1,at:{}", "x".repeat(64));
        for bad in [
            "",
            ",",
            "nth",
            "nth:",
            "nth:x",
            "nth:+1",
            "nth:-1",
            "nth:4294967296",
            "nth:1,",
            "nth:1,nth:1",
            "nth:1,after:1",
            "nth:1,seed:1",
            "seed:1",
            "of:mbufs",
            "nth:1,of:mbuf",
            "nth:1,at:",
            "nth:1,at:a b",
            " nth:1",
            &long,
        ] {
            assert_eq!(bad.parse::<Fault>(), Err(FaultError), "{bad:?}");
        }
        assert_eq!(FaultError.to_string(), alloc::format!("expected {}", FaultError::EXPECTED));
    }

    #[test]
    fn a_place_is_a_line_or_a_part_of_a_path() {
        let site = Location::caller();
        let (line, next) = (site.line(), site.line() + 1);
        let is = |place: &str| Place::new(place).unwrap().is(site);
        assert!(alloc::format!("{:?}", Fault::nth(1).at("src/a.rs:3").unwrap()).contains("src/a.rs:3"));
        assert!(is(&alloc::format!("src/fault.rs:{line}")) && is("fault.rs") && is("mbuf/src/"));
        assert!(
            !is(&alloc::format!("src/fault.rs:{next}"))
                && !is("other.rs")
                && !is(&alloc::format!("mbuf:{line}"))
        );
    }
}
