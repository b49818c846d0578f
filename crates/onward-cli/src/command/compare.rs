//! `compare`: which settings do better, by how much, and how sure that is.

use super::compared;
use super::list::{expanded, read_all};
use super::minimize::direction;
use super::table::Table;
use crate::args::Compare;
use crate::progress::Voice;
use crate::target;
use onward::Result;
use onward::study::Goal;
use onward::words::{counted, four, interval, probability, theirs};
use onward_run::catalogue::some;
use onward_run::compare::{
    Comparison, Conclusion, FEWEST, Factor, Group, Question, Versus, compare as compared,
};
use serde_json::{Value, json};
use std::path::PathBuf;

/// `onward compare`.
pub fn compare(args: &Compare) -> Result<()> {
    let voice = Voice::of(args.print);
    if let Some(out) = &args.out {
        target::no_run(out)?;
    }
    let paths = expanded(&args.paths)?;
    let (mut runs, mut broken) = read_all(&paths)?;
    if !broken.is_empty() {
        return Err(broken.remove(0));
    }
    runs.retain(|run| args.tag.as_ref().is_none_or(|tag| run.about.tags.contains(tag)));
    some(&runs.iter().map(|run| run.path.clone()).collect::<Vec<_>>(), &args.paths.join(" "))?;
    let question = Question {
        by: args.by.clone(),
        score: args.score.clone(),
        goal: args.goal.map(direction),
        level: args.level,
        against: args.against.clone(),
    };
    let comparison = compared(&runs, &question)?;
    let mut words = lines(&comparison);
    if let Some(out) = &args.out {
        compared::write(&comparison, out)?;
        words.push(out.join("report.html").display().to_string());
    }
    voice.say(&words.join("\n"), &event(&comparison));
    Ok(())
}

fn event(comparison: &Comparison) -> Value {
    let mut event = json!({"event": "comparison"});
    if let (Value::Object(event), Ok(Value::Object(all))) = (&mut event, serde_json::to_value(comparison)) {
        event.extend(all);
    }
    event
}

/// All that a comparison says.
pub(super) fn lines(comparison: &Comparison) -> Vec<String> {
    let mut lines = vec![head(comparison)];
    lines.extend(table(comparison).lines());
    for versus in &comparison.versus {
        lines.push(String::new());
        let (title, rest) = against(comparison, versus);
        lines.push(title);
        lines.extend(rest.iter().map(|line| format!("  {line}")));
    }
    if !comparison.left_out.is_empty() {
        lines.push(String::new());
        lines.extend(left_out(comparison));
    }
    lines
}

/// The runs that take no part, each with the reason.
pub(super) fn left_out(comparison: &Comparison) -> Vec<String> {
    let line = |(path, why): &(PathBuf, String)| format!("left out: {} ({why})", path.display());
    comparison.left_out.iter().map(line).collect()
}

/// What is compared, in a line.
pub(super) fn head(comparison: &Comparison) -> String {
    let runs: usize = comparison.groups.iter().map(|group| group.runs.len()).sum();
    let better = if comparison.goal == Goal::Maximize { "more" } else { "less" };
    let by = match (&comparison.by[..], runs) {
        ([], 1) => String::new(),
        ([], _) => " that differ in no setting but the seed".into(),
        (keys, _) => format!(" by {}", keys.join(", ")),
    };
    let within = match &comparison.within[..] {
        [] => String::new(),
        some => format!("; pairs agree in {}", some.join(", ")),
    };
    format!("{}{by}{within}: {} ({better} is better)", counted(runs, "run"), comparison.score)
}

