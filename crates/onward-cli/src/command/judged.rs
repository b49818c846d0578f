//! Words for what a run has learnt: what its test rows can carry, held against guessing.

use super::unit_words;
use crate::spec::Spec;
use crate::{date, machine};
use onward::dataset::Targets;
use onward::kernel::{Isa, amx};
use onward::ledger::VERSION;
use onward::task::Interval;
use onward::train::{Examined, Judgement};
use onward::words::{counted, four, theirs};
use onward_data::Preparation;
use onward_report::Known;
use onward_run::summary::Summary;
use onward_run::{Judged, JudgedHead};
use serde_json::{Value, json};
use std::path::Path;

/// The result in one sentence, in as many digits as its interval carries; the interval stands beside it.
pub(super) fn headline(judged: &Judged, spec: &Spec) -> String {
    let (score, rows) = (&judged.score, judged.examined.outputs.rows());
    if let Some(metric) = spec.objective.metric(judged.loss as f32) {
        return format!("test {} {} ({})", metric.name, four(metric.value), counted(rows, "row"));
    }
    if let (Some(accuracy), Some(interval)) = (score.accuracy, judged.judgement.accuracy) {
        let known = spec.baseline.as_ref();
        let known = known.map(|b| format!(" · {}: {:.2} %", b.name, 100.0 * b.accuracy)).unwrap_or_default();
        return format!("test accuracy {}{known}", percent(accuracy.into(), interval, rows));
    }
    let loss = match judged.loss_interval {
        Some(interval) => within(judged.loss, interval, rows),
        None => format!("{} ({})", four(judged.loss), counted(rows, "row")),
    };
    format!("test loss {loss}{}", unit_words(spec))
}

/// `93 % (95 %: 90 to 95; 359 rows)`.
fn percent(share: f64, interval: Interval, rows: usize) -> String {
    let Interval { low, high } = interval.times(100.0);
    let decimals = interval.times(100.0).decimals().min(3);
    format!("{:.decimals$} % (95 %: {low:.decimals$} to {high:.decimals$}; {rows} rows)", 100.0 * share)
}

/// A mean with its interval.
fn within(mean: f64, interval: Interval, rows: usize) -> String {
    let [mean, low, high] = carried(mean, interval);
    format!("{mean} (95 %: {low} to {high}; {rows} rows)")
}

/// A mean and the ends of its interval, in as many decimals as that carries and one more.
fn carried(mean: f64, interval: Interval) -> [String; 3] {
    let decimals = interval.decimals() + 1;
    let word = |v: f64| {
        if (1e-4..1e7).contains(&mean.abs()) { format!("{v:.decimals$}") } else { format!("{v:.2e}") }
    };
    [mean, interval.low, interval.high].map(word)
}

/// Whether the model is better than guessing, in one sentence, with classes by their names; `None` where nobody can guess.
pub(super) fn guessing(judged: &Judged, names: &[String]) -> Option<String> {
    verdict(&judged.judgement, judged.guess_loss, names)
}

fn verdict(judgement: &Judgement, guess_loss: Option<f64>, names: &[String]) -> Option<String> {
    let not = if judgement.better? { "" } else { "not " };
    Some(format!("{not}better than guessing ({})", guess(judgement, guess_loss, names)?))
}

/// What guessing answers, and what it reaches.
fn guess(judgement: &Judgement, guess_loss: Option<f64>, names: &[String]) -> Option<String> {
    let guess = judgement.guess.as_ref()?;
    let reached = match (guess.accuracy, judgement.accuracy) {
        (Some(share), Some(_)) => format!("{:.1} %", 100.0 * share),
        _ => format!("loss {}", four(guess_loss?)),
    };
    let what = match guess.class {
        Some(class) => {
            let name = names.get(class as usize).cloned().unwrap_or_else(|| class.to_string());
            format!("{}, {}", guess.what, theirs(&name))
        }
        None => guess.what.to_owned(),
    };
    Some(format!("{what}: {reached}"))
}

/// What each head has learnt, a line each, with classes of the target by their names.
pub(super) fn heads(judged: &Judged, names: &[String]) -> Option<String> {
    let rows = judged.examined.outputs.rows();
    let of = |head: &JudgedHead| {
        let verdict = verdict(&head.judgement, loss_of_guess(head), names_for(head, names));
        let verdict = verdict.map_or_else(String::new, |words| format!(", {words}"));
        format!("{}: {}{verdict}", theirs(&head.name), score_of(head, rows))
    };
    let lines: Vec<String> = judged.heads.iter().map(of).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The classes of a head on the target have the names of the target's.
fn names_for<'a>(head: &JudgedHead, names: &'a [String]) -> &'a [String] {
    if head.of_target { names } else { &[] }
}

fn loss_of_guess(head: &JudgedHead) -> Option<f64> {
    head.judgement.guess.as_ref().map(|guess| f64::from(guess.loss))
}

