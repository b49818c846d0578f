//! Duchi and others' theorem 1: √d and 1/√k for smooth stochastic problems.

use super::lab::{begin, centre, dot, evaluate, square};
use super::problems::{Margin, Rows};
use super::{Check, Claim, Curve, Evidence, Figure, Finding, Lab, Measured, Provenance};
use crate::Result;
use onward::kernel::ln64;
use onward::noise::{Family, Role, RunKey};
use onward::study::{Candidate, Draws, Estimator, Mirror, MirrorDescent, StrategyKind};

pub(crate) const CHECKS: [Check; 2] = [
    Check {
        name: "two-point mirror descent, smooth",
        source: "Duchi, Jordan, Wainwright and Wibisono 2015, theorem 1",
        statement: "E f(θ̂(k)) − f* ≤ 2RG√(d/k) + u²RG√d/k + uRG√d ln(2k)/k with α(t) = R/(2G√(dt)), u(t) = uG/(Ldt), \
                    both values of a pair from the same random row",
        run: |lab| Duchi::default().logistic(lab),
    },
    Check {
        name: "√d and 1/√k",
        source: "derived from the same regret bound: attained under noise",
        statement: "the gap of the iterates of noisy mean estimation goes as √(d/k), at most 2RG√(d/k) on average",
        run: |lab| Duchi::default().slopes(lab),
    },
];

/// The diameter of the box in which θ may be.
pub(crate) const R: f64 = 5.0;

/// How far the box reaches in each coordinate, and two standard deviations of its space.
pub(crate) fn half(d: usize) -> f64 {
    0.5 * R / (d as f64).sqrt()
}

/// The random row of a round.
fn row_of(seed: u64, generation: u64) -> usize {
    let words = RunKey::from_seed(seed).tensor(Role::Shuffle, "rounds").at(generation as u32, 0).words(0);
    words[0] as usize
}

/// What the steps are multiplied by, and which number names a candidate's row.
struct Duchi {
    alpha: f64,
    round: fn(&Candidate) -> u64,
}

impl Default for Duchi {
    fn default() -> Self {
        Self { alpha: 1.0, round: |c| c.generation }
    }
}

/// The theorem's method on the box with diameter R, for gradients of norm G that are Lipschitz with L, and u = 1. The
/// strategy's lengths are standard deviations, a quarter of the box; its own R is `√d` of them, a quarter of ours.
pub(crate) fn on_box(estimator: Estimator, d: usize, alpha: f64, g: f64, probe: f64) -> StrategyKind {
    let sigma = 0.5 * half(d);
    StrategyKind::MirrorDescent(MirrorDescent {
        estimator,
        mirror: Mirror::Box,
        probe: probe / sigma,
        rate: 4.0 * alpha,
        gradient: Some(sigma * g),
    })
}

fn bound(d: usize, k: f64, g: f64) -> f64 {
    let root = (d as f64).sqrt();
    R * g * root * (2.0 / k.sqrt() + 1.0 / k + ln64(2.0 * k) / k)
}

/// The mean over all runs of what each has at place `i`.
fn across(runs: &[Vec<f64>], i: usize) -> Measured {
    Measured::over(&runs.iter().map(|run| run[i]).collect::<Vec<_>>())
}

/// A curve of what was measured at each `k` and one of its bound there; every third point is a finding.
pub(crate) fn below(
    name: &str,
    what: impl Fn(f64) -> String,
    points: Vec<(f64, Measured, f64)>,
) -> (Vec<Finding>, [Curve; 2]) {
    let found = points.iter().map(|(k, measured, _)| (*k, measured.mean)).collect();
    let bounds = points.iter().map(|(k, _, bound)| (*k, *bound)).collect();
    let curves = [(Provenance::Measured, found), (Provenance::Theory, bounds)]
        .map(|(o, p)| Curve::new(name.to_owned(), o, p));
    let third = points.into_iter().skip(2).step_by(3);
    (
        third.map(|(k, measured, bound)| Finding::new(what(k), Claim::AtMost(bound), measured)).collect(),
        curves,
    )
}

