//! The page.

use std::fmt::Write as _;

use crate::axis::{Unit, short};
use crate::classes::tables;
use crate::curves::{MOST_OWN, own_names};
use crate::scene::escape;
use crate::{Baseline, Continued, Plot, Point, Remark, Report, plots};

const STYLE: &str = include_str!("page.css");
/// More rows than this in the table of measurements are thinned out.
const MOST_ROWS: usize = 60;
/// A wider plot takes the page's whole width.
const COLUMN: f64 = 460.0;

/// The beginning of a page, up to its content.
pub(crate) fn head(title: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <title>{title} · Onward</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
}

/// What stands on a page, from top to bottom.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// What it is a report of, in small letters.
    pub over: &'a str,
    /// The heading.
    pub name: &'a str,
    /// The result in one sentence.
    pub headline: &'a str,
    /// More of the header, as HTML.
    pub header: String,
    /// The pictures.
    pub plots: &'a [Plot],
    /// Labels and values of what was spent and how, in order.
    pub facts: &'a [(String, String)],
    /// More sections, as HTML.
    pub sections: String,
    /// The settings that it came from: what they are, and their text.
    pub source: (&'a str, &'a str),
}

impl Page<'_> {
    /// The page: it needs nothing else, no script, no font, no picture from outside.
    pub fn html(&self) -> String {
        let name = escape(self.name);
        let mut page = head(self.name);
        page += &format!(
            "<header>\n<p class=\"over\">Onward · {}</p>\n<h1>{name}</h1>\n<p class=\"headline\">{}</p>\n{}</header>\n",
            escape(self.over),
            prose(self.headline),
            self.header
        );
        page += &figures(self.plots);
        page += &facts(self.facts);
        page += &self.sections;
        let (title, text) = self.source;
        if !text.is_empty() {
            page += &format!(
                "<details>\n<summary>{}</summary>\n<pre><code>{}</code></pre>\n</details>\n",
                escape(title),
                escape(text)
            );
        }
        page + "</main>\n</body>\n</html>\n"
    }
}

/// The report of a run as one page.
pub fn html(report: &Report<'_>) -> String {
    let page = Page {
        over: "run report",
        name: report.name,
        headline: &report.headline,
        header: result(report) + &notices(report) + &remarks(report),
        plots: &plots(report),
        facts: &report.facts,
        sections: report.confusion.map_or_else(String::new, |counts| tables(counts, &report.class_names))
            + &texts(&report.texts)
            + &table("Where it comes from", &report.provenance)
            + &measurements(report.points),
        source: ("Spec as run", report.spec_text),
    };
    page.html()
}

fn last_accuracy(points: &[Point]) -> Option<f32> {
    points.iter().rev().find_map(|p| p.test_accuracy.filter(|a| a.is_finite()))
}

/// Sentences, in which a number is not parted from its sign.
fn prose(text: &str) -> String {
    escape(text).replace(" %", "\u{a0}%")
}

/// The result as large numbers, the baseline next to it.
fn result(report: &Report<'_>) -> String {
    let accuracy = last_accuracy(report.points);
    let shown = |share: f32| format!("{:.2} %", 100.0 * f64::from(share));
    let mut all: Vec<(String, String)> = report.results.clone();
    if all.is_empty() {
        all.extend(accuracy.map(|accuracy| ("Test accuracy".into(), shown(accuracy))));
    }
    let known = report.baseline.as_ref().filter(|b| b.accuracy.is_finite() && accuracy.is_some());
    all.extend(known.map(|Baseline { name, accuracy }| (name.clone(), shown(*accuracy))));
    if all.is_empty() {
        return String::new();
    }
    let mut out = String::from("<dl class=\"result\">\n");
    for (i, (label, value)) in all.iter().enumerate() {
        let class = if i > 0 { " class=\"quiet\"" } else { "" };
        let _ = writeln!(out, "<div{class}><dt>{}</dt><dd>{}</dd></div>", escape(label), escape(value));
    }
    out + "</dl>\n"
}

/// What the measurements say, what says so, and what to try next.
fn remarks(report: &Report<'_>) -> String {
    if report.remarks.is_empty() {
        return String::new();
    }
    let mut out = String::from("<ul class=\"remarks\">\n");
    for Remark { says, evidence, next } in &report.remarks {
        let next =
            next.as_ref().map_or_else(String::new, |next| format!(" Next: <code>{}</code>", escape(next)));
        let _ = writeln!(out, "<li><strong>{}</strong> {}{next}</li>", prose(says), prose(evidence));
    }
    out + "</ul>\n"
}

fn notices(report: &Report<'_>) -> String {
    let mut out = String::new();
    for notice in &report.notices {
        out += &format!("<p class=\"notice\">{}</p>\n", prose(notice));
    }
    let more = own_names(report).len().saturating_sub(MOST_OWN);
    if more > 0 {
        out += &format!("<p class=\"notice\">{more} more measurements of the run's own are not drawn.</p>\n");
    }
    if report.points.is_empty() {
        out += "<p class=\"notice\">Nothing has been measured yet.</p>\n";
    }
    match report.points.iter().map(|p| p.non_finite).max() {
        None | Some(0) => {}
        Some(1) => out += "<p class=\"notice\">1 loss was not finite; it counted as the worst.</p>\n",
        Some(n) => {
            out += &format!(
                "<p class=\"notice\">{} losses were not finite; they counted as the worst.</p>\n",
                grouped(n)
            );
        }
    }
    out
}

fn figures(plots: &[Plot]) -> String {
    if plots.is_empty() {
        return String::new();
    }
    let mut out = String::from("<section class=\"plots\">\n");
    for plot in plots {
        // It scrolls within its own box where the page is narrower.
        let class = if plot.scene.width > COLUMN { " class=\"wide\" tabindex=\"0\"" } else { "" };
        let _ = writeln!(out, "<figure{class}>\n{}</figure>", plot.scene.inline_svg());
    }
    out + "</section>\n"
}

