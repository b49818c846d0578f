//! The table `[model]`.

use crate::kernel;
use crate::ledger::Numerics;
use crate::model::{self, Activation, CellKind, Coding, GlobalPool, Lif, WeightInit};
use crate::params::Storage;
use crate::schema::{Field, Kind, Preset, Range, Value, Values, is};
use crate::{Error, ErrorKind, Result, choices, keys, variants};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

keys! {
    /// The net.
    pub struct Model {
        ..
        /// The kind of net, with its own keys.
        kind: ModelKind, in "";
        /// What follows every layer but the last.
        activation: Activation = is(Activation::Relu);
        /// The arithmetic of its forward passes, in training and after.
        precision: Precision = is(Precision::F32);
        /// What numbers its params may be.
        storage: Storage = is(Storage::F32);
        /// A safetensors file that the params begin as, with a tensor of each name and shape of the net's, in f32, f16, bf16 or int8 with scales;
        /// what batch normalisations have kept beside is passed over. For nets of kind "spiking" also a NIR file. Without it, params begin as the seed says.
        from: Option<PathBuf> = Preset::Unset;
    }
}

choices! {
    /// The arithmetic of forward passes; what is between products stays in single precision, and so do the params.
    pub enum Precision default F32 {
        /// Single precision: the same bits on every processor.
        F32 = "f32",
        /// Products of bfloat16 numbers, sums in single precision: products are twice as fast where the processor has
        /// instructions for them. A run that begins on another kind of processor may have other last bits; one that has
        /// begun keeps its bits on all of them.
        Bf16 = "bf16",
        /// Products of 8-bit integers, with a scale per output channel and per row, sums in 32-bit integers: products are up
        /// to four times as fast, with the same bits on every processor.
        Int8 = "int8",
    }
}

impl Precision {
    /// The kernel precision that this setting means on this machine.
    pub fn here(self) -> kernel::Precision {
        match self {
            Self::F32 => kernel::Precision::F32,
            Self::Bf16 => kernel::Precision::bf16(),
            Self::Int8 => kernel::Precision::Int8,
        }
    }

    /// The kernel precision that this setting means in a run begun with these numerics, or on this machine where they are not known.
    ///
    /// # Errors
    /// [`ErrorKind::Ledger`] if they are none of this precision.
    pub fn begun(self, numerics: Option<&Numerics>) -> Result<kernel::Precision> {
        let own = self.here();
        let name = match numerics {
            // A device's are its evaluator's business; what is worked out here is as on this machine.
            None | Some(Numerics::Device(_)) => return Ok(own),
            Some(Numerics::Exact(name)) => name,
        };
        let of_own_name = kernel::Precision::ALL.into_iter().filter(|p| p.name() == own.name());
        of_own_name.clone().find(|p| p.arithmetic() == name).ok_or_else(|| {
            let known: Vec<&str> = of_own_name.map(kernel::Precision::arithmetic).collect();
            let expected = format!("one of {}", known.join(", "));
            Error::expected(ErrorKind::Ledger, "the ledger's arithmetic", expected, name)
        })
    }
}

variants! {
    /// The kind of net.
    pub enum ModelKind by "kind" {
        /// Dense layers only.
        Mlp = "mlp",
        /// 3×3 convolutions, then one dense layer.
        Conv = "conv",
        /// Recurrent cells, then dense layers: for rows in the order of time (`data.streams`), or rows of several items.
        Recurrent = "recurrent",
        /// Dense layers of whole numbers: weights and activations of bytes, for method.name "integers".
        Integer = "integer",
        /// Leaky neurons that fire, over steps of time.
        Spiking = "spiking",
        /// A variational autoencoder with categorical latents, for objective.loss "elbo".
        Vae = "vae",
        /// The net of an ONNX file, which begins with the file's weights.
        Onnx = "onnx",
        /// A language model in a folder, which begins with its weights: Llama's family and GPT-2, and encoders such as BERT, for data of texts.
        Language = "language",
    }
}

keys! {
    /// A net of dense layers.
    pub struct Mlp {
        /// The widths of the hidden layers; [] for a linear model.
        hidden: Vec<usize> = Preset::Required, 1.0..=65536.0;
        /// Add what enters a hidden layer to what it answers, wherever both are of one width?
        residual: bool = is(false);
        /// The standard deviation of the initial weights.
        init: WeightInit = is(WeightInit::He);
    }
}

keys! {
    /// A recurrent net.
    pub struct Recurrent {
        /// The kind of its cells.
        cell: CellKind = is(CellKind::Gru);
        /// The units of each layer of cells.
        units: Vec<usize> = is(vec![Value::Int(32)]), 1.0..=65536.0;
        /// The widths of the dense layers between the cells and the answer.
        hidden: Vec<usize> = is(vec![]), 1.0..=65536.0;
        /// Of rows of tokens: how many there are. Each is embedded, and each answered with as many numbers.
        vocabulary: Option<usize> = Preset::Unset, 1.0..=16_777_216.0;
    }
}

