//! A model with its params as an ONNX file.

mod bytes;
mod sheet;

use crate::proto;
use onward::kernel::Precision;
use onward::model::{Graph, Operation, Statistics};
use onward::params::Params;
use onward::{Error, ErrorKind, Result};
use prost::Message;
use sheet::{Layout, Sheet, Value};

/// The version of ONNX's operations that are written.
pub(crate) const WRITTEN: i64 = 20;
/// The version of the format of the file itself.
pub(crate) const FORMAT: i64 = 9;

/// A tensor in single precision.
struct Floats {
    name: String,
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// The bytes of an ONNX file that answers as the model does with these params, its batch normalisations by these statistics; `metadata`
/// goes with it. Its input is `input`, float rows as training saw them: `[batch, n]`; for items `[batch, items, channels]`; for images
/// `[batch, channels, height, width]`. Its output is `output`, `[batch, numbers]`, or one
/// for each part of a model of several answers, under its name.
///
/// In f32, answers are those of onnxruntime but for rounding. In int8 all products are exact, and what stands between them is written
/// operation by operation as it is rounded here.
///
/// # Errors
/// [`ErrorKind::Model`] naming an operation of the model that there is no way to write, or params and statistics that are not the
/// model's; [`ErrorKind::Spec`] for bf16, which ONNX's products do not have.
pub fn write(
    graph: &Graph,
    params: &Params,
    statistics: &[Statistics],
    precision: Precision,
    metadata: &[(&str, String)],
) -> Result<Vec<u8>> {
    graph.check_params(params)?;
    graph.check_norms(onward::model::Norms::Fixed(statistics))?;
    let int8 = match precision.name() {
        "f32" => false,
        "int8" => true,
        other => {
            let expected = "f32 or int8, whose products ONNX has";
            return Err(Error::expected(ErrorKind::Spec, "model.precision", expected, other));
        }
    };
    let mut writer = Writer { sheet: Sheet::default(), params, statistics, int8 };
    let operations: Vec<Operation<'_>> = graph.operations().collect();
    let mut values: Vec<Value> = Vec::new();
    let (needed, named) = (needed(&operations, graph.output()), graph.named_outputs());
    for (index, operation) in operations.iter().enumerate() {
        let inputs: Vec<&Value> = operation.inputs.iter().filter_map(|n| values.get(*n)).collect();
        let value = if index == 0 {
            writer.sheet.input(operation.shape)
        } else if index == graph.output() && !named.is_empty() {
            for ((name, _), value) in named.iter().zip(&inputs) {
                writer.sheet.answer(name, value)?;
            }
            break;
        } else if needed[index] {
            writer.operation(operation, &inputs)?
        } else {
            Value::default()
        };
        values.push(value);
    }
    if named.is_empty() {
        writer.sheet.answer(sheet::OUTPUT, &values.get(graph.output()).cloned().unwrap_or_default())?;
    }
    let graph = writer.sheet.finish();
    let entry = |(key, value): &(&str, String)| proto::Entry { key: (*key).into(), value: value.clone() };
    let model = proto::Model {
        ir_version: FORMAT,
        producer_name: "onward".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![proto::OperatorSet { domain: String::new(), version: WRITTEN }],
        metadata_props: metadata.iter().map(entry).collect(),
        functions: Vec::new(),
    };
    Ok(model.encode_to_vec())
}

/// Which operations the answer needs.
fn needed(operations: &[Operation<'_>], output: usize) -> Vec<bool> {
    let mut needed = vec![false; operations.len()];
    needed[output] = true;
    for index in (0..operations.len()).rev().filter(|n| *n <= output) {
        if needed[index] {
            operations[index].inputs.iter().for_each(|n| needed[*n] = true);
        }
    }
    needed
}

struct Writer<'a> {
    sheet: Sheet,
    params: &'a Params,
    statistics: &'a [Statistics],
    int8: bool,
}

impl Writer<'_> {
    fn operation(&mut self, operation: &Operation<'_>, inputs: &[&Value]) -> Result<Value> {
        let words = operation.operation.as_str();
        let first = inputs.first().copied().cloned().unwrap_or_default();
        let shape = operation.shape;
        Ok(match words {
            "linear" => self.linear(operation, &first)?,
            "convolution 3x3" => self.convolution(operation, &first)?,
            "embedding" => {
                let table = self.tensor(operation, 0)?;
                self.sheet.embed(&first, table, shape)
            }
            "batch norm" => self.batch_norm(operation, &first)?,
            "layer norm" => {
                let x = self.sheet.laid(&first, Layout::Last);
                let ones = self.sheet.floats("ones", &[shape[2]], vec![1.0; shape[2]]);
                let y = self.sheet.node("LayerNormalization", &[&x.name, &ones]);
                self.sheet.set_int("axis", -1);
                self.sheet.set_float("epsilon", onward::model::NORM_EPSILON);
                x.with(y)
            }
            "rms norm" => {
                let x = self.sheet.laid(&first, Layout::Last);
                let square = self.sheet.node("Mul", &[&x.name, &x.name]);
                let mean = self.sheet.reduced("ReduceMean", &square, &[-1], true);
                let epsilon = self.sheet.floats("epsilon", &[], vec![onward::model::NORM_EPSILON]);
                let mean = self.sheet.node("Add", &[&mean, &epsilon]);
                let root = self.sheet.node("Sqrt", &[&mean]);
                let y = self.sheet.node("Div", &[&x.name, &root]);
                x.with(y)
            }
            "scale" => self.scale(operation, &first)?,
            "max pool 2x2" => self.sheet.halved("MaxPool", &first, shape),
            "average pool 2x2" if self.int8 => self.sheet.exact_halves(&first, shape),
            "global average" if self.int8 => self.sheet.exact_mean(&first, shape),
            "average pool 2x2" => self.sheet.halved("AveragePool", &first, shape),
            "global average" => self.sheet.global("ReduceMean", &first, shape),
            "global maximum" => self.sheet.global("ReduceMax", &first, shape),
            "flatten" | "reshape" => self.sheet.reshaped(&first, shape),
            "add" | "multiply" => {
                let second = inputs.get(1).copied().cloned().unwrap_or_default();
                let second = self.sheet.laid(&second, first.layout);
                let op = if words == "add" { "Add" } else { "Mul" };
                let y = self.sheet.node(op, &[&first.name, &second.name]);
                first.with(y)
            }
            "concat" => {
                let all: Vec<Value> = inputs.iter().map(|x| self.sheet.laid(x, Layout::Last)).collect();
                let names: Vec<&str> = all.iter().map(|x| x.name.as_str()).collect();
                let name = self.sheet.node("Concat", &names);
                self.sheet.set_int("axis", -1);
                Value { name, layout: all[0].layout, shape }
            }
            _ if words.starts_with("channels ") => {
                let x = self.sheet.laid(&first, Layout::Last);
                let bounds: Vec<i64> = words
                    .trim_start_matches("channels ")
                    .split("..")
                    .filter_map(|n| n.parse().ok())
                    .collect();
                let [from, to] = bounds[..] else { return Err(unknown(words)) };
                let ends = [vec![from], vec![to], vec![-1]].map(|n| self.sheet.ints(n));
                let name = self.sheet.node("Slice", &[&x.name, &ends[0], &ends[1], &ends[2]]);
                Value { name, layout: x.layout, shape }
            }
            _ => match self.sheet.function(words, &first) {
                Some(value) => value,
                None => return Err(unknown(words)),
            },
        })
    }

