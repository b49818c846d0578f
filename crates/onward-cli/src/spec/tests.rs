use std::path::Path;

use onward::ErrorKind;
use proptest::prelude::*;

use super::*;
use onward::Place;
use onward::model::Activation;
use onward::rule::{Layers, Method as Kinds};
use onward::schema::PerLayer;
use onward::settings::{Budget, Mlp, ModelKind, Skip};
use onward::space::{Directions, LayerSpace};
use onward_data::{Holdout, Label, Labels};

/// The value of a key of `[method]`.
fn method_key(spec: &Spec, name: &str) -> Option<Value> {
    spec.method.write("method").into_iter().find(|(_, key, _)| *key == name).map(|(.., value)| value)
}

const MLP: &str = r#"
seed = 7

[data]
path = "digits.csv"

[model]
kind = "mlp"
hidden = [32]

[method]
name = "relative-activation"

[train]
epochs = 2
"#;

const CONV: &str = r#"
seed = 7
data.path = "digits.csv"
model = { kind = "conv", channels = [8, 8, 16] }
method.name = "population"
train.steps = 50
"#;

fn parse_with(text: &str, sets: &[&str], seed: Option<u64>) -> Result<Spec> {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    Spec::parse(text, Path::new("specs/a.toml"), &sets, seed)
}

fn parse(text: &str) -> Result<Spec> {
    parse_with(text, &[], None)
}

