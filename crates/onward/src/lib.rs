//! Onward trains models with forward passes only.

pub mod dataset;
pub mod error;
pub use error::{Error, ErrorKind, Result};
pub mod kernel;
pub mod noise;
pub mod evaluate;
pub mod ledger;
pub mod model;
pub mod objective;
pub mod params;
pub mod rule;
pub mod space;
pub mod train;
