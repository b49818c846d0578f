//! What a spec can say of model, method and training: each key with type, range, default and explanation, declared once.
//!
//! The structs here and those of [`crate::rule`] are what is read from a spec and what the library works with; front ends walk
//! their keys (see [`crate::schema`]). What only concerns files stands with those who read them.

mod method;
mod model;
mod search;
mod train;

pub use method::{Method, Steps};
pub use model::{Conv, Mlp, Model, ModelKind, Precision, Skip};
pub use train::{Baseline, Budget, Objective, Train};
