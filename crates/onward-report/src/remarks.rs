//! What the measurements of a run say in words: a few rules, each with its evidence and what to try next.

use crate::Point;
use crate::axis::{Unit, short};
use onward::words::interval;

/// What rules look at besides the points.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Whether the model is better than guessing, and what guessing reaches; `None` where nobody can guess.
    pub guessing: Option<(bool, String)>,
    /// Half the width of the 95 % interval of the test accuracy, and the number of test rows.
    pub half_width: Option<(f64, usize)>,
    /// The step whose params the model has, where validation rows chose it.
    pub best: Option<u64>,
    /// The rate, the batch and the budget in steps that the run had.
    pub rate: f64,
    /// Samples per step.
    pub batch: usize,
    /// Steps in all.
    pub steps: u64,
    /// The run's folder, for commands.
    pub run: String,
}

/// One thing that the measurements say.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// What it is.
    pub says: String,
    /// The numbers that say so.
    pub evidence: String,
    /// A command to try next, if there is one.
    pub next: Option<String>,
}

/// A change of the loss by this share is none.
const STILL: f64 = 0.01;
/// Test losses that lie this share above the least are worse.
const WORSE: f64 = 0.05;
/// With fewer evaluations nothing is said of how a run went.
const FEW: usize = 6;
/// Below this signal-to-noise ratio steps go nowhere.
const NO_SIGNAL: f64 = 0.02;
/// An accuracy that is known no better than this is hardly known.
const WIDE: f64 = 0.03;

/// A rule: what it says of a run, if anything.
type Rule = fn(&[Point], &Known) -> Option<Remark>;

/// What the points of a run say, the gravest first.
pub fn remarks(points: &[Point], known: &Known) -> Vec<Remark> {
    let rules: [Rule; 7] = [guessing, rate_too_high, overfits, no_signal, falling, converged, few_rows];
    rules.iter().filter_map(|rule| rule(points, known)).collect()
}

/// The run once more with other settings.
fn again(known: &Known, settings: &str) -> Option<String> {
    Some(format!("onward train {}/spec.toml {settings}", known.run))
}

fn guessing(points: &[Point], known: &Known) -> Option<Remark> {
    let (better, words) = known.guessing.as_ref()?;
    if *better {
        return Some(Remark { says: "Better than guessing.".into(), evidence: words.clone(), next: None });
    }
    let (evidence, next) = match only_its_own(points) {
        Some(gap) if overfits(points, known).is_some() => (gap, None),
        Some(gap) => (gap, known.best.is_none().then(|| HOLD_BACK.to_owned())),
        None => {
            let (steps, rate) = (4 * known.steps, plain(known.rate / 2.0));
            (String::new(), Some(format!("--set train.steps={steps} --set method.rate={rate}")))
        }
    };
    let next = next.and_then(|settings| again(known, &settings));
    Some(Remark { says: "Not better than guessing.".into(), evidence: format!("{words}{evidence}"), next })
}

/// Rows to choose the best step by, and an end where it has long been.
const HOLD_BACK: &str = "--set data.validation=0.15 --set train.patience=5";

/// That the rows trained on have losses below the 95 % interval of those held back, in words.
fn only_its_own(points: &[Point]) -> Option<String> {
    let (name, all) = held(points);
    let (end, last) = *all.last()?;
    let train = losses(points, |p| p.train_loss);
    let latest = &train[train.len() - train.len().div_ceil(4)..];
    let mean = latest.iter().map(|(_, loss)| loss).sum::<f64>() / latest.len() as f64;
    let room = half_width(points, end)?;
    (train.len() >= FEW && mean < last - room).then(|| {
        let (mean, last) = (number(mean), interval(last, Some(room)));
        format!(" The training loss is {mean} and the {name} loss {last}: what was learnt is of the training rows alone.")
    })
}

/// Losses over steps, those that are finite.
fn losses(points: &[Point], of: fn(&Point) -> Option<f64>) -> Vec<(u64, f64)> {
    points.iter().filter_map(|p| Some((p.step, of(p).filter(|v| v.is_finite())?))).collect()
}

