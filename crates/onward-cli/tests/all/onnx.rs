//! Runs whose net is in an ONNX file.

use crate::common::Place;
use onward::params::{Params, Tensor};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/onnx").join(name)
}

/// The rows that came with a net, and its answers.
fn kept(name: &str) -> [Tensor; 2] {
    let bytes = std::fs::read(testdata(&format!("{name}.safetensors"))).unwrap();
    Params::tensors_from_safetensors(&bytes).unwrap().try_into().unwrap()
}

/// A spec that trains a file's net on its rows, the class of each being its largest answer; and these rows.
fn spec(place: &Place, net: &str, shape: &str, keys: &str) {
    let [answers, rows] = kept(net);
    let (count, classes) = (answers.shape[0], answers.shape[1]);
    let width = rows.data.len() / count;
    let header: Vec<String> = (0..width).map(|n| format!("x{n}")).collect();
    let mut text = format!("{},label\n", header.join(","));
    let (rows, answers) = (rows.data.floats(), answers.data.floats());
    let each = rows.chunks_exact(width).zip(answers.chunks_exact(classes));
    for (index, (row, _)) in each.clone().chain(each).enumerate() {
        let row: Vec<String> = row.iter().map(f32::to_string).collect();
        text += &format!("{},{}\n", row.join(","), index % classes);
    }
    place.write("rows.csv", text);
    place.write("net.onnx", std::fs::read(testdata(&format!("{net}-new.onnx"))).unwrap());
    let spec = format!(
        "seed = 1\n\n[data]\npath = \"rows.csv\"\nlabel = \"label\"\ncenter = \"none\"\n{shape}test = 0.3\n\n\
         [model]\nkind = \"onnx\"\npath = \"net.onnx\"\n{keys}\n\n[method]\nname = \"two-point\"\ndirections = 2\n\n\
         [train]\nbatch = 4\nsteps = 2\n"
    );
    place.write("tuned.toml", spec);
}

#[test]
fn a_files_net_is_tuned_from_its_weights_and_the_run_keeps_a_copy() {
    let place = Place::new();
    spec(&place, "mlp", "", "");
    let digest = place.train("tuned");
    std::fs::remove_file(place.path("net.onnx")).unwrap();
    place.onward("verify runs/tuned --from-start --quiet").good();
    assert!(place.onward("replay runs/tuned").good().starts_with(&digest));
    let net = place.onward("show runs/tuned --net").good();
    assert!(net.contains("linear") && !net.contains("(stays)"), "{net}");
    place.onward("report runs/tuned").good();
    place.onward("resume runs/tuned --steps 4 --quiet").good();
    place.onward("predict runs/tuned rows.csv --quiet").good();
    // The base params answer as the file did.
    place
        .onward(
            "train tuned.toml --set name=still --set model.path=runs/tuned/net.onnx --set method.rate=1e-30",
        )
        .good();
    let out = place.onward("predict runs/still rows.csv --json").good();
    let [answers, _] = kept("mlp");
    for (line, row) in out.lines().zip(answers.data.floats().chunks_exact(3)) {
        let line: Value = serde_json::from_str(line).unwrap();
        let outputs = line["outputs"].as_array().unwrap();
        let near = |(found, want): (&Value, &f32)| (found.as_f64().unwrap() - f64::from(*want)).abs() < 1e-5;
        assert!(outputs.iter().zip(row).all(near), "{line} is not {row:?}");
    }
    place.write("runs/tuned/net.onnx", place.read("runs/tuned/spec.toml"));
    place
        .onward("predict runs/tuned rows.csv")
        .finds_damage(&["net.onnx: expected the net blake3:", "changed"]);
}

