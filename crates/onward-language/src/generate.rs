//! Texts that go on: one token after the other, rows that come and go side by side.

use crate::net::Language;
use crate::sampling::Sampling;
use onward::dataset::NO_ITEM;
use onward::kernel::Precision;
use onward::model::{Act, Carried, Context, Graph, Norms, Weights};
use onward::params::Params;
use onward::{Error, ErrorKind, Result};

/// Why a text went on no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By this token, which ends texts and was not told.
    End(u32),
    /// It has as many tokens as were asked for.
    Length,
    /// The net reads no longer texts.
    Context,
    /// Who listened has heard enough.
    Asked,
}

/// A text that is to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// What it begins with: at least one token, at most as many as the net's context.
    pub tokens: Vec<u32>,
    /// Tokens to follow at most.
    pub most: usize,
    /// How each of them is chosen.
    pub sampling: Sampling,
    /// With the sampling's seed it names what is drawn: texts of one seed that are to differ have different numbers.
    pub number: usize,
    /// Tokens that end it, beside those that end all of the model's texts.
    pub stops: Vec<u32>,
}

/// The next token of a row.
#[derive(Clone, Copy, Debug)]
pub struct NextToken<'a> {
    /// The row, as [`Decoder::add`] named it.
    pub row: u64,
    /// The token.
    pub token: u32,
    /// The logits of all tokens in its place, as many as the vocabulary has ([`crate::log_probability`]).
    pub logits: &'a [f32],
}

/// Lets texts go on with a net and its params.
pub struct Generator<'a> {
    net: Language,
    weights: Weights<'a>,
    step: Graph,
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

    /// Texts that go on side by side, none of them yet.
    pub fn decoder(&self) -> Decoder<'_, 'a> {
        Decoder { of: self, added: 0, waiting: Vec::new(), rows: Vec::new(), carried: Carried::default() }
    }

    /// Lets each of the `prompts` go on by at most `most` tokens, and tells `each` of them as they come: the row and the token. A row ends with a token
    /// that ends texts, which is not told, when `each` answers false, or with the net's context. A row's tokens depend neither on other rows nor
    /// on how many there are. ([`Generator::decoder`] is for rows that come and go.)
    ///
    /// # Errors
    /// Those of [`Decoder::add`] and [`Decoder::step`]; [`ErrorKind::NonFinite`] for logits that are no numbers.
    pub fn run(
        &self,
        prompts: &[Vec<u32>],
        most: usize,
        sampling: Sampling,
        each: &mut dyn FnMut(usize, u32) -> bool,
    ) -> Result<Vec<Ended>> {
        let mut decoder = self.decoder();
        for (number, tokens) in prompts.iter().enumerate() {
            let tokens = tokens.clone();
            decoder.add(Prompt { tokens, most, sampling, number, stops: Vec::new() })?;
        }
        let mut ended = vec![Ended::Length; prompts.len()];
        while !decoder.is_empty() {
            for (row, why) in decoder.step(&mut |next| each(next.row as usize, next.token))? {
                ended[row as usize] = why?;
            }
        }
        Ok(ended)
    }

    /// Checks that a text of these tokens can go on.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for a prompt that is empty, longer than the net's context, or has tokens that it does not know.
    pub fn check(&self, tokens: &[u32]) -> Result<()> {
        let wrong = |expected: String, found: String| {
            Err(Error::expected(ErrorKind::Data, "prompt", expected, found))
        };
        let (context, vocabulary) = (self.net.config.context, self.net.config.vocabulary);
        if tokens.is_empty() || tokens.len() > context {
            return wrong(format!("1 to {context} tokens"), tokens.len().to_string());
        }
        match tokens.iter().find(|token| **token as usize >= vocabulary) {
            Some(token) => wrong(format!("tokens below {vocabulary}"), token.to_string()),
            None => Ok(()),
        }
    }
}

/// Texts that go on side by side (continuous batching): rows are added between steps and leave as they end. A row's tokens and logits
/// have the bits that they would have if it were alone.
///
/// ```no_run
/// # fn example(generator: &onward_language::Generator<'_>, prompts: Vec<Vec<u32>>) -> onward::Result<()> {
/// # use onward_language::{Prompt, Sampling};
/// let mut decoder = generator.decoder();
/// for (number, tokens) in prompts.into_iter().enumerate() {
///     let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 7 };
///     decoder.add(Prompt { tokens, most: 100, sampling, number, stops: Vec::new() })?;
/// }
/// while !decoder.is_empty() {
///     let ended = decoder.step(&mut |next| {
///         println!("row {} goes on with {}", next.row, next.token);
///         true
///     })?;
///     for (row, why) in ended {
///         println!("row {row}: {:?}", why?);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Decoder<'g, 'a> {
    of: &'g Generator<'a>,
    /// Rows that were added so far.
    added: u64,
    /// Rows whose prompts are not read yet.
    waiting: Vec<Row>,
    /// Those that go on, in the order of their numbers.
    rows: Vec<Row>,
    carried: Carried,
}

struct Row {
    id: u64,
    prompt: Prompt,
    /// Its tokens so far.
    items: usize,
    /// The last of them, which is read next.
    last: u32,
}

impl Row {
    /// The items that are read before the first step.
    fn before(&self) -> &[u32] {
        &self.prompt.tokens[..self.prompt.tokens.len() - 1]
    }
}

/// Tokens of prompts that are read at once at most, padding included, where a prompt is not longer by itself.
const READ: usize = 4096;

