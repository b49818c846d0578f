//! Comparing runs: which settings do better, by how much, and how sure that is.
//!
//! Runs that differ in their seeds alone are one group. Two groups are compared pair by pair: a run of the one with the run of the other
//! that has the same seed, and with it the same initial weights, batches and noise. What the seed does to both then cancels.

use crate::catalogue::{Listed, Scored};
use crate::summary::RunState;
use onward::study::statistics::{Difference, holm};
use onward::study::{Goal, Repeated};
use onward::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Pairs without which there is no verdict: if all of five differ alike, the sign test still gives 1 in 16.
pub const FEWEST: usize = 6;
/// Differences that chance gives less often than this are found.
const SURE: f64 = 0.05;
/// Settings that make no run another.
const NAMES: [&str; 4] = ["name", "seed", "train.eval_every", "train.snapshot_every"];

/// The question of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The keys that groups are made by; empty for all in which the runs differ.
    pub by: Vec<String>,
    /// The score, as in metrics; `None` for the one that most runs are known by.
    pub score: Option<String>,
    /// Whether less or more of it is better; `None` for what its name says.
    pub goal: Option<Goal>,
    /// The level whose reaching is timed; `None` for one that all runs reach.
    pub level: Option<f64>,
    /// The group that others are compared with, by its label or one of its values; `None` for the first.
    pub against: Option<String>,
}

/// The answer of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The score that is compared.
    pub score: String,
    /// Whether less or more of it is better.
    pub goal: Goal,
    /// The level whose reaching is timed.
    pub level: f64,
    /// The keys by which the groups differ.
    pub by: Vec<String>,
    /// Other keys in which runs of one group differ; pairs agree in them.
    pub within: Vec<String>,
    /// The groups, in the order of their values.
    pub groups: Vec<Group>,
    /// The group that the others are compared with.
    pub against: usize,
    /// Each other group against that one.
    pub versus: Vec<Versus>,
    /// Runs that take no part, and why.
    pub left_out: Vec<(PathBuf, String)>,
}

/// Runs of the same settings.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The values of the keys by which groups differ.
    pub label: String,
    /// The runs that are compared.
    pub runs: Vec<PathBuf>,
    /// Their seeds.
    pub seeds: Vec<u64>,
    /// Their scores.
    pub scores: Vec<f64>,
    /// The mean score.
    pub mean: f64,
    /// Half of the 95 % interval of the mean; `None` for one run.
    pub half_width: Option<f64>,
    /// Runs of this group that diverged and have no score.
    pub diverged: usize,
    /// Runs that reach the level.
    pub reach: usize,
    /// The mean of forward passes until they do.
    pub passes: Option<f64>,
    /// The mean of seconds until they do.
    pub seconds: Option<f64>,
    /// Where the scores went, of each run.
    #[serde(skip)]
    pub curves: Vec<Vec<Scored>>,
    /// What runs must share to be a pair.
    #[serde(skip)]
    partners: Vec<String>,
}

/// One group against another.
#[derive(Clone, Debug, Serialize)]
pub struct Versus {
    /// The index of the group.
    pub group: usize,
    /// The scores of the group less those of the other.
    #[serde(with = "Differing")]
    pub difference: Difference,
    /// The t test's probability, adjusted for the number of comparisons (Holm).
    pub adjusted: Option<f64>,
    /// What can be said.
    pub conclusion: Conclusion,
    /// Passes to the level, as a factor of the other's: geometric mean over pairs that both reach it, and its 95 % interval.
    pub passes: Option<Factor>,
    /// The factor between their seconds.
    pub seconds: Option<Factor>,
}

#[derive(Serialize)]
#[serde(remote = "Difference")]
struct Differing {
    mean: f64,
    half_width: Option<f64>,
    count: usize,
    paired: bool,
    greater: usize,
    less: usize,
    ties: usize,
    t_test: Option<f64>,
    sign_test: Option<f64>,
}

/// A factor with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Factor {
    /// The factor.
    pub factor: f64,
    /// The 95 % interval of the factor; `None` for one pair.
    pub interval: Option<[f64; 2]>,
    /// Pairs.
    pub count: usize,
}

/// What a comparison has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Better than chance explains.
    Better,
    /// Worse than chance explains.
    Worse,
    /// Chance explains the difference.
    NotShown,
    /// Fewer than [`FEWEST`] pairs.
    TooFew,
}

