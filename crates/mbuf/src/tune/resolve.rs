//! From what was set to what a pool is given: formulas, and rules between values.

use alloc::vec::Vec;
use core::fmt;

use super::error::{Origin, Rule, SettingError, SettingErrors};
use super::preset::{LimitPolicy, Preset};
use super::tunable::{self, MAX_HEADROOM, Tunable, Value};
use super::{Setting, Tunables};
use crate::config::{Class, LINK_HEADER, MHLEN};
use crate::error::Resource;
use crate::raw::zones::Limits;

/// Every value that a pool made of some [`Tunables`] has, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    settings: [Setting; Tunable::ALL.len()],
    adjustments: Vec<Adjustment>,
}

/// A value that was set, and gave way to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adjustment {
    /// Whose value.
    pub tunable: Tunable,
    /// Where it came from.
    pub origin: Origin,
    /// The value that was set.
    pub asked: Value,
    /// The value in force.
    pub given: Value,
    /// The rule.
    pub rule: Rule,
}

impl fmt::Display for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Adjustment { tunable, origin, asked, given, rule } = self;
        write!(f, "{origin}: {tunable} = {asked} becomes {given}: {rule}")
    }
}

impl Resolved {
    /// A value.
    pub fn value(&self, tunable: Tunable) -> Value {
        self.settings[tunable as usize].value
    }

    /// Where it comes from.
    pub fn origin(&self, tunable: Tunable) -> &Origin {
        &self.settings[tunable as usize].origin
    }

    /// What was set and is not as it was set.
    pub fn adjustments(&self) -> &[Adjustment] {
        &self.adjustments
    }

    /// A limit, in buffers; `None` is none.
    pub fn limit(&self, resource: Resource) -> Option<usize> {
        Tunable::of(resource).and_then(|tunable| self.value(tunable).number())
    }

    /// Bytes that all buffers of a kind take when its limit is in use; `None` if it has none.
    pub fn bytes(&self, resource: Resource) -> Option<u128> {
        self.limit(resource).map(|n| n as u128 * tunable::size(resource) as u128)
    }

    /// Most bytes that all buffers can take: when every limit is in use, or the budget; `None` if nothing bounds them.
    pub fn total_bytes(&self) -> Option<u128> {
        let classes = Class::ALL.into_iter().map(Resource::Storage);
        let limits: Option<u128> = classes.chain([Resource::Mbuf]).map(|resource| self.bytes(resource)).sum();
        let budget = self.value(Tunable::Memory).number().map(|bytes| bytes as u128);
        [limits, budget].into_iter().flatten().min()
    }

    pub(crate) fn preset(&self) -> Preset {
        match self.value(Tunable::Preset) {
            Value::Preset(preset) => preset,
            _ => Preset::default(),
        }
    }

    pub(crate) fn policy(&self) -> LimitPolicy {
        match self.value(Tunable::Policy) {
            Value::Policy(policy) => policy,
            _ => LimitPolicy::default(),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            mbufs: self.limit(Resource::Mbuf),
            clusters: Class::ALL.map(|class| self.limit(Resource::Storage(class))),
            budget: self.value(Tunable::Memory).number(),
        }
    }

    pub(crate) fn number(&self, tunable: Tunable) -> usize {
        self.value(tunable).number().unwrap_or(0)
    }
}

impl Tunables {
    /// Computes what was not set, and looks whether all values go together.
    ///
    /// # Errors
    /// Every rule between values that is broken.
    pub fn resolve(&self) -> Result<Resolved, SettingErrors> {
        let mut work = Work { tunables: self.clone(), errors: SettingErrors::default() };
        let preset = match work.or(Tunable::Preset, Origin::Default, || Preset::default().into()) {
            Value::Preset(preset) => preset,
            _ => Preset::default(),
        };
        work.or(Tunable::Policy, Origin::Formula, || preset.policy().into());
        work.users(preset);
        let adjustments = work.limits(preset);
        work.headers(preset);
        work.or(Tunable::Memory, Origin::Default, || Value::Unlimited);
        work.or(Tunable::Wait, Origin::Default, || 0_u64.into());
        work.or(Tunable::DefragFailures, Origin::Default, || 0_u64.into());
        work.or(Tunable::Audit, Origin::Default, || 0_u64.into());
        work.or(Tunable::Fault, Origin::Default, || Value::Fault(None));
        let Work { tunables, errors } = work;
        let fallback = Setting { value: Value::Unlimited, origin: Origin::Default };
        let settings = tunables.settings.map(|setting| setting.unwrap_or_else(|| fallback.clone()));
        errors.or(Resolved { settings, adjustments })
    }
}

/// Tunables that are being completed.
struct Work {
    tunables: Tunables,
    errors: SettingErrors,
}

