#![allow(clippy::unwrap_used)]

use super::*;
use crate::{ErrorKind, Place, Segment, choices, keys, variants};
use std::collections::BTreeMap;

choices! {
    /// How.
    pub enum How default Fast {
        /// Fast.
        Fast = "fast",
        /// Slowly.
        Slow = "slow",
    }
}

keys! {
    /// Of one kind.
    struct One {
        shared
        /// Its size.
        size: f32 = 0.5;
        /// How many.
        count: usize = is(3), 1.0..=9.0;
        /// Whether twice.
        twice: bool = Preset::Computed { how: "as there are many", is: many };
    }
}

fn many(values: &Values) -> Option<Value> {
    usize::read(values.get("method", "count")).map(|count| Value::Bool(count > 3))
}

keys! {
    /// Of another kind.
    struct Two {
        shared
        /// Its sizes.
        size: PerLayer<f32> = 0.25;
        /// How.
        how: How = is(How::Slow);
    }
}

variants! {
    /// The kind.
    enum Kinds by "name" {
        /// The one.
        One = "one",
        /// The other.
        Two = "two",
    }
}

keys! {
    /// All of it.
    struct All {
        ..
        /// The method.
        kind: Kinds, in "method";
        /// The version.
        version: Option<u64> = Preset::Unset, 1.0..=1.0;
        /// The seed.
        seed: u64 = Preset::Required, 0.0.. => "or by --seed";
    }
}

/// The keys of everything, with the one that kinds share.
fn keys() -> Vec<Key> {
    let (kind, is) = (PerLayer::<f32>::kind(above(0.0)), Kinds::preset);
    let preset = Preset::Chosen { by: "name", is };
    let shared = Key {
        section: "method",
        name: "size",
        kind,
        preset,
        only: None,
        selects: false,
        hint: "",
        doc: "The size.",
    };
    [All::keys("", None), vec![shared]].concat()
}

fn read(given: &[(&str, Value)]) -> Result<All, String> {
    let mut values = Values::of(Place::from(Segment::File("a.spec".into())));
    for (order, (path, value)) in given.iter().enumerate() {
        let at = |column| {
            Place::from([Segment::File("a.spec".into()), Segment::Position { line: order + 1, column }])
        };
        values.set(*path, GivenValue { value: value.clone(), at: at(9), key_at: at(1), order });
    }
    values.check(&keys()).and_then(|()| All::read(&values, "")).map_err(|e| e.to_string())
}

fn word(name: &str) -> (&'static str, Value) {
    ("method.name", name.into())
}

#[test]
fn values_are_filled_with_the_defaults_of_what_is_chosen() {
    let one = One { size: 0.5, count: 3, twice: false };
    assert_eq!(read(&[("seed", 1.into()), word("one")]).unwrap().kind, Kinds::One(one.clone()));
    let many = read(&[("seed", 1.into()), word("one"), ("method.count", 4.into())]).unwrap();
    assert_eq!(many.kind, Kinds::One(One { count: 4, twice: true, ..one }));
    let sizes = Value::List(vec![1.0.into(), 2.into()]);
    let two = read(&[("seed", 1.into()), word("two"), ("method.size", sizes.clone())]).unwrap();
    assert_eq!(two.kind, Kinds::Two(Two { size: PerLayer::Each(vec![1.0, 2.0]), how: How::Slow }));
    let written = two.write("");
    assert_eq!(written.last(), Some(&("", "seed", Value::Int(1))));
    assert!(written.contains(&("method", "how", "slow".into())), "{written:?}");
    assert_eq!(
        two.kind.shared("method"),
        [("method", "size", sizes)].map(|(s, n, _)| { (s, n, Value::List(vec![1.0.into(), 2.0.into()])) })
    );
}

