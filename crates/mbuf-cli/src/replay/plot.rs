//! Memory in use by class over the run: its peaks, and the chart that `--plot` draws.

use std::io::Write;

use mbuf::{Pool, PoolStats};
use plotters::prelude::*;

use super::target::{Sink, cannot_write};
use crate::classes::{CLASSES, COUNT};

/// Samples kept; when there are more, every other one is dropped.
const MOST: usize = 2048;
const COLORS: [RGBColor; COUNT] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0xff, 0x7f, 0x0e),
];
const KIB: f64 = 1024.0;

/// What [`Samples::peaks`] is.
pub(super) const PEAK: &str = "the most in use when looked at: before and after each stage of each window";

/// Memory in use, sampled along the run: a fixed number of points, evenly spread.
#[derive(Debug)]
pub(super) struct Samples {
    list: Vec<Sample>,
    /// One in this many is kept.
    stride: u64,
    seen: u64,
    /// The most buffers of each class that were seen in use.
    peaks: [usize; COUNT],
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Where in the run: the number of the sample.
    step: u64,
    frames: u64,
    bytes: [usize; COUNT],
}

impl Default for Samples {
    fn default() -> Self {
        Self { list: Vec::new(), stride: 1, seen: 0, peaks: [0; COUNT] }
    }
}

impl Samples {
    /// Looks at the pool when `frames` frames went in.
    pub(super) fn take(&mut self, frames: u64, pool: &Pool) {
        let stats = pool.stats();
        let in_use = in_use(&stats);
        for (peak, (current, _)) in self.peaks.iter_mut().zip(in_use) {
            *peak = current.max(*peak);
        }
        let step = self.seen;
        self.seen += 1;
        if !step.is_multiple_of(self.stride) {
            return;
        }
        let bytes = in_use.map(|(current, size)| current.saturating_mul(size));
        self.list.push(Sample { step, frames, bytes });
        if self.list.len() >= MOST {
            self.stride *= 2;
            let stride = self.stride;
            self.list.retain(|sample| sample.step.is_multiple_of(stride));
        }
    }

    /// The most buffers of each class in use, in the order of [`CLASSES`]; [`PEAK`] says what that means.
    pub(super) fn peaks(&self) -> [usize; COUNT] {
        self.peaks
    }

    /// Draws the chart; returns the name of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn draw(&self, mut sink: Sink) -> Result<String, String> {
        let mut text = String::new();
        self.draw_to(&mut text).map_err(|error| cannot_write(sink.name(), error))?;
        sink.write_all(text.as_bytes()).map_err(|error| cannot_write(sink.name(), error))?;
        sink.finish()
    }

    fn draw_to(&self, text: &mut String) -> Result<(), Box<dyn std::error::Error + '_>> {
        // Samples are even in the run's steps, readers count frames: the axis is steps, in units of frames.
        let last = self.list.last().map_or(1, |sample| sample.step.max(1));
        let frames = self.list.last().map_or(1, |sample| sample.frames.max(1)) as f64;
        let place = |step: u64| step as f64 / last as f64 * frames;
        let peak = self.list.iter().flat_map(|sample| sample.bytes).max().unwrap_or(0);
        let top = (kib(peak) * 1.1).max(1.0);

        let root = SVGBackend::with_string(text, (960, 480)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption("mbuf memory in use", ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..frames, 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc("frames taken in")
            .y_desc("KiB in use")
            .x_label_formatter(&|frames| format!("{frames:.0}"))
            .y_label_formatter(&|kib| format!("{kib:.0}"))
            .max_light_lines(1)
            .bold_line_style(BLACK.mix(0.15))
            .draw()?;
        for (class, (names, color)) in CLASSES.iter().zip(COLORS).enumerate() {
            let points =
                || self.list.iter().map(move |sample| (place(sample.step), kib(sample.bytes[class])));
            if class > 1 && points().all(|(_, kib)| kib == 0.0) {
                continue; // a class that was never used only fills the legend
            }
            chart
                .draw_series(LineSeries::new(points(), color.stroke_width(2)))?
                .label(names.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        root.present()?;
        Ok(())
    }
}

/// Buffers in use of each class, and the size of one in bytes.
fn in_use(stats: &PoolStats) -> [(usize, usize); COUNT] {
    CLASSES.map(|class| {
        let stats = (class.stats)(stats);
        (stats.current, stats.size)
    })
}

fn kib(bytes: usize) -> f64 {
    bytes as f64 / KIB
}

#[cfg(test)]
mod tests {
    use super::*;
    use mbuf::Packet;

    #[test]
    fn many_samples_stay_few_and_even() {
        let pool = Pool::new();
        let mut samples = Samples::default();
        for frames in 0..10_000 {
            samples.take(frames, &pool);
        }
        assert!(samples.list.len() < MOST);
        assert!(samples.list.windows(2).all(|pair| pair[1].step - pair[0].step == samples.stride));
    }

    #[test]
    fn a_chart_is_drawn_even_of_nothing() {
        let pool = Pool::new();
        for count in [0, 1, 3] {
            let mut samples = Samples::default();
            for frames in 0..count {
                let _packet = Packet::from_slice(&pool, &[0; 1000]).unwrap();
                samples.take(frames, &pool);
            }
            let mut text = String::new();
            samples.draw_to(&mut text).unwrap();
            assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
            assert!(text.contains("clusters"));
        }
    }
}
