//! Onward trains models with forward passes only.

pub mod dataset;
pub mod error;
pub use error::{Error, ErrorKind, Result};
pub mod evaluate;
pub mod kernel;
pub mod ledger;
pub mod model;
pub mod noise;
pub mod objective;
pub mod params;
pub mod rule;
pub mod space;
pub mod train;