    /// A tensor that an operation has.
    fn tensor(&self, operation: &Operation<'_>, index: usize) -> Result<Floats> {
        let name = operation.tensors.get(index).copied().unwrap_or_default();
        let found = self.params.tensors().iter().find(|t| t.name == name);
        let t = found
            .ok_or_else(|| Error::expected(ErrorKind::Model, "params", format!("a tensor {name}"), "none"))?;
        Ok(Floats { name: t.name.clone(), shape: t.shape.clone(), data: t.data.floats().into_owned() })
    }

    /// The bias of an operation, as a tensor of the file.
    fn bias(&mut self, operation: &Operation<'_>) -> Result<Option<String>> {
        if operation.tensors.len() < 2 {
            return Ok(None);
        }
        let Floats { name, shape, data } = self.tensor(operation, 1)?;
        Ok(Some(self.sheet.floats(&name, &shape, data)))
    }

    fn linear(&mut self, operation: &Operation<'_>, x: &Value) -> Result<Value> {
        let Floats { name, shape, data } = self.tensor(operation, 0)?;
        let bias = self.bias(operation)?;
        let (outputs, k) = (shape[0], shape[1..].iter().product::<usize>());
        let x = self.sheet.laid(x, Layout::Last);
        let y = if self.int8 {
            self.sheet.product_of_bytes(&x.name, &name, &data, [outputs, k], bias.as_deref())
        } else if x.layout == Layout::Plain {
            let weight = self.sheet.floats(&name, &[outputs, k], data);
            let inputs: Vec<&str> = [x.name.as_str(), &weight].into_iter().chain(bias.as_deref()).collect();
            let y = self.sheet.node("Gemm", &inputs);
            self.sheet.set_int("transB", 1);
            y
        } else {
            let turned = (0..outputs * k).map(|n| data[n % outputs * k + n / outputs]).collect();
            let weight = self.sheet.floats(&name, &[k, outputs], turned);
            let y = self.sheet.node("MatMul", &[&x.name, &weight]);
            match bias {
                Some(bias) => self.sheet.node("Add", &[&y, &bias]),
                None => y,
            }
        };
        Ok(Value { name: y, layout: x.layout, shape: operation.shape })
    }

