//! Runs begin with the params that a file gives, and are told by its digest.

use crate::common::{blobs, params_on, small_conv};
use onward::ledger::Header;
use onward::model::{Activation, Graph, Mlp};
use onward::params::{Params, Tensor};
use onward::schema::{Part, Value, Values};
use onward::settings::Settings;
use onward::threads::Threads;
use onward::train::{Given, Trainer};
use onward::{ErrorKind, kernel};
use onward_coordinate::visitor;

fn settings(from: Option<&str>) -> Settings {
    let (keys, mut values) = (Settings::keys("", None), Values::default());
    values.give("model.kind", "mlp".into());
    values.give("model.hidden", Value::List(vec![Value::Int(5)]));
    values.give("method.name", "two-point".into());
    values.give("train.steps", Value::Int(4));
    from.into_iter().for_each(|file| values.give("model.from", file.into()));
    values.check(&keys).unwrap();
    Settings::read(&values, "").unwrap()
}

fn graph() -> Graph {
    Graph::new(&Mlp::new(&[6, 5, 3], Activation::Relu).unwrap(), [1, 1, 6]).unwrap()
}

fn trainer(settings: &Settings, given: Option<Given>) -> onward::Result<Trainer> {
    let data = blobs(64, [1, 1, 6], 3, 1);
    let local = settings.local(data.shape(), 3, &Threads::new(1).unwrap(), kernel::Precision::F32).unwrap();
    Trainer::of(settings, 11, local, data, given, visitor)
}

#[test]
fn a_run_begins_with_what_is_given_and_its_header_has_the_files_digest() {
    let graph = graph();
    let params = params_on(&graph, 77);
    let bytes = params.to_safetensors(&[], &[]).unwrap();
    let given = Given::from_safetensors(&bytes, &graph).unwrap();
    let settings = settings(Some("somewhere.safetensors"));
    let mut trained = trainer(&settings, Some(given)).unwrap();
    assert_eq!(trained.state().params(), &params);
    let header: Header = trained.header([7; 32]);
    let digest = format!("blake3:{}", blake3::hash(&bytes).to_hex());
    assert_eq!(
        header.settings.as_ref().unwrap()["model"].as_table().unwrap()["from"],
        digest.as_str().into()
    );
    assert_eq!(header.base, params.digest());
    let threads = Threads::new(1).unwrap();
    let data = || blobs(64, [1, 1, 6], 3, 1);
    let mut again = Trainer::again(&header, data(), Some(params), &threads, visitor).unwrap();
    assert_eq!(again.step().unwrap().entry, trained.step().unwrap().entry);
    let error = Trainer::again(&header, data(), None, &threads, visitor).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ledger);
    assert!(error.to_string().contains(&digest), "{error}");
    let other = Trainer::again(&header, data(), Some(params_on(&graph, 78)), &threads, visitor)
        .map(|_| ())
        .unwrap_err();
    assert!(other.to_string().starts_with("base in the ledger's header: expected"), "{other}");
}

#[test]
fn params_and_the_name_of_their_file_come_together() {
    let error = trainer(&settings(Some("a.safetensors")), None).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "model.from: expected params from a file, found none");
    let given = Given { params: params_on(&graph(), 1), file: Given::named(b"") };
    let error = trainer(&settings(None), Some(given)).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "model.from: expected none, found params from a file");
}

fn refused(tensors: Vec<Tensor>, graph: &Graph) -> String {
    let bytes = Params::from_tensors(tensors).to_safetensors(&[], &[]).unwrap();
    let error = Given::from_safetensors(&bytes, graph).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    error.to_string()
}

#[test]
fn what_is_missing_or_besides_or_of_another_shape_is_named() {
    let graph = graph();
    let good = params_on(&graph, 1).tensors().to_vec();
    let names: Vec<&str> = good.iter().map(|t| t.name.as_str()).collect();
    let (first, last) = (names[0].to_owned(), names[3].to_owned());
    assert_eq!(
        refused(good[..3].to_vec(), &graph),
        format!("tensors: expected the model's 4 tensors, found all but {last}")
    );
    let mut misspelt = good.clone();
    misspelt[0].name = first.replace("weight", "wieght");
    let near = &misspelt[0].name;
    assert_eq!(
        refused(misspelt.clone(), &graph),
        format!(
            "tensors: expected the model's 4 tensors, found {first} missing and {near} besides; {near} is near to {first}"
        )
    );
    let more =
        [good.clone(), vec![Tensor { name: "z".into(), shape: vec![1], data: vec![0.0].into() }]].concat();
    assert_eq!(refused(more, &graph), "tensors: expected the model's 4 tensors, found z besides");
    let mut turned = good.clone();
    turned[0].shape.reverse();
    assert_eq!(refused(turned, &graph), format!("tensor {first}: expected shape [5, 6], found [6, 5]"));
    let mut endless = good;
    endless[0].data.floats_mut()[3] = f32::NAN;
    assert_eq!(refused(endless, &graph), format!("tensor {first}: expected finite numbers, found NaN"));
    assert_eq!(Given::from_safetensors(b"no", &graph).unwrap_err().kind(), ErrorKind::Model);
}

#[test]
fn what_normalisations_keep_beside_is_passed_over_where_there_is_one() {
    let conv = small_conv();
    let graph = Graph::new(&conv, conv.input).unwrap();
    let params = params_on(&graph, 1);
    let bias = params.tensors().iter().map(|t| t.name.as_str());
    let layer =
        bias.filter_map(|name| name.strip_suffix(".bias")).find(|name| name.contains("norm")).unwrap();
    let kept = |name: String| Tensor { name, shape: vec![1], data: vec![0.0].into() };
    let extra = [kept(format!("{layer}.running_mean")), kept(format!("{layer}.running_var"))];
    let bytes = params.to_safetensors(&extra, &[]).unwrap();
    assert_eq!(Given::from_safetensors(&bytes, &graph).unwrap().params, params);
    let bytes = params.to_safetensors(&[kept("elsewhere.running_mean".into())], &[]).unwrap();
    let error = Given::from_safetensors(&bytes, &graph).unwrap_err().to_string();
    assert!(error.ends_with("found elsewhere.running_mean besides"), "{error}");
}
