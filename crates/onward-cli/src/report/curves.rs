//! Which plots a report has.

use super::axis::{AxisKind, Unit};
use super::confusion::confusion_plot;
use super::line::{LinePlot, line_plot};
use super::{Plot, Point, Report, Scene};

type Value = fn(&Point) -> Option<f64>;

/// The plots of `report`, without those that nothing was measured for.
pub fn plots(report: &Report<'_>) -> Vec<Plot> {
    let confusion = report.confusion.and_then(|counts| confusion_plot(counts, &report.class_names));
    let scenes = [
        ("loss", loss(report)),
        ("accuracy", accuracy(report)),
        ("signal-to-noise", lone(report, "Signal to noise", |p| p.signal_to_noise.map(f64::from))),
        ("rate", rate(report)),
        ("confusion", confusion),
        ("net", report.net.clone()),
    ];
    let plot = |(name, scene): (&'static str, Option<Scene>)| {
        scene.map(|scene| Plot { name, svg: scene.svg(), scene })
    };
    scenes.into_iter().filter_map(plot).collect()
}

/// The values that can be drawn, over forward passes; over steps where passes were not counted.
fn values(report: &Report<'_>, value: Value) -> Vec<(f64, f64)> {
    let x: fn(&Point) -> u64 = if counts_passes(report) { |p| p.passes } else { |p| p.step };
    let point = |p: &Point| Some((x(p) as f64, value(p).filter(|v| v.is_finite())?));
    report.points.iter().filter_map(point).collect()
}

fn counts_passes(report: &Report<'_>) -> bool {
    report.points.iter().any(|p| p.passes > 0)
}

fn frame(report: &Report<'_>, title: &str) -> LinePlot {
    let x_label = if counts_passes(report) { "forward passes" } else { "step" };
    LinePlot { title: title.into(), x_label: x_label.into(), ..LinePlot::default() }
}

/// Test and train values; a lone curve is named beside the title.
fn pair(report: &Report<'_>, plot: LinePlot, test: Value, train: Value) -> Option<Scene> {
    let series = [("test".to_string(), values(report, test)), ("train".to_string(), values(report, train))];
    let drawn: Vec<&str> = series.iter().filter(|s| !s.1.is_empty()).map(|s| s.0.as_str()).collect();
    let y_label = match drawn[..] {
        [] => return None,
        [lone] => lone.into(),
        _ => plot.y_label.clone(),
    };
    Some(line_plot(&LinePlot { y_label, ..plot }, &series))
}

fn loss(report: &Report<'_>) -> Option<Scene> {
    let (test, train): (Value, Value) = (|p| p.test_loss, |p| p.train_loss);
    let all = values(report, test).into_iter().chain(values(report, train));
    let y = AxisKind::fitting(all.map(|v| v.1));
    pair(report, LinePlot { y, ..frame(report, "Loss") }, test, train)
}

fn accuracy(report: &Report<'_>) -> Option<Scene> {
    let reference = report.baseline.as_ref().filter(|b| b.accuracy.is_finite());
    let reference = reference.map(|b| (b.name.clone(), f64::from(b.accuracy)));
    let plot = LinePlot { unit: Unit::Percent, reference, ..frame(report, "Accuracy") };
    pair(report, plot, |p| p.test_accuracy.map(f64::from), |p| p.train_accuracy.map(f64::from))
}

fn lone(report: &Report<'_>, title: &str, value: Value) -> Option<Scene> {
    let points = values(report, value);
    let y = AxisKind::fitting(points.iter().map(|v| v.1));
    let plot = LinePlot { y, ..frame(report, title) };
    (!points.is_empty()).then(|| line_plot(&plot, &[(title.to_lowercase(), points)]))
}

/// A rate that never changes is a fact, not a curve.
fn rate(report: &Report<'_>) -> Option<Scene> {
    let points = values(report, |p| p.rate.map(f64::from));
    let changes = points.windows(2).any(|w| w[0].1 != w[1].1);
    if changes { lone(report, "Learning rate", |p| p.rate.map(f64::from)) } else { None }
}
