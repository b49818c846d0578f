//! Numbers in words, for people, and signs that every terminal shows.

mod plain;

pub use plain::{plain, theirs};

/// A number in `count` significant digits, whole numbers of up to nine digits in all of theirs; with a power of ten where it is very large or small.
pub fn digits(value: f64, count: i32) -> String {
    let size = value.abs();
    if !value.is_finite() || (value.fract() == 0.0 && size < 1e9) {
        // Adding zero turns -0 into 0.
        return format!("{}", value + 0.0);
    }
    match scientific(value, count) {
        (_, magnitude @ -4..=6) => {
            trimmed(&format!("{value:.*}", (count - 1 - magnitude).max(0) as usize)).to_owned()
        }
        (mantissa, exponent) => format!("{mantissa}e{exponent}"),
    }
}

/// A finite number in `count` significant digits, as a factor and its power of ten.
pub fn scientific(value: f64, count: i32) -> (String, i32) {
    // Rounded first: 9.9999 is 10, and has a digit before the point more.
    let text = format!("{:.*e}", (count - 1).max(0) as usize, value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (trimmed(mantissa).to_owned(), exponent.parse().unwrap_or_default())
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A number in four significant digits, whole numbers below ten millions in all of theirs: beyond, single precision knows whole numbers alone, and their
/// last digits say nothing.
pub fn four(value: impl Into<f64>) -> String {
    let value = value.into();
    if !value.is_finite() || value.abs() < 1e7 {
        return digits(value, 4);
    }
    let (mantissa, exponent) = scientific(value, 4);
    format!("{mantissa}e{exponent}")
}

/// So many of something, which is called `one` where it is one: `1 step`, `2 steps`.
pub fn counted(count: impl TryInto<u64>, one: &str) -> String {
    // What does not fit is more than one.
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {}", if count == 1 { one.to_owned() } else { format!("{one}s") })
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

/// The date of so many days after the first of 1970, as ISO 8601 writes it.
pub fn date(days: i64) -> String {
    // Years are counted from March, so that leap days come last.
    let since_march_of_0 = days.saturating_add(719_468);
    let (era, day) = (since_march_of_0.div_euclid(146_097), since_march_of_0.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", 400 * era + year + later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let dates = [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (47_541, "2100-03-01")];
        for (days, expected) in dates {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn one_of_something_is_not_many() {
        let all = [counted(0usize, "step"), counted(1u64, "step"), counted(2u32, "row")];
        assert_eq!(all, ["0 steps", "1 step", "2 rows"]);
    }

    #[test]
    fn numbers_are_short_and_keep_their_size() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (-0.25, "-0.25"),
            (1.0 / 3.0, "0.3333"),
            (0.12345, "0.1235"),
            (9.999_96, "10"),
            (325.473, "325.5"),
            (12_345.678, "12346"),
            (1_234_567.0, "1234567"),
            (54_843_319.0, "5.484e7"),
            (1e12, "1e12"),
            (1.234_567_89e-9, "1.235e-9"),
            (0.000_017_554_1, "1.755e-5"),
            (0.000_175_541, "0.0001755"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ];
        for (value, want) in cases {
            assert_eq!(four(value), want);
        }
        assert_eq!(digits(1.0 / 3.0, 8), "0.33333333");
        assert_eq!(scientific(9.999_96e-8, 4), ("1".to_owned(), -7));
    }
}
