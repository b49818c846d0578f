//! The one policy for losses that are not finite or never came.
//!
//! A loss that is not finite is an answer: nothing there is worth having, so it counts as the worst finite one, and is counted. A
//! loss that never came is none: its direction is left out, and the mean is over those that remain.

use crate::ask::Told;
use crate::task::{mean, worst_for_others};
use crate::{Error, ErrorKind, Result};

/// The losses of a step's members after the policy for missing and non-finite ones is applied.
pub struct Heard {
    /// The loss of each member, finite; `None` for one that never came.
    pub losses: Vec<Option<f32>>,
    /// The number of losses that were not finite.
    pub non_finite: u64,
    /// The number of losses that never came.
    pub missing: u64,
}

impl Heard {
    /// Takes the losses of a step's only answer.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if none is finite; [`ErrorKind::Evaluator`] if none came, or if the answer is no losses.
    pub fn of(told: Vec<Told>, step: u64) -> Result<Self> {
        let losses = losses(told, step)?;
        let mut came: Vec<f32> = losses.iter().copied().flatten().collect();
        let missing = (losses.len() - came.len()) as u64;
        if came.is_empty() {
            return Err(none_came(step));
        }
        let non_finite = worst_for_non_finite(&mut came, step)?;
        let mut sound = came.into_iter();
        let losses = losses.into_iter().map(|l| l.and_then(|_| sound.next())).collect();
        Ok(Self { losses, non_finite, missing })
    }

    /// The losses of each direction for which all `signs` members have one, with the direction's number.
    pub fn whole(&self, signs: usize) -> impl Iterator<Item = (usize, Vec<f32>)> {
        let all = self.losses.chunks_exact(signs).enumerate();
        all.filter_map(|(i, of)| of.iter().copied().collect::<Option<Vec<f32>>>().map(|of| (i, of)))
    }

    /// The mean of the losses that came, summed in f64 in order.
    pub fn mean(&self) -> f32 {
        let came: Vec<f32> = self.losses.iter().copied().flatten().collect();
        mean(&came)
    }
}

/// The only answer of a step, if it is losses.
///
/// # Errors
/// [`ErrorKind::Evaluator`] if it is not.
pub(super) fn losses(mut told: Vec<Told>, step: u64) -> Result<Vec<Option<f32>>> {
    match (told.pop(), told.is_empty()) {
        (Some(Told::Losses(losses)), true) => Ok(losses),
        _ => Err(other(step, "losses")),
    }
}

/// An answer that is not what the rule asked for.
pub(super) fn other(step: u64, expected: &str) -> Error {
    let place = format!("answer to step {step}");
    Error::expected(ErrorKind::Evaluator, place, expected, "something else")
}

/// A step that nothing can be learned from, and that says nothing of the run: it can be resumed.
pub(super) fn none_came(step: u64) -> Error {
    let place = format!("objective at step {step}");
    Error::expected(ErrorKind::Evaluator, place, "at least one loss that is known", "none")
}

pub(crate) fn nothing_finite(step: u64, first: Option<&f32>) -> Error {
    let found = first.map_or_else(|| "none".to_owned(), f32::to_string);
    let place = format!("objective at step {step}");
    Error::expected(ErrorKind::NonFinite, place, "at least one finite loss", found)
}

/// Puts the worst finite loss where one is not finite, and counts these: the policy for members and for samples of a batch.
pub(crate) fn worst_for_non_finite(losses: &mut [f32], step: u64) -> Result<u64> {
    worst_for_others(losses).ok_or_else(|| nothing_finite(step, losses.first()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(losses: &[Option<f32>]) -> Result<Heard> {
        Heard::of(vec![Told::Losses(losses.to_vec())], 3)
    }

    #[test]
    fn what_is_not_finite_is_the_worst_and_what_never_came_is_left_out() {
        let found =
            heard(&[Some(1.0), Some(f32::NAN), None, Some(3.0), Some(f32::INFINITY), Some(2.0)]).unwrap();
        assert_eq!(found.losses, [Some(1.0), Some(3.0), None, Some(3.0), Some(3.0), Some(2.0)]);
        assert_eq!((found.non_finite, found.missing), (2, 1));
        assert_eq!(found.mean(), (1.0 + 3.0 + 3.0 + 3.0 + 2.0) / 5.0);
        let whole: Vec<_> = found.whole(2).collect();
        assert_eq!(whole, [(0, vec![1.0, 3.0]), (2, vec![3.0, 2.0])]);
    }

    #[test]
    fn no_finite_loss_and_another_kind_of_answer_are_errors() {
        let none = heard(&[Some(f32::NAN), None]).err().unwrap();
        assert_eq!(none.kind(), ErrorKind::NonFinite);
        assert_eq!(none.to_string(), "objective at step 3: expected at least one finite loss, found NaN");
        assert_eq!(heard(&[None]).err().unwrap().to_string().rsplit(' ').next(), Some("none"));
        assert_eq!(Heard::of(Vec::new(), 3).err().unwrap().kind(), ErrorKind::Evaluator);
    }
}