/// The message about `text`, which must be refused.
#[track_caller]
pub(super) fn refused(text: &str, sets: &[&str]) -> String {
    let error = parse_with(text, sets, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spec);
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// `MLP` with `line` put first in `[section]`.
pub(super) fn mlp_with(section: &str, line: &str) -> String {
    let header = format!("[{section}]\n");
    assert!(MLP.contains(&header));
    MLP.replace(&header, &format!("{header}{line}\n"))
}

#[test]
fn a_short_spec_is_filled_with_the_defaults() {
    let spec = parse(MLP).unwrap();
    assert_eq!((spec.name.as_str(), spec.seed), ("a", 7));
    assert_eq!(spec.data.path, std::path::absolute("specs/digits.csv").unwrap());
    assert_eq!(spec.data.test, Holdout::Fraction(0.2));
    assert!(matches!(&spec.model.kind, ModelKind::Mlp(Mlp { hidden, .. }) if *hidden == [32]));
    assert_eq!(spec.model.activation, Activation::Relu);
    assert_eq!(spec.objective.name(), "cross-entropy");
    let steps = spec.method.steps.as_ref().unwrap();
    assert_eq!((steps.final_rate, steps.warmup), (0.0, 0));
    let Kinds::RelativeActivation(own) = &spec.method.kind else { panic!("{:?}", spec.method) };
    assert_eq!(
        (own.draws, own.order, &own.space),
        (Directions::Orthogonal, Layers::Together, &PerLayer::All(LayerSpace::Activation))
    );
    assert_eq!((spec.train.budget, spec.train.batch), (Budget::Epochs(2.0), 128));
    assert_eq!(spec.baseline, None);
}

#[test]
fn defaults_follow_the_method_and_other_keys() {
    for (method, sigma, rate) in [
        ("relative-activation", 0.1, 0.05),
        ("relative-local", 0.01, 0.05),
        ("online", 0.01, 0.003),
        ("population", 0.05, 0.02),
        ("two-point", 0.01, 0.003),
        ("rso", 1.0, 1.0),
    ] {
        let spec = parse_with(MLP, &[&format!("method.name={method}")], None).unwrap();
        assert_eq!(method_key(&spec, "sigma"), Some(Value::Float(sigma)));
        assert_eq!(method_key(&spec, "rate"), Some(Value::Float(rate)));
    }
    let conv = |sets: &[&str]| match parse_with(CONV, sets, None).unwrap().model.kind {
        ModelKind::Conv(conv) => conv,
        other => panic!("{other:?}"),
    };
    assert_eq!(conv(&[]).residual, [Skip::None; 3]);
    assert!(!conv(&[]).bias);
    assert!(conv(&["model.batch_norm=false"]).bias);
    assert!(conv(&["model.bias=true"]).bias);
}

#[test]
fn unknown_keys_are_named_with_the_nearest() {
    let message = refused(&mlp_with("method", "sigam = 0.1"), &[]);
    assert_eq!(message, "specs/a.toml:12:1: method.sigam: unknown key; did you mean method.sigma?");
    let message = refused(&mlp_with("train", "sigma = 0.1"), &[]);
    assert_eq!(message, "specs/a.toml:15:1: train.sigma: unknown key; did you mean method.sigma?");
    let message = refused(&format!("epochs = 3\n{MLP}"), &[]);
    assert_eq!(message, "specs/a.toml:1:1: epochs: unknown key; did you mean train.epochs?");
    let message = refused(&format!("{MLP}\n[objectve]"), &[]);
    assert_eq!(message, "specs/a.toml:17:2: objectve: unknown table; did you mean [objective]?");
    let message = refused(&format!("\"train.steps\" = 3\n{MLP}"), &[]);
    assert!(message.starts_with("specs/a.toml:1:1: 'train.steps': unknown key; "), "{message}");
}

#[test]
fn unknown_keys_near_to_nothing_list_what_there_is() {
    let message = refused(&mlp_with("data", "\"é\" = 1"), &[]);
    assert!(
        message.starts_with("specs/a.toml:5:1: \"data.é\": unknown key; known are data.path, "),
        "{message}"
    );
    let message = refused(&format!("{MLP}\n[optimiser]\nx = 1"), &[]);
    assert_eq!(
        message,
        "specs/a.toml:17:2: optimiser: unknown table; known are name, seed, version, [data], [model], [objective], [method], \
         [train], [augment], [baseline]"
    );
}

#[test]
fn wrong_types_say_what_was_expected_and_found() {
    for (section, line, expected) in [
        ("train", "batch = \"64\"", "train.batch: expected an integer ≥ 1, found the string \"64\""),
        ("train", "batch = 64.5", "train.batch: expected an integer ≥ 1, found 64.5"),
        ("train", "batch = 2026-01-01", "train.batch: expected an integer ≥ 1, found the date 2026-01-01"),
        ("train", "batch = {}", "train.batch: expected an integer ≥ 1, found a table"),
        (
            "method",
            "sigma = true",
            "method.sigma: expected a number > 0, or an array, each entry a number > 0, found true",
        ),
        ("method", "space = [1]", "found 1 at index 0"),
        (
            "data",
            "shape = [8, 8]",
            "expected an array of 3, each entry an integer from 1 to 65536, found an array of 2",
        ),
        (
            "data",
            "label = 1.5",
            "data.label: expected a string, or an integer ≥ 0, or an array, each entry a string, or an integer ≥ 0, found 1.5",
        ),
        ("data", "test_path = \"\"", "data.test_path: expected a path, found the string \"\""),
        (
            "model",
            "activation = \"rleu\"",
            "\"relu\", \"tanh\", \"gelu\", \"gelu-erf\", \"silu\", \"sigmoid\", \"softplus\", \"sign\", \"step\", found the string \"rleu\"",
        ),
    ] {
        let message = refused(&mlp_with(section, line), &[]);
        assert!(message.contains(expected), "{message}");
    }
    let message = refused("method = 3", &[]);
    assert_eq!(message, "specs/a.toml:1:1: method: expected a table [method], found 3");
    assert!(
        refused("[[train]]\nsteps = 1", &[])
            .ends_with("train: expected a table [train], found an array of 1")
    );
}

#[test]
fn values_out_of_range_say_the_range_and_the_place() {
    for (section, line, expected) in [
        (
            "method",
            "sigma = -1",
            "specs/a.toml:12:9: method.sigma: expected a number > 0, or an array, each entry a number > 0, found -1",
        ),
        ("method", "sigma = 0.0", "found 0.0"),
        ("method", "sigma = nan", "found NaN"),
        ("method", "sigma = 1e999", "found inf"),
        ("method", "momentum = 1.0", "method.momentum: expected a number ≥ 0 and < 1, found 1.0"),
        ("method", "final_rate = 1.5", "expected a number from 0 to 1, found 1.5"),
        ("method", "directions = [4, -1]", "found -1 at index 1"),
        ("data", "test = 1.0", "expected a number > 0 and < 1, or an integer ≥ 1, found 1.0"),
        ("data", "limit = 0", "expected an integer ≥ 1, found 0"),
        ("train", "batch = 0", "expected an integer ≥ 1, found 0"),
        (
            "train",
            "snapshot_every = 9223372036854775808",
            "from -2^63 to 2^63 - 1, found 9223372036854775808",
        ),
    ] {
        let message = refused(&mlp_with(section, line), &[]);
        assert!(message.contains(expected), "{message}");
    }
    let message = refused(&MLP.replace("[32]", "[32, 65537]"), &[]);
    assert!(message.ends_with("each entry an integer from 1 to 65536, found 65537 at index 1"), "{message}");
}

#[test]
fn keys_of_another_method_or_kind_say_whose_they_are() {
    let message = refused(&mlp_with("method", "members = 4"), &[]);
    let expected = "specs/a.toml:12:1: method.members: belongs to method.name = \"population\", not to \"relative-activation\"";
    assert_eq!(message, expected);
    let message = refused(CONV, &["method.directions=3"]);
    let expected = "--set method.directions: belongs to method.name = \"relative-activation\" or \"two-point\", not to \
                    \"population\"";
    assert_eq!(message, expected);
    let message = refused(MLP, &["model.kind=conv"]);
    assert!(message.contains("model.hidden: belongs to model.kind = \"mlp\""), "{message}");
    assert!(message.contains("\"recurrent\"") && message.contains("not to \"conv\""), "{message}");
}

#[test]
fn missing_keys_are_named() {
    let message = refused(&MLP.replace("seed = 7", ""), &[]);
    assert_eq!(
        message,
        "specs/a.toml: seed: expected an integer ≥ 0 (in the spec or by --seed), found no such key"
    );
    let message = refused(&MLP.replace("name = ", "#"), &[]);
    assert!(
        message.starts_with("specs/a.toml: method.name: expected one of \"relative-activation\", "),
        "{message}"
    );
    assert!(refused(&MLP.replace("hidden = ", "#"), &[]).contains("model.hidden: expected an array"));
    let message = refused(MLP, &["baseline.accuracy=0.9"]);
    assert_eq!(message, "specs/a.toml: baseline.name: expected a string, found no such key");
}

#[test]
fn the_budget_is_given_once_and_at_least_one_step() {
    let none = MLP.replace("epochs = 2", "");
    assert_eq!(
        refused(&none, &[]),
        "specs/a.toml: train: expected exactly one of the keys epochs and steps, found neither"
    );
    let both = mlp_with("train", "steps = 3");
    assert!(
        refused(&both, &[])
            .contains(":15:9: train.steps: expected exactly one of the keys epochs and steps, found both")
    );
    let message = refused(&none, &["train.steps=0"]);
    let expected = "--set train.steps: expected an integer ≥ 1 (the budget must be at least 1 step), found 0";
    assert_eq!(message, expected);
    assert!(refused(&none, &["train.epochs=0"]).contains("the budget must be at least 1 step"));
    assert_eq!(parse_with(MLP, &["train.steps=3"], None).unwrap().train.budget, Budget::Steps(3));
    assert!(refused(MLP, &["train.steps=3", "train.epochs=1"]).ends_with("found both"));
    assert_eq!(Budget::Epochs(0.5).steps(None, 1437, 128), 6);
    assert_eq!(Budget::Epochs(1e-9).steps(None, 1, 128), 1);
    assert_eq!(Budget::Steps(9).steps(None, 1437, 128), 9);
}

#[test]
fn errors_can_be_read_part_by_part() {
    let error = parse(&mlp_with("method", "sigma = -1")).unwrap_err();
    assert_eq!((error.file(), error.position()), (Some(Path::new("specs/a.toml")), Some((12, 9))));
    assert_eq!((error.key(), error.found()), (Some("method.sigma"), Some("-1")));
    assert_eq!(error.expectation(), Some("a number > 0, or an array, each entry a number > 0"));
    let error = parse_with(MLP, &["train.bach=1"], None).unwrap_err();
    assert_eq!((error.file(), error.key()), (None, Some("train.bach")));
    assert_eq!(error.place().segments()[0], onward::Segment::Argument("--set".into()));
    assert_eq!(error.hints()[0].text(), "did you mean train.batch?");
}

#[test]
fn arguments_override_the_file() {
    let sets =
        ["method.sigma = 0.5", "data.label=species", "data.path=x.csv", "name=\"b-2\"", "model.hidden=[]"];
    let spec = parse_with(MLP, &sets, Some(9)).unwrap();
    assert_eq!((method_key(&spec, "sigma"), spec.seed, spec.name.as_str()), (Some(0.5.into()), 9, "b-2"));
    assert_eq!(spec.data.label, Some(Labels(vec![Label::Name("species".into())])));
    assert_eq!(spec.data.path, std::path::absolute("x.csv").unwrap());
    assert!(matches!(&spec.model.kind, ModelKind::Mlp(Mlp { hidden, .. }) if hidden.is_empty()));
    let spec = parse_with(
        MLP,
        &["baseline={name = 'SGD', accuracy = 0.97}", "train.batch=1", "train.batch=2"],
        None,
    )
    .unwrap();
    assert_eq!(spec.baseline, Some(Baseline { name: "SGD".into(), accuracy: 0.97 }));
    assert_eq!(spec.train.batch, 2);
}

#[test]
fn errors_in_arguments_name_them() {
    for (set, expected) in [
        ("train.batch=x", "--set train.batch: expected an integer ≥ 1, found the string \"x\""),
        ("train.batch=1 2", "--set train.batch: expected an integer ≥ 1, found the string \"1 2\""),
        ("train.bach=1", "--set train.bach: unknown key; did you mean train.batch?"),
        ("train=1", "--set train: expected a table [train], found 1"),
        ("batch", "--set: expected key=value, found \"batch\""),
        ("=1", "--set \"\": unknown key; known are name, "),
        ("name=a b", "--set name: expected letters, digits, '-', '_' and '.', "),
    ] {
        let message = refused(MLP, &[set]);
        assert!(message.starts_with(expected), "{message}");
    }
    let error = parse_with(MLP, &[], Some(u64::MAX)).unwrap_err().to_string();
    assert_eq!(error, "--seed: expected an integer from 0 to 2^63 - 1, found 18446744073709551615");
    assert_eq!(parse_with(MLP, &[], Some(u64::MAX >> 1)).unwrap().seed, u64::MAX >> 1);
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (sets, expected) in [
        (
            &["data.target=value"][..],
            "objective.loss: expected \"squared-error\" or \"absolute-error\" or \"huber\", as data.target is \"value\"",
        ),
        (&["model.channels=[]"], "model.channels: expected at least one layer, found an array of 0"),
        (&["model.pool_after=[3]"], "model.pool_after: expected layers below 3, found 3"),
        (
            &["model.pool_after=[1]", "model.max_pool_after=[1]"],
            "expected one pool after a layer, found two after layer 1",
        ),
        (
            &["model.residual=[-1]"],
            "expected one entry for each of the 3 layers of model.channels, found an array of 1",
        ),
        (&["model.residual=[-1, 1, 0]"], "expected -1 or a layer before layer 1, found 1 at index 1"),
        (&["method.members=5"], "expected an even number, as pairing is \"antithetic\", found 5"),
        (&["method.share=129"], "expected at most train.batch, 128, found 129"),
    ] {
        let message = refused(CONV, sets);
        assert!(message.contains(expected), "{message}");
    }
    assert!(parse_with(CONV, &["method.members=5", "method.pairing=one-sided"], None).is_ok());
    assert!(parse_with(CONV, &["data.target=value", "objective.loss=squared-error"], None).is_ok());
}

#[test]
fn broken_toml_has_its_place() {
    let message = refused("seed = 7\nname = = 3", &[]);
    assert!(message.starts_with("specs/a.toml:2:8: not valid TOML: "), "{message}");
    assert!(refused("seed = 1\nseed = 2", &[]).starts_with("specs/a.toml:2:1: not valid TOML: "));
    assert!(parse(&format!("\u{feff}{}", MLP.replace('\n', "\r\n"))).is_ok());
}

#[test]
fn files_that_are_no_specs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my spec.toml");
    let load = || Spec::load(&path, &[], None);
    assert_eq!(load().unwrap_err().kind(), ErrorKind::Io);
    std::fs::write(&path, b"seed = \xff").unwrap();
    assert!(
        load()
            .unwrap_err()
            .to_string()
            .ends_with("my spec.toml: expected UTF-8 text, found the byte 0xff at offset 7")
    );
    std::fs::write(&path, vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(
        load().unwrap_err().to_string().ends_with("expected a spec of at most 1 MiB, found a larger file")
    );
    std::fs::write(&path, MLP).unwrap();
    let spec = load().unwrap();
    assert_eq!((spec.name.as_str(), spec.data.path), ("my-spec", folder.path().join("digits.csv")));
}

#[test]
fn the_spec_as_run_parses_back() {
    let everything =
        ["baseline={name='a \"b\"', accuracy=1}", "data.shape=[8,8,1]", "data.label=\"2\"", "data.limit=5"];
    let layered = [
        "method.directions=[1,2]",
        "method.space=['low-rank','activation']",
        "data.test=9",
        "method.sigma=1e-30",
    ];
    let two_point = ["method.name=two-point", "method.noise=normal"];
    for (text, sets) in [(MLP, &[][..]), (MLP, &everything), (MLP, &layered), (MLP, &two_point), (CONV, &[])]
    {
        let spec = parse_with(text, sets, None).unwrap();
        let again = Spec::parse(&spec.to_toml(), Path::new("/elsewhere/b.toml"), &[], None).unwrap();
        assert_eq!(again, spec);
        assert_eq!(again.to_toml(), spec.to_toml());
    }
}

#[test]
fn the_spec_as_run_is_golden() {
    let text = parse_with(CONV, &["data.path=/d.csv", "train.epochs=0.5"], None).unwrap().to_toml();
    let expected = r#"name = "a"
seed = 7

[data]
path = "/d.csv"
format = "auto"
header = "auto"
target = "class"
scale = 1.0
center = "auto"
test = 0.2
split = 0

[model]
kind = "conv"
channels = [8, 8, 16]
pool_after = []
max_pool_after = []
batch_norm = true
residual = [-1, -1, -1]
global_pool = "average"
bias = false
activation = "relu"
"#;
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("\n[train]\nepochs = 0.5\nbatch = 128\n"), "{text}");
}

