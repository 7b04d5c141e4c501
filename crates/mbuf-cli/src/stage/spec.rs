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

/// What is written for each stage, and what it does.
const STAGES: [(&str, &str); 13] = [
    ("verify", "check IPv4, TCP, UDP, ICMP and ICMPv6 checksums across segments"),
    ("vlan[:ID]", "push an 802.1Q tag (100), an 802.1ad one in front of a tag"),
    ("vlan-pop", "pop the outermost tag"),
    ("vxlan[:ipv6]", "put each frame into a VXLAN tunnel over IPv4 or IPv6"),
    ("decapsulate", "take it out again, checking the tunnel's checksum"),
    ("fragment[:MTU]", "cut IP datagrams (576); fragment:MTU:force also those that say not to"),
    ("reassemble", "put them together, in any order; overlaps are refused"),
    ("segment[:SIZE]", "cut TCP as a network card would (TSO; 536)"),
    ("coalesce[:own]", "join TCP segments of a flow (GRO); own: only those cut from one frame"),
    ("mirror", "share each packet, write to one copy, compare the other"),
    ("shatter[:SEED]", "cut packets into segments of random sizes"),
    ("shuffle[:SEED]", "change the order of packets within a window"),
    ("defrag", "copy packets into as few buffers as possible"),
];

/// What `--help` says about them.
pub(crate) fn help() -> String {
    let mut text = "Stages, in the order given (--stage A --stage B, or --stage A,B):\n".to_owned();
    for (usage, what) in STAGES {
        text += &format!("  {usage:15} {what}\n");
    }
    let names: Vec<String> = round_trip().iter().map(ToString::to_string).collect();
    text + "Without a stage: " + &names.join(",") + ", and each\nframe is compared with what came in.\n"
}

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
const MAX_SEGMENT: usize = 65_535;

/// Stages as one `--stage` has them, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StageList(pub(crate) Vec<StageSpec>);

impl FromStr for StageList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let stage = |(index, text): (usize, &str)| match text.trim() {
            "" => Err(format!("stage {} is empty", index + 1)),
            text => text.parse(),
        };
        text.split(',').enumerate().map(stage).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for StageSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let mut parameter = || parts.next();
        let spec = match name {
            "verify" => Self::Verify,
            "vlan" => Self::Vlan { id: number(name, "VLAN id", parameter(), 1..=4094)?.unwrap_or(100) },
            "vlan-pop" => Self::VlanPop,
            "vxlan" => {
                let version = choice(name, parameter(), &[("ipv4", Version::V4), ("ipv6", Version::V6)])?;
                Self::Vxlan { version: version.unwrap_or(Version::V4) }
            }
            "decapsulate" => Self::Decapsulate,
            "fragment" => Self::Fragment {
                mtu: number(name, "MTU", parameter(), MIN_MTU..=65_535)?.unwrap_or(DEFAULT_MTU),
                force: choice(name, parameter(), &[("force", true)])?.unwrap_or(false),
            },
            "reassemble" => Self::Reassemble,
            "segment" => Self::Segment { size: number(name, "segment size", parameter(), 1..=MAX_SEGMENT)? },
            "coalesce" => {
                Self::Coalesce { own: choice(name, parameter(), &[("own", true)])?.unwrap_or(false) }
            }
            "mirror" => Self::Mirror,
            "shatter" => {
                Self::Shatter { seed: number(name, "seed", parameter(), 0..=u64::MAX)?.unwrap_or(1) }
            }
            "shuffle" => {
                Self::Shuffle { seed: number(name, "seed", parameter(), 0..=u64::MAX)?.unwrap_or(1) }
            }
            "defrag" => Self::Defrag,
            _ => return Err(no_such_stage(name)),
        };
        match parameter() {
            Some(extra) => Err(format!("{name} takes no parameter `{extra}`")),
            None => Ok(spec),
        }
    }
}

/// Reads a number within bounds.
fn number<T: FromStr + PartialOrd + fmt::Display>(
    stage: &str,
    what: &str,
    text: Option<&str>,
    bounds: core::ops::RangeInclusive<T>,
) -> Result<Option<T>, String> {
    match text.map(|text| (text, text.parse())) {
        None => Ok(None),
        Some((_, Ok(value))) if bounds.contains(&value) => Ok(Some(value)),
        Some((text, _)) => {
            Err(format!("{stage}: the {what} is from {} to {}, not `{text}`", bounds.start(), bounds.end()))
        }
    }
}

/// Reads one of a few words.
fn choice<T: Copy>(stage: &str, text: Option<&str>, words: &[(&str, T)]) -> Result<Option<T>, String> {
    let Some(text) = text else { return Ok(None) };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Err(format!("{stage}: `{text}` is not {}", words.join(" or ")))
        }
    }
}

/// Says that there is no such stage, and which was meant.
fn no_such_stage(name: &str) -> String {
    /// How alike two names are that are taken for each other (what clap uses for options).
    const ALIKE: f64 = 0.7;
    let names = STAGES.iter().filter_map(|(usage, _)| usage.split('[').next());
    let nearest = names
        .map(|known| (strsim::jaro(&name.to_lowercase(), known), known))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((alike, known)) if alike > ALIKE => format!("there is no stage `{name}`: did you mean {known}?"),
        _ => format!("there is no stage `{name}`; `mbufctl replay --help` lists them"),
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
            ":576",
            "verify:1",
            "vlan:0",
            "vlan:1:2",
            "fragment:576:force:more",
            "segment:0",
            "segment:65536",
            "shatter:x",
            "shatter:1:2",
            "mirror:",
            "fragment:",
        ] {
            assert!(text.parse::<StageSpec>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_stage_of_the_help_is_one() {
        for (usage, _) in STAGES {
            let name = usage.split('[').next().unwrap();
            let spec: StageSpec = name.parse().unwrap();
            assert!(spec.to_string().starts_with(name));
            assert!(no_such_stage(&name[1..]).ends_with(&format!("did you mean {name}?")));
        }
    }

    #[test]
    fn a_list_is_trimmed_and_has_no_gaps() {
        let list = " verify ,fragment:68:force,\tvlan\n".parse::<StageList>().unwrap().0;
        assert_eq!(
            list.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["verify", "fragment:68:force", "vlan:100"]
        );
        for (text, position) in [("", 1), (" ", 1), (",verify", 1), ("verify, ,vlan", 2), ("verify,vlan,", 3)]
        {
            assert_eq!(text.parse::<StageList>(), Err(format!("stage {position} is empty")));
        }
    }
}