#[test]
fn what_a_file_cannot_be_is_said_before_there_is_a_run() {
    let place = Place::new();
    spec(&place, "mlp", "", "");
    let bytes = place.read("net.onnx");
    place.write("torn.onnx", &bytes[..bytes.len() / 2]);
    let refused = |sets: &str, parts: &[&str]| {
        place.onward(&format!("train tuned.toml {sets}")).refuses(parts);
        assert!(place.names("runs").is_empty());
    };
    refused(
        "--set model.path=torn.onnx",
        &["tuned.toml: ", "torn.onnx: file: expected an ONNX model, found"],
    );
    refused("--set model.path=none.onnx", &["none.onnx: cannot read: "]);
    let frozen =
        ["--set train.rates: expected at least one tensor whose rate is not 0", "the net is in", "net.onnx"];
    refused("--set train.rates=\"*:0\"", &frozen);
    #[cfg(unix)]
    refused("--set model.path=/dev/zero", &["/dev/zero: expected a file, found something else"]);
    refused(
        "--set model.activation=tanh",
        &["model.activation: expected none, as the file has its own, found tanh"],
    );
    place.write("images.onnx", std::fs::read(testdata("residual-new.onnx")).unwrap());
    let images = "images.onnx: input x: expected rows of the shape [height, width, channels]";
    refused(
        "--set model.path=images.onnx",
        &[images, "found rows of [1, 1, 8] and an input of [any, 2, 8, 8]"],
    );
}

/// Tensors of a file of params by what is in them: names may differ.
fn numbers(bytes: &[u8]) -> Vec<Vec<f32>> {
    let mut all: Vec<Vec<f32>> =
        Params::tensors_from_safetensors(bytes).unwrap().into_iter().map(|t| t.data.into_floats()).collect();
    all.sort_by(|a, b| f32_lists(a, b));
    all
}

fn f32_lists(a: &[f32], b: &[f32]) -> std::cmp::Ordering {
    let first = a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne());
    a.len().cmp(&b.len()).then(first.unwrap_or(std::cmp::Ordering::Equal))
}

#[test]
fn a_run_is_exported_whether_it_is_finished_or_not() {
    let place = Place::new();
    place.spec("digits", "population", 2);
    place.train("digits");
    let exported = |run: &str, kind: &str, code: &str| {
        let out = format!("{code}.{kind}");
        let done = place.onward(&format!("export runs/{run} --as {kind} --out {out} --quiet"));
        assert_eq!(done.code, Some(0), "{}", done.err);
        place.read(&out)
    };
    let trained = numbers(&place.read("runs/digits/model.safetensors"));
    assert_eq!(numbers(&exported("digits", "safetensors", "a")), trained);
    let read = |bytes: &[u8]| {
        let net = onward_onnx::Net::read(bytes, &mut |_| panic!("there is no other file")).unwrap();
        let mut all: Vec<Vec<f32>> =
            net.begin([1, 1, 64]).unwrap().1.tensors().iter().map(|t| t.data.floats().into_owned()).collect();
        all.sort_by(|a, b| f32_lists(a, b));
        all
    };
    assert_eq!(read(&exported("digits", "onnx", "b")), trained);
    for file in ["model.safetensors", "manifest.json"] {
        std::fs::remove_file(place.path(&format!("runs/digits/{file}"))).unwrap();
    }
    assert_eq!(read(&exported("digits", "onnx", "c")), trained);
    // A model that was exported begins another run.
    place.spec("more", "two-point", 1);
    place.onward("train more.toml --set model.from=a.safetensors").good();
    let refused = place.onward("export runs/more --as onnx --out runs/more/x.onnx");
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    place.spec("half", "two-point", 1);
    place.onward("train half.toml --set model.precision=bf16").good();
    let parts = ["model.precision: expected f32 or int8, whose products ONNX has, found bf16"];
    place.onward("export runs/half --as onnx --out half.onnx").refuses(&parts);
}

#[test]
fn a_files_net_is_exported_into_its_own_graph() {
    let place = Place::new();
    spec(&place, "mlp", "", "");
    place.train("tuned");
    place.onward("export runs/tuned --as onnx --out tuned.onnx --quiet").good();
    let read =
        |bytes: &[u8]| onward_onnx::Net::read(bytes, &mut |_| panic!("there is no other file")).unwrap();
    let (graph, params) = read(&place.read("tuned.onnx")).begin([1, 1, 8]).unwrap();
    let (first, began) = read(&place.read("net.onnx")).begin([1, 1, 8]).unwrap();
    assert_eq!(graph.digest(), first.digest());
    assert_ne!(params, began);
    let model = place.read("runs/tuned/model.safetensors");
    let (trained, _) =
        Params::take(graph.tensors(), Params::tensors_from_safetensors(&model).unwrap()).unwrap();
    assert_eq!(params, trained);
}

