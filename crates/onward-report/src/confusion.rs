//! The confusion matrix as a picture.

use crate::font;
use crate::scene::{Anchor, Colour, Dash, Mark, Scene, Text, Weight};

/// More classes than this are shown by colour alone.
const MOST_NUMBERED: usize = 20;
const TOP: f64 = 54.0;
const SMALL: f64 = 12.0;
const LONGEST_NAME: f64 = 96.0;

struct Layout {
    classes: usize,
    cell: f64,
    left: f64,
    top: f64,
    names: Vec<String>,
    /// Every how many classes a name is written.
    stride: usize,
    names_run: Run,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Across,
    Up,
}

/// Draws `counts[truth][answer]`; classes without a name are numbered. None without a class or without a sample.
pub fn confusion_plot(counts: &[Vec<u64>], names: &[String]) -> Option<Scene> {
    let classes = counts.iter().map(Vec::len).fold(counts.len(), usize::max);
    if classes == 0 || counts.iter().flatten().all(|n| *n == 0) {
        return None;
    }
    let layout = layout(counts, names, classes);
    let mut marks = heading();
    for truth in 0..classes {
        row(&layout, truth, counts.get(truth).map_or(&[], Vec::as_slice), &mut marks);
    }
    edge_names(&layout, &mut marks);
    let side = layout.cell * classes as f64;
    let recall = if classes <= MOST_NUMBERED { 50.0 } else { 10.0 };
    let (width, height) = ((layout.left + side + recall).max(400.0), layout.top + side + 8.0);
    Some(Scene { width, height, description: description(counts, classes), marks })
}

fn layout(counts: &[Vec<u64>], names: &[String], classes: usize) -> Layout {
    let name =
        |i: usize| names.get(i).filter(|n| !n.trim().is_empty()).cloned().unwrap_or_else(|| i.to_string());
    let names: Vec<String> =
        (0..classes).map(|i| font::fit(&name(i), SMALL, Weight::Regular, LONGEST_NAME)).collect();
    let widest = names.iter().map(|n| font::width(n, SMALL, Weight::Regular)).fold(0.0, f64::max);
    let left = widest + 10.0;
    let cell = if classes <= MOST_NUMBERED {
        let largest = counts.iter().flatten().max().map_or(String::new(), u64::to_string);
        let needed = font::width(&largest, SMALL, Weight::Regular) + 5.0;
        ((400.0 - left - 50.0) / classes as f64).min(56.0).max(needed)
    } else {
        // From a few hundred classes on a cell is less than a pixel; the picture stays as large as it is.
        (560.0 / classes as f64).min(16.0)
    };
    let stride = if classes <= MOST_NUMBERED { 1 } else { (15.0 / cell).ceil() as usize };
    let names_run = if widest > cell * stride as f64 - 4.0 { Run::Up } else { Run::Across };
    let top = TOP + if names_run == Run::Up { left } else { 18.0 };
    Layout { classes, cell, left, top, names, stride, names_run }
}

fn heading() -> Vec<Mark> {
    vec![
        Mark::Text(Text::new([0.0, 16.0], 15.0, Colour::Ink, "Confusion").semi_bold()),
        Mark::Text(Text::new(
            [0.0, 34.0],
            SMALL,
            Colour::Muted,
            "row: truth · column: answer · shade: share of the row",
        )),
    ]
}

fn row(layout: &Layout, truth: usize, counts: &[u64], marks: &mut Vec<Mark>) {
    let total: u64 = counts.iter().fold(0, |sum, n| sum.saturating_add(*n));
    let (cell, y) = (layout.cell, layout.top + layout.cell * truth as f64);
    let end = layout.left + cell * layout.classes as f64;
    let (numbered, mut told) = (layout.classes <= MOST_NUMBERED, Vec::new());
    if numbered {
        marks.push(Mark::segment([layout.left, y], [end, y], Colour::Rule, 1.0, Dash::Solid));
    }
    for (answer, &count) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        let share = count as f64 / total as f64;
        let at = [layout.left + cell * answer as f64, y];
        marks.push(tile(at, cell, share, truth == answer, numbered));
        let words = format!(
            "{} answered as {}: {count}, {:.1} %",
            layout.names[truth],
            layout.names[answer],
            100.0 * share
        );
        told.push(Mark::Told { at, size: [cell, cell], text: words });
        if numbered {
            let middle = [at[0] + cell / 2.0, y + cell / 2.0 + 0.36 * SMALL];
            marks.push(Mark::Text(
                Text::new(middle, SMALL, Colour::Ink, count.to_string()).anchored(Anchor::Middle),
            ));
        }
    }
    if numbered && total > 0 {
        let right = counts.get(truth).copied().unwrap_or(0) as f64 / total as f64;
        let at = [end + 46.0, y + cell / 2.0 + 0.36 * SMALL];
        let text = format!("{:.1}%", right * 100.0);
        marks.push(Mark::Text(Text::new(at, SMALL, Colour::Muted, text).anchored(Anchor::End)));
    }
    marks.append(&mut told);
}

