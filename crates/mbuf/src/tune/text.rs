//! Values and settings as text.

use super::error::Rule;
use super::preset::{LimitPolicy, Preset};
use super::tunable::{Kind, Tunable, Value};

/// Reads the value of a tunable, and checks it by itself.
pub(crate) fn value(tunable: Tunable, text: &str) -> Result<Value, Rule> {
    let value = match tunable.kind() {
        Kind::Preset => Preset::named(text).map(Value::Preset).ok_or(Rule::Expected(tunable.expected()))?,
        Kind::Policy => {
            LimitPolicy::named(text).map(Value::Policy).ok_or(Rule::Expected(tunable.expected()))?
        }
        Kind::Fault if text == "none" => Value::Fault(None),
        Kind::Fault => Value::Fault(Some(text.parse().map_err(|_| Rule::Expected(tunable.expected()))?)),
        kind if kind.may_be_unlimited() && text == "unlimited" => Value::Unlimited,
        _ => Value::Number(number(text, tunable)?),
    };
    tunable.check(value)?;
    Ok(value)
}

/// A decimal number; of bytes perhaps with `k`, `M` or `G` behind it.
fn number(text: &str, tunable: Tunable) -> Result<u64, Rule> {
    let expected = Rule::Expected(tunable.expected());
    let (digits, shift) = match tunable.kind() {
        Kind::Bytes(_) | Kind::Budget => match text.as_bytes().split_last() {
            Some((b'k' | b'K', _)) => (&text[..text.len() - 1], 10),
            Some((b'm' | b'M', _)) => (&text[..text.len() - 1], 20),
            Some((b'g' | b'G', _)) => (&text[..text.len() - 1], 30),
            _ => (text, 0),
        },
        _ => (text, 0),
    };
    if let Some(rest) = digits.strip_prefix('-') {
        let number = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
        return Err(if number { Rule::Negative } else { expected });
    }
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(expected);
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(Rule::LeadingZero);
    }
    // Digits only: all that can go wrong is that there are too many, which `check` calls too large.
    let number = digits.parse().unwrap_or(u64::MAX);
    Ok(if number.leading_zeros() < shift { u64::MAX } else { number << shift })
}

/// Reads a line of a file: a setting, or nothing.
pub(super) fn line(line: &str) -> Result<Option<(&str, &str)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, rest) = line.split_once('=').ok_or("there is no `=`")?;
    let (name, rest) = (name.trim_end(), rest.trim_start());
    if name.is_empty() {
        return Err("there is no name");
    }
    if name.contains(|c: char| c.is_whitespace() || c == '"' || c == '#') {
        return Err("a name has no blanks and no quotes");
    }
    let (value, behind) = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
        None => {
            let end = rest.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(rest.len());
            rest.split_at(end)
        }
    };
    if value.contains('"') {
        return Err("a quote stands within a value");
    }
    let behind = behind.trim_start();
    if !behind.is_empty() && !behind.starts_with('#') {
        return Err("something stands behind the value");
    }
    Ok(Some((name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_settings_or_nothing() {
        for nothing in ["", "  \t", "# a comment", "  # a=b", "\r"] {
            assert_eq!(line(nothing), Ok(None), "{nothing:?}");
        }
        for setting in ["a=\"1\"", "a=1", " a = 1 ", "a=1 # one", "a=\"1\"# one", "a=\"1\"\r", "a=1#one"] {
            assert_eq!(line(setting), Ok(Some(("a", "1"))), "{setting:?}");
        }
        assert_eq!(line("a=\"1 # 2\""), Ok(Some(("a", "1 # 2"))));
        assert_eq!(line("a="), Ok(Some(("a", ""))));
        for bad in ["a", "=1", "a b=1", "a=\"1", "a=1 2", "a=\"1\" 2", "a=1\"", "\"a\"=1", "a=\""] {
            assert!(line(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_are_decimal_and_bytes_have_suffixes() {
        let bytes = |text| number(text, Tunable::Header);
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!((bytes("1k"), bytes("1K")), (Ok(1 << 10), Ok(1 << 10)));
        assert_eq!((bytes("3M"), bytes("2g")), (Ok(3 << 20), Ok(2 << 30)));
        assert_eq!(bytes("17179869183G"), Ok(u64::MAX >> 30 << 30));
        // Too large for 64 bits: as large as can be, so that it is too large, not wrapped.
        for huge in ["18446744073709551616", "99999999999999999999999999", "17179869184G", "9999999999999G"] {
            assert_eq!(bytes(huge), Ok(u64::MAX), "{huge}");
        }
        for bad in
            ["", "k", "-", "-k", "--1", "+1", "0x10", "1_000", "1 k", "1kk", "1T", "½", "１", "1é", "é"]
        {
            assert!(matches!(bytes(bad), Err(Rule::Expected(_))), "{bad:?}");
        }
        assert_eq!(
            (bytes("-1"), bytes("-0"), bytes("-5k")),
            (Err(Rule::Negative), Err(Rule::Negative), Err(Rule::Negative))
        );
        assert_eq!((bytes("010"), bytes("00")), (Err(Rule::LeadingZero), Err(Rule::LeadingZero)));
        // What is counted has no suffix: a thousand, or 1024?
        assert!(matches!(number("64k", Tunable::Clusters), Err(Rule::Expected(_))));
    }
}