#[test]
fn per_layer_values_resolve_to_the_layers() {
    let key = || Place::key("method", "directions");
    assert_eq!([0, 1].map(|layer| *PerLayer::All(3).of(layer)), [3, 3]);
    let each = PerLayer::Each(vec![1, 2]);
    assert!(each.check(key(), 2).is_ok() && [0, 1].map(|layer| *each.of(layer)) == [1, 2]);
    let error = PerLayer::Each(vec![1]).check(key(), 2).unwrap_err().to_string();
    assert_eq!(
        error,
        "method.directions: expected one entry for each of the net's 2 layers, found an array of 1"
    );
}

#[test]
fn the_starter_parses_and_its_comments_are_the_defaults() {
    let written = Spec::parse(&starter(None), Path::new("a.toml"), &[], None).unwrap();
    let mut spelled_out = String::new();
    for line in starter(None).lines() {
        let is_default = line.starts_with('#') && !line.starts_with("# ") && !line.starts_with("#[");
        spelled_out += if is_default { &line[1..] } else { line };
        spelled_out.push('\n');
    }
    assert_ne!(spelled_out, starter(None));
    assert_eq!(Spec::parse(&spelled_out, Path::new("a.toml"), &[], None).unwrap(), written);
}

#[test]
fn every_key_has_an_explanation_and_a_preset_it_accepts() {
    let listed = explain(None).unwrap();
    for key in all_keys() {
        let line = format!("    {:<15} ", key.name);
        assert!(listed.lines().any(|listed| listed.starts_with(&line)), "{}", key.path());
        assert!(key.doc.trim().len() > 10, "{}", key.path());
        let text = explain::tidy(&explain(Some(&key.path())).unwrap());
        for part in
            [key.path(), explain::tidy(key.doc), format!("Value: {}; {}.", key.kind, explain::default(&key))]
        {
            assert!(text.contains(&part), "{text}");
        }
        let all = Kinds::choices().iter().map(|choice| choice.name).collect();
        let own = key.only.as_ref().map_or(all, |only| only.choices.clone());
        let presets: Vec<Value> = own.iter().filter_map(|name| key.preset.of(name, key.name)).collect();
        assert_eq!(presets.is_empty(), !matches!(key.preset, Preset::Is(_) | Preset::Chosen { .. }));
        for preset in presets {
            assert_eq!(key.kind.refuses(&preset), None, "{}", key.path());
        }
    }
}

