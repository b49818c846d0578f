//! Texts that go on: one token after the other, several rows side by side.

use crate::net::Language;
use onward::dataset::NO_ITEM;
use onward::kernel::{Precision, exp64};
use onward::model::{Act, Carried, Context, Graph, Norms, Weights};
use onward::noise::{Role, RunKey};
use onward::params::Params;
use onward::{Error, ErrorKind, Result};

/// How the next token is chosen among all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the likeliest token, the lowest number among equals.
    pub temperature: f32,
    /// So many of the likeliest tokens at most; 0 for all.
    pub top_k: usize,
    /// The fewest of the likeliest tokens that together have this probability, from 0 to 1.
    pub top_p: f32,
    /// The seed of all choices: with the number of a row and of a token it names each of them.
    pub seed: u64,
}

impl Sampling {
    /// Always the likeliest token.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 };

    /// # Errors
    /// [`ErrorKind::Spec`] naming the number that is out of range.
    fn check(&self) -> Result<()> {
        let wrong = |what: &str, expected: &str, found: f32| {
            Err(Error::expected(ErrorKind::Spec, what, expected, found))
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return wrong("temperature", "a number of at least 0", self.temperature);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", "a number above 0, at most 1", self.top_p);
        }
        Ok(())
    }

    /// The next token by the logits of all.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if a logit is no number, or is infinite.
    fn next(&self, logits: &[f32], row: usize, item: usize) -> Result<u32> {
        if let Some(token) = logits.iter().position(|v| !v.is_finite()) {
            let place = format!("the logit of token {token} of item {item}");
            return Err(Error::expected(ErrorKind::NonFinite, place, "a finite number", logits[token]));
        }
        // Of equals the first: an order that is the same everywhere.
        let by_logit = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
        if self.temperature == 0.0 {
            return Ok((0..logits.len()).min_by(by_logit).unwrap_or(0) as u32);
        }
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_unstable_by(by_logit);
        if self.top_k > 0 {
            order.truncate(self.top_k);
        }
        let top = f64::from(logits[order[0]]);
        let weight = |token: &usize| exp64((f64::from(logits[*token]) - top) / f64::from(self.temperature));
        let mut weights: Vec<f64> = order.iter().map(weight).collect();
        let whole: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let enough = weights.iter().position(|w| {
            sum += w;
            sum >= f64::from(self.top_p) * whole
        });
        weights.truncate(enough.map_or(weights.len(), |last| last + 1));
        let whole: f64 = weights.iter().sum();
        let noise =
            RunKey::from_seed(self.seed).tensor(Role::Sample, "next token").at(item as u32, row as u32);
        let [a, b, ..] = noise.words(0);
        let chance = (f64::from(a) * 4_294_967_296.0 + f64::from(b)) / 18_446_744_073_709_551_616.0;
        let (mut sum, mut chosen) = (0.0, weights.len() - 1);
        for (place, weight) in weights.iter().enumerate() {
            sum += weight;
            if chance * whole < sum {
                chosen = place;
                break;
            }
        }
        Ok(order[chosen] as u32)
    }
}

/// Why a text went on no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By a token that ends texts.
    End,
    /// It has as many tokens as were asked for.
    Length,
    /// The net reads no longer texts.
    Context,
    /// Who listened has heard enough.
    Asked,
}

/// Lets texts go on with a net and its params.
pub struct Generator<'a> {
    net: Language,
    weights: Weights<'a>,
    step: Graph,
}

/// What is left of the rows that go on.
struct Row {
    /// Its number among all.
    number: usize,
    /// Its tokens so far.
    items: usize,
    /// Those that it was given.
    given: usize,
}

impl<'a> Generator<'a> {
    /// For a net with these params, whose products are of this precision.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the params are not those of the net.
    pub fn new(net: Language, params: &'a Params, precision: Precision) -> Result<Self> {
        let step = Graph::new(&net, [1, 1, 1])?;
        step.check_params(params)?;
        Ok(Self { net, weights: Weights::new(params, precision), step })
    }

