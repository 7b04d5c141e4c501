//! Why a setting is refused.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use super::tunable::Value;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It was not set.
    Default,
    /// A preset's formula.
    Formula,
    /// The program.
    Code,
    /// A line of a file.
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Formula => f.write_str("formula"),
            Origin::Code => f.write_str("set"),
            Origin::Line { file, line } => write!(f, "{file}:{line}"),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// What a value breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// There is nothing of that name.
    Unknown {
        /// What may have been meant.
        near: Option<&'static str>,
    },
    /// The line does not read `name="value"`.
    Syntax(&'static str),
    /// The file cannot be read.
    Unreadable(String),
    /// The value is of another kind.
    Expected(&'static str),
    /// Below zero.
    Negative,
    /// Zero is not no limit.
    ZeroLimit,
    /// At least one is needed.
    Zero,
    /// More than possible.
    TooLarge {
        /// Most possible.
        max: u64,
    },
    /// A leading zero is octal to some and decimal to others.
    LeadingZero,
    /// Contradicts another setting.
    Contradiction {
        /// What both have to be.
        rule: &'static str,
        /// What they would give.
        given: u64,
        /// What is possible, or was set.
        wanted: u64,
    },
    /// Fewer mbufs than a preset wants.
    FewMbufs {
        /// The preset's rule.
        rule: &'static str,
        /// Fewest mbufs.
        least: u64,
        /// The limit on mbufs that there would be.
        mbufs: u64,
    },
    /// Less than what reservations keep.
    Reserved {
        /// Buffers, or bytes, that they keep.
        kept: u64,
    },
    /// Has no effect, for a reason.
    NoEffect(&'static str),
    /// The pool's limits may only grow.
    GrowOnly {
        /// The limit in force.
        current: Option<usize>,
    },
    /// Cannot be changed while the pool is in use.
    Fixed,
    /// Can only be read.
    ReadOnly,
    /// Cannot be read, for a reason.
    Unavailable(&'static str),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Unknown { near: Some(near) } => write!(f, "there is no such name; is `{near}` meant?"),
            Rule::Unknown { near: None } => f.write_str("there is no such name"),
            Rule::Syntax(what) => write!(f, "a line reads name=\"value\": {what}"),
            Rule::Unreadable(why) => write!(f, "the file cannot be read: {why}"),
            Rule::Expected(what) => write!(f, "{what} is expected"),
            Rule::Negative => f.write_str("nothing is less than zero"),
            Rule::ZeroLimit => f.write_str("a limit is at least 1; no limit is written `unlimited`, not 0"),
            Rule::Zero => f.write_str("it is at least 1"),
            Rule::TooLarge { max } => write!(f, "it is at most {max}"),
            Rule::LeadingZero => f.write_str("a number has no leading zero: some read it as octal"),
            Rule::Contradiction { rule, given, wanted } => write!(f, "{rule}: {given} against {wanted}"),
            Rule::FewMbufs { rule, least, mbufs } => {
                write!(f, "there is {rule}: at least {least} mbufs, not {mbufs}")
            }
            Rule::Reserved { kept } => write!(f, "reservations keep {kept}"),
            Rule::NoEffect(why) => write!(f, "it has no effect: {why}"),
            Rule::GrowOnly { current } => {
                write!(f, "the pool's limits may only grow: it is {}", Value::from(*current))
            }
            Rule::Fixed => f.write_str("it cannot be changed while the pool is in use"),
            Rule::ReadOnly => f.write_str("it can only be read"),
            Rule::Unavailable(why) => write!(f, "it cannot be read: {why}"),
        }
    }
}

/// A setting that was refused: where it came from, its name, the value, and the rule it breaks. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingError {
    /// Where it came from.
    pub origin: Origin,
    /// The name, as it was given.
    pub name: String,
    /// The value, as it was given.
    pub value: String,
    /// What it breaks.
    pub rule: Rule,
}

impl SettingError {
    pub(crate) fn new(origin: Origin, name: &str, value: impl ToString, rule: Rule) -> Self {
        SettingError { origin, name: name.into(), value: value.to_string(), rule }
    }
}