#[test]
fn every_method_has_a_default_for_every_key_that_methods_share() {
    for key in all_keys().iter().filter(|key| matches!(key.preset, Preset::Chosen { .. })) {
        let methods = key.only.as_ref().map_or(Kinds::SINGLE.to_vec(), |only| only.choices.clone());
        // Of all methods one perturbs nothing.
        for method in methods.into_iter().filter(|method| (*method, key.name) != ("integers", "sigma")) {
            assert!(key.preset.of(method, key.name).is_some(), "{method} has no {}", key.name);
        }
    }
}

#[test]
fn a_spec_of_a_later_version_is_refused_with_a_sentence_that_says_so() {
    const LATER: &str = "; the spec is of a later version than this program";
    let version = |text: &str| format!("version = 2\n{text}");
    for (text, expected) in [
        (mlp_with("method", "cadence = 3"), ":13:1: method.cadence: unknown key"),
        (format!("{MLP}\n[stream]\nwindow = 3"), "stream: unknown table"),
        (MLP.replace("relative-activation", "guided"), ", found the string \"guided\""),
        (MLP.to_owned(), ":1:11: version: expected an integer from 1 to 1, found 2"),
    ] {
        let message = refused(&version(&text), &[]);
        assert!(message.contains(expected) && message.ends_with(LATER), "{message}");
        // What no version has is told as ever where the version is this one's.
        if let Err(error) = parse(&format!("version = 1\n{text}")) {
            assert!(!error.to_string().contains("later"), "{error}");
        }
    }
    assert_eq!(parse(&format!("version = 1\n{MLP}")).unwrap().version, Some(1));
    assert!(!refused("version = 0", &[]).contains("later"));
    assert!(!parse(MLP).unwrap().to_toml().contains("version"));
}

