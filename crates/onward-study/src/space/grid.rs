//! Values of grids, for which sums round.

/// A value of a grid without the rounding of its sum: 0.3 and not 0.30000000000000004.
pub fn tidied(value: f64, step: f64) -> f64 {
    let short: f64 = format!("{value:.12e}").parse().unwrap_or(value);
    if (short - value).abs() < 1e-9 * step { short } else { value }
}

/// Whether a number is a value of a grid but for rounding.
pub fn on_grid(value: f64, low: f64, step: f64, count: u64) -> bool {
    let place = (value - low) / step;
    (place - place.round()).abs() < 1e-6 && (0.0..=(count - 1) as f64).contains(&place.round())
}
