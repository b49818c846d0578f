//! The arguments of `minimize`, and what its help says.

use super::Print;
use super::number::{timeout, whole};
use clap::{Args as Group, ValueEnum};
use onward::study::StrategyKind;
use std::path::PathBuf;

/// What stands below the arguments of `minimize`.
pub(super) fn help() -> String {
    let names: Vec<&str> = StrategyKind::all().iter().map(StrategyKind::name).collect();
    MINIMIZE.replace("{methods}", &names.join(", "))
}

const MINIMIZE: &str = "The program is started once per evaluation, without a shell. In its arguments {name} stands for the value of a
dimension, {seed}, {id} and {generation} for what their variables below hold, {{name}} for itself. It also finds them in
its environment: ONWARD_<NAME> in capitals for each dimension; ONWARD_ID, counted from 0; ONWARD_GENERATION;
and ONWARD_SEED, the same for all candidates of a generation and different in the next. A program that draws its
randomness from that seed compares candidates on equal terms (common random numbers), which helps a great deal.

The loss stands in the last line that is not blank: the key `loss` of a JSON object, else the number after the word
`loss`, else the last number (docs/studies.md has the grammar). A program that fails, is killed, takes too long, or
prints no number or NaN has the worst loss; it is counted, and the reason is kept. All evaluations count towards the budget, those that look for noise or average it out included.

Dimensions: x:-5..5 (numbers), lr:1e-5..1e-1 log (by ratio), n:1..64 int (whole numbers, may be log too),
act:{relu,tanh} (one of some words), n:0..10:2 (steps; whole numbers where all three are).
With --require, an evaluation that does not meet the condition is worse than all that do. Strategies: {methods}.

Examples:
  onward minimize --goal min --space 'x:-5..5' --space 'y:-5..5' --budget 200 -- awk 'BEGIN{print ({x}-1)^2+({y}+2)^2}'
  onward minimize --goal max --space 'lr:1e-5..1e-1 log' --space 'act:{relu,tanh}' --budget 100 --key accuracy \\
      --noisy --jobs 4 --timeout 600 -- python train.py --lr {lr} --act {act} --seed {seed}
  onward minimize --resume --out runs/train --budget 200

A study is shown, checked and drawn like a run: onward show, verify and report runs/train; show --csv FILE writes all evaluations.";

/// The direction of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Towards {
    /// The least loss
    Min,
    /// The greatest
    Max,
}

/// Arguments of `minimize`.
#[derive(Debug, Group)]
pub struct Minimize {
    /// Whether less or more is better: always said, never guessed
    #[arg(long)]
    pub goal: Option<Towards>,
    /// A dimension of the search, again for each; @FILE reads one from every line of a file
    #[arg(long = "space", value_name = "DIMENSION")]
    pub space: Vec<String>,
    /// A point to begin at, as x=1,y=2 [default: the middle of the space, or the best of --known]
    #[arg(long, value_name = "POINT")]
    pub start: Option<String>,
    /// Points whose losses are known, which are not evaluated again: CSV with a header, or JSON lines
    #[arg(long, value_name = "FILE")]
    pub known: Option<PathBuf>,
    /// What a number of the JSON that the program prints has to be, such as 'g <= 0' (may be given again and again)
    #[arg(long, value_name = "CONDITION")]
    pub require: Vec<String>,
    /// How often the program is run at most; with --resume, more than before raises it
    #[arg(long, value_name = "EVALUATIONS", value_parser = whole)]
    pub budget: Option<u64>,
    /// The strategy [default: auto, which says what it chose and why]
    #[arg(long, value_name = "NAME")]
    pub method: Option<String>,
    /// Changes a setting of the strategy, such as members=20 (may be given again and again)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// The seed that all candidates follow from [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Programs that run at once; the candidates are the same for any number (auto chooses a strategy that fits it)
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: u16,
    /// Ends a program, and all that it has started, after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = timeout)]
    pub timeout: Option<f64>,
    /// The same candidate can get different losses; found out if not said, from 50 evaluations on
    #[arg(long)]
    pub noisy: bool,
    /// The key of the loss in the JSON that the program prints [default: loss]
    #[arg(long)]
    pub key: Option<String>,
    /// The folder that the study is kept in [default: runs/ and the name of the script or program]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Goes on with the study in the folder if there is one; what its study.toml says need not be said again
    #[arg(long)]
    pub resume: bool,
    /// What to print
    #[command(flatten)]
    pub print: Print,
    /// The program and its arguments
    #[arg(last = true, value_name = "PROGRAM")]
    pub command: Vec<String>,
}