#[test]
fn explanations_are_golden() {
    assert_eq!(
        explain(Some("method.directions")).unwrap(),
        "method.directions
  Antithetic pairs of perturbations for each sample and layer: one number, or one per layer; a layer
  with 0 keeps its initial weights. Orthogonal draws need no more than the layer's width rounded up
  to a power of two.
  Value: an integer from 0 to 65536, or an array, each entry an integer from 0 to 65536; default 16.
  Only for method.name = \"relative-activation\".

method.directions
  Pairs of opposite points that are compared in each step.
  Value: an integer from 1 to 1000000; default 16.
  Only for method.name = \"two-point\".
"
    );
    assert_eq!(explain(Some("loss")).unwrap(), explain(Some("objective.loss")).unwrap());
    assert!(
        explain(Some("center"))
            .unwrap()
            .contains("\n    \"mean\": The one mean of all features of the training rows is subtracted.\n")
    );
    assert!(
        explain(Some("method")).unwrap().contains("\n  for method.name = \"two-point\":\n    directions ")
    );
    assert!(explain(None).unwrap().lines().all(|line| line.chars().count() <= 100));
    let error = explain(Some("method.sigam")).unwrap_err().to_string();
    assert_eq!(error, "\"method.sigam\": unknown key; did you mean method.sigma?");
}

