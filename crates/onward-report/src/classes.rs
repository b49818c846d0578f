//! Tables of classes: how well each is told from the others, and which are taken for each other.

use crate::scene::escape;
use onward::task::of_classes;
use std::fmt::Write as _;

/// Classes in the table: of more, those with the least F1.
const MOST: usize = 20;
/// Pairs that are taken for each other.
const PAIRS: usize = 10;

/// The tables of a confusion matrix, as a section of a page; empty without one.
pub(crate) fn tables(counts: &[Vec<u64>], names: &[String]) -> String {
    let name = |class: usize| {
        let own = names.get(class).filter(|name| !name.trim().is_empty());
        escape(&own.cloned().unwrap_or_else(|| class.to_string()))
    };
    let square = counts.iter().all(|row| row.len() == counts.len());
    if counts.is_empty() || !square {
        return String::new();
    }
    let mut classes: Vec<_> = of_classes(counts).into_iter().enumerate().collect();
    classes.retain(|(_, class)| class.rows > 0);
    let all = classes.len();
    if all > MOST {
        classes.sort_by(|a, b| a.1.f1.unwrap_or(0.0).total_cmp(&b.1.f1.unwrap_or(0.0)));
        classes.truncate(MOST);
    }
    let of = if all > MOST { format!(" (the {MOST} of {all} with the least F1)") } else { String::new() };
    let mut out = format!(
        "<section>\n<h2>Classes{of}</h2>\n<div class=\"scroll\" tabindex=\"0\">\n<table class=\"numbers\">\n<thead><tr><th scope=\"col\">class</th>\
         <th scope=\"col\">rows</th><th scope=\"col\">precision</th><th scope=\"col\">recall</th><th scope=\"col\">F1</th></tr></thead>\n<tbody>\n"
    );
    let share = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.3}"));
    for (class, own) in classes {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            name(class),
            own.rows,
            share(own.precision),
            share(own.recall),
            share(own.f1)
        );
    }
    out += "</tbody>\n</table>\n</div>\n";
    let words: Vec<String> = confused(counts)
        .into_iter()
        .map(|(truth, answer, n)| format!("{} as {} ({n})", name(truth), name(answer)))
        .collect();
    if !words.is_empty() {
        out += &format!("<p>Most often taken for another: {}.</p>\n", words.join(", "));
    }
    out + "</section>\n"
}

/// The pairs of true class and another answer that are most frequent, and how often.
fn confused(counts: &[Vec<u64>]) -> Vec<(usize, usize, u64)> {
    let pairs = counts.iter().enumerate().flat_map(|(truth, row)| {
        row.iter()
            .enumerate()
            .filter(move |(answer, n)| *answer != truth && **n > 0)
            .map(move |(answer, n)| (truth, answer, *n))
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by_key(|(truth, answer, n)| (std::cmp::Reverse(*n), *truth, *answer));
    pairs.truncate(PAIRS);
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_their_names_and_the_worst_pairs_come_first() {
        let counts = vec![vec![8, 2, 0], vec![0, 9, 1], vec![3, 0, 7]];
        let page = tables(&counts, &["<a>".into(), "b".into()]);
        assert!(
            page.contains("<td>&lt;a&gt;</td><td>10</td><td>0.727</td><td>0.800</td><td>0.762</td>"),
            "{page}"
        );
        assert!(page.contains("2 as &lt;a&gt; (3), &lt;a&gt; as b (2), b as 2 (1)."), "{page}");
        assert!(tables(&[], &[]).is_empty() && tables(&[vec![1, 2]], &[]).is_empty());
    }

    #[test]
    fn of_many_classes_the_worst_are_told() {
        let row =
            |i: usize| (0..30).map(|j| if i == j { 10 + i as u64 } else { u64::from(j == 0) }).collect();
        let counts: Vec<Vec<u64>> = (0..30).map(row).collect();
        let page = tables(&counts, &[]);
        assert!(page.contains("the 20 of 30") && page.matches("<tr><td>").count() == 20);
    }
}