#[test]
fn mistakes_are_told_with_their_place() {
    let seed = ("seed", Value::Int(1));
    for (given, expected) in [
        (&[word("one")][..], "a.spec: seed: expected an integer ≥ 0 (or by --seed), found no such key"),
        (
            &[seed.clone(), word("three")],
            "a.spec:2:9: method.name: expected one of \"one\", \"two\", found the string \"three\"",
        ),
        (
            &[seed.clone(), ("method.count", 3.into()), word("two")],
            "a.spec:2:1: method.count: belongs to method.name = \"one\", not to \"two\"",
        ),
        (
            &[seed.clone(), ("sede", 3.into()), word("two")],
            "a.spec:2:1: sede: unknown key; did you mean seed?",
        ),
        (
            &[seed.clone(), word("one"), ("method.count", 10.into())],
            "a.spec:3:9: method.count: expected an integer from 1 to 9, found 10",
        ),
        (
            &[seed.clone(), word("one"), ("method.size", Value::List(vec![]))],
            "a.spec:3:9: method.size: expected one number for all layers, found one per layer",
        ),
        (&[seed.clone(), ("method", 3.into())], "a.spec:2:1: method: expected a table [method], found 3"),
    ] {
        assert_eq!(read(given), Err(expected.into()));
    }
}

#[test]
fn a_later_version_is_named_where_something_is_unknown() {
    const LATER: &str = "; the spec is of a later version than this program";
    let (seed, version) = (("seed", Value::Int(1)), ("version", Value::Int(7)));
    for (more, expected) in [
        (vec![word("one"), ("method.when", 3.into())], "a.spec:4:1: method.when: unknown key"),
        (
            vec![word("three")],
            "a.spec:3:9: method.name: expected one of \"one\", \"two\", found the string \"three\"",
        ),
        (vec![word("one")], "a.spec:2:9: version: expected an integer from 1 to 1, found 7"),
    ] {
        let given = [vec![seed.clone(), version.clone()], more].concat();
        assert_eq!(read(&given), Err(format!("{expected}{LATER}")));
    }
    assert!(read(&[seed.clone(), ("version", 1.into()), word("one")]).is_ok());
    assert!(read(&[seed, ("version", 0.into()), word("one")]).is_err_and(|e| !e.contains("later")));
}

#[test]
fn parts_that_are_made_by_hand_are_checked_by_the_same_keys() {
    let good = One { size: 0.5, count: 9, twice: true };
    assert!(fits(&good, "method").is_ok());
    let error = fits(&One { count: 10, ..good }, "method").unwrap_err();
    assert_eq!(
        (error.kind(), error.key(), error.found()),
        (ErrorKind::Spec, Some("method.count"), Some("10"))
    );
}

#[test]
fn values_are_written_as_specs_have_them_and_survive_serde() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Strategy {
        members: Option<usize>,
        rate: f64,
        small: f64,
        how: How,
        list: Vec<u32>,
    }
    impl Default for Strategy {
        fn default() -> Self {
            Self { members: None, rate: 1.0, small: 1.52587890625e-5, how: How::Fast, list: vec![1, 2] }
        }
    }
    let value = Value::of(&Strategy::default()).unwrap();
    let expected =
        "{ how = \"fast\", list = [1, 2], members = none, rate = 1.0, small = 0.0000152587890625 }";
    assert_eq!(value.to_string(), expected);
    assert_eq!(value.clone().into::<Strategy>().unwrap(), Strategy::default());
    let json = serde_json::to_string(&value).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
    let table = |key: &str, value: Value| Value::Table(BTreeMap::from([(key.to_owned(), value)]));
    assert_eq!(table("members", 4.into()).into::<Strategy>().unwrap().members, Some(4));
    assert_eq!(table("rate", 4.into()).into::<Strategy>().unwrap().rate, 4.0);
    for (wrong, expected) in [
        (table("members", 4.5.into()), "invalid type: floating point `4.5`, expected usize"),
        (table("member", 4.into()), "unknown field `member`, expected one of "),
        (table("how", "never".into()), "unknown variant `never`, expected `fast` or `slow`"),
    ] {
        let told = wrong.into::<Strategy>().unwrap_err().to_string();
        assert!(told.starts_with(expected), "{told}");
    }
    assert_eq!((0.1f32.value(), f32::read(Some(&0.1.into()))), (Some(0.1.into()), Some(0.1)));
}
