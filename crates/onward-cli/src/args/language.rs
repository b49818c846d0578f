//! The arguments of what is done with language models.

use super::How;
use clap::Args as Group;
use std::path::PathBuf;

pub const TUNE: &str = "The model is a folder with config.json, tokenizer.json and its weights in safetensors. Data are a text file (.txt), or lines of JSON
(.jsonl) with \"text\", or with \"prompt\" and \"completion\", of which the completion alone is asked about. Before anything runs, the first
examples are shown as the model sees them. What it does is a run like any other: report, ledger, resume, verify, compare; its spec
stands in the run's folder.

Examples:
  onward tune --model stories260K --data shakespeare.txt
  onward tune --model smollm --data train.jsonl --eval dev.jsonl --layers top:2 --steps 500
  onward tune --model smollm --data train.jsonl --adapter lora:r=16
  onward generate --model runs/smollm-train --prompt 'Once upon a time'
  onward export runs/smollm-train --as folder --out tuned";

pub const GENERATE: &str = "The text alone goes to standard output: what follows the prompt, as it comes. The same seed gives the same text on any machine.

Examples:
  onward generate --model stories260K --greedy --tokens 200
  onward generate --model runs/tuned --prompt 'To be, or not to be' --temperature 0.8 --top-p 0.95 --seed 3";

