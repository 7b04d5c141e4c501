//! The capture, window by window.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mbuf_io::{Capture, CaptureError, Frame};

use crate::embedded;
use crate::stage::{Interfaces, Mark};

/// Where frames come from, with its progress bar.
pub(super) struct Input {
    source: Source,
    capture: Option<Capture<Box<dyn Read>>>,
    damage: Option<CaptureError>,
    /// The interface of the run that each interface of the capture is.
    mapped: Vec<u32>,
    next_frame: u32,
    progress: ProgressBar,
}

enum Source {
    Embedded,
    Stdin,
    File(PathBuf),
}

impl Input {
    /// Opens a capture; without a path, the embedded one. A file that is no capture counts as damaged.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, String> {
        let source = match path {
            None => Source::Embedded,
            Some(path) if path.as_os_str() == "-" => Source::Stdin,
            Some(path) => Source::File(path.to_owned()),
        };
        let mut input = Self {
            source,
            capture: None,
            damage: None,
            mapped: Vec::new(),
            next_frame: 1,
            progress: ProgressBar::hidden(),
        };
        input.rewind(0)?;
        Ok(input)
    }

    /// What the capture is called.
    pub(super) fn name(&self) -> String {
        match &self.source {
            Source::Embedded => embedded::NAME.to_owned(),
            Source::Stdin => "(standard input)".to_owned(),
            Source::File(path) => path.display().to_string(),
        }
    }

    pub(super) fn can_repeat(&self) -> bool {
        !matches!(self.source, Source::Stdin)
    }

    /// What is wrong with the capture, once that is known.
    pub(super) fn damage(&self) -> Option<&CaptureError> {
        self.damage.as_ref()
    }

    /// Starts the capture from its first frame, for the first time or again.
    pub(super) fn rewind(&mut self, lap: u32) -> Result<(), String> {
        let (reader, len): (Box<dyn Read>, _) = match &self.source {
            Source::Embedded => (Box::new(embedded::CAPTURE), Some(embedded::CAPTURE.len() as u64)),
            Source::Stdin => (Box::new(std::io::stdin()), None),
            Source::File(path) => {
                let cannot = |error| format!("cannot open {}: {error}", path.display());
                let file = File::open(path).map_err(cannot)?;
                let meta = file.metadata().map_err(cannot)?;
                (Box::new(file), meta.is_file().then_some(meta.len()))
            }
        };
        match lap {
            0 => self.progress = progress_bar(len),
            _ => self.progress.reset(),
        }
        match Capture::new(reader, self.name()) {
            Ok(capture) => self.capture = Some(capture),
            Err(damage) => {
                self.capture = None;
                self.damage = Some(damage);
            }
        }
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
        let Some(capture) = &mut self.capture else { return Ok(false) };
        for _ in 0..most {
            match capture.next_frame() {
                Ok(Some(frame)) => {
                    window.push(&frame, self.next_frame);
                    self.next_frame = self.next_frame.wrapping_add(1);
                }
                Ok(None) => break,
                Err(damage) => {
                    self.damage = Some(damage);
                    break;
                }
            }
        }
        for interface in capture.interfaces().get(self.mapped.len()..).unwrap_or_default() {
            let number = interfaces.add(interface.clone()).ok_or("too many interfaces")?;
            self.mapped.push(number);
        }
        window.map_interfaces(&self.mapped);
        self.progress.set_position(capture.position());
        Ok(!window.slots.is_empty())
    }

    pub(super) fn hide_progress(&mut self) {
        self.progress.finish_and_clear();
    }
}

/// A bar on standard error, if somebody looks at it.
fn progress_bar(len: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(len, ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
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
