//! Which token comes next, by the logits of all.

use onward::kernel::{exp64, ln64};
use onward::noise::{Noise, Role, RunKey};
use onward::{Error, ErrorKind, Result};

/// How the next token is chosen among all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the likeliest token, the lowest number among equals.
    pub temperature: f32,
    /// So many of the likeliest tokens at most; 0 for all.
    pub top_k: usize,
    /// The fewest of the likeliest tokens that together have this probability, from 0 to 1.
    pub top_p: f32,
    /// The seed of all choices: with the number of a row and of a token it names each of them.
    pub seed: u64,
}

/// The natural logarithm of a token's probability by the logits of all (at temperature 1).
pub fn log_probability(logits: &[f32], token: u32) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let behind = |logit: &f32| f64::from(*logit) - f64::from(top);
    let whole: f64 = logits.iter().map(|logit| exp64(behind(logit))).sum();
    logits.get(token as usize).map_or(f64::NEG_INFINITY, |logit| behind(logit) - ln64(whole))
}

impl Sampling {
    /// Always the likeliest token.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 };

    /// Checks that every number is within its range.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] naming the number that is out of range.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str, expected: &str, found: f32| {
            Err(Error::expected(ErrorKind::Spec, what, expected, found))
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return wrong("temperature", "a number of at least 0", self.temperature);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", "a number above 0, at most 1", self.top_p);
        }
        Ok(())
    }

    /// The next token of a row with this number, which has so many items, by the logits of all.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if a logit is no number, or is infinite.
    pub(crate) fn next(&self, logits: &[f32], row: usize, item: usize) -> Result<u32> {
        let noise =
            RunKey::from_seed(self.seed).tensor(Role::Sample, "next token").at(item as u32, row as u32);
        self.choose(logits, noise, 0).map_err(|e| e.within(format!("item {item}")))
    }

    /// The same by a block of the noise that is given.
    ///
    /// # Errors
    /// As for [`Sampling::next`].
    pub(crate) fn choose(&self, logits: &[f32], noise: Noise, block: u64) -> Result<u32> {
        if let Some(token) = logits.iter().position(|v| !v.is_finite()) {
            let place = format!("the logit of token {token}");
            return Err(Error::expected(ErrorKind::NonFinite, place, "a finite number", logits[token]));
        }
        let best = best(logits);
        if self.temperature == 0.0 {
            return Ok(best);
        }
        let mut candidates = Candidates { logits, tokens: (0..logits.len() as u32).collect(), sorted: 0 };
        let top = f64::from(logits[best as usize]);
        let weight =
            |token: u32| exp64((f64::from(logits[token as usize]) - top) / f64::from(self.temperature));
        let most = if self.top_k == 0 { logits.len() } else { self.top_k.min(logits.len()) };
        if most < logits.len() {
            candidates.sort(most);
            candidates.tokens.truncate(most);
        }
        let whole: f64 = candidates.tokens.iter().map(|token| weight(*token)).sum();
        let [a, b, ..] = noise.words(block);
        let chance = (f64::from(a) * 4_294_967_296.0 + f64::from(b)) / 18_446_744_073_709_551_616.0;
        let whole = if self.top_p < 1.0 {
            candidates.until(most, f64::from(self.top_p) * whole, weight).1
        } else {
            whole
        };
        let (place, _) = candidates.until(most, (chance * whole).next_up(), weight);
        Ok(candidates.tokens[place])
    }
}

/// The likeliest token, the first among equals.
fn best(logits: &[f32]) -> u32 {
    let better = |best, token| if logits[token] > logits[best] { token } else { best };
    (0..logits.len()).reduce(better).unwrap_or(0) as u32
}

/// All tokens, the likeliest first as far as that was asked for; of equals the first, an order that is the same everywhere.
struct Candidates<'a> {
    logits: &'a [f32],
    tokens: Vec<u32>,
    sorted: usize,
}

