//! SVG charts: lines, points, vertical lines, and shaded matrices.

mod axis;
mod chart;
mod grid;

pub use chart::{Chart, Series, SeriesStyle};
pub use grid::Grid;

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Error;

/// Colours that most colour-blind readers can distinguish (M. Okabe, K. Ito, 2008).
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a8a00"];

/// Writes a figure to `NAME.svg` in a folder, creates the folder if necessary, and returns the path.
pub fn save(folder: &Path, name: &str, svg: &str) -> Result<PathBuf, Error> {
    fs::create_dir_all(folder).map_err(Error::io("creating folder", folder))?;
    let path = folder.join(format!("{name}.svg"));
    fs::write(&path, svg).map_err(Error::io("writing figure", &path))?;
    Ok(path)
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// Escapes text for XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