/// Text that is likely to be nearly a spec.
fn nearly_a_spec() -> impl Strategy<Value = String> {
    let names =
        all_keys().into_iter().map(|key| key.path()).chain(["x".into(), "train".into(), "a.b.c".into()]);
    let values = [
        "1",
        "-1",
        "0.5",
        "nan",
        "\"relu\"",
        "\"mlp\"",
        "\"conv\"",
        "\"population\"",
        "[1]",
        "[[]]",
        "{}",
        "true",
    ];
    let line = (prop::sample::select(names.collect::<Vec<_>>()), prop::sample::select(values.to_vec()));
    prop::collection::vec(line.prop_map(|(name, value)| format!("{name} = {value}\n")), 0..20)
        .prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}", near in nearly_a_spec(), set in "[a-z.=\\[\\]{}\" 0-9-]{0,30}") {
        for text in [text, near] {
            let _ = parse_with(&text, &[&set], Some(1));
            let _ = parse_with(MLP, &[&text], None);
            let _ = explain(Some(&text));
        }
    }

    #[test]
    fn a_damaged_spec_is_refused_or_parses_back(at in 0..500usize, cut in 0..8usize, patch in "[0-9a-z.=#\\[\\]\"' \n-]{0,8}") {
        for sets in [&["method.space=['low-rank']", "data.path=/d"][..], &["method.name=two-point", "data.path=/d"]] {
            let mut text = parse_with(MLP, sets, None).unwrap().to_toml();
            let at = at % text.len();
            text.replace_range(at..(at + cut).min(text.len()), &patch);
            if let Ok(spec) = parse(&text) {
                prop_assert_eq!(parse(&spec.to_toml()).unwrap(), spec);
            }
        }
    }

    #[test]
    fn any_valid_numbers_parse_back(sigma in 1e-45..1e38f64, rate in 1e-9..1e9f64, seed in 0..=i64::MAX as u64,
                                    hidden in prop::collection::vec(1usize..=65536, 0..5), name in "[a-zA-Z0-9_-]{1,100}") {
        let sets = [format!("method.sigma={sigma:?}"), format!("method.rate={rate:?}"), format!("model.hidden={hidden:?}"),
                    format!("name='{name}'")];
        let spec = Spec::parse(MLP, Path::new("a.toml"), &sets, Some(seed)).unwrap();
        let found = spec.method.steps.as_ref().map(|s| s.rate);
        let (sigma, rate) = (Some(Value::from(sigma as f32)), Some(rate as f32));
        prop_assert_eq!((method_key(&spec, "sigma"), found, spec.seed), (sigma, rate, seed));
        prop_assert_eq!(parse(&spec.to_toml()).unwrap(), spec);
    }
}