impl Candidates<'_> {
    /// Tokens that are sorted at once: the few likeliest mostly are all that is asked for.
    const FEW: usize = 64;

    /// Sorts at least so many.
    fn sort(&mut self, count: usize) {
        let logits = self.logits;
        let by_logit = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        let (count, from) = (count.min(self.tokens.len()), self.sorted);
        if count <= from {
            return;
        }
        if count < self.tokens.len() {
            self.tokens[from..].select_nth_unstable_by(count - from, by_logit);
        }
        self.tokens[from..count].sort_unstable_by(by_logit);
        self.sorted = count;
    }

    /// The place of the first of the `most` likeliest tokens up to which weights sum up to at least this, and that sum; the last one's if they
    /// never do.
    fn until(&mut self, most: usize, enough: f64, weight: impl Fn(u32) -> f64) -> (usize, f64) {
        let mut sum = 0.0;
        for place in 0..most {
            if place >= self.sorted {
                self.sort((4 * place).max(Self::FEW));
            }
            sum += weight(self.tokens[place]);
            if sum >= enough {
                return (place, sum);
            }
        }
        (most.saturating_sub(1), sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain way: all are sorted, then cut, then drawn from.
    fn plain(of: &Sampling, logits: &[f32], chance: f64) -> u32 {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
        order.truncate(if of.top_k > 0 { of.top_k } else { logits.len() });
        let top = f64::from(logits[order[0]]);
        let mut weights: Vec<f64> =
            order.iter().map(|t| exp64((f64::from(logits[*t]) - top) / f64::from(of.temperature))).collect();
        let (whole, mut sum): (f64, f64) = (weights.iter().sum(), 0.0);
        let enough = weights.iter().position(|w| {
            sum += w;
            sum >= f64::from(of.top_p) * whole
        });
        weights.truncate(enough.map_or(weights.len(), |last| last + 1));
        let (whole, mut sum): (f64, f64) = (weights.iter().sum(), 0.0);
        let chosen = weights.iter().position(|w| {
            sum += w;
            chance * whole < sum
        });
        order[chosen.unwrap_or(weights.len() - 1)] as u32
    }

    #[test]
    fn tokens_are_drawn_as_from_a_whole_sorted_list() {
        let key = RunKey::from_seed(3);
        for count in [1, 7, 1000] {
            let mut logits = vec![0.0; count];
            key.tensor(Role::Init, "logits").at(0, 0).fill(onward::noise::Family::Normal, 0, &mut logits);
            // Equals are in it too.
            logits.iter_mut().for_each(|v| *v = (*v * 8.0).round() / 4.0);
            for (temperature, top_k, top_p) in [
                (1.0, 0, 1.0),
                (0.3, 0, 0.9),
                (2.0, 5, 1.0),
                (1.0, 300, 0.5),
                (100.0, 0, 1.0),
                (9.0, 0, 0.99),
            ] {
                let sampling = Sampling { temperature, top_k, top_p, seed: 5 };
                for item in 0..200 {
                    let noise = RunKey::from_seed(5).tensor(Role::Sample, "next token").at(item as u32, 2);
                    let [a, b, ..] = noise.words(0);
                    let chance = (f64::from(a) * 2f64.powi(32) + f64::from(b)) / 2f64.powi(64);
                    let want = plain(&sampling, &logits, chance);
                    assert_eq!(sampling.next(&logits, 2, item).unwrap(), want, "{sampling:?}, {item}");
                }
            }
            let best = Sampling::GREEDY.next(&logits, 0, 0).unwrap();
            assert_eq!(best, plain(&Sampling { temperature: 1.0, ..Sampling::GREEDY }, &logits, 0.0));
        }
    }

    #[test]
    fn probabilities_add_up_to_one() {
        let logits = [1.5, -2.0, 0.25, 1.5];
        let sum: f64 = (0..4).map(|token| log_probability(&logits, token).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        assert_eq!(log_probability(&logits, 4), f64::NEG_INFINITY);
    }
}
