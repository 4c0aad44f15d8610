//! SVG figures for the HTML page: a frame with two labelled axes, lines, bars and ranges.

use std::fmt::Write as _;

const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// How an axis maps values to positions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// Linear between two values.
    Linear(f64, f64),
    /// Logarithmic between two values above zero.
    Log(f64, f64),
}

/// An axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Label of the axis, with the unit.
    pub(super) label: &'static str,
    /// Scale of the axis.
    pub(super) scale: Scale,
    /// Values and texts of the ticks.
    pub(super) ticks: Vec<(f64, String)>,
}

/// A figure under construction. Lengths are in units of its view box, which the page scales to the available width.
pub(super) struct SvgFigure {
    width: f64,
    height: f64,
    left: f64,
    x: Axis,
    y: Axis,
    body: String,
}

/// Escapes text for HTML and SVG elements and attributes.
pub(in crate::lab) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Scale {
    /// Position of a value from 0 at the start to 1 at the end. Values outside the axis lie at its ends.
    fn place(self, value: f64) -> f64 {
        let part = match self {
            Scale::Linear(from, to) => (value - from) / (to - from),
            Scale::Log(from, to) => (value.max(from) / from).ln() / (to / from).ln(),
        };
        part.clamp(0.0, 1.0)
    }
}

impl Axis {
    /// An axis from zero to a round number above `max`, with about five ticks.
    pub(super) fn up_to(label: &'static str, max: f64) -> Axis {
        let rough = (max / 4.0).max(1e-9);
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(magnitude * 10.0);
        let count = (max / step).ceil().max(1.0) as usize;
        let ticks = (0..=count).map(|index| (index as f64 * step, number(index as f64 * step))).collect();
        Axis { label, scale: Scale::Linear(0.0, count as f64 * step), ticks }
    }

    /// An axis from zero to exactly `end`, with ticks at round numbers.
    pub(super) fn exactly(label: &'static str, end: f64) -> Axis {
        let mut axis = Axis::up_to(label, end);
        axis.scale = Scale::Linear(0.0, end);
        axis.ticks.retain(|(value, _)| *value <= end);
        axis
    }

    /// A logarithmic axis over the powers of ten around `min` and `max`, both above zero.
    pub(super) fn decades(label: &'static str, min: f64, max: f64) -> Axis {
        let first = min.log10().floor() as i32;
        let last = (max.log10().ceil() as i32).max(first + 1);
        let ticks = (first..=last).map(|power| (10f64.powi(power), number(10f64.powi(power)))).collect();
        Axis { label, scale: Scale::Log(10f64.powi(first), 10f64.powi(last)), ticks }
    }
}

/// A number without superfluous digits.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if value >= 10_000.0 { format!("{}k", number(value / 1000.0)) } else { text.to_owned() }
}

impl SvgFigure {
    /// An empty frame with its axes. If `y` has no ticks, the frame leaves room for the names of rows.
    pub(super) fn new(width: f64, height: f64, x: Axis, y: Axis) -> SvgFigure {
        let left = if y.ticks.is_empty() { 130.0 } else { LEFT };
        let mut plot = SvgFigure { width, height, left, x, y, body: String::new() };
        plot.axes();
        plot
    }

    /// Adds a line through the points.
    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut path = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.x_of(*x), self.y_of(*y));
        }
        let _ = write!(self.body, r#"<path class="line {class}" d="{path}"/>"#);
    }

    /// Adds a bar from the x axis to `y`, with a tooltip.
    pub(super) fn bar(&mut self, class: &str, from: f64, to: f64, y: f64, title: &str) {
        let (left, right) = (self.x_of(from), self.x_of(to));
        let (top, bottom) = (self.y_of(y), self.bottom());
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{title}</title></rect>",
            (right - left - 0.8).max(0.8),
            (bottom - top).max(0.0)
        );
    }

    /// Adds a range to a row, with a dot at `from` and a bar at `to`. `row` is the index from the top and the number of
    /// rows.
    pub(super) fn span(&mut self, class: &str, row: (f64, usize), (from, to): (f64, f64), title: &str) {
        let y = self.row_y(row);
        let (left, right) = (self.x_of(from), self.x_of(to));
        let _ = write!(
            self.body,
            "<g class=\"{class}\"><title>{title}</title>\
             <path class=\"whisker\" d=\"M{left:.1} {y:.1}H{right:.1}M{right:.1} {:.1}v8\"/>\
             <circle cx=\"{left:.1}\" cy=\"{y:.1}\" r=\"4.5\"/></g>",
            y - 4.0
        );
    }

    /// Adds the name of a row, left of the frame.
    pub(super) fn row_name(&mut self, row: (f64, usize), name: &str) {
        let _ = write!(
            self.body,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end" dominant-baseline="middle">{name}</text>"#,
            self.left - 10.0,
            self.row_y(row)
        );
    }

    /// The finished SVG element. `title` describes it for screen readers.
    pub(super) fn finish(self, title: &str) -> String {
        format!(
            r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{title}">{}</svg>"#,
            self.width, self.height, self.body
        )
    }

    fn axes(&mut self) {
        let (left, right, top, bottom) = (self.left, self.width - RIGHT, TOP, self.bottom());
        let mut body = String::new();
        for (value, text) in &self.y.ticks {
            let y = self.y_of(*value);
            let _ = write!(body, r#"<path class="grid" d="M{left} {y:.1}H{right}"/>"#);
            let _ = write!(
                body,
                r#"<text x="{:.1}" y="{y:.1}" text-anchor="end" dominant-baseline="middle">{text}</text>"#,
                left - 8.0
            );
        }
        for (value, text) in &self.x.ticks {
            let x = self.x_of(*value);
            if self.y.ticks.is_empty() {
                let _ = write!(body, r#"<path class="grid" d="M{x:.1} {top}V{bottom}"/>"#);
            }
            let _ = write!(body, r#"<path class="axis" d="M{x:.1} {bottom}v4"/>"#);
            let _ = write!(body, r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#, bottom + 18.0);
        }
        let _ = write!(body, r#"<path class="axis" d="M{left} {bottom}H{right}"/>"#);
        let _ = write!(
            body,
            r#"<text class="label" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            (left + right) / 2.0,
            self.height - 8.0,
            self.x.label
        );
        let middle = (top + bottom) / 2.0;
        let _ = write!(
            body,
            r#"<text class="label" transform="translate(14 {middle:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
            self.y.label
        );
        self.body = body;
    }

    fn bottom(&self) -> f64 {
        self.height - BOTTOM
    }

    fn x_of(&self, value: f64) -> f64 {
        self.left + self.x.scale.place(value) * (self.width - RIGHT - self.left)
    }

    fn y_of(&self, value: f64) -> f64 {
        self.bottom() - self.y.scale.place(value) * (self.bottom() - TOP)
    }

    fn row_y(&self, (row, rows): (f64, usize)) -> f64 {
        TOP + (row + 0.5) / rows as f64 * (self.bottom() - TOP)
    }
}
