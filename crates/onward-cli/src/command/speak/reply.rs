//! Answers as OpenAI words them: whole, or as a stream of events.

use super::engine::{Heard, Likely, What};
use super::request::{Refusal, Wanted, Way};
use hyper::StatusCode;
use hyper::body::{Body, Bytes, Frame};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc::UnboundedReceiver;

/// What all parts of an answer say of it.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub id: String,
    /// When it was asked for, in seconds since 1970.
    pub created: u64,
    pub model: String,
    pub way: Way,
    /// How many answers there will be.
    answers: usize,
    prompt_tokens: usize,
}

impl About {
    pub fn new(wanted: &Wanted, id: u64, created: u64, model: &str) -> Self {
        let kind = if wanted.way == Way::Chat { "chatcmpl" } else { "cmpl" };
        Self {
            id: format!("{kind}-{created:x}-{id}"),
            created,
            model: model.into(),
            way: wanted.way,
            answers: wanted.choices * wanted.prompts.len(),
            prompt_tokens: wanted.prompts.iter().map(Vec::len).sum(),
        }
    }

    fn envelope(&self, streams: bool, choices: Value) -> Value {
        let object = match (self.way, streams) {
            (Way::Completion, _) => "text_completion",
            (Way::Chat, false) => "chat.completion",
            (Way::Chat, true) => "chat.completion.chunk",
        };
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices})
    }

    fn usage(&self, tokens: usize) -> Value {
        json!({"prompt_tokens": self.prompt_tokens, "completion_tokens": tokens, "total_tokens": self.prompt_tokens + tokens})
    }

    /// The probabilities of some tokens, the first of which begins `from` letters into the text.
    fn probabilities(&self, all: &[Likely], from: usize) -> Value {
        if self.way == Way::Chat {
            let token = |(text, log): &(String, f64)| json!({"token": text, "logprob": log, "bytes": text.as_bytes()});
            let one = |own: &Likely| {
                let mut own_token = token(&own.token);
                own_token["top_logprobs"] = own.top.iter().map(token).collect();
                own_token
            };
            return json!({"content": all.iter().map(one).collect::<Vec<_>>(), "refusal": null});
        }
        let mut at = from;
        let offset = |own: &Likely| {
            at += own.token.0.chars().count();
            at - own.token.0.chars().count()
        };
        let offsets: Vec<usize> = all.iter().map(offset).collect();
        let top = |own: &Likely| own.top.iter().map(|(t, log)| (t.clone(), json!(log))).collect::<Value>();
        json!({
            "tokens": all.iter().map(|own| &own.token.0).collect::<Vec<_>>(),
            "token_logprobs": all.iter().map(|own| own.token.1).collect::<Vec<_>>(),
            "top_logprobs": all.iter().map(top).collect::<Vec<_>>(),
            "text_offset": offsets,
        })
    }
}

/// An answer as far as it was heard.
#[derive(Default)]
struct Answered {
    text: String,
    likely: Vec<Likely>,
    why: Option<&'static str>,
}

/// All answers to a request, once they are there.
///
/// # Errors
/// Why there are none.
pub(super) async fn whole(about: &About, mut heard: UnboundedReceiver<Heard>) -> Result<Value, Refusal> {
    let mut answers: Vec<Answered> = (0..about.answers).map(|_| Answered::default()).collect();
    let mut tokens = 0;
    while let Some(Heard { choice, what }) = heard.recv().await {
        let own = &mut answers[choice];
        match what {
            What::Token { text, likely } => {
                tokens += 1;
                own.text.push_str(&text);
                own.likely.extend(likely);
            }
            What::End { text, why } => {
                own.text.push_str(&text);
                own.why = Some(why);
            }
            What::Failed(why) => return Err(failed(why)),
        }
    }
    if answers.iter().any(|own| own.why.is_none()) {
        return Err(failed("the server has stopped".into()));
    }
    let choice = |(index, own): (usize, &Answered)| {
        let likely = (!own.likely.is_empty()).then(|| about.probabilities(&own.likely, 0));
        let mut choice = json!({"index": index, "logprobs": likely, "finish_reason": own.why});
        match about.way {
            Way::Completion => choice["text"] = own.text.as_str().into(),
            Way::Chat => {
                choice["message"] = json!({"role": "assistant", "content": own.text, "refusal": null});
            }
        }
        choice
    };
    let mut reply = about.envelope(false, answers.iter().enumerate().map(choice).collect());
    reply["usage"] = about.usage(tokens);
    Ok(reply)
}

