//! Steps on texts that the model writes itself.

use crate::verify::{Rewarded, Written};
use onward::ask::{Answer, Ask, Order, ProbePlan, Told};
use onward::dataset::{Columns, NO_ITEM, Targets, UNASKED};
use onward::evaluate::{Batch, Evaluator, Local, Quorum, Ticket, Worker};
use onward::kernel::{exp, exp64, ln64};
use onward::ledger::{Direction, Entry, Header, Numerics, State};
use onward::model::{Act, Chance};
use onward::rows::Source;
use onward::task::{Answers, ItemCrossEntropy, Task};
use onward::{Error, ErrorKind, Result};
use std::sync::Arc;

/// An evaluator of rewards: it lets the model write several texts for each prompt and credits their tokens by how much better each text was than the others
/// of its prompt. What asks for the losses of members or candidates is answered by a [`Worker`].
///
/// The credit at the logits is that of REINFORCE with the mean of the other texts as its baseline (Williams 1992; Kool, van Hoof and Welling 2019), which needs no
/// derivative of the reward, and none of the model: probabilities less one-hot tokens, times the advantage. Below, it goes on locally as for any loss.
pub struct Rollouts {
    worker: Worker,
    local: Local,
    data: Arc<dyn Source>,
    rewarded: Rewarded,
    drawing: Drawing,
    opened: Option<([u8; 32], Order)>,
    taken: Option<Ask>,
}

/// How texts are drawn for a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawing {
    /// So many, 2 or more.
    pub times: usize,
    /// At this temperature, above 0: texts that are all the same could not be told apart.
    pub temperature: f32,
    /// What a nat of entropy of a token's choice is worth, in rewards, so that texts stay different; 0 for nothing.
    pub entropy: f32,
}

/// A text that was written in a step, and whose reward is known.
struct Judged {
    prompt: Vec<f32>,
    text: Vec<f32>,
    /// How much better it is than the others for its prompt.
    advantage: f64,
    /// Whether something can be learned from it.
    teaches: bool,
    /// The id of its row and draw.
    id: u64,
}

impl Rollouts {
    /// With texts that `local`, whose answers are [`crate::Writing`]'s and whose task is `rewarded`, writes for rows of `data`, drawn so.
    pub fn new(local: Local, data: Arc<dyn Source>, rewarded: Rewarded, drawing: Drawing) -> Self {
        let Drawing { temperature, entropy, times } = drawing;
        let drawing = Drawing { times: times.max(2), ..drawing };
        let worker = Worker::new(local.clone(), Arc::clone(&data));
        let local = local.with_task(Arc::new(Advantage { temperature, entropy }));
        Self { worker, local, data, rewarded, drawing, opened: None, taken: None }
    }

    fn told(&mut self, ask: &Ask, state: &State) -> Result<Told> {
        let (ProbePlan::Local(plan), Some((_, order))) = (&ask.probes, &mut self.opened) else {
            return Err(not_opened(ask));
        };
        let read = order.batch(ask.id.step, ask.batch as usize);
        let (rows, reward) = self.judged(&read, ask, state)?;
        let length =
            rows.iter().map(|Judged { prompt, text, .. }| prompt.len() + text.len() - 1).max().unwrap_or(1);
        let (mut features, mut values) = (Vec::new(), Vec::new());
        for Judged { prompt, text, .. } in &rows {
            let upto = features.len() + length;
            features.extend(prompt.iter().chain(&text[..text.len() - 1]));
            values.extend(prompt.iter().skip(1).map(|_| UNASKED).chain(text.iter().copied()));
            [&mut features, &mut values].into_iter().for_each(|all| all.resize(upto, NO_ITEM));
        }
        // Each token counts the same, however long its text is.
        let most = rows.iter().map(|row| row.text.len()).max().unwrap_or(1) as f64;
        let shares = rows.iter().map(|row| row.text.len() as f64 / most);
        let scaled = rows.iter().map(|row| row.advantage * row.text.len() as f64 / most);
        let batch = Batch {
            x: Act::new(rows.len(), [1, length, 1], features),
            targets: Targets::Values { values, width: length },
            columns: Columns::default().with(ADVANTAGE, scaled.collect()).with(SHARE, shares.collect()),
            ids: rows.iter().map(|row| row.id).collect(),
        };
        let mut response = self.local.local_derivative(state.key(), state.params(), &batch, plan)?;
        response.loss = (1.0 - reward) as f32;
        Ok(Told::Response(response))
    }

