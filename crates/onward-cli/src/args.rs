//! The arguments.

mod language;
mod many;
mod minimize;
mod number;

pub use language::{Apply, Chat, Choice, Generate, Serve, Tune};
pub use many::{Clean, Compare, List, Note, Order, State, Sweep};
pub use minimize::{Minimize, Towards};

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use number::{epochs, seconds};
use std::path::PathBuf;

/// Trains models with forward passes only: exact, replayable, fast
#[derive(Debug, Parser)]
#[command(name = "onward", version, after_help = EXAMPLES, propagate_version = true, subcommand_required = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  onward train specs/digits.toml                     train, with a live progress bar
  onward train specs/digits.toml --seed 2 --json     another seed, one JSON object per line
  onward train my.toml --set train.epochs=5          change a key of the spec
  onward resume runs/digits                          go on after an interruption
  onward verify runs/digits                          ledger, checksums and model agree
  onward replay runs/digits --to 100 --out at100.safetensors
  onward minimize --goal min --space 'x:-5..5' --budget 100 -- ./simulate --x {x}
                                                     the best arguments of any program
  onward sweep specs/digits.toml --name sigma --grid method.sigma=0.05,0.1 --seeds 1..8 --jobs 2
  onward compare runs/sigma                          which sigma is better, and how sure that is
  onward init my.toml                                a commented spec to start from
  onward explain method.sigma                        what a key means

