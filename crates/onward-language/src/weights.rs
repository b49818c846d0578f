//! The weights of a folder: one safetensors file, or shards with an index.

use crate::config::{Config, Family};
use crate::encoder::{self, CLASSIFIER};
use crate::net::HEAD;
use onward::mapped::Mapping;
use onward::noise::RunKey;
use onward::params::{DType, Memory, Params, Tensor, TensorData, TensorSpec};
use onward::train::Given;
use onward::{Error, ErrorKind, Place, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the names of adapters' tensors contain, which no folder has.
const ADAPTER: &str = ".lora_";
const ONE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The files of a folder's weights, with the names of the tensors in each.
pub(crate) struct Files {
    all: Vec<File>,
}

struct File {
    path: PathBuf,
    memory: Arc<dyn Memory>,
    names: Vec<String>,
}

impl Files {
    /// Opens those of a folder.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] naming the file that is missing, [`ErrorKind::Model`] naming the one that is not sound or lacks a tensor that the index says it
    /// has.
    pub fn open(folder: &Path) -> Result<Self> {
        let one = folder.join(ONE);
        if one.is_file() || !folder.join(INDEX).is_file() {
            return Ok(Self { all: vec![File::open(one)?] });
        }
        let path = folder.join(INDEX);
        let index = shards(&path)?;
        let mut all = Vec::new();
        for (shard, names) in index {
            let file = File::open(folder.join(&shard))?;
            if let Some(missing) = names.iter().find(|name| !file.names.contains(name)) {
                let found = format!("none, though {INDEX} says so");
                return Err(Error::expected(ErrorKind::Model, Place::tensor(missing), "a tensor", found)
                    .in_file(&file.path));
            }
            all.push(file);
        }
        Ok(Self { all })
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().flat_map(|file| file.names.iter().map(String::as_str))
    }

    /// What stands before the names of a net's tensors.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if there is no embedding.
    pub fn prefix(&self, config: &Config) -> Result<String> {
        let (embedding, known) = match config.family {
            Family::Llama => ("embed_tokens.weight", ["model.", ""]),
            Family::Gpt2 => ("wte.weight", ["transformer.", ""]),
            Family::Bert => ("embeddings.word_embeddings.weight", ["bert.", ""]),
        };
        let there = |prefix: &&str| self.names().any(|name| name == format!("{prefix}{embedding}"));
        known.iter().find(|prefix| there(prefix)).map(|prefix| (*prefix).to_owned()).ok_or_else(|| {
            let expected = format!("a tensor {}{embedding}", known[0]);
            let found = self.names().take(6).collect::<Vec<_>>().join(", ");
            Error::expected(ErrorKind::Model, "tensors", expected, found).in_file(&self.all[0].path)
        })
    }

    /// The tensors that `specs` name.
    ///
    /// # Errors
    /// [`ErrorKind::Model`], with the file, naming a tensor that is missing, of another shape or type, not finite, or that the net does not know.
    pub fn params(&self, config: &Config, specs: &[TensorSpec], key: &RunKey) -> Result<Params> {
        for file in &self.all {
            let known =
                |name: &str| specs.iter().any(|spec| spec.name == name) || is_passed_over(config, name);
            if let Some(other) = file.names.iter().find(|name| !known(name)) {
                let expected = "tensors of the net that config.json describes";
                return Err(Error::expected(ErrorKind::Model, Place::tensor(other), expected, "another")
                    .in_file(&file.path));
            }
        }
        let weight = format!("{CLASSIFIER}.weight");
        let classes = specs.iter().find(|spec| spec.name == weight).map(|spec| spec.shape[0]);
        let one = |spec: &TensorSpec| {
            if spec.name.contains(ADAPTER) {
                let own = Params::init(std::slice::from_ref(spec), key);
                return Ok(own.tensors()[0].clone());
            }
            if config.family == Family::Bert
                && spec.name.starts_with(CLASSIFIER)
                && self.classes()? != classes
            {
                return tensor_of_zeros(spec);
            }
            let Some(file) = self.all.iter().find(|file| file.names.contains(&spec.name)) else {
                let found =
                    format!("none in {}", self.all.iter().map(File::short).collect::<Vec<_>>().join(", "));
                return Err(Error::expected(ErrorKind::Model, Place::tensor(&spec.name), "a tensor", found)
                    .in_file(&self.all[0].path));
            };
            file.tensor(config, spec).map_err(|e| e.in_file(&file.path))
        };
        specs.iter().map(one).collect::<Result<_>>().map(Params::from_tensors)
    }

    /// How many classes an encoder's head tells apart, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Model`], with the file, if its weight is no matrix.
    pub fn classes(&self) -> Result<Option<usize>> {
        let name = format!("{CLASSIFIER}.weight");
        let Some(file) = self.all.iter().find(|file| file.names.contains(&name)) else { return Ok(None) };
        let all = Params::named_in(&file.memory, &[&name]).map_err(|e| e.in_file(&file.path))?;
        match all.first().map(|tensor| &tensor.shape[..]) {
            Some([classes, _]) => Ok(Some(*classes)),
            other => {
                let found = format!("shape {:?}", other.unwrap_or_default());
                Err(Error::expected(ErrorKind::Model, Place::tensor(&name), "a matrix", found)
                    .in_file(&file.path))
            }
        }
    }

    /// The name of these files in headers.
    pub fn named(&self) -> String {
        match &self.all[..] {
            [one] => Given::named(one.memory.bytes()),
            all => {
                let each: Vec<String> = all.iter().map(|file| Given::named(file.memory.bytes())).collect();
                Given::named(each.join("\n").as_bytes())
            }
        }
    }
}

impl File {
    fn open(path: PathBuf) -> Result<Self> {
        let memory: Arc<dyn Memory> = Arc::new(Mapping::open(&path)?);
        let names = Params::names_in(memory.bytes()).map_err(|e| e.in_file(&path))?;
        Ok(Self { path, memory, names })
    }

    fn short(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The tensor as the net has it.
    fn tensor(&self, config: &Config, spec: &TensorSpec) -> Result<Tensor> {
        let place = || Place::tensor(&spec.name);
        let mut all = Params::named_in(&self.memory, &[&spec.name])?;
        let Some(mut tensor) = all.pop() else {
            return Err(Error::expected(ErrorKind::Model, place(), "a tensor", "none"));
        };
        if lies_across(config, &spec.name) && tensor.shape.len() == 2 {
            tensor = transposed(tensor)?;
        }
        if tensor.shape != spec.shape {
            let (expected, found) = (format!("shape {:?}", spec.shape), format!("{:?}", tensor.shape));
            return Err(Error::expected(ErrorKind::Model, place(), expected, found));
        }
        if let Some(other) = tensor.data.iter().find(|v| !v.is_finite()) {
            return Err(Error::expected(ErrorKind::Model, place(), "finite numbers", other));
        }
        Ok(tensor)
    }
}

/// Whether files have a matrix as `(inputs, outputs)`, as GPT-2's do.
pub(crate) fn lies_across(config: &Config, name: &str) -> bool {
    let across = ["attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"];
    config.family == Family::Gpt2 && across.iter().any(|end| name.ends_with(end))
}

/// Tensors that files have beside and that follow from others: what was rotated by, which items see which, a head that is the embedding.
fn is_passed_over(config: &Config, name: &str) -> bool {
    if config.family == Family::Bert {
        return encoder::is_passed_over(config, name);
    }
    let ends = [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"];
    ends.iter().any(|end| name.ends_with(end)) || (config.tied && name == format!("{HEAD}.weight"))
}

/// What a head that learns anew begins with.
fn tensor_of_zeros(spec: &TensorSpec) -> Result<Tensor> {
    let bytes = vec![0; 4 * spec.shape.iter().product::<usize>()];
    let data = TensorData::new(DType::F32, bytes, &[])?;
    Ok(Tensor { name: spec.name.clone(), shape: spec.shape.clone(), data })
}

/// A matrix across, in memory of its own.
pub(crate) fn transposed(tensor: Tensor) -> Result<Tensor> {
    let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
    let dtype = tensor.data.dtype();
    if dtype == DType::Int8 {
        let place = Place::tensor(&tensor.name);
        return Err(Error::expected(ErrorKind::Model, place, "f32, f16 or bf16", "int8 across"));
    }
    let (bytes, size) = (tensor.data.bytes(), dtype.bytes());
    let mut across = Vec::with_capacity(bytes.len());
    for column in 0..columns {
        for row in 0..rows {
            across.extend_from_slice(&bytes[(row * columns + column) * size..][..size]);
        }
    }
    let data = TensorData::new(dtype, across, &[])?;
    Ok(Tensor { name: tensor.name, shape: vec![columns, rows], data })
}

/// The shards that an index names, each with its tensors.
fn shards(path: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let wrong = |expected: &str, found: String| {
        Error::expected(ErrorKind::Model, "weight_map", expected, found).in_file(path)
    };
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let index: Value = serde_json::from_str(&text).map_err(|e| wrong("JSON", e.to_string()))?;
    let Some(Value::Object(map)) = index.get("weight_map") else {
        return Err(wrong("a table of files by tensors", "none".into()));
    };
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, file) in map {
        let Some(file) = file.as_str() else { return Err(wrong("names of files", file.to_string())) };
        // Beside the index, nowhere else.
        if Path::new(file).components().count() != 1 || !file.ends_with(".safetensors") {
            return Err(wrong("names of safetensors files beside it", format!("{file:?}")));
        }
        all.entry(file.to_owned()).or_default().push(name.clone());
    }
    if all.is_empty() {
        return Err(wrong("at least one file", "none".into()));
    }
    Ok(all)
}