/// How far the average of a method's points lies above the least loss of 400 random rows, against a bound for `d`
/// dimensions and `k` rounds. `names` are those of the picture's file, the picture and the loss; `round` says which number
/// names a candidate's row.
pub(crate) fn gaps(
    lab: &Lab,
    names: [&'static str; 3],
    margin: Margin,
    round: fn(&Candidate) -> u64,
    method: impl Fn(usize) -> StrategyKind,
    bound: impl Fn(usize, f64) -> f64,
) -> Result<Evidence> {
    let (seeds, powers, dimensions) = lab.pick((4, 8..=16, vec![10]), (8, 8..=16, vec![10, 50, 200]));
    let (mut findings, mut curves) = (Vec::new(), Vec::new());
    let [file, title, loss] = names;
    for d in dimensions {
        let rows = Rows::new(d, lab.seed);
        let least = rows.least(margin, half(d));
        let method = method(d);
        let run = |seed| {
            let mut study = begin(d, 0.0, 0.5 * half(d), seed, method.clone())?;
            let mut done = 0;
            let at = |power: u32| {
                let k = 1usize << power;
                evaluate(&mut study, 2 * (k - done), |c, x| {
                    margin.loss(dot(rows.row(row_of(seed, round(c))), x))
                })?;
                done = k;
                Ok(rows.value(margin, &centre(&study)) - least)
            };
            powers.clone().map(at).collect::<Result<Vec<f64>>>()
        };
        let runs = lab.repeat(seeds, run)?;
        let ks = powers.clone().map(|power| f64::from(1u32 << power));
        let points = ks.enumerate().map(|(i, k)| (k, across(&runs, i), bound(d, k))).collect();
        let (found, drawn) = below(&format!("d = {d}"), |k| format!("{loss}, d = {d}, k = {k}"), points);
        findings.extend(found);
        curves.extend(drawn);
    }
    let (x, y) = ("rounds k", "gap of the average, and bound");
    Ok(Evidence { findings, figure: Some(Figure { file, title, x, y, log: [true, true], curves }) })
}

impl Duchi {
    fn logistic(&self, lab: &Lab) -> Result<Evidence> {
        // L = ¼, G = 1.
        let method = |d: usize| on_box(Estimator::Smooth, d, self.alpha, 1.0, 4.0 / d as f64);
        let names = ["smooth", "Logistic regression by pairs of values", "logistic"];
        gaps(lab, names, Margin::Logistic, self.round, method, |d, k| bound(d, k, 1.0))
    }

    /// `F(θ; ξ) = ½‖θ − ξ‖²` for random ξ of length R: the optimum is 0, and ‖∇F‖² ≤ R²(1 + ¼) on average.
    fn slopes(&self, lab: &Lab) -> Result<Evidence> {
        let (seeds, first, count, dimensions) =
            lab.pick((12, 12, 3, [10, 20, 80]), (16, 14usize, 4usize, [10, 40, 160]));
        let (g, within) = (R * 1.25f64.sqrt(), lab.pick(0.4, 0.15));
        let windows: Vec<f64> = (0..count).map(|i| f64::from(1u32 << (first + i))).collect();
        let last = count - 1;
        let (mut findings, mut curves, mut of_dimensions) = (Vec::new(), Vec::new(), Vec::new());
        for d in dimensions {
            let method = on_box(Estimator::Smooth, d, self.alpha, g, g / d as f64);
            let runs = lab.repeat(seeds, |seed| self.window_means(&method, d, first, count, seed))?;
            let slopes: Vec<f64> = runs.iter().map(|run| slope(&windows, &run[..count])).collect();
            let what = format!("exponent of k, d = {d}, k = {} … {}", windows[0], windows[last]);
            findings.push(Finding::new(what, Claim::near(-0.5, within), Measured::over(&slopes)));
            let what = format!("mean gap of all iterates, d = {d}, k = {}", windows[last]);
            findings.push(Finding::new(
                what,
                Claim::AtMost(bound(d, windows[last], g)),
                across(&runs, count),
            ));
            let points = windows.iter().enumerate().map(|(i, k)| (*k, across(&runs, i).mean)).collect();
            curves.push(Curve::new(format!("d = {d}"), Provenance::Measured, points));
            let law = |k: &f64| (*k, attained(d, *k, g));
            curves.push(Curve::new(
                format!("d = {d}"),
                Provenance::Theory,
                windows.iter().map(law).collect(),
            ));
            of_dimensions.push(runs.iter().map(|run| run[last]).collect::<Vec<f64>>());
        }
        let d: Vec<f64> = dimensions.iter().map(|d| *d as f64).collect();
        let of_seed = |i: usize| slope(&d, &of_dimensions.iter().map(|runs| runs[i]).collect::<Vec<_>>());
        let slopes: Vec<f64> = (0..seeds).map(of_seed).collect();
        let what = format!("exponent of d, d = {} … {}, k = {}", d[0], d[2], windows[last]);
        findings.push(Finding::new(what, Claim::near(0.5, within), Measured::over(&slopes)));
        let figure = Figure {
            file: "slopes",
            title: "Noisy mean estimation by pairs of values",
            x: "rounds k",
            y: "gap of iterates k/2 … k, and law",
            log: [true, true],
            curves,
        };
        Ok(Evidence { findings, figure: Some(figure) })
    }

    /// The mean gap of the iterates of the second half of `2^first`, `2^(first+1)` … rounds, then of all iterates.
    fn window_means(
        &self,
        method: &StrategyKind,
        d: usize,
        first: usize,
        count: usize,
        seed: u64,
    ) -> Result<Vec<f64>> {
        let mut study = begin(d, 0.0, 0.5 * half(d), seed, method.clone())?;
        let mut sums = vec![0.0; count + 1];
        let rounds = 1u64 << (first + count - 1);
        let mut target = vec![0.0; d];
        evaluate(&mut study, 2 * rounds as usize, |c, x| {
            Draws::new(seed ^ 0x5eed, (self.round)(c) as u32).sphere(0, 0, &mut target);
            // The second of a pair is θ itself.
            if c.id % 2 == 1 {
                let (round, gap) = (c.generation + 1, 0.5 * square(x));
                sums[count] += gap / rounds as f64;
                let window = (u64::BITS - (round - 1).leading_zeros()) as usize;
                if let Some(i) = window.checked_sub(first).filter(|_| round > 1) {
                    sums[i] += gap / f64::from(1u32 << (window - 1));
                }
            }
            0.5 * x.iter().zip(&target).map(|(x, t)| (x - R * t) * (x - R * t)).sum::<f64>()
        })?;
        Ok(sums)
    }
}

/// The stationary gap of small steps α on `½‖θ‖²` under gradients of variance V is αdV/4; here averaged over k/2 … k.
fn attained(d: usize, k: f64, g: f64) -> f64 {
    // The mean of 1/√t over the window is 2(√k − √(k/2))/(k/2).
    let root = 4.0 * (1.0 - 0.5f64.sqrt()) / k.sqrt();
    R / (2.0 * g) * (d as f64).sqrt() * R * R / 4.0 * root
}

/// The exponent p of `y ∝ x^p`, by least squares of logarithms.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let logs = |v: &[f64]| v.iter().map(|v| ln64(*v)).collect::<Vec<f64>>();
    let (x, y) = (logs(x), logs(y));
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(&x), mean(&y));
    let products: f64 = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum();
    products / x.iter().map(|x| (x - mx) * (x - mx)).sum::<f64>()
}

