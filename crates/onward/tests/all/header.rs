//! The header of a ledger describes the run: what it says is enough to take the run's steps again, and what it says wrongly is told.

use crate::common::blobs;
use onward::ledger::{Header, Ledger, Moves, VERSION, read};
use onward::model::{Activation, Conv, GlobalPool, Graph, Mlp, Model};
use onward::schema::{Part, Value, Values};
use onward::settings::Settings;
use onward::threads::Threads;
use onward::train::{Trainer, hex};
use onward::{ErrorKind, kernel, rule};
use onward_coordinate::visitor;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

/// Settings with these keys, all others having their defaults.
fn settings(given: &[(&str, Value)]) -> Settings {
    let (keys, mut values) = (Settings::keys("", None), Values::default());
    given.iter().for_each(|(path, value)| values.give(*path, value.clone()));
    values.check(&keys).unwrap();
    Settings::read(&values, "").unwrap()
}

fn of_method(name: &str) -> Settings {
    let widths = Value::List(vec![Value::Int(5)]);
    let (kind, key) = match name {
        "online" => ("recurrent", "model.units"),
        "integers" => ("integer", "model.hidden"),
        _ => ("mlp", "model.hidden"),
    };
    let of_streams = (name == "online").then(|| ("train.shuffle", "streams".into()));
    let of_all = [
        ("model.kind", kind.into()),
        (key, widths),
        ("method.name", name.into()),
        ("train.epochs", 2.0.into()),
        ("train.batch", Value::Int(32)),
    ];
    settings(&of_all.into_iter().chain(of_streams).collect::<Vec<_>>())
}

fn trainer(settings: &Settings) -> Trainer {
    let data = blobs(64, [1, 1, 6], 3, 1);
    let threads = Threads::new(1).unwrap();
    let local = settings.local(data.shape(), 3, &threads, kernel::Precision::F32).unwrap();
    Trainer::of(settings, 11, local, data, None, visitor).unwrap()
}

/// A ledger whose header's record is sound and holds this text.
fn ledger_with(json: &str) -> Vec<u8> {
    let payload = postcard::to_allocvec(&(4u8, json)).unwrap();
    let mut hash = blake3::Hasher::new_derive_key("onward 2026 ledger chain v1");
    let chain = *hash.update(&[0; 32]).update(&payload).finalize().as_bytes();
    let body = [&chain[..], &payload, &[0xff]].concat();
    let length = (body.len() as u32).to_le_bytes();
    let checks = [crc32fast::hash(&length), crc32fast::hash(&body)].map(u32::to_le_bytes);
    [b"ONWARD\x03\x00", &length[..], &checks[0], &checks[1], &body].concat()
}

/// What is wrong with a ledger of this header.
fn refused(json: &str) -> (ErrorKind, String) {
    let error = read(&ledger_with(json)).unwrap_err();
    (error.kind(), error.to_string())
}

/// A header with a change of its JSON.
fn changed(header: &Header, change: impl FnOnce(&mut serde_json::Value)) -> Header {
    let mut json = serde_json::to_value(header).unwrap();
    change(&mut json);
    read(&ledger_with(&json.to_string())).unwrap().header
}

#[test]
fn a_header_and_the_data_are_enough_to_take_the_steps_again() {
    for choice in rule::Method::choices() {
        let settings = of_method(choice.name);
        let mut trained = trainer(&settings);
        let written = Header { test: Some([1; 32]), interface: Some([2; 32]), ..trained.header([7; 32]) };
        let header = read(&ledger_with(&serde_json::to_string(&written).unwrap())).unwrap().header;
        assert_eq!(header, written, "{}", choice.name);
        assert_eq!(Settings::of(&header).unwrap().as_ref(), Some(&settings), "{}", choice.name);
        let threads = Threads::new(2).unwrap();
        let mut again = Trainer::again(&header, blobs(64, [1, 1, 6], 3, 1), None, &threads, visitor).unwrap();
        assert_eq!(again.header([7; 32]), trained.header([7; 32]));
        for _ in 0..2 {
            assert_eq!(again.step().unwrap().entry, trained.step().unwrap().entry, "{}", choice.name);
        }
        let other = Trainer::again(&header, blobs(64, [1, 1, 6], 3, 2), None, &threads, visitor)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Ledger);
        assert!(other.to_string().starts_with("data in the ledger's header: expected"), "{other}");
    }
}

