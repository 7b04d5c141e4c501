//! Settings that change while the pool is in use.

use alloc::string::ToString;
use alloc::sync::Arc;

use mbuf_zone::raw::Mutex;

use super::audit::Audit;
use super::hooks::Registry;
use super::{HookGuard, Pool};
use crate::config::{Class, MHLEN};
use crate::error::Resource;
use crate::raw::zones::Limits;
use crate::tune::{LimitPolicy, Origin, Preset, Rule, SettingError, Tunable, Value, least_mbufs};

/// The rules by which settings change, and who is told.
pub(super) struct Control {
    pub(super) rules: Rules,
    /// One setter at a time: what a rule compares does not change before the new value is in force.
    setting: Mutex<()>,
    changed: Arc<Registry<Changed>>,
}

type Changed = dyn Fn(&Pool, LimitChange) + Send + Sync;

/// What a pool was made by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) preset: Preset,
    pub(super) policy: LimitPolicy,
    pub(super) users: Option<usize>,
}

impl Control {
    pub(super) fn new(rules: Rules) -> Self {
        Control { rules, setting: Mutex::new(()), changed: Registry::new() }
    }
}

/// A limit that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitChange {
    /// What is limited; `None`: the bytes of them all, the budget.
    pub resource: Option<Resource>,
    /// The limit before, in buffers or bytes; `None` is none.
    pub before: Option<usize>,
    /// The limit now.
    pub now: Option<usize>,
}

/// Limits that change.
impl Pool {
    /// The limit on something, in buffers; `None` if there is none.
    pub fn limit(&self, resource: impl Into<Resource>) -> Option<usize> {
        self.shared().zone(resource.into()).limit()
    }

    /// Changes the limit on something: a number of buffers, or `None` for no limit. Returns the limit in force, which
    /// is the one that was asked for.
    ///
    /// A limit may be lowered below what is in use: nothing is taken away, and nothing is handed out until fewer are in
    /// use, but for what [reservations](Self::reservation) keep. Hooks are told
    /// ([`on_limit_change`](Self::on_limit_change)) when it is in force, before this returns.
    ///
    /// ```
    /// use mbuf::{Class, Pool, Preset, Resource, Tunables};
    /// let pool = Pool::builder().clusters(1024).build()?;
    /// assert_eq!(pool.set_limit(Class::Cluster, 512)?, Some(512));
    /// assert_eq!(pool.set_limit(Resource::Mbuf, None)?, None);
    ///
    /// // The BSDs' limits only grow.
    /// let pool = Pool::builder().tunables(&Tunables::from(Preset::NetBsd))?.build()?;
    /// assert_eq!(
    ///     pool.set_limit(Class::Cluster, 1000).unwrap_err().to_string(),
    ///     "kern.ipc.nmbclusters = 1000: the pool's limits may only grow: it is 1024",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SettingError`]: larger than memory can be; against the pool's [`LimitPolicy`]; less than its reservations keep;
    /// or fewer mbufs than the pool's [`Preset`] wants. Nothing changed.
    /// # BSD
    /// `sysctl_nmbclusters` and its like, `uma_zone_set_max`. Differs: one setter at a time; down as well as up,
    /// unless the pool's policy is the BSDs'; rules look at the new value; nothing is rounded.
    #[doc(alias = "uma_zone_set_max")]
    #[doc(alias = "sysctl_nmbclusters")]
    #[doc(alias = "sysctl_nmbjumbop")]
    #[doc(alias = "sysctl_nmbjumbo9")]
    #[doc(alias = "sysctl_nmbjumbo16")]
    pub fn set_limit(
        &self,
        resource: impl Into<Resource>,
        limit: impl Into<Option<usize>>,
    ) -> Result<Option<usize>, SettingError> {
        self.change(Some(resource.into()), limit.into())
    }

    /// Bytes that all mbufs and buffers may take together; `None` if there is no limit.
    pub fn budget(&self) -> Option<usize> {
        self.in_force(None)
    }

