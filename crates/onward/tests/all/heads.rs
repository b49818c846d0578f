//! Several answers of one model, each with a task of its own.

use crate::common::{blobs, plan, population, relative, threads, whole};
use onward::dataset::{Columns, Dataset, WEIGHT};
use onward::evaluate::{Local, worker};
use onward::model::{Activation, Builder, Graph, Mlp, Model, Var};
use onward::rule::Method;
use onward::schema::{Part, Value, Values};
use onward::settings::Settings;
use onward::task::{Answers, Auc, Grain, Head, Heads, Loss, Task};
use onward::train::Trainer;
use onward::{ErrorKind, Result, kernel};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One trunk, two answers.
struct Judge;

impl Model for Judge {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let x = g.linear("trunk", x, 8);
        let x = g.map(Activation::Tanh, x);
        let (value, class) = (g.linear("value", x, 1), g.linear("class", x, 3));
        Ok(g.outputs(&[("value", value), ("class", class)]))
    }
}

const SHAPE: [usize; 3] = [1, 1, 5];

/// Rows of three classes, with a value that follows from the first feature.
fn data() -> Dataset {
    let data = blobs(60, SHAPE, 3, 2);
    let value = |row: usize| f64::from(data.row(row)[0]) * 0.5;
    let (high, class) = (|row| f64::from(u8::from(value(row) > 0.0)), |row: usize| (row % 3) as f64);
    let columns = Columns::default().with("value", (0..60).map(value).collect());
    let columns =
        columns.with("high", (0..60).map(high).collect()).with("third", (0..60).map(class).collect());
    data.with_columns(columns).unwrap()
}

fn class() -> Head {
    Head::new("class", Arc::new(Loss::CrossEntropy))
}

fn value() -> Head {
    Head::new("value", Arc::new(Loss::SquaredError)).about(&["value"])
}

fn graph() -> Graph {
    Graph::new(&Judge, SHAPE).unwrap()
}

fn local(heads: Vec<Head>) -> Local {
    Local::new(Arc::new(Judge), Arc::new(Heads::of(&graph(), heads).unwrap()), &threads(2))
}

#[test]
fn the_loss_is_the_weighted_sum_of_the_heads_losses() {
    let data = data();
    let params = crate::common::params_on(&graph(), 3);
    let one = |heads: Vec<Head>, data: &Dataset| {
        let local = local(heads);
        let outputs = local.outputs(&params, whole(data).x, onward::model::Norms::Batch).unwrap();
        local.loss(&outputs, Answers::all(data.targets(), data.columns())).unwrap()
    };
    let (of_class, of_value) = (one(vec![class()], &data), one(vec![value()], &data));
    let both = one(vec![class().weighing(2.0), value().weighing(0.5)], &data);
    assert!((both - (2.0 * of_class + 0.5 * of_value)).abs() < 1e-5 * both);
    assert_eq!(of_class, one(vec![class().about(&["third"])], &data), "classes in a column are classes");
    // A sample weight counts for the sum, once.
    let weights = (0..60).map(|row| if row < 30 { 2.0 } else { 0.0 }).collect();
    let weighted = data.clone().with_columns(data.columns().clone().with(WEIGHT, weights)).unwrap();
    let half = data.select(&(0..30).collect::<Vec<_>>());
    let (found, wanted) = (one(vec![class(), value()], &weighted), one(vec![class(), value()], &half));
    assert!((found - wanted).abs() < 1e-5 * wanted, "{found} {wanted}");
    // Where one head is of whole batches, so is the sum.
    let auc = || Head::new("value", Arc::new(Auc)).about(&["high"]);
    let heads = Heads::of(&graph(), vec![class(), auc()]).unwrap();
    assert_eq!(heads.grain(), Grain::Batch);
    let (both, alone) = (one(vec![class(), auc()], &data), one(vec![auc()], &data));
    assert!((both - (of_class + alone)).abs() < 1e-5 * both);
}

#[test]
fn all_heads_are_learned_at_once_and_scored_one_by_one() {
    for (method, rate) in
        [(Method::RelativeActivation(relative(4)), 0.3), (Method::Population(population(64)), 0.05)]
    {
        let mut digests = Vec::new();
        for threads in [1, 2] {
            let task = Arc::new(Heads::of(&graph(), vec![class(), value()]).unwrap());
            let local = Local::new(Arc::new(Judge), task, &crate::common::threads(threads));
            let mut trainer = Trainer::new(plan(method.clone(), rate, 120, 30), local, data()).unwrap();
            let before = trainer.score(&data()).unwrap();
            while !trainer.finished() {
                trainer.step().unwrap();
            }
            let after = trainer.score(&data()).unwrap();
            assert_eq!(
                (after.accuracy, &after.heads[0].0[..], &after.heads[1].0[..]),
                (None, "class", "value")
            );
            for head in 0..2 {
                let [before, after] = [&before, &after].map(|score| score.heads[head].1.loss);
                assert!(after < 0.7 * before, "head {head}: {before} to {after}");
            }
            assert!(after.heads[0].1.accuracy > Some(0.9), "{:?}", after.heads[0].1.accuracy);
            let named: BTreeMap<String, f32> = after.named().collect();
            assert_eq!(named.keys().collect::<Vec<_>>(), ["class_accuracy", "class_loss", "value_loss"]);
            digests.push(trainer.state().params().digest());
        }
        assert_eq!(digests[0], digests[1]);
    }
}