keys! {
    /// A net of dense layers of whole numbers.
    pub struct Integer {
        /// The widths of the hidden layers; [] for a linear model.
        hidden: Vec<usize> = Preset::Required, 1.0..=65536.0;
        /// About how far from 0 weights begin.
        spread: u32 = is(6), 1.0..=127.0;
        /// What one unit of the input is in whole numbers, which go from -127 to 127.
        unit: f32 = is(32.0), (Bound::Excluded(0.0), Bound::Included(127.0));
    }
}

keys! {
    /// A net of leaky neurons that fire.
    pub struct Spiking {
        /// The neurons of each layer.
        hidden: Vec<usize> = Preset::Required, 1.0..=65536.0;
        /// How a row's numbers come in.
        coding: Coding = is(Coding::Current);
        /// The steps of a row; where its items are the steps, this says nothing.
        steps: usize = is(16), 1.0..=65536.0;
        /// How far a membrane goes towards what comes in, at every step: the length of a step as a share of the time constant.
        leak: f32 = is(0.25), (Bound::Excluded(0.0), Bound::Included(1.0));
        /// The membrane above which a neuron fires and begins anew at 0.
        threshold: f32 = is(1.0);
    }
}

keys! {
    /// A variational autoencoder with categorical latents.
    pub struct Vae {
        /// The widths of the encoder's hidden layers; [] for a linear one.
        encoder: Vec<usize> = is(vec![]), 1.0..=65536.0;
        /// The widths of the decoder's hidden layers; [] for a linear one.
        decoder: Vec<usize> = is(vec![]), 1.0..=65536.0;
        /// How many numbers are drawn for a row.
        latents: usize = is(20), 1.0..=65536.0;
        /// How many values each of these may have.
        values: usize = is(10), 2.0..=65536.0;
    }
}

keys! {
    /// The net of an ONNX file.
    pub struct Onnx {
        /// The file. A run keeps a copy of it. Where it has several outputs, the first is the answer, or those that the heads of the objective name.
        path: PathBuf = Preset::Required;
    }
}

keys! {
    /// A language model in a folder.
    pub struct Language {
        /// The folder with `config.json`, `tokenizer.json` and the weights as safetensors. A run keeps a copy of all of them.
        path: PathBuf = Preset::Required;
        /// What learns.
        learns: Learns = is(Learns::All);
        /// The blocks that learn, counted from the answer; 0 for all, and with them the embedding.
        top: usize = is(0), 0.0..=65536.0;
        /// Do the factors of norms learn too?
        norms: bool = is(false);
        /// The rank of low-rank adapters (LoRA), where these learn.
        rank: usize = is(8), 1.0..=65536.0;
        /// Adapters are multiplied by this over their rank.
        alpha: f32 = is(16.0);
        /// The maps that have adapters, by the last part of their names in the folder, where these learn.
        adapted: Vec<String> = is(["q_proj", "v_proj", "c_attn", "query", "value"].map(Value::from).to_vec());
        /// Of a model whose tokens follow each other and of texts that have classes: a word for each class, in their order, with the blank before it. The
        /// logits of their first tokens behind a text (`data.template`) are the classes'.
        label_words: Option<Vec<String>> = Preset::Unset;
    }
}

choices! {
    /// What of a language model learns.
    pub enum Learns default All {
        /// The maps of blocks, and the head.
        All = "all",
        /// The maps of blocks.
        Maps = "maps",
        /// The head.
        Head = "head",
        /// Low-rank adapters beside maps of blocks.
        Adapters = "adapters",
        /// Low-rank adapters, and the head.
        AdaptersAndHead = "adapters-and-head",
        /// The first maps of low-rank adapters whose second maps stay as they begin, random: for credit at their few answers (`differences_at = "layers"`).
        Bottlenecks = "bottlenecks",
        /// The same, and the head.
        BottlenecksAndHead = "bottlenecks-and-head",
    }
}

keys! {
    /// A net of 3×3 convolutions.
    pub struct Conv {
        /// The channels of each convolution, one entry per layer.
        channels: Vec<usize> = Preset::Required, 1.0..=65536.0;
        /// The layers, counted from 0, that a 2×2 average pool follows.
        pool_after: Vec<usize> = is(vec![]), 0.0..;
        /// The layers, counted from 0, that a 2×2 max pool follows.
        max_pool_after: Vec<usize> = is(vec![]), 0.0..;
        /// Normalise each channel over the batch after every convolution.
        batch_norm: bool = is(true);
        /// One entry per layer: the earlier layer, counted from 0, whose output is added to this layer's, or -1 for none. It is averaged where there
        /// are pools between, and has a linear map and a norm of its own where the channels differ.
        residual: Vec<Skip> = Preset::Computed { how: "-1 for every layer", is: no_residual }, -1.0..;
        /// What turns the last feature map into the dense layer's input.
        global_pool: GlobalPool = is(GlobalPool::Average);
        /// Do convolutions have a bias?
        bias: bool = Preset::Computed { how: "false with batch_norm, true without", is: own_bias };
    }
}

fn no_residual(values: &Values) -> Option<Value> {
    let layers = values.get("model", "channels")?.as_list()?.len();
    Some(Value::List(vec![Value::Int(-1); layers]))
}

