//! `generate`: texts that go on.

use super::apply::answering;
use crate::args::Generate;
use crate::build::Begun;
use crate::folder::Folder;
use crate::language::{self, Asked};
use crate::output;
use crate::progress::Voice;
use onward::params::Params;
use onward::settings::ModelKind;
use onward::threads::Threads;
use onward::{Error, ErrorKind, Place, Result};
use serde_json::json;
use std::io::IsTerminal;

/// `onward generate`.
pub fn generate(args: &Generate) -> Result<()> {
    let asked = Asked {
        prompt: args.prompt.clone(),
        chat: args.chat,
        tokens: args.tokens,
        temperature: if args.greedy { 0.0 } else { args.temperature as f32 },
        top_k: args.top_k.unwrap_or(0),
        top_p: args.top_p.unwrap_or(1.0),
        seed: args.seed,
    };
    if !args.model.join("ledger.bin").is_file() {
        let folder = language::open(&args.model)?;
        let params = language::own_params(&folder)?;
        return tell(args, &folder, None, &params, &asked);
    }
    let run = answering(&args.model, &args.how)?;
    let ModelKind::Language(_) = &run.spec.model.kind else {
        let expected = "\"language\", as texts go on with such models alone";
        let place = Place::key("model", "kind");
        return Err(Error::expected(ErrorKind::Spec, place, expected, run.spec.model.kind.name())
            .in_file(&args.model.join("spec.toml")));
    };
    let folder = Folder::read_only(&args.model)?;
    let begun = Begun { header: &run.header, folder: &folder };
    let Some(folder) = language::of(&run.spec, Some(begun))? else { return Ok(()) };
    tell(args, &folder, Some(&run.spec), &run.params, &asked)
}

/// Prints the text as it comes; one event for programs.
fn tell(
    args: &Generate,
    folder: &language::Folder,
    spec: Option<&crate::spec::Spec>,
    params: &Params,
    asked: &Asked,
) -> Result<()> {
    let voice = Voice::new(&args.how);
    let mut whole = String::new();
    let mut each = |text: &str| {
        if voice != Voice::Json {
            output::write(text.as_bytes());
        }
        whole.push_str(text);
    };
    let threads = Threads::new(args.how.threads())?;
    let ended = threads.run(|| language::generate(folder, spec, params, asked, &mut each))?;
    if voice == Voice::Json {
        voice.say("", &json!({"event": "generated", "text": whole, "ended": ended}));
    } else if std::io::stdout().is_terminal() {
        output::write(b"\n");
    }
    Ok(())
}