/// A head's accuracy with its interval, or its metric, or its loss.
fn score_of(head: &JudgedHead, rows: usize) -> String {
    let JudgedHead { score, judgement, .. } = head;
    if let Some(metric) = &score.metric {
        return format!("{} {} ({})", metric.name, four(metric.value), counted(rows, "row"));
    }
    match (score.accuracy, judgement.accuracy, judgement.loss) {
        (Some(accuracy), Some(interval), _) => {
            format!("accuracy {}", percent(accuracy.into(), interval, rows))
        }
        (.., Some(interval)) => format!("loss {}", within(score.loss.into(), interval, rows)),
        _ => format!("loss {} ({})", four(score.loss), counted(rows, "row")),
    }
}

/// The measures in words; none where there are none.
pub(super) fn measures(all: &[(String, f64)]) -> Option<String> {
    let known = [
        ("bound", "bound of many draws"),
        ("well_formed", "well-formed"),
        ("right", "right"),
        ("unknown", "unknown"),
        ("precision_macro", "precision"),
        ("recall_macro", "recall"),
        ("f1_macro", "F1 (macro)"),
        ("f1_second_class", "F1 (second class)"),
        ("roc_auc", "AUC"),
        ("log_loss", "log loss"),
        ("calibration_error", "calibration error"),
        ("mae", "mean absolute error"),
        ("rmse", "RMSE"),
        ("r2", "R²"),
    ];
    let of = |(name, words): &(&str, &str)| {
        let value = all.iter().find(|(own, _)| own == name)?.1;
        Some(format!("{words} {}", four(value)))
    };
    let words: Vec<String> = known.iter().filter_map(of).collect();
    (!words.is_empty()).then(|| words.join(" · "))
}

/// The result as large numbers with labels: the score, its interval, what guessing reaches, and what else people ask for.
pub(super) fn results(judged: &Judged) -> Vec<(String, String)> {
    let mut all: Vec<(&str, String)> = Vec::new();
    let guess = judged.judgement.guess.as_ref();
    match (judged.score.accuracy, judged.judgement.accuracy) {
        (Some(accuracy), Some(interval)) => {
            let Interval { low, high } = interval.times(100.0);
            let decimals = interval.times(100.0).decimals().min(3);
            all.push(("Test accuracy", format!("{:.decimals$} %", 100.0 * accuracy)));
            all.push(("95 % interval", format!("{low:.decimals$} to {high:.decimals$} %")));
            let known = guess.and_then(|guess| guess.accuracy);
            all.extend(known.map(|share| ("Guessing", format!("{:.1} %", 100.0 * share))));
        }
        _ => {
            match judged.loss_interval.map(|interval| carried(judged.loss, interval)) {
                Some([loss, low, high]) => {
                    all.extend([("Test loss", loss), ("95 % interval", format!("{low} to {high}"))]);
                }
                None => all.push(("Test loss", four(judged.loss))),
            }
            all.extend(judged.guess_loss.map(|loss| ("Guessing", four(loss))));
        }
    }
    let more = [
        ("right", "Right"),
        ("well_formed", "Well-formed"),
        ("f1_macro", "F1 (macro)"),
        ("roc_auc", "AUC"),
        ("r2", "R²"),
        ("rmse", "RMSE"),
        ("mae", "Mean absolute error"),
    ];
    let rows = judged.examined.outputs.rows();
    let of_heads = judged.heads.iter().map(|head| (theirs(&head.name).into_owned(), score_of(head, rows)));
    let of_heads: Vec<_> = of_heads.collect();
    let measures = judged.measures();
    let of = |(name, label)| Some((label, four(measures.iter().find(|(own, _)| own == name)?.1)));
    all.extend(more.into_iter().filter_map(of));
    let own = all.into_iter().map(|(label, value)| (label.to_owned(), value));
    own.chain(of_heads).collect()
}

/// What is true and what was predicted, of the first number of each test row; none where rows have no values.
pub(super) fn pairs(judged: &Judged, preparation: &Preparation) -> Vec<(f64, f64)> {
    let Examined { outputs, targets, .. } = &judged.examined;
    match targets {
        Targets::Values { values, width } if judged.answers_values => {
            let first = |row: &[f32]| preparation.answers(row).first().copied().unwrap_or(f64::NAN);
            let pair = |row: usize| (first(&values[row * width..][..*width]), first(outputs.row(row)));
            (0..outputs.rows()).map(pair).collect()
        }
        _ => Vec::new(),
    }
}

/// What the rules of remarks look at.
pub(super) fn known(
    judged: Option<&Judged>,
    spec: &Spec,
    names: &[String],
    run: &Path,
    steps: u64,
    best: Option<u64>,
) -> Known {
    let accuracy = judged.and_then(|judged| judged.judgement.accuracy);
    let rows = judged.map_or(0, |judged| judged.examined.outputs.rows());
    let guessing =
        judged.and_then(|judged| guessed(judged, names).map(|(better, words)| (better, sentence(&words))));
    Known {
        guessing,
        half_width: accuracy.map(|interval| (interval.half(), rows)),
        best,
        rate: f64::from(spec.method.schedule(steps).rate),
        batch: spec.train.batch,
        steps,
        run: run.display().to_string(),
    }
}

