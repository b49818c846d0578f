//! Numbers that arguments hold.

/// A whole number, which may be written as 1e6.
pub(super) fn whole(text: &str) -> Result<u64, String> {
    let rounded = || text.parse().ok().filter(|v: &f64| v.fract() == 0.0 && (0.0..1e15).contains(v));
    let number = text.parse().ok().or_else(|| rounded().map(|v| v as u64));
    number.filter(|n| *n <= i64::MAX as u64).ok_or_else(|| "expected a whole number".into())
}

/// Seconds until a program is ended.
pub(super) fn timeout(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|s| (0.001..=1e9).contains(s));
    number.ok_or_else(|| "expected a number of seconds, 0.001 to 1e9".into())
}

/// A number of epochs.
pub(super) fn epochs(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n| *n > 0.0 && *n <= 1e9);
    number.ok_or_else(|| "expected a number above 0, up to 1e9".into())
}

/// Seconds to measure for.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|s| (0.0..=3600.0).contains(s));
    number.ok_or_else(|| "expected a number of seconds, 0 to 3600".into())
}
