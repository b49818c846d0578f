//! Line plots: curves labelled at their ends, hairline grid, nothing else.

use crate::axis::{Axis, AxisKind, Margin, Unit, short};
use crate::font;
use crate::scene::{Anchor, Colour, Dash, Mark, Scene, Text, Weight};

/// What a line plot says besides its curves.
#[derive(Clone, Debug, Default)]
pub struct LinePlot {
    /// The heading.
    pub title: String,
    /// What runs to the right.
    pub x_label: String,
    /// What runs upwards; empty where the title says it.
    pub y_label: String,
    /// How x is spread.
    pub x: AxisKind,
    /// Words for the whole numbers of x, from 0 on, where it is a category; else empty.
    pub x_words: Vec<String>,
    /// How y is spread.
    pub y: AxisKind,
    /// How y is written.
    pub unit: Unit,
    /// A value to compare with, drawn dashed, and its name.
    pub reference: Option<(String, f64)>,
    /// What dashed series are, if there are any.
    pub dashed: String,
}

/// What is drawn as one curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// The name at its end.
    pub name: String,
    /// The points.
    pub points: Vec<(f64, f64)>,
    /// Solid for what matters; dashed curves have no label.
    pub dash: Dash,
    /// Which of the series' colours; curves that belong together share one.
    pub colour: usize,
}

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 276.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 46.0;
const SMALL: f64 = 13.0;
/// Curves with more points than this are drawn as the mean and the range of as many pieces.
const PIECES: usize = 150;
/// Stretches of x whose values are told, at most.
const TOLD: usize = 40;
/// As many points can be told apart.
const FEW: usize = 24;

/// Where each piece lies, its lowest and its highest value.
type Band = Vec<(f64, f64, f64)>;

struct Curve {
    name: String,
    colour: Colour,
    dash: Dash,
    line: Vec<(f64, f64)>,
    /// Empty where there is no shade.
    band: Band,
    /// Whether the points were more than are drawn.
    condensed: bool,
}

struct Frame {
    left: f64,
    right: f64,
    x: Axis,
    y: Axis,
}

impl Frame {
    fn at(&self, x: f64, y: f64) -> [f64; 2] {
        [
            self.left + self.x.place(x) * (self.right - self.left),
            HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - BOTTOM - TOP),
        ]
    }
}

/// Draws `series` (a name and points each) as curves, each in its own colour.
pub fn line_plot(plot: &LinePlot, series: &[(String, Vec<(f64, f64)>)]) -> Scene {
    let mut solid = Vec::new();
    for (colour, (name, points)) in series.iter().enumerate() {
        solid.push(Series { name: name.clone(), points: points.clone(), dash: Dash::Solid, colour });
    }
    series_plot(plot, &solid)
}

/// Draws `series` as curves. Points that are not finite, or that a log axis has no place for, are left out.
pub fn series_plot(plot: &LinePlot, series: &[Series]) -> Scene {
    drawn(plot, &curves(plot, series))
}

/// A name and its points.
pub type Named = (String, Vec<(f64, f64)>);
/// A name and its points as `[x, low, high, y]`.
pub type Banded = (String, Vec<[f64; 4]>);

/// Draws curves, each over a shade from the second to the third number of its points.
pub fn band_plot(plot: &LinePlot, series: &[Banded]) -> Scene {
    let one = |(colour, (name, points)): (usize, &Banded)| {
        let fits = |p: &&[f64; 4]| plot.x.takes(p[0]) && p[1..].iter().all(|y| plot.y.takes(*y));
        let sound: Vec<_> = points.iter().filter(fits).collect();
        let line = sound.iter().map(|p| (p[0], p[3])).collect();
        let band = sound.iter().map(|p| (p[0], p[1], p[2])).collect();
        Curve {
            name: name.clone(),
            colour: Colour::Series(colour),
            dash: Dash::Solid,
            line,
            band,
            condensed: false,
        }
    };
    let curves: Vec<Curve> = series.iter().enumerate().map(one).filter(|c| !c.line.is_empty()).collect();
    drawn(plot, &curves)
}