    fn convolution(&mut self, operation: &Operation<'_>, x: &Value) -> Result<Value> {
        let Floats { name, shape, data } = self.tensor(operation, 0)?;
        let bias = self.bias(operation)?;
        let (outputs, channels) = (shape[0], shape[3]);
        if self.int8 {
            return self.sheet.convolution_of_bytes(
                x,
                &name,
                &data,
                [outputs, channels],
                bias.as_deref(),
                operation.shape,
            );
        }
        let x = self.sheet.laid(x, Layout::First);
        let turned = (0..data.len()).map(|n| {
            let (output, channel, place) = (n / (9 * channels), n / 9 % channels, n % 9);
            data[(output * 9 + place) * channels + channel]
        });
        let weight = self.sheet.floats(&name, &[outputs, channels, 3, 3], turned.collect());
        let inputs: Vec<&str> = [x.name.as_str(), &weight].into_iter().chain(bias.as_deref()).collect();
        let name = self.sheet.node("Conv", &inputs);
        self.sheet.set_ints("kernel_shape", vec![3, 3]);
        self.sheet.set_ints("pads", vec![1; 4]);
        Ok(Value { name, layout: Layout::First, shape: operation.shape })
    }

    fn batch_norm(&mut self, operation: &Operation<'_>, x: &Value) -> Result<Value> {
        let Floats { name, shape, data: gamma } = self.tensor(operation, 0)?;
        let layer = name.strip_suffix(".weight").unwrap_or(&name);
        let Some(statistics) = self.statistics.iter().find(|s| s.layer == layer).cloned() else {
            let place = format!("normalisation {layer}");
            return Err(Error::expected(ErrorKind::Model, place, "statistics", "none"));
        };
        let beta = self.tensor(operation, 1)?.data;
        let all = [
            ("weight", gamma),
            ("bias", beta),
            ("running_mean", statistics.mean),
            ("running_var", statistics.variance),
        ];
        if self.int8 {
            return Ok(self.sheet.exact_norm(x, layer, all));
        }
        let x = if x.layout == Layout::Plain { x.clone() } else { self.sheet.laid(x, Layout::First) };
        let names = all.map(|(part, data)| self.sheet.floats(&format!("{layer}.{part}"), &shape, data));
        let y = self.sheet.node("BatchNormalization", &[&x.name, &names[0], &names[1], &names[2], &names[3]]);
        self.sheet.set_float("epsilon", onward::model::NORM_EPSILON);
        Ok(x.with(y))
    }

    fn scale(&mut self, operation: &Operation<'_>, x: &Value) -> Result<Value> {
        let Floats { name, shape, data } = self.tensor(operation, 0)?;
        let bias = self.bias(operation)?;
        let x = self.sheet.laid(x, Layout::Last);
        let weight = self.sheet.floats(&name, &shape, data);
        let y = self.sheet.node("Mul", &[&x.name, &weight]);
        let y = match bias {
            Some(bias) => self.sheet.node("Add", &[&y, &bias]),
            None => y,
        };
        Ok(x.with(y))
    }
}

fn unknown(words: &str) -> Error {
    Error::expected(ErrorKind::Model, "model", "operations that there is a way to write to ONNX", words)
}