    /// Lets each of the `prompts` go on by at most `most` tokens, and tells `each` of them as they come: the row and the token. A row ends with a token
    /// that ends texts, which is not told, when `each` answers false, or with the net's context. A row's tokens depend neither on other rows nor
    /// on how many there are.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for a prompt that is empty, longer than the net's context, or has tokens that it does not know; [`ErrorKind::NonFinite`] for
    /// logits that are no numbers; [`ErrorKind::Spec`] as `sampling` is.
    pub fn run(
        &self,
        prompts: &[Vec<u32>],
        most: usize,
        sampling: Sampling,
        each: &mut dyn FnMut(usize, u32) -> bool,
    ) -> Result<Vec<Ended>> {
        sampling.check()?;
        prompts.iter().enumerate().try_for_each(|(row, prompt)| self.check(row, prompt))?;
        let mut ended = vec![Ended::Length; prompts.len()];
        if most == 0 || prompts.is_empty() {
            return Ok(ended);
        }
        let (mut carried, logits) = self.read(prompts)?;
        let vocabulary = self.net.config.vocabulary;
        let mut rows: Vec<Row> = prompts
            .iter()
            .enumerate()
            .map(|(number, prompt)| Row { number, items: prompt.len(), given: prompt.len() })
            .collect();
        let mut logits = logits;
        loop {
            let mut going = Vec::new();
            let mut next = Vec::new();
            for (place, (row, logits)) in rows.iter().zip(logits.chunks_exact(vocabulary)).enumerate() {
                let token = sampling.next(logits, row.number, row.items)?;
                let why = if self.net.config.end.contains(&token) {
                    Some(Ended::End)
                } else if !each(row.number, token) {
                    Some(Ended::Asked)
                } else if row.items + 1 - row.given >= most {
                    Some(Ended::Length)
                } else if row.items >= self.net.config.context {
                    Some(Ended::Context)
                } else {
                    None
                };
                match why {
                    Some(why) => ended[row.number] = why,
                    None => {
                        going.push(place as u32);
                        next.push(token as f32);
                    }
                }
            }
            if going.is_empty() {
                return Ok(ended);
            }
            if going.len() < rows.len() {
                carried.select(&going)?;
                let mut place = 0;
                rows.retain(|_| {
                    place += 1;
                    going.binary_search(&(place - 1)).is_ok()
                });
            }
            rows.iter_mut().for_each(|row| row.items += 1);
            let x = Act::new(next.len(), [1, 1, 1], next);
            let mut cx = Context::clean(&self.weights, Norms::Batch);
            logits = self.step.forward_carrying(&mut cx, x, &mut carried)?.data().to_vec();
        }
    }

    /// Reads the prompts; with what they carry on, the logits behind the last token of each.
    fn read(&self, prompts: &[Vec<u32>]) -> Result<(Carried, Vec<f32>)> {
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let graph = Graph::new(&self.net, [1, longest, 1])?;
        let padded = |prompt: &Vec<u32>| {
            let tokens = prompt.iter().map(|token| *token as f32);
            tokens.chain(std::iter::repeat(NO_ITEM)).take(longest).collect::<Vec<f32>>()
        };
        let x = Act::new(prompts.len(), [1, longest, 1], prompts.iter().flat_map(padded).collect());
        let mut carried = Carried::default();
        let mut cx = Context::clean(&self.weights, Norms::Batch);
        let answers = graph.forward_carrying(&mut cx, x, &mut carried)?;
        let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
        carried.keep(&lengths)?;
        let vocabulary = self.net.config.vocabulary;
        let last = |(row, items): (usize, &usize)| {
            answers.row(row)[(items - 1) * vocabulary..][..vocabulary].to_vec()
        };
        Ok((carried, lengths.iter().enumerate().flat_map(last).collect()))
    }

    fn check(&self, row: usize, prompt: &[u32]) -> Result<()> {
        let wrong = |expected: String, found: String| {
            Err(Error::expected(ErrorKind::Data, format!("prompt {row}"), expected, found))
        };
        let (context, vocabulary) = (self.net.config.context, self.net.config.vocabulary);
        if prompt.is_empty() || prompt.len() > context {
            return wrong(format!("1 to {context} tokens"), prompt.len().to_string());
        }
        match prompt.iter().find(|token| **token as usize >= vocabulary) {
            Some(token) => wrong(format!("tokens below {vocabulary}"), token.to_string()),
            None => Ok(()),
        }
    }
}