/// Whether less of a score is better, by its name.
#[must_use]
pub fn goal_of(score: &str) -> Goal {
    const LESS: [&str; 8] = ["loss", "error", "mae", "mse", "rmse", "perplexity", "brier", "ece"];
    let less = score.split('_').any(|word| LESS.contains(&word));
    if less { Goal::Minimize } else { Goal::Maximize }
}

/// Compares runs.
///
/// # Errors
/// [`ErrorKind::Spec`] if there is nothing to compare, or the question names a key, score or group that there is not;
/// [`ErrorKind::Io`] and [`ErrorKind::Damage`] of metrics.
pub fn compare(runs: &[Listed], question: &Question) -> Result<Comparison> {
    let (ready, diverged, mut left_out) = sorted_out(runs);
    let name = score_name(&ready, question)?;
    let goal = question.goal.unwrap_or_else(|| goal_of(&name));
    let considered: Vec<&Listed> = ready.iter().chain(&diverged).copied().collect();
    let differing = differing(&considered);
    let by = keys(&considered, &differing, question)?;
    let within: Vec<String> = differing.into_iter().filter(|key| !by.contains(key)).collect();
    let mut groups = grouped(&ready, &diverged, &by, &within, &name, &mut left_out)?;
    let level = question.level.unwrap_or_else(|| reached_by_all(&groups, goal));
    groups.iter_mut().for_each(|group| group.time(level, goal));
    let against = against(&groups, question)?;
    let versus = against_each(&groups, against, goal, level);
    Ok(Comparison { score: name, goal, level, by, within, groups, against, versus, left_out })
}

type SortedOut<'a> = (Vec<&'a Listed>, Vec<&'a Listed>, Vec<(PathBuf, String)>);

/// Finished runs, diverged ones, and those that are left out: what is not finished, and what repeats another run.
fn sorted_out(runs: &[Listed]) -> SortedOut<'_> {
    let (mut ready, mut diverged, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen: BTreeMap<String, &Listed> = BTreeMap::new();
    for run in runs {
        match run.summary.state {
            RunState::Diverged => diverged.push(run),
            RunState::Finished => match seen.get(&identity(run)) {
                Some(first) => {
                    let same = first.summary.digest == run.summary.digest;
                    let bits = if same { "bit for bit" } else { "but not its bits" };
                    let why = format!("repeats {}, {bits}", first.path.display());
                    left_out.push((run.path.clone(), why));
                }
                None => {
                    seen.insert(identity(run), run);
                    ready.push(run);
                }
            },
            state => left_out.push((run.path.clone(), state.word().to_owned())),
        }
    }
    (ready, diverged, left_out)
}

/// What determines a run: all settings but names, and the seed.
fn identity(run: &Listed) -> String {
    let settings = run.summary.settings.iter().filter(|(key, _)| !NAMES.contains(&key.as_str()));
    let words: Vec<String> = settings.map(|(key, value)| format!("{key}={value}")).collect();
    format!("{} {}", run.summary.seed, words.join(" "))
}

/// The score that is asked for, or the one that all runs are known by.
fn score_name(ready: &[&Listed], question: &Question) -> Result<String> {
    let Some(first) = ready.first() else {
        let expected = "at least one finished run";
        return Err(Error::expected(ErrorKind::Spec, "runs", expected, "none"));
    };
    let of = |run: &&Listed| run.summary.scores.keys().cloned().collect::<BTreeSet<String>>();
    let common = ready.iter().skip(1).fold(of(first), |all, run| &all & &of(run));
    if let Some(wanted) = &question.score {
        let found = [wanted.clone(), format!("test_{wanted}")].into_iter().find(|name| common.contains(name));
        return found.ok_or_else(|| {
            let all: Vec<String> = common.into_iter().collect();
            let expected = format!("a score that all runs have: {}", all.join(", "));
            Error::expected(ErrorKind::Spec, "score", expected, format!("`{wanted}`"))
        });
    }
    let own: Vec<&String> =
        common.iter().filter(|name| name.starts_with("test_") && *name != "test_loss").collect();
    let known = match &own[..] {
        _ if common.contains("test_accuracy") => "test_accuracy",
        [one] => one,
        _ => "test_loss",
    };
    if common.contains(known) {
        return Ok(known.to_owned());
    }
    let expected = "runs that share a score, such as test_loss";
    Err(Error::expected(ErrorKind::Spec, "runs", expected, "none in common"))
}

/// The keys in which the runs differ, those that make no run another left out.
fn differing(runs: &[&Listed]) -> Vec<String> {
    let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.summary.settings.keys()).collect();
    let values = |key: &str| runs.iter().map(|run| run.setting(key)).collect::<BTreeSet<_>>().len();
    keys.into_iter().filter(|key| !NAMES.contains(&key.as_str()) && values(key) > 1).cloned().collect()
}