/// A trainer that was made without a spec tells what its plan says; of the model it has the digest alone.
#[test]
fn a_plan_of_ones_own_is_told_as_far_as_it_goes() {
    let own = crate::common::plan(rule::Method::TwoPoint(crate::common::two_point(3)), 0.05, 6, 24);
    let net = Mlp::new(&[6, 5, 3], Activation::Relu).unwrap();
    let header = crate::common::trainer(own, net, &blobs(24, [1, 1, 6], 3, 1), 1).header([0; 32]);
    let tables = header.settings.as_ref().unwrap();
    assert_eq!(tables.keys().collect::<Vec<_>>(), ["method", "train"]);
    assert_eq!(tables["method"].as_table().unwrap()["directions"], Value::Int(3));
    assert_eq!(tables["train"].as_table().unwrap()["steps"], Value::Int(6));
    assert_eq!(Settings::of(&header).unwrap(), None);
    let threads = Threads::new(1).unwrap();
    let error =
        Trainer::again(&header, blobs(24, [1, 1, 6], 3, 1), None, &threads, visitor).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("settings from which the model can be built"), "{error}");
}

#[test]
fn a_header_that_is_cut_is_refused() {
    let json = serde_json::to_string(&trainer(&of_method("population")).header([7; 32])).unwrap();
    for end in 0..json.len() {
        let (kind, words) = refused(&json[..end]);
        assert_eq!(kind, ErrorKind::Damage);
        assert!(
            words.starts_with("record 0 at offset 8: expected a header of this version, found "),
            "{words}"
        );
    }
    assert!(refused(&(json + "x")).1.contains("trailing characters"));
}

#[test]
fn every_key_is_there_once_and_no_other_is() {
    let header = trainer(&of_method("snes")).header([7; 32]);
    let whole = serde_json::to_value(&header).unwrap();
    let text = serde_json::to_string(&header).unwrap();
    for key in whole.as_object().unwrap().keys() {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(key);
        let (kind, words) = refused(&without.to_string());
        assert_eq!(
            (kind, words.contains(&format!("missing field `{key}`"))),
            (ErrorKind::Damage, true),
            "{words}"
        );
        let twice = text.replacen('{', &format!("{{\"{key}\":{},", whole[key]), 1);
        assert!(refused(&twice).1.contains(&format!("duplicate field `{key}`")), "{key}");
    }
    let within = [
        ("\"storage\":", "\"storage\":\"f32\",\"storage\":", "duplicate field `storage`"),
        ("\"storage\":", "\"store\":\"f32\",\"storage\":", "unknown field `store`"),
        ("\"scaling\":", "\"size\":1,\"scaling\":", "unknown field `size`"),
        ("{\"name\":\"fc1.weight\",", "{\"name\":\"fc1.weight\",\"kind\":1,", "unknown field `kind`"),
        ("\"count\":64,", "", "missing field `count`"),
        ("\"batch\":32,", "\"batch\":32,\"batch\":64,", "the key \"batch\" twice"),
        ("\"batch\":32,", "\"batch\":9223372036854775808,", "no tables of what keys can hold"),
        ("{\"exact\":\"f32\"}", "{\"exact\":\"f32\",\"device\":\"x\"}", "expected value"),
        ("\"seed\":11", "\"seed\":-11", "invalid value"),
        ("\"base\":\"", "\"base\":\"0", "64 hexadecimal digits"),
    ];
    for (old, new, said) in within {
        let (kind, words) = refused(&text.replacen(old, new, 1));
        assert!(text.contains(old) && kind == ErrorKind::Damage, "{old}");
        assert!(words.starts_with("record 0 at offset 8: ") && words.contains(said), "{said}: {words}");
    }
}