/// Signs that follow from a seed: for noise that all candidates of a generation share.
pub(crate) fn signs(seed: u64, generation: u64, n: usize) -> Vec<f64> {
    let mut z = vec![0.0; n];
    let noise = RunKey::from_seed(seed).tensor(Role::Shuffle, "signs").at(generation as u32, 0);
    noise.fill(Family::Sign, 0, &mut z);
    z.iter().map(|z| f64::from(*z)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    const LAB: Lab = Lab { seed: 1, effort: Effort::Quick };

    #[test]
    fn the_bound_holds_and_breaks_where_a_pair_sees_two_rows_or_nothing_moves() {
        let found = Duchi::default().logistic(&LAB).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let still = Duchi { alpha: 1e-6, ..Duchi::default() }.logistic(&LAB).unwrap();
        assert!(!still.holds(), "{:#?}", still.findings);
        let apart = Duchi { round: |c| c.id, ..Duchi::default() }.logistic(&LAB).unwrap();
        assert!(!apart.holds(), "{:#?}", apart.findings);
    }

    #[test]
    fn exponents_are_a_half_and_others_are_noticed() {
        let found = Duchi::default().slopes(&LAB).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let slow = Duchi { alpha: 0.02, ..Duchi::default() }.slopes(&LAB).unwrap();
        assert!(!slow.holds(), "{:#?}", slow.findings);
        assert!((slope(&[1.0, 2.0, 8.0], &[3.0, 12.0, 192.0]) - 2.0).abs() < 1e-12);
    }
}
