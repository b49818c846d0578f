//! Numbers against numbers: what was predicted against what is true, and what is left.

use crate::axis::{Axis, AxisKind, Margin, Unit};
use crate::font;
use crate::scene::{Anchor, Colour, Dash, Mark, Scene, Text, Weight};

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 46.0;
const RIGHT: f64 = WIDTH - 12.0;
const SMALL: f64 = 13.0;
/// More points are thinned out evenly.
const MOST: usize = 1500;

/// Predicted values (second of each pair) against true ones (first), with the diagonal on which they agree. None without a finite pair.
pub fn predicted_plot(pairs: &[(f64, f64)]) -> Option<Scene> {
    let pairs = drawn(pairs);
    let all = pairs.iter().flat_map(|(x, y)| [*x, *y]);
    let axis = || Axis::around(AxisKind::Linear, Unit::Number, Margin::Loose, all.clone());
    let description = format!("Predicted against true values of {} test rows", pairs.len());
    let (x, y) = (axis(), axis());
    let (low, high) = all.clone().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let line = [(low, low), (high, high)];
    scene(
        "Predicted and true",
        "dashed: predicted = true",
        ["true", "predicted"],
        (x, y),
        &pairs,
        line,
        description,
    )
}

/// What is left, predicted less true, against predicted values. None without a finite pair.
pub fn residual_plot(pairs: &[(f64, f64)]) -> Option<Scene> {
    let left: Vec<(f64, f64)> = drawn(pairs).iter().map(|(truth, said)| (*said, said - truth)).collect();
    let x = Axis::around(AxisKind::Linear, Unit::Number, Margin::Loose, left.iter().map(|p| p.0));
    let y =
        Axis::around(AxisKind::Linear, Unit::Number, Margin::Loose, left.iter().map(|p| p.1).chain([0.0]));
    let (low, high) =
        left.iter().map(|p| p.0).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let description = format!("Residuals against predicted values of {} test rows", left.len());
    let line = [(low, 0.0), (high, 0.0)];
    scene("Residuals", "predicted less true", ["predicted", "residual"], (x, y), &left, line, description)
}

fn drawn(pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let takes = |v: f64| AxisKind::Linear.takes(v);
    let finite: Vec<(f64, f64)> = pairs.iter().copied().filter(|(x, y)| takes(*x) && takes(*y)).collect();
    finite.iter().step_by(finite.len().div_ceil(MOST).max(1)).copied().collect()
}

fn scene(
    title: &str,
    note: &str,
    names: [&str; 2],
    (x, y): (Axis, Axis),
    points: &[(f64, f64)],
    line: [(f64, f64); 2],
    description: String,
) -> Option<Scene> {
    let text = |at, words: String| Text::new(at, SMALL, Colour::Muted, words);
    let ticks = y.ticks(4);
    let widest =
        ticks.iter().map(|(_, label)| font::width(label, SMALL, Weight::Regular)).fold(0.0, f64::max);
    let left = widest + 9.0;
    let at = |point: (f64, f64)| {
        [
            left + x.place(point.0) * (RIGHT - left),
            HEIGHT - BOTTOM - y.place(point.1) * (HEIGHT - BOTTOM - TOP),
        ]
    };
    let mut marks = vec![
        Mark::Text(Text::new([0.0, 16.0], 15.0, Colour::Ink, title).semi_bold()),
        Mark::Text(text([0.0, 34.0], format!("{note} · up: {}", names[1]))),
    ];
    for (value, label) in ticks {
        let height = at((0.0, value))[1];
        marks.push(Mark::segment([left, height], [RIGHT, height], Colour::Rule, 1.0, Dash::Solid));
        marks.push(Mark::Text(text([left - 7.0, height + 0.36 * SMALL], label).anchored(Anchor::End)));
    }
    let mut free = 0.0;
    for (value, label) in x.ticks(4) {
        let (middle, half) = (at((value, 0.0))[0], font::width(&label, SMALL, Weight::Regular) / 2.0);
        if middle - half >= free && middle + half <= WIDTH {
            free = middle + half + 8.0;
            marks.push(Mark::Text(text([middle, HEIGHT - BOTTOM + 19.0], label).anchored(Anchor::Middle)));
        }
    }
    marks.push(Mark::Text(
        text([(left + RIGHT) / 2.0, HEIGHT - 6.0], names[0].into()).anchored(Anchor::Middle),
    ));
    marks.push(Mark::segment(at(line[0]), at(line[1]), Colour::Muted, 1.2, Dash::Dashed));
    let radius = if points.len() > 400 { 1.6 } else { 2.4 };
    marks.extend(points.iter().map(|point| Mark::Dot { at: at(*point), radius, colour: Colour::Series(0) }));
    (!points.is_empty()).then_some(Scene { width: WIDTH, height: HEIGHT, description, marks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_inside_and_on_their_line() {
        let pairs: Vec<(f64, f64)> =
            (0..4000).map(|i| (f64::from(i), f64::from(i) + f64::from(i % 7))).collect();
        for scene in [predicted_plot(&pairs).unwrap(), residual_plot(&pairs).unwrap()] {
            let dots: Vec<[f64; 2]> = scene
                .marks
                .iter()
                .filter_map(|m| if let Mark::Dot { at, .. } = m { Some(*at) } else { None })
                .collect();
            assert!(dots.len() > 1000 && dots.len() <= MOST);
            assert!(
                dots.iter().all(|[x, y]| (0.0..=WIDTH).contains(x) && (TOP..=HEIGHT - BOTTOM).contains(y))
            );
        }
    }

    #[test]
    fn one_point_and_what_is_not_finite_are_survived() {
        assert!(predicted_plot(&[]).is_none() && residual_plot(&[(f64::NAN, 1.0)]).is_none());
        let svg = predicted_plot(&[(1.0, 1.0), (f64::INFINITY, 0.0)]).unwrap().svg();
        assert!(!svg.contains("NaN"));
        assert!(!residual_plot(&[(2.0, 2.0)]).unwrap().svg().contains("NaN"));
    }
}
