//! `verify-theory`: the theorems behind the methods, run.

use crate::args::VerifyTheory;
use crate::progress::Voice;
use crate::target;
use onward::threads::Threads;
use onward::{Error, ErrorKind, Result};
use onward_report::{Checked, write_theory};
use onward_theory::{Check, Effort, Finding, Lab, checks};
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;

/// `onward verify-theory`.
pub fn verify_theory(args: &VerifyTheory) -> Result<ExitCode> {
    let voice = Voice::new(&args.how);
    voice.say_instructions(&args.how);
    let chosen = chosen(args.only.as_deref())?;
    target::no_run(&args.out)?;
    // Measured in vain if there were no place for the page.
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io("make the folder", &args.out, e))?;
    let effort = if args.quick { Effort::Quick } else { Effort::Full };
    let lab = Lab { seed: args.seed, effort };
    let threads = Threads::new(args.how.threads())?;
    let began = Instant::now();
    let mut all = Vec::new();
    for check in chosen {
        let began = Instant::now();
        let outcome = threads.run(|| check.run(&lab))?;
        let checked = Checked { check, outcome, seconds: began.elapsed().as_secs_f64() };
        say(voice, &checked);
        all.push(checked);
    }
    let (held, seconds) = (all.iter().filter(|c| c.outcome.holds()).count(), began.elapsed().as_secs_f64());
    write_theory(&all, &lab, seconds, &args.out)?;
    let page = args.out.join("theory.html");
    voice.say(
        &format!("\n{held} of {} hold; {seconds:.1} s, seed {}; {}", all.len(), args.seed, page.display()),
        &json!({"event": "done", "held": held, "of": all.len(), "seed": args.seed, "quick": args.quick,
            "seconds": seconds, "page": page}),
    );
    Ok(code(held, all.len()))
}

/// The theorems whose name contains a text; all without one.
fn chosen(only: Option<&str>) -> Result<Vec<Check>> {
    let text = only.unwrap_or_default();
    let chosen: Vec<Check> = checks().into_iter().filter(|c| c.name.contains(text)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = checks().iter().map(|c| c.name).collect();
        let expected = format!("a part of one of \"{}\"", names.join("\", \""));
        return Err(Error::expected(ErrorKind::Spec, "--only", expected, format!("{text:?}")));
    }
    Ok(chosen)
}

/// What `held` theorems of so many end the process with.
fn code(held: usize, all: usize) -> ExitCode {
    if held == all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The theorem with its tightest margin, then each of its numbers.
fn say(voice: Voice, checked: &Checked) {
    let Checked { check, outcome, seconds } = checked;
    let Check { name, source, statement, .. } = check;
    let tightest = outcome.findings.iter().map(Finding::margin).fold(f64::INFINITY, f64::min);
    let mut words = format!("{} {name:<64} margin {:>4}", verdict(outcome.holds()), share(tightest));
    for finding in &outcome.findings {
        let mark = if finding.holds() { ' ' } else { '!' };
        let (claim, measured) = (finding.claim.to_string(), finding.measured.to_string());
        words += &format!(
            "\n   {mark} {:<58} {claim:>19} {measured:>22} {:>6}",
            finding.what,
            share(finding.margin())
        );
    }
    let findings: Vec<_> = outcome
        .findings
        .iter()
        .map(|f| {
            json!({"what": f.what, "claim": f.claim, "mean": f.measured.mean, "error": f.measured.error,
                "margin": f.margin(), "holds": f.holds()})
        })
        .collect();
    let event = json!({"event": "theorem", "name": name, "source": source, "statement": statement,
        "holds": outcome.holds(), "margin": tightest, "seconds": seconds, "findings": findings});
    voice.say(&words, &event);
}

/// In as many letters.
fn verdict(holds: bool) -> &'static str {
    if holds { "pass" } else { "FAIL" }
}

fn share(margin: f64) -> String {
    format!("{:.0} %", 100.0 * margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d05_a_theorem_that_does_not_hold_is_exit_code_1() {
        assert_eq!((code(17, 17), code(16, 17)), (ExitCode::SUCCESS, ExitCode::from(1)));
    }
}
