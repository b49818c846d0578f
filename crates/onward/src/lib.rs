#![doc = include_str!("../../../README.md")]
//!
//! # Modules
//!
//! In reading order, each using only those before it: [`error`], [`mod@file`], [`kernel`], [`noise`], [`params`], [`dataset`], [`model`],
//! [`objective`], [`space`], [`evaluate`], [`study`], [`ledger`], [`rule`], [`train`], [`theory`].

pub mod dataset;
pub mod error;
pub mod evaluate;
pub mod file;
pub mod kernel;
pub mod ledger;
pub mod model;
pub mod noise;
pub mod objective;
pub mod params;
pub mod rule;
pub mod space;
pub mod study;
pub mod theory;
pub mod train;

pub use error::{Error, ErrorKind, Result};