    /// Changes the bytes that all mbufs and buffers of the pool may take together, in use or cached; `None` is no
    /// limit. Returns the budget in force. Each mbuf and each buffer is charged with its size and that of its descriptor,
    /// 32 bytes a buffer; external memory is not.
    ///
    /// As with limits: before an allocation fails, free buffers of other classes are given back; and a budget below
    /// what is in use stops allocation until less is.
    ///
    /// # Errors
    /// As [`set_limit`](Self::set_limit).
    /// # Cost
    /// That of [`trim`](Self::trim), if more is charged than the new budget; then the hooks'.
    /// # BSD
    /// `maxmbufmem`. Differs: a limit on what is charged, from which no other limit is computed.
    #[doc(alias = "maxmbufmem")]
    pub fn set_budget(&self, bytes: impl Into<Option<usize>>) -> Result<Option<usize>, SettingError> {
        self.change(None, bytes.into())
    }

    /// The limit on something, or the budget.
    fn in_force(&self, resource: Option<Resource>) -> Option<usize> {
        match resource {
            Some(resource) => self.limit(resource),
            None => self.shared().family.group.budget(),
        }
    }

    fn change(
        &self,
        resource: Option<Resource>,
        limit: Option<usize>,
    ) -> Result<Option<usize>, SettingError> {
        let shared = self.shared();
        let control = self.control();
        let change = {
            let _one = control.setting.lock();
            self.check_limit(resource, limit).map_err(|rule| refused(resource, limit.into(), rule))?;
            let before = self.in_force(resource);
            match resource {
                Some(resource) => shared.zone(resource).set_limit(limit),
                None => shared.family.group.set_budget(limit),
            }
            LimitChange { resource, before, now: self.in_force(resource) }
        };
        if change.before != change.now {
            control.changed.each(|hook| hook(self, change));
        }
        Ok(change.now)
    }

    fn check_limit(&self, resource: Option<Resource>, limit: Option<usize>) -> Result<(), Rule> {
        let Rules { preset, policy, .. } = self.control().rules;
        // From the program, zero is what it says: none at all.
        if let Some(n) = limit.filter(|&n| n > 0) {
            // Records of external storage are the size of mbufs.
            limiting(resource).unwrap_or(Tunable::Mbufs).check(n.into())?;
        }
        let current = self.in_force(resource);
        let grows = current.is_some_and(|current| limit.is_none_or(|limit| limit > current));
        match policy {
            LimitPolicy::Fixed => return Err(Rule::Fixed),
            LimitPolicy::GrowOnly if !grows => return Err(Rule::GrowOnly { current }),
            _ => {}
        }
        let kept = match resource {
            Some(resource) => self.shared().family.reserved(resource),
            None => self.shared().family.reserved_bytes(),
        };
        if limit.is_some_and(|limit| limit < kept) {
            return Err(Rule::Reserved { kept: kept as u64 });
        }
        let mut limits = Limits {
            mbufs: self.limit(Resource::Mbuf),
            clusters: Class::ALL.map(|class| self.limit(class)),
            budget: None,
        };
        match resource {
            Some(Resource::Mbuf) => limits.mbufs = limit,
            Some(Resource::Storage(class)) => limits.clusters[class.index()] = limit,
            Some(Resource::External) | None => return Ok(()),
        }
        let least = least_mbufs(preset, &limits);
        match limits.mbufs {
            Some(mbufs) if (mbufs as u64) < least => {
                Err(Rule::FewMbufs { rule: preset.least_mbufs_rule(), least, mbufs: mbufs as u64 })
            }
            _ => Ok(()),
        }
    }

    /// Calls `hook` whenever a limit of this pool or its budget has changed, whichever and by whomever, on the thread that
    /// changed it. Dropping the guard ends that.
    ///
    /// No lock of the pool is held meanwhile: the hook may allocate, free, change limits (and is told of that, too)
    /// and register hooks. If it panics, the limit stays as it was set, the other hooks are called, and then the panic
    /// goes on in the thread that changed the limit. Of changes that are made at the same time hooks may hear in
    /// either order: the limit in force is [`limit`](Self::limit).
    ///
    /// ```
    /// # use mbuf::{Class, Pool};
    /// let pool = Pool::builder().clusters(512).build()?;
    /// let guard = pool.on_limit_change(|_, change| println!("{:?}: {:?}", change.resource, change.now));
    /// pool.set_limit(Class::Cluster, 1024)?;
    /// # drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # BSD
    /// `nmbclusters_change`. Differs: for every limit.
    #[doc(alias = "nmbclusters_change")]
    pub fn on_limit_change(&self, hook: impl Fn(&Pool, LimitChange) + Send + Sync + 'static) -> HookGuard {
        self.control().changed.register((), Arc::new(hook))
    }

