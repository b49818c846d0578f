//! The page of `verify-theory`: each theorem, its numbers and its curves.

use crate::axis::AxisKind;
use crate::html::head;
use crate::line::{LinePlot, Series, series_plot};
use crate::scene::{Dash, escape};
use crate::{Plot, write_plots};
use onward::{Result, file};
use onward_theory::{Check, Effort, Evidence, Figure, Finding, Lab, Provenance};
use std::fmt::Write as _;
use std::path::Path;

/// A check that was run.
pub struct Checked {
    /// The check.
    pub check: Check,
    /// What it found.
    pub outcome: Evidence,
    /// How long that took.
    pub seconds: f64,
}

/// Writes `theory.html`, `plots/*.svg` and `plots/*.png` into `folder`, which is made where it is missing.
///
/// # Errors
/// [`onward::ErrorKind::Io`] if the system refuses to make a folder or to write a file.
pub fn write_theory(all: &[Checked], lab: &Lab, seconds: f64, folder: &Path) -> Result<()> {
    let plots: Vec<Plot> = all.iter().filter_map(|c| c.outcome.figure.as_ref()).map(plot).collect();
    write_plots(&plots, folder)?;
    file::write(&folder.join("theory.html"), page(all, lab, seconds).as_bytes())
}

fn plot(figure: &Figure) -> Plot {
    let kind = |log| if log { AxisKind::Log } else { AxisKind::Linear };
    let frame = LinePlot {
        title: figure.title.into(),
        x_label: figure.x.into(),
        y_label: figure.y.into(),
        x: kind(figure.log[0]),
        y: kind(figure.log[1]),
        dashed: "theory".into(),
        ..LinePlot::default()
    };
    // Curves of one name share a colour.
    let mut names: Vec<&str> = Vec::new();
    let mut series = Vec::new();
    for curve in &figure.curves {
        let known = names.iter().position(|n| *n == curve.name);
        let colour = known.unwrap_or(names.len());
        if known.is_none() {
            names.push(&curve.name);
        }
        let dash = if curve.origin == Provenance::Theory { Dash::Dashed } else { Dash::Solid };
        // The value at the end stands beside the name.
        let stop = if curve.name.ends_with(|c: char| c.is_ascii_digit()) { ":" } else { "" };
        series.push(Series {
            name: format!("{}{stop}", curve.name),
            points: curve.points.clone(),
            dash,
            colour,
        });
    }
    let scene = series_plot(&frame, &series);
    Plot { name: figure.file.into(), svg: scene.svg(), scene }
}

fn page(all: &[Checked], lab: &Lab, seconds: f64) -> String {
    let held = all.iter().filter(|c| c.outcome.holds()).count();
    let numbers: usize = all.iter().map(|c| c.outcome.findings.len()).sum();
    let effort = if lab.effort == Effort::Quick { "quick" } else { "full" };
    let mut page =
        head("Theory") + "<header>\n<p class=\"over\">Onward · theory</p>\n<h1>Theorems, run</h1>\n";
    page += "<p class=\"headline\">What is proved about the methods, held against what the methods do. Each mean has its \
             interval of 95 %. The margin is the share of the room that is left: at 0\u{202f}% it would touch the bound.</p>\n";
    let cell = |label: &str, value: String, class: &str| {
        format!("<div{class}><dt>{label}</dt><dd>{value}</dd></div>\n")
    };
    page += "<dl class=\"result\">\n";
    page += &cell("Theorems that hold", format!("{held}<small> of {}</small>", all.len()), "");
    for (label, value) in [
        ("Numbers compared", numbers.to_string()),
        ("Seed", lab.seed.to_string()),
        ("Run", format!("{seconds:.0}<small> s, {effort}</small>")),
    ] {
        page += &cell(label, value, " class=\"quiet\"");
    }
    page += "</dl>\n</header>\n";
    all.iter().for_each(|checked| page += &section(checked));
    page + "</main>\n</body>\n</html>\n"
}

fn section(checked: &Checked) -> String {
    let Checked { check, outcome, .. } = checked;
    let (class, verdict) = if outcome.holds() { ("holds", "holds") } else { ("fails", "does not hold") };
    let mut out = format!(
        "<section class=\"theorem\">\n<h2>{} <span class=\"{class}\">{verdict}</span></h2>\n<p>{}</p>\n\
         <p class=\"over\">{}</p>\n<div class=\"evidence\">\n",
        escape(&capital(check.name)),
        escape(check.statement),
        escape(check.source)
    );
    if let Some(figure) = &outcome.figure {
        let _ = writeln!(out, "<figure>\n{}</figure>", plot(figure).scene.inline_svg());
    }
    // Where there is a picture, numbers can wait; what fails cannot.
    let open = if outcome.figure.is_none() || !outcome.holds() { " open" } else { "" };
    let count = outcome.findings.len();
    let tightest = outcome.findings.iter().map(Finding::margin).fold(f64::INFINITY, f64::min);
    let _ = writeln!(
        out,
        "<details{open}>\n<summary>{count} numbers, tightest margin {:.0}\u{202f}%</summary>",
        100.0 * tightest
    );
    out += "<div class=\"scroll\" tabindex=\"0\">\n<table class=\"numbers\">\n<thead><tr><th scope=\"col\"></th>\
            <th scope=\"col\">theory</th><th scope=\"col\">measured</th><th scope=\"col\">margin</th></tr></thead>\n<tbody>\n";
    outcome.findings.iter().for_each(|finding| out += &row(finding));
    out + "</tbody>\n</table>\n</div>\n</details>\n</div>\n</section>\n"
}

fn row(finding: &Finding) -> String {
    let class = if finding.holds() { "" } else { " class=\"fails\"" };
    let what = escape(&finding.what);
    let (claim, measured) = (finding.claim, finding.measured);
    let margin = 100.0 * finding.margin();
    format!(
        "<tr{class}><th scope=\"row\">{what}</th><td>{claim}</td><td>{measured}</td><td>{margin:.0}\u{202f}%</td></tr>\n"
    )
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use onward_theory::{Claim, Measured, checks};

    fn checked(measured: f64) -> Checked {
        let findings = vec![Finding::new("a < b", Claim::AtMost(1.0), Measured::exactly(measured))];
        Checked { check: checks().remove(0), outcome: Evidence { findings, figure: None }, seconds: 1.0 }
    }

    #[test]
    fn the_page_says_what_holds_and_what_does_not() {
        let lab = Lab { seed: 7, effort: Effort::Quick };
        let text = page(&[checked(0.5), checked(2.0)], &lab, 3.0);
        assert!(text.contains("1<small> of 2</small>") && text.contains("a &lt; b"));
        assert!(
            text.contains("50\u{202f}%")
                && text.contains("-100\u{202f}%")
                && text.matches("class=\"fails\"").count() == 2
        );
    }
}
