//! The command line of Onward.
fn main() {}
