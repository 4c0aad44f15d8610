//! A shaded matrix of shares, for instance a confusion matrix.

use std::fmt::Write as _;

use super::escape;

const CELL: f64 = 46.0;
const LEFT: f64 = 150.0;
const TOP: f64 = 150.0;

/// A square matrix of shares, 0..=1, whose rows and columns have the same names.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Title above the matrix.
    pub title: String,
    /// Names of rows and columns.
    pub names: Vec<String>,
    /// `shares[row][column]`.
    pub shares: Vec<Vec<f64>>,
}

impl Grid {
    /// The matrix as an SVG document.
    pub fn svg(&self) -> String {
        let side = CELL * self.names.len() as f64;
        let (width, height) = (LEFT + side + 20.0, TOP + side + 20.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"10\" y=\"20\" font-weight=\"bold\">{}</text>\n",
            escape(&self.title)
        );
        for (index, name) in self.names.iter().enumerate() {
            let at = CELL * (index as f64 + 0.5);
            let name = escape(name);
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\
                 <text transform=\"translate({} {}) rotate(-60)\">{name}</text>",
                LEFT - 8.0,
                TOP + at + 4.0,
                LEFT + at + 4.0,
                TOP - 8.0
            );
        }
        for (row, shares) in self.shares.iter().enumerate() {
            for (column, &share) in shares.iter().enumerate() {
                let (x, y) = (LEFT + CELL * column as f64, TOP + CELL * row as f64);
                let ink = if share > 0.5 { "#fff" } else { "#333" };
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"#0072b2\" \
                     fill-opacity=\"{share:.3}\" stroke=\"#ddd\"/>\
                     <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{ink}\">{:.0}</text>",
                    x + CELL / 2.0,
                    y + CELL / 2.0 + 4.0,
                    share * 100.0
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}