/// Right answers in one hue, wrong ones in another, whose share is drawn by its root so that rare mistakes show.
/// Under numbers the shade stays light enough to read them.
fn tile(at: [f64; 2], cell: f64, share: f64, right: bool, numbered: bool) -> Mark {
    let (colour, strength) =
        if right { (Colour::Series(0), share) } else { (Colour::Series(1), share.sqrt()) };
    let opacity = if numbered { 0.06 + 0.42 * strength } else { 0.08 + 0.92 * strength };
    let gap = if numbered { 1.0 } else { 0.0 };
    Mark::tile([at[0] + gap / 2.0, at[1] + gap / 2.0], [cell - gap, cell - gap], colour, opacity)
}

fn edge_names(layout: &Layout, marks: &mut Vec<Mark>) {
    for (i, name) in layout.names.iter().enumerate().step_by(layout.stride) {
        let middle = layout.cell * (i as f64 + 0.5) + 0.36 * SMALL;
        let at = [layout.left - 7.0, layout.top + middle];
        marks.push(Mark::Text(Text::new(at, SMALL, Colour::Muted, name).anchored(Anchor::End)));
        let above = match layout.names_run {
            Run::Across => {
                let at = [layout.left + layout.cell * (i as f64 + 0.5), layout.top - 7.0];
                Text::new(at, SMALL, Colour::Muted, name).anchored(Anchor::Middle)
            }
            Run::Up => {
                Text::new([layout.left + middle, layout.top - 7.0], SMALL, Colour::Muted, name).upwards()
            }
        };
        marks.push(Mark::Text(above));
    }
    let side = layout.cell * layout.classes as f64;
    let (left, top) = (layout.left, layout.top);
    if layout.classes > MOST_NUMBERED {
        let corners =
            vec![[left, top], [left + side, top], [left + side, top + side], [left, top + side], [left, top]];
        marks.push(Mark::Line { points: corners, colour: Colour::Rule, width: 1.0, dash: Dash::Solid });
    } else {
        let at = [left + side + 46.0, top - 7.0];
        marks.push(Mark::Text(Text::new(at, SMALL, Colour::Muted, "recall").anchored(Anchor::End)));
        let (from, to) = ([left, top + side], [left + side, top + side]);
        marks.push(Mark::segment(from, to, Colour::Rule, 1.0, Dash::Solid));
    }
}

fn description(counts: &[Vec<u64>], classes: usize) -> String {
    let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0u64, u64::saturating_add);
    let total = sum(&mut counts.iter().flatten().copied());
    let right = sum(&mut counts.iter().enumerate().filter_map(|(i, row)| row.get(i)).copied());
    format!("Confusion matrix of {classes} classes: {right} of {total} answers are right")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagonal(classes: usize) -> Vec<Vec<u64>> {
        (0..classes)
            .map(|i| (0..classes).map(|j| if i == j { 50 } else { u64::from(j == 0) }).collect())
            .collect()
    }

    #[test]
    fn no_class_and_no_sample_make_no_picture() {
        assert!(confusion_plot(&[], &[]).is_none());
        assert!(confusion_plot(&[vec![0, 0], vec![0, 0]], &[]).is_none());
    }

    #[test]
    fn numbers_stop_at_twenty_classes() {
        assert!(confusion_plot(&diagonal(20), &[]).unwrap().svg().contains(">50<"));
        assert!(!confusion_plot(&diagonal(21), &["x".into()]).unwrap().svg().contains(">50<"));
    }

    #[test]
    fn one_class_a_hundred_and_a_thousand_stay_in_the_picture() {
        for classes in [1, 2, 10, 20, 100, 1000] {
            let scene = confusion_plot(&diagonal(classes), &[]).unwrap();
            assert!(
                scene.height < 900.0 && scene.width < 900.0,
                "{classes}: {} {}",
                scene.width,
                scene.height
            );
            let inside =
                |p: &[f64; 2]| (0.0..=scene.width).contains(&p[0]) && (0.0..=scene.height).contains(&p[1]);
            let all = scene.marks.iter().all(|m| match m {
                Mark::Area { points, .. } | Mark::Line { points, .. } => points.iter().all(inside),
                Mark::Dot { at, .. } => inside(at),
                Mark::Text(text) => inside(&text.at),
                Mark::Told { at, .. } => inside(at),
                Mark::Image { at, .. } => inside(at),
            });
            assert!(all, "{classes}");
        }
    }

    #[test]
    fn ragged_rows_and_largest_counts_are_survived() {
        let scene = confusion_plot(&[vec![u64::MAX, u64::MAX], vec![], vec![1]], &["a".into()]).unwrap();
        let svg = scene.svg();
        assert!(!svg.contains("NaN") && scene.description.contains("3 classes"));
    }

    #[test]
    fn long_names_run_upwards() {
        let names: Vec<String> = (0..10).map(|i| format!("class number {i}")).collect();
        assert!(confusion_plot(&diagonal(10), &names).unwrap().svg().contains("rotate(-90"));
        assert!(!confusion_plot(&diagonal(10), &[]).unwrap().svg().contains("rotate(-90"));
    }
}