/// The losses of rows that were not trained on: those that the best step was chosen by, else the test rows'.
fn held(points: &[Point]) -> (&'static str, Vec<(u64, f64)>) {
    let validated = losses(points, |p| p.validation_loss);
    if validated.is_empty() { ("test", losses(points, |p| p.test_loss)) } else { ("validation", validated) }
}

fn least(all: &[(u64, f64)]) -> Option<(u64, f64)> {
    all.iter().copied().reduce(|best, next| if next.1 < best.1 { next } else { best })
}

fn number(value: f64) -> String {
    short(value, Unit::Number)
}

/// A number as it is written in specs, in three digits.
fn plain(value: f64) -> String {
    format!("{value:.2e}").parse::<f64>().map_or_else(|_| value.to_string(), |v| v.to_string())
}

fn rate_too_high(points: &[Point], known: &Known) -> Option<Remark> {
    let all = losses(points, |p| p.train_loss);
    let ((_, first), (_, last)) = (*all.first()?, *all.last()?);
    let (peak, highest) = all.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let unfinite = points.iter().map(|p| p.non_finite).max().unwrap_or(0);
    let rose = first > 0.0 && highest > 1.5 * first;
    if !(all.len() >= FEW && (rose || last > first) || unfinite > 0 && rose) {
        return None;
    }
    let evidence = format!(
        "The training loss was {} at first, {} at step {peak} and {} at the end.",
        number(first),
        number(highest),
        number(last)
    );
    let next = again(known, &format!("--set method.rate={}", plain(known.rate / 3.0)));
    Some(Remark { says: "The rate looks too high.".into(), evidence, next })
}

/// Half the width of the 95 % interval of the difference between two steps' losses on held rows, as far as these are a sample. Rows that are hard
/// at one step are hard at the other, so it is at most that of independent rows, which stands here.
fn noise_of_difference(points: &[Point], one: u64, other: u64) -> Option<f64> {
    Some(half_width(points, one)?.hypot(half_width(points, other)?))
}

/// Half the width of the 95 % interval of a step's loss on held rows.
fn half_width(points: &[Point], step: u64) -> Option<f64> {
    let point = points.iter().find(|point| point.step == step)?;
    point.validation_loss.map_or(point.test_loss_half_width, |_| point.validation_loss_half_width)
}

fn overfits(points: &[Point], known: &Known) -> Option<Remark> {
    let (name, all) = held(points);
    let ((best, low), (end, last)) = (least(&all)?, *all.last()?);
    let noise = noise_of_difference(points, best, end)?;
    let train = losses(points, |p| p.train_loss);
    let near = |step: u64| train.iter().rfind(|(at, _)| *at <= step).map(|(_, loss)| *loss);
    let (then, now) = (near(best)?, near(end)?);
    if all.len() < FEW || last < low + WORSE * low.abs() || last - low <= noise || now >= then {
        return None;
    }
    let evidence = format!(
        "From there to step {end} the {name} loss rose from {} to {}, by {} (95 %, as of other rows), the training loss fell from {} \
         to {}.",
        number(low),
        number(last),
        interval(last - low, Some(noise)),
        number(then),
        number(now)
    );
    let (says, next) = match known.best {
        Some(chosen) => (format!("It overfits since step {best}; the model is that of step {chosen}."), None),
        None => (format!("It overfits since step {best}."), again(known, HOLD_BACK)),
    };
    Some(Remark { says, evidence, next })
}

fn no_signal(points: &[Point], known: &Known) -> Option<Remark> {
    let all: Vec<(u64, f64)> = losses(points, |p| p.signal_to_noise.map(f64::from));
    let quiet = all.iter().rev().take_while(|(_, ratio)| ratio.abs() < NO_SIGNAL).count();
    if all.len() < FEW || quiet < all.len().div_ceil(4) {
        return None;
    }
    let (since, mean) = (
        all[all.len() - quiet].0,
        all[all.len() - quiet..].iter().map(|(_, ratio)| ratio).sum::<f64>() / quiet as f64,
    );
    let evidence = format!("Its mean since then is {}: steps go where noise goes.", number(mean));
    let next = again(known, &format!("--set train.batch={}", 2 * known.batch));
    Some(Remark { says: format!("The signal-to-noise ratio is about 0 since step {since}."), evidence, next })
}

