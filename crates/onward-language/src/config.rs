//! What `config.json` says of a net.

use onward::model::{Activation, RopeScaling, Rotary};
use onward::{Error, ErrorKind, Place, Result};
use serde_json::{Map, Value};
use std::fmt::Display;

/// The families of nets that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RMS norms, rotary positions, grouped queries, gated layers: Llama, Mistral, Qwen, SmolLM.
    Llama,
    /// Layer norms, learned positions, plain layers.
    Gpt2,
    /// Encoders: each item looks at all others, layer norms behind what is added, learned positions: BERT, MiniLM.
    Bert,
}

/// How an encoder's items become one answer to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over items (Reimers and Gurevych 2019, arXiv 1908.10084).
    Mean,
    /// The first item.
    First,
    /// The first item behind a map and tanh (Devlin et al. 2019, arXiv 1810.04805).
    Pooler,
}

/// What kinds of nets `model_type` may name, with their families.
const KNOWN: [(&str, Family); 6] = [
    ("llama", Family::Llama),
    ("mistral", Family::Llama),
    ("qwen2", Family::Llama),
    ("qwen3", Family::Llama),
    ("gpt2", Family::Gpt2),
    ("bert", Family::Bert),
];

/// A net's sizes and kinds, as its `config.json` says them.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The family.
    pub family: Family,
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Numbers of a token.
    pub width: usize,
    /// Hidden units of a block.
    pub inner: usize,
    /// Blocks.
    pub blocks: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, which those of queries share.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head_size: usize,
    /// Tokens of a text at most.
    pub context: usize,
    /// What norms add to the mean of squares.
    pub epsilon: f32,
    /// The rotations of queries and keys; for families that have some.
    pub rotary: Option<Rotary>,
    /// What follows the first map of a block's layer.
    pub activation: Activation,
    /// Whether the embedding is also the head.
    pub tied: bool,
    /// Biases of the maps to queries, keys and values.
    pub qkv_bias: bool,
    /// A bias of the map behind the attention.
    pub o_bias: bool,
    /// Biases of a block's layer.
    pub inner_bias: bool,
    /// Whether queries and keys of each head are normalised.
    pub qk_norm: bool,
    /// The token that texts begin with.
    pub begin: Option<u32>,
    /// The tokens that end a text.
    pub end: Vec<u32>,
    /// Kinds of items that an encoder tells apart, all of which are of the first here; 0 for families that do not.
    pub types: usize,
    /// What an encoder answers to a text.
    pub pooling: Pooling,
    /// The names of the classes that an encoder was trained for; none where there are none, or where each is called by its number.
    pub labels: Vec<String>,
}

/// A side of a net at most: beyond, no machine holds it.
const MOST: u64 = 1 << 24;

impl Config {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the key that is missing or wrong, or the architecture that is not known.
    pub fn read(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).map_err(|e| {
            Error::expected(ErrorKind::Model, "file", "JSON", format!("text that is not: {e}"))
        })?;
        let Value::Object(map) = value else {
            return Err(Error::expected(ErrorKind::Model, "file", "a JSON object", "another value"));
        };
        let keys = Keys(&map);
        let named = keys.text("model_type")?;
        let family = KNOWN.iter().find(|(name, _)| Some(*name) == named).map(|(_, family)| *family);
        let Some(family) = family else {
            let known: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
            return Err(keys.wrong(
                "model_type",
                format!("one of {}", known.join(", ")),
                named.unwrap_or("none"),
            ));
        };
        let config = match family {
            Family::Llama => llama(keys, named.unwrap_or_default())?,
            Family::Gpt2 => gpt2(keys)?,
            Family::Bert => bert(keys)?,
        };
        config.check(keys)?;
        Ok(config)
    }

    /// What an encoder answers to a text, by the text of a `1_Pooling/config.json` (sentence-transformers).
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming what is asked for and not known.
    pub(crate) fn pooled(text: &str) -> Result<Pooling> {
        let map: Map<String, Value> = serde_json::from_str(text)
            .map_err(|e| Error::expected(ErrorKind::Model, "file", "a JSON object", format!("{e}")))?;
        let (keys, known) = (Keys(&map), ["pooling_mode_mean_tokens", "pooling_mode_cls_token"]);
        let mut said = Vec::new();
        for (key, value) in &map {
            if key.starts_with("pooling_mode_") && *value == Value::Bool(true) {
                said.push(key.as_str());
            }
        }
        // Since 2025 in one word.
        match keys.text("pooling_mode")? {
            Some("mean") => said.push(known[0]),
            Some("cls") => said.push(known[1]),
            Some(other) => said.push(other),
            None => {}
        }
        match said[..] {
            [own] if own == known[0] => Ok(Pooling::Mean),
            [own] if own == known[1] => Ok(Pooling::First),
            _ => {
                let expected = format!("{} or {}, one of them", known[0], known[1]);
                Err(keys.wrong("pooling_mode", expected, said.join(", ")))
            }
        }
    }

    /// The tokens that end a text, by the text of a `generation_config.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if that is no JSON object, or its `eos_token_id` is no token.
    pub(crate) fn ends(text: &str) -> Result<Vec<u32>> {
        let map: Map<String, Value> = serde_json::from_str(text)
            .map_err(|e| Error::expected(ErrorKind::Model, "file", "a JSON object", format!("{e}")))?;
        Keys(&map).tokens("eos_token_id")
    }

    fn check(&self, keys: Keys<'_>) -> Result<()> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            let expected = format!("a divisor of the {} heads of queries", self.heads);
            return Err(keys.wrong("num_key_value_heads", expected, self.kv_heads));
        }
        if !(self.epsilon >= 0.0 && self.epsilon < 1.0) {
            return Err(keys.wrong("rms_norm_eps", "a number from 0 to 1", self.epsilon));
        }
        if let Some(token) = self.begin.iter().chain(&self.end).find(|t| **t as usize >= self.vocabulary) {
            let expected = format!("tokens below vocab_size, {}", self.vocabulary);
            return Err(keys.wrong("bos_token_id or eos_token_id", expected, token));
        }
        Ok(())
    }
}

