//! The report as a picture: a line for each row, a dot for each column.

use std::path::Path;

use plotters::prelude::*;

use super::build;
use super::results::{Measured, Results, best};
use crate::rows::ROWS;

const LINE: u32 = 22;
const WIDTH: u32 = 1000;
/// Names of rows.
const LEFT: u32 = 270;
const LEGEND: u32 = 150;

/// Ours first, and larger than the others.
const COLORS: [RGBColor; 12] = [
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0xff, 0x98, 0x96),
    RGBColor(0x7f, 0x7f, 0x7f),
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0x17, 0xbe, 0xcf),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0xe3, 0x77, 0xc2),
    RGBColor(0xbc, 0xbd, 0x22),
    RGBColor(0xff, 0x7f, 0x0e),
];

/// Draws the best times of all columns, on a logarithmic scale.
pub fn draw(results: &Results, path: &Path) -> Result<(), String> {
    let points: Vec<(&Measured, f64)> =
        results.measured.iter().filter_map(|it| Some((it, best(&it.native)?))).collect();
    let rows: Vec<_> =
        ROWS.iter().map(|row| row.name).filter(|name| points.iter().any(|(it, _)| it.row == *name)).collect();
    let columns: Vec<_> =
        build::names().filter(|name| points.iter().any(|(it, _)| it.column == *name)).collect();
    if points.is_empty() {
        return Err("there is nothing to draw".into());
    }
    let (low, high) =
        points.iter().fold((f64::MAX, 0.0f64), |(low, high), &(_, ns)| (low.min(ns), high.max(ns)));
    let why = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());

    let size = (WIDTH, LINE * rows.len() as u32 + 70);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE).map_err(|error| why(&error))?;
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .margin_right(LEGEND)
        .x_label_area_size(40)
        .y_label_area_size(LEFT)
        .build_cartesian_2d((low * 0.8..high * 1.3).log_scale(), -0.5..rows.len() as f64 - 0.5)
        .map_err(|error| why(&error))?;
    let name = |y: &f64| {
        let row = rows.len() as f64 - 1.0 - y.round();
        rows.get(row as usize).filter(|_| (y - y.round()).abs() < 0.01).unwrap_or(&"").to_string()
    };
    chart
        .configure_mesh()
        .x_desc("nanoseconds per operation, best of all samples")
        .x_label_formatter(&|ns| if *ns < 1.0 { format!("{ns:.1}") } else { format!("{ns:.0}") })
        .y_labels(rows.len() * 2)
        .y_label_formatter(&name)
        .light_line_style(WHITE)
        .draw()
        .map_err(|error| why(&error))?;
    let look = |i: usize| (COLORS[i % COLORS.len()], if i < 2 { 5 } else { 3 });
    for (i, column) in columns.iter().enumerate() {
        let (color, radius) = look(i);
        chart
            .draw_series(std::iter::empty::<Circle<(f64, f64), i32>>())
            .map_err(|error| why(&error))?
            .label(*column)
            .legend(move |(x, y)| Circle::new((x, y), radius, color.filled()));
    }
    // Ours last, so that nothing lies on it.
    for (i, column) in columns.iter().enumerate().rev() {
        let (color, radius) = look(i);
        let place = |row: &str| rows.iter().position(|name| *name == row).unwrap_or(0);
        let dots = points.iter().filter(|(it, _)| it.column == *column).map(|&(it, ns)| {
            let y = (rows.len() - 1 - place(it.row)) as f64;
            Circle::new((ns, y), radius, color.filled())
        });
        chart.draw_series(dots).map_err(|error| why(&error))?;
    }
    let legend = SeriesLabelPosition::Coordinate((WIDTH - LEFT - LEGEND) as i32 + 5, 5);
    chart
        .configure_series_labels()
        .position(legend)
        .legend_area_size(12)
        .border_style(TRANSPARENT)
        .draw()
        .map_err(|error| why(&error))?;
    root.present().map_err(|error| why(&error))
}