impl Decoder<'_, '_> {
    /// Adds a row, which goes on from the next step on. It is known by the number that is returned: 0, 1, 2, … in order.
    ///
    /// # Errors
    /// Those of [`Generator::check`]; [`ErrorKind::Spec`] for a sampling whose numbers are out of range.
    pub fn add(&mut self, prompt: Prompt) -> Result<u64> {
        prompt.sampling.check()?;
        self.of.check(&prompt.tokens)?;
        let (id, items) = (self.added, prompt.tokens.len());
        self.added += 1;
        self.waiting.push(Row { id, items, last: prompt.tokens[items - 1], prompt });
        Ok(id)
    }

    /// Rows that have not ended.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.rows.len()
    }

    /// Whether all rows have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops a row, if it has not ended.
    ///
    /// # Errors
    /// None that a sound decoder has.
    pub fn remove(&mut self, row: u64) -> Result<()> {
        self.waiting.retain(|waiting| waiting.id != row);
        let going: Vec<u32> =
            (0..self.rows.len()).filter(|place| self.rows[*place].id != row).map(|p| p as u32).collect();
        self.go_on_with(&going)
    }

    /// Gives each row its next token, which `each` is told: a row that it answers false for ends with it. The rows that ended in this step, and why:
    /// [`ErrorKind::NonFinite`] if a row's logits are no numbers, which is no other row's matter. Nothing happens where there are no rows.
    ///
    /// # Errors
    /// None that a generator with sound params has.
    pub fn step(&mut self, each: &mut dyn FnMut(NextToken<'_>) -> bool) -> Result<Vec<(u64, Result<Ended>)>> {
        let mut ended = self.read()?;
        if self.rows.is_empty() {
            return Ok(ended);
        }
        let tokens = self.rows.iter().map(|row| row.last as f32).collect();
        let x = Act::new(self.rows.len(), [1, 1, 1], tokens);
        let mut cx = Context::clean(&self.of.weights, Norms::Batch);
        let answers = self.of.step.forward_carrying(&mut cx, x, &mut self.carried)?;
        let mut going = Vec::new();
        for (place, row) in self.rows.iter_mut().enumerate() {
            match row.next(&self.of.net, answers.row(place), each) {
                Ok(None) => going.push(place as u32),
                Ok(Some(why)) => ended.push((row.id, Ok(why))),
                Err(error) => ended.push((row.id, Err(error))),
            }
        }
        self.go_on_with(&going)?;
        Ok(ended)
    }

    /// Only the rows in these places, in this order.
    fn go_on_with(&mut self, places: &[u32]) -> Result<()> {
        if places.is_empty() {
            self.rows.clear();
            self.carried = Carried::default();
        } else if places.iter().copied().ne(0..self.rows.len() as u32) {
            self.carried.select(places)?;
            let mut rows: Vec<Option<Row>> = self.rows.drain(..).map(Some).collect();
            self.rows = places.iter().filter_map(|place| rows[*place as usize].take()).collect();
        }
        Ok(())
    }

    /// Reads the prompts of rows that wait, all but their last tokens, so that they can take steps. Those that are to have no tokens end at once.
    fn read(&mut self) -> Result<Vec<(u64, Result<Ended>)>> {
        let (mut waiting, none): (Vec<Row>, Vec<Row>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|row| row.prompt.most > 0);
        if !waiting.is_empty() {
            waiting.sort_by_key(|row| std::cmp::Reverse(row.items));
            while let Some(first) = waiting.first() {
                let longest = first.before().len();
                // Beside a long prompt a short one would be padding for the most part.
                let fits = |(place, row): &(usize, &Row)| {
                    2 * row.before().len() >= longest && (*place == 0 || (place + 1) * longest <= READ)
                };
                let count = waiting.iter().enumerate().take_while(fits).count();
                let group: Vec<Row> = waiting.drain(..count).collect();
                let mut carried = self.read_group(&group, longest)?;
                self.carried.join(&mut carried)?;
                self.rows.extend(group);
            }
            let mut places: Vec<u32> = (0..self.rows.len() as u32).collect();
            places.sort_by_key(|place| self.rows[*place as usize].id);
            self.go_on_with(&places)?;
        }
        Ok(none.into_iter().map(|row| (row.id, Ok(Ended::Length))).collect())
    }

    /// What rows carry on from all but the last of their tokens, of which there are so many at most.
    fn read_group(&self, group: &[Row], longest: usize) -> Result<Carried> {
        let mut carried = self.of.step.carried(group.len());
        if longest == 0 {
            return Ok(carried);
        }
        let padded = |row: &Row| {
            let tokens = row.before().iter().map(|token| *token as f32);
            tokens.chain(std::iter::repeat(NO_ITEM)).take(longest).collect::<Vec<f32>>()
        };
        let x = Act::new(group.len(), [1, longest, 1], group.iter().flat_map(padded).collect());
        let mut cx = Context::clean(&self.of.weights, Norms::Batch);
        Graph::new(&self.of.net, [1, longest, 1])?.carry(&mut cx, x, &mut carried)?;
        carried.keep(&group.iter().map(|row| row.before().len()).collect::<Vec<_>>())?;
        Ok(carried)
    }
}

impl Row {
    /// Takes its next token by the logits of all; why it ends, if it does.
    fn next(
        &mut self,
        net: &Language,
        logits: &[f32],
        each: &mut dyn FnMut(NextToken<'_>) -> bool,
    ) -> Result<Option<Ended>> {
        let Prompt { tokens, most, sampling, number, stops } = &self.prompt;
        let token = sampling.next(logits, *number, self.items)?;
        Ok(if net.config.end.contains(&token) || stops.contains(&token) {
            Some(Ended::End(token))
        } else if !each(NextToken { row: self.id, token, logits }) {
            Some(Ended::Asked)
        } else if self.items + 1 - tokens.len() >= *most {
            Some(Ended::Length)
        } else if self.items >= net.config.context {
            Some(Ended::Context)
        } else {
            (self.items, self.last) = (self.items + 1, token);
            None
        })
    }
}