/// Draws each group of points as a cloud of dots in its own colour, the first on top.
pub fn cloud_plot(plot: &LinePlot, groups: &[Named]) -> Scene {
    let one = |(colour, (name, points)): (usize, &Named)| {
        let fits = |p: &(f64, f64)| plot.x.takes(p.0) && plot.y.takes(p.1);
        let line = points.iter().copied().filter(fits).collect();
        Curve {
            name: name.clone(),
            colour: Colour::Series(colour),
            dash: Dash::Solid,
            line,
            band: Vec::new(),
            condensed: false,
        }
    };
    let clouds: Vec<Curve> = groups.iter().enumerate().map(one).filter(|c| !c.line.is_empty()).collect();
    let frame = frame(plot, &clouds, &[]);
    let mut marks = heading(plot, &clouds);
    grid(plot, &frame, &mut marks);
    for cloud in clouds.iter().rev() {
        let radius = if cloud.line.len() > 400 { 1.6 } else { 2.6 };
        let dots =
            cloud.line.iter().map(|p| Mark::Dot { at: frame.at(p.0, p.1), radius, colour: cloud.colour });
        marks.extend(dots);
    }
    let counts: Vec<String> = clouds.iter().map(|c| format!("{} {}", c.line.len(), c.name)).collect();
    let description = format!("{} over {}: {}", plot.title, plot.x_label, counts.join(", "));
    Scene { width: WIDTH, height: HEIGHT, description, marks }
}

fn drawn(plot: &LinePlot, curves: &[Curve]) -> Scene {
    let labels: Vec<String> = curves.iter().map(|c| end_label(plot, c, curves.len())).collect();
    let frame = frame(plot, curves, &labels);
    let mut marks = heading(plot, curves);
    grid(plot, &frame, &mut marks);
    if let Some((_, value)) = plot.reference.as_ref().filter(|(_, v)| plot.y.takes(*v)) {
        let y = frame.at(0.0, *value)[1];
        marks.push(Mark::segment([frame.left, y], [frame.right, y], Colour::Muted, 1.2, Dash::Dashed));
    }
    // The first series matters most and lies on top.
    curves.iter().rev().for_each(|curve| draw(curve, !plot.dashed.is_empty(), &frame, &mut marks));
    end_labels(curves, labels, &frame, &mut marks);
    told(plot, curves, &frame, &mut marks);
    if curves.is_empty() {
        let middle = [(frame.left + frame.right) / 2.0, (TOP + HEIGHT - BOTTOM) / 2.0];
        marks.push(Mark::Text(Text::new(middle, SMALL, Colour::Muted, "no data").anchored(Anchor::Middle)));
    }
    Scene { width: WIDTH, height: HEIGHT, description: description(plot, curves), marks }
}