fn facts(facts: &[(String, String)]) -> String {
    table("What was spent, and how", facts)
}

fn table(title: &str, facts: &[(String, String)]) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let mut out = format!("<section>\n<h2>{title}</h2>\n<table class=\"facts\">\n");
    for (label, value) in facts {
        let class = if is_digest(value) { " class=\"digest\"" } else { "" };
        let (label, value) = (escape(label), escape(value));
        let _ = writeln!(out, "<tr><th scope=\"row\">{label}</th><td{class}>{value}</td></tr>");
    }
    out + "</table>\n</section>\n"
}

/// What a model wrote before its run and writes after it, side by side.
fn texts(all: &[Continued]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut out = String::from("<section>\n<h2>Texts before and after</h2>\n");
    out += "<div class=\"scroll\">\n<table class=\"texts\">\n<thead><tr><th scope=\"col\">Prompt</th><th scope=\"col\">Before</th><th scope=\"col\">After</th><th scope=\"col\">Data</th></tr></thead>\n<tbody>\n";
    for Continued { prompt, before, after, wanted } in all {
        let [prompt, before, after, wanted] = [prompt, before, after, wanted].map(|text| escape(text));
        let _ = writeln!(out, "<tr><td>{prompt}</td><td>{before}</td><td>{after}</td><td>{wanted}</td></tr>");
    }
    out + "</tbody>\n</table>\n</div>\n</section>\n"
}

fn is_digest(value: &str) -> bool {
    value.len() >= 12
        && value.bytes().all(|b| b.is_ascii_hexdigit())
        && !value.bytes().all(|b| b.is_ascii_digit())
}

type Cell = fn(&Point) -> Option<String>;

const COLUMNS: [(&str, Cell); 10] = [
    ("step", |p| Some(grouped(p.step))),
    ("forward passes", |p| (p.passes > 0).then(|| grouped(p.passes))),
    ("samples", |p| (p.samples > 0).then(|| grouped(p.samples))),
    ("time", |p| duration(p.elapsed)),
    ("train loss", |p| number(p.train_loss, Unit::Number)),
    ("test loss", |p| number(p.test_loss, Unit::Number)),
    ("train accuracy", |p| number(p.train_accuracy, Unit::Percent)),
    ("test accuracy", |p| number(p.test_accuracy, Unit::Percent)),
    ("signal to noise", |p| number(p.signal_to_noise, Unit::Number)),
    ("rate", |p| number(p.rate, Unit::Number)),
];

/// The numbers behind the curves, for those who would rather read; columns that nothing was measured for are left out.
fn measurements(points: &[Point]) -> String {
    let rows = thinned(points);
    let columns: Vec<_> = COLUMNS.iter().filter(|(_, cell)| rows.iter().any(|p| cell(p).is_some())).collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads: String = columns.iter().map(|(name, _)| format!("<th scope=\"col\">{name}</th>")).collect();
    let thinned = if rows.len() < points.len() {
        format!(" ({} of {})", rows.len(), grouped(points.len() as u64))
    } else {
        String::new()
    };
    let mut out = format!(
        "<details>\n<summary>Measurements{thinned}</summary>\n<div class=\"scroll\" tabindex=\"0\">\n\
         <table class=\"numbers\">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"
    );
    for point in rows {
        let cells: String =
            columns.iter().map(|(_, cell)| format!("<td>{}</td>", cell(point).unwrap_or_default())).collect();
        let _ = writeln!(out, "<tr>{cells}</tr>");
    }
    out + "</tbody>\n</table>\n</div>\n</details>\n"
}

/// Points with a test result where there are any, evenly thinned; the last always stays.
fn thinned(points: &[Point]) -> Vec<&Point> {
    let tested: Vec<&Point> =
        points.iter().filter(|p| p.test_loss.is_some() || p.test_accuracy.is_some()).collect();
    let rows = if tested.is_empty() { points.iter().collect() } else { tested };
    let stride = rows.len().div_ceil(MOST_ROWS).max(1);
    let from_the_end = rows.into_iter().rev().step_by(stride).collect::<Vec<_>>();
    from_the_end.into_iter().rev().collect()
}

fn number(value: Option<impl Into<f64>>, unit: Unit) -> Option<String> {
    value.map(Into::into).filter(|v| v.is_finite()).map(|v| short(v, unit))
}

/// `12345` as `12 345`, with narrow spaces that do not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let group = |(i, c): (usize, char)| {
        let space = i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4;
        space.then_some('\u{202f}').into_iter().chain([c])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

fn duration(seconds: f64) -> Option<String> {
    if !(seconds > 0.0 && seconds < 1e12) {
        return None;
    }
    let whole = seconds.round() as u64;
    Some(match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_durations_are_easy_to_read() {
        assert_eq!(
            [999, 1234, 12_345, 1_234_567].map(grouped),
            ["999", "1234", "12\u{202f}345", "1\u{202f}234\u{202f}567"]
        );
        let read = |s| duration(s).unwrap_or_default();
        assert_eq!([3.21, 65.0, 3725.0].map(read), ["3.2 s", "1 min 05 s", "1 h 02 min"]);
        assert_eq!(duration(f64::NAN), None);
    }

    #[test]
    fn a_long_run_is_thinned_and_keeps_its_last_row() {
        let points: Vec<Point> = (0..10_000).map(|step| Point { step, ..Point::default() }).collect();
        let rows = thinned(&points);
        assert!(rows.len() <= MOST_ROWS);
        assert_eq!(rows.last().map(|p| p.step), Some(9_999));
    }
}
