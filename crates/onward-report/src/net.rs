//! The net as a picture: its operations from top to bottom, what they work on, shapes, weights and work.

use crate::font;
use crate::scene::{Anchor, Colour, Dash, Mark, Scene, Text, Weight};
use onward::model::{Graph, Operation};

/// Between two operations.
const LINE: f64 = 24.0;
const TOP: f64 = 72.0;
const SMALL: f64 = 12.0;
/// A longer net is drawn up to here.
const MOST: usize = 150;
/// The width of a picture that takes the page's whole width.
const WIDTH: f64 = 760.0;
const LONGEST_NAMES: f64 = 250.0;
/// Between two ways that lead past each other.
const LANE: f64 = 9.0;

/// A way from one operation to a later one that is not the next.
struct Way {
    from: usize,
    to: usize,
    lane: usize,
}

/// A number of things, short: 1.3 M, 42.0 k, 17.
pub fn short(n: u64) -> String {
    let n = n as f64;
    match n {
        n if n >= 1e9 => format!("{:.1} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        _ => format!("{n}"),
    }
}

/// `8 × 8 × 16`; axes of one in front are left out.
pub fn shape_words(shape: &[usize]) -> String {
    let first = shape.iter().position(|n| *n != 1).unwrap_or(shape.len().saturating_sub(1));
    shape[first..].iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

/// Draws a net; none without an operation.
pub fn net_plot(graph: &Graph) -> Option<Scene> {
    let operations: Vec<Operation<'_>> = graph.operations().collect();
    let shown = &operations[..operations.len().min(MOST)];
    let ways = ways(shown);
    let lanes = ways.iter().map(|w| w.lane + 1).max().unwrap_or(0);
    let left = 14.0 + LANE * lanes as f64;
    let y = |i: usize| TOP + LINE * i as f64;
    let mut marks = heading(graph, operations.len());
    for (head, x, anchor) in columns(left) {
        marks.push(Mark::Text(Text::new([x, TOP - 14.0], SMALL, Colour::Muted, head).anchored(anchor)));
    }
    for way in &ways {
        let x = left - 8.0 - LANE * (way.lane + 1) as f64;
        let [from, to] = [way.from, way.to].map(|i| y(i) + 6.0);
        let points = vec![[left - 8.0, from], [x, from + 4.0], [x, to - 4.0], [left - 8.0, to]];
        marks.push(Mark::Line { points, colour: Colour::Series(1), width: 1.2, dash: Dash::Solid });
    }
    for (i, operation) in shown.iter().enumerate() {
        row(graph, operation, left, y(i), i > 0 && operation.inputs.contains(&(i - 1)), &mut marks);
    }
    let more = operations.len() - shown.len();
    if more > 0 {
        let words = format!("and {more} more (onward show RUN --net prints all)");
        marks.push(Mark::Text(Text::new([left + 8.0, y(MOST) + 10.0], SMALL, Colour::Muted, words)));
    }
    let height = y(shown.len() + usize::from(more > 0)) + 4.0;
    let description = format!("The net: {} operations, {} weights.", operations.len(), weights(graph));
    (operations.len() > 1).then_some(Scene { width: WIDTH, height, description, marks })
}

fn weights(graph: &Graph) -> u64 {
    graph.tensors().iter().map(|t| t.shape.iter().product::<usize>() as u64).sum()
}

fn heading(graph: &Graph, operations: usize) -> Vec<Mark> {
    let words = format!(
        "{operations} operations · {} weights · {} floating-point operations a row · blue dots: where probes act",
        short(weights(graph)),
        short(graph.flops())
    );
    vec![
        Mark::Text(Text::new([0.0, 16.0], 15.0, Colour::Ink, "Net").semi_bold()),
        Mark::Text(Text::new([0.0, 34.0], SMALL, Colour::Muted, words)),
    ]
}

fn columns(left: f64) -> [(&'static str, f64, Anchor); 4] {
    [
        ("operation", left + 8.0, Anchor::Start),
        ("answer of a row", left + 230.0, Anchor::Start),
        ("weights", left + 350.0, Anchor::Start),
        ("work", WIDTH - 4.0, Anchor::End),
    ]
}

/// The ways past others, each in the innermost lane that is free.
fn ways(operations: &[Operation<'_>]) -> Vec<Way> {
    let mut ways: Vec<Way> = Vec::new();
    for (to, operation) in operations.iter().enumerate() {
        for from in operation.inputs.iter().copied().filter(|from| from + 1 < to) {
            let meets = |way: &&Way| way.from < to && from < way.to;
            let taken: Vec<usize> = ways.iter().filter(meets).map(|w| w.lane).collect();
            let lane = (0..).find(|lane| !taken.contains(lane)).unwrap_or(0);
            ways.push(Way { from, to, lane });
        }
    }
    ways
}

fn row(graph: &Graph, operation: &Operation<'_>, left: f64, y: f64, follows: bool, marks: &mut Vec<Mark>) {
    let ink = if operation.tensors.is_empty() { Colour::Muted } else { Colour::Ink };
    if follows {
        marks.push(Mark::segment([left, y - LINE + 10.0], [left, y + 2.0], Colour::Muted, 1.0, Dash::Solid));
    }
    let (radius, colour) =
        if operation.site_of.is_some() { (4.0, Colour::Series(0)) } else { (2.0, Colour::Muted) };
    marks.push(Mark::Dot { at: [left, y + 6.0], radius, colour });
    let [name, answer, names, work] = columns(left).map(|(_, x, _)| [x, y + 10.0]);
    let text = |at, words: String| Text::new(at, SMALL, ink, words);
    marks.push(Mark::Text(text(name, font::fit(&operation.operation, SMALL, Weight::Regular, 210.0))));
    marks.push(Mark::Text(text(answer, shape_words(&operation.shape))));
    let of = |name: &&str| graph.tensors().iter().find(|t| t.name == **name);
    let tensors = operation.tensors.iter().filter_map(of);
    let words: Vec<String> = tensors.map(|t| format!("{} {}", t.name, shape_words(&t.shape))).collect();
    let words =
        font::fit(&words.join(", "), SMALL, Weight::Regular, LONGEST_NAMES.max(WIDTH - names[0] - 70.0));
    marks.push(Mark::Text(text(names, words)));
    if operation.flops > 0 {
        marks.push(Mark::Text(text(work, short(operation.flops)).anchored(Anchor::End)));
    }
}
