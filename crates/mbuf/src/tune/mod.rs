//! [`Tunables`]: the settings of a pool by name, from the program, the environment or a file.
//!
//! ```text
//!  program ────────┐
//!  environment ────┤─▶ Tunables: what was set ──resolve──▶ Resolved: every value, and where it comes from ──▶ Pool
//!  loader.conf ────┘     each checked by itself              formulas, rules between values
//! ```

mod error;
mod preset;
mod resolve;
mod text;
mod tunable;

use alloc::vec::Vec;

pub(crate) use error::nearest;
pub use error::{Origin, Rule, SettingError, SettingErrors};
pub(crate) use preset::least_mbufs;
pub use preset::{LimitPolicy, Preset};
pub use resolve::{Adjustment, Resolved};
pub(crate) use text::value as value_of;
pub(crate) use tunable::MAX_HEADROOM;
pub use tunable::{Tunable, Value};

/// Settings of a pool by name.
///
/// Nothing is computed until a pool is made of them, or [`resolve`](Self::resolve) is called: it does not matter in
/// which order, or from where, they come. What is set later replaces what was set before.
///
/// ```
/// use mbuf::{Pool, Preset, Tunable, Tunables};
///
/// let mut tunables = Tunables::from(Preset::FreeBsd);
/// tunables.set(Tunable::MaxUsers, 64_u64)?;
/// tunables.read_text(
///     "pool.conf",
///     r#"
///     ## as in /boot/loader.conf
///     kern.ipc.nmbclusters="8192"
///     kern.ipc.nmbjumbo16="unlimited"
///     "#,
/// )?;
/// let pool = Pool::builder().tunables(&tunables)?.build()?;
/// assert_eq!(pool.stats().clusters.limit, Some(8192));
/// assert_eq!(pool.stats().jumbo_page.limit, Some(4096)); // half of the clusters, whoever set them
///
/// let error = tunables.set_text("kern.ipc.nmbcluster", "8192").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "kern.ipc.nmbcluster = 8192: there is no such name; is `kern.ipc.nmbclusters` meant?"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # The file
///
/// A line is empty, a comment that begins with `#`, or `name="value"`, with or without the quotes, with a comment
/// behind it or none. Numbers are decimal; of bytes, `k`, `M` and `G` make 1024, and so on.
///
/// # The environment
///
/// The variable of `kern.ipc.nmbclusters` is `MBUF_NMBCLUSTERS`, and so on: `MBUF_` and the last part of the name, in
/// capitals. A variable by the whole name, as a BSD kernel's environment has it, is understood too; the other goes
/// first. A variable of which the name looks like a slip is an error, others are not looked at.
///
/// # BSD
/// `tunable_mbinit`. Differs: arithmetic is checked and 64 bits wide; nothing negative, huge or zero passes; limits
/// follow what was set, wherever it stands; a refused value is an error with a reason.
#[doc(alias = "tunable_mbinit")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tunables {
    settings: [Option<Setting>; Tunable::ALL.len()],
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    value: Value,
    origin: Origin,
}

impl Tunables {
    /// Nothing set: a pool without limits.
    pub fn new() -> Self {
        Tunables::default()
    }

    /// Sets one.
    ///
    /// # Errors
    /// [`SettingError`], if it may not have that value whatever the others are.
    pub fn set(&mut self, tunable: Tunable, value: impl Into<Value>) -> Result<&mut Self, SettingError> {
        let value = value.into();
        match tunable.check(value) {
            Ok(()) => self.put(tunable, value, Origin::Code),
            Err(rule) => return Err(SettingError::new(Origin::Code, tunable.name(), value, rule)),
        }
        Ok(self)
    }

    /// Sets one by its name or alias, to a value as a file has it, without quotes.
    ///
    /// # Errors
    /// [`SettingError`], also if there is none of that name.
    pub fn set_text(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        self.set_from(Origin::Code, name, value)
    }