/// The keys that groups are made by.
fn keys(runs: &[&Listed], differing: &[String], question: &Question) -> Result<Vec<String>> {
    let known: BTreeSet<&String> = runs.iter().flat_map(|run| run.summary.settings.keys()).collect();
    let whole = |short: &String| {
        let ending = format!(".{short}");
        let fits: Vec<&&String> =
            known.iter().filter(|key| **key == short || key.ends_with(&ending)).collect();
        match fits[..] {
            [one] => Ok((*one).clone()),
            _ if known.contains(short) => Ok(short.clone()),
            _ => {
                let expected = match differing {
                    [] => "a key of the runs' settings".to_owned(),
                    some => format!("a key of the runs' settings; they differ in {}", some.join(", ")),
                };
                Err(Error::expected(ErrorKind::Spec, "--by", expected, format!("`{short}`")))
            }
        }
    };
    if question.by.is_empty() { Ok(differing.to_vec()) } else { question.by.iter().map(whole).collect() }
}

/// The values of some keys in words, each key by the last part of its name.
fn label(run: &Listed, keys: &[String]) -> String {
    let word = |key: &String| format!("{}={}", key.rsplit('.').next().unwrap_or(key), run.setting(key));
    keys.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The values of some keys as what they are sorted by.
fn order_of(run: &Listed, keys: &[String]) -> Vec<(Vec<u64>, String)> {
    keys.iter().map(|key| place(run.setting(key))).collect()
}

/// Numbers by their size, arrays of numbers one after another, and all else behind them by its letters.
fn place(text: String) -> (Vec<u64>, String) {
    // Doubles in the order of their size, as whole numbers.
    let ordered = |v: f64| {
        let bits = v.to_bits();
        if v.is_sign_negative() { !bits } else { bits | 1 << 63 }
    };
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text);
    let numbers: Option<Vec<u64>> =
        inside.split(',').map(|word| word.trim().parse().ok().map(ordered)).collect();
    (numbers.unwrap_or_else(|| vec![u64::MAX]), text)
}

fn grouped(
    ready: &[&Listed],
    diverged: &[&Listed],
    by: &[String],
    within: &[String],
    score: &str,
    left_out: &mut Vec<(PathBuf, String)>,
) -> Result<Vec<Group>> {
    let mut sorted: BTreeMap<Vec<(Vec<u64>, String)>, Vec<&Listed>> = BTreeMap::new();
    for run in ready.iter().chain(diverged) {
        sorted.entry(order_of(run, by)).or_default().push(run);
    }
    let mut groups = Vec::new();
    for mut runs in sorted.into_values() {
        runs.sort_by_key(|run| (run.summary.seed, label(run, within)));
        let (scored, failed): (Vec<&Listed>, Vec<&Listed>) =
            runs.iter().partition(|run| run.summary.state == RunState::Finished);
        let text = if by.is_empty() { "all".into() } else { label(runs[0], by) };
        if scored.is_empty() {
            let why = format!("diverged, like all of {text}");
            left_out.extend(failed.into_iter().map(|run| (run.path.clone(), why.clone())));
            continue;
        }
        let scores: Vec<f64> = scored.iter().map(|run| run.summary.scores[score]).collect();
        let mean = Repeated::of(&scores).unwrap_or_default();
        groups.push(Group {
            label: text,
            runs: scored.iter().map(|run| run.path.clone()).collect(),
            seeds: scored.iter().map(|run| run.summary.seed).collect(),
            mean: mean.mean,
            half_width: mean.half_width,
            scores,
            diverged: failed.len(),
            reach: 0,
            passes: None,
            seconds: None,
            curves: scored.iter().map(|run| run.scored(score)).collect::<Result<_>>()?,
            partners: scored
                .iter()
                .map(|run| format!("{} {}", run.summary.seed, label(run, within)))
                .collect(),
        });
    }
    Ok(groups)
}

fn better(goal: Goal, a: f64, b: f64) -> bool {
    if goal == Goal::Maximize { a > b } else { a < b }
}

/// The best level that every run's rows reach.
fn reached_by_all(groups: &[Group], goal: Goal) -> f64 {
    let pick = |a: f64, b: f64, of: Goal| if better(of, a, b) { a } else { b };
    let worst = if goal == Goal::Maximize { Goal::Minimize } else { Goal::Maximize };
    let best = |rows: &Vec<Scored>| rows.iter().map(|row| row.value).reduce(|a, b| pick(a, b, goal));
    let all = groups.iter().flat_map(|group| &group.curves).filter_map(best);
    all.reduce(|a, b| pick(a, b, worst)).unwrap_or(f64::NAN)
}