/// A part of what was given, fit to be printed.
struct Excerpt<'a>(&'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 60;
        for c in self.0.chars().take(MOST).flat_map(char::escape_debug) {
            fmt::Write::write_char(f, c)?;
        }
        if self.0.chars().nth(MOST).is_some() { f.write_str("…") } else { Ok(()) }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default | Origin::Formula | Origin::Code => {}
            origin => write!(f, "{origin}: ")?,
        }
        match (self.name.is_empty(), self.value.is_empty()) {
            (false, false) => write!(f, "{} = {}: ", Excerpt(&self.name), Excerpt(&self.value))?,
            // The name of a file is the operator's own, and of use only as a whole.
            (false, true) if matches!(self.rule, Rule::Unreadable(_)) => {
                write!(f, "{}: ", self.name.escape_debug())?;
            }
            (false, true) => write!(f, "{}: ", Excerpt(&self.name))?,
            (true, false) => write!(f, "`{}`: ", Excerpt(&self.value))?,
            (true, true) => {}
        }
        self.rule.fmt(f)
    }
}

impl Error for SettingError {}

/// All that is wrong with a number of settings. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingErrors {
    errors: Vec<SettingError>,
    beyond: usize,
}

impl SettingErrors {
    /// As many as are kept; of the others it is only known how many they are.
    pub const MOST: usize = 100;

    pub(super) fn push(&mut self, error: SettingError) {
        if self.errors.len() < Self::MOST { self.errors.push(error) } else { self.beyond += 1 }
    }

    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.errors.is_empty() { Ok(value) } else { Err(self) }
    }

    /// One by one, in the order of what was read.
    pub fn iter(&self) -> impl Iterator<Item = &SettingError> {
        self.errors.iter()
    }

    /// How many there are, kept or not.
    #[allow(clippy::len_without_is_empty)] // there is always one
    pub fn len(&self) -> usize {
        self.errors.len() + self.beyond
    }
}

impl From<SettingError> for SettingErrors {
    fn from(error: SettingError) -> Self {
        SettingErrors { errors: Vec::from([error]), beyond: 0 }
    }
}

/// A line for each.
impl fmt::Display for SettingErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        if self.beyond > 0 { write!(f, "\nand {} more", self.beyond) } else { Ok(()) }
    }
}

impl Error for SettingErrors {}

/// Of some names the one that may have been meant: the same without what stands before the last dot, or but for a
/// slip or two.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    // Longer than any name there is.
    if name.len() > 64 {
        return None;
    }
    if !name.contains('.')
        && let Some(full) = known.clone().find(|full| full.rsplit('.').next() == Some(name))
    {
        return Some(full);
    }
    let slips = 1 + name.len() / 8;
    known.filter_map(|full| Some((distance(name, full, slips)?, full))).min().map(|(_, full)| full)
}

/// Bytes to insert, remove or replace in order to make one of the other, if they are no more than `most`.
fn distance(a: &str, b: &str, most: usize) -> Option<usize> {
    let common = a.bytes().zip(b.bytes()).take_while(|(x, y)| x.eq_ignore_ascii_case(y)).count();
    let (a, b) = (&a.as_bytes()[common..], &b.as_bytes()[common..]);
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
        // It grows from row to row.
        if row.iter().all(|&slips| slips > most) {
            return None;
        }
    }
    Some(row[b.len()]).filter(|&slips| slips <= most)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn slips_are_counted_up_to_a_bound() {
        for (a, b, slips) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("kern.ipc.nmbufs", "KERN.ipc.nmbuf", 1),
            ("ab", "ba", 2),
            ("aab", "ab", 1),
            ("abcdef", "azced", 3),
            ("abc", "xyz", 3),
        ] {
            for most in 0..8 {
                let found = (slips <= most).then_some(slips);
                assert_eq!((distance(a, b, most), distance(b, a, most)), (found, found), "{a} {b} {most}");
            }
        }
    }

    #[test]
    fn a_name_is_near_that_lacks_its_first_part_or_slipped() {
        let near =
            |name| nearest(name, ["kern.ipc.nmbclusters", "kern.ipc.nmbufs", "kern.ipc.nmbufz"].into_iter());
        assert_eq!(near("nmbufs"), Some("kern.ipc.nmbufs"));
        assert_eq!(near("kern.ipc.nmbcluster"), Some("kern.ipc.nmbclusters"));
        assert_eq!(near("kern.ipc.nmbufx"), Some("kern.ipc.nmbufs"), "the first of those as near");
        assert_eq!(near("kern.ipc.nmb"), None);
        assert_eq!(near(&"kern.ipc.nmbufs".repeat(5)), None);
    }
}
