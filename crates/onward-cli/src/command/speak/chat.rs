//! `chat`: a conversation, line by line.

use super::{Speaker, word};
use crate::args::Chat;
use crate::progress::Voice;
use crate::{interrupt, output};
use onward::threads::Threads;
use onward::{Error, ErrorKind, Result};
use onward_language::{ChatTemplate, Ended, Message};
use serde_json::json;
use std::io::{BufRead, IsTerminal};
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What Ctrl-C is for.
mod at {
    /// Nothing is being said: it ends the program.
    pub const REST: u8 = 0;
    /// An answer is being found: it ends that.
    pub const ANSWER: u8 = 1;
    /// An answer that is to end.
    pub const STOPPED: u8 = 2;
}

/// `onward chat`.
pub fn chat(args: &Chat) -> Result<()> {
    let speaker = Speaker::open(&args.model, &args.how)?;
    let template = speaker.folder.chat_template()?;
    let threads = Threads::new(args.how.threads())?;
    let state = Arc::new(AtomicU8::new(at::REST));
    let asked = Arc::clone(&state);
    interrupt::listen(move |request| {
        let stops = request == interrupt::Request::CtrlC
            && asked.compare_exchange(at::ANSWER, at::STOPPED, Ordering::Relaxed, Ordering::Relaxed)
                != Err(at::REST);
        if !stops {
            output::write(b"\n");
            exit(130);
        }
    })?;
    let mut talk = Talk { args, speaker: &speaker, template, threads, state: &state, messages: Vec::new() };
    talk.messages.extend(args.system.clone().map(|text| message("system", text)));
    talk.hold()
}

fn message(role: &str, content: String) -> Message {
    Message { role: role.into(), content }
}

/// A conversation.
struct Talk<'a> {
    args: &'a Chat,
    speaker: &'a Speaker,
    template: ChatTemplate,
    threads: Threads,
    state: &'a AtomicU8,
    messages: Vec<Message>,
}

impl Talk<'_> {
    /// Line by line, until there is an empty one or none.
    fn hold(&mut self) -> Result<()> {
        let voice = Voice::new(&self.args.how);
        let people = std::io::stdin().is_terminal() && voice != Voice::Json;
        let mut lines = std::io::stdin().lock().lines();
        loop {
            if people {
                output::write(b"> ");
            }
            let Some(line) = lines.next() else { break };
            let line =
                line.map_err(|e| Error::new(ErrorKind::Io, format!("standard input: cannot read: {e}")))?;
            if line.trim().is_empty() {
                return Ok(());
            }
            self.messages.push(message("user", line));
            let prompt = self.prompt(voice)?;
            self.state.store(at::ANSWER, Ordering::Relaxed);
            let (text, ended) = self.answer(&prompt, voice)?;
            self.state.store(at::REST, Ordering::Relaxed);
            if voice == Voice::Json {
                voice.say("", &json!({"event": "answered", "text": text, "ended": word(ended)}));
            } else {
                output::write(b"\n");
            }
            if people && ended == Ended::Length {
                voice.warn(&format!(
                    "(the answer was cut at {} tokens: see --tokens)",
                    self.args.choice.tokens
                ));
            }
            self.messages.push(message("assistant", text));
        }
        if people {
            output::write(b"\n");
        }
        Ok(())
    }

    /// The conversation as tokens. Where it leaves too little of what the model reads, the first turns are forgotten.
    fn prompt(&mut self, voice: Voice) -> Result<Vec<u32>> {
        let context = self.speaker.net.config.context;
        let room = self.args.choice.tokens.min(context / 4).max(1);
        let kept = usize::from(self.args.system.is_some());
        let mut forgotten = 0;
        loop {
            let prompt = self.speaker.folder.turns(&self.template, &self.messages)?;
            if prompt.len() + room <= context {
                if forgotten > 0 {
                    voice.warn(&format!(
                        "note: the first {forgotten} turns are forgotten, as the model reads {context} tokens"
                    ));
                }
                return Ok(prompt);
            }
            if self.messages.len() <= kept + 1 {
                let expected = format!("at most {} tokens, so that {room} may follow", context - room);
                return Err(Error::expected(ErrorKind::Data, "what is said", expected, prompt.len()));
            }
            // What was said and what was answered.
            self.messages.drain(kept..(kept + 2).min(self.messages.len() - 1));
            forgotten += 2;
        }
    }

    /// Says the answer as it is found.
    fn answer(&self, prompt: &[u32], voice: Voice) -> Result<(String, Ended)> {
        let mut spoken = self.speaker.folder.tokenizer().stream(prompt);
        let (mut whole, mut failed) = (String::new(), None);
        let mut say = |text: String| {
            if voice != Voice::Json {
                output::write(text.as_bytes());
            }
            whole.push_str(&text);
        };
        let mut told = |_: usize, token: u32| {
            match spoken.add(token) {
                Ok(text) => say(text),
                Err(e) => failed = Some(e),
            }
            failed.is_none() && self.state.load(Ordering::Relaxed) == at::ANSWER
        };
        let choice = &self.args.choice;
        let ended = self.threads.run(|| {
            self.speaker.generator()?.run(&[prompt.to_vec()], choice.tokens, choice.sampling(), &mut told)
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        say(spoken.rest()?);
        Ok((whole, ended.first().copied().unwrap_or(Ended::Length)))
    }
}