/// A later version may know more: that is no damage, and the error says who wrote it.
#[test]
fn a_header_of_a_later_version_is_told_as_such() {
    let header = trainer(&of_method("population")).header([7; 32]);
    let mut json = serde_json::to_value(&header).unwrap();
    json["precise"] = json!(true);
    assert_eq!(refused(&json.to_string()).0, ErrorKind::Damage, "of this version");
    json["version"] = json!("99.1.0");
    let (kind, words) = refused(&json.to_string());
    assert_eq!(kind, ErrorKind::Ledger);
    let said = format!(
        "expected a header that onward {VERSION} knows, found one of onward 99.1.0: unknown field `precise`"
    );
    assert!(words.contains(&said), "{words}");
    // What this version knows too is read.
    json.as_object_mut().unwrap().remove("precise");
    assert_eq!(read(&ledger_with(&json.to_string())).unwrap().header.later_version(), Some("99.1.0"));
}

#[test]
fn settings_of_a_later_version_are_told_as_such() {
    let header = trainer(&of_method("population")).header([7; 32]);
    let later = |version: &str| {
        changed(&header, |json| {
            json["version"] = json!(version);
            json["settings"]["method"]["annealing"] = json!(0.5);
        })
    };
    let error = Settings::of(&later("99.1.0")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ledger);
    let words = error.to_string();
    assert!(words.starts_with("settings in the ledger's header: method.annealing: unknown key"), "{words}");
    assert!(
        words.ends_with(&format!("the run was begun by onward 99.1.0, this is onward {VERSION}")),
        "{words}"
    );
    // An earlier version may have had keys that are no more; this one has not.
    let error = Settings::of(&later("0.0.1")).unwrap_err();
    assert!(
        error.kind() == ErrorKind::Ledger && error.to_string().contains("begun by onward 0.0.1"),
        "{error}"
    );
    assert_eq!(Settings::of(&later(VERSION)).unwrap_err().kind(), ErrorKind::Damage);
    let none = changed(&header, |json| json["settings"] = json!(null));
    assert_eq!(Settings::of(&none).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_header_is_read_can_be_written(at in any::<prop::sample::Index>(), with in "[-0-9a-z\\[{\\]}\",:.]{1,4}") {
        let header = trainer(&of_method("snes")).header([7; 32]);
        let mut text = serde_json::to_string(&header).unwrap().into_bytes();
        let at = at.index(text.len());
        text.splice(at..(at + with.len()).min(text.len()), with.bytes());
        let Ok(reading) = read(&ledger_with(std::str::from_utf8(&text).unwrap())) else { return Ok(()) };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.ledger");
        Ledger::create(&path, &reading.header).unwrap();
        prop_assert_eq!(&read(&std::fs::read(&path).unwrap()).unwrap().header, &reading.header);
        let _ = Settings::of(&reading.header);
    }
}

#[test]
fn a_header_that_contradicts_itself_is_damage() {
    let header = trainer(&of_method("population")).header([7; 32]);
    type Lie = fn(&mut serde_json::Value);
    let lies: [(Lie, &str); 10] = [
        (
            |h| h["settings"]["model"]["activation"] = json!("tanh"),
            "model: expected a header with the model digest ",
        ),
        (
            |h| h["settings"]["model"]["hidden"] = json!([6]),
            "model: expected a header with the tensors of its model",
        ),
        (
            |h| h["rows"]["shape"] = json!([4_294_967_296u64, 4_294_967_296u64, 6]),
            "data: expected rows of at most ",
        ),
        (
            |h| h["tensors"][0]["shape"] = json!([6, 5]),
            "model: expected a header with the tensors of its model",
        ),
        (
            |h| h["settings"]["method"]["rank"] = json!(3),
            "method: expected a header with the recipe of its entries",
        ),
        (
            |h| h["recipe"]["storage"] = json!("bf16"),
            "method: expected a header with the recipe of its entries",
        ),
        (|h| h["method"] = json!("two-point"), "method.name: expected a header with the method population"),
        (|h| h["steps"] = json!(5), "train: expected a header with 4 steps, which follows from it, found 5"),
        (
            |h| h["numerics"] = json!({"exact": "bf16-amx"}),
            "model.precision: expected a header with numerics of f32",
        ),
        (|h| h["settings"]["method"]["members"] = json!(0), "method.members: expected "),
    ];
    for (lie, said) in lies {
        let lying = changed(&header, lie);
        let error = Settings::of(&lying).unwrap_err();
        let words = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Damage, "{words}");
        assert!(words.starts_with(&format!("settings in the ledger's header: {said}")), "{said}: {words}");
    }
    // An arithmetic that only a later version knows contradicts nothing, but cannot be gone on with.
    let unknown = changed(&header, |h| h["numerics"] = json!({"exact": "f8"}));
    assert!(Settings::of(&unknown).is_ok());
    let error =
        Trainer::again(&unknown, blobs(64, [1, 1, 6], 3, 1), None, &Threads::new(1).unwrap(), visitor)
            .map(|_| ());
    assert_eq!(error.unwrap_err().to_string(), "the ledger's arithmetic: expected one of f32, found f8");
}

