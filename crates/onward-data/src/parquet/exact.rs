//! Whole numbers and decimals of any length, as Parquet keeps them: the highest byte first, in two's complement.

/// The nearest number in double precision to a whole number over a power of ten.
pub(super) fn nearest(bytes: &[u8], scale: u32) -> f64 {
    /// No double is between two whole numbers up to here, nor any rounding in a power of ten up to the 22nd.
    const EXACT: i128 = 1 << 53;
    const TENS: u32 = 22;
    if bytes.len() <= 16 {
        let whole = whole(bytes);
        if whole.abs() <= EXACT && scale <= TENS {
            return whole as f64 / (0..scale).fold(1.0, |power, _| power * 10.0);
        }
    }
    format!("{}e-{scale}", digits(bytes)).parse().unwrap_or(f64::NAN)
}

/// The same as text.
pub(super) fn text(bytes: &[u8], scale: u32) -> String {
    let digits = digits(bytes);
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &digits[..]), |digits| ("-", digits));
    let scale = scale as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, rest) = padded.split_at(padded.len() - scale);
    if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

/// A number of up to 16 bytes.
pub(super) fn whole(bytes: &[u8]) -> i128 {
    let sign = if is_negative(bytes) { -1 } else { 0 };
    bytes.iter().fold(sign, |all, byte| all << 8 | i128::from(*byte))
}

fn is_negative(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| *byte > 127)
}

/// The digits of a number, with its sign.
fn digits(bytes: &[u8]) -> String {
    if bytes.len() <= 16 {
        return whole(bytes).to_string();
    }
    let mut size = bytes.to_vec();
    if is_negative(bytes) {
        size.iter_mut().for_each(|byte| *byte = !*byte);
        for byte in size.iter_mut().rev() {
            let (next, carried) = byte.overflowing_add(1);
            *byte = next;
            if !carried {
                break;
            }
        }
    }
    // Nine digits at a time, the last first.
    const GROUP: u64 = 1_000_000_000;
    let mut groups = Vec::new();
    while size.iter().any(|byte| *byte > 0) {
        let rest = size.iter_mut().fold(0, |rest, byte| {
            let all = rest << 8 | u64::from(*byte);
            *byte = (all / GROUP) as u8;
            all % GROUP
        });
        groups.push(rest);
    }
    let mut text = if is_negative(bytes) { "-".to_owned() } else { String::new() };
    text += &groups.pop().unwrap_or_default().to_string();
    groups.iter().rev().for_each(|group| text += &format!("{group:09}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_any_length_have_their_digits() {
        let long = |whole: i128, length: usize| {
            let sign = if whole < 0 { 255 } else { 0 };
            [vec![sign; length - 16], whole.to_be_bytes().to_vec()].concat()
        };
        for whole in [0, 1, -1, 999_999_999, 1_000_000_000, -1_000_000_000_000_000_001, i128::MAX, i128::MIN]
        {
            for length in [16, 17, 32] {
                assert_eq!(digits(&long(whole, length)), whole.to_string(), "{length} bytes");
            }
        }
        let mut two_to_200 = vec![0; 32];
        two_to_200[6] = 1;
        assert_eq!(digits(&two_to_200), "1606938044258990275541962092341162602522202993782792835301376");
        assert_eq!(nearest(&two_to_200, 0), 2.0_f64.powi(200));
    }

    #[test]
    fn decimals_are_the_nearest_numbers_and_their_own_text() {
        for (whole, scale, expected) in [
            (123_i128, 2, "1.23"),
            (-123, 2, "-1.23"),
            (5, 3, "0.005"),
            (-5, 1, "-0.5"),
            (12_345_678_901_234_567_890_123, 10, "1234567890123.4567890123"),
            (1, 30, "0.000000000000000000000000000001"),
            (7, 0, "7"),
        ] {
            let bytes = whole.to_be_bytes();
            assert_eq!(text(&bytes, scale), expected);
            assert_eq!(nearest(&bytes, scale), expected.parse::<f64>().unwrap());
        }
    }
}
