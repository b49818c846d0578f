//! Searches in specs.

use super::{Spec, explain};
use onward::Result;
use onward::ledger::Search;
use onward::rule::Method;
use onward::study;
use std::path::Path;

const TEXT: &str =
    "seed = 1\ndata.path = \"d.csv\"\nmodel = { kind = \"mlp\", hidden = [4] }\ntrain.steps = 9\n";

fn parse(method: &str, sets: &[&str]) -> Result<Spec> {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    Spec::parse(&format!("{TEXT}{method}\n"), Path::new("specs/a.toml"), &sets, None)
}

fn strategy(spec: &Spec) -> &study::StrategyKind {
    let Method::Search(own) = &spec.method.kind else { panic!("{:?}", spec.method) };
    &own.strategy
}

#[test]
fn every_strategy_is_a_method_whose_settings_are_written_out_and_read_back() {
    for (name, _) in Search::names() {
        let spec = parse(&format!("method.name = {name:?}"), &[]).unwrap();
        assert_eq!((spec.method.kind.name(), &spec.method.steps), (name, &None));
        assert_eq!(*strategy(&spec), Search::named(name).unwrap().strategy);
        let Method::Search(own) = &spec.method.kind else { panic!("{:?}", spec.method) };
        assert_eq!(own.sigma, f64::from(Search::named(name).unwrap().sigma as f32));
        assert!(spec.to_toml().contains(&format!("sigma = {:?}\n", Search::named(name).unwrap().sigma)));
        let text = spec.to_toml();
        let again = Spec::parse(&text, Path::new("/elsewhere/b.toml"), &[], None).unwrap();
        assert_eq!((&again, again.to_toml()), (&spec, text));
    }
    let text = parse("method.name = \"cma-es\"", &[]).unwrap().to_toml();
    let written =
        "[method]\nname = \"cma-es\"\nsettings = { restarts = \"none\" }\nincumbent = \"anew\"\nsigma = ";
    assert!(text.contains(written), "{text}");
}

#[test]
fn settings_come_from_the_file_and_from_arguments() {
    let members = |spec: &Spec| match strategy(spec) {
        study::StrategyKind::Snes(s) => (s.members, s.sigma_rate),
        other => panic!("{other:?}"),
    };
    let file = "[method]\nname = \"snes\"\n[method.settings]\nmembers = 40";
    assert_eq!(members(&parse(file, &[]).unwrap()), (Some(40), None));
    let sets = ["method.settings.sigma_rate=1", "method.settings.members=8"];
    assert_eq!(members(&parse(file, &sets).unwrap()), (Some(8), Some(1.0)));
    assert_eq!(members(&parse(file, &["method.settings={}"]).unwrap()), (None, None));
    let mirror =
        "method = { name = \"mirror-descent\", settings = { mirror = { map = \"l1-ball\", radius = 9 } } }";
    let spec = parse(mirror, &[]).unwrap();
    assert_eq!(strategy(&spec).name(), "two-point");
    assert!(spec.to_toml().contains("mirror = { map = \"l1-ball\", radius = 9.0 }"), "{}", spec.to_toml());
}

#[test]
fn wrong_settings_are_named_with_their_place() {
    for (method, sets, expected) in [
        (
            "method = { name = \"snes\", settings = { member = 4 } }",
            &[][..],
            "specs/a.toml:5:38: method.settings: expected the settings of snes (did you mean members?), found \"member\"",
        ),
        (
            "method.name = \"snes\"",
            &["method.settings.restarts=none"],
            "--set method.settings: expected the settings of snes: members, sigma_rate, found \"restarts\"",
        ),
        (
            "method.name = \"snes\"",
            &["method.settings.members=4.5"],
            "--set method.settings: expected settings that snes can have, found members = 4.5: invalid type: \
             floating point `4.5`, expected usize",
        ),
        ("method.name = \"stp\"", &["method.settings=3"], "--set method.settings: expected a table, found 3"),
        (
            "method.name = \"stp\"",
            &["method.rate=0.1"],
            "--set method.rate: belongs to method.name = \"relative-activation\" or ",
        ),
        (
            "method.name = \"population\"",
            &["method.settings.members=4"],
            "--set method.settings: belongs to method.name = \"cma-es\" or ",
        ),
        (
            "method.name = \"stp\"",
            &["method.incumbent=best"],
            "--set method.incumbent: expected one of \"anew\", \"remembered\", found the string \"best\"",
        ),
    ] {
        let message = parse(method, sets).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn settings_are_explained_for_every_strategy() {
    let text = explain(Some("method.settings")).unwrap();
    assert!(text.contains("\n    \"snes\": members (optional), sigma_rate (optional)\n"), "{text}");
    assert!(text.contains("\n    \"stp\": grow = 1.15, shrink = 0.9, step = 1.0\n"), "{text}");
    assert!(explain(Some("method.name")).unwrap().contains("\"snes\": Separable natural evolution"));
}