/// Arguments of `tune`.
#[derive(Debug, Group)]
pub struct Tune {
    /// The model's folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// What to train on: a text, or lines of JSON
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// What to test with, in a file of its own; without it the last tenth of the data
    #[arg(long, value_name = "FILE")]
    pub eval: Option<PathBuf>,
    /// The blocks that learn: all, or top:N of them
    #[arg(long, value_name = "all|top:N", conflicts_with_all = ["adapter", "head"], value_parser = layers)]
    pub layers: Option<usize>,
    /// Low-rank adapters learn instead of the maps themselves
    #[arg(long, value_name = "lora:r=N", conflicts_with = "head", value_parser = lora)]
    pub adapter: Option<usize>,
    /// The head learns alone
    #[arg(long)]
    pub head: bool,
    /// Steps
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub steps: u64,
    /// Rows of a step
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: u32,
    /// Tokens of a row at most [default: 128, or what the model reads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub length: Option<u32>,
    /// How the model is asked about a text that has a class, which stands in the place of {text}
    #[arg(long, value_name = "TEXT")]
    pub template: Option<String>,
    /// The words that answer it, one for each class in their order, with the blank before each
    #[arg(long, value_name = "WORD,...", value_delimiter = ',')]
    pub label_words: Option<Vec<String>>,
    /// The size of steps [default: that of the method]
    #[arg(long)]
    pub rate: Option<f64>,
    /// Lets the model write after each prompt, and rewards what it writes, as this judges it (a program's words are parted at spaces)
    #[arg(long, value_name = "exact|f1|json|regex:PATTERN|program:COMMAND", value_parser = verify)]
    pub verify: Option<(String, Option<String>)>,
    /// Tokens that it writes at most [default: 64]
    #[arg(long, value_name = "N", requires = "verify", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub tokens: Option<u32>,
    /// The method
    #[arg(long, default_value = "auto", value_parser = ["auto", "relative-local", "two-point", "population"])]
    pub method: String,
    /// Changes a key of the run's spec (may be given again and again)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// The seed that all noise follows from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What the run is called [default: after model and data]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Prints the spec and runs nothing
    #[arg(long)]
    pub spec: bool,
    /// The folder that run folders are made in
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub runs: PathBuf,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

pub const APPLY: &str = "A run in weight space (two-point, population) is its first weights and a ledger of a few bytes a step: who has the first needs only the second.
The digest of the base is checked; the weights come out to the same bits on any machine and any number of threads.

Example:
  onward apply runs/tuned/ledger.bin --base stories260K --out tuned";

/// Arguments of `apply`.
#[derive(Debug, Group)]
pub struct Apply {
    /// The ledger
    pub ledger: PathBuf,
    /// The folder of the model that it begins with
    #[arg(long, value_name = "DIR")]
    pub base: PathBuf,
    /// The new folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// Arguments of `generate`.
#[derive(Debug, Group)]
pub struct Generate {
    /// The model's folder, or that of a run
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The text that goes on; without it one begins
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// The prompt is what somebody says to the model, which answers: written by the model's chat template
    #[arg(long, requires = "prompt")]
    pub chat: bool,
    /// How each token is chosen
    #[command(flatten)]
    pub choice: Choice,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// How each token is chosen.
#[derive(Debug, Group)]
pub struct Choice {
    /// Tokens at most
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub tokens: usize,
    /// Always takes the likeliest token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p"])]
    pub greedy: bool,
    /// What logits are divided by
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    pub temperature: f64,
    /// Takes one of the likeliest N tokens
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,
    /// Takes one of the fewest tokens that together have this probability
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// The seed of what is drawn
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

pub const CHAT: &str = "A line is what you say; the answer comes as it is found, written by the model's chat template, and all of it is remembered. Ctrl-C ends an
answer that is long enough, an empty line or the end of the input ends the conversation. Where the input is no terminal each line is asked, and
answers alone go to standard output, each with the end of a line.

Examples:
  onward chat runs/smollm-chat
  onward chat smollm --system 'You answer in one sentence.' --temperature 0.7
  printf 'Hello.\\nWho are you?\\n' | onward chat smollm --greedy";

/// Arguments of `chat`.
#[derive(Debug, Group)]
pub struct Chat {
    /// The model's folder, or that of a run
    pub model: PathBuf,
    /// What the model is told first
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// How each token is chosen
    #[command(flatten)]
    pub choice: Choice,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

pub const SERVE: &str = "Answers /v1/completions, /v1/chat/completions and /v1/models as OpenAI's programs ask them, with streaming; requests are worked on side by side.
What is not supported is refused by its name, not ignored. Ctrl-C lets requests end that were begun; a second one ends them.

Example:
  onward serve runs/smollm-chat --address 127.0.0.1:8000
  curl http://127.0.0.1:8000/v1/completions -d '{\"prompt\": \"Once upon a time\", \"max_tokens\": 50}'";

/// Arguments of `serve`.
#[derive(Debug, Group)]
pub struct Serve {
    /// The model's folder, or that of a run
    pub model: PathBuf,
    /// Where to listen; port 0 takes one that is free
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "HOST:PORT")]
    pub address: String,
    /// Listens where other machines reach it too: whoever can connect may ask
    #[arg(long)]
    pub allow_remote: bool,
    /// What requests call the model [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Answers that are worked on side by side at most
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub rows: u16,
    /// How to run and what to print
    #[command(flatten)]
    pub how: How,
}

/// `all` or `top:N`; 0 for all.
fn layers(text: &str) -> Result<usize, String> {
    let own = match text {
        "all" => Some(0),
        _ => text.strip_prefix("top:").and_then(|n| n.parse().ok()).filter(|n| *n > 0),
    };
    own.ok_or_else(|| "expected all, or top:N with N blocks".into())
}

/// What logits are divided by.
fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|v| (0.0..=1000.0).contains(v));
    number.ok_or_else(|| "expected a number from 0 to 1000".into())
}

/// `lora:r=N`, or `lora` for a rank of 8.
fn lora(text: &str) -> Result<usize, String> {
    let own = match text {
        "lora" => Some(8),
        _ => text.strip_prefix("lora:r=").and_then(|n| n.parse().ok()).filter(|n| *n > 0),
    };
    own.ok_or_else(|| "expected lora:r=N with the rank N".into())
}

/// A judge's kind, and its pattern or command.
fn verify(text: &str) -> Result<(String, Option<String>), String> {
    let (kind, more) = match text.split_once(':') {
        Some((kind, more)) if !more.trim().is_empty() => (kind, Some(more.to_owned())),
        _ => (text, None),
    };
    let fits = match kind {
        "exact" | "f1" | "json" => more.is_none(),
        "regex" | "program" => more.is_some(),
        _ => false,
    };
    let wrong = "expected exact, f1, json, regex:PATTERN or program:COMMAND";
    if fits { Ok((kind.to_owned(), more)) } else { Err(wrong.into()) }
}