fn own_bias(values: &Values) -> Option<Value> {
    bool::read(values.get("model", "batch_norm")).map(|normalised| Value::Bool(!normalised))
}

/// The layer, if any, whose output is added to another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// None (-1 in a spec).
    None,
    /// The output of this earlier layer, counted from 0.
    From(usize),
}

impl Skip {
    fn source(self) -> Option<usize> {
        if let Self::From(layer) = self { Some(layer) } else { None }
    }
}

impl Field for Skip {
    fn kind(range: Range) -> Kind {
        Kind::Int(range)
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Int(-1) => Some(Self::None),
            layer => usize::read(Some(layer)).map(Self::From),
        }
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::None => Some(Value::Int(-1)),
            Self::From(layer) => layer.value(),
        }
    }
}

impl Model {
    /// Checks that keys do not contradict each other, which needs neither data nor batch.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] naming the key.
    pub fn check(&self) -> Result<()> {
        match &self.kind {
            ModelKind::Mlp(_) | ModelKind::Recurrent(_) | ModelKind::Spiking(_) | ModelKind::Vae(_) => Ok(()),
            ModelKind::Integer(_) if self.activation != Activation::Relu => {
                let expected = "none, as sums are held within 0 and 127";
                Err(Error::expected(ErrorKind::Spec, "model.activation", expected, self.activation.name()))
            }
            ModelKind::Integer(_) if (self.precision, self.storage) != (Precision::F32, Storage::F32) => {
                let expected = "none of its own: whole numbers are exact in single precision";
                Err(Error::expected(ErrorKind::Spec, "model.precision or model.storage", expected, "another"))
            }
            ModelKind::Integer(_) => Ok(()),
            ModelKind::Conv(conv) => conv.on([1, 1, 1], self.activation, 1).check_layers(),
            ModelKind::Onnx(_) | ModelKind::Language(_) if self.activation != Activation::Relu => {
                let expected = "none, as the file has its own";
                Err(Error::expected(ErrorKind::Spec, "model.activation", expected, self.activation.name()))
            }
            ModelKind::Onnx(_) | ModelKind::Language(_) => Ok(()),
        }
    }

    /// Whether the net is read from a file, which also gives its first params.
    pub(crate) fn is_in_a_file(&self) -> bool {
        matches!(self.kind, ModelKind::Onnx(_) | ModelKind::Language(_))
    }

    /// Builds the net for inputs of shape `[height, width, channels]` and this many outputs.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] if the parts do not fit together, or if the net is in a file: who reads that makes a
    /// [`crate::evaluate::Local`] of it.
    pub fn build(&self, input: [usize; 3], outputs: usize) -> Result<Arc<dyn model::Model>> {
        Ok(match &self.kind {
            ModelKind::Mlp(mlp) => {
                let widths = [&[input.iter().product()], mlp.hidden.as_slice(), &[outputs]].concat();
                let net = model::Mlp::new(&widths, self.activation)?;
                Arc::new(net.residual(mlp.residual).init(mlp.init))
            }
            ModelKind::Conv(conv) => Arc::new(conv.on(input, self.activation, outputs).checked()?),
            ModelKind::Recurrent(own) => Arc::new(model::Recurrent {
                cell: own.cell,
                units: own.units.clone(),
                hidden: own.hidden.clone(),
                vocabulary: own.vocabulary,
                activation: self.activation,
                outputs: own.vocabulary.unwrap_or(outputs),
            }),
            ModelKind::Integer(own) => Arc::new(model::IntegerMlp {
                hidden: own.hidden.clone(),
                outputs,
                spread: own.spread as u8,
                unit: own.unit,
            }),
            ModelKind::Spiking(own) => Arc::new(own.net(outputs)),
            ModelKind::Vae(vae) => Arc::new(model::Vae {
                encoder: vae.encoder.clone(),
                decoder: vae.decoder.clone(),
                latents: vae.latents,
                values: vae.values,
                activation: self.activation,
            }),
            ModelKind::Onnx(Onnx { path }) | ModelKind::Language(Language { path, .. }) => {
                let expected = "a net that follows from its settings";
                let found = format!("one that is in a file: {}", path.display());
                return Err(Error::expected(ErrorKind::Spec, "model.kind", expected, found));
            }
        })
    }
}

impl Spiking {
    /// The net for rows that are answered with so many numbers.
    pub fn net(&self, outputs: usize) -> model::Spiking {
        model::Spiking {
            coding: self.coding,
            steps: self.steps,
            hidden: self.hidden.clone(),
            lif: Lif { leak: self.leak, threshold: self.threshold },
            outputs,
        }
    }
}

impl Conv {
    fn on(&self, input: [usize; 3], activation: Activation, outputs: usize) -> model::Conv {
        model::Conv {
            input,
            channels: self.channels.clone(),
            average_pool_after: self.pool_after.clone(),
            max_pool_after: self.max_pool_after.clone(),
            batch_norm: self.batch_norm,
            bias: self.bias,
            residual: self.residual.iter().map(|skip| skip.source()).collect(),
            activation,
            global_pool: self.global_pool,
            outputs,
        }
    }
}
