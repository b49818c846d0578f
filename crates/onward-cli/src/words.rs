//! Numbers in words, for people.

/// A number in `count` significant digits.
pub fn digits(value: f64, count: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-5..=8).contains(&magnitude) {
        let text = format!("{:.*e}", (count - 1) as usize, value);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", trimmed(mantissa));
    }
    trimmed(&format!("{:.*}", (count - 1 - magnitude).max(0) as usize, value)).to_owned()
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A number in four significant digits.
pub fn four(value: f64) -> String {
    digits(value, 4)
}

/// A probability: in two digits, or below a thousandth that it is so small.
pub fn probability(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { digits(p, 2) }
}

/// A mean with half of its interval's width, in as many digits as that leaves meaning.
pub fn interval(mean: f64, half_width: Option<f64>) -> String {
    match half_width.filter(|half| *half > 0.0) {
        Some(half) => {
            let decimals = (1.0 - half.log10().floor()).clamp(0.0, 12.0) as usize;
            format!("{mean:.decimals$} ± {half:.decimals$}")
        }
        None => digits(mean, 6),
    }
}
