//! The crate from outside.

mod stories;
