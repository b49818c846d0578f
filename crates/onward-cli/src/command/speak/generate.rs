//! `generate`: texts that go on.

use super::{Speaker, word};
use crate::args::Generate;
use crate::output;
use crate::progress::Voice;
use onward::Result;
use onward::threads::Threads;
use onward_language::Message;
use serde_json::json;
use std::io::IsTerminal;

/// `onward generate`: prints the text as it comes; one event for programs.
pub fn generate(args: &Generate) -> Result<()> {
    let speaker = Speaker::open(&args.model, &args.how)?;
    let folder = &speaker.folder;
    let text = args.prompt.as_deref().unwrap_or_default();
    let prompt = if args.chat {
        let turn = Message { role: "user".into(), content: text.to_owned() };
        folder.turns(&folder.chat_template()?, &[turn])?
    } else {
        folder.beginning(text)?
    };
    let voice = Voice::new(&args.how);
    let mut whole = String::new();
    let mut each = |text: &str| {
        if voice != Voice::Json {
            output::write(text.as_bytes());
        }
        whole.push_str(text);
    };
    let threads = Threads::new(args.how.threads())?;
    let mut spoken = folder.tokenizer().stream(&prompt);
    let mut failed = None;
    let mut told = |_: usize, token: u32| match spoken.add(token) {
        Ok(text) => {
            each(&text);
            true
        }
        Err(e) => {
            failed = Some(e);
            false
        }
    };
    let (most, sampling) = (args.choice.tokens, args.choice.sampling());
    let ended =
        threads.run(|| speaker.generator()?.run(std::slice::from_ref(&prompt), most, sampling, &mut told))?;
    if let Some(error) = failed {
        return Err(error);
    }
    each(&spoken.rest()?);
    if voice == Voice::Json {
        let ended = ended.first().map(|ended| word(*ended));
        voice.say("", &json!({"event": "generated", "text": whole, "ended": ended}));
    } else if std::io::stdout().is_terminal() {
        output::write(b"\n");
    }
    Ok(())
}
