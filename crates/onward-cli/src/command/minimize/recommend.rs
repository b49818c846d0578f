//! Under noise: which point is the best and how good it is, by evaluations that the search has not seen.

use super::journal::Phase;
use super::search::listed;
use super::session::Session;
use super::template::Evaluation;
use onward::study::{Argument, Repeated, Study};
use onward::{Error, ErrorKind, Result};

/// Each of the two points that are compared gets one in so many of the evaluations that are kept back. Where these are
/// fewer, the best candidate seen is taken: the centre has never been evaluated.
const COMPARED: u64 = 4;

/// The recommended point and what its fresh evaluations say.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommended {
    pub values: Vec<Argument>,
    /// Whether it is the centre of the search and not the best candidate seen.
    pub is_centre: bool,
    /// None if there were no evaluations, or no finite loss.
    pub repeated: Option<Repeated>,
    pub evaluations: u64,
    pub failed: u64,
}

/// Compares the best candidate seen with the centre of the search on equal terms, then evaluates the better one anew, so
/// that what made it look better has no part in its mean. `None` if it was stopped before the end.
pub fn recommend(
    session: &mut Session,
    study: &Study,
    reserve: u64,
    first: Evaluation,
) -> Result<Option<Recommended>> {
    let Some(seen) = session.best.as_ref().map(|b| b.values.clone()) else {
        return Err(Error::new(ErrorKind::NonFinite, "no candidate to recommend"));
    };
    let centre = study.centre().filter(|centre| *centre != seen);
    let each = if centre.is_some() { reserve / COMPARED } else { 0 };
    let points = [Some(&seen), centre.as_ref()];
    // By turns, and each pair with a seed of its own.
    let pairs: Vec<Evaluation> = (0..2 * each)
        .filter_map(|i| {
            let values = points[(i % 2) as usize]?.clone();
            Some(Evaluation { id: first.id + i, generation: first.generation + i / 2, values })
        })
        .collect();
    let Some(entries) = listed(session, Phase::Choice, pairs)? else { return Ok(None) };
    let losses = |of: usize| entries.iter().skip(of).step_by(2).map(|e| e.loss).collect::<Vec<_>>();
    let is_centre = each > 0 && prefers(session, &losses(1), &losses(0));
    let values = if is_centre { centre.unwrap_or(seen) } else { seen };
    let fresh = |i: u64| Evaluation {
        id: first.id + 2 * each + i,
        generation: first.generation + each + i,
        values: values.clone(),
    };
    let Some(entries) = listed(session, Phase::Estimate, (0..reserve - 2 * each).map(fresh).collect())?
    else {
        return Ok(None);
    };
    let finite: Vec<f64> = entries.iter().filter_map(|e| e.loss).collect();
    Ok(Some(Recommended {
        values,
        is_centre,
        repeated: Repeated::of(&finite),
        evaluations: entries.len() as u64,
        failed: (entries.len() - finite.len()) as u64,
    }))
}

/// Whether losses `a` are better than `b`: fewer failures first, then the mean.
fn prefers(session: &Session, a: &[Option<f64>], b: &[Option<f64>]) -> bool {
    let failures = |losses: &[Option<f64>]| losses.iter().filter(|l| l.is_none()).count();
    let mean = |losses: &[Option<f64>]| {
        Repeated::of(&losses.iter().flatten().copied().collect::<Vec<_>>()).map(|repeated| repeated.mean)
    };
    match failures(a).cmp(&failures(b)) {
        std::cmp::Ordering::Equal => mean(a).zip(mean(b)).is_some_and(|(a, b)| session.better(a, b)),
        order => order.is_lt(),
    }
}
