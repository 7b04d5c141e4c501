//! The capture, window by window.

use std::fs::{self, File, Metadata};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mbuf_io::{Capture, CaptureError, Damage, Frame};

use super::system::{self, Interrupt};
use super::target::Identity;
use crate::embedded;
use crate::stage::{Interfaces, Mark};

/// Where frames come from, with its progress bar.
pub(super) struct Input {
    source: Source,
    interrupt: Interrupt,
    capture: Capture<Box<dyn Read>>,
    damage: Option<CaptureError>,
    /// The interface of the run that each interface of the capture is.
    mapped: Vec<u32>,
    next_frame: u32,
    progress: ProgressBar,
}

/// A capture that is named and not opened.
pub(super) enum Source {
    Embedded,
    Stdin,
    File(PathBuf),
}

impl Source {
    /// Without a path, the embedded capture; `-` is standard input.
    pub(super) fn new(path: Option<&Path>) -> Self {
        match path {
            None => Self::Embedded,
            Some(path) if path.as_os_str() == "-" => Self::Stdin,
            Some(path) => Self::File(path.to_owned()),
        }
    }

    /// What the capture is called.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Embedded => embedded::NAME.to_owned(),
            Self::Stdin => "(standard input)".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The identity of the file, which must not be written.
    pub(super) fn identity(&self) -> Option<Identity> {
        Identity::of(&self.metadata()?, self.path())
    }

    /// Whether it may be read more than once, as far as one can say.
    fn can_repeat(&self) -> bool {
        match self {
            Self::Stdin => false,
            _ => self.metadata().is_none_or(|meta| meta.is_file() || meta.is_dir()),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            _ => Path::new(""),
        }
    }

    fn metadata(&self) -> Option<Metadata> {
        match self {
            Self::Embedded => None,
            Self::Stdin => system::stdin().ok()?.metadata().ok(),
            Self::File(path) => fs::metadata(path).ok(),
        }
    }

    /// Its length in bytes, if that is known.
    fn len(&self) -> Option<u64> {
        match self {
            Self::Embedded => Some(embedded::CAPTURE.len() as u64),
            _ => self.metadata().filter(Metadata::is_file).map(|meta| meta.len()),
        }
    }

    /// Opens the capture and reads its header.
    fn open(&self, interrupt: &Interrupt) -> Result<Capture<Box<dyn Read>>, String> {
        let cannot = |error: io::Error| format!("cannot open {}: {error}", self.name());
        let reader: Box<dyn Read> = match self {
            Self::Embedded => Box::new(embedded::CAPTURE),
            Self::Stdin => Box::new(interrupt.reader(system::stdin().map_err(cannot)?)),
            Self::File(path) => Box::new(interrupt.reader(File::open(path).map_err(cannot)?)),
        };
        Capture::new(reader, self.name()).map_err(|damage| damage.to_string())
    }
}

impl Input {
    /// Opens a capture and looks whether it is one.
    ///
    /// # Errors
    /// A message, when it cannot be opened, is no capture, or cannot be read `laps` times.
    pub(super) fn open(source: Source, laps: Option<u32>) -> Result<Self, String> {
        if laps.is_none_or(|laps| laps > 1) && !source.can_repeat() {
            return Err(format!("{} can be read only once: --repeat needs a file", source.name()));
        }
        let interrupt = Interrupt::new().map_err(|error| format!("cannot wait for signals: {error}"))?;
        let capture = source.open(&interrupt)?;
        let progress = progress_bar(source.len());
        Ok(Self { source, interrupt, capture, damage: None, mapped: Vec::new(), next_frame: 1, progress })
    }

    /// What the capture is called.
    pub(super) fn name(&self) -> String {
        self.source.name()
    }

    /// From here on the first Ctrl-C ends the input instead of the program.
    pub(super) fn catch_signals(&self) -> Result<(), String> {
        self.interrupt.catch().map_err(|error| format!("cannot wait for signals: {error}"))
    }

    /// What is wrong with the capture, once that is known.
    pub(super) fn damage(&self) -> Option<&CaptureError> {
        self.damage.as_ref()
    }

    /// The signal that ended the input early: its name and number.
    pub(super) fn interrupted(&self) -> Option<(&'static str, u8)> {
        self.interrupt.signal()
    }

    /// Nothing more will come, whatever is left of the capture.
    pub(super) fn is_broken_off(&self) -> bool {
        self.damage.is_some() || self.interrupted().is_some()
    }

    /// Starts the capture from its first frame again.
    ///
    /// # Errors
    /// When it is no longer there, or no capture any more.
    pub(super) fn rewind(&mut self) -> Result<(), String> {
        self.capture = self.source.open(&self.interrupt)?;
        self.progress.reset();
        Ok(())
    }

    /// Reads the next frames, at most `most`; `false` when there are none.
    pub(super) fn fill(
        &mut self,
        window: &mut Window,
        most: u32,
        interfaces: &mut Interfaces,
    ) -> Result<bool, String> {
        window.clear();
        for _ in 0..most {
            if self.is_broken_off() {
                break;
            }
            match self.capture.next_frame() {
                Ok(Some(frame)) => {
                    window.push(&frame, self.next_frame);
                    self.next_frame = self.next_frame.wrapping_add(1);
                }
                Ok(None) => break,
                // A signal ends waiting for a pipe with an error.
                Err(CaptureError { damage: Damage::Read(_), .. }) if self.interrupt.signal().is_some() => {
                    break;
                }
                Err(damage) => self.damage = Some(damage),
            }
        }
        for interface in self.capture.interfaces().get(self.mapped.len()..).unwrap_or_default() {
            let number = interfaces.add(interface.clone()).ok_or("too many interfaces")?;
            self.mapped.push(number);
        }
        window.map_interfaces(&self.mapped);
        self.progress.set_position(self.capture.position());
        Ok(!window.slots.is_empty())
    }

    pub(super) fn hide_progress(&mut self) {
        self.progress.finish_and_clear();
    }
}

/// A bar on standard error, if somebody looks at it.
fn progress_bar(len: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(len, ProgressDrawTarget::stderr_with_hz(10));
    let template = match len {
        Some(_) => "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        None => "{spinner} {bytes} {bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Frames read ahead of the pool, so that file and pool are timed apart.
#[derive(Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

struct Slot {
    /// A frame without its bytes.
    frame: Frame<'static>,
    start: usize,
    len: usize,
    mark: Mark,
}

impl Window {
    /// The frames and the marks their packets get.
    pub(super) fn frames(&self) -> impl Iterator<Item = (Frame<'_>, Mark)> {
        self.slots.iter().map(|slot| {
            let data = self.bytes.get(slot.start..slot.start + slot.len).unwrap_or_default();
            (Frame { data, ..slot.frame }, slot.mark)
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.slots.clear();
    }

    fn push(&mut self, frame: &Frame<'_>, number: u32) {
        self.slots.push(Slot {
            frame: Frame { data: &[], ..*frame },
            start: self.bytes.len(),
            len: frame.data.len(),
            mark: Mark { frame: number, missing: frame.missing() },
        });
        self.bytes.extend_from_slice(frame.data);
    }

    /// Renumbers the frames' interfaces from the capture's to the run's.
    fn map_interfaces(&mut self, mapped: &[u32]) {
        for slot in &mut self.slots {
            let index = usize::try_from(slot.frame.interface).unwrap_or(usize::MAX);
            slot.frame.interface = mapped.get(index).copied().unwrap_or(u32::MAX);
        }
    }
}
