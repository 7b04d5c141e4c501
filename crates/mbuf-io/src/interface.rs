//! Where frames were captured, and how that place counts time.

use crate::LinkType;

/// One capture interface.
///
/// Interfaces are numbered over the whole file, from zero, in the order they are described; a second section of
/// a pcapng file goes on counting where the first one stopped. A pcap file has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// What the first bytes of its frames are.
    pub link: LinkType,
    /// The most bytes kept of a frame; 0 when unlimited.
    pub snaplen: u32,
    /// The name, where the file has one.
    pub name: Option<String>,
    /// How its timestamps are counted.
    pub time_unit: TimeUnit,
    /// Seconds to add to its timestamps.
    pub time_offset: i64,
}

impl Interface {
    /// Describes an unnamed interface that keeps whole frames and counts nanoseconds.
    pub const fn new(link: LinkType) -> Self {
        Self { link, snaplen: 0, name: None, time_unit: TimeUnit::NANOS, time_offset: 0 }
    }

    /// Gives it a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Converts a timestamp of this interface to nanoseconds since 1970.
    ///
    /// Saturates at zero and at the end of the 64-bit range (the year 2554).
    pub fn nanos(&self, ticks: u64) -> u64 {
        let offset = i128::from(self.time_offset) * 1_000_000_000;
        // Below 2^64 seconds in nanoseconds is below 2^94: the sum fits.
        let nanos = i128::try_from(self.time_unit.nanos(ticks)).unwrap_or(i128::MAX).saturating_add(offset);
        u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
    }
}

/// The length of one tick of a timestamp, encoded as the pcapng option `if_tsresol`.
///
/// The low seven bits are a negative exponent, of 2 if the top bit is set, of 10 otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeUnit(pub u8);

impl TimeUnit {
    /// 10⁻⁶ seconds, what a file means that says nothing.
    pub const MICROS: Self = Self(6);
    /// 10⁻⁹ seconds.
    pub const NANOS: Self = Self(9);

    /// Converts a count of ticks to nanoseconds, rounding down.
    pub const fn nanos(self, ticks: u64) -> u128 {
        let exponent = (self.0 & 0x7f) as u32;
        let ticks = ticks as u128;
        if self.0 & 0x80 != 0 {
            return (ticks * 1_000_000_000) >> exponent; // below 2^94, shifted by at most 127
        }
        if exponent <= 9 {
            return ticks * 10u128.pow(9 - exponent);
        }
        match 10u128.checked_pow(exponent - 9) {
            Some(divisor) => ticks / divisor,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_converts_without_overflow() {
        for unit in 0..=u8::MAX {
            let mut interface = Interface::new(LinkType::ETHERNET);
            interface.time_unit = TimeUnit(unit);
            for offset in [i64::MIN, -1, 0, 1, i64::MAX] {
                interface.time_offset = offset;
                for ticks in [0, 1, u64::MAX] {
                    interface.nanos(ticks);
                }
            }
        }
    }

    #[test]
    fn common_units() {
        assert_eq!(TimeUnit::MICROS.nanos(5), 5_000);
        assert_eq!(TimeUnit::NANOS.nanos(5), 5);
        assert_eq!(TimeUnit(0).nanos(5), 5_000_000_000);
        assert_eq!(TimeUnit(12).nanos(5_999), 5);
        assert_eq!(TimeUnit(0x80 | 10).nanos(512), 500_000_000);
    }

    #[test]
    fn offsets_saturate() {
        let mut interface = Interface::new(LinkType::ETHERNET);
        interface.time_offset = -1;
        assert_eq!(interface.nanos(1_000_000_007), 7);
        assert_eq!(interface.nanos(7), 0);
        interface.time_offset = i64::MAX;
        assert_eq!(interface.nanos(7), u64::MAX);
    }
}