#[test]
fn what_json_has_no_word_for_is_not_written() {
    let mut header = trainer(&of_method("snes")).header([7; 32]);
    let Moves::Search(search) = &mut header.recipe.moves else { panic!("a search") };
    search.sigma = f64::NAN;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ledger");
    let error = Ledger::create(&path, &header).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ledger);
    assert!(error.to_string().contains("cannot encode a header") && !path.exists(), "{error}");
    let mut header = trainer(&of_method("snes")).header([7; 32]);
    header.settings = Some(BTreeMap::from([("rate".to_owned(), Value::Float(f64::INFINITY))]));
    assert!(Ledger::create(&path, &header).is_err() && !path.exists());
}

/// Whatever changes these digests refuses to go on with runs that were begun before: it needs a name of its own in the header.
#[test]
fn digests_of_models_stay_what_they_are() {
    let conv = |residual, activation| Conv {
        input: [8, 8, 1],
        channels: vec![4, 4],
        average_pool_after: vec![0],
        max_pool_after: vec![],
        batch_norm: true,
        bias: false,
        residual,
        activation,
        global_pool: GlobalPool::Average,
        outputs: 3,
    };
    let digest =
        |model: Box<dyn Model>, shape| hex(&Graph::new(&*model, shape).unwrap().digest())[..16].to_owned();
    let mlp = |activation| Box::new(Mlp::new(&[64, 5, 3], activation).unwrap());
    let plain = vec![None, None];
    assert_eq!(digest(mlp(Activation::Relu), [1, 1, 64]), "1722adb112fc8a28");
    assert_eq!(digest(Box::new(conv(plain.clone(), Activation::Relu)), [8, 8, 1]), "c3ecee64c4471896");
    assert_eq!(digest(Box::new(conv(vec![None, Some(0)], Activation::Relu)), [8, 8, 1]), "e25674c0c109011e");
    // As docs/ledger.md writes it down.
    let json = concat!(
        r#"{"operations":[{"operation":"input","inputs":[],"tensors":[],"shape":[1,1,2]},"#,
        r#"{"operation":"flatten","inputs":[0],"tensors":[],"shape":[1,1,2]},"#,
        r#"{"operation":"linear","inputs":[1],"tensors":["fc1.weight","fc1.bias"],"shape":[1,1,3]},"#,
        r#"{"operation":"gelu","inputs":[2],"tensors":[],"shape":[1,1,3]},"#,
        r#"{"operation":"linear","inputs":[3],"tensors":["fc2.weight","fc2.bias"],"shape":[1,1,2]}],"output":4,"#,
        r#""tensors":[{"name":"fc1.weight","shape":[3,2],"init":{"he":{"fan_in":2}}},"#,
        r#"{"name":"fc1.bias","shape":[3],"init":{"constant":0.0}},"#,
        r#"{"name":"fc2.weight","shape":[2,3],"init":{"he":{"fan_in":3}}},"#,
        r#"{"name":"fc2.bias","shape":[2],"init":{"constant":0.0}}]}"#,
    );
    let by_hand = blake3::derive_key("onward 2026 model graph v1", json.as_bytes());
    let small = Box::new(Mlp::new(&[2, 3, 2], Activation::Gelu).unwrap());
    assert_eq!(digest(small, [1, 1, 2]), hex(&by_hand)[..16]);
    let all = [
        digest(mlp(Activation::Relu), [1, 1, 64]),
        digest(mlp(Activation::Relu), [8, 8, 1]),
        digest(mlp(Activation::Tanh), [1, 1, 64]),
        digest(Box::new(conv(plain, Activation::Tanh)), [8, 8, 1]),
    ];
    assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])), "{all:?}");
}
