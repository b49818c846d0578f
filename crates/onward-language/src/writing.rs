//! Texts as a model's answers.

use crate::net::Language;
use crate::sampling::Sampling;
use onward::Result;
use onward::dataset::NO_ITEM;
use onward::evaluate::Answering;
use onward::model::{Act, Carried, Chance, Context, Graph, Shape};
use onward::noise::{Noise, Role, RunKey};

/// Rows are prompts, and what is written after each is the answer: its tokens, with the one that ended the text if one did, and [`NO_ITEM`] behind. In steps of a run
/// tokens are drawn, each by the names of run, step, row and place alone: so members of a population are judged by the same luck. Elsewhere the
/// likeliest is taken.
pub struct Writing {
    net: Language,
    /// The net for one token more.
    step: Graph,
    tokens: usize,
    temperature: f32,
}

impl Writing {
    /// Of texts of at most so many `tokens`, drawn at this temperature (0 or more).
    ///
    /// # Errors
    /// [`onward::ErrorKind::Model`] if the net cannot be built.
    pub fn new(net: Language, tokens: usize, temperature: f32) -> Result<Self> {
        let step = Graph::new(&net, [1, 1, 1])?;
        Ok(Self { net, step, tokens, temperature })
    }

    /// The noise of a row's tokens, from which block on, and how they are drawn.
    fn drawn(&self, chance: &Chance, row: usize) -> (Noise, u64, Sampling) {
        let (noise, block, temperature) = match chance {
            Chance::Step { key, step, ids } => {
                let id = ids[row % ids.len().max(1)];
                (key.tensor(Role::Sample, "written").at(*step, id as u32), id >> 32 << 32, self.temperature)
            }
            Chance::Evaluation(_) => (RunKey::from_seed(0).tensor(Role::Sample, "written").at(0, 0), 0, 0.0),
        };
        (noise, block, Sampling { temperature, ..Sampling::GREEDY })
    }

    fn write(&self, cx: &mut Context<'_>, x: &Act) -> Result<Act> {
        let count = |row: usize| x.row(row).iter().take_while(|token| **token >= 0.0).count();
        let own: Vec<usize> = (0..x.rows()).map(count).collect();
        let longest = own.iter().copied().max().unwrap_or(0).max(1);
        let shown = (0..x.rows()).flat_map(|row| x.row(row)[..longest].iter().copied()).collect();
        let prompts = Graph::new(&self.net, [1, longest, 1])?;
        let (mut carried, vocabulary) = (Carried::default(), self.net.config.vocabulary);
        let answers =
            prompts.forward_carrying(cx, Act::new(x.rows(), [1, longest, 1], shown), &mut carried)?;
        // Members have answers of their own from the first map on.
        let rows = carried.rows();
        let lengths: Vec<usize> = (0..rows).map(|row| own[row % own.len()]).collect();
        carried.keep(&lengths)?;
        let last =
            |row: usize| &answers.row(row % answers.rows())[(lengths[row] - 1) * vocabulary..][..vocabulary];
        let mut logits: Vec<f32> = (0..rows).flat_map(|row| last(row).iter().copied()).collect();
        let drawn: Vec<(Noise, u64, Sampling)> = (0..rows).map(|row| self.drawn(cx.chance(), row)).collect();
        let mut written = vec![NO_ITEM; rows * self.tokens];
        // Whose logits these are, and which of them have not ended.
        let mut there: Vec<usize> = (0..rows).collect();
        let mut going = vec![true; rows];
        for item in 0..self.tokens {
            let mut next = vec![0.0; there.len()];
            for (place, row) in
                there.iter().copied().enumerate().filter(|(_, row)| going[*row]).collect::<Vec<_>>()
            {
                let (noise, block, sampling) = drawn[row];
                let logits = &logits[place * vocabulary..][..vocabulary];
                // A row without a next token has written what it has.
                let Ok(token) = sampling.choose(logits, noise, block + item as u64) else {
                    going[row] = false;
                    continue;
                };
                written[row * self.tokens + item] = token as f32;
                next[place] = token as f32;
                let full = lengths[row] + item >= self.net.config.context;
                going[row] = !self.net.config.end.contains(&token) && !full;
            }
            if item + 1 == self.tokens || !going.contains(&true) {
                break;
            }
            // Members' rows have to stay where they are: there those that are done go on unheard.
            if cx.members() == 1 && there.iter().any(|row| !going[*row]) {
                let places = 0..there.len() as u32;
                let kept: Vec<u32> = places.filter(|place| going[there[*place as usize]]).collect();
                carried.select(&kept)?;
                next = kept.iter().map(|place| next[*place as usize]).collect();
                there.retain(|row| going[*row]);
            }
            let x = Act::new(next.len(), [1, 1, 1], next);
            logits = self.step.forward_carrying(cx, x, &mut carried)?.data().to_vec();
        }
        Ok(Act::new(rows, [1, self.tokens, 1], written))
    }
}

impl Answering for Writing {
    fn shape(&self, _: Shape) -> Shape {
        [1, self.tokens, 1]
    }

    fn answer(&self, _: &Graph, cx: &mut Context<'_>, x: Act) -> Act {
        // What wrote nothing that could be read is judged as such.
        self.write(cx, &x).unwrap_or_else(|_| {
            let rows = x.rows() * cx.members();
            Act::new(rows, [1, self.tokens, 1], vec![NO_ITEM; rows * self.tokens])
        })
    }
}
