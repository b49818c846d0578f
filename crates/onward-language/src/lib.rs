//! Language models: their folders as nets with weights, their tokenizers, texts as rows to train on, and generation.
//!
//! A folder is what the ecosystem hands around: `config.json`, `tokenizer.json`, and `model.safetensors` or shards with an index.
//! [`Folder::open`] reads the first two, [`Language`] is the net, [`Folder::params`] its weights, which stay in their files.

mod chat;
mod classes;
mod config;
mod encoder;
mod folder;
mod generate;
mod net;
mod rollouts;
mod sampling;
mod stops;
mod text;
mod tokenizer;
mod verify;
mod weights;
mod write;
mod writing;

pub use chat::{ChatTemplate, Message};
pub use classes::Asking;
pub use config::{Config, Family, Pooling};
pub use folder::Folder;
pub use generate::{Decoder, Ended, Generator, NextToken, Prompt};
pub use net::{Adapters, Answer, Language, Learning};
pub use rollouts::{Drawing, Rollouts};
pub use sampling::{Sampling, log_probability};
pub use stops::SpokenUntil;
pub use text::{Rows, TextOptions, rows_of};
pub use tokenizer::{Spoken, Tokenizer};
pub use verify::{Builtin, Look, Rewarded, Verdict, Verify, Written};
pub use writing::Writing;
