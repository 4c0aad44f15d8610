//! Fractions as texts. Rust's own formatting of fractions would be several kilobytes of a router's program.

#[cfg(test)]
mod tests;

/// The number rounded to `places` decimals, at most three, as `{:.places$}` writes it: of two decimals equally near,
/// the even one. The number must be finite and below 2^64.
pub fn with_decimals(number: f64, places: usize) -> String {
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let unit = 10u64.pow(places as u32);
    // IEEE 754: the number is `mantissa` / 2^`shift`, unless it is a whole number with more bits than a mantissa.
    let bits = number.to_bits();
    let shift = 1075u64.saturating_sub(bits >> 52 & 0x7ff);
    let mantissa = 1 << 52 | bits & ((1 << 52) - 1);
    let [whole, part] = match shift {
        0 => [number.abs() as u64, 0],
        1..64 => {
            let (exact, half) = (mantissa * unit, 1 << (shift - 1));
            let (down, rest) = (exact >> shift, exact & (2 * half - 1));
            let rounded = down + u64::from(rest > half || rest == half && down % 2 == 1);
            [rounded / unit, rounded % unit]
        }
        _ => [0, 0],
    };
    if places > 0 { format!("{sign}{whole}.{part:0places$}") } else { format!("{sign}{whole}") }
}

/// A number from 0 to 1 with two digits and a power of ten, as `{:.1e}` writes it.
pub fn with_power_of_ten(number: f64) -> String {
    let (mut digits, mut power) = (number, 0);
    // Rounded to two digits, 0.995 is 1.0.
    while digits > 0.0 && digits < 0.995 {
        digits *= 10.0;
        power -= 1;
    }
    format!("{}e{power}", with_decimals(digits, 1))
}
