//! Specs that ask for something impossible are refused before anything is written.

use crate::common::Place;

/// Trains after a change of the spec's text and expects a complaint that names the file and all of `parts`.
#[track_caller]
fn refused(change: (&str, &str), parts: &[&str]) {
    let place = Place::new();
    let spec = place.spec("p", "population", 5);
    let text = std::fs::read_to_string(&spec).unwrap();
    assert!(text.contains(change.0));
    std::fs::write(&spec, text.replace(change.0, change.1)).unwrap();
    place.onward("train p.toml").refuses(&[&["p.toml"], parts].concat());
    assert_eq!(place.names("runs"), [""; 0]);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_one() {
    refused(
        ("batch = 50", "bacth = 50"),
        &[":17:1", "train.bacth: unknown key", "did you mean train.batch?"],
    );
    refused(("[train]", "[trian]"), &["unknown table", "did you mean [train]?"]);
    refused(("members = 16", "zebra = 16"), &["method.zebra: unknown key", "known are", "method.sigma"]);
    refused(
        ("members = 16", "directions = 4"),
        &["method.directions", "belongs to method.name", "not to \"population\""],
    );
}

#[test]
fn wrong_types_are_refused() {
    refused(("seed = 1", "seed = \"one\""), &["seed: expected an integer", "found", "\"one\""]);
    refused(("batch = 50", "batch = 1.5"), &["train.batch: expected an integer", "found", "1.5"]);
    refused(("hidden = [16]", "hidden = 16"), &["model.hidden: expected", "found", "16"]);
    refused(
        ("kind = \"mlp\"", "kind = \"transformer\""),
        &["model.kind: expected", "\"mlp\"", "found", "transformer"],
    );
    refused(("seed = 1", "seed 1"), &["not valid TOML"]);
}

#[test]
fn a_budget_of_0_is_refused() {
    refused(("steps = 5", "steps = 0"), &["train.steps: expected an integer ≥ 1", "found 0"]);
    refused(("steps = 5", "epochs = 0"), &["train.epochs: expected a number > 0", "found 0"]);
    refused(("steps = 5", ""), &["epochs", "steps"]);
    let place = Place::new();
    place.spec("p", "population", 5);
    place.onward("train p.toml --set train.steps=0").refuses(&["--set train.steps: expected", "found 0"]);
}

#[test]
fn models_that_do_not_fit_the_data_are_refused() {
    let both = |keys: &str, parts: &[&str]| {
        let place = Place::new();
        place.spec("p", "population", 5);
        place.make_conv("p", keys);
        place.onward("train p.toml").refuses(&[&["p.toml"], parts].concat());
        assert_eq!(place.names("runs"), [""; 0]);
    };
    let pools = "channels = [2, 2, 2, 2]\npool_after = [0, 1, 2, 3]";
    both(pools, &["model", "expected at least one pixel left after pooling", "found 0 × 0"]);
    both("channels = [2]\npool_after = [1]", &["model.pool_after: expected layers below 1", "found 1"]);
    let later = "channels = [2, 2, 2]\npool_after = [1]\nresidual = [-1, 2, 0]";
    both(later, &["model.residual", "expected -1 or a layer before layer 1", "found 2 at index 1"]);
    both(
        "channels = [2, 2]\nresidual = [-1]",
        &["model.residual: expected one entry for each of the 2 layers", "found"],
    );
}

#[test]
fn a_shape_that_is_not_the_datas_is_refused() {
    let place = Place::new();
    place.spec("p", "population", 5);
    let done = place.onward("train p.toml --set data.shape=[8,9,1]");
    done.refuses(&["digits.csv", "shape: expected", "64 features", "found [8, 9, 1]"]);
    assert_eq!(place.names("runs"), [""; 0]);
}

#[test]
fn autoencoders_have_a_loss_of_their_own() {
    let place = Place::new();
    place.spec("p", "population", 5);
    let text = String::from_utf8(place.read("p.toml")).unwrap();
    let (mlp, vae) = ("kind = \"mlp\"\nhidden = [16]", "kind = \"vae\"\nlatents = 2\nvalues = 3");
    place.write("v.toml", text.replace(mlp, vae));
    place.onward("train v.toml --set objective.loss=cross-entropy").refuses(&[
        "objective.loss",
        "expected \"elbo\", as model.kind is \"vae\"",
        "found \"cross-entropy\"",
    ]);
    place
        .onward("train p.toml --set objective.loss=elbo")
        .refuses(&["objective.loss: expected a model that answers with reconstruction, chances and input"]);
    assert_eq!(place.names("runs"), [""; 0]);
}

#[test]
fn files_that_are_not_there_are_named() {
    let place = Place::new();
    place.onward("train none.toml").refuses(&["none.toml: cannot read"]);
    place.spec("p", "population", 5);
    place.onward("train p.toml --set data.path=none.csv").refuses(&["none.csv: cannot read"]);
    place.onward("train p.toml --set data.path=mnist").refuses(&[
        "mnist",
        "expected",
        "found nothing",
        "MNIST files",
    ]);
    place.onward("resume runs/p").refuses(&["runs/p: expected a run's folder", "found no such folder"]);
    place.onward("explain method.sigam").refuses(&["method.sigam", "did you mean method.sigma?"]);
    let done = place.onward("train");
    assert_eq!(done.code, Some(2));
    assert_eq!(place.names("."), ["p.toml"]);
}

/// What another command takes is told with that command.
#[test]
fn what_is_no_spec_is_told_with_the_command_that_takes_it() {
    let place = Place::new();
    place.write("reg.csv", "x,y\n1,2\n3,4\n");
    let way = "`onward init --data reg.csv my.toml` writes one for it";
    place.onward("train reg.csv").refuses(&["reg.csv: expected a spec, a TOML file, found data", way]);
    place.spec("p", "two-point", 3);
    std::fs::copy(place.path("p.toml"), place.path("p.txt")).unwrap();
    place.onward("train p.txt").good();
    place.onward("train runs/p").refuses(&["found a run", "`onward resume runs/p` goes on with it"]);
    place.onward("sweep runs --seeds 1..2").refuses(&["runs: expected a spec, a TOML file, found a folder"]);
    std::fs::remove_file(place.path("runs/p/interface.json")).unwrap();
    let way = "`onward resume runs/p` writes it again";
    place.onward("predict runs/p reg.csv").refuses(&["runs/p/interface.json: cannot read", way]);
    place.onward("resume runs/p").good();
    assert!(place.path("runs/p/interface.json").exists());
}

#[test]
fn explain_takes_words_as_they_are_said() {
    let place = Place::new();
    assert_eq!(place.onward("explain early stopping").good(), place.onward("explain train.patience").good());
    let told = place.onward("explain evaluations better rows").good();
    assert!(told.contains("train.patience"), "{told}");
    place.onward("explain purple elephants").refuses(&["purple elephants", "unknown key"]);
    let readme = include_str!("../../../../README.md");
    let none = place.onward("minimize --goal min --space x:0..1 --budget 2 --method none -- true");
    // All but `auto`, which chooses one.
    let count = none.err.split(", found").next().unwrap().matches(',').count();
    assert!(readme.contains(&format!("{count} strategies")), "{count}");
}
