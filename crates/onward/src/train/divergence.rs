//! One rule for all tasks and methods by which a run has diverged: its losses have stayed far above the first one's for long.
//!
//! *Far* is [`FAR`] times the first step's loss, or times the loss of answering zero if that is more (the first batch may
//! happen to be easy): over all methods, strategies and specs here, healthy runs stay below 3 times, the wild first
//! generations of searches included; runs whose rate is tens of times too large go beyond 1000. *For long* is every one of a
//! tenth of the run's steps in a row, 2 to 30 of them: a batch or two of outliers are no divergence. Of a search's generation
//! the lowest loss counts, since others are meant to be bad.
//!
//! The rule knows nothing but the losses that the ledger keeps and the training rows, so a resumed run is judged as one that was
//! never stopped.

use crate::words::four;
use crate::{Error, ErrorKind, Result};

/// How many times the scale of the first losses is far.
const FAR: f64 = 100.0;

/// What the losses so far say.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// The loss of answering zero; 0 if there is none.
    zero: f64,
    /// Losses in a row that are long.
    long: u64,
    first: Option<f64>,
    /// The step with the lowest loss, and that loss.
    lowest: (u64, f64),
    /// Losses in a row that were far above the first one's.
    far: u64,
    /// The last step, and its loss.
    last: (u64, f64),
}

impl Watch {
    /// The watch on a run of `steps` in which answering zero has the loss `zero`, before its first step.
    pub fn new(steps: u64, zero: f32) -> Self {
        let zero = if zero.is_finite() { f64::from(zero) } else { 0.0 };
        let lowest = (0, f64::INFINITY);
        Self { zero, long: long(steps), first: None, lowest, far: 0, last: (0, 0.0) }
    }

    /// Takes it that the run has so many steps in all.
    pub fn set_steps(&mut self, steps: u64) {
        self.long = long(steps);
    }

    /// The watch before the run's first step.
    pub fn anew(&self) -> Self {
        Self { first: None, lowest: (0, f64::INFINITY), far: 0, last: (0, 0.0), ..*self }
    }

    /// Takes the loss of a step; of a search's generation, `all` its losses.
    pub fn add(&mut self, step: u64, loss: f32, all: Option<&[f32]>) {
        let lowest = all.and_then(|all| all.iter().copied().filter(|l| l.is_finite()).reduce(f32::min));
        let loss = f64::from(lowest.unwrap_or(loss));
        self.first.get_or_insert(loss);
        // What is not a number is below nothing.
        self.far = if loss <= self.bound() { 0 } else { self.far + 1 };
        self.last = (step, loss);
        if loss < self.lowest.1 {
            self.lowest = self.last;
        }
    }

    /// The largest loss that is not far above the first one's; infinite where the first ones have no scale.
    fn bound(&self) -> f64 {
        let first = self.first.unwrap_or(0.0);
        let scale = first.abs().max(self.zero.abs());
        if scale > 0.0 { first.max(self.zero) + (FAR - 1.0) * scale } else { f64::INFINITY }
    }

    /// Checks that the run has not diverged.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`] if it has; `advice` says what to change.
    pub fn check(&self, advice: &str) -> Result<()> {
        if self.far < self.long {
            return Ok(());
        }
        let ((step, loss), (best, lowest)) = (self.last, self.lowest);
        let first = self.first.unwrap_or(f64::NAN);
        Err(Error::new(
            ErrorKind::Diverged,
            format!(
                "diverged: step {step}: expected a loss near the first step's {} or below, found {}, above {} for \
                 {} steps; the lowest, {}, was that of step {best}; {advice}",
                four(first),
                four(loss),
                four(self.bound()),
                self.far,
                four(lowest)
            ),
        ))
    }
}

/// How many losses in a row are long, of a run of so many steps.
fn long(steps: u64) -> u64 {
    (steps / 10).clamp(2, 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many losses the rule speaks.
    fn after(steps: u64, zero: f32, losses: &[f32]) -> Option<usize> {
        let mut watch = Watch::new(steps, zero);
        losses.iter().enumerate().position(|(step, loss)| {
            watch.add(step as u64, *loss, None);
            watch.check("").is_err()
        })
    }

    #[test]
    fn only_losses_far_above_the_first_ones_for_long_are_divergence() {
        let rising: Vec<f32> = (0..60).map(|i| 2.3 * 2f32.powi(i)).collect();
        // 2⁷ is beyond 100 times; a tenth of 200 steps are long.
        assert_eq!(after(200, 2.3, &rising), Some(7 + 19));
        assert_eq!(after(20, 2.3, &rising), Some(7 + 1));
        assert_eq!(after(100_000, 2.3, &rising), Some(7 + 29));
        let peak: Vec<f32> = (0..200).map(|i| if (50..69).contains(&i) { 1e9 } else { 2.0 }).collect();
        assert_eq!((after(200, 2.3, &peak), after(190, 2.3, &peak)), (None, Some(50 + 18)));
        assert_eq!(after(20, 2.3, &[2.3, f32::NAN, f32::NAN]), Some(2));
        assert_eq!(after(20, 2.3, &[2.3, f32::INFINITY, 2.0, f32::INFINITY]), None);
    }

    #[test]
    fn an_easy_first_batch_and_losses_below_zero_are_no_divergence() {
        assert_eq!(after(20, 2.3, &[1e-9, 2.0, 3.0, 2.5, 4.0]), None);
        assert_eq!(after(20, 0.0, &[-0.1, 0.5, 0.9, 0.2]), None);
        assert_eq!(after(20, 0.0, &[-0.1, 11.0, 11.0]), Some(2));
        assert_eq!(after(20, f32::NAN, &[0.0, 5.0, 5.0, 5.0]), None, "no scale to compare with");
    }

    #[test]
    fn of_a_generation_the_lowest_loss_counts() {
        let mut watch = Watch::new(20, 2.3);
        for step in 0..10 {
            watch.add(step, 1e6, Some(&[2.0, f32::INFINITY, 1e9]));
        }
        assert!(watch.check("").is_ok());
        (10..12).for_each(|step| watch.add(step, f32::INFINITY, Some(&[f32::INFINITY])));
        let error = watch.check("lower method.sigma").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Diverged);
        assert!(error.to_string().contains("step 11") && error.to_string().ends_with("lower method.sigma"));
        assert!(watch.anew().check("").is_ok());
    }
}
