//! What a spec can say: declared once, accepted by what it is for.

use crate::common::{blobs, local, shared};
use onward::ask::Shuffle;
use onward::model::{Activation, Mlp};
use onward::rule;
use onward::schema::{Part, Preset, Value, Values, above, fits, is};
use onward::settings::{Method, Model, ModelKind, Settings, Train};
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::{Plan, Trainer};
use onward::{ErrorKind, kernel, keys};
use onward_coordinate::visitor;

/// A part whose only given keys are these.
fn read<P: Part>(section: &'static str, given: &[(&str, Value)]) -> onward::Result<P> {
    let mut values = Values::default();
    given.iter().for_each(|(name, value)| values.give(format!("{section}.{name}"), value.clone()));
    values.check(&P::keys(section, None))?;
    P::read(&values, section)
}

#[test]
fn every_default_of_every_method_is_one_that_the_method_accepts() {
    let train: Train = read("train", &[("steps", 3.into())]).unwrap();
    let data = blobs(256, [1, 1, 4], 2, 1);
    for choice in rule::Method::choices() {
        let method: Method = read("method", &[("name", choice.name.into())]).unwrap();
        method.check(&train).unwrap();
        let plan = Plan {
            seed: 1,
            method: method.kind.clone(),
            schedule: method.schedule(3),
            optimizer: method.optimizer(),
            storage: onward::params::Storage::F32,
            batch: train.batch,
            shuffle: if choice.name == "online" { Shuffle::Streams } else { Shuffle::All },
            augment: Default::default(),
            digest_every: train.digest_every,
        };
        let net = match choice.name {
            "online" => {
                let model: Model = read("model", &[("kind", "recurrent".into())]).unwrap();
                shared(model.build([1, 1, 4], 2).unwrap(), Loss::CrossEntropy, 1)
            }
            "integers" => {
                let hidden = ("hidden", Value::List(vec![3.into()]));
                let model: Model = read("model", &[("kind", "integer".into()), hidden]).unwrap();
                shared(model.build([1, 1, 4], 2).unwrap(), Loss::CrossEntropy, 1)
            }
            _ => local(Mlp::new(&[4, 3, 2], Activation::Relu).unwrap(), Loss::CrossEntropy, 1),
        };
        let mut trainer: Trainer = onward_coordinate::trainer(plan, net, data.clone())
            .unwrap_or_else(|e| panic!("{}: {e}", choice.name));
        trainer.step().unwrap_or_else(|e| panic!("{}: {e}", choice.name));
    }
}

/// A plan in code begins with what a spec of the same method says where it says nothing.
#[test]
fn plans_have_the_defaults_of_specs() {
    let kinds: [rule::Method; 7] = [
        rule::RelativeActivation::default().into(),
        rule::RelativeLocal::default().into(),
        rule::Online::default().into(),
        rule::Integers::default().into(),
        rule::Population::default().into(),
        rule::TwoPoint::default().into(),
        rule::Rso::default().into(),
    ];
    let train: Train = read("train", &[("steps", 3.into())]).unwrap();
    for kind in kinds {
        let spec: Method = read("method", &[("name", kind.name().into())]).unwrap();
        let plan = Plan::new(kind.clone(), 3);
        assert_eq!(Method::new(kind.clone()), spec);
        assert_eq!((plan.method, plan.schedule), (kind, spec.schedule(3)));
        assert_eq!((plan.optimizer, plan.batch), (spec.optimizer(), train.batch));
        assert_eq!(plan.digest_every, train.digest_every);
    }
}

#[test]
fn every_default_of_every_model_is_one_that_the_model_accepts() {
    for choice in ModelKind::choices() {
        let widths = Value::List(vec![2.into(), 2.into()]);
        let required = match choice.name {
            "mlp" | "integer" | "spiking" => ("hidden", widths),
            "onnx" | "language" => ("path", "net.onnx".into()),
            "vae" => ("encoder", widths),
            "recurrent" => ("units", widths),
            _ => ("channels", widths),
        };
        let model: Model = read("model", &[("kind", choice.name.into()), required]).unwrap();
        model.check().unwrap();
        if ["onnx", "language"].contains(&choice.name) {
            // The library reads no files: what does hands the net over.
            assert!(model.build([4, 4, 1], 2).is_err());
            continue;
        }
        model.build([4, 4, 1], 2).unwrap();
    }
}

/// What no spec sets and its method refuses is told by its key before the run begins.
#[test]
fn a_default_that_the_method_refuses_is_told_by_its_key() {
    let train: Train = read("train", &[("steps", 3.into()), ("batch", 64.into())]).unwrap();
    let method: Method = read("method", &[("name", "population".into()), ("share", 8.into())]).unwrap();
    let model = read("model", &[("kind", "mlp".into()), ("hidden", Value::List(vec![]))]).unwrap();
    let settings = Settings {
        model,
        objective: read("objective", &[]).unwrap(),
        method,
        train,
        augment: Default::default(),
    };
    let data = blobs(256, [1, 1, 4], 2, 1);
    let threads = Threads::new(1).unwrap();
    let local = settings.local(data.shape(), 2, &threads, kernel::Precision::F32).unwrap();
    let error = Trainer::of(&settings, 1, local, data, None, visitor).map(|_| ()).unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Spec, Some("method.shaping")));
    assert_eq!(error.found(), Some("centred-rank"), "the default: {error}");
}

keys! {
    /// A part whose declaration contradicts itself.
    struct Wrong {
        /// More than its default.
        rate: f32 = is(0.0), above(0.0);
        /// Without a default.
        name: Option<String> = Preset::Unset;
    }
}

#[test]
fn a_default_that_its_key_or_its_method_refuses_is_found() {
    let error = read::<Wrong>("wrong", &[]).unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Spec, Some("wrong.rate")));
    assert_eq!(error.to_string(), "wrong.rate: expected a number > 0, found 0.0");
    let made = Wrong { rate: -1.0, name: None };
    assert_eq!(fits(&made, "wrong").unwrap_err().found(), Some("-1.0"));
    assert!(fits(&Wrong { rate: 1.0, ..made }, "wrong").is_ok());
    // What the key accepts and the method does not.
    let train: Train = read("train", &[("steps", 3.into()), ("batch", 8.into())]).unwrap();
    let odd = [("name", "population".into()), ("members", 3.into())];
    let error = read::<Method>("method", &odd).unwrap().check(&train).unwrap_err();
    assert_eq!(
        error.to_string(),
        "method.members: expected an even number, as pairing is \"antithetic\", found 3"
    );
}

#[test]
fn what_is_written_is_read_back() {
    for choice in rule::Method::choices() {
        let method: Method = read("method", &[("name", choice.name.into())]).unwrap();
        let written: Vec<(&str, Value)> =
            method.write("method").into_iter().map(|(_, name, value)| (name, value)).collect();
        let names: Vec<&str> = written.iter().map(|(name, _)| *name).collect();
        // Of all methods one perturbs nothing.
        assert_eq!(names.contains(&"sigma"), choice.name != "integers");
        assert!(names.iter().all(|n| names.iter().filter(|m| *m == n).count() == 1));
        assert_eq!(read::<Method>("method", &written).unwrap(), method, "{}", choice.name);
    }
}