    /// Sets what the lines of a file set. `file` is how errors call it.
    ///
    /// # Errors
    /// Everything that is wrong in it; then nothing was set.
    pub fn read_text(&mut self, file: &str, text: &str) -> Result<(), SettingErrors> {
        let mut errors = SettingErrors::default();
        let mut read = self.clone();
        // A byte-order mark is none of the first name's.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (i, line) in text.lines().enumerate() {
            let origin = || Origin::Line { file: file.into(), line: i + 1 };
            let outcome = match text::line(line) {
                Ok(Some((name, value))) => read.set_from(origin(), name, value),
                Ok(None) => Ok(()),
                Err(what) => Err(SettingError::new(origin(), "", line.trim(), Rule::Syntax(what))),
            };
            if let Err(error) = outcome {
                errors.push(error);
            }
        }
        *self = errors.or(read)?;
        Ok(())
    }

    /// Sets what a file sets.
    ///
    /// # Errors
    /// Everything that is wrong in it, or that it cannot be read, is no text, or longer than 1 MiB; then nothing was
    /// set.
    #[cfg(feature = "std")]
    pub fn read_file(&mut self, path: impl AsRef<std::path::Path>) -> Result<(), SettingErrors> {
        let path = path.as_ref();
        self.read_opened(&path.display().to_string(), std::fs::File::open(path))
    }

    /// Sets what there is to read. `file` is how errors call it.
    ///
    /// # Errors
    /// As those of [`read_file`](Self::read_file).
    #[cfg(feature = "std")]
    pub fn read_from(&mut self, file: &str, reader: impl std::io::Read) -> Result<(), SettingErrors> {
        self.read_opened(file, Ok(reader))
    }

    #[cfg(feature = "std")]
    fn read_opened(
        &mut self,
        file: &str,
        opened: std::io::Result<impl std::io::Read>,
    ) -> Result<(), SettingErrors> {
        use std::io::Read;
        use std::string::{String, ToString};
        const MOST: usize = 1 << 20;
        let mut bytes = Vec::new();
        let why = match opened.and_then(|reader| reader.take(MOST as u64 + 1).read_to_end(&mut bytes)) {
            Ok(n) if n <= MOST => match core::str::from_utf8(&bytes) {
                Ok(text) => return self.read_text(file, text),
                Err(error) => {
                    let before = &bytes[..error.valid_up_to()];
                    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
                    let origin = Origin::Line { file: file.into(), line };
                    return Err(SettingError::new(origin, "", "", Rule::Syntax("it is not UTF-8")).into());
                }
            },
            Ok(_) => String::from("it is longer than 1 MiB"),
            Err(error) => error.to_string(),
        };
        Err(SettingError::new(Origin::Code, file, "", Rule::Unreadable(why)).into())
    }

    /// Sets what the environment of the process sets.
    ///
    /// # Errors
    /// Everything that is wrong in it; then nothing was set.
    #[cfg(feature = "std")]
    pub fn read_env(&mut self) -> Result<(), SettingErrors> {
        // What is no text is in no name, and in no value that passes.
        self.read_variables(
            std::env::vars_os().map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            }),
        )
    }

    /// Sets what these environment variables set: name and value.
    ///
    /// # Errors
    /// As [`read_env`](Self::read_env).
    pub fn read_variables<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), SettingErrors> {
        let mut errors = SettingErrors::default();
        let mut read = self.clone();
        let mut found = Vec::new();
        for (variable, value) in variables {
            match variable_of(variable.as_ref()) {
                Ok(Some(known)) => found.push((known, variable, value)),
                Ok(None) => {}
                Err(near) => {
                    let origin = Origin::Variable(variable.as_ref().into());
                    let rule = Rule::Unknown { near: Some(near) };
                    errors.push(SettingError::new(origin, "", value.as_ref(), rule));
                }
            }
        }
        // By whole names first, so that short ones replace them.
        found.sort_by_key(|&((tunable, short), ..)| (short, tunable));
        for ((tunable, _), variable, value) in found {
            let origin = Origin::Variable(variable.as_ref().into());
            if let Err(error) = read.set_from(origin, tunable.name(), value.as_ref()) {
                errors.push(error);
            }
        }
        *self = errors.or(read)?;
        Ok(())
    }

    fn set_from(&mut self, origin: Origin, name: &str, text: &str) -> Result<(), SettingError> {
        let near = || nearest(name, Tunable::ALL.into_iter().flat_map(Tunable::names));
        let set = match Tunable::named(name) {
            None => Err(Rule::Unknown { near: near() }),
            Some(tunable) => text::value(tunable, text).map(|value| (tunable, value)),
        };
        match set {
            Ok((tunable, value)) => self.put(tunable, value, origin),
            Err(rule) => return Err(SettingError::new(origin, name, text, rule)),
        }
        Ok(())
    }

    fn put(&mut self, tunable: Tunable, value: Value, origin: Origin) {
        self.settings[tunable as usize] = Some(Setting { value, origin });
    }

    /// What was set.
    pub fn get(&self, tunable: Tunable) -> Option<Value> {
        self.setting(tunable).map(|setting| setting.value)
    }

    fn setting(&self, tunable: Tunable) -> Option<&Setting> {
        self.settings[tunable as usize].as_ref()
    }
}

impl From<Preset> for Tunables {
    fn from(preset: Preset) -> Self {
        let mut tunables = Tunables::new();
        tunables.put(Tunable::Preset, Value::Preset(preset), Origin::Code);
        tunables
    }
}

/// The tunable that an environment variable sets, and whether by its short name; or the name that may have been meant.
fn variable_of(variable: &str) -> Result<Option<(Tunable, bool)>, &'static str> {
    if let Some(tunable) = Tunable::named(variable) {
        return Ok(Some((tunable, false)));
    }
    if let Some(tunable) = Tunable::ALL.into_iter().find(|tunable| tunable.variable() == variable) {
        return Ok(Some((tunable, true)));
    }
    let near = if variable.starts_with("MBUF_") {
        nearest(variable, Tunable::ALL.into_iter().map(Tunable::variable))
    } else if variable.starts_with("kern.") {
        nearest(variable, Tunable::ALL.into_iter().flat_map(Tunable::names))
    } else {
        None
    };
    near.map_or(Ok(None), Err)
}
