//! From the nodes of a file to the operations of a graph.

mod cells;
mod linear;
mod math;
mod shape;

use crate::constant::{Constant, Numbers};
use crate::fold::{self, BATCH, shown};
use crate::form::Seat;
use crate::net::{Kept, Net};
use crate::node::At;
use crate::proto;
use crate::value::{Act, Atom, Layout, Value};
use onward::model::{Builder, Var};
use onward::params::Tensor;
use onward::{Error, ErrorKind, Place, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Operations whose answer is their first input.
const SAME: [&str; 2] = ["Identity", "Dropout"];

/// A file on its way into a graph.
pub(crate) struct Lower<'n, 'g> {
    net: &'n Net,
    layout: Layout<'g>,
    values: BTreeMap<&'n str, Value>,
    /// Names of values that the file's own tensors have.
    weights: BTreeSet<&'n str>,
    layers: BTreeSet<String>,
    /// The rows of a batch, if the file takes no other number.
    batch: Option<i64>,
    /// Whether the numbers of weights are wanted.
    keeps: bool,
    kept: Kept,
}

impl<'n, 'g> Lower<'n, 'g> {
    pub fn new(net: &'n Net, g: &'g mut Builder, keeps: bool) -> Self {
        let values =
            net.tensors.iter().map(|(name, known)| (name.as_str(), Value::Known(known.clone()))).collect();
        let weights = net.tensors.keys().map(String::as_str).collect();
        let (layout, kept) = (Layout::new(g), Kept::new());
        Self { net, layout, values, weights, layers: BTreeSet::new(), batch: None, keeps, kept }
    }

    /// Lowers all that the chosen outputs need; what the graph answers with, and what its tensors begin as.
    pub fn run(mut self) -> Result<(Var, Kept)> {
        let graph = &self.net.graph;
        let inputs: Vec<_> = graph.input.iter().filter(|i| !self.net.tensors.contains_key(&i.name)).collect();
        let [input] = inputs[..] else {
            let names = inputs.iter().map(|i| i.name.as_str()).collect::<Vec<_>>().join(", ");
            let found = format!("{} ({names})", inputs.len());
            return Err(Error::expected(ErrorKind::Model, "graph", "one input", found));
        };
        let value = self.input(input)?;
        self.values.insert(&input.name, Value::Act(value));
        for index in &self.net.order {
            self.node(At { node: &graph.node[*index] })?;
        }
        let mut answers = Vec::new();
        for output in &self.net.outputs {
            let Some(Value::Act(act)) = self.values.get(output.as_str()).cloned() else {
                let found = "what its input does not change";
                return Err(Error::expected(
                    ErrorKind::Model,
                    format!("output {output}"),
                    "an answer",
                    found,
                ));
            };
            answers.push((output.as_str(), self.answer(output, &act)?));
        }
        let var = if let [(_, one)] = answers[..] { one } else { self.layout.g.outputs(&answers) };
        Ok((var, self.kept))
    }

    /// The rows as the file's input has them: images lie with their channels last, all else in order.
    fn input(&mut self, input: &proto::ValueInfo) -> Result<Act> {
        let var = self.layout.g.input();
        let [h, w, c] = var.shape();
        let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let axes = tensor.and_then(|t| t.shape.as_ref()).map(|s| &s.dim[..]).unwrap_or_default();
        let told: Vec<Option<usize>> = axes
            .iter()
            .map(|axis| axis.dim_value.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0))
            .collect();
        self.batch = told.first().copied().flatten().and_then(|n| i64::try_from(n).ok());
        let shown: Vec<String> = told.iter().map(|n| n.map_or("any".into(), |n| n.to_string())).collect();
        let refuse = |expected: &str| {
            let found = format!("rows of {:?} and an input of [{}]", var.shape(), shown.join(", "));
            Err(Error::expected(ErrorKind::Model, format!("input {}", input.name), expected, found))
        };
        let fits =
            |sides: &[usize]| told[1..].iter().zip(sides).all(|(told, n)| told.is_none_or(|told| told == *n));
        // A row whose numbers have one order whatever its axes are called.
        let plain = c == 1 || h * w == 1;
        let sides = match told.len() {
            2 if plain || h == 1 => vec![h * w * c],
            3 if h == 1 && w > 1 && fits(&[w, c]) => vec![w, c],
            3 => {
                let all = h * w * c;
                let last =
                    told[2].or(told[1].filter(|n| all.is_multiple_of(*n)).map(|n| all / n)).unwrap_or(c);
                if !(plain || h == 1) || last == 0 || !all.is_multiple_of(last) {
                    return refuse("rows of items");
                }
                vec![all / last, last]
            }
            4 if fits(&[c, h, w]) => vec![c, h, w],
            4 if plain => {
                let [Some(channels), Some(high), Some(wide)] = told[1..] else {
                    return refuse(
                        "[batch, channels, height, width], of the data's shape [height, width, channels]",
                    );
                };
                if channels != 1 {
                    return refuse("rows of the shape [height, width, channels] where there are channels");
                }
                vec![1, high, wide]
            }
            4 => return refuse("[batch, channels, height, width] of rows of [height, width, channels]"),
            _ => {
                return refuse(
                    "[batch, numbers], [batch, items, numbers] or [batch, channels, height, width]",
                );
            }
        };
        let all = sides.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        if !fits(&sides) || all != Some(h * w * c) {
            return refuse("axes that agree after the batch's");
        }
        let own: Vec<Vec<Atom>> = sides.iter().map(|n| self.layout.axis(*n)).collect();
        let order = if let [c, h, w] = &own[..] { [&h[..], w, c].concat() } else { own.concat() };
        Ok(Act { var, axes: [vec![vec![Atom::BATCH]], own].concat(), order })
    }

    /// What the graph answers with, its numbers in the order of the file's output.
    fn answer(&mut self, name: &str, act: &Act) -> Result<Var> {
        if act.axes.first() != Some(&vec![Atom::BATCH]) {
            let found = shown(&act.dims());
            return Err(Error::expected(
                ErrorKind::Model,
                format!("output {name}"),
                "the batch as its first axis",
                found,
            ));
        }
        let last = act.axes.len() - 1;
        let (items, numbers) = if last == 0 {
            (Vec::new(), Vec::new())
        } else {
            (act.axes[1..last].concat(), act.axes[last].clone())
        };
        Ok(self.layout.laid(act, [&[], &items, &numbers]))
    }

    /// A value that a node reads.
    fn value(&self, at: At<'n>, index: usize) -> Result<&Value> {
        let name = at.input(index).ok_or_else(|| at.expected(format!("an input {index}"), "none"))?;
        self.values.get(name).ok_or_else(|| at.expected(format!("the value {name}"), "none"))
    }

    fn act(&self, at: At<'n>, index: usize) -> Result<Act> {
        match self.value(at, index)? {
            Value::Act(act) => Ok(act.clone()),
            Value::Known(_) => {
                Err(at.expected(format!("an input {index} that the data change"), "a constant"))
            }
        }
    }

    /// A constant that a node reads.
    fn known(&self, at: At<'n>, index: usize) -> Result<Constant> {
        match self.value(at, index)? {
            Value::Known(known) => Ok(known.clone()),
            Value::Act(_) => {
                Err(at.expected(format!("an input {index} that is constant"), "one that the data change"))
            }
        }
    }

    /// The same where the input may be left out.
    fn known_if_any(&self, at: At<'n>, index: usize) -> Result<Option<Constant>> {
        at.input(index).map(|_| self.known(at, index)).transpose()
    }

    fn give(&mut self, at: At<'n>, index: usize, value: impl Into<Value>) {
        if let Some(name) = at.node.output.get(index).filter(|name| !name.is_empty()) {
            self.values.insert(name, value.into());
        }
    }

    fn node(&mut self, at: At<'n>) -> Result<()> {
        if !at.node.domain.is_empty() && at.node.domain != "ai.onnx" {
            return Err(at.expected("one of ONNX's own operations", format!("one of {}", at.node.domain)));
        }
        // An operation before may have worked this one out with it.
        if at.node.output.first().is_some_and(|name| self.values.contains_key(name.as_str())) {
            return Ok(());
        }
        let op = at.node.op_type.as_str();
        if SAME.contains(&op) {
            let value = self.value(at, 0)?.clone();
            if at.input(0).is_some_and(|name| self.weights.contains(name))
                && let Some(name) = at.node.output.first()
            {
                self.weights.insert(name);
            }
            self.give(at, 0, value);
            return Ok(());
        }
        if op == "Constant" {
            let known = constant(at)?;
            self.give(at, 0, Value::Known(known));
            return Ok(());
        }
        if op == "Shape" {
            let known = fold::shape(at, &self.value(at, 0)?.dims())?;
            self.give(at, 0, Value::Known(known));
            return Ok(());
        }
        let inputs: Vec<Option<&Value>> =
            at.node.input.iter().map(|name| self.values.get(name.as_str())).collect();
        if inputs.iter().flatten().all(|value| matches!(value, Value::Known(_))) {
            let known: Vec<Option<&Constant>> = inputs
                .iter()
                .map(|value| if let Some(Value::Known(known)) = value { Some(known) } else { None })
                .collect();
            if let Some(answers) = fold::fold(at, &known)? {
                for (index, answer) in answers.into_iter().enumerate() {
                    self.give(at, index, Value::Known(answer));
                }
                return Ok(());
            }
        }
        self.lower(at, op)
    }

    fn lower(&mut self, at: At<'n>, op: &str) -> Result<()> {
        match op {
            "Gemm" => self.gemm(at),
            "MatMul" => self.matmul(at),
            "Conv" => self.conv(at),
            "BatchNormalization" => self.batch_norm(at),
            "LayerNormalization" => self.layer_norm(at),
            "LSTM" | "GRU" => self.cell(at),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => self.reshape(at),
            "Transpose" => self.transpose(at),
            "Gather" => self.gather(at),
            "Slice" => self.slice(at),
            "Split" => self.split(at),
            "Concat" => self.concat(at),
            "Expand" => self.expand(at),
            "MaxPool" | "AveragePool" => self.pool(at),
            "GlobalAveragePool" | "GlobalMaxPool" | "ReduceMean" | "ReduceMax" | "ReduceSum" => {
                self.reduce(at)
            }
            "Softmax" | "LogSoftmax" => self.softmax(at),
            "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "Less" | "Greater" | "Equal" => self.pairwise(at),
            "Where" => self.choose(at),
            _ if self.function(at)? => Ok(()),
            other => Err(at.expected("an operation that there is a way to lower", other)),
        }
    }

    /// The layer that a weight belongs to, under a name that no other layer has. Exporters name what they have worked out themselves
    /// `val_…` or `onnx::…`: then the bias has the better name.
    fn layer(&mut self, weight: Option<&str>, bias: Option<&str>, at: At<'n>) -> String {
        let cut = |name: &str| {
            let parts = [".weight", ".bias", ".weight_ih", ".weight_hh", ".bias_ih"];
            parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned()
        };
        let all = [weight, bias, at.node.output.first().map(String::as_str)];
        let own = all.into_iter().flatten().find(|name| !is_made_up(name)).or(weight).unwrap_or("layer");
        let base = cut(own);
        let base = if base.is_empty() || base.starts_with('.') { format!("layer{base}") } else { base };
        let numbered = (2..).map(|n| format!("{base}.{n}"));
        let free = std::iter::once(base.clone()).chain(numbered).find(|name| !self.layers.contains(name));
        let name = free.unwrap_or(base);
        self.layers.insert(name.clone());
        name
    }

    /// Keeps what a tensor of the model begins as, and where it is in the file.
    fn keep(&mut self, name: String, shape: Vec<usize>, known: &Constant, seat: Seat) -> Result<()> {
        if !self.keeps {
            return Ok(());
        }
        let data = seat.form.read(&known.floats()?, shape.iter().product());
        if let Some(other) = data.iter().find(|v| !v.is_finite()) {
            return Err(Error::expected(ErrorKind::Model, Place::tensor(&name), "finite numbers", other));
        }
        self.kept.insert(name.clone(), (Tensor { name, shape, data: data.into() }, seat));
        Ok(())
    }
}

