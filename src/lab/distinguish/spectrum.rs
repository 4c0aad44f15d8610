//! Spectral lines: detects patterns that recur with a fixed number of packets in one condition.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use crate::lab::stats::variance_ratio_two_sided;

/// Number of intervals in one transform.
const FFT_INTERVALS: usize = 256;
/// Minimum number of transforms of each condition for a stable spectrum.
const MIN_TRANSFORMS: usize = 8;

/// The frequency at which the mean spectra of two conditions differ most.
pub(super) struct SpectralLine {
    /// Frequency in cycles per packet, above 0 and below 0.5.
    pub(super) frequency: f64,
    /// Power at this frequency in each condition, as a multiple of the mean over all frequencies.
    pub(super) powers: [f64; 2],
    /// Probability of such a difference at any frequency between equal conditions.
    pub(super) p_value: f64,
}

/// Compares the spectra of intervals. Returns `None` for too few intervals, or if they never vary.
pub(super) fn strongest_line(a: &[Vec<f64>], b: &[Vec<f64>]) -> Option<SpectralLine> {
    let (spectrum_a, count_a) = mean_spectrum(a)?;
    let (spectrum_b, count_b) = mean_spectrum(b)?;
    let bins = spectrum_a.len();
    let p_at = |bin: usize| {
        let ratio = spectrum_a[bin] / spectrum_b[bin];
        variance_ratio_two_sided(ratio, 2.0 * count_a as f64, 2.0 * count_b as f64)
    };
    let (bin, p) = (0..bins).map(|bin| (bin, p_at(bin))).min_by(|x, y| x.1.total_cmp(&y.1))?;
    Some(SpectralLine {
        frequency: (bin + 1) as f64 / FFT_INTERVALS as f64,
        powers: [spectrum_a[bin], spectrum_b[bin]],
        p_value: (p * bins as f64).min(1.0),
    })
}

/// Returns the mean power at each frequency between 0 and 0.5, divided by its mean, and the number of transforms.
fn mean_spectrum(stretches: &[Vec<f64>]) -> Option<(Vec<f64>, usize)> {
    let transform = FftPlanner::new().plan_fft_forward(FFT_INTERVALS);
    let mut power = vec![0.0; FFT_INTERVALS / 2 - 1];
    let mut count = 0;
    for part in stretches.iter().flat_map(|stretch| stretch.chunks_exact(FFT_INTERVALS)) {
        let mean = part.iter().sum::<f64>() / FFT_INTERVALS as f64;
        let mut buffer: Vec<Complex<f64>> = part.iter().map(|value| Complex::new(value - mean, 0.0)).collect();
        transform.process(&mut buffer);
        for (sum, value) in power.iter_mut().zip(&buffer[1..]) {
            *sum += value.norm_sqr();
        }
        count += 1;
    }
    let mean = power.iter().sum::<f64>() / power.len() as f64;
    if count < MIN_TRANSFORMS || mean <= 0.0 {
        return None;
    }
    Some((power.into_iter().map(|value| value / mean).collect(), count))
}
