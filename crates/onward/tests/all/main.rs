//! The library's tests, one program: linked once, and short ones run beside long ones.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

mod augment;
mod carries;
mod cells;
mod chance;
mod convolutions;
mod diverging;
mod elbo;
mod estimators;
mod exactness;
mod foreign;
mod given;
mod header;
mod heads;
mod holes;
mod integers;
mod judged;
mod ledger;
mod local_credit;
mod members;
mod methods;
mod online;
mod operations;
mod own_methods;
mod own_models;
mod pieces;
mod precision;
mod ragged;
mod random_graphs;
mod rates;
mod rows;
mod samples;
mod scales;
mod search;
mod settings;
mod small_sizes;
mod spiking;
mod spread;
mod state;
mod stretches;
mod tasks;
mod tensors;
mod transformer;