    /// Lets the model write and has it judged: the texts that something can be learned from, and the mean reward of all.
    fn judged(&self, ids: &[u64], ask: &Ask, state: &State) -> Result<(Vec<Judged>, f64)> {
        let read = self.data.read(ids)?;
        let (prompts, width) = (read.data(), read.data().width());
        let again = |values: &[f32]| values.repeat(self.drawing.times);
        let features = (0..ids.len()).flat_map(|row| again(prompts.row(row))).collect();
        // The draws of a row are named by the high bits of its id.
        let named: Vec<u64> = ids
            .iter()
            .flat_map(|id| (0..self.drawing.times as u64).map(move |draw| id + (draw << 48)))
            .collect();
        let chance =
            Chance::Step { key: *state.key(), step: ask.id.step as u32, ids: named.as_slice().into() };
        let x = Act::new(named.len(), [1, width, 1], features);
        let written = self.local.answers_at(state.params(), x, chance)?;
        let Targets::Values { values, width } = prompts.targets() else {
            return Err(Error::expected(ErrorKind::Data, "targets", "prompts", "classes"));
        };
        let there =
            |all: &[f32]| -> Vec<f32> { all.iter().copied().take_while(|token| *token >= 0.0).collect() };
        let text = |row: usize| {
            self.rewarded.text(written.row(row), &values[row / self.drawing.times * width..][..*width])
        };
        let texts = (0..named.len()).map(text).collect::<Result<Vec<Written>>>()?;
        let verdicts = self.rewarded.verify.verdicts(&texts);
        let rewards: Vec<Option<f64>> = verdicts.iter().map(|v| v.map(|v| f64::from(v.reward))).collect();
        let (mut all, mut known, mut sum_of_all) = (Vec::new(), 0, 0.0);
        for (prompt, rewards) in rewards.chunks(self.drawing.times).enumerate() {
            let (count, sum) = rewards.iter().flatten().fold((0, 0.0), |(n, sum), r| (n + 1, sum + r));
            (known, sum_of_all) = (known + count, sum_of_all + sum);
            for (draw, reward) in rewards.iter().enumerate() {
                let (row, Some(reward)) = (prompt * self.drawing.times + draw, reward) else { continue };
                let text = there(written.row(row));
                if count > 1 && !text.is_empty() {
                    let advantage = reward - (sum - reward) / f64::from(count - 1);
                    let teaches = advantage != 0.0 || (self.drawing.entropy > 0.0 && *reward < 1.0);
                    all.push(Judged {
                        teaches,
                        prompt: there(prompts.row(prompt)),
                        text,
                        advantage,
                        id: named[row],
                    });
                }
            }
        }
        // Where all are right there is nothing to learn; one is kept, so that there is a batch.
        let mut first = true;
        all.retain(|row| std::mem::take(&mut first) || row.teaches);
        if all.is_empty() {
            let place = format!("rewards of step {}", ask.id.step);
            let expected = "at least two texts of a prompt with a reward that is known";
            return Err(Error::expected(
                ErrorKind::Evaluator,
                place,
                expected,
                format!("{known} of {}", named.len()),
            ));
        }
        Ok((all, sum_of_all / f64::from(known)))
    }
}

/// A question of a run that this evaluator was not opened with.
fn not_opened(ask: &Ask) -> Error {
    let place = format!("question of step {}", ask.id.step);
    Error::expected(ErrorKind::Evaluator, place, "one of the opened run", "one of another")
}

impl Evaluator for Rollouts {
    fn kind(&self) -> &str {
        "rollouts"
    }

    fn made(&self, batch: usize) -> (usize, u64) {
        (batch * self.drawing.times, 1)
    }

    fn open(&mut self, run: &Header, state: &State) -> Result<Numerics> {
        let order = Order::new(*state.key(), self.data.schema().rows(), run.shuffle()?);
        (self.opened, self.taken) = (Some((run.run(), order)), None);
        self.worker.open(run, state)
    }

    fn submit(&mut self, ask: &Ask, state: &State) -> Result<Ticket> {
        if !matches!(ask.probes, ProbePlan::Local(_)) {
            return self.worker.submit(ask, state);
        }
        if self.opened.as_ref().is_none_or(|(run, _)| *run != ask.id.run) {
            return Err(not_opened(ask));
        }
        self.taken = Some(ask.clone());
        Ok(Ticket(ask.id))
    }

    fn collect(&mut self, ticket: Ticket, enough: Quorum, state: &State) -> Result<Answer> {
        match self.taken.take_if(|ask| ask.id == ticket.0) {
            Some(ask) => Ok(Answer { to: ask.id, told: self.told(&ask, state)? }),
            None => self.worker.collect(ticket, enough, state),
        }
    }

    fn follow(&mut self, entry: &Entry, direction: Option<&Direction>) -> Result<()> {
        self.worker.follow(entry, direction)
    }
}

/// The column of advantages.
const ADVANTAGE: &str = "advantage";
/// The column of what each text counts: its share of the tokens of the longest.
const SHARE: &str = "share";

/// The negative log-probability of a row's tokens, times the row's advantage, less the entropy of each token's choice, so many times: what is to become small
/// for likelier texts of more reward that are still told in several ways. Tokens were drawn from logits divided by the temperature.
struct Advantage {
    temperature: f32,
    entropy: f32,
}

impl Advantage {
    fn of(answers: Answers<'_>, name: &str, row: usize) -> f32 {
        answers.columns.get(name).map_or(0.0, |all| all[answers.sample(row)] as f32)
    }

    /// The logits that tokens were drawn from.
    fn drawn_from(&self, outputs: &Act) -> Act {
        let data = outputs.data().iter().map(|logit| logit / self.temperature).collect();
        Act::new(outputs.rows(), outputs.shape(), data)
    }