impl Work {
    /// The value that was set, or this one.
    fn or(&mut self, tunable: Tunable, origin: Origin, value: impl FnOnce() -> Value) -> Value {
        if let Some(set) = self.tunables.get(tunable) {
            return set;
        }
        let value = value();
        if let Err(rule) = tunable.check(value) {
            self.errors.push(SettingError::new(origin.clone(), tunable.name(), value, rule));
        }
        self.tunables.put(tunable, value, origin);
        value
    }

    fn refuse(&mut self, tunable: Tunable, rule: Rule) {
        if let Some(Setting { value, origin }) = self.tunables.setting(tunable).cloned() {
            self.errors.push(SettingError::new(origin, tunable.name(), value, rule));
        }
    }

    fn users(&mut self, preset: Preset) {
        if self.tunables.get(Tunable::MaxUsers).is_some() {
            if !preset.counts_users() {
                let why = "only the presets dragonfly and freebsd compute limits from it";
                self.refuse(Tunable::MaxUsers, Rule::NoEffect(why));
            }
            return;
        }
        self.or(Tunable::MaxUsers, Origin::Default, || Preset::DEFAULT_USERS.into());
    }

    /// Clusters first; all others follow them, and mbufs follow all of these.
    fn limits(&mut self, preset: Preset) -> Vec<Adjustment> {
        let users = count(self.tunables.get(Tunable::MaxUsers)).unwrap_or(Preset::DEFAULT_USERS);
        let mut clusters = [None; 4];
        for class in Class::ALL {
            let derived = || match class {
                Class::Cluster => preset.clusters(users),
                _ => preset.share(class, clusters[0]),
            };
            let tunable = Tunable::of(Resource::Storage(class)).unwrap_or(Tunable::Clusters);
            clusters[class.index()] = count(Some(self.or(tunable, Origin::Formula, || value(derived()))));
        }
        let least = preset.least_mbufs(clusters);
        let asked = self.or(Tunable::Mbufs, Origin::Formula, || value(preset.mbufs(clusters)));
        match count(Some(asked)) {
            Some(mbufs) if mbufs < least => self.raise_mbufs(preset, mbufs, least),
            _ => Vec::new(),
        }
    }

    fn raise_mbufs(&mut self, preset: Preset, mbufs: u64, least: u64) -> Vec<Adjustment> {
        let Some(Setting { value, origin }) = self.tunables.setting(Tunable::Mbufs).cloned() else {
            return Vec::new();
        };
        if let Err(rule) = Tunable::Mbufs.check(least.into()) {
            self.refuse(Tunable::Mbufs, rule);
        }
        self.tunables.put(Tunable::Mbufs, least.into(), origin.clone());
        let rule = Rule::FewMbufs { rule: preset.least_mbufs_rule(), least, mbufs };
        let given = Value::Number(least);
        [Adjustment { tunable: Tunable::Mbufs, origin, asked: value, given, rule }].to_vec()
    }

    /// `max_hdr` is the sum of its two parts, whichever of the three are set.
    fn headers(&mut self, preset: Preset) {
        let set = |tunable| count(self.tunables.get(tunable));
        let (header, protocol) = (set(Tunable::Header), set(Tunable::ProtocolHeader));
        let usual = (LINK_HEADER as u64).min(header.unwrap_or(u64::MAX));
        let link = set(Tunable::LinkHeader).unwrap_or(usual);
        let given = link
            + protocol.unwrap_or_else(|| match header {
                Some(header) => header.saturating_sub(link),
                None => preset.protocol_header(),
            });
        let rule = "max_linkhdr + max_protohdr is max_hdr";
        match header {
            Some(header) if header != given => {
                self.refuse(Tunable::Header, Rule::Contradiction { rule, given, wanted: header });
            }
            None if given > MAX_HEADROOM as u64 => {
                let rule = "max_linkhdr + max_protohdr is no more than leaves room in a cluster";
                let rule = Rule::Contradiction { rule, given, wanted: MAX_HEADROOM as u64 };
                self.refuse(Tunable::ProtocolHeader, rule.clone());
            }
            _ => {}
        }
        self.or(Tunable::LinkHeader, Origin::Default, || link.into());
        self.or(Tunable::ProtocolHeader, Origin::Formula, || given.saturating_sub(link).into());
        if header.is_none() && given <= MAX_HEADROOM as u64 {
            self.or(Tunable::Header, Origin::Formula, || given.into());
        }
        let left = MHLEN as u64 - link.min(MHLEN as u64);
        let data = self.or(Tunable::DataLen, Origin::Formula, || left.into());
        if count(Some(data)).is_some_and(|data| data > left) {
            let rule = "max_datalen is no more than max_linkhdr leaves in an mbuf";
            let given = count(Some(data)).unwrap_or(0);
            self.refuse(Tunable::DataLen, Rule::Contradiction { rule, given, wanted: left });
        }
    }
}

fn count(value: Option<Value>) -> Option<u64> {
    match value {
        Some(Value::Number(n)) => Some(n),
        _ => None,
    }
}

fn value(limit: Option<u64>) -> Value {
    limit.map_or(Value::Unlimited, Value::Number)
}