fn curves(plot: &LinePlot, series: &[Series]) -> Vec<Curve> {
    let mut curves = Vec::new();
    for one in series {
        let mut points: Vec<_> =
            one.points.iter().copied().filter(|(x, y)| plot.x.takes(*x) && plot.y.takes(*y)).collect();
        if points.is_empty() {
            continue;
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (line, band) =
            if points.len() > 2 * PIECES { condense(plot.x, &points) } else { (points, vec![]) };
        let colour = Colour::Series(one.colour);
        let condensed = !band.is_empty();
        curves.push(Curve { name: one.name.clone(), colour, dash: one.dash, line, band, condensed });
    }
    curves
}

/// Mean and range over pieces of equal width on the axis: what the eye would see of so many points.
fn condense(kind: AxisKind, points: &[(f64, f64)]) -> (Vec<(f64, f64)>, Band) {
    let axis = Axis::around(kind, Unit::Number, Margin::Tight, points.iter().map(|p| p.0));
    let piece = |p: &(f64, f64)| ((axis.place(p.0) * PIECES as f64) as usize).min(PIECES - 1);
    let (mut line, mut band) = (Vec::new(), Vec::new());
    for part in points.chunk_by(|a, b| piece(a) == piece(b)) {
        let mean = |of: fn(&(f64, f64)) -> f64| part.iter().map(|p| of(p) / part.len() as f64).sum::<f64>();
        let low = part.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let high = part.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        let x = mean(|p| p.0);
        line.push((x, mean(|p| p.1)));
        band.push((x, low, high));
    }
    (line, band)
}

fn end_label(plot: &LinePlot, curve: &Curve, curves: usize) -> String {
    if curve.dash == Dash::Dashed {
        return String::new();
    }
    let value = curve.line.last().map_or(String::new(), |p| short(p.1, plot.unit));
    let value = if curve.condensed { format!("≈{value}") } else { value };
    // A lone curve is named by the title.
    let text = if curves == 1 { value } else { format!("{} {value}", curve.name) };
    font::fit(&text, SMALL, Weight::SemiBold, WIDTH * 0.4)
}

fn frame(plot: &LinePlot, curves: &[Curve], labels: &[String]) -> Frame {
    let ys = curves.iter().flat_map(|c| {
        let band = c.band.iter().flat_map(|b| [b.1, b.2]);
        c.line.iter().map(|p| p.1).chain(band)
    });
    let ys = ys.chain(plot.reference.iter().map(|r| r.1));
    let y = Axis::around(plot.y, plot.unit, Margin::Loose, ys);
    let xs = curves.iter().flat_map(|c| c.line.iter().map(|p| p.0));
    // Half a place beside the first word and the last.
    let ends = [-0.5, plot.x_words.len() as f64 - 0.5];
    let x = match plot.x_words.len() {
        0 => Axis::around(plot.x, Unit::Number, Margin::Tight, xs),
        _ => Axis::around(AxisKind::Linear, Unit::Number, Margin::Tight, ends.into_iter()),
    };
    let widest = |texts: &mut dyn Iterator<Item = f64>| texts.fold(0.0, f64::max);
    let tick = widest(&mut y.ticks(4).iter().map(|(_, t)| font::width(t, SMALL, Weight::Regular)));
    let label = widest(&mut labels.iter().map(|t| font::width(t, SMALL, Weight::SemiBold)));
    Frame { left: tick + 9.0, right: WIDTH - (label + 12.0).max(18.0), x, y }
}

fn heading(plot: &LinePlot, curves: &[Curve]) -> Vec<Mark> {
    let mut notes = Vec::new();
    if !plot.y_label.is_empty() {
        notes.push(plot.y_label.clone());
    }
    if plot.y == AxisKind::Log {
        notes.push("log scale".into());
    }
    if let Some((name, value)) = &plot.reference {
        notes.push(format!("dashed: {name} {}", short(*value, plot.unit)));
    }
    if curves.iter().any(|c| c.dash == Dash::Dashed) {
        notes.push(format!("dashed: {}", plot.dashed));
    }
    if curves.iter().any(|c| c.condensed) {
        notes.push("line: mean, shade: range".into());
    }
    let title = font::fit(&plot.title, 15.0, Weight::SemiBold, WIDTH);
    let note = font::fit(&notes.join(" · "), SMALL, Weight::Regular, WIDTH);
    vec![
        Mark::Text(Text::new([0.0, 16.0], 15.0, Colour::Ink, title).semi_bold()),
        Mark::Text(Text::new([0.0, 35.0], SMALL, Colour::Muted, note)),
    ]
}

fn grid(plot: &LinePlot, frame: &Frame, marks: &mut Vec<Mark>) {
    for (value, label) in frame.y.ticks(4) {
        let y = frame.at(0.0, value)[1];
        marks.push(Mark::segment([frame.left, y], [frame.right, y], Colour::Rule, 1.0, Dash::Solid));
        let at = [frame.left - 7.0, y + 0.36 * SMALL];
        marks.push(Mark::Text(Text::new(at, SMALL, Colour::Muted, label).anchored(Anchor::End)));
    }
    let mut free = f64::NEG_INFINITY;
    for (value, label) in x_ticks(plot, frame) {
        let x = frame.left + frame.x.place(value) * (frame.right - frame.left);
        let half = font::width(&label, SMALL, Weight::Regular) / 2.0;
        if x - half < free || x + half > WIDTH {
            continue;
        }
        free = x + half + 8.0;
        let at = [x, HEIGHT - BOTTOM + 19.0];
        marks.push(Mark::Text(Text::new(at, SMALL, Colour::Muted, label).anchored(Anchor::Middle)));
    }
    let label = match plot.x {
        AxisKind::Linear => plot.x_label.clone(),
        AxisKind::Log => format!("{} (log scale)", plot.x_label),
    };
    let at = [(frame.left + frame.right) / 2.0, HEIGHT - 6.0];
    marks.push(Mark::Text(Text::new(at, SMALL, Colour::Muted, label).anchored(Anchor::Middle)));
}

/// Values of x with their labels: round numbers, or each word of a category, as long as there is room for it.
fn x_ticks(plot: &LinePlot, frame: &Frame) -> Vec<(f64, String)> {
    if plot.x_words.is_empty() {
        return frame.x.ticks(4);
    }
    let room = (frame.right - frame.left) / plot.x_words.len() as f64;
    let word = |word: &String| font::fit(word, SMALL, Weight::Regular, room);
    plot.x_words.iter().enumerate().map(|(at, text)| (at as f64, word(text))).collect()
}

fn draw(curve: &Curve, dotted: bool, frame: &Frame, marks: &mut Vec<Mark>) {
    let colour = curve.colour;
    if !curve.band.is_empty() {
        let above = curve.band.iter().map(|b| frame.at(b.0, b.2));
        let below = curve.band.iter().rev().map(|b| frame.at(b.0, b.1));
        marks.push(Mark::Area { points: above.chain(below).collect(), colour, opacity: 0.16 });
    }
    let points: Vec<[f64; 2]> = curve.line.iter().map(|p| frame.at(p.0, p.1)).collect();
    let last = points.last().copied();
    let width = if points.len() > 80 || curve.dash == Dash::Dashed { 1.6 } else { 2.0 };
    if points.len() > 1 {
        marks.push(Mark::Line { points: points.clone(), colour, width, dash: curve.dash });
    }
    if curve.dash == Dash::Solid {
        // Few measurements beside a law are seen one by one.
        let few = if dotted && points.len() <= FEW { &points[..] } else { &[] };
        marks.extend(few.iter().map(|at| Mark::Dot { at: *at, radius: 2.4, colour }));
        marks.extend(last.map(|at| Mark::Dot { at, radius: 3.0, colour }));
    }
}

/// Writes each curve's label beside its end, moved apart where they would touch.
fn end_labels(curves: &[Curve], labels: Vec<String>, frame: &Frame, marks: &mut Vec<Mark>) {
    let end = |c: &Curve| c.line.last().map_or([0.0, 0.0], |p| frame.at(p.0, p.1));
    let labelled = curves.iter().zip(labels).filter(|(_, label)| !label.is_empty());
    let mut rows: Vec<(f64, Colour, String)> =
        labelled.map(|(c, label)| (end(c)[1], c.colour, label)).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let heights = spread(rows.iter().map(|r| r.0).collect(), SMALL * 1.2, HEIGHT - BOTTOM);
    for ((_, colour, label), y) in rows.into_iter().zip(heights) {
        let at = [frame.right + 8.0, y + 0.36 * SMALL];
        marks.push(Mark::Text(Text::new(at, SMALL, colour, label).semi_bold()));
    }
}

/// What is told where a pointer rests on a stretch of x: each curve's value there.
fn told(plot: &LinePlot, curves: &[Curve], frame: &Frame, marks: &mut Vec<Mark>) {
    let Some(first) = curves.first() else { return };
    let every = first.line.len().div_ceil(TOLD).max(1);
    let xs: Vec<f64> = first.line.iter().map(|point| point.0).rev().step_by(every).collect();
    let places: Vec<f64> = xs.iter().rev().map(|x| frame.at(*x, 0.0)[0]).collect();
    for (i, x) in xs.iter().rev().enumerate() {
        let middle = |a: Option<&f64>| a.map(|other| (other + places[i]) / 2.0);
        let left = middle(i.checked_sub(1).and_then(|before| places.get(before))).unwrap_or(frame.left);
        let right = middle(places.get(i + 1)).unwrap_or(frame.right);
        let near = |curve: &Curve| {
            let point = curve.line.iter().min_by(|a, b| (a.0 - x).abs().total_cmp(&(b.0 - x).abs()))?;
            Some(format!("{} {}", curve.name, short(point.1, plot.unit)))
        };
        let values: Vec<String> = curves.iter().filter(|c| c.dash == Dash::Solid).filter_map(near).collect();
        let text = format!("{} {}: {}", plot.x_label, short(*x, Unit::Number), values.join(", "));
        let size = [(right - left).max(0.0), HEIGHT - BOTTOM - TOP];
        marks.push(Mark::Told { at: [left, TOP], size, text });
    }
}

/// Moves sorted heights at least `gap` apart and, as far as they fit, above `floor`.
fn spread(mut heights: Vec<f64>, gap: f64, floor: f64) -> Vec<f64> {
    for i in 1..heights.len() {
        let overlap = (heights[i - 1] + gap - heights[i]).max(0.0);
        heights[i - 1] -= overlap / 2.0;
        heights[i] += overlap / 2.0;
    }
    for i in 1..heights.len() {
        heights[i] = heights[i].max(heights[i - 1] + gap);
    }
    let mut limit = floor;
    for height in heights.iter_mut().rev() {
        *height = height.min(limit);
        limit = *height - gap;
    }
    heights
}

fn description(plot: &LinePlot, curves: &[Curve]) -> String {
    let ends: Vec<String> = curves
        .iter()
        .filter_map(|c| Some(format!("{} ends at {}", c.name, short(c.line.last()?.1, plot.unit))))
        .collect();
    let ends = if ends.is_empty() { "no data".into() } else { ends.join(", ") };
    format!("{} over {}: {ends}", plot.title, plot.x_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(scene: &Scene) -> Vec<&Vec<[f64; 2]>> {
        let curve = |m| match m {
            &Mark::Line { ref points, colour: Colour::Series(_), .. } => Some(points),
            _ => None,
        };
        scene.marks.iter().filter_map(curve).collect()
    }

    fn series(points: Vec<(f64, f64)>) -> Vec<(String, Vec<(f64, f64)>)> {
        vec![("a".into(), points)]
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let svg = line_plot(&LinePlot::default(), &series(vec![(f64::NAN, 1.0), (1.0, f64::INFINITY)])).svg();
        assert!(svg.contains("no data") && !svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn one_point_is_a_dot_and_two_are_a_line() {
        let one = line_plot(&LinePlot::default(), &series(vec![(1.0, 2.0)]));
        assert!(lines(&one).is_empty() && one.marks.iter().any(|m| matches!(m, Mark::Dot { .. })));
        assert_eq!(lines(&line_plot(&LinePlot::default(), &series(vec![(1.0, 2.0), (2.0, 1.0)]))).len(), 1);
    }

    #[test]
    fn ten_thousand_points_become_what_is_visible_and_keep_their_extremes() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[5_000].1 = 9.0;
        let scene = line_plot(&LinePlot::default(), &series(points));
        assert!(lines(&scene)[0].len() <= PIECES);
        let top = |m: &Mark| match m {
            Mark::Area { points, .. } => points.iter().map(|p| p[1]).fold(f64::INFINITY, f64::min),
            _ => f64::INFINITY,
        };
        assert!(scene.marks.iter().map(top).fold(f64::INFINITY, f64::min) < TOP + 10.0);
    }

    #[test]
    fn a_log_axis_leaves_out_what_has_no_logarithm() {
        let plot = LinePlot { y: AxisKind::Log, ..LinePlot::default() };
        let scene =
            line_plot(&plot, &series(vec![(0.0, 0.0), (1.0, 1.0), (2.0, 10.0), (3.0, -1.0), (4.0, 100.0)]));
        let line = lines(&scene)[0];
        assert_eq!(line.len(), 3);
        assert!(
            (line[1][1] * 2.0 - line[0][1] - line[2][1]).abs() < 1e-9,
            "equal ratios are equally far apart"
        );
    }

    #[test]
    fn labels_at_the_same_height_move_apart() {
        let heights = spread(vec![100.0, 100.0, 101.0, 200.0], 15.0, 205.0);
        assert!(heights.windows(2).all(|w| w[1] - w[0] >= 15.0 - 1e-9), "{heights:?}");
        let low = spread(vec![204.0, 204.0], 15.0, 205.0);
        assert!(low[1] <= 205.0 && low[1] - low[0] >= 15.0);
    }
}
