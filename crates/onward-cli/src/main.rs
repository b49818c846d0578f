//! `onward`: trains models with forward passes only.

use onward_cli::{command, output};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: onward_cli::allocator::Allocator = onward_cli::allocator::Allocator;

fn main() -> ExitCode {
    match command::run(std::env::args_os()) {
        Ok(code) => code,
        Err(error) => {
            output::aside(&format!("error: {error}"));
            ExitCode::from(command::exit_code(error.kind()))
        }
    }
}
