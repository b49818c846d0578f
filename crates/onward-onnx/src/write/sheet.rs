//! The file on its way: nodes, tensors, and in which order the axes of values stand.

use crate::proto::{self, Attribute, Node, Tensor};
use onward::model::Shape;
use onward::{Error, ErrorKind, Result};

/// In which order the axes of a value stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[batch, n]`
    #[default]
    Plain,
    /// `[batch, channels, height, width]`
    First,
    /// `[batch, height, width, channels]`
    Last,
}

/// A value of the file: rows of a shape, as the library has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Value {
    pub name: String,
    pub layout: Layout,
    pub shape: Shape,
}

impl Value {
    /// What an operation answers that leaves axes as they are.
    pub fn with(&self, name: String) -> Self {
        Self { name, ..self.clone() }
    }
}

/// Nodes and tensors so far.
#[derive(Default)]
pub(crate) struct Sheet {
    graph: proto::Graph,
    count: usize,
}

pub(crate) const INPUT: &str = "input";
pub(crate) const OUTPUT: &str = "output";

fn plain([h, w, _]: Shape) -> bool {
    h * w == 1
}

/// The type of a value of floats.
fn info(name: &str, sides: &[usize]) -> proto::ValueInfo {
    let batch = proto::Dimension { dim_param: Some("batch".into()), dim_value: None };
    let side = |n: &usize| proto::Dimension { dim_value: Some(*n as i64), dim_param: None };
    let dim = std::iter::once(batch).chain(sides.iter().map(side)).collect();
    let tensor_type = proto::TensorType { elem_type: proto::FLOAT, shape: Some(proto::Shape { dim }) };
    proto::ValueInfo { name: name.into(), r#type: Some(proto::Type { tensor_type: Some(tensor_type) }) }
}

impl Sheet {
    /// The file's input, for rows of this shape.
    pub fn input(&mut self, shape: Shape) -> Value {
        let [h, w, c] = shape;
        let (sides, layout) = match shape {
            _ if plain(shape) => (vec![c], Layout::Plain),
            [1, ..] => (vec![w, c], Layout::Last),
            _ => (vec![c, h, w], Layout::First),
        };
        self.graph.input.push(info(INPUT, &sides));
        let mut value = Value { name: INPUT.into(), layout, shape };
        if sides.len() == 2 {
            value.name = self.places_of(INPUT, shape);
        }
        value
    }

    /// Makes a value an output of the file, `[batch, numbers]`.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Model`] if another value has the name.
    pub fn answer(&mut self, name: &str, answer: &Value) -> Result<()> {
        let answer = self.laid(answer, Layout::Last);
        let numbers: usize = answer.shape.iter().product();
        let shape = self.ints(vec![0, numbers as i64]);
        let given = self.graph.node.iter().flat_map(|node| &node.output);
        let tensors = self.graph.initializer.iter().map(|tensor| &tensor.name);
        if name == INPUT || given.chain(tensors).any(|other| other == name) {
            let expected = "a name that no other value of the file has";
            return Err(Error::expected(ErrorKind::Model, format!("output {name}"), expected, "one"));
        }
        self.graph.node.push(Node {
            input: vec![answer.name, shape],
            output: vec![name.into()],
            op_type: "Reshape".into(),
            ..Node::default()
        });
        self.graph.output.push(info(name, &[numbers]));
        Ok(())
    }

    /// The file.
    pub fn finish(mut self) -> proto::Graph {
        self.graph.name = "onward".into();
        self.graph
    }

    /// A name that no other value has.
    fn fresh(&mut self, word: &str) -> String {
        self.count += 1;
        format!("{word}_{}", self.count)
    }

    /// Adds a node; the name of its answer.
    pub fn node(&mut self, op: &str, inputs: &[&str]) -> String {
        let name = self.fresh(&op.to_lowercase());
        self.graph.node.push(Node {
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op.into(),
            ..Node::default()
        });
        name
    }

    fn set(&mut self, attribute: Attribute) {
        if let Some(node) = self.graph.node.last_mut() {
            node.attribute.push(attribute);
        }
    }

    /// Gives the last node a setting.
    pub fn set_int(&mut self, name: &str, i: i64) {
        self.set(Attribute { name: name.into(), i, r#type: proto::INT_ATTRIBUTE, ..Attribute::default() });
    }

    /// Gives the last node a setting.
    pub fn set_float(&mut self, name: &str, f: f32) {
        self.set(Attribute { name: name.into(), f, r#type: proto::FLOAT_ATTRIBUTE, ..Attribute::default() });
    }

    /// Gives the last node a setting.
    pub fn set_ints(&mut self, name: &str, ints: Vec<i64>) {
        self.set(Attribute {
            name: name.into(),
            ints,
            r#type: proto::INTS_ATTRIBUTE,
            ..Attribute::default()
        });
    }

    /// Gives the last node a setting.
    pub fn set_word(&mut self, name: &str, word: &str) {
        let s = word.as_bytes().to_vec();
        self.set(Attribute { name: name.into(), s, r#type: proto::STRING_ATTRIBUTE, ..Attribute::default() });
    }

    fn tensor(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> String {
        let taken = self.graph.initializer.iter().any(|t| t.name == name);
        let name = if taken { self.fresh(name) } else { name.to_owned() };
        let dims = dims.iter().map(|n| *n as i64).collect();
        self.graph.initializer.push(Tensor {
            name: name.clone(),
            dims,
            data_type,
            raw_data,
            ..Tensor::default()
        });
        name
    }

    /// A tensor of floats; its name, which is this one if it is free.
    pub fn floats(&mut self, name: &str, dims: &[usize], data: Vec<f32>) -> String {
        self.tensor(name, dims, proto::FLOAT, data.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// A tensor of bytes without signs.
    pub fn raw(&mut self, name: &str, dims: &[usize], data: Vec<u8>) -> String {
        self.tensor(name, dims, proto::UINT8, data)
    }

    /// A list of whole numbers.
    pub fn ints(&mut self, data: Vec<i64>) -> String {
        let name = self.fresh("ints");
        self.tensor(&name, &[data.len()], proto::INT64, data.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    fn places_of(&mut self, name: &str, [h, w, c]: Shape) -> String {
        let sides = self.ints(vec![0, h as i64, w as i64, c as i64]);
        self.node("Reshape", &[name, &sides])
    }

    /// The value with its axes in this order; vectors have one order alone.
    pub fn laid(&mut self, x: &Value, layout: Layout) -> Value {
        let order = match (x.layout, layout) {
            (Layout::Plain, Layout::First) => {
                let sides = self.ints(vec![0, x.shape[2] as i64, 1, 1]);
                let name = self.node("Reshape", &[&x.name, &sides]);
                return Value { name, layout, shape: x.shape };
            }
            (Layout::First | Layout::Last, Layout::Plain) => return self.reshaped(x, x.shape),
            (Layout::First, Layout::Last) if plain(x.shape) => return self.reshaped(x, x.shape),
            (Layout::First, Layout::Last) => vec![0, 2, 3, 1],
            (Layout::Last, Layout::First) => vec![0, 3, 1, 2],
            _ => return x.clone(),
        };
        let name = self.node("Transpose", &[&x.name]);
        self.set_ints("perm", order);
        Value { name, layout, shape: x.shape }
    }

    /// The numbers of a row, in their order, as rows of another shape.
    pub fn reshaped(&mut self, x: &Value, shape: Shape) -> Value {
        let x =
            if x.layout == Layout::First && !plain(x.shape) { self.laid(x, Layout::Last) } else { x.clone() };
        if plain(shape) {
            let sides = self.ints(vec![0, shape[2] as i64]);
            let name = self.node("Reshape", &[&x.name, &sides]);
            return Value { name, layout: Layout::Plain, shape };
        }
        Value { name: self.places_of(&x.name, shape), layout: Layout::Last, shape }
    }

    /// Numbers along axes made one.
    pub fn reduced(&mut self, op: &str, name: &str, axes: &[i64], keeps: bool) -> String {
        let axes = self.ints(axes.to_vec());
        let name = self.node(op, &[name, &axes]);
        self.set_int("keepdims", i64::from(keeps));
        name
    }

    /// Each channel made one number.
    pub fn global(&mut self, op: &str, x: &Value, shape: Shape) -> Value {
        let axes = match x.layout {
            Layout::Plain => return x.clone(),
            Layout::First => [2, 3],
            Layout::Last => [1, 2],
        };
        Value { name: self.reduced(op, &x.name, &axes, false), layout: Layout::Plain, shape }
    }

    /// A pool of 2×2 places.
    pub fn halved(&mut self, op: &str, x: &Value, shape: Shape) -> Value {
        let x = self.laid(x, Layout::First);
        let name = self.node(op, &[&x.name]);
        self.set_ints("kernel_shape", vec![2, 2]);
        self.set_ints("strides", vec![2, 2]);
        let y = Value { name, layout: Layout::First, shape };
        if plain(shape) { self.laid(&y, Layout::Plain) } else { y }
    }

    /// Rows of a table.
    pub fn embed(&mut self, x: &Value, table: super::Floats, shape: Shape) -> Value {
        let sides: Vec<i64> = if plain(shape) { vec![0] } else { vec![0, shape[0] as i64, shape[1] as i64] };
        let x = self.laid(x, Layout::Last);
        let sides = self.ints(sides);
        let words = self.node("Reshape", &[&x.name, &sides]);
        let words = self.node("Cast", &[&words]);
        self.set_int("to", proto::INT64.into());
        let table = self.floats(&table.name, &table.shape, table.data);
        let name = self.node("Gather", &[&table, &words]);
        Value { name, layout: if plain(shape) { Layout::Plain } else { Layout::Last }, shape }
    }

    /// A function of single numbers, by the words of the model's operation.
    pub fn function(&mut self, words: &str, x: &Value) -> Option<Value> {
        let name = match words {
            "relu" => self.node("Relu", &[&x.name]),
            "tanh" => self.node("Tanh", &[&x.name]),
            "sigmoid" => self.node("Sigmoid", &[&x.name]),
            "softplus" => self.node("Softplus", &[&x.name]),
            "gelu" => {
                let name = self.node("Gelu", &[&x.name]);
                self.set_word("approximate", "tanh");
                name
            }
            "gelu-erf" => self.node("Gelu", &[&x.name]),
            "silu" => {
                let part = self.node("Sigmoid", &[&x.name]);
                self.node("Mul", &[&x.name, &part])
            }
            "exp" => self.node("Exp", &[&x.name]),
            "ln" => self.node("Log", &[&x.name]),
            "sin" => self.node("Sin", &[&x.name]),
            "cos" => self.node("Cos", &[&x.name]),
            "square root" => self.node("Sqrt", &[&x.name]),
            "reciprocal" => self.node("Reciprocal", &[&x.name]),
            "absolute" => self.node("Abs", &[&x.name]),
            "erf" => self.node("Erf", &[&x.name]),
            "sign" | "step" => {
                let low = if words == "sign" { -1.0 } else { 0.0 };
                let [zero, low, high] = [0.0, low, 1.0].map(|v| self.floats("number", &[], vec![v]));
                let below = self.node("Less", &[&x.name, &zero]);
                self.node("Where", &[&below, &low, &high])
            }
            _ => return None,
        };
        Some(x.with(name))
    }
}
