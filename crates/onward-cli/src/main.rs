//! `onward`: trains models with forward passes only.

use clap::Parser;
use onward_cli::{args::Args, command};
use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