/// The keys of a `config.json`.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn wrong(self, key: &str, expected: impl Display, found: impl Display) -> Error {
        Error::expected(ErrorKind::Model, Place::from(key), expected, found)
    }

    /// A key's value; `null` is none.
    fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn text(self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, "a text", value))
    }

    fn size_if(self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let sound = value.as_u64().filter(|n| (1..=MOST).contains(n));
        sound
            .map(|n| Some(n as usize))
            .ok_or_else(|| self.wrong(key, format!("a whole number from 1 to {MOST}"), value))
    }

    fn size(self, key: &str) -> Result<usize> {
        self.size_if(key)?.ok_or_else(|| self.wrong(key, format!("a whole number from 1 to {MOST}"), "none"))
    }

    fn number_if(self, key: &str) -> Result<Option<f32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let sound = value.as_f64().map(|v| v as f32).filter(|v| v.is_finite());
        sound.map(Some).ok_or_else(|| self.wrong(key, "a number", value))
    }

    fn number(self, key: &str) -> Result<f32> {
        self.number_if(key)?.ok_or_else(|| self.wrong(key, "a number", "none"))
    }

    fn flag(self, key: &str, otherwise: bool) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(otherwise) };
        value.as_bool().ok_or_else(|| self.wrong(key, "true or false", value))
    }

    fn token(self, value: &Value, key: &str) -> Result<u32> {
        let token = value.as_u64().and_then(|n| u32::try_from(n).ok());
        token.ok_or_else(|| self.wrong(key, "a token, or several", value))
    }

    fn tokens(self, key: &str) -> Result<Vec<u32>> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(all)) => all.iter().map(|value| self.token(value, key)).collect(),
            Some(one) => Ok(vec![self.token(one, key)?]),
        }
    }

    fn activation(self, key: &str, otherwise: &str) -> Result<Activation> {
        match self.text(key)?.unwrap_or(otherwise) {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::Gelu),
            "gelu" => Ok(Activation::GeluErf),
            "relu" => Ok(Activation::Relu),
            other => Err(self.wrong(key, "one of silu, gelu, gelu_new, gelu_pytorch_tanh, relu", other)),
        }
    }
}