#[test]
fn heads_that_do_not_fit_are_refused_with_names() {
    let refused = |heads| Heads::of(&graph(), heads).map(|_| ()).unwrap_err().to_string();
    let classes = || -> Arc<dyn Task> { Arc::new(Loss::CrossEntropy) };
    let error = refused(vec![Head::new("clas", classes())]);
    assert!(
        error.starts_with("head clas: expected one of the model's answers value, class, found \"clas\""),
        "{error}"
    );
    assert!(error.contains("did you mean \"class\"?"), "{error}");
    assert!(refused(vec![]).contains("at least one"));
    assert!(refused(vec![class(), class()]).contains("two heads of it"));
    assert!(refused(vec![class().weighing(f32::NAN)]).contains("at least 0, found NaN"));
    let nested = Arc::new(Heads::of(&graph(), vec![class()]).unwrap());
    assert!(refused(vec![Head::new("class", nested)]).contains("a task of one answer"));
    let nameless = Graph::new(&Mlp::new(&[5, 3], Activation::Relu).unwrap(), SHAPE).unwrap();
    let error = Heads::of(&nameless, vec![class()]).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("a model whose answers have names"), "{error}");

    let begun = |heads, data: Dataset| {
        let plan = plan(Method::Population(population(4)), 0.1, 1, 30);
        Trainer::new(plan, local(heads), data).map(|_| ()).unwrap_err()
    };
    let error = begun(vec![value().about(&["velue"])], data());
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error
            .to_string()
            .contains("head value: expected a column velue beside the rows' targets, found none"),
        "{error}"
    );
    let error = begun(vec![class().about(&["value"])], data()).to_string();
    assert!(error.contains("column value of row 0: expected a class, counted from 0"), "{error}");
    // One number for each of two columns, but the answer is three.
    let error =
        begun(vec![Head::new("class", Arc::new(Loss::SquaredError)).about(&["value", "high"])], data())
            .to_string();
    assert!(
        error.contains("head class") && error.contains("3 values a row") && error.ends_with("found 2"),
        "{error}"
    );
    let far = data().columns().clone().with("value", vec![1e300; 60]);
    let error = begun(vec![value()], data().with_columns(far).unwrap()).to_string();
    assert!(error.contains("a number that single precision holds"), "{error}");
    let error = begun(vec![value()], blobs(60, SHAPE, 3, 2)).to_string();
    assert!(error.contains("a column value"), "{error}");
    // What a batch alone has takes no weights, in a head either.
    let weighted = data().columns().clone().with(WEIGHT, vec![1.0; 60]);
    let auc = Head::new("value", Arc::new(Auc)).about(&["high"]);
    let error = begun(vec![auc], data().with_columns(weighted).unwrap()).to_string();
    assert!(error.contains("no sample weights"), "{error}");
}

/// Settings with two heads, the second one with these keys.
fn settings(second: &[(&str, Value)]) -> Result<Settings> {
    let table = |all: &[(&str, Value)]| {
        Value::Table(all.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let heads = Value::List(vec![table(&[("name", "class".into())]), table(second)]);
    let (keys, mut values) = (Settings::keys("", None), Values::default());
    for (path, value) in [
        ("model.kind", Value::from("mlp")),
        ("model.hidden", Value::List(vec![Value::Int(6)])),
        ("objective.loss", "heads".into()),
        ("objective.heads", heads),
        ("method.name", "population".into()),
        ("train.steps", Value::Int(3)),
    ] {
        values.give(path, value);
    }
    values.check(&keys)?;
    Settings::read(&values, "")
}

#[test]
fn specs_name_heads_and_headers_keep_them() {
    let columns = || Value::List(vec!["value".into()]);
    let second = [
        ("name", "size".into()),
        ("loss", "huber".into()),
        ("delta", 0.5.into()),
        ("columns", columns()),
        ("weight", 3.0.into()),
    ];
    let settings = settings(&second).unwrap();
    assert_eq!(settings.objective.outputs(3), 4);
    let local = settings.local(SHAPE, 3, &threads(1), kernel::Precision::F32).unwrap();
    let mut trainer = Trainer::of(&settings, 5, local, data(), None, worker).unwrap();
    let header = trainer.header([0; 32]);
    assert_eq!(Settings::of(&header).unwrap().as_ref(), Some(&settings));
    let mut again = Trainer::again(&header, data(), None, &threads(2), worker).unwrap();
    while !trainer.finished() {
        assert_eq!(trainer.step().unwrap().entry, again.step().unwrap().entry);
    }
    assert_eq!(trainer.score(&data()).unwrap().heads[1].0, "size");
}

#[test]
fn what_specs_say_wrongly_of_heads_is_told_by_its_place() {
    let refused = |second: &[(&str, Value)]| settings(second).unwrap_err().to_string();
    let error = refused(&[("name", "size".into()), ("lose", "huber".into())]);
    assert!(
        error.starts_with("objective.heads at index 1: lose: unknown key; did you mean loss?"),
        "{error}"
    );
    assert!(
        refused(&[("loss", "huber".into())]).contains("objective.heads at index 1: name: expected a string")
    );
    let error = refused(&[("name", "size".into()), ("delta", 1.0.into())]);
    assert!(error.contains("index 1: delta: belongs to loss = \"huber\""), "{error}");
    let nested = refused(&[
        ("name", "size".into()),
        ("loss", "program".into()),
        ("command", Value::List(vec!["a".into()])),
    ]);
    assert!(nested.contains("index 1: loss: expected a loss of one answer, found \"program\""), "{nested}");
    let within = refused(&[("name", "size".into()), ("loss", "heads".into())]);
    assert!(within.contains("index 1: loss: expected a loss of one answer, found \"heads\""), "{within}");
    assert!(
        refused(&[("name", "size".into()), ("weight", (-1.0).into())]).contains("a number ≥ 0, found -1")
    );
}
