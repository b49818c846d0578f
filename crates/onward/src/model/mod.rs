//! Models: graphs of operations that code builds once ([`Model`]), and how they run over a [`Context`].
//!
//! Probes act at sites, behind linear maps; what follows from a site is found in the graph, and it alone runs again.

mod act;
mod chain;
mod context;
mod dense;
mod graph;
mod integer;
mod low_rank;
mod lying;
mod norm;
mod numbers;
mod probe;
mod rate;
mod recurrent;
mod spiking;
mod spread;
mod trace;
mod vae;
mod weights;

pub use act::Act;
pub use chain::{Activation, Conv, GlobalPool, Mlp, WeightInit};
pub use context::Context;
pub use graph::{
    Adapter, Attention, Builder, Carried, Cell, Chance, Cut, Function, Graph, Lif, Model, Operation,
    Pairwise, Patch, Reduction, RopeScaling, Rotary, RowOp, Shape, Var,
};
pub(crate) use graph::{Apart, Flow, Groups, Link, Map, NOWHERE, Norm, Sample, softmax};
pub use integer::IntegerMlp;
pub(crate) use low_rank::{Neighbours, SharedProduct};
pub use norm::NORM_EPSILON;
pub use numbers::Numbers;
pub(crate) use numbers::{BufferPool, BufferPools};
pub use probe::{Member, Probe, TensorKeys, WeightSpace};
pub use rate::{Rate, Rated};
pub use recurrent::{CellKind, Recurrent};
pub use spiking::{Coding, SpikeCounts, Spiking};
pub(crate) use spread::{Pairs, Spread};
pub(crate) use trace::After;
pub(crate) use trace::{LinkKind, Trace};
pub use trace::{Norms, Statistics};
pub use vae::Vae;
pub use weights::Weights;
pub(crate) use weights::{Packing, Spare};