Exit codes:
  0    done
  1    a theorem of verify-theory does not hold
  2    bad input, or the system refused (a missing file, a full disk, no memory, output that was lost)
  3    damage: a run's or study's files are not what it wrote
  4    diverged: losses are not finite, or far above the first ones for long
  5    verify: nothing is wrong, but steps taken by a device cannot be repeated on this machine
  130  interrupted; what is done is kept and can be gone on with";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trains what a spec describes; leaves a run folder with ledger, model and report
    #[command(
        after_help = "Examples:\n  onward train specs/digits.toml\n  onward train specs/mnist-mlp.toml --set data.path=~/mnist --threads 4\n  onward train specs/digits.toml --resume"
    )]
    Train(Train),
    /// Trains a language model further on texts or examples, with forward passes only
    #[command(after_help = language::TUNE)]
    Tune(Tune),
    /// Lets texts go on with a language model: a folder's, or a run's
    #[command(after_help = language::GENERATE)]
    Generate(Generate),
    /// Talks with a language model: a folder's, or a run's
    #[command(after_help = language::CHAT)]
    Chat(Chat),
    /// Answers programs that ask a language model in OpenAI's way
    #[command(after_help = language::SERVE)]
    Serve(Serve),
    /// Rebuilds a tuned language model from the folder that it began as and a ledger alone
    #[command(after_help = language::APPLY)]
    Apply(Apply),
    /// Finds the best arguments of any program: runs it again and again and reads the loss that it prints
    #[command(after_help = minimize::help())]
    Minimize(Minimize),
    /// Goes on with an interrupted run, to the same bits as if it had never stopped
    #[command(
        after_help = "--steps and --epochs prolong a run that has taken all its steps. The schedule of the spec begins anew over the\nsteps that are added (warm-up, full rate, its fall); batches, noise and the optimizer's memory go on. The same\ncommand goes on with it after an interruption.\n\nExamples:\n  onward resume runs/digits\n  onward resume runs/digits --steps 2000"
    )]
    Resume(Resume),
    /// Cuts off the damaged end of a run's ledger and keeps it beside; never touches a sound one
    #[command(
        after_help = "A write that was torn off needs no repair: resume cuts it off itself.\n\nExample:\n  onward repair runs/digits"
    )]
    Repair(Repair),
    /// Rebuilds params from the ledger and prints their digest
    #[command(
        after_help = "Weight-space runs are rebuilt from base params and ledger alone; activation-space runs are run\nagain from the nearest snapshot, with their data.\n\nExample:\n  onward replay runs/digits --to 100 --out at100.safetensors"
    )]
    Replay(Replay),
    /// Checks every file of a run, and that the ledger leads to the saved model
    #[command(
        after_help = "It says what it can promise. Where nothing is wrong but steps that a device took could not be taken again here, the exit\ncode is 5.\n\nExample:\n  onward verify runs/digits --from-start"
    )]
    Verify(Verify),
    /// Prints ledger and metrics, as a table or as JSON lines
    #[command(after_help = "Examples:\n  onward show runs/digits\n  onward show runs/digits --ledger --json")]
    Show(Show),
    /// Lists runs: how each stands, when it ended, its score, its tags
    #[command(after_help = "Example:\n  onward list runs --sort score")]
    List(List),
    /// Compares runs: which settings do better, by how much, and how sure that is
    #[command(
        after_help = "Runs that differ in their seeds alone are a group. Groups are compared by pairs of runs with the same seed, whose initial\nweights, batches and noise are the same: what luck does to both cancels. Each difference of means has its 95 % interval,\na paired t test (adjusted for several comparisons, after Holm) and the exact sign test, which leaves ties out. Below six pairs there is no verdict.\n\nExamples:\n  onward compare runs/sigma\n  onward compare 'runs/digits*' --by method.sigma --score test_loss --out pages/sigma"
    )]
    Compare(Compare),
    /// Trains a spec once for each combination of values and seeds; what is done already is not done again
    #[command(
        after_help = "Each run is found again by its settings and its seed: the same command goes on after an interruption, and with more values or\nseeds it takes only those that are new. Ctrl-C stops all runs after their present steps.\n\nExamples:\n  onward sweep specs/digits.toml --name sigma --grid method.sigma=0.05,0.1 --seeds 1..8 --jobs 2\n  onward compare runs/sigma"
    )]
    Sweep(Sweep),
    /// Keeps a note and tags with a run
    #[command(after_help = "Example:\n  onward note runs/digits 'wider net' --tag candidate")]
    Note(Note),
    /// Removes runs that came to nothing, after showing what would be removed
    #[command(
        after_help = "Without --yes it only lists. Files that no run writes, and runs that a process works on, are never touched.\n\nExamples:\n  onward clean runs\n  onward clean runs --state interrupted --yes"
    )]
    Clean(Clean),
    /// Draws a run's report.html and plots at any time, also while it goes on or after an interruption
    #[command(
        after_help = "It only reads: a run that goes on is not held up. The page says how far the run has come. Its confusion matrix\nis of the last step, in activation space of the last snapshot; for it the data are read. A finished run has its report already; --out draws one elsewhere.\n\nExamples:\n  onward report runs/digits\n  onward report runs/digits --out pages/digits"
    )]
    Report(Report),
    /// Prints the trained model's answers to rows of a data file
    #[command(
        after_help = "One line a row: the columns of data.id, then the class by its name, or the numbers. Columns of a table are found by their names, in\nany order; others are not used, and that is said. A run that is not finished answers from its last step, in activation space\nfrom its last snapshot, and says so.\n\nExamples:\n  onward predict runs/digits new.csv\n  onward predict runs/iris new.csv --probabilities --out answers.csv\n  cut -d, -f1-4 iris.csv | onward predict runs/iris -"
    )]
    Predict(Predict),
    /// Prints how well the trained model does on a data file
    #[command(
        after_help = "A run that is not finished answers from its last step, in activation space from its last snapshot, and says so.\n\nExample:\n  onward eval runs/digits data/digits.csv"
    )]
    Eval(OnData),
    /// Writes a run's model as a file that other programs run
    #[command(
        after_help = "An ONNX file takes rows as training saw them (centred and scaled, see its metadata onward.interface), as `input`: [batch, n],\nitems as [batch, items, channels], images as [batch, channels, height, width]. A net that came from an ONNX file goes back into\nits own graph. A run that is not finished is written as predict answers.\n\nExamples:\n  onward export runs/digits --as onnx --out digits.onnx\n  onward export runs/digits --as safetensors --out digits.safetensors"
    )]
    Export(Export),
    /// Shows what a table holds: columns, values, what is missing, and keys that suit it
    #[command(
        after_help = "Examples:\n  onward inspect iris.csv\n  onward inspect data.txt --set data.separator=; --json"
    )]
    Inspect(Inspect),
    /// Writes a commented spec to start from (to FILE, or to standard output)
    #[command(after_help = "Examples:\n  onward init my.toml\n  onward init --data iris.csv iris.toml")]
    Init(NewSpec),
    /// Explains a key of specs, or lists all of them
    #[command(
        after_help = "Examples:\n  onward explain\n  onward explain method.sigma\n  onward explain early stopping"
    )]
    Explain {
        /// The key, such as method.sigma, a table, or any words to look for
        #[arg(value_name = "KEY")]
        words: Vec<String>,
        /// Prints one JSON object per key
        #[arg(long)]
        json: bool,
    },
    /// Prints what this machine can do at most, and how near to it the kernels come
    #[command(
        after_help = "Speeds are medians; run it on an idle machine: `state` is what its registers did beside each figure, as a share of\nthe most that they did. Where a figure is above the supposed limit, no share stands. ONWARD_ISA=portable, avx2, avx512, avx512-vnni or\navx512-bf16 limits the instructions that are used.\n\nExamples:\n  onward bench\n  ONWARD_ISA=avx2 onward bench --threads 1"
    )]
    Bench(Bench),
    /// Runs the theorems behind the methods: what each bounds, what was measured, and the room between
    #[command(
        after_help = "The exit code is 1 if one does not hold. Statements and derivations: docs/theory.md.\n\nExamples:\n  onward verify-theory --quick\n  onward verify-theory --seed 2 --out runs/theory-2"
    )]
    VerifyTheory(VerifyTheory),
    /// Prints completions for a shell
    #[command(after_help = "Example:\n  onward completions bash > /etc/bash_completion.d/onward")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, of the program or of one command
    #[command(
        after_help = "Examples:\n  onward man | man -l -\n  onward man train > /usr/local/share/man/man1/onward-train.1"
    )]
    Man {
        /// The command
        command: Option<String>,
    },
}