/// Whether the model, or each of its heads that guessing answers for, is better than guessing; and what that reaches.
fn guessed(judged: &Judged, names: &[String]) -> Option<(bool, String)> {
    if judged.heads.is_empty() {
        let words = guess(&judged.judgement, judged.guess_loss, names)?;
        return judged.judgement.better.map(|better| (better, words));
    }
    let of = |head: &JudgedHead| {
        let words = guess(&head.judgement, loss_of_guess(head), names_for(head, names))?;
        Some((head.judgement.better?, format!("{}, {words}", theirs(&head.name))))
    };
    let known: Vec<(bool, String)> = judged.heads.iter().filter_map(of).collect();
    let words: Vec<&str> = known.iter().map(|(_, words)| words.as_str()).collect();
    (!known.is_empty()).then(|| (known.iter().all(|(better, _)| *better), words.join("; ")))
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str() + "."
}

/// How and where a run was made: by which program, when, on what and by which command.
pub(super) fn provenance(threads: usize) -> Vec<(String, String)> {
    let commit = option_env!("ONWARD_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map(|commit| format!(" (commit {commit})")).unwrap_or_default();
    let command: Vec<String> = std::env::args().collect();
    let all = [
        ("Program", format!("onward {VERSION}{commit}")),
        ("Date", date::now()),
        ("Host", machine::name()),
        ("Instruction set", format!("{} ({})", Isa::detect(), amx::availability())),
        ("Threads", threads.to_string()),
        ("Command", command.join(" ")),
    ];
    all.into_iter().map(|(label, value)| (label.to_owned(), value)).collect()
}

/// Where a page comes from that is drawn of a run again: when the run rested last, as its result tells, and then how and where it is drawn.
pub(super) fn drawn_again(result: Option<&Summary>, threads: usize) -> Vec<(String, String)> {
    let rested = result.and_then(|result| result.when.clone().map(|when| ("Run ended".to_owned(), when)));
    let drawing = provenance(threads).into_iter().map(|(label, value)| match label.as_str() {
        "Program" => ("Page drawn by".to_owned(), value),
        "Date" => ("Page drawn".to_owned(), value),
        _ => (label, value),
    });
    rested.into_iter().chain(drawing).collect()
}

/// What programs are told beside the score: intervals, measures under `prefix`, and what guessing reaches.
pub(super) fn tell(judged: &Judged, event: &mut Value, prefix: &str) {
    let ends = |interval: Option<Interval>| interval.map(|interval| [interval.low, interval.high]);
    event[format!("{prefix}accuracy_interval")] = json!(ends(judged.judgement.accuracy));
    event[format!("{prefix}loss_interval")] = json!(ends(judged.loss_interval));
    for (name, value) in judged.measures() {
        event[format!("{prefix}{name}")] = value.into();
    }
    tell_guess(&judged.judgement, judged.guess_loss, event);
    let of = |head: &JudgedHead| {
        let JudgedHead { score, judgement, .. } = head;
        let mut event = json!({"name": head.name, "loss": score.loss, "accuracy": score.accuracy,
            "accuracy_interval": ends(judgement.accuracy), "loss_interval": ends(judgement.loss)});
        tell_guess(judgement, loss_of_guess(head), &mut event);
        event
    };
    if !judged.heads.is_empty() {
        event["heads"] = judged.heads.iter().map(of).collect();
    }
}

fn tell_guess(judgement: &Judgement, guess_loss: Option<f64>, event: &mut Value) {
    if let Some(guess) = &judgement.guess {
        event["guess"] = json!({"what": guess.what, "class": guess.class, "loss": guess_loss,
            "accuracy": guess.accuracy});
        event["better_than_guessing"] = json!(judgement.better);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_many_as_the_interval_carries() {
        let interval = |low: f64, high: f64| Interval { low, high };
        assert_eq!(percent(0.931, interval(0.899, 0.953), 359), "93 % (95 %: 90 to 95; 359 rows)");
        assert_eq!(
            percent(0.98123, interval(0.9783, 0.9836), 10_000),
            "98.1 % (95 %: 97.8 to 98.4; 10000 rows)"
        );
        assert_eq!(percent(0.5, interval(0.1, 0.9), 4), "50 % (95 %: 10 to 90; 4 rows)");
        assert_eq!(within(1.2345, interval(1.1, 1.4), 90), "1.23 (95 %: 1.10 to 1.40; 90 rows)");
        assert_eq!(within(3e-9, interval(1e-9, 5e-9), 2), "3.00e-9 (95 %: 1.00e-9 to 5.00e-9; 2 rows)");
    }
}