/// The first step from which on all losses stay within so much of the last one.
fn still_since(all: &[(u64, f64)]) -> Option<u64> {
    let last = all.last()?.1;
    let moving = all.iter().rposition(|(_, loss)| (loss - last).abs() > STILL * last.abs());
    all.get(moving.map_or(0, |at| at + 1)).map(|(step, _)| *step)
}

fn falling(points: &[Point], known: &Known) -> Option<Remark> {
    let (name, all) = held(points);
    let (end, last) = *all.last()?;
    let (before, earlier) = *all.get((all.len() * 4 / 5).saturating_sub(1))?;
    let train = losses(points, |p| p.train_loss);
    let near = |step: u64| train.iter().rfind(|(at, _)| *at <= step).map(|(_, loss)| *loss);
    // Few held rows may do better by chance; the training rows have to as well.
    let trained = near(before).zip(near(end)).is_none_or(|(then, now)| now < then);
    if all.len() < FEW
        || !trained
        || least(&all)?.1 < last - STILL * last.abs()
        || earlier - last < 3.0 * STILL * earlier.abs()
    {
        return None;
    }
    let evidence = format!(
        "The {name} loss fell from {} to {} between step {before} and {end}.",
        number(earlier),
        number(last)
    );
    let next = Some(format!("onward resume {} --steps {}", known.run, 2 * known.steps));
    Some(Remark { says: "Not converged yet: more steps will help.".into(), evidence, next })
}

fn converged(points: &[Point], known: &Known) -> Option<Remark> {
    let (name, all) = held(points);
    let ((end, last), since) = (*all.last()?, still_since(&all)?);
    let steps_since = all.iter().filter(|(step, _)| *step >= since).count();
    if all.len() < FEW || steps_since < all.len().div_ceil(4).max(3) {
        return None;
    }
    let evidence = format!(
        "Since then, up to step {end}, the {name} loss has stayed within {} % of {}.",
        100.0 * STILL,
        number(last)
    );
    let next = again(known, &format!("--set train.steps={since} --seed 2"));
    Some(Remark { says: format!("It converged at step {since}."), evidence, next })
}

