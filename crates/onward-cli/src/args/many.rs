//! Arguments of the commands about many runs.

use super::{Print, Towards};
use clap::{Args as Group, ValueEnum};
use std::path::PathBuf;

/// How a run stands, as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// All steps taken
    Finished,
    /// Stopped or ended before its end
    Interrupted,
    /// Ended because its losses meant nothing any more
    Diverged,
    /// At work now
    Running,
    /// Made for a run that never began
    NeverBegan,
}

/// What runs are listed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Their folders' names
    Name,
    /// When they ended, the last first
    When,
    /// Their scores, the best first
    Score,
}

/// Arguments of `list`.
#[derive(Debug, Group)]
pub struct List {
    /// Runs, or folders of runs
    #[arg(default_value = "runs")]
    pub paths: Vec<PathBuf>,
    /// Lists only runs with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Lists only runs that stand so
    #[arg(long, value_name = "STATE")]
    pub state: Option<State>,
    /// What to list them by
    #[arg(long, value_name = "BY", default_value = "name")]
    pub sort: Order,
    /// What to print
    #[command(flatten)]
    pub print: Print,
}

/// Arguments of `compare`.
#[derive(Debug, Group)]
pub struct Compare {
    /// Runs, folders of runs, or patterns with * and ?
    #[arg(required = true, value_name = "RUNS")]
    pub paths: Vec<String>,
    /// A key that groups are made by, again for each [default: all in which the runs differ]
    #[arg(long, value_name = "KEY")]
    pub by: Vec<String>,
    /// The score, as in metrics [default: what the runs are known by, such as test_accuracy]
    #[arg(long, value_name = "NAME")]
    pub score: Option<String>,
    /// Whether less or more of it is better [default: what its name says]
    #[arg(long)]
    pub goal: Option<Towards>,
    /// The level of the score whose reaching is timed [default: the best that all runs reach]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub level: Option<f64>,
    /// The group that the others are compared with, such as 0.05 or sigma=0.05 [default: the first]
    #[arg(long, value_name = "GROUP")]
    pub against: Option<String>,
    /// Compares only runs with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Also draws a page with the groups' curves, in this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What to print
    #[command(flatten)]
    pub print: Print,
}

/// Arguments of `sweep`.
#[derive(Debug, Group)]
pub struct Sweep {
    /// The spec file
    pub spec: PathBuf,
    /// Values of a key, each of which is run; again for more keys, whose values are all combined
    #[arg(long = "grid", value_name = "KEY=VALUE,VALUE")]
    pub grid: Vec<String>,
    /// Seeds, each of which is run: 1..5 (both included), 1,2,7 or both [default: the spec's]
    #[arg(long, value_name = "SEEDS")]
    pub seeds: Option<String>,
    /// Changes a key of the spec for all runs (may be given again and again)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Runs at once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: u16,
    /// Threads of each run; the results are the same for any number [default: all cores, shared out among the jobs]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// What the sweep is called, as a folder and before each run's own name [default: the spec's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Tags each run (may be given again and again)
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// The folder that the sweep's folder is made in
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub runs: PathBuf,
    /// Only says which runs there would be, and which of them are there
    #[arg(long)]
    pub dry_run: bool,
    /// What to print
    #[command(flatten)]
    pub print: Print,
}

/// Arguments of `note`.
#[derive(Debug, Group)]
pub struct Note {
    /// The run folder
    pub run: PathBuf,
    /// The note, in place of an earlier one; empty for none
    pub text: Option<String>,
    /// Adds a tag (may be given again and again)
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Takes a tag away (may be given again and again)
    #[arg(long = "untag", value_name = "TAG")]
    pub untags: Vec<String>,
    /// What to print
    #[command(flatten)]
    pub print: Print,
}

/// Arguments of `clean`.
#[derive(Debug, Group)]
pub struct Clean {
    /// Runs, or folders of runs
    #[arg(default_value = "runs")]
    pub paths: Vec<PathBuf>,
    /// Removes runs that stand so (may be given again and again) [default: diverged and never-began]
    #[arg(long = "state", value_name = "STATE")]
    pub states: Vec<State>,
    /// Removes only runs with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Removes what is listed; without it nothing is removed
    #[arg(long)]
    pub yes: bool,
    /// What to print
    #[command(flatten)]
    pub print: Print,
}
