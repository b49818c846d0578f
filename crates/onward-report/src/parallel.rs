//! Parallel coordinates: an axis for each quantity, a line across all of them for each point.

use crate::font;
use crate::scene::{Anchor, Colour, Dash, Mark, Scene, Text, Weight};

/// One of the axes.
#[derive(Clone, Debug)]
pub struct ParallelAxis {
    /// What it is of.
    pub name: String,
    /// The words at its lower and its upper end.
    pub ends: [String; 2],
}

const HEIGHT: f64 = 300.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = 28.0;
const SMALL: f64 = 12.0;
/// The room of an axis, and the least width of all.
const ROOM: f64 = 88.0;
const LEAST: f64 = 400.0;

/// Draws points, each a place in 0..=1 on every axis; `lines` begin with the best, which are drawn last and in colour (`best` of them).
pub fn parallel_plot(
    title: &str,
    note: &str,
    axes: &[ParallelAxis],
    lines: &[Vec<f64>],
    best: usize,
) -> Scene {
    let width = (ROOM * axes.len() as f64).max(LEAST);
    let x = |i: usize| (i as f64 + 0.5) * width / axes.len().max(1) as f64;
    let y = |share: f64| HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - BOTTOM - TOP);
    let mut marks = vec![
        Mark::Text(
            Text::new([0.0, 16.0], 15.0, Colour::Ink, font::fit(title, 15.0, Weight::SemiBold, width))
                .semi_bold(),
        ),
        Mark::Text(Text::new(
            [0.0, 35.0],
            13.0,
            Colour::Muted,
            font::fit(note, 13.0, Weight::Regular, width),
        )),
    ];
    for (i, points) in lines.iter().enumerate().rev() {
        let (colour, thick) = if i < best { (Colour::Series(0), 1.6) } else { (Colour::Rule, 0.8) };
        let points: Vec<[f64; 2]> = points.iter().enumerate().map(|(at, share)| [x(at), y(*share)]).collect();
        if points.len() > 1 {
            marks.push(Mark::Line { points, colour, width: thick, dash: Dash::Solid });
        }
    }
    for (i, axis) in axes.iter().enumerate() {
        marks.push(Mark::segment([x(i), y(0.0)], [x(i), y(1.0)], Colour::Muted, 1.0, Dash::Solid));
        let text = |at: f64, words: &str| {
            let words = font::fit(words, SMALL, Weight::Regular, ROOM - 6.0);
            Mark::Text(Text::new([x(i), at], SMALL, Colour::Muted, words).anchored(Anchor::Middle))
        };
        marks.push(text(TOP - 22.0, &axis.name));
        marks.push(text(TOP - 7.0, &axis.ends[1]));
        marks.push(text(HEIGHT - BOTTOM + 16.0, &axis.ends[0]));
    }
    let names: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
    let description = format!("{title}: {} points across {}", lines.len(), names.join(", "));
    Scene { width, height: HEIGHT, description, marks }
}
