//! Lines in an SVG file.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

/// Lines over a logarithmic axis.
pub struct Plot {
    /// Of the file.
    pub name: &'static str,
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

const COLORS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(127, 127, 127),
];

impl Plot {
    pub fn draw(&self, file: &Path) -> Result<(), String> {
        self.try_draw(file).map_err(|error| format!("{}: {error}", file.display()))
    }

    fn try_draw(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let (from, to) =
            points().fold((f64::INFINITY, 0.0_f64), |(from, to), &(x, _)| (from.min(x), to.max(x)));
        let top = points().fold(0.0_f64, |top, &(_, y)| top.max(y)) * 1.1;
        let area = SVGBackend::new(file, (720, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(55)
            .build_cartesian_2d((from..to).log_scale().base(2.0), 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|x| label(*x))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (line, color) in self.lines.iter().zip(COLORS.iter().cycle()) {
            let style = color.stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

fn label(x: f64) -> String {
    if x < 1024.0 { format!("{x:.0}") } else { format!("2^{:.0}", x.log2()) }
}