impl Command {
    /// Whether one JSON object per line is asked for.
    pub fn json(&self) -> bool {
        match self {
            Self::Train(args) => args.how.print.json,
            Self::Tune(args) => args.how.print.json,
            Self::Generate(args) => args.how.print.json,
            Self::Chat(args) => args.how.print.json,
            Self::Serve(args) => args.how.print.json,
            Self::Apply(args) => args.how.print.json,
            Self::Minimize(args) => args.print.json,
            Self::Resume(args) => args.how.print.json,
            Self::Repair(args) => args.print.json,
            Self::Replay(args) => args.how.print.json,
            Self::Verify(args) => args.how.print.json,
            Self::Show(args) => args.json,
            Self::Report(args) => args.how.print.json,
            Self::List(args) => args.print.json,
            Self::Compare(args) => args.print.json,
            Self::Sweep(args) => args.print.json,
            Self::Note(args) => args.print.json,
            Self::Clean(args) => args.print.json,
            Self::Predict(args) => args.how.print.json,
            Self::Eval(args) => args.how.print.json,
            Self::Export(args) => args.how.print.json,
            Self::Bench(args) => args.how.print.json,
            Self::VerifyTheory(args) => args.how.print.json,
            Self::Inspect(args) => args.print.json,
            Self::Init(args) => args.json,
            Self::Explain { json, .. } => *json,
            Self::Completions { .. } | Self::Man { .. } => false,
        }
    }
}