/// The first row at which a run is as good as the level.
fn reaching(rows: &[Scored], level: f64, goal: Goal) -> Option<&Scored> {
    rows.iter().find(|row| row.value == level || better(goal, row.value, level))
}

impl Group {
    fn time(&mut self, level: f64, goal: Goal) {
        let rows: Vec<&Scored> = self.curves.iter().filter_map(|rows| reaching(rows, level, goal)).collect();
        let mean = |of: fn(&Scored) -> f64| {
            (!rows.is_empty()).then(|| rows.iter().map(|row| of(row)).sum::<f64>() / rows.len() as f64)
        };
        (self.passes, self.seconds) = (mean(|row| row.passes as f64), mean(|row| row.seconds));
        self.reach = rows.len();
    }
}

fn against(groups: &[Group], question: &Question) -> Result<usize> {
    let Some(wanted) = &question.against else { return Ok(0) };
    let fits = |group: &Group| {
        group.label == *wanted
            || group.label.split(' ').any(|word| word == wanted || word.ends_with(&format!("={wanted}")))
    };
    groups.iter().position(fits).ok_or_else(|| {
        let all: Vec<&str> = groups.iter().map(|group| group.label.as_str()).collect();
        let expected = format!("one of the groups: {}", all.join(", "));
        Error::expected(ErrorKind::Spec, "--against", expected, format!("`{wanted}`"))
    })
}

/// The indices of runs that are pairs.
fn pairs(a: &Group, b: &Group) -> Vec<(usize, usize)> {
    let partner = |i: usize| b.partners.iter().position(|other| *other == a.partners[i]).map(|j| (i, j));
    (0..a.runs.len()).filter_map(partner).collect()
}

fn against_each(groups: &[Group], against: usize, goal: Goal, level: f64) -> Vec<Versus> {
    let other = &groups[against];
    let mut all: Vec<Versus> = (0..groups.len())
        .filter(|group| *group != against)
        .filter_map(|group| versus(group, &groups[group], other, goal, level))
        .collect();
    let tests: Vec<f64> = all.iter().filter_map(|one| one.difference.t_test).collect();
    let mut adjusted = holm(&tests).into_iter();
    for one in &mut all {
        one.adjusted = one.difference.t_test.and_then(|_| adjusted.next());
        one.conclusion = match one.adjusted {
            _ if one.difference.count < FEWEST => Conclusion::TooFew,
            Some(p) if p < SURE && better(goal, one.difference.mean, 0.0) => Conclusion::Better,
            Some(p) if p < SURE => Conclusion::Worse,
            _ => Conclusion::NotShown,
        };
    }
    all
}

fn versus(index: usize, group: &Group, other: &Group, goal: Goal, level: f64) -> Option<Versus> {
    let pairs = pairs(group, other);
    let scores: Vec<(f64, f64)> = pairs.iter().map(|(i, j)| (group.scores[*i], other.scores[*j])).collect();
    let difference = match Difference::paired(&scores) {
        Some(paired) => paired,
        None => Difference::unpaired(&group.scores, &other.scores)?,
    };
    let factor = |of: fn(&Scored) -> f64| {
        let at = |rows: &[Scored]| reaching(rows, level, goal).map(of).filter(|spent| *spent > 0.0);
        let logs: Vec<f64> = pairs
            .iter()
            .filter_map(|(i, j)| Some((at(&group.curves[*i])? / at(&other.curves[*j])?).ln()))
            .collect();
        let mean = Repeated::of(&logs)?;
        let interval = mean.half_width.map(|half| [(mean.mean - half).exp(), (mean.mean + half).exp()]);
        Some(Factor { factor: mean.mean.exp(), interval, count: mean.count })
    };
    let (passes, seconds) = (factor(|row| row.passes as f64), factor(|row| row.seconds));
    Some(Versus { group: index, difference, adjusted: None, conclusion: Conclusion::TooFew, passes, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_sorted_as_people_count() {
        let mut all: Vec<(Vec<u64>, String)> = ["relu", "[16]", "10", "[4, 8]", "1e-3", "[4]", "-2", "gelu"]
            .map(|text| place(text.into()))
            .into();
        all.sort();
        let texts: Vec<&str> = all.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["-2", "1e-3", "[4]", "[4, 8]", "10", "[16]", "gelu", "relu"]);
    }
}