fn few_rows(_: &[Point], known: &Known) -> Option<Remark> {
    let (half, rows) = known.half_width.filter(|(half, _)| *half > WIDE)?;
    let evidence = format!("Of {rows} rows the accuracy is known to ±{:.0} points (95 %).", 100.0 * half);
    let next = again(known, "--set data.test=0.4");
    Some(Remark { says: "The test set is small.".into(), evidence, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(train: &[f64], test: &[f64]) -> Vec<Point> {
        let point = |(i, (train, test)): (usize, (&f64, &f64))| Point {
            step: 10 * (i as u64 + 1),
            train_loss: Some(*train),
            test_loss: Some(*test),
            test_loss_half_width: Some(0.1),
            signal_to_noise: Some(1.0),
            ..Point::default()
        };
        train.iter().zip(test).enumerate().map(point).collect()
    }

    fn known() -> Known {
        Known { rate: 0.3, batch: 32, steps: 80, run: "runs/a".into(), ..Known::default() }
    }

    fn said(points: &[Point], known: &Known) -> Vec<String> {
        remarks(points, known).into_iter().map(|remark| remark.says).collect()
    }

    const FALLING: [f64; 8] = [2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.9, 0.8];

    #[test]
    fn a_run_that_still_falls_is_to_go_on() {
        let found = remarks(&points(&FALLING, &FALLING), &known());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].says, "Not converged yet: more steps will help.");
        assert_eq!(found[0].next.as_deref(), Some("onward resume runs/a --steps 160"));
        assert!(found[0].evidence.contains("between step 60 and 80"));
    }

    #[test]
    fn a_run_that_stands_still_has_converged() {
        let still = [2.0, 1.5, 1.2, 1.002, 1.0, 1.001, 0.999, 1.0];
        let found = remarks(&points(&still, &still), &known());
        assert_eq!(found.iter().map(|r| r.says.as_str()).collect::<Vec<_>>(), ["It converged at step 40."]);
        assert!(found[0].evidence.contains("within 1 % of 1"));
    }

    #[test]
    fn test_losses_that_rise_while_training_losses_fall_are_overfitting() {
        let test = [2.0, 1.6, 1.2, 1.0, 1.1, 1.2, 1.3, 1.5];
        let found = remarks(&points(&FALLING, &test), &known());
        assert_eq!(found[0].says, "It overfits since step 40.");
        assert!(found[0].evidence.contains("from 1 to 1.5") && found[0].next.is_some());
        let chosen = remarks(&points(&FALLING, &test), &Known { best: Some(40), ..known() });
        assert_eq!(chosen[0].says, "It overfits since step 40; the model is that of step 40.");
        assert!(
            found[0].evidence.contains("by 0.50 ± 0.14 (95 %, as of other rows)"),
            "{}",
            found[0].evidence
        );
        // Nor is what so few rows leave open, or rows without losses of their own.
        for known_to in [Some(0.4), None] {
            let mut open = points(&FALLING, &test);
            open.iter_mut().for_each(|point| point.test_loss_half_width = known_to);
            assert!(!said(&open, &known()).iter().any(|says| says.contains("overfits")));
        }
        // What rises with the training loss is no overfitting.
        assert!(!said(&points(&test, &test), &known()).iter().any(|says| says.contains("overfits")));
    }

    #[test]
    fn losses_that_rise_have_too_high_a_rate() {
        let rising = [1.0, 2.0, 3.0, 2.5, 2.0, 1.8, 1.6, 1.5];
        let found = remarks(&points(&rising, &FALLING), &known());
        assert_eq!(found[0].says, "The rate looks too high.");
        assert_eq!(found[0].next.as_deref(), Some("onward train runs/a/spec.toml --set method.rate=0.1"));
    }

    #[test]
    fn no_signal_is_told_with_the_step_since_when() {
        let mut noisy = points(&FALLING, &FALLING);
        noisy[5..].iter_mut().for_each(|p| p.signal_to_noise = Some(0.001));
        let found = said(&noisy, &known());
        assert_eq!(found[0], "The signal-to-noise ratio is about 0 since step 60.");
    }

    #[test]
    fn guessing_and_few_rows_are_told() {
        let mut known = known();
        known.guessing = Some((false, "The mean: loss 1.".into()));
        known.half_width = Some((0.08, 120));
        let found = remarks(&[], &known);
        assert_eq!(
            (found[0].says.as_str(), found[1].says.as_str()),
            ("Not better than guessing.", "The test set is small.")
        );
        assert!(found[0].next.is_some() && found[1].evidence.contains("±8 points"));
        assert_eq!(
            found[0].next.as_deref(),
            Some("onward train runs/a/spec.toml --set train.steps=320 --set method.rate=0.15")
        );
        // More steps would not help what learns its own rows by heart.
        let test = [2.0, 1.9, 1.8, 1.75, 1.7, 1.7, 1.7, 1.7];
        let found = remarks(&points(&FALLING, &test), &known);
        let heart = "The mean: loss 1. The training loss is 0.85 and the test loss 1.70 ± 0.10: what was learnt is of the training rows alone.";
        assert_eq!(found[0].evidence, heart);
        let next = "onward train runs/a/spec.toml --set data.validation=0.15 --set train.patience=5";
        assert_eq!(found[0].next.as_deref(), Some(next));
        known.best = Some(80);
        assert_eq!(remarks(&points(&FALLING, &test), &known)[0].next, None);
        known.guessing = Some((true, "The mean: loss 1.".into()));
        known.half_width = Some((0.01, 10_000));
        let found = remarks(&[], &known);
        assert_eq!((found.len(), found[0].next.as_ref()), (1, None));
    }
}
