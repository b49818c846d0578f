//! Specs: what a run is to do, as a TOML file that is checked to the letter.
//!
//! The structs below are the one table of keys: their comments are what `onward explain` prints, their presets and
//! ranges are what is filled in and enforced, and the starter spec lists them.

mod check;
mod defaults;
mod explain;
mod fields;
mod init;
mod kind;
mod parse;
mod search;
mod table;
#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::path::PathBuf;

use onward::Result;
use toml::Value;

pub use explain::explain;
pub use fields::{Budget, Column, Header, PerLayer, Skip, TestSize};
pub use init::starter;
use kind::{ANY, Choice, Kind, Range, above, range};
use parse::Values;
pub(crate) use parse::from_words;
use search::SearchKeys;
use table::Preset::{Computed, Is, PerMethod, Required, Unset, WithTable};
use table::{Field, Key, Only, Part, Preset, Setting, inner, join, keys, modes, variants};

keys! {
    /// What a run is to do: every choice that its result depends on.
    pub struct Spec {
        ..
        /// What is trained on and tested with.
        data: Data, in "data";
        ..
        /// The net.
        model: Model, in "model";
        ..
        /// What is to become small.
        objective: Objective, in "objective";
        ..
        /// How the net is trained.
        method: Method, in "method";
        ..
        /// How long to train, and what to write down on the way.
        train: Train, in "train";
        ..
        /// A known result that this run's is printed next to. Optional; give both keys or neither.
        baseline: Option<Baseline>, in "baseline";
        /// What the run is called: letters, digits, '-', '_' and '.', not opening with '.'.
        name: String = Computed("the spec file's name without its ending");
        /// The seed of all noise, initial weights and batches. The same spec and seed give the same result, bit for bit.
        seed: u64 = Required, 0.0..;
    }
}

keys! {
    /// What is trained on and tested with.
    pub struct Data {
        /// The training data. A relative path counts from the spec file's folder, or from the current folder when given
        /// by --set.
        path: PathBuf = Required;
        /// Data to test with; without it, some rows of `path` are held out (see `test`).
        test_path: Option<PathBuf> = Unset;
        /// The format of the data files.
        format: Format = Is("auto");
        /// Does the first row of a CSV file have the names of the columns? As it looks, by default: words are names, and so
        /// are 0, 1, … and 1, 2, … over at least four columns; what may be names or data is refused. Files to test or
        /// predict with have a header if it is this file's or looks like one.
        header: Header = Is("auto");
        /// The column that holds the target: a string is its name, a whole number its position among all columns of the
        /// file, counted from 0. Without it the one named "label", else the last. Columns that only say which row it is
        /// (pandas' index, an unnamed first column) are left out and named.
        label: Option<Column> = Unset, 0.0..;
        /// What the target is.
        target: Target = Is("class");
        /// The shape of a row as [height, width, channels]; without it, what the file says, or one plain vector.
        shape: Option<[usize; 3]> = Unset, 1.0..=65536.0;
        /// Every feature is multiplied by this first.
        scale: f64 = Is("1.0");
        /// How features are centred, with the numbers of the training rows alone. Targets that are values are centred and
        /// scaled too, unless it is "none"; losses and answers are told in the targets' own units all the same.
        center: Center = Is("auto");
        /// The rows held out for testing where there is no `test_path`: a fraction of all, or how many.
        test: TestSize = Is("0.2");
        /// The key of the random split into training and test rows; independent of the seed, so that runs with different
        /// seeds are tested on the same rows.
        split: u64 = Is("0"), 0.0..;
        /// Train on the first rows only: how many.
        limit: Option<usize> = Unset, 1.0..;
    }
}

modes! {
    /// The format of a data file.
    pub enum Format {
        /// By the file's ending and first bytes.
        Auto = "auto",
        /// Comma-separated values.
        Csv = "csv",
        /// IDX, as MNIST comes.
        Idx = "idx",
        /// One NumPy array.
        Npy = "npy",
        /// Several NumPy arrays.
        Npz = "npz",
        /// Parquet.
        Parquet = "parquet",
    }
}

modes! {
    /// What the target is.
    pub enum Target {
        /// One of several classes.
        Class = "class",
        /// A number.
        Value = "value",
    }
}

