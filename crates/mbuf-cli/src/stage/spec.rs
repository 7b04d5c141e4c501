//! Stages as they are written on the command line.

use core::fmt;
use core::str::FromStr;

use crate::wire::Version;

/// A stage with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StageSpec {
    Verify,
    Vlan { id: u16 },
    VlanPop,
    Vxlan { version: Version },
    Decapsulate,
    Fragment { mtu: usize, force: bool },
    Reassemble,
    Segment { size: Option<usize> },
    Coalesce { own: bool },
    Mirror,
    Shatter { seed: u64 },
    Shuffle { seed: u64 },
    Defrag,
}

/// What `--help` says about them.
pub(crate) const HELP: &str = "\
Stages, in the order given (--stage A --stage B, or --stage A,B):
  verify          check IPv4, TCP, UDP, ICMP and ICMPv6 checksums across segments
  vlan[:ID]       push an 802.1Q tag (100), an 802.1ad one in front of a tag
  vlan-pop        pop the outermost tag
  vxlan[:ipv6]    put each frame into a VXLAN tunnel over IPv4 or IPv6
  decapsulate     take it out again, checking the tunnel's checksum
  fragment[:MTU]  cut IP datagrams (576); fragment:MTU:force also those that say not to
  reassemble      put them together, in any order; overlaps are refused
  segment[:SIZE]  cut TCP as a network card would (TSO; 536)
  coalesce[:own]  join TCP segments of a flow (GRO); own: only those cut from one frame
  mirror          share each packet, write to one copy, compare the other
  shatter[:SEED]  cut packets into segments of random sizes
  shuffle[:SEED]  change the order of packets within a window
  defrag          copy packets into as few buffers as possible
Without a stage: verify, vxlan, fragment:576, reassemble, decapsulate, and each frame
is compared with what came in.";

/// The round trip that runs when no stage is named.
pub(crate) fn round_trip() -> Vec<StageSpec> {
    vec![
        StageSpec::Verify,
        StageSpec::Vxlan { version: Version::V4 },
        StageSpec::Fragment { mtu: DEFAULT_MTU, force: false },
        StageSpec::Reassemble,
        StageSpec::Decapsulate,
    ]
}

const DEFAULT_MTU: usize = 576;
/// The smallest link that IPv4 allows (RFC 791).
const MIN_MTU: usize = 68;
const DEFAULT_VLAN: u16 = 100;
const MAX_SEGMENT: usize = 65_535;

impl FromStr for StageSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let (first, second) = (parts.next(), parts.next());
        let spec = match name {
            "verify" => Self::Verify,
            "vlan" => Self::Vlan { id: number(first, DEFAULT_VLAN, 1..=4094, "VLAN id")? },
            "vlan-pop" => Self::VlanPop,
            "vxlan" => Self::Vxlan {
                version: match first {
                    None | Some("ipv4") => Version::V4,
                    Some("ipv6") => Version::V6,
                    Some(other) => return Err(format!("`{other}` is neither ipv4 nor ipv6")),
                },
            },
            "decapsulate" => Self::Decapsulate,
            "fragment" => Self::Fragment {
                mtu: number(first, DEFAULT_MTU, MIN_MTU..=65_535, "MTU")?,
                force: match second {
                    None => false,
                    Some("force") => true,
                    Some(other) => return Err(format!("`{other}` is not `force`")),
                },
            },
            "reassemble" => Self::Reassemble,
            "segment" => Self::Segment {
                size: match first {
                    None => None,
                    some => Some(number(some, 0, 1..=MAX_SEGMENT, "segment size")?),
                },
            },
            "coalesce" => Self::Coalesce {
                own: match first {
                    None => false,
                    Some("own") => true,
                    Some(other) => return Err(format!("`{other}` is not `own`")),
                },
            },
            "mirror" => Self::Mirror,
            "shatter" => Self::Shatter { seed: number(first, 1, 0..=u64::MAX, "seed")? },
            "shuffle" => Self::Shuffle { seed: number(first, 1, 0..=u64::MAX, "seed")? },
            "defrag" => Self::Defrag,
            _ => return Err("no such stage; `mbufctl replay --help` lists them".into()),
        };
        let takes = match spec {
            Self::Fragment { .. } => 2,
            Self::Verify
            | Self::VlanPop
            | Self::Decapsulate
            | Self::Reassemble
            | Self::Mirror
            | Self::Defrag => 0,
            _ => 1,
        };
        match text.split(':').nth(takes + 1) {
            Some(extra) => Err(format!("`{name}` has no parameter `{extra}`")),
            None => Ok(spec),
        }
    }
}

/// Reads a number within bounds, or takes the default when there is none.
fn number<T: FromStr + PartialOrd + fmt::Display>(
    text: Option<&str>,
    default: T,
    bounds: core::ops::RangeInclusive<T>,
    what: &str,
) -> Result<T, String> {
    let Some(text) = text else { return Ok(default) };
    match text.parse() {
        Ok(value) if bounds.contains(&value) => Ok(value),
        _ => Err(format!("`{text}` is not a {what} from {} to {}", bounds.start(), bounds.end())),
    }
}

impl fmt::Display for StageSpec {
    /// As it would be written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verify => f.write_str("verify"),
            Self::Vlan { id } => write!(f, "vlan:{id}"),
            Self::VlanPop => f.write_str("vlan-pop"),
            Self::Vxlan { version: Version::V4 } => f.write_str("vxlan"),
            Self::Vxlan { version: Version::V6 } => f.write_str("vxlan:ipv6"),
            Self::Decapsulate => f.write_str("decapsulate"),
            Self::Fragment { mtu, force: false } => write!(f, "fragment:{mtu}"),
            Self::Fragment { mtu, force: true } => write!(f, "fragment:{mtu}:force"),
            Self::Reassemble => f.write_str("reassemble"),
            Self::Segment { size: None } => f.write_str("segment"),
            Self::Segment { size: Some(size) } => write!(f, "segment:{size}"),
            Self::Coalesce { own: false } => f.write_str("coalesce"),
            Self::Coalesce { own: true } => f.write_str("coalesce:own"),
            Self::Mirror => f.write_str("mirror"),
            Self::Shatter { seed } => write!(f, "shatter:{seed}"),
            Self::Shuffle { seed } => write!(f, "shuffle:{seed}"),
            Self::Defrag => f.write_str("defrag"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read() {
        for text in [
            "verify",
            "vlan:7",
            "vlan-pop",
            "vxlan",
            "vxlan:ipv6",
            "decapsulate",
            "fragment:1280",
            "fragment:68:force",
            "reassemble",
            "segment",
            "segment:1",
            "coalesce",
            "coalesce:own",
            "mirror",
            "shatter:18446744073709551615",
            "shuffle:0",
            "defrag",
        ] {
            assert_eq!(text.parse::<StageSpec>().unwrap().to_string(), text);
        }
        for spec in round_trip() {
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "verfy",
            "verify:1",
            "vlan:0",
            "vlan:4095",
            "vlan:1:2",
            "vxlan:ipx",
            "fragment:67",
            "fragment:-1",
            "fragment:576:gently",
            "fragment:576:force:more",
            "segment:0",
            "segment:65536",
            "coalesce:all",
            "shatter:x",
            "shatter:1:2",
            "mirror:",
            "fragment:",
        ] {
            assert!(text.parse::<StageSpec>().is_err(), "{text:?}");
        }
    }
}
