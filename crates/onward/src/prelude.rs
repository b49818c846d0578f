//! Names that code which trains with this library needs, for `use onward::prelude::*`: the traits that others implement, the models, tasks and
//! methods that are there, and what puts them together.

pub use crate::dataset::{Dataset, Targets};
pub use crate::evaluate::{Evaluator, Local};
pub use crate::model::{Act, Activation, Builder, Conv, Mlp, Model, RowOp, Shape, Var};
pub use crate::rows::Source;
pub use crate::rule::{Method, Own, Population, RelativeActivation, Rso, Rule, TwoPoint};
pub use crate::task::{Answers, Grain, Loss, Task};
pub use crate::threads::Threads;
pub use crate::train::{Plan, Trainer};
pub use crate::{Error, ErrorKind};