modes! {
    /// How features are centred.
    pub enum Center {
        /// As "standardize" where a row is a plain vector (a table), not at all where it is an image.
        Auto = "auto",
        /// Not at all, nor are targets.
        None = "none",
        /// The one mean of all features of the training rows is subtracted.
        Mean = "mean",
        /// Each feature's mean is subtracted and its standard deviation divided by.
        Standardize = "standardize",
    }
}

keys! {
    /// The net.
    pub struct Model {
        ..
        /// The kind of net, with its own keys.
        kind: ModelKind, in "";
        /// What follows every layer but the last.
        activation: Activation = Is("relu");
        /// The arithmetic of its forward passes, in training and after.
        precision: Precision = Is("f32");
        /// What numbers its params may be.
        storage: Storage = Is("f32");
    }
}

modes! {
    /// What numbers params may be.
    pub enum Storage {
        /// All of single precision.
        F32 = "f32",
        /// Only those of bfloat16: each step is rounded to one of two neighbours by chance, right in the mean. The model's
        /// file is half as long.
        Bf16 = "bf16",
    }
}

modes! {
    /// The arithmetic of forward passes; what is between products stays in single precision, and so do the params.
    pub enum Precision {
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

variants! {
    /// The kind of net.
    pub enum ModelKind by "kind" {
        /// Dense layers only.
        Mlp = "mlp",
        /// 3×3 convolutions, then one dense layer.
        Conv = "conv",
    }
}

keys! {
    /// A net of dense layers.
    pub struct Mlp {
        /// The widths of the hidden layers; [] for a linear model.
        hidden: Vec<usize> = Required, 1.0..=65536.0;
    }
}

keys! {
    /// A net of 3×3 convolutions.
    pub struct Conv {
        /// The channels of each convolution, one entry per layer.
        channels: Vec<usize> = Required, 1.0..=65536.0;
        /// The layers, counted from 0, that a 2×2 average pool follows.
        pool_after: Vec<usize> = Is("[]"), 0.0..;
        /// The layers, counted from 0, that a 2×2 max pool follows.
        max_pool_after: Vec<usize> = Is("[]"), 0.0..;
        /// Normalise each channel over the batch after every convolution.
        batch_norm: bool = Is("true");
        /// One entry per layer: the earlier layer, counted from 0, whose output is added to this layer's, or -1 for none.
        residual: Vec<Skip> = Computed("-1 for every layer"), -1.0..;
        /// What turns the last feature map into the dense layer's input.
        global_pool: GlobalPool = Is("average");
        /// Do convolutions have a bias?
        bias: bool = Computed("false with batch_norm, true without");
    }
}

modes! {
    /// What follows every layer but the last.
    pub enum Activation {
        /// max(0, x)
        Relu = "relu",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// The Gaussian error linear unit.
        Gelu = "gelu",
        /// -1 or 1.
        Sign = "sign",
        /// 0 or 1.
        Step = "step",
    }
}

modes! {
    /// What turns the last feature map into the dense layer's input.
    pub enum GlobalPool {
        /// Each channel's average.
        Average = "average",
        /// Each channel's maximum.
        Max = "max",
        /// Nothing: every value is an input.
        None = "none",
    }
}

keys! {
    /// What is to become small.
    pub struct Objective {
        /// The loss of one sample.
        loss: Loss = Is("cross-entropy");
    }
}

modes! {
    /// The loss of one sample.
    pub enum Loss {
        /// The negative log-probability of the right class.
        CrossEntropy = "cross-entropy",
        /// 0 if the class is right, 1 if it is wrong.
        ZeroOne = "zero-one",
        /// The squared distance to the target.
        SquaredError = "squared-error",
    }
}

keys! {
    /// How the net is trained.
    pub struct Method {
        ..
        /// The method, with its own keys.
        kind: MethodKind, in "";
        ..
        /// How estimates become steps. A search's steps are its strategy's own.
        steps: Option<Steps>, in "", only Only { selector: "name", choices: MethodKind::SINGLE };
        /// The size of the perturbations: one number, or (relative-activation and rso only) one per layer. For rso a multiple of
        /// each layer's own, the standard deviation of its initial weights; for a search that of the first candidates,
        /// relative to the scale that each tensor begins with.
        sigma: PerLayer<f64> = PerMethod, above(0.0);
    }
}

keys! {
    /// How estimates become steps.
    pub struct Steps {
        /// The learning rate; for rso what `sigma` is multiplied by, so that the schedule is that of the changes' size.
        rate: f64 = PerMethod, above(0.0);
        /// How much of the last step is kept in the next.
        momentum: f64 = PerMethod, 0.0..1.0;
        /// How an estimate becomes a step.
        scaling: Scaling = PerMethod;
        /// How the learning rate changes over the run.
        schedule: Schedule = PerMethod;
        /// The learning rate at the end, as a fraction of `rate`; of no effect with a constant schedule.
        final_rate: f64 = PerMethod, 0.0..=1.0;
        /// Steps over which the learning rate rises linearly from 0 at the start.
        warmup: u64 = Is("0"), 0.0..;
    }
}

variants! {
    /// The method that trains the net.
    pub enum MethodKind by "name" {
        /// Perturbs layer outputs, each sample being its own experiment, and moves towards what lowered its loss.
        RelativeActivation = "relative-activation",
        /// Perturbs the weights of a population of nets and moves towards the better ones.
        Population = "population",
        /// Compares the loss at two opposite points of weight space.
        TwoPoint = "two-point",
        /// Visits one weight after the other and keeps the best of three values; `train.epochs` counts cycles of such visits.
        Rso = "rso",
        ..
        /// Searches among whole sets of weights, by one of the strategies for black boxes.
        Search(SearchKeys),
    }
}

keys! {
    /// The keys of rso.
    pub struct Rso {
        /// What each weight loses of itself whenever it is visited.
        decay: f64 = Is("0.0001"), 0.0..1.0;
        /// Which layer's weights are visited first.
        order: LayerOrder = Is("last-first");
        /// How many visits share a batch; after the first of them the loss that was accepted is compared with two others.
        hold: usize = Is("1"), 1.0..=4294967295.0;
    }
}

modes! {
    /// What a strategy that keeps a best point compares the next candidates with.
    pub enum Incumbent {
        /// That point's loss on the candidates' own batch.
        Anew = "anew",
        /// The loss that it once had: for losses without noise.
        Remembered = "remembered",
    }
}

modes! {
    /// Which layer's weights are visited first.
    pub enum LayerOrder {
        /// The last one's.
        LastFirst = "last-first",
        /// The first one's.
        FirstFirst = "first-first",
    }
}

keys! {
    /// The keys of relative-activation.
    pub struct RelativeActivation {
        /// Antithetic pairs of perturbations for each sample and layer: one number, or one per layer; a layer with 0 keeps
        /// its initial weights. Orthogonal draws need no more than the layer's width rounded up to a power of two.
        directions: PerLayer<usize> = PerMethod, 0.0..=65536.0;
        /// How the perturbations of a sample are drawn.
        draws: Draws = Is("orthogonal");
        /// Which layers are perturbed in a step.
        order: Order = Is("together");
        /// Where the perturbations act: one word, or one per layer.
        space: PerLayer<Space> = Is("activation");
        /// The distribution of independent draws and of low-rank factors.
        noise: Noise = Is("sign");
        /// The share of each batch's samples that all layers but the last are perturbed for, chosen by how much their
        /// answers have to change; what they give is weighted so that the mean is the batch's.
        focus: f64 = Is("1.0"), 0.0..=1.0;
    }
}

keys! {
    /// The keys of population.
    pub struct Population {
        /// How many perturbed nets are evaluated in each step; an antithetic pair counts as two.
        members: usize = PerMethod, 2.0..=1e6;
        /// The rank of each weight matrix's perturbation.
        rank: usize = Is("1"), 1.0..=64.0;
        /// How members share their noise.
        pairing: Pairing = Is("antithetic");
        /// What becomes of the members' losses before they weigh the noise.
        shaping: Shaping = Is("centred-rank");
        /// The distribution of the noise.
        noise: Noise = Is("sign");
        /// How many samples of the batch each member sees; 0 for all.
        share: usize = Is("0"), 0.0..=4294967295.0;
    }
}

keys! {
    /// The keys of two-point.
    pub struct TwoPoint {
        /// Pairs of opposite points that are compared in each step.
        directions: usize = PerMethod, 1.0..=1e6;
        /// The distribution of the noise.
        noise: Noise = Is("sign");
    }
}

modes! {
    /// How an estimate becomes a step.
    pub enum Scaling {
        /// As it is.
        None = "none",
        /// Each number is divided by the root of its mean square, as Adam does.
        Adam = "adam",
    }
}

modes! {
    /// How the learning rate changes over the run.
    pub enum Schedule {
        /// Not at all.
        Constant = "constant",
        /// Along a straight line.
        Linear = "linear",
        /// Along half a cosine.
        Cosine = "cosine",
    }
}

modes! {
    /// How the perturbations of a sample are drawn.
    pub enum Draws {
        /// At right angles to each other.
        Orthogonal = "orthogonal",
        /// Independently.
        Independent = "independent",
        /// At right angles to each other, over blocks of neighbouring positions of one channel (as many blocks as there are
        /// directions for; without positions, over single numbers) and without what the next layer cannot see.
        Blocks = "blocks",
    }
}

modes! {
    /// Which layers are perturbed in a step.
    pub enum Order {
        /// All layers.
        Together = "together",
        /// One layer, the next in the next step.
        InTurn = "in-turn",
    }
}

modes! {
    /// Where perturbations act.
    pub enum Space {
        /// On a layer's output.
        Activation = "activation",
        /// On a layer's weights, through low-rank factors.
        LowRank = "low-rank",
    }
}

modes! {
    /// The distribution of noise.
    pub enum Noise {
        /// -1 or 1.
        Sign = "sign",
        /// A centred binomial count: small integers, near-normal.
        Binomial = "binomial",
        /// The normal distribution.
        Normal = "normal",
    }
}

modes! {
    /// How members share their noise.
    pub enum Pairing {
        /// In pairs of opposite sign.
        Antithetic = "antithetic",
        /// Not at all.
        OneSided = "one-sided",
    }
}

modes! {
    /// What becomes of the members' losses before they weigh the noise.
    pub enum Shaping {
        /// Their ranks, spread evenly around 0.
        CentredRank = "centred-rank",
        /// Their distance to the mean in standard deviations.
        ZScore = "z-score",
    }
}

keys! {
    /// How long to train, and what to write down on the way.
    pub struct Train {
        ..
        /// How long to train.
        budget: Budget, in "";
        /// Samples per step.
        batch: usize = Is("128"), 1.0..;
        /// Steps between two evaluations on the test rows; 0 for about once per epoch.
        eval_every: u64 = Is("0"), 0.0..;
        /// Steps between two snapshots of the whole state.
        snapshot_every: u64 = Is("500"), 1.0..;
        /// Steps between two digests of the parameters.
        digest_every: u64 = Is("16"), 1.0..;
    }
}

keys! {
    /// The keys of the budget.
    struct BudgetKeys {
        /// How often all training rows are seen. Give `epochs` or `steps`, not both.
        epochs: Option<f64> = Unset, (Bound::Excluded(0.0), Bound::Included(1e9));
        /// How many steps are taken. Give `epochs` or `steps`, not both.
        steps: Option<u64> = Unset, 1.0..;
    }
}

keys! {
    /// A known result that this run's is printed next to.
    pub struct Baseline {
        /// Whose result it is.
        name: String = WithTable;
        /// The share of test rows that it gets right.
        accuracy: f64 = WithTable, 0.0..=1.0;
    }
}

/// Every key, top-level ones first (as TOML wants them).
fn all_keys() -> Vec<Key> {
    let mut keys = Spec::keys("", None);
    keys.sort_by_key(|key| !key.section.is_empty());
    keys
}

impl Spec {
    /// The spec as run: every key explicit, paths absolute. Parses back to an equal spec.
    pub fn to_toml(&self) -> String {
        let mut pairs = self.write("");
        pairs.sort_by_key(|(section, ..)| !section.is_empty());
        let mut text = String::new();
        let mut current = "";
        for (section, name, value) in pairs {
            if section != current {
                text += &format!("\n[{section}]\n");
                current = section;
            }
            text += &format!("{name} = {value}\n");
        }
        text
    }
}