/// Two answers of a file's three, in another order than the file's.
#[test]
fn heads_name_answers_of_a_file() {
    struct Judge;
    impl onward::model::Model for Judge {
        fn build(&self, g: &mut onward::model::Builder) -> onward::Result<onward::model::Var> {
            let x = g.input();
            let x = g.linear("trunk", x, 6);
            let x = g.map(onward::model::Activation::Tanh, x);
            let [size, other, kind] =
                [("size", 1), ("other", 3), ("kind", 2)].map(|(n, c)| g.linear(n, x, c));
            Ok(g.outputs(&[("extent", size), ("other", other), ("sort", kind)]))
        }
    }
    let place = Place::new();
    let graph = onward::model::Graph::new(&Judge, [1, 1, 2]).unwrap();
    let params = Params::init(graph.tensors(), &onward::noise::RunKey::from_seed(4));
    let file = onward_onnx::write(&graph, &params, &[], onward::kernel::Precision::F32, &[]).unwrap();
    place.write("judge.onnx", file);
    let mut text = "a,b,class,value\n".to_owned();
    for row in 0..60 {
        let (a, b) = ((row as f32 * 0.7).sin(), (row as f32 * 1.9).cos());
        text += &format!("{a},{b},{},{}\n", u8::from(a > b), a + b);
    }
    place.write("d.csv", text);
    let spec = "seed = 1\n\n[data]\npath = \"d.csv\"\nlabel = \"class\"\ncolumns = [\"value\"]\ntest = 0.2\n\n\
         [model]\nkind = \"onnx\"\npath = \"judge.onnx\"\n\n[objective]\nloss = \"heads\"\n\
         [[objective.heads]]\nname = \"sort\"\n\
         [[objective.heads]]\nname = \"extent\"\nloss = \"squared-error\"\ncolumns = [\"value\"]\n\n\
         [method]\nname = \"two-point\"\ndirections = 2\n\n[train]\nbatch = 8\nsteps = 3\n";
    place.write("s.toml", spec);
    place.onward("train s.toml --quiet").good();
    place.onward("verify runs/s --from-start --quiet").good();
    let said = place.onward("eval runs/s d.csv").good();
    assert!(said.contains("sort accuracy") && said.contains("extent loss"), "{said}");
    place.onward("export runs/s --as onnx --out out.onnx --quiet").good();
    let none = &mut |_: &_| panic!("there is no other file");
    let net = onward_onnx::Net::read(&place.read("out.onnx"), none).unwrap();
    assert_eq!(net.outputs().collect::<Vec<_>>(), ["extent", "sort"]);
    place.write("s.toml", spec.replace("\"extent\"", "\"extend\""));
    place
        .onward("train s.toml --runs other")
        .refuses(&["judge.onnx: outputs: expected some of extent, other, sort, found extend"]);
    let (data, method) = (spec.find("[objective]").unwrap(), spec.find("[method]").unwrap());
    place.write("s.toml", [&spec[..data], &spec[method..]].concat());
    place.onward("train s.toml --runs other").refuses(&[
        "judge.onnx: outputs: expected one, as the objective has one loss, found extent, other, sort",
        "[[objective.heads]]",
    ]);
    place.write("s.toml", spec);
    let frozen = ["expected at least one tensor whose rate is not 0", "the net is in", "judge.onnx"];
    place.onward("train s.toml --runs other --set train.rates=[\"*:0\"]").refuses(&frozen);
    let one = "[objective]\nloss = \"heads\"\n[[objective.heads]]\nname = \"sort\"\n\n";
    place.write("s.toml", [&spec[..data], one, &spec[method..]].concat());
    place.onward("train s.toml --runs one --quiet").good();
}
