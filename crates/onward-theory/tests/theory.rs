//! The checks as a whole; that each can fail is tested beside it.
#![allow(clippy::unwrap_used)]

use onward::threads::Threads;
use onward_theory::{Effort, Lab, checks};
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../docs/theory.md");

#[test]
fn the_document_and_the_checks_name_each_other() {
    let runs: BTreeSet<String> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("▸ run: "))
        .flat_map(|line| line.split('*').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let names: BTreeSet<String> = checks().iter().map(|c| c.name.to_owned()).collect();
    assert_eq!(names.len(), checks().len());
    assert_eq!(runs, names);
    assert!(checks().iter().all(|c| !c.source.is_empty() && !c.statement.is_empty()));
}

#[test]
fn threads_change_no_bit_and_the_seed_does() {
    let found = |seed, threads| {
        let lab = Lab { seed, effort: Effort::Quick };
        let cheap =
            ["symmetric two-point estimates are unbiased", "smoothing bias", "linear rate of the (1+1)-ES"];
        let all = checks().into_iter().filter(|c| cheap.contains(&c.name));
        let run = |c: onward_theory::Check| Threads::new(threads).unwrap().run(|| c.run(&lab)).unwrap();
        let findings: Vec<_> = all.flat_map(|c| run(c).findings).collect();
        findings.iter().map(|f| [f.measured.mean.to_bits(), f.measured.error.to_bits()]).collect::<Vec<_>>()
    };
    let one = found(1, 1);
    assert!(one == found(1, 3) && one != found(2, 1) && one.len() > 10);
}

#[test]
#[ignore = "minutes: `onward verify-theory` does the same and draws it"]
fn all_hold_in_full() {
    for seed in [1, 2] {
        let lab = Lab { seed, effort: Effort::Full };
        for check in checks() {
            let outcome = check.run(&lab).unwrap();
            assert!(outcome.holds(), "{}, seed {seed}: {:#?}", check.name, outcome.findings);
        }
    }
}
