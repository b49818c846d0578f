//! The pictures and tables of a study's page.

use super::journal::{Entry, Phase};
use super::reasons::kind;
use super::session::Session;
use super::view::why;
use crate::command::table::Table;
use onward::study::{Dimension, Domain, Goal, Spacing};
use onward::words::four;
use onward_report::{AxisKind, LinePlot, ParallelAxis, Plot, Scene, cloud_plot, parallel_plot};
use serde_json::Value;
use std::collections::BTreeMap;

/// Dimensions that have a picture of their own.
const DRAWN: usize = 24;
/// Points that are shown as the best.
const BEST: usize = 10;
/// Lines of parallel coordinates.
const LINES: usize = 400;

/// The evaluations of the search with their losses, the best first.
fn ranked(session: &Session) -> Vec<(&Entry, f64)> {
    let searched = |e: &&Entry| matches!(e.phase, Phase::Check | Phase::Search);
    let mut all: Vec<(&Entry, f64)> =
        session.entries.iter().filter(searched).filter_map(|e| Some((e, e.loss?))).collect();
    let lower = |loss: f64| if session.settings.goal == Goal::Maximize { -loss } else { loss };
    all.sort_by(|a, b| lower(a.1).total_cmp(&lower(b.1)).then(a.0.id.cmp(&b.0.id)));
    all
}

/// Where a value stands on a dimension, as a number; words by their place.
fn number(session: &Session, at: usize, entry: &Entry) -> Option<f64> {
    let dimension = &session.space.dimensions()[at];
    match (&dimension.kind, entry.values.get(&dimension.name)?) {
        (Domain::Category { options }, Value::String(word)) => {
            options.iter().position(|option| option == word).map(|i| i as f64)
        }
        (_, value) => value.as_f64(),
    }
}

fn is_log(kind: &Domain) -> bool {
    matches!(kind, Domain::Float { spacing: Spacing::Log, .. } | Domain::Int { spacing: Spacing::Log, .. })
}

/// All pictures.
pub fn plots(session: &Session) -> Vec<Plot> {
    let ranked = ranked(session);
    let mut plots = vec![plot("evaluations", evaluations(session, &ranked))];
    let importance = importances(session, &ranked);
    for at in importance.iter().map(|(at, _)| *at).take(DRAWN) {
        let name = format!("against-{}", session.space.dimensions()[at].name);
        plots.push(plot(&name, against(session, at, &ranked)));
    }
    if session.space.dimensions().len() > 1 && ranked.len() > 1 {
        plots.push(plot("parallel", parallel(session, &ranked)));
    }
    plots
}

fn plot(name: &str, scene: Scene) -> Plot {
    Plot { name: name.into(), svg: scene.svg(), scene }
}

fn fitting(session: &Session, ranked: &[(&Entry, f64)]) -> AxisKind {
    // By the better half: a few huge losses would hide all else.
    let half = ranked.len().div_ceil(2);
    if session.settings.goal == Goal::Maximize {
        AxisKind::Linear
    } else {
        AxisKind::fitting(ranked[..half].iter().map(|r| r.1))
    }
}

