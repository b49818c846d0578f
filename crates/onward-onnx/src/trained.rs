//! A file's net with other params, as a file.

use crate::Net;
use crate::constant::Constant;
use crate::form::Seat;
use crate::net::{Kept, order};
use crate::node::own_name;
use crate::proto::{self, Entry, Graph, Tensor};
use onward::model::{NORM_EPSILON, Shape};
use onward::params::Params;
use onward::{Error, ErrorKind, Place, Result};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

impl Net {
    /// The bytes of the file with `params` in place of its weights, for rows of shape `[height, width, channels]`; `metadata` goes with it.
    /// A tensor that the file has in several places gets its own numbers in each, as it was trained.
    ///
    /// # Errors
    /// As for [`Net::begin`]; [`ErrorKind::Model`] if the params are not those of the net, or if the file's weights are not in f32.
    pub fn with(&self, input: Shape, params: &Params, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
        let (graph, kept) = self.kept(input)?;
        graph.check_params(params)?;
        if let Some(other) = self.of_another_type() {
            let (expected, found) = ("weights in f32, to write others there", "another type");
            return Err(Error::expected(ErrorKind::Model, Place::tensor(other), expected, found));
        }
        let mut file = self.graph.clone();
        // Older files call their weights inputs as well.
        file.input.retain(|input| !self.tensors.contains_key(&input.name));
        for (name, tensor) in self.seated(&kept, params) {
            seat(&mut file, &name, tensor);
        }
        tidy(&mut file, &self.outputs)?;
        let entry = |(key, value): &(&str, String)| Entry { key: (*key).into(), value: value.clone() };
        let mut model = proto::Model { graph: Some(file), ..self.frame.clone() };
        model.metadata_props.retain(|own| metadata.iter().all(|(key, _)| own.key != *key));
        model.metadata_props.extend(metadata.iter().map(entry));
        Ok(model.encode_to_vec())
    }

    /// Whether a net with trained params can be written where it was read from.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming a weight in double precision that is worked with as such: training works in f32.
    pub fn check_writable(&self) -> Result<()> {
        let Some(name) = self.of_types(&[proto::DOUBLE]) else { return Ok(()) };
        let (expected, found) = ("weights in f32", "f64 (in PyTorch, net.float() before the export)");
        Err(Error::expected(ErrorKind::Model, Place::tensor(name), expected, found))
    }

    /// The name of a tensor of another type than f32 that is worked with as such, not cast to f32 first.
    fn of_another_type(&self) -> Option<&str> {
        self.of_types(&[proto::FLOAT16, proto::BFLOAT16, proto::DOUBLE])
    }

    fn of_types(&self, types: &[i32]) -> Option<&str> {
        let halves = |t: &Tensor| types.contains(&t.data_type);
        let is_cast = |name: &str| {
            let nodes = self.readers.get(name).into_iter().flatten().map(|n| &self.graph.node[*n]);
            nodes.clone().count() > 0 && nodes.clone().all(|node| node.op_type == "Cast")
        };
        let held = self.graph.initializer.iter().filter(|t| halves(t)).map(|t| t.name.as_str());
        let told = self.order.iter().map(|n| &self.graph.node[*n]).filter(|node| node.op_type == "Constant");
        let told = told.filter(|node| node.attribute.iter().filter_map(|a| a.t.as_ref()).any(halves));
        held.chain(told.filter_map(own_name)).find(|name| !is_cast(name))
    }

    /// The tensors that nodes are to read at their inputs.
    fn seated(&self, kept: &Kept, params: &Params) -> BTreeMap<(String, usize), Tensor> {
        let mut all = BTreeMap::new();
        for tensor in params.tensors() {
            let Some((_, Seat { node, input, dims, form })) = kept.get(&tensor.name) else { continue };
            let place = (node.clone(), *input);
            let whole = || (tensor.name.as_str(), dims.as_slice(), vec![0f32; dims.iter().product()]);
            let (.., data) = all.entry(place).or_insert_with(whole);
            form.write(&tensor.data.floats(), data);
        }
        all.into_iter().map(|(place, (name, dims, data))| (place, floats(name, dims, &data))).collect()
    }
}

fn floats(name: &str, dims: &[usize], data: &[f32]) -> Tensor {
    Tensor {
        name: name.into(),
        dims: dims.iter().map(|n| *n as i64).collect(),
        data_type: proto::FLOAT,
        raw_data: data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Tensor::default()
    }
}

/// Makes a node read a tensor of its own at an input.
fn seat(file: &mut Graph, (output, input): &(String, usize), mut tensor: Tensor) {
    let Some(at) = file.node.iter().position(|node| own_name(node) == Some(output)) else { return };
    let own = |file: &mut Graph, tensor: &mut Tensor| {
        // Made up by nobody else: `:` and this word are in no layer's name.
        tensor.name = format!("{}:trained", tensor.name);
        file.initializer.push(tensor.clone());
    };
    own(file, &mut tensor);
    let node = &mut file.node[at];
    if node.input.len() <= *input {
        node.input.resize(input + 1, String::new());
    }
    node.input[*input].clone_from(&tensor.name);
    match node.op_type.as_str() {
        // The factors are in the numbers already.
        "Gemm" => node.attribute.retain(|a| a.name != "alpha" && a.name != "beta"),
        // So are the statistics: none are left to subtract, nor to divide by.
        "BatchNormalization" if *input == 1 => {
            node.attribute.retain(|a| a.name != "epsilon");
            let dims: Vec<usize> = tensor.dims.iter().map(|n| *n as usize).collect();
            let count = dims.iter().product();
            for (index, part, value) in [(3, "mean", 0.0), (4, "variance", 1.0 - NORM_EPSILON)] {
                let mut part = floats(&format!("{}.{part}", tensor.name), &dims, &vec![value; count]);
                own(file, &mut part);
                file.node[at].input[index] = part.name;
            }
        }
        _ => {}
    }
}

/// Takes out what nothing needs any more, and gives weights the names of the model's where these are free.
fn tidy(file: &mut Graph, outputs: &[String]) -> Result<()> {
    let none = || Constant::ints(Vec::new());
    let known: BTreeMap<String, Constant> =
        file.initializer.iter().map(|t| (t.name.clone(), none())).collect();
    let mut needed = order(file, &known, &outputs.iter().map(String::as_str).collect::<Vec<_>>())?;
    needed.sort_unstable();
    file.node = needed.iter().map(|n| file.node[*n].clone()).collect();
    file.output.retain(|output| outputs.contains(&output.name));
    let read: BTreeSet<String> = file.node.iter().flat_map(|node| node.input.clone()).collect();
    file.initializer.retain(|tensor| read.contains(&tensor.name));
    let mut taken: BTreeSet<String> = read;
    taken.extend(file.node.iter().flat_map(|node| node.output.clone()));
    taken.extend(file.input.iter().map(|input| input.name.clone()));
    for index in 0..file.initializer.len() {
        let name = file.initializer[index].name.clone();
        let Some(plain) = name.strip_suffix(":trained").filter(|plain| taken.insert((*plain).to_owned()))
        else {
            continue;
        };
        for input in file.node.iter_mut().flat_map(|node| &mut node.input).filter(|input| **input == name) {
            plain.clone_into(input);
        }
        plain.clone_into(&mut file.initializer[index].name);
    }
    Ok(())
}
