//! Training with integers alone: int8 weights and activations, int32 sums, no floating point and no backward pass.
//!
//! ```
//! use onward_integer::{IntegerNet, NetShape, Significance, ThreadCount};
//!
//! // Which of two numbers is larger?
//! let rows: Vec<i8> = (0..64i16).map(|i| (i * 37 % 101) as i8).collect();
//! let labels: Vec<u8> = rows.chunks(2).map(|row| u8::from(row[1] > row[0])).collect();
//! let mut net = IntegerNet::new(&NetShape { widths: vec![2, 16, 2], spread: 6, seed: 1 })?;
//! let significance = Significance { alpha: 65_536, fall: 16, steps: 200, memory: 4 };
//! for step in 0..200 {
//!     net.step(&rows, &labels, significance.at(step), ThreadCount::ONE)?;
//! }
//! assert!(net.judge(&rows, &labels, ThreadCount::ONE)?.right >= 31);
//! # Ok::<(), onward_integer::InputError>(())
//! ```
//!
//! - [`IntegerNet`]: linear maps with a narrowing to 0…127 after each but the last, whose sums are logits.
//! - [`Bytes`]: a minGRU with exact influence and such a net behind it, which learns at every byte of many streams.
//!
//! Each operation is judged alone, by forward evaluations. The head's credit is known: one-hot − share ([`judge`]). One more of a linear map's input changes
//! its answers by a column of its weights, whatever the input is; held against the credit there, that is the input's credit. A narrowing is evaluated one
//! unit higher and one lower. One more of a weight changes an answer by what the weight reads; held against the credit and summed over items
//! that is the weight's score, and it moves by ±1 where its scores are significant ([`Significance`]).
//!
//! No function in here names a floating-point type, and a test disassembles the loop. Sums are exact or saturate at a stated place (and are counted,
//! [`Saturated`]), so a training gives the same bits on every machine and for any number of threads.

#![forbid(unsafe_code)]
#![deny(
    clippy::float_arithmetic,
    clippy::float_cmp,
    clippy::cast_precision_loss,
    clippy::lossy_float_literal
)]

mod bytes;
mod cell;
mod error;
mod evidence;
pub mod fixed;
mod linear;
mod net;
#[cfg(test)]
mod own_tests;
pub mod random;
mod snapshot;
mod softmax;
pub mod text;
mod threads;

pub use bytes::{Bytes, BytesShape};
pub use cell::Stream;
pub use error::InputError;
pub use evidence::{Significance, Test};
pub use fixed::Saturated;
pub use linear::CONSTANT;
pub use net::{IntegerNet, LayerWeights, MOST_ITEMS, NetShape, Tally};
pub use softmax::{LOGIT, LabelLoss, judge};
pub use threads::ThreadCount;