/// Whether an exporter has made a name up.
fn is_made_up(name: &str) -> bool {
    let numbered = |rest: &str| rest.chars().all(|c| c.is_ascii_digit());
    name.strip_prefix("val_").is_some_and(numbered) || name.starts_with("onnx::") || name.starts_with('/')
}

/// The value of a node `Constant`.
fn constant(at: At<'_>) -> Result<Constant> {
    if let Some(known) = at.tensor("value")? {
        return Ok(known);
    }
    if let Some(ints) = at.ints("value_ints")? {
        return Ok(Constant::ints(ints.to_vec()));
    }
    let has = |name: &str| at.node.attribute.iter().any(|a| a.name == name);
    let numbers = match () {
        () if has("value_int") => Numbers::Ints(vec![at.int("value_int", 0)?]),
        () if has("value_float") => Numbers::Floats(vec![at.float("value_float", 0.0)?]),
        () => return Err(at.expected("a tensor or a number", "another kind of constant")),
    };
    Ok(Constant { dims: Vec::new(), numbers })
}

impl From<Act> for Value {
    fn from(act: Act) -> Self {
        Self::Act(act)
    }
}

/// The batch, as an axis of one atom.
fn is_batch(axis: &[Atom]) -> bool {
    axis == [Atom::BATCH]
}

/// Whether a size has the batch in it.
fn has_batch(size: usize) -> bool {
    size >= BATCH
}
