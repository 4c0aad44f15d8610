//! A chart with two axes, or several such charts below each other.

use std::fmt::Write as _;

use super::axis::{ChartAxis, label};
use super::{colour, escape};

const WIDTH: f64 = 820.0;
const PANEL_HEIGHT: f64 = 260.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 180.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;

/// How a chart draws the values of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesStyle {
    /// A line through the values.
    Line,
    /// A dot per value.
    Points,
    /// A vertical line across the chart per value; y is ignored.
    VerticalLines,
}

/// A series of values.
#[derive(Clone, Debug)]
pub struct Series {
    /// Entry in the legend. A series without a name is not drawn and only extends the axes.
    pub name: String,
    /// How the values are drawn.
    pub style: SeriesStyle,
    /// Pairs of x and y.
    pub values: Vec<(f64, f64)>,
}

/// One chart.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Title above the chart.
    pub title: String,
    /// Label of the x axis, with the unit.
    pub x: String,
    /// Label of the y axis, with the unit.
    pub y: String,
    /// Whether both axes are logarithmic.
    pub logarithmic: bool,
    /// The series to draw.
    pub series: Vec<Series>,
}

impl Chart {
    /// This chart as an SVG document.
    pub fn svg(&self) -> String {
        Chart::stack(std::slice::from_ref(self))
    }

    /// Several charts below each other as one SVG document.
    pub fn stack(charts: &[Chart]) -> String {
        let height = PANEL_HEIGHT * charts.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        for (index, chart) in charts.iter().enumerate() {
            let _ = writeln!(svg, "<g transform=\"translate(0 {})\">", index as f64 * PANEL_HEIGHT);
            chart.panel(&mut svg);
            svg.push_str("</g>\n");
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn panel(&self, svg: &mut String) {
        let all = || self.series.iter().flat_map(|series| &series.values);
        let heights = self
            .series
            .iter()
            .filter(|series| series.style != SeriesStyle::VerticalLines)
            .flat_map(|series| &series.values);
        let across = ChartAxis::around(all().map(|value| value.0), self.logarithmic);
        let up = ChartAxis::around(heights.map(|value| value.1), self.logarithmic);
        let (right, bottom) = (WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM);
        let x = |value: f64| LEFT + across.place(value) * (right - LEFT);
        let y = |value: f64| bottom - up.place(value) * (bottom - TOP);
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"20\" font-weight=\"bold\">{}</text>", escape(&self.title));
        for tick in across.ticks() {
            let at = x(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#eee\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                label(tick)
            );
        }
        for tick in up.ticks() {
            let at = y(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#eee\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                label(tick)
            );
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#333\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (LEFT + right) / 2.0,
            bottom + 36.0,
            escape(&self.x),
            (TOP + bottom) / 2.0,
            escape(&self.y)
        );
        for (index, series) in self.series.iter().filter(|series| !series.name.is_empty()).enumerate() {
            let colour = colour(index);
            match series.style {
                SeriesStyle::Line => {
                    let points: Vec<String> =
                        series.values.iter().map(|value| format!("{:.1},{:.1}", x(value.0), y(value.1))).collect();
                    let points = points.join(" ");
                    let _ = writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\"/>");
                }
                SeriesStyle::Points => {
                    for value in &series.values {
                        let (x, y) = (x(value.0), y(value.1));
                        let _ = writeln!(
                            svg,
                            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\" fill-opacity=\"0.5\"/>"
                        );
                    }
                }
                SeriesStyle::VerticalLines => {
                    for value in &series.values {
                        let x = x(value.0);
                        let _ = writeln!(
                            svg,
                            "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"{colour}\" stroke-dasharray=\"4 3\"/>"
                        );
                    }
                }
            }
            let at = TOP + 8.0 + 17.0 * index as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"{}\">{}</text>",
                right + 12.0,
                at - 9.0,
                right + 28.0,
                at,
                escape(&series.name)
            );
        }
    }
}