fn failed(why: String) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// A stream of events, each as it is heard. It is dropped when its reader has gone, and with it the answers.
pub(super) struct Events<Kept> {
    about: About,
    usage: bool,
    heard: UnboundedReceiver<Heard>,
    /// What is written next.
    next: VecDeque<Value>,
    /// Letters of each answer so far.
    letters: Vec<usize>,
    tokens: usize,
    /// Answers that have not ended.
    left: usize,
    done: bool,
    /// What lasts as long as the stream.
    _kept: Kept,
}

impl<Kept> Events<Kept> {
    pub fn new(about: About, usage: bool, heard: UnboundedReceiver<Heard>, kept: Kept) -> Self {
        let answers = about.answers;
        let opens = |index: usize| {
            let delta = json!({"role": "assistant", "content": ""});
            let choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": null});
            about.envelope(true, json!([choice]))
        };
        let chat = about.way == Way::Chat;
        let next = (0..if chat { answers } else { 0 }).map(opens).collect();
        let letters = vec![0; answers];
        Self { about, usage, heard, next, letters, tokens: 0, left: answers, done: false, _kept: kept }
    }

    fn chunk(&mut self, index: usize, text: &str, likely: Option<Likely>, why: Option<&str>) {
        let from = self.letters[index];
        self.letters[index] += text.chars().count();
        let likely = likely.map(|own| self.about.probabilities(&[own], from));
        let mut choice = json!({"index": index, "logprobs": likely, "finish_reason": why});
        match self.about.way {
            Way::Completion => choice["text"] = text.into(),
            Way::Chat if text.is_empty() => choice["delta"] = json!({}),
            Way::Chat => choice["delta"] = json!({"content": text}),
        }
        self.next.push_back(self.about.envelope(true, json!([choice])));
    }

    fn hear(&mut self, Heard { choice, what }: Heard) {
        match what {
            What::Token { text, likely } => {
                self.tokens += 1;
                if !text.is_empty() || likely.is_some() {
                    self.chunk(choice, &text, likely, None);
                }
            }
            What::End { text, why } => {
                if !text.is_empty() {
                    self.chunk(choice, &text, None, None);
                }
                self.chunk(choice, "", None, Some(why));
                self.left -= 1;
                if self.left == 0 && self.usage {
                    let mut last = self.about.envelope(true, json!([]));
                    last["usage"] = self.about.usage(self.tokens);
                    self.next.push_back(last);
                }
            }
            What::Failed(why) => self.fail(why),
        }
    }

    /// Ends the stream with an error.
    fn fail(&mut self, why: String) {
        self.next.push_back(failed(why).body());
        self.left = 0;
        self.heard.close();
    }
}

impl<Kept: Unpin> Body for Events<Kept> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let own = self.get_mut();
        loop {
            if let Some(event) = own.next.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(format!("data: {event}\n\n").into()))));
            }
            if own.done {
                return Poll::Ready(None);
            }
            if own.left == 0 {
                own.done = true;
                return Poll::Ready(Some(Ok(Frame::data("data: [DONE]\n\n".into()))));
            }
            match own.heard.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(heard)) => own.hear(heard),
                Poll::Ready(None) => own.fail("the server has stopped".into()),
            }
        }
    }
}
