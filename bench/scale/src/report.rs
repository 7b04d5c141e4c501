//! Markdown, and where it goes.

use std::fs;
use std::path::Path;

use crate::plot::Plot;

/// What a measurement has to say.
#[derive(Default)]
pub struct Section {
    pub text: String,
    pub plots: Vec<Plot>,
}

impl Section {
    pub fn say(&mut self, text: impl AsRef<str>) {
        self.text += text.as_ref();
        self.text += "\n\n";
    }

    pub fn table(&mut self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        self.text += &line(head.iter().map(|&it| it.into()).collect());
        self.text += &line(head.iter().map(|_| "---".into()).collect());
        rows.into_iter().for_each(|row| self.text += &line(row));
        self.text += "\n";
    }

    /// Replaces what is between `<!-- name -->` and `<!-- end -->`, and draws the plots beside the file.
    pub fn put_into(&self, name: &str, file: &Path) -> Result<(), String> {
        let told = |error: std::io::Error| format!("{}: {error}", file.display());
        let text = replace(&fs::read_to_string(file).map_err(told)?, name, &self.text)
            .ok_or_else(|| format!("{} has no mark for it", file.display()))?;
        for plot in &self.plots {
            plot.draw(&file.with_file_name(format!("scale-{}.svg", plot.name)))?;
        }
        fs::write(file, text).map_err(told)
    }
}

fn replace(old: &str, name: &str, text: &str) -> Option<String> {
    const END: &str = "<!-- end -->";
    let mark = format!("<!-- {name} -->\n");
    let (before, rest) = old.split_once(&mark)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{mark}{text}{END}{after}"))
}

/// With as many digits as mean something.
pub fn number(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        100.0.. => format!("{value:.0}"),
        _ => "–".into(),
    }
}

/// The best sample and the median.
pub fn both(samples: &crate::sample::Samples) -> String {
    format!("{} / {}", number(samples.best()), number(samples.median()))
}

/// A power of two.
pub fn power(exponent: u32) -> String {
    format!("2^{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_goes_between_its_marks() {
        let old = "a\n<!-- x -->\nold\n<!-- end -->\nb\n<!-- y -->\n<!-- end -->\n";
        let new = replace(old, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x -->\nnew\n<!-- end -->\nb\n<!-- y -->\n<!-- end -->\n");
        assert_eq!(replace(old, "z", ""), None);
    }
}