fn llama(keys: Keys<'_>, kind: &str) -> Result<Config> {
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let head_size = match keys.size_if("head_dim")? {
        Some(size) => size,
        None if width.is_multiple_of(heads) => width / heads,
        None => {
            let expected = format!("a divisor of hidden_size, {width}, as there is no head_dim");
            return Err(keys.wrong("num_attention_heads", expected, heads));
        }
    };
    let qwen2 = kind == "qwen2";
    let slides = match keys.get("layer_types") {
        Some(Value::Array(all)) => all.iter().any(|own| own.as_str() != Some("full_attention")),
        _ => false,
    };
    // Texts up to the window see all that they would see without it.
    let window = match keys.size_if("sliding_window")? {
        Some(window) if keys.flag("use_sliding_window", kind == "mistral")? || slides => window,
        _ => usize::MAX,
    };
    for key in ["quantization_config", "clip_qkv", "no_rope_layers", "no_rope_layer_interval"] {
        if let Some(found) = keys.get(key) {
            return Err(keys.wrong(key, "no such key: what it says is not known here", found));
        }
    }
    if keys.number_if("partial_rotary_factor")?.is_some_and(|share| share != 1.0) {
        return Err(keys.wrong("partial_rotary_factor", "1", "another"));
    }
    let attention_bias = keys.flag("attention_bias", false)?;
    Ok(Config {
        family: Family::Llama,
        vocabulary: keys.size("vocab_size")?,
        width,
        inner: keys.size("intermediate_size")?,
        blocks: keys.size("num_hidden_layers")?,
        heads,
        kv_heads: keys.size_if("num_key_value_heads")?.unwrap_or(heads),
        head_size,
        context: keys.size_if("max_position_embeddings")?.unwrap_or(2048).min(window),
        epsilon: keys.number("rms_norm_eps")?,
        rotary: Some(rotary(keys)?),
        activation: keys.activation("hidden_act", "silu")?,
        tied: keys.flag("tie_word_embeddings", false)?,
        qkv_bias: qwen2 || attention_bias,
        o_bias: attention_bias && !qwen2,
        inner_bias: keys.flag("mlp_bias", false)?,
        qk_norm: kind == "qwen3",
        begin: keys.tokens("bos_token_id")?.first().copied(),
        end: keys.tokens("eos_token_id")?,
        types: 0,
        pooling: Pooling::Mean,
        labels: Vec::new(),
    })
}

/// The rotations and their stretching: keys of their own, or since 2025 all in one table.
fn rotary(keys: Keys<'_>) -> Result<Rotary> {
    let table = match (keys.get("rope_scaling"), keys.get("rope_parameters")) {
        (Some(Value::Object(own)), _) | (None, Some(Value::Object(own))) => Some(own),
        (None, None) => None,
        _ => return Err(keys.wrong("rope_scaling", "a table", "another value")),
    };
    let base = match (keys.number_if("rope_theta")?, table) {
        (Some(base), _) => base,
        (None, Some(own)) => Keys(own).number_if("rope_theta")?.unwrap_or(10_000.0),
        (None, None) => 10_000.0,
    };
    let Some(own) = table.map(Keys) else { return Ok(base.into()) };
    let original = |own: Keys<'_>| -> Result<u32> {
        let key = "original_max_position_embeddings";
        let items = match own.size_if(key)? {
            Some(items) => items,
            None => keys.size("max_position_embeddings")?,
        };
        Ok(items as u32)
    };
    let kind = match own.text("rope_type")? {
        Some(kind) => Some(kind),
        None => own.text("type")?,
    };
    let scaling = match kind.unwrap_or("default") {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear(own.number("factor")?),
        "llama3" => RopeScaling::Llama3 {
            factor: own.number("factor")?,
            low: own.number("low_freq_factor")?,
            high: own.number("high_freq_factor")?,
            original: original(own)?,
        },
        "yarn" => {
            if let Some(key) =
                ["mscale", "mscale_all_dim", "truncate"].into_iter().find(|key| own.get(key).is_some())
            {
                return Err(keys.wrong("rope_scaling", format!("none that says {key}"), "one that does"));
            }
            let factor = own.number("factor")?;
            let size = match own.number_if("attention_factor")? {
                Some(size) => size,
                None => 0.1 * factor.max(1.0).ln() + 1.0,
            };
            RopeScaling::Yarn {
                factor,
                fast: own.number_if("beta_fast")?.unwrap_or(32.0),
                slow: own.number_if("beta_slow")?.unwrap_or(1.0),
                original: original(own)?,
                size,
            }
        }
        other => return Err(keys.wrong("rope_scaling", "default, linear, llama3 or yarn", other)),
    };
    Ok(Rotary { base, scaling })
}

fn gpt2(keys: Keys<'_>) -> Result<Config> {
    let (width, heads) = (keys.size("n_embd")?, keys.size("n_head")?);
    if !width.is_multiple_of(heads) {
        return Err(keys.wrong("n_head", format!("a divisor of n_embd, {width}"), heads));
    }
    for (key, otherwise) in [("scale_attn_weights", true), ("scale_attn_by_inverse_layer_idx", false)] {
        if keys.flag(key, otherwise)? != otherwise {
            return Err(keys.wrong(key, otherwise, !otherwise));
        }
    }
    Ok(Config {
        family: Family::Gpt2,
        vocabulary: keys.size("vocab_size")?,
        width,
        inner: keys.size_if("n_inner")?.unwrap_or(4 * width),
        blocks: keys.size("n_layer")?,
        heads,
        kv_heads: heads,
        head_size: width / heads,
        context: keys.size_if("n_positions")?.unwrap_or(1024),
        epsilon: keys.number_if("layer_norm_epsilon")?.unwrap_or(1e-5),
        rotary: None,
        activation: keys.activation("activation_function", "gelu_new")?,
        tied: keys.flag("tie_word_embeddings", true)?,
        qkv_bias: true,
        o_bias: true,
        inner_bias: true,
        qk_norm: false,
        begin: keys.tokens("bos_token_id")?.first().copied(),
        end: keys.tokens("eos_token_id")?,
        types: 0,
        pooling: Pooling::Mean,
        labels: Vec::new(),
    })
}