    /// The targets of a row's items, of which there are as many as are asked about.
    fn asked<'a>(answers: Answers<'a>, row: usize) -> (&'a [f32], f32) {
        let Targets::Values { values, width } = answers.targets else { return (&[], 0.0) };
        let own = &values[answers.sample(row) * width..][..*width];
        (own, own.iter().filter(|target| **target >= 0.0).count() as f32)
    }

    /// The losses of items, times the advantage, and the entropies of those that are asked about.
    fn items(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> bool {
        let drawn_from = self.drawn_from(outputs);
        let known = ItemCrossEntropy.item_losses(&drawn_from, answers, losses);
        let items = losses.len() / outputs.rows().max(1);
        for (row, own) in losses.chunks_mut(items.max(1)).enumerate() {
            let ((targets, there), share) = (Self::asked(answers, row), Self::of(answers, SHARE, row));
            let logits = drawn_from.row(row).chunks(outputs.width() / items.max(1));
            for ((loss, target), logits) in own.iter_mut().zip(targets).zip(logits) {
                *loss *= Self::of(answers, ADVANTAGE, row);
                if *target >= 0.0 && self.entropy > 0.0 {
                    *loss -= self.entropy * share / there * Choice::of(logits).entropy;
                }
            }
        }
        known
    }
}

/// How a token is chosen.
struct Choice {
    /// The natural logarithms of all tokens' probabilities.
    logs: Vec<f32>,
    /// In nats.
    entropy: f32,
}

impl Choice {
    fn of(logits: &[f32]) -> Self {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let whole: f64 = logits.iter().map(|logit| exp64(f64::from(logit - top))).sum();
        let shift = top + ln64(whole) as f32;
        let logs: Vec<f32> = logits.iter().map(|logit| logit - shift).collect();
        let entropy = logs.iter().map(|log| f64::from(*log) * exp64(f64::from(*log))).sum::<f64>();
        Self { logs, entropy: -entropy as f32 }
    }
}

impl Task for Advantage {
    fn check(&self, outputs: usize, answers: Answers<'_>) -> Result<()> {
        ItemCrossEntropy.check(outputs, answers)
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        let items = Self::asked(answers, 0).0.len();
        let mut each = vec![0.0; outputs.rows() * items];
        self.items(outputs, answers, &mut each);
        losses.iter_mut().zip(each.chunks(items.max(1))).for_each(|(loss, own)| *loss = own.iter().sum());
        Ok(())
    }

    fn item_losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> bool {
        self.items(outputs, answers, losses)
    }

    fn derivative(&self, outputs: &Act, answers: Answers<'_>, by_outputs: &mut [f32]) -> bool {
        let drawn_from = self.drawn_from(outputs);
        let known = ItemCrossEntropy.derivative(&drawn_from, answers, by_outputs);
        for (row, own) in by_outputs.chunks_mut(outputs.width().max(1)).enumerate() {
            let ((targets, there), share) = (Self::asked(answers, row), Self::of(answers, SHARE, row));
            let (advantage, width) = (Self::of(answers, ADVANTAGE, row), own.len() / targets.len().max(1));
            let logits = drawn_from.row(row).chunks(width.max(1));
            for ((own, target), logits) in own.chunks_mut(width.max(1)).zip(targets).zip(logits) {
                own.iter_mut().for_each(|v| *v *= advantage / self.temperature);
                if *target >= 0.0 && self.entropy > 0.0 {
                    // Of -H by a logit z: p (ln p + H).
                    let (Choice { logs, entropy }, factor) =
                        (Choice::of(logits), self.entropy * share / there / self.temperature);
                    own.iter_mut().zip(&logs).for_each(|(v, log)| *v += factor * exp(*log) * (log + entropy));
                }
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derivative_is_that_of_the_losses() {
        let (items, classes) = (3, 4);
        let targets = Targets::Values { values: vec![UNASKED, 1.0, 3.0, 2.0, 0.0, NO_ITEM], width: items };
        let columns = Columns::default().with(ADVANTAGE, vec![0.7, -0.4]).with(SHARE, vec![1.0, 0.5]);
        let answers = Answers::all(&targets, &columns);
        let task = Advantage { temperature: 1.5, entropy: 0.3 };
        let logits: Vec<f32> = (0..24).map(|i| ((i * 37 % 23) as f32 - 11.0) / 8.0).collect();
        let loss = |logits: &[f32]| {
            let mut losses = [0.0; 2];
            task.losses(&Act::new(2, [1, items, classes], logits.to_vec()), answers, &mut losses).unwrap();
            f64::from(losses[0]) + f64::from(losses[1])
        };
        let mut found = vec![0.0; 24];
        assert!(task.derivative(&Act::new(2, [1, items, classes], logits.clone()), answers, &mut found));
        for at in 0..24 {
            let moved = |by: f32| {
                let mut logits = logits.clone();
                logits[at] += by;
                loss(&logits)
            };
            let by_difference = (moved(0.01) - moved(-0.01)) / 0.02;
            assert!(
                (by_difference - f64::from(found[at])).abs() < 1e-4,
                "{at}: {by_difference} {}",
                found[at]
            );
        }
    }
}