/// Losses up to a little beyond those of the better nine tenths, so that one slip does not flatten the picture; what is beyond stands at the edge.
fn ceiling(ranked: &[(&Entry, f64)]) -> (f64, f64) {
    let losses: Vec<f64> = ranked.iter().map(|r| r.1).collect();
    let at = |share: f64| losses.get(((losses.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(0.0);
    let (best, most) = (at(0.0), at(0.9));
    let room = 0.3 * (most - best);
    if most >= best { (f64::NEG_INFINITY, most + room) } else { (most + room, f64::INFINITY) }
}

/// Every evaluation: losses over their order, and failures at the edge.
fn evaluations(session: &Session, ranked: &[(&Entry, f64)]) -> Scene {
    let (low, high) = ceiling(ranked);
    let points: Vec<(f64, f64)> =
        ranked.iter().map(|(e, loss)| (e.id as f64, loss.clamp(low, high))).collect();
    let edge = if session.settings.goal == Goal::Maximize { f64::min } else { f64::max };
    let edge = points.iter().map(|p| p.1).reduce(edge).unwrap_or(0.0);
    let failed = session.entries.iter().filter(|e| e.loss.is_none()).map(|e| (e.id as f64, edge)).collect();
    let y_label = "blue: losses; orange, at the edge: failures".into();
    let y = fitting(session, ranked);
    let plot = LinePlot {
        title: "Every evaluation".into(),
        x_label: "evaluation".into(),
        y_label,
        y,
        ..LinePlot::default()
    };
    cloud_plot(&plot, &[("losses".into(), points), ("failures".into(), failed)])
}

/// One dimension against the loss.
fn against(session: &Session, at: usize, ranked: &[(&Entry, f64)]) -> Scene {
    let dimension = &session.space.dimensions()[at];
    let (low, high) = ceiling(ranked);
    let point = |(entry, loss): &(&Entry, f64)| Some((number(session, at, entry)?, loss.clamp(low, high)));
    let all: Vec<(f64, f64)> = ranked.iter().filter_map(point).collect();
    let best: Vec<(f64, f64)> = all.iter().take(BEST).copied().collect();
    let x_words = match &dimension.kind {
        Domain::Category { options } => options.clone(),
        _ => Vec::new(),
    };
    let plot = LinePlot {
        title: format!("Loss against {}", dimension.name),
        x_label: dimension.name.clone(),
        y_label: format!("blue: the best {}", best.len()),
        x: if is_log(&dimension.kind) { AxisKind::Log } else { AxisKind::Linear },
        x_words,
        y: fitting(session, ranked),
        ..LinePlot::default()
    };
    cloud_plot(&plot, &[("best".into(), best), ("others".into(), all)])
}

/// Where a value stands in its dimension's box, 0 to 1.
fn share(session: &Session, at: usize, entry: &Entry) -> f64 {
    let value = number(session, at, entry).unwrap_or(0.0);
    let between = |low: f64, high: f64| (value - low) / (high - low).max(f64::MIN_POSITIVE);
    match &session.space.dimensions()[at].kind {
        kind @ (Domain::Float { .. } | Domain::Int { .. }) => {
            let (low, high) = bounds(kind);
            if is_log(kind) { (value / low).ln() / (high / low).ln() } else { between(low, high) }
        }
        Domain::Grid { low, step, count, .. } => between(*low, low + step * (count - 1) as f64),
        Domain::Category { options } => between(0.0, (options.len() - 1) as f64),
        Domain::Real { start, scale } => between(start - 4.0 * scale, start + 4.0 * scale),
    }
}

fn bounds(kind: &Domain) -> (f64, f64) {
    match kind {
        Domain::Float { low, high, .. } => (*low, *high),
        Domain::Int { low, high, .. } => (*low as f64, *high as f64),
        Domain::Grid { low, step, count, .. } => (*low, low + step * (count - 1) as f64),
        Domain::Category { options } => (0.0, options.len() as f64 - 1.0),
        Domain::Real { start, scale } => (start - 4.0 * scale, start + 4.0 * scale),
    }
}

fn parallel(session: &Session, ranked: &[(&Entry, f64)]) -> Scene {
    let dimensions = session.space.dimensions();
    let ends = |kind: &Domain| match kind {
        Domain::Category { options } => [options[0].clone(), options[options.len() - 1].clone()],
        other => [four(bounds(other).0), four(bounds(other).1)],
    };
    let mut axes: Vec<ParallelAxis> =
        dimensions.iter().map(|d| ParallelAxis { name: d.name.clone(), ends: ends(&d.kind) }).collect();
    let count = ranked.len();
    axes.push(ParallelAxis { name: "rank".into(), ends: [count.to_string(), "best".into()] });
    let stride = count.div_ceil(LINES).max(1);
    // The best all, of the others as many as can be told apart.
    let chosen = ranked.iter().enumerate().filter(|(rank, _)| *rank < BEST || rank % stride == 0);
    let line = |(rank, (entry, _)): (usize, &(&Entry, f64))| {
        let shares = (0..dimensions.len()).map(|at| share(session, at, entry));
        shares.chain([1.0 - rank as f64 / (count as f64 - 1.0).max(1.0)]).collect()
    };
    let lines: Vec<Vec<f64>> = chosen.map(line).collect();
    parallel_plot(
        "All dimensions at once",
        &format!("blue: the best {}", BEST.min(count)),
        &axes,
        &lines,
        BEST.min(count),
    )
}

/// Pieces that a dimension's values are put into.
const PIECES: usize = 6;

/// How much of the spread of the losses' ranks each dimension alone explains, the most first: the share of variance between the means of pieces of
/// its values that hold as many points each (the correlation ratio), less what chance alone would give.
pub fn importances(session: &Session, ranked: &[(&Entry, f64)]) -> Vec<(usize, f64)> {
    let n = ranked.len() as f64;
    let of = |at: usize| {
        let mut placed: Vec<(f64, f64)> = ranked
            .iter()
            .enumerate()
            .filter_map(|(rank, (entry, _))| Some((number(session, at, entry)?, rank as f64 / n)))
            .collect();
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut pieces: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        let mut first = 0;
        for same in placed.chunk_by(|a, b| a.0 == b.0) {
            // Equal values belong together.
            let piece = pieces.entry(first * PIECES / placed.len().max(1)).or_default();
            same.iter().for_each(|(_, rank)| *piece = (piece.0 + rank, piece.1 + 1.0));
            first += same.len();
        }
        let mean = placed.iter().map(|p| p.1).sum::<f64>() / n;
        let within = |p: &(f64, f64)| p.1 * (p.0 / p.1 - mean).powi(2);
        let between: f64 = pieces.values().map(within).sum();
        let all: f64 = placed.iter().map(|p| (p.1 - mean).powi(2)).sum();
        let (k, share) = (pieces.len() as f64, between / all);
        if all > 0.0 && n > k { (1.0 - (1.0 - share) * (n - 1.0) / (n - k)).max(0.0) } else { 0.0 }
    };
    let mut all: Vec<(usize, f64)> = (0..session.space.dimensions().len()).map(|at| (at, of(at))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new(heads.iter().copied());
    rows.for_each(|row| table.add(row));
    table.html()
}

/// A value of an evaluation, for reading.
fn value(entry: &Entry, name: &str) -> String {
    match entry.values.get(name) {
        Some(Value::String(word)) => word.clone(),
        Some(number) => number.as_f64().map_or_else(|| number.to_string(), four),
        None => String::new(),
    }
}

/// Tables: the best points, what matters, and failures with their reasons.
pub fn sections(session: &Session) -> String {
    let ranked = ranked(session);
    let dimensions = session.space.dimensions();
    let mut out = String::new();
    if !ranked.is_empty() {
        let heads: Vec<&str> =
            ["evaluation", "loss"].into_iter().chain(dimensions.iter().map(|d| d.name.as_str())).collect();
        let rows = ranked.iter().take(BEST).map(|(entry, loss)| {
            let values = dimensions.iter().map(|d| value(entry, &d.name));
            [entry.id.to_string(), four(*loss)].into_iter().chain(values).collect()
        });
        out += &format!(
            "<section>\n<h2>The best {}</h2>\n{}</section>\n",
            BEST.min(ranked.len()),
            table(&heads, rows)
        );
    }
    if ranked.len() > 2 * PIECES && dimensions.len() > 1 {
        let rows = importances(session, &ranked)
            .into_iter()
            .map(|(at, share)| vec![dimensions[at].name.clone(), format!("{:.0} %", 100.0 * share)]);
        out += "<section>\n<h2>What matters</h2>\n<p class=\"note\">How much of the losses' order each dimension explains alone, where the search looked; \
                what only matters together is not seen here.</p>\n";
        out += &table(&["dimension", "explains"], rows);
        out += "</section>\n";
    }
    out + &failures(session)
}

/// Failures by reason, the most frequent first, each with an example.
fn failures(session: &Session) -> String {
    if session.tally.failures() == 0 {
        return String::new();
    }
    let mut by_reason: BTreeMap<String, (u64, &Entry)> = BTreeMap::new();
    for entry in session.entries.iter().filter(|entry| entry.failed.is_some()) {
        by_reason.entry(kind(entry)).or_insert((0, entry)).0 += 1;
    }
    let mut all: Vec<(u64, &Entry)> = by_reason.into_values().collect();
    all.sort_by_key(|(count, entry)| (std::cmp::Reverse(*count), entry.id));
    let with = |entry: &Entry| {
        let one = |d: &Dimension| format!("{}={}", d.name, value(entry, &d.name));
        session.space.dimensions().iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let rows = all
        .into_iter()
        .take(40)
        .map(|(count, entry)| vec![count.to_string(), why(entry), entry.id.to_string(), with(entry)]);
    let table = table(&["evaluations", "reason, as the first was told", "first", "with"], rows);
    format!("<section>\n<h2>Failures</h2>\n{table}</section>\n")
}
