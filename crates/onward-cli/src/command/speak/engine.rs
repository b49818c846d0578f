//! Answers of all requests, side by side: the one thread that computes.

use super::Speaker;
use super::request::Wanted;
use onward::Result;
use onward::threads::Threads;
use onward_language::{Decoder, Ended, NextToken, Prompt, SpokenUntil, Tokenizer, log_probability};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use tokio::sync::mpsc::UnboundedSender;

/// A request on its way to be answered.
pub(super) struct Job {
    pub wanted: Wanted,
    /// Where what it is answered is heard; nobody listens any more where the client has gone.
    pub heard: UnboundedSender<Heard>,
}

/// What a request is told of one of its answers.
#[derive(Debug)]
pub(super) struct Heard {
    /// Which of its answers.
    pub choice: usize,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A token, and what it adds to the text.
    Token { text: String, likely: Option<Likely> },
    /// The end, with what was kept back until then.
    End { text: String, why: &'static str },
    /// Why there is no more.
    Failed(String),
}

/// A token with the logarithm of its probability, and the likeliest ones.
#[derive(Debug)]
pub(super) struct Likely {
    pub token: (String, f64),
    pub top: Vec<(String, f64)>,
}

/// An answer that is being worked on or waits for that.
struct Spoken<'a> {
    heard: UnboundedSender<Heard>,
    choice: usize,
    tokenizer: &'a Tokenizer,
    text: SpokenUntil<'a>,
    probabilities: Option<usize>,
    failed: Option<String>,
}

/// Answers requests as they come, up to so many answers side by side, until nobody can ask any more; ends them where they are once it is to `halt`.
///
/// # Errors
/// Those of a generator that does not fit its params.
pub(super) fn answer(
    speaker: &Speaker,
    jobs: &Receiver<Job>,
    rows: usize,
    threads: &Threads,
    halt: &AtomicBool,
) -> Result<()> {
    let generator = threads.run(|| speaker.generator())?;
    let mut decoder = generator.decoder();
    let mut waiting: VecDeque<(Prompt, Spoken<'_>)> = VecDeque::new();
    let mut going: BTreeMap<u64, Spoken<'_>> = BTreeMap::new();
    loop {
        if going.is_empty() && waiting.is_empty() {
            match jobs.recv() {
                Ok(job) => waiting.extend(answers(job, speaker.folder.tokenizer())),
                Err(_) => return Ok(()),
            }
        }
        jobs.try_iter().for_each(|job| waiting.extend(answers(job, speaker.folder.tokenizer())));
        if halt.load(Ordering::Relaxed) {
            let all = waiting.drain(..).map(|(_, spoken)| spoken);
            all.chain(std::mem::take(&mut going).into_values())
                .for_each(|s| s.fail("the server is stopping"));
            decoder = generator.decoder();
            continue;
        }
        admit(&mut decoder, &mut waiting, &mut going, rows);
        let ended = threads.run(|| {
            decoder.step(&mut |next| going.get_mut(&next.row).is_some_and(|spoken| spoken.tell(&next)))
        })?;
        for (row, why) in ended {
            if let Some(spoken) = going.remove(&row) {
                match why {
                    Ok(why) => spoken.end(why),
                    Err(error) => spoken.fail(error.to_string()),
                }
            }
        }
    }
}

/// The answers that a request wants.
fn answers<'a>(job: Job, tokenizer: &'a Tokenizer) -> Vec<(Prompt, Spoken<'a>)> {
    let Job { wanted, heard } = job;
    let choices = wanted.choices;
    let one = |choice: usize| {
        let tokens = wanted.prompts[choice / choices].clone();
        let spoken = Spoken {
            heard: heard.clone(),
            choice,
            tokenizer,
            text: tokenizer.stream_until(&tokens, &wanted.stops),
            probabilities: wanted.probabilities,
            failed: None,
        };
        let (most, sampling) = (wanted.most, wanted.sampling);
        (Prompt { tokens, most, sampling, number: choice, stops: Vec::new() }, spoken)
    };
    (0..choices * wanted.prompts.len()).map(one).collect()
}

/// Lets answers that wait begin while there is room, in order; those that nobody waits for do not.
fn admit<'a>(
    decoder: &mut Decoder<'_, '_>,
    waiting: &mut VecDeque<(Prompt, Spoken<'a>)>,
    going: &mut BTreeMap<u64, Spoken<'a>>,
    rows: usize,
) {
    while going.len() < rows
        && let Some((prompt, spoken)) = waiting.pop_front()
    {
        if spoken.heard.is_closed() {
            continue;
        }
        match decoder.add(prompt) {
            Ok(row) => drop(going.insert(row, spoken)),
            Err(error) => spoken.fail(error.to_string()),
        }
    }
}

impl Spoken<'_> {
    /// Tells the next token; whether it is to go on.
    fn tell(&mut self, next: &NextToken<'_>) -> bool {
        let told = self.text.add(next.token).map(|text| What::Token {
            text,
            likely: self.probabilities.map(|top| likely(self.tokenizer, next, top)),
        });
        match told {
            Ok(what) => self.send(what) && !self.text.stopped(),
            Err(error) => {
                self.failed = Some(error.to_string());
                false
            }
        }
    }

    fn end(mut self, why: Ended) {
        let rest = match self.failed.take() {
            Some(why) => Err(why),
            None => self.text.rest().map_err(|e| e.to_string()),
        };
        match rest {
            Ok(text) => {
                let stopped = self.text.stopped() || matches!(why, Ended::End(_));
                self.send(What::End { text, why: if stopped { "stop" } else { "length" } });
            }
            Err(why) => self.fail(why),
        }
    }

    fn fail(self, why: impl Into<String>) {
        self.send(What::Failed(why.into()));
    }

    /// Whether somebody hears it.
    fn send(&self, what: What) -> bool {
        self.heard.send(Heard { choice: self.choice, what }).is_ok()
    }
}

/// A token's probability beside those of the likeliest.
fn likely(tokenizer: &Tokenizer, next: &NextToken<'_>, count: usize) -> Likely {
    let whole = log_probability(next.logits, next.token) - f64::from(next.logits[next.token as usize]);
    let one = |token: u32| {
        // Behind another token, as a text's first one loses its space.
        let alone = tokenizer.decode(&[token]).unwrap_or_default();
        let twice = tokenizer.decode(&[token; 2]).unwrap_or_default();
        let text = twice.strip_prefix(&alone).filter(|text| !text.is_empty()).map(str::to_owned);
        let text = text.or_else(|| tokenizer.word(token)).unwrap_or_default();
        (text, f64::from(next.logits[token as usize]) + whole)
    };
    let mut all: Vec<u32> = (0..next.logits.len() as u32).collect();
    let by_logit =
        |a: &u32, b: &u32| next.logits[*b as usize].total_cmp(&next.logits[*a as usize]).then(a.cmp(b));
    if count < all.len() {
        all.select_nth_unstable_by(count, by_logit);
        all.truncate(count);
    }
    all.sort_unstable_by(by_logit);
    Likely { token: one(next.token), top: all.into_iter().map(one).collect() }
}