fn bert(keys: Keys<'_>) -> Result<Config> {
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    if !width.is_multiple_of(heads) {
        return Err(keys.wrong("num_attention_heads", format!("a divisor of hidden_size, {width}"), heads));
    }
    match keys.text("position_embedding_type")? {
        None | Some("absolute") => {}
        Some(other) => return Err(keys.wrong("position_embedding_type", "absolute", other)),
    }
    for key in ["is_decoder", "add_cross_attention"] {
        if keys.flag(key, false)? {
            return Err(keys.wrong(key, "false, as an encoder's", true));
        }
    }
    let kind = match keys.get("architectures") {
        Some(Value::Array(all)) => all.first().and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    Ok(Config {
        family: Family::Bert,
        vocabulary: keys.size("vocab_size")?,
        width,
        inner: keys.size("intermediate_size")?,
        blocks: keys.size("num_hidden_layers")?,
        heads,
        kv_heads: heads,
        head_size: width / heads,
        context: keys.size_if("max_position_embeddings")?.unwrap_or(512),
        epsilon: keys.number_if("layer_norm_eps")?.unwrap_or(1e-12),
        rotary: None,
        activation: keys.activation("hidden_act", "gelu")?,
        tied: false,
        qkv_bias: true,
        o_bias: true,
        inner_bias: true,
        qk_norm: false,
        begin: None,
        end: Vec::new(),
        types: keys.size_if("type_vocab_size")?.unwrap_or(2),
        pooling: if kind == "BertForSequenceClassification" { Pooling::Pooler } else { Pooling::Mean },
        labels: labels(keys)?,
    })
}

/// The names of classes by their numbers; none where they only count them.
fn labels(keys: Keys<'_>) -> Result<Vec<String>> {
    let Some(Value::Object(all)) = keys.get("id2label") else { return Ok(Vec::new()) };
    let name = |class: usize| {
        let own = all.get(&class.to_string()).and_then(Value::as_str);
        own.map(str::to_owned)
            .ok_or_else(|| keys.wrong("id2label", "a name for each class from 0 on", "others"))
    };
    let names = (0..all.len()).map(name).collect::<Result<Vec<_>>>()?;
    let counted = names.iter().enumerate().all(|(class, name)| *name == format!("LABEL_{class}"));
    Ok(if counted { Vec::new() } else { names })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5,
        "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512, "rms_norm_eps": 1e-05, "bos_token_id": 1,
        "eos_token_id": [2, 3], "tie_word_embeddings": true}"#;

    fn refused(from: &str, to: &str) -> String {
        assert!(SMALL.contains(from), "{from}");
        Config::read(&SMALL.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn a_config_says_what_a_net_is() {
        let config = Config::read(SMALL).unwrap();
        assert_eq!((config.head_size, config.kv_heads, config.context), (8, 4, 2048));
        assert_eq!((config.rotary, config.end.as_slice()), (Some(10_000.0.into()), &[2, 3][..]));
        assert!(config.tied && !config.qkv_bias);
        let qwen = Config::read(&SMALL.replace("\"llama\"", "\"qwen3\", \"head_dim\": 32")).unwrap();
        assert!(qwen.qk_norm && qwen.head_size == 32);
        let scaled = r#""llama", "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#;
        let scaling = Config::read(&SMALL.replace("\"llama\"", scaled)).unwrap().rotary.unwrap();
        let wanted = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192 };
        assert_eq!(scaling, Rotary { base: 500_000.0, scaling: wanted });
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert!(refused("\"llama\"", "\"mamba\"").starts_with("model_type: expected one of llama, mistral"));
        assert_eq!(refused("512", "0"), "vocab_size: expected a whole number from 1 to 16777216, found 0");
        assert!(refused("\"num_hidden_layers\": 5,", "").starts_with("num_hidden_layers: expected"));
        assert!(refused("\"num_attention_heads\": 8", "\"num_attention_heads\": 7").contains("a divisor"));
        assert!(refused("[2, 3]", "600").contains("tokens below vocab_size"));
        assert!(refused("\"llama\"", "\"llama\", \"hidden_act\": \"mish\"").contains("found mish"));
        let odd = "\"llama\", \"rope_scaling\": {\"rope_type\": \"longrope\"}";
        assert!(refused("\"llama\"", odd).contains("found longrope"));
        assert!(Config::read("{").unwrap_err().to_string().contains("JSON"));
    }
}
