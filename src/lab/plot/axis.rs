//! Maps values to positions on an axis.

/// A linear or logarithmic axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChartAxis {
    min: f64,
    max: f64,
    logarithmic: bool,
}

impl ChartAxis {
    /// An axis that covers all values; a logarithmic axis ignores values of zero or less.
    pub(super) fn around(values: impl Iterator<Item = f64>, logarithmic: bool) -> ChartAxis {
        let kept = values.filter(|value| value.is_finite() && (!logarithmic || *value > 0.0));
        let (min, max) = kept.fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(value), b.max(value)));
        match (min <= max, logarithmic) {
            (false, _) => ChartAxis { min: if logarithmic { 1.0 } else { 0.0 }, max: 10.0, logarithmic },
            (true, true) => ChartAxis { min: min / 1.2, max: max * 1.2, logarithmic },
            (true, false) => {
                // The axis of positive values starts at zero unless they all lie far above it.
                let min = if min > 0.0 && min < 0.5 * max { 0.0 } else { min };
                ChartAxis { min, max: if max > min { max } else { min + 1.0 }, logarithmic }
            }
        }
    }

    /// Position of a value, from 0 at the low end to 1 at the high end. Values outside the axis lie at its ends.
    pub(super) fn place(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.min) / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        part.clamp(0.0, 1.0)
    }

    /// Round values to label along the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = self.min.log10().ceil() as i32..=self.max.log10().floor() as i32;
            return decades.map(|power| 10f64.powi(power)).collect();
        }
        let rough = (self.max - self.min) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let first = (self.min / step).ceil() as i64;
        (first..first + 20)
            .map(|index| index as f64 * step)
            .take_while(|tick| *tick <= self.max + 1e-9 * step)
            .collect()
    }
}

/// A short text for a value.
pub(super) fn label(value: f64) -> String {
    let size = value.abs();
    let (scaled, unit) = match size {
        _ if size >= 1e6 => (value / 1e6, "M"),
        _ if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.3}");
    format!("{}{unit}", if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
}
