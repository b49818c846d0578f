//! A model as a folder that others load.

use crate::config::Pooling;
use crate::encoder::CLASSIFIER;
use crate::folder::{CONFIG, Folder, POOLING};
use crate::weights::{lies_across, transposed};
use onward::params::{DType, Params, Storage, Tensor, TensorData};
use onward::{Error, ErrorKind, Place, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The name of an adapter's tensors within names.
const LORA: &str = ".lora_";

impl Folder {
    /// The files of a folder with these params as the whole model, by their names: adapters are added to the maps that they stand beside, `W + alpha/rank · B A`;
    /// tensors keep the type that they have. Of an encoder with a head for classes these have `names`, or numbers where there are none.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming an adapter without its other half or its map.
    pub fn merged(
        &self,
        params: &Params,
        alpha: f32,
        names: &[String],
        metadata: &[(&str, String)],
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        let weight = format!("{CLASSIFIER}.weight");
        let head = params.tensors().iter().find(|t| t.name == weight).filter(|_| self.is_encoder());
        let mut all = Vec::new();
        for tensor in params.tensors().iter().filter(|t| !t.name.contains(LORA)) {
            let own = match adapter(params, &tensor.name)? {
                Some(halves) => with_adapter(tensor, halves, alpha)?,
                None => tensor.clone(),
            };
            let mut own = if lies_across(self.config(), &own.name) { transposed(own)? } else { own };
            if head.is_some() {
                own.name = with_head(&own.name);
            }
            all.push(own);
        }
        let mut files = self.files();
        if let Some(head) = head {
            self.describe_head(head.shape[0], names, &mut files)?;
        }
        let bytes = Params::from_tensors(all).to_safetensors(&[], metadata)?;
        files.insert("model.safetensors".into(), bytes);
        Ok(files)
    }

    /// The files of a PEFT adapter of these params, by their names; `base` is where the model is that it is of.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if there are no adapters.
    pub fn peft(
        &self,
        params: &Params,
        rank: usize,
        alpha: f32,
        base: &str,
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut all = Vec::new();
        let mut maps: Vec<&str> = Vec::new();
        for tensor in params.tensors().iter().filter(|t| t.name.contains(LORA)) {
            let map = tensor.name.split(LORA).next().and_then(|own| own.rsplit('.').next());
            maps.extend(map.filter(|map| !maps.contains(map)));
            all.push(Tensor { name: format!("base_model.model.{}", tensor.name), ..tensor.clone() });
        }
        if all.is_empty() {
            let expected = "a model with adapters (model.learns)";
            return Err(Error::expected(ErrorKind::Model, "tensors", expected, "none"));
        }
        let across = self.config().family == crate::Family::Gpt2;
        let config = json!({"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": rank,
            "lora_alpha": alpha, "target_modules": maps, "lora_dropout": 0.0, "bias": "none",
            "fan_in_fan_out": across, "inference_mode": true, "modules_to_save": null, "use_rslora": false});
        let metadata = [("format", "pt".to_owned())];
        let bytes = Params::from_tensors(all).to_safetensors(&[], &metadata)?;
        let config =
            serde_json::to_vec_pretty(&config).map_err(|e| Error::new(ErrorKind::Model, e.to_string()))?;
        Ok(BTreeMap::from([
            ("adapter_model.safetensors".into(), bytes),
            ("adapter_config.json".into(), config),
        ]))
    }

    /// Says in the files of an encoder that it has a head for classes, and how it pools.
    fn describe_head(
        &self,
        classes: usize,
        names: &[String],
        files: &mut BTreeMap<String, Vec<u8>>,
    ) -> Result<()> {
        let wrong = |e: serde_json::Error| Error::new(ErrorKind::Model, e.to_string());
        let config = files.get(CONFIG).map(Vec::as_slice).unwrap_or_default();
        let mut config: Value = serde_json::from_slice(config).map_err(wrong)?;
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| format!("LABEL_{class}"));
        config["architectures"] = json!(["BertForSequenceClassification"]);
        config["id2label"] = (0..classes).map(|class| (class.to_string(), json!(name(class)))).collect();
        config["label2id"] = (0..classes).map(|class| (name(class), json!(class))).collect();
        files.insert(CONFIG.into(), serde_json::to_vec_pretty(&config).map_err(wrong)?);
        if let (Pooling::Mean | Pooling::First, None) = (self.config().pooling, files.get(POOLING)) {
            let is_mean = self.config().pooling == Pooling::Mean;
            let pooling = json!({"word_embedding_dimension": self.config().width,
                "pooling_mode_mean_tokens": is_mean, "pooling_mode_cls_token": !is_mean});
            files.insert(POOLING.into(), serde_json::to_vec_pretty(&pooling).map_err(wrong)?);
        }
        Ok(())
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.texts().map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).collect()
    }
}

/// The name of an encoder's tensor in a file with a head beside it.
fn with_head(name: &str) -> String {
    if name.starts_with("bert.") || name.starts_with(CLASSIFIER) {
        name.into()
    } else {
        format!("bert.{name}")
    }
}

/// The halves of the adapter beside a map's weight, if it has one.
fn adapter<'a>(params: &'a Params, weight: &str) -> Result<Option<[&'a Tensor; 2]>> {
    let Some(map) = weight.strip_suffix(".weight") else { return Ok(None) };
    let half = |half: &str| {
        let name = format!("{map}{LORA}{half}.weight");
        params.tensors().iter().find(|t| t.name == name)
    };
    match (half("A"), half("B")) {
        (Some(a), Some(b)) => Ok(Some([a, b])),
        (None, None) => Ok(None),
        _ => {
            let place = Place::tensor(weight);
            Err(Error::expected(ErrorKind::Model, place, "both halves of its adapter", "one"))
        }
    }
}

/// A weight `(outputs, inputs)` with its adapter added, in the type that it has.
fn with_adapter(tensor: &Tensor, [a, b]: [&Tensor; 2], alpha: f32) -> Result<Tensor> {
    let (rank, inputs) = (a.shape[0], a.shape[1]);
    let (a, b) = (a.data.floats(), b.data.floats());
    let mut merged = tensor.data.floats().into_owned();
    let scale = f64::from(alpha) / rank as f64;
    for (output, row) in merged.chunks_exact_mut(inputs).enumerate() {
        for (input, w) in row.iter_mut().enumerate() {
            let change: f64 =
                (0..rank).map(|r| f64::from(b[output * rank + r]) * f64::from(a[r * inputs + input])).sum();
            *w = (f64::from(*w) + scale * change) as f32;
        }
    }
    let bytes = merged.iter().flat_map(|v| v.to_le_bytes()).collect();
    let data = TensorData::new(DType::F32, bytes, &[])?;
    let data = match tensor.data.dtype() {
        DType::Bf16 => data.stored_as(Storage::Bf16),
        DType::F16 => data.stored_as(Storage::F16),
        DType::F32 | DType::Int8 => data,
    };
    Ok(Tensor { name: tensor.name.clone(), shape: tensor.shape.clone(), data })
}
