//! Powers of two that bring numbers near 1, so that squares of them neither overflow nor vanish. Multiplying by one of them
//! loses no bit, so that what is computed from scaled numbers is what it would be without.

/// Beyond this, a power of two and its inverse are not both exact.
const MOST: i32 = 1000;

/// `2^−e` for a magnitude of `2^e` to `2^{e+1}`; 1 for 0 and for what is no number.
pub(super) fn unit_of(magnitude: f64) -> f64 {
    if magnitude == 0.0 || !magnitude.is_finite() {
        return 1.0;
    }
    let exponent = ((magnitude.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    f64::from_bits(((1023 - exponent.clamp(-MOST, MOST)) as u64) << 52)
}

/// The unit of the largest of all magnitudes seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unit(Option<f64>);

impl Unit {
    /// The unit; 1 as long as nothing but 0 was seen.
    pub fn get(self) -> f64 {
        self.0.unwrap_or(1.0)
    }

    /// Sees a magnitude. What is in the unit before it has to be multiplied by the result.
    pub fn see(&mut self, magnitude: f64) -> f64 {
        if magnitude == 0.0 || !magnitude.is_finite() {
            return 1.0;
        }
        let (before, new) = (self.0, unit_of(magnitude));
        match before {
            Some(before) if before <= new => 1.0,
            Some(before) => {
                self.0 = Some(new);
                new / before
            }
            None => {
                self.0 = Some(new);
                1.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_near_one_without_losing_a_bit() {
        for magnitude in [1.0, 1.9, 0.3, 1e160, 1e-170, 1e300, 2f64.powi(-999)] {
            let scaled = magnitude * unit_of(magnitude);
            assert!((1.0..2.0).contains(&scaled) && scaled / unit_of(magnitude) == magnitude, "{magnitude}");
        }
        assert!(unit_of(f64::MAX) * f64::MAX < 2f64.powi(24) && 1e-320 * unit_of(1e-320) > 1e-30);
        assert_eq!([0.0, f64::INFINITY, f64::NAN].map(unit_of), [1.0; 3]);
    }

    #[test]
    fn a_unit_follows_the_largest() {
        let mut unit = Unit::default();
        assert_eq!((unit.see(0.0), unit.get()), (1.0, 1.0));
        assert_eq!((unit.see(0.25), unit.get()), (1.0, 4.0));
        assert_eq!((unit.see(0.01), unit.get()), (1.0, 4.0));
        assert_eq!((unit.see(8.0), unit.get()), (1.0 / 32.0, 0.125));
    }
}