/// Arguments of `train`.
#[derive(Debug, Group)]
pub struct Train {
    /// The spec file
    pub spec: PathBuf,
    /// Goes on with the run of this name if there is one
    #[arg(long)]
    pub resume: bool,
    /// Changes a key of the spec (may be given again and again)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// The seed that all noise follows from
    #[arg(long)]
    pub seed: Option<u64>,
    /// What the run is called; the same as --set name=NAME
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Tags the run, to find it by (may be given again and again)
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Keeps a note with the run
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// The folder that run folders are made in
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub runs: PathBuf,
    /// Draws the report alone, without its plots as files beside it
    #[arg(long)]
    pub no_plots: bool,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// Where a run's data are now, if they have moved since it began: their digests must still be the same.
#[derive(Debug, Default, Group)]
pub struct Moved {
    /// Where the data are now, if they have moved since the run began
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Where the test rows are now, where they have a file of their own
    #[arg(long, value_name = "PATH")]
    pub test_data: Option<PathBuf>,
    /// Where the rows are now that choose the best step
    #[arg(long, value_name = "PATH")]
    pub validation_data: Option<PathBuf>,
}

/// Arguments of `repair`.
#[derive(Debug, Group)]
pub struct Repair {
    /// The run folder
    pub run: PathBuf,
    /// What to print
    #[command(flatten)]
    pub print: Print,
}

/// Arguments of `resume`.
#[derive(Debug, Group)]
pub struct Resume {
    /// The run folder
    pub run: PathBuf,
    /// Prolongs a finished run: its steps in all, those taken included
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = clap::value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub steps: Option<u64>,
    /// Prolongs a finished run: its epochs in all, where the spec has train.epochs
    #[arg(long, value_name = "N", value_parser = epochs)]
    pub epochs: Option<f64>,
    /// Where the data are now
    #[command(flatten)]
    pub moved: Moved,
    /// Draws the report alone, without its plots as files beside it
    #[arg(long)]
    pub no_plots: bool,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// What to print.
#[derive(Clone, Copy, Debug, Group)]
pub struct Print {
    /// Prints nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
    /// Prints one JSON object per line
    #[arg(long)]
    pub json: bool,
}

/// How to run and what to print.
#[derive(Debug, Group)]
pub struct How {
    /// Threads; the result is the same for any number [default: all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// What to print
    #[command(flatten)]
    pub print: Print,
    /// Says first which instructions products run on, and why not on others
    #[arg(long, short)]
    pub verbose: bool,
}

impl How {
    /// Threads to use.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

/// Arguments of `bench`.
#[derive(Debug, Group)]
pub struct Bench {
    /// Seconds that each line is measured for
    #[arg(long, default_value_t = 0.3, value_name = "SECONDS", value_parser = seconds)]
    pub seconds: f64,
    /// Measures, besides the limits, only the lines whose name contains this text
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// Arguments of `verify-theory`.
#[derive(Debug, Group)]
pub struct VerifyTheory {
    /// Measures for seconds instead of a minute or two
    #[arg(long)]
    pub quick: bool,
    /// Runs only the theorems whose name contains this text
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// The seed that all measurements follow from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The folder of the page theory.html and its plots
    #[arg(long, default_value = "runs/theory", value_name = "DIR")]
    pub out: PathBuf,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// Arguments of `replay`.
#[derive(Debug, Group)]
pub struct Replay {
    /// The run folder
    pub run: PathBuf,
    /// Stops after this many steps
    #[arg(long, value_name = "STEP")]
    pub to: Option<u64>,
    /// Writes the params to a safetensors file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where the data are now
    #[command(flatten)]
    pub moved: Moved,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// Arguments of `verify`.
#[derive(Debug, Group)]
pub struct Verify {
    /// The run folder
    pub run: PathBuf,
    /// Runs activation-space steps again from the base params instead of from the last snapshot
    #[arg(long)]
    pub from_start: bool,
    /// Where the data are now
    #[command(flatten)]
    pub moved: Moved,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// Arguments of `show`.
#[derive(Debug, Group)]
pub struct Show {
    /// The run folder
    pub run: PathBuf,
    /// Prints the ledger's steps instead of the metrics
    #[arg(long, conflicts_with = "net")]
    pub ledger: bool,
    /// Prints the net instead: its operations with shapes, weights and work
    #[arg(long)]
    pub net: bool,
    /// Only the last rows
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
    /// Only every so many steps, and the last
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub every: Option<u64>,
    /// Goes on with new rows until the run rests
    #[arg(long, conflicts_with_all = ["ledger", "net"])]
    pub follow: bool,
    /// Of a study: writes all evaluations as CSV
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ledger", "net", "follow"])]
    pub csv: Option<PathBuf>,
    /// Prints one JSON object per line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `report`.
#[derive(Debug, Group)]
pub struct Report {
    /// The run folder
    pub run: PathBuf,
    /// The folder of the page and its plots [default: the run folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where the data are now
    #[command(flatten)]
    pub moved: Moved,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// The kinds of files that models are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileKind {
    /// The net with its params, for onnxruntime and others
    Onnx,
    /// The params and the statistics of normalisations alone
    Safetensors,
    /// A spiking net, for simulators and chips (a build with --features nir)
    Nir,
    /// A language model as a folder that transformers and others load, adapters merged (a build with --features language)
    Folder,
    /// The adapters of a language model as a folder that PEFT loads (a build with --features language)
    Peft,
}

/// Arguments of `export`.
#[derive(Debug, Group)]
pub struct Export {
    /// The run folder
    pub run: PathBuf,
    /// The kind of file
    #[arg(long = "as", value_name = "KIND")]
    pub kind: FileKind,
    /// The file, or the folder
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// Arguments of `predict`.
#[derive(Debug, Group)]
pub struct Predict {
    /// The run folder
    pub run: PathBuf,
    /// The data file, or folder; - is standard input
    pub data: PathBuf,
    /// Adds the probability of each class
    #[arg(long)]
    pub probabilities: bool,
    /// Adds how many spikes each row took, of what comes in and of each layer; for nets that spike
    #[arg(long)]
    pub spikes: bool,
    /// Writes a file instead of printing: CSV, or Parquet where it ends so
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Leaves out the line of names at the top
    #[arg(long)]
    pub no_header: bool,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// Arguments of `inspect`.
#[derive(Debug, Group)]
pub struct Inspect {
    /// The data file
    pub file: PathBuf,
    /// Says how it is to be read, such as data.separator=';'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// What to print
    #[command(flatten)]
    pub print: Print,
}

/// Arguments of `init`.
#[derive(Debug, Group)]
pub struct NewSpec {
    /// Where to write it; must not exist yet
    pub file: Option<PathBuf>,
    /// A data file that the spec is to train on, with the keys that suit it
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Says how the data file is to be read, such as data.separator=';'
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "data")]
    pub sets: Vec<String>,
    /// Prints one JSON object: where the spec is, and its keys
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `eval`.
#[derive(Debug, Group)]
pub struct OnData {
    /// The run folder
    pub run: PathBuf,
    /// The data file, or folder; - is standard input
    pub data: PathBuf,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}
