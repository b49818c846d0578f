//! Where probes act: on weights (see [`crate::model::WeightSpace`]) or on the outputs of a model's stages.

mod activation;
mod coordinate;
mod credit;
mod differences;
mod directions;
mod focus;
mod influence;
mod local;
mod probes;
mod samples;
mod twins;

pub use activation::{ActivationPlan, LayerPlan, LayerSpace, derivative_at_output};
pub(crate) use activation::{Probing, derivative_by_output, derivative_by_responses};
pub use coordinate::{Acceptance, Choices, CoordinatePlan, STATISTICS_ROWS, changes, moved};
pub use credit::Derivative;
pub(crate) use credit::{Credit, Stretch};
pub(crate) use differences::{Again, losses};
pub use differences::{Differences, Places};
pub use directions::Directions;
pub use focus::Focus;
pub(crate) use influence::Influence;
pub use influence::{OnlinePlan, Streams};
pub(crate) use local::{Descent, Reached, credit_at_answer};
pub use local::{LocalPlan, Samples};
pub(crate) use probes::{NoisyTensor, Probes, Sum};
pub(crate) use twins::{Age, hand_on, read_at_bursts, signs};
pub use twins::{TwinNoise, TwinPlan};
