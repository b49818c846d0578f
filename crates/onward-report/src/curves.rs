//! Which plots a report has.

use crate::axis::{AxisKind, Unit};
use crate::confusion::confusion_plot;
use crate::font;
use crate::line::{LinePlot, line_plot};
use crate::scene::Weight;
use crate::{Plot, Point, Report, Scene, predicted_plot, residual_plot};
use onward_run::metrics::BOUND;
use std::collections::HashSet;

/// No more curves than this are drawn of measurements that the program does not know.
pub(crate) const MOST_OWN: usize = 24;
const LONGEST_TITLE: f64 = 280.0;

type Value = fn(&Point) -> Option<f64>;

/// The plots of `report`, without those that nothing was measured for.
pub fn plots(report: &Report<'_>) -> Vec<Plot> {
    let confusion = report.confusion.and_then(|counts| confusion_plot(counts, &report.class_names));
    let scenes = [
        ("loss", loss(report)),
        ("accuracy", accuracy(report)),
        ("predicted", predicted_plot(&report.values)),
        ("residuals", residual_plot(&report.values)),
        ("signal-to-noise", lone(report, "Signal to noise", |p| p.signal_to_noise.map(f64::from))),
        ("rate", rate(report)),
        ("confusion", confusion),
    ];
    let generated = report.generated.iter().map(|(name, scene)| (name.clone(), scene.clone()));
    let known = scenes.into_iter().filter_map(|(name, scene)| Some((name.to_owned(), scene?)));
    let net = report.net.iter().map(|net| ("net".to_owned(), net.clone()));
    let known = known.chain(generated).chain(net);
    known.chain(own(report)).map(|(name, scene)| Plot { name, svg: scene.svg(), scene }).collect()
}

/// Measurements of the run's own over steps: a curve for each name, and a file's name for each curve.
fn own(report: &Report<'_>) -> Vec<(String, Scene)> {
    let scene = |name: &&str| {
        let of_name = || report.own.iter().filter(|m| m.name == **name);
        let unit = of_name().map(|m| m.unit.as_str()).next().unwrap_or_default();
        let points: Vec<(f64, f64)> =
            of_name().filter(|m| m.value.is_finite()).map(|m| (m.step as f64, m.value)).collect();
        let title = font::fit(name, 15.0, Weight::SemiBold, LONGEST_TITLE);
        let plot = LinePlot {
            title,
            x_label: "step".into(),
            y: AxisKind::fitting(points.iter().map(|p| p.1)),
            y_label: font::fit(unit, 12.0, Weight::Regular, LONGEST_TITLE / 2.0),
            ..LinePlot::default()
        };
        (!points.is_empty()).then(|| line_plot(&plot, &[(String::new(), points)]))
    };
    let names = own_names(report);
    let drawn = names.iter().take(MOST_OWN).filter_map(scene);
    (1..).zip(drawn).map(|(n, scene)| (format!("own-{n}"), scene)).collect()
}

/// The names of the run's own measurements, in the order in which they came.
pub(crate) fn own_names<'a>(report: &Report<'a>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    let names = report.own.iter().map(|m| m.name.as_str()).filter(|name| *name != BOUND);
    names.filter(|name| seen.insert(*name)).collect()
}

/// The values that can be drawn, over forward passes; over steps where passes were not counted.
fn values(report: &Report<'_>, value: impl Fn(&Point) -> Option<f64>) -> Vec<(f64, f64)> {
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

/// Test, train and validation values, and more where there are any; a lone curve is named beside the title.
fn three(
    report: &Report<'_>,
    plot: LinePlot,
    [test, train, validation]: [Value; 3],
    more: Option<(String, Vec<(f64, f64)>)>,
) -> Option<Scene> {
    let mut series =
        vec![("test".to_string(), values(report, test)), ("train".to_string(), values(report, train))];
    series.push(("validation".to_string(), values(report, validation)));
    series.extend(more);
    series.retain(|(name, points)| name != "validation" || !points.is_empty());
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
    let bounds: Vec<(u64, f64)> =
        report.own.iter().filter(|m| m.name == BOUND).map(|m| (m.step, m.value)).collect();
    let bound = |p: &Point| bounds.iter().find(|(step, _)| *step == p.step).map(|(_, bound)| *bound);
    let bound = values(report, bound);
    let all = values(report, test).into_iter().chain(values(report, train)).chain(bound.iter().copied());
    let y = AxisKind::fitting(all.map(|v| v.1));
    let more = (!bound.is_empty()).then(|| ("bound".to_owned(), bound));
    three(report, LinePlot { y, ..frame(report, "Loss") }, [test, train, |p| p.validation_loss], more)
}

fn accuracy(report: &Report<'_>) -> Option<Scene> {
    let reference = report.baseline.as_ref().filter(|b| b.accuracy.is_finite());
    let reference = reference.map(|b| (b.name.clone(), f64::from(b.accuracy)));
    let plot = LinePlot { unit: Unit::Percent, reference, ..frame(report, "Accuracy") };
    let shares: [Value; 3] = [
        |p| p.test_accuracy.map(f64::from),
        |p| p.train_accuracy.map(f64::from),
        |p| p.validation_accuracy.map(f64::from),
    ];
    three(report, plot, shares, None)
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