/// The groups with their scores.
pub(super) fn table(comparison: &Comparison) -> Table {
    let level = four(comparison.level);
    let heads = ["group", "runs", "mean", "95 % interval", "least", "most", "reach", "passes", "seconds"];
    let mut table = Table::new(heads);
    let times = |group: &Group, value: Option<f64>| {
        value.filter(|_| group.reach > 0).map_or_else(|| "-".into(), four)
    };
    for group in &comparison.groups {
        let [least, most] =
            [f64::min, f64::max].map(|of| group.scores.iter().copied().reduce(of).unwrap_or(f64::NAN));
        let spread = group.half_width.map_or_else(
            || "-".into(),
            |half| format!("{} .. {}", four(group.mean - half), four(group.mean + half)),
        );
        let diverged =
            if group.diverged > 0 { format!(" (+{} diverged)", group.diverged) } else { String::new() };
        table.add([
            theirs(&group.label).into_owned(),
            format!("{}{diverged}", group.runs.len()),
            four(group.mean),
            spread,
            four(least),
            four(most),
            format!("{level}: {}/{}", group.reach, group.runs.len()),
            times(group, group.passes),
            times(group, group.seconds),
        ]);
    }
    table
}

/// What is said of one group against the other: which they are, and the lines below that.
pub(super) fn against(comparison: &Comparison, versus: &Versus) -> (String, Vec<String>) {
    let (group, other) = (&comparison.groups[versus.group], &comparison.groups[comparison.against]);
    let d = &versus.difference;
    let pairs = if d.paired {
        format!("{} of the same seed", counted(d.count, "pair"))
    } else {
        "no seed in common, so not by pairs".into()
    };
    let title = format!("{} against {} ({pairs})", group.label, other.label);
    let sign = if d.mean > 0.0 { "+" } else { "" };
    let mut words = format!("difference {sign}{}", interval(d.mean, d.half_width));
    if d.half_width.is_some() {
        words += " (95 % interval)";
    }
    if d.paired {
        let [better, worse] = match comparison.goal {
            Goal::Maximize => [d.greater, d.less],
            Goal::Minimize => [d.less, d.greater],
        };
        words += &format!("; better in {better}, worse in {worse}, equal in {} of {}", d.ties, d.count);
    }
    let mut lines = vec![words];
    let test = if d.paired { "paired t test" } else { "Welch's t test" };
    let p = |p: Option<f64>| p.map_or_else(|| "-".into(), |p| probability(p).replace("< ", "below "));
    let adjusted = if comparison.versus.len() > 1 {
        format!(" ({} for {} comparisons)", p(versus.adjusted), comparison.versus.len())
    } else {
        String::new()
    };
    let ties = if d.ties > 0 { format!(" ({} left out)", counted(d.ties, "tie")) } else { String::new() };
    let sign = if d.paired { format!("; exact sign test {}{ties}", p(d.sign_test)) } else { String::new() };
    lines.push(format!(
        "chance of such a difference if there is none: {test} {}{adjusted}{sign}",
        p(d.t_test)
    ));
    let times = [("passes", versus.passes), ("seconds", versus.seconds)];
    let times: Vec<String> =
        times.iter().filter_map(|(unit, factor)| Some(spent(unit, factor.as_ref()?))).collect();
    if !times.is_empty() {
        lines.push(format!("to {} {}: {}", comparison.score, four(comparison.level), times.join("; ")));
    }
    lines.push(verdict(versus));
    (title, lines)
}

fn spent(unit: &str, factor: &Factor) -> String {
    let interval = factor
        .interval
        .map_or_else(String::new, |[low, high]| format!(", 95 % interval {} .. {}", four(low), four(high)));
    format!("{} times the {unit}{interval}", four(factor.factor))
}

/// What can be said.
fn verdict(versus: &Versus) -> String {
    match versus.conclusion {
        Conclusion::Better => "better".into(),
        Conclusion::Worse => "worse".into(),
        Conclusion::NotShown => "no difference is shown".into(),
        Conclusion::TooFew => {
            let what = if versus.difference.paired { "pairs" } else { "runs of each" };
            format!("no verdict: {} {what}, at least {FEWEST} are needed", versus.difference.count)
        }
    }
}