    /// The value of a setting.
    pub(crate) fn tunable(&self, tunable: Tunable) -> Value {
        let Rules { preset, policy, users } = self.control().rules;
        let (room, number) = (&self.shared().tuning.room, Value::from);
        if let Some(resource) = tunable.resource() {
            return self.limit(resource).into();
        }
        match tunable {
            Tunable::Preset => preset.into(),
            Tunable::Policy => policy.into(),
            Tunable::MaxUsers => users.map_or(Preset::DEFAULT_USERS.into(), Value::from),
            Tunable::LinkHeader => number(room.link()),
            Tunable::Header => number(room.header()),
            Tunable::ProtocolHeader => number(room.header().saturating_sub(room.link())),
            Tunable::DataLen => number(room.data()),
            Tunable::Memory => self.budget().into(),
            Tunable::Wait => self.shared().tuning.wait.get().into(),
            Tunable::Fault => self.shared().fault(tunable).into(),
            Tunable::Audit => self.audit().map_or(0_u64, |audit| audit.frequency().into()).into(),
            _ => Value::Number(self.shared().defrag_failures().into()),
        }
    }

    /// Whether a setting can change at all.
    pub(crate) fn can_set(&self, tunable: Tunable) -> bool {
        match tunable {
            Tunable::Preset
            | Tunable::Policy
            | Tunable::MaxUsers
            | Tunable::ProtocolHeader
            | Tunable::Header => false,
            _ => !tunable.is_limit() || self.control().rules.policy != LimitPolicy::Fixed,
        }
    }

    /// Changes a setting. Returns the value in force.
    pub(crate) fn set_tunable(&self, tunable: Tunable, value: Value) -> Result<Value, SettingError> {
        let refuse = |rule| SettingError::new(Origin::Code, tunable.name(), value, rule);
        tunable.check(value).map_err(refuse)?;
        if !self.can_set(tunable) {
            return Err(refuse(Rule::Fixed));
        }
        if tunable.is_limit() {
            return self.change(tunable.resource(), value.number()).map(Value::from);
        }
        let number = value.number();
        match tunable {
            Tunable::Wait => self.shared().tuning.wait.set(number),
            Tunable::DefragFailures => {
                let n = number.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
                self.shared().set_defrag_failures(n);
            }
            Tunable::Fault => self.shared().set_fault(tunable, value.fault()),
            Tunable::Audit => self.set_audit(number.and_then(Audit::of_setting)),
            _ => self.set_room(tunable, number.unwrap_or(0)).map_err(refuse)?,
        }
        Ok(self.tunable(tunable))
    }

    fn set_room(&self, tunable: Tunable, number: usize) -> Result<(), Rule> {
        let _one = self.control().setting.lock();
        let room = &self.shared().tuning.room;
        let (rule, max) = match tunable {
            Tunable::LinkHeader => ("max_linkhdr is no more than max_hdr", room.header()),
            _ => ("max_datalen is no more than max_linkhdr leaves in an mbuf", MHLEN - room.link()),
        };
        if number > max {
            return Err(Rule::Contradiction { rule, given: number as u64, wanted: max as u64 });
        }
        match tunable {
            Tunable::LinkHeader => room.set_link(number),
            _ => room.set_data(number),
        }
        Ok(())
    }
}

/// The tunable by which a limit, or the budget, is known.
fn limiting(resource: Option<Resource>) -> Option<Tunable> {
    resource.map_or(Some(Tunable::Memory), Tunable::of)
}

fn refused(resource: Option<Resource>, value: Value, rule: Rule) -> SettingError {
    let name = match (limiting(resource), resource) {
        (Some(tunable), _) => tunable.name().into(),
        (None, resource) => resource.map(|resource| resource.to_string()).unwrap_or_default(),
    };
    SettingError::new(Origin::Code, &name, value, rule)
}
