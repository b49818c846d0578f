//! The page of a comparison: how each group's score went, over passes and over seconds, and what was found.

use super::compare::{against, head, left_out, table};
use onward::Result;
use onward::study::{Goal, Repeated};
use onward_report::{AxisKind, Banded, LinePlot, Page, Plot, Unit, band_plot, escape, write_page};
use onward_run::catalogue::Scored;
use onward_run::compare::{Comparison, Group};
use std::collections::BTreeMap;
use std::path::Path;

/// Writes `report.html` and its plots.
pub fn write(comparison: &Comparison, out: &Path) -> Result<()> {
    let plots = [
        plot(comparison, "passes", "forward passes", |row| row.passes as f64),
        plot(comparison, "seconds", "seconds", |row| row.seconds),
    ];
    let headline = head(comparison);
    let mut sections = section("Groups", &table(comparison).html(), &[]);
    for versus in &comparison.versus {
        let (title, lines) = against(comparison, versus);
        sections += &section(&title, "", &lines);
    }
    let left_out = left_out(comparison);
    if !left_out.is_empty() {
        sections += &section("Left out", "", &left_out);
    }
    let page = Page {
        over: "comparison",
        name: &comparison.score,
        headline: &headline,
        header: String::new(),
        plots: &plots,
        facts: &[],
        sections,
        source: ("", ""),
    };
    write_page(&page.html(), &plots, out)
}

/// A section of a page: HTML, and sentences below it.
fn section(title: &str, html: &str, sentences: &[String]) -> String {
    let each: String = sentences.iter().map(|one| format!("<p>{}</p>\n", escape(one))).collect();
    format!("<section>\n<h2>{}</h2>\n{html}{each}</section>\n", escape(title))
}

fn plot(comparison: &Comparison, name: &str, x_label: &str, x: fn(&Scored) -> f64) -> Plot {
    let share = comparison.score.ends_with("accuracy");
    // An interval of few runs goes beyond what a share can be.
    let most = if share { [0.0, 1.0] } else { [f64::NEG_INFINITY, f64::INFINITY] };
    let series: Vec<Banded> =
        comparison.groups.iter().map(|group| (group.label.clone(), band(group, x, most))).collect();
    let values = series.iter().flat_map(|(_, points)| points.iter().map(|p| p[3]));
    let y = if comparison.goal == Goal::Maximize { AxisKind::Linear } else { AxisKind::fitting(values) };
    let plot = LinePlot {
        title: comparison.score.clone(),
        x_label: x_label.into(),
        y_label: "mean of the runs; shade: its 95 % interval".into(),
        y,
        unit: if share { Unit::Percent } else { Unit::Number },
        ..LinePlot::default()
    };
    let scene = band_plot(&plot, &series);
    Plot { name: name.into(), svg: scene.svg(), scene }
}

/// Mean and interval, within `least` and `most`, at each step that all runs of a group have a row of.
fn band(group: &Group, x: fn(&Scored) -> f64, [least, most]: [f64; 2]) -> Vec<[f64; 4]> {
    let mut steps: BTreeMap<u64, Vec<&Scored>> = BTreeMap::new();
    for row in group.curves.iter().flatten() {
        steps.entry(row.step).or_default().push(row);
    }
    let at = |rows: Vec<&Scored>| {
        let mean = Repeated::of(&rows.iter().map(|row| row.value).collect::<Vec<_>>())?;
        let half = mean.half_width.unwrap_or(0.0);
        let place = rows.iter().map(|row| x(row)).sum::<f64>() / rows.len() as f64;
        let [low, high] = [mean.mean - half, mean.mean + half].map(|bound| bound.clamp(least, most));
        (rows.len() == group.curves.len()).then_some([place, low, high, mean.mean])
    };
    steps.into_values().filter_map(at).collect()
}
