//! Params, the optimizer's memory, and the only way that either changes.

use super::rounding::note;
use super::search::Searching;
use super::{Direction, Entry, Header, Moves, Optimizer, Recipe, Rounding, Scaling, Update, Visited};
use crate::kernel::ask_for;
use crate::kernel::step::{self, SQUARES_DECAY};
use crate::model::{TensorKeys, WeightSpace};
use crate::noise::{Noise, Role, RunKey};
use crate::params::{Params, Storage, Tensor};
use crate::space::{Probes, Streams, Sum, changes, moved};
use crate::threads::prelude::*;
use crate::{Error, ErrorKind, Place, Result};
use std::borrow::Cow;

/// Weights that one task rounds.
const PIECE: usize = 1 << 14;

/// The state of a run at a step: params, optimizer memory and, for a search, the strategy's state.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    key: RunKey,
    pub(super) recipe: Recipe,
    pub(super) params: Params,
    pub(super) momentum: Vec<Vec<f32>>,
    pub(super) squares: Vec<Vec<f32>>,
    pub(super) step: u64,
    pub(super) search: Option<Searching>,
    pub(super) streams: Streams,
}

impl State {
    /// The state before the first step. Params that change are rounded to what the recipe's storage holds and kept in its type; so are those
    /// that stay as they are (rate 0), if they are in single precision. All others of these stay as they lie.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if there is not one rate of at least 0 for each tensor (or none), a number is too large for the storage, a search's
    /// setting cannot work or there are too many params for its strategy.
    pub fn new(params: Params, recipe: Recipe, key: RunKey) -> Result<Self> {
        recipe.check(&params)?;
        let params = stored(params, &recipe)?;
        let zeros = |needed: bool| -> Vec<Vec<f32>> {
            let moved = |i: usize, t: &Tensor| if recipe.rate(i) == 0.0 { 0 } else { t.data.len() };
            let all = params.tensors().iter().enumerate().filter(|_| needed);
            all.map(|(i, t)| vec![0.0; moved(i, t)]).collect()
        };
        let adam = recipe.optimizer.scaling == Scaling::Adam;
        let (momentum, squares) = (zeros(adam || recipe.optimizer.momentum > 0.0), zeros(adam));
        let search = match &recipe.moves {
            Moves::Search(search) => Some(Searching::begin(search, &params, &key, &recipe.rates)?),
            Moves::Noise(_) | Moves::Directions => None,
        };
        Ok(Self { key, recipe, params, momentum, squares, step: 0, search, streams: Streams::default() })
    }

    /// The state before the first step of the run with this header and these base params.
    ///
    /// # Errors
    /// As for [`State::new`], and [`ErrorKind::Model`] naming a tensor of another type than the header tells.
    pub fn of(header: &Header, base: Params) -> Result<Self> {
        let state = Self::new(base, header.recipe.clone(), RunKey::from_seed(header.seed))?;
        let told = |name: &str| header.types.get(name).copied().unwrap_or(header.recipe.storage.dtype());
        match state.params.tensors().iter().find(|t| t.data.dtype() != told(&t.name)) {
            None => Ok(state),
            Some(t) => {
                let (expected, found) = (told(&t.name).name(), t.data.dtype().name());
                Err(Error::expected(ErrorKind::Model, Place::tensor(&t.name), expected, found))
            }
        }
    }

    /// The candidates of a search's generation, one after another, each with all params in order; `None` for other runs.
    pub fn candidates(&self) -> Option<Cow<'_, [f64]>> {
        self.search.as_ref().map(Searching::points)
    }

    /// The number of candidates of a search's generation; 0 for other runs.
    pub fn candidate_count(&self) -> usize {
        self.search.as_ref().map_or(0, Searching::candidates)
    }

    /// The key that all noise of the run is derived from.
    pub fn key(&self) -> &RunKey {
        &self.key
    }

    /// The present params.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// What steps hand on to the next besides params; nothing where rows stand alone and nothing about probes is learned.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The number of steps applied so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The recipe by which entries become steps.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Applies one entry; params change in no other way. Without scaling the direction includes the learning rate, and
    /// `w + 2^e · Σ c·z` has one rounding; all other operations are element-wise and correctly rounded, so the same entries
    /// give the same bits everywhere. Where weights are stored in two bytes ([`Storage::Bf16`], [`Storage::F16`]) they are widened, which is
    /// exact, changed as f32, and rounded to one of their two neighbours by chance, the chance being noise of this step: a change that is
    /// smaller than their distance is made as rarely as it is small, so that none is lost in the mean. What that made of the step is returned.
    /// Bytes do not change: tensors of that type have the rate 0, or begin as what the storage makes of them. `direction` is what an entry stands for that is not complete in itself.
    ///
    /// # Errors
    /// [`ErrorKind::Ledger`] if the entry is for another step, does not fit the recipe, or stands for a direction that is not
    /// given; the state is then unchanged.
    pub fn apply(&mut self, entry: &Entry, direction: Option<&Direction>) -> Result<Option<Rounding>> {
        let place = || format!("entry for step {}", entry.step);
        if entry.step != self.step {
            return Err(Error::expected(
                ErrorKind::Ledger,
                place(),
                format!("step {}", self.step),
                entry.step,
            ));
        }
        let mut rounding = (self.recipe.storage != Storage::F32).then(Rounding::default);
        match (&entry.update, &self.recipe.moves) {
            (Update::Probes { exponent, coefficients }, &Moves::Noise(space))
                if space != WeightSpace::Coordinate =>
            {
                let coefficients: Vec<f32> = coefficients.iter().map(|c| f32::from(*c)).collect();
                for index in self.trained() {
                    let found = self.follow(index, space, (*exponent, 1.0), &coefficients, entry.rate);
                    note(&mut rounding, found);
                }
            }
            (Update::Scaled { exponent, coefficients, factors, scales }, &Moves::Noise(space))
                if space != WeightSpace::Coordinate =>
            {
                let fits = |all: &[f32]| {
                    all.len() == self.params.tensors().len() && all.iter().all(|s| s.is_finite() && *s > 0.0)
                };
                if !fits(factors) || !fits(scales) {
                    let expected = "a positive factor and a positive scale for each tensor of the run";
                    return Err(Error::expected(ErrorKind::Ledger, place(), expected, "others"));
                }
                let coefficients: Vec<f32> = coefficients.iter().map(|c| f32::from(*c)).collect();
                for index in self.trained() {
                    let by = (*exponent, factors[index]);
                    let found = self.follow(index, space, by, &coefficients, entry.rate);
                    note(&mut rounding, found);
                }
                self.streams.set_scales(scales.clone());
            }
            (Update::Choices(visited), Moves::Noise(WeightSpace::Coordinate)) => {
                let index = visited.tensor as usize;
                let end = visited.first.saturating_add(visited.choices.len() as u64);
                let fits = |t: &Tensor| end <= t.data.len() as u64 && self.recipe.rate(index) != 0.0;
                let choices = visited.choices.iter().all(|c| (-1..=1).contains(c));
                if !choices || !self.params.tensors().get(index).is_some_and(fits) {
                    let expected = "choices of −1, 0 or 1 for elements of a tensor of the run";
                    return Err(Error::expected(ErrorKind::Ledger, place(), expected, "others"));
                }
                note(&mut rounding, self.visit(index, visited));
            }
            (Update::Losses(losses), Moves::Search(_))
                if self.search.as_ref().is_some_and(|s| s.candidates() == losses.len()) =>
            {
                self.follow_search(losses, &mut rounding);
            }
            (Update::Rerun { .. }, Moves::Directions) => {
                let Some(Direction { tensors: directions, streams }) = direction else {
                    let expected = "the direction that the step stands for";
                    return Err(Error::expected(ErrorKind::Ledger, place(), expected, "none"));
                };
                let fits = directions.len() == self.params.tensors().len()
                    && directions
                        .iter()
                        .zip(self.params.tensors())
                        .all(|(d, t)| d.as_ref().is_none_or(|d| d.len() == t.data.len()));
                if !fits {
                    return Err(Error::expected(
                        ErrorKind::Ledger,
                        place(),
                        "one direction per tensor",
                        "other shapes",
                    ));
                }
                for index in self.trained() {
                    if let Some(direction) = &directions[index] {
                        let found = self.update(index, &Sum::Whole(direction.into()), 1.0, entry.rate);
                        note(&mut rounding, found);
                    }
                }
                self.streams = streams.clone();
            }
            _ => {
                return Err(Error::expected(
                    ErrorKind::Ledger,
                    place(),
                    "an update of the run's own kind",
                    "another kind",
                ));
            }
        }
        self.step += 1;
        Ok(rounding)
    }

    /// The tensors that change.
    fn trained(&self) -> Vec<usize> {
        (0..self.params.tensors().len()).filter(|index| self.recipe.rate(*index) != 0.0).collect()
    }

    /// Tells the search its losses and goes where it stands then.
    fn follow_search(&mut self, losses: &[f32], rounding: &mut Option<Rounding>) {
        let Some(mut search) = self.search.take() else { return };
        search.tell(losses);
        let mut rest = search.centre().unwrap_or_default();
        for index in self.trained() {
            let n = self.params.tensors()[index].data.len().min(rest.len());
            let (own, others) = rest.split_at(n);
            let found = self.change(index, PIECE, |first, weights| {
                weights.iter_mut().zip(&own[first.min(n)..]).for_each(|(w, c)| *w = *c as f32);
            });
            note(rounding, found);
            rest = others;
        }
        self.search = Some(search);
    }

    /// Changes a tensor, piece by piece: `change` is given the first element's place and the weights.
    fn change(&mut self, index: usize, size: usize, change: impl Fn(usize, &mut [f32]) + Sync) -> Rounding {
        let noise = self.rounding_noise(index);
        let pieces = self.params.data_mut(index).pieces_mut(size).into_par_iter().enumerate();
        let found: Vec<Rounding> = pieces
            .map(|(i, piece)| Rounding::of(piece, noise, i * size, |weights| change(i * size, weights)))
            .collect();
        found.into_iter().sum()
    }

    /// The noise by which a tensor is rounded in this step.
    fn rounding_noise(&self, index: usize) -> Noise {
        self.key.tensor(Role::Rounding, &self.params.tensors()[index].name).at(self.step as u32, 0)
    }

    /// Takes the choices of a tensor's visits.
    fn visit(&mut self, index: usize, visited: &Visited) -> Rounding {
        let first = visited.first as usize;
        let end = first + visited.choices.len();
        let name = &self.params.tensors()[index].name;
        let changes = changes(&self.key, name, visited.cycle, first..end, visited.sigma);
        self.change(index, PIECE, |from, weights| {
            let own = first.max(from)..end.min(from + weights.len()).max(first.max(from));
            for element in own {
                let (w, visit) = (&mut weights[element - from], element - first);
                *w = moved(*w, visited.keep, changes[visit], visited.choices[visit]);
            }
        })
    }

    /// Moves one tensor along `2^exponent · factor · Σ c·z` of the current step.
    fn follow(
        &mut self,
        index: usize,
        space: WeightSpace,
        (exponent, factor): (i8, f32),
        coefficients: &[f32],
        rate: f32,
    ) -> Rounding {
        let t = &self.params.tensors()[index];
        let (keys, matrix) = (TensorKeys::new(&self.key, &t.name), t.matrix());
        let probes = Probes { keys, matrix, space, step: self.step as u32, first: 0, coefficients };
        let scale = space.scale(matrix.is_some()) * power_of_two(exponent) * factor;
        self.update(index, &probes.sum(), scale, rate)
    }

    /// Moves one tensor along `scale · sum` (`scale` is a power of two), in one pass over weights and memory.
    fn update(&mut self, index: usize, sum: &Sum<'_>, scale: f32, rate: f32) -> Rounding {
        let Recipe { optimizer: Optimizer { momentum: beta, scaling }, .. } = self.recipe;
        // Where steps are rescaled, what was multiplied before would cancel.
        let factor = self.recipe.rate(index);
        let (scale, rate) =
            if scaling == Scaling::Adam { (scale, rate * factor) } else { (scale * factor, rate) };
        let (tile, many) = (sum.tile(), sum.tiles_at_once());
        let (size, tiles) = (many * tile, |piece: usize| piece * many..);
        // What changes comes from memory while the sum is made.
        let ask = |part: &[f32]| {
            if matches!(sum, Sum::Noise(_)) {
                ask_for(part)
            }
        };
        let noise = self.rounding_noise(index);
        let pieces = self.params.data_mut(index).pieces_mut(size);
        let mut found = vec![Rounding::default(); pieces.len()];
        let w = pieces.into_par_iter().zip(found.par_chunks_mut(1)).enumerate();
        match scaling {
            Scaling::None if beta == 0.0 => {
                w.for_each_init(Vec::new, |scratch, (i, (w, found))| {
                    found[0] = Rounding::of(w, noise, i * size, |w| {
                        for (i, w) in tiles(i).zip(w.chunks_mut(tile)) {
                            ask(w);
                            step::plain(w, sum.get(i, w.len(), scratch), scale);
                        }
                    });
                });
            }
            Scaling::None => {
                let memory = self.momentum[index].par_chunks_mut(size);
                w.zip(memory).for_each_init(Vec::new, |scratch, ((i, (w, found)), m)| {
                    found[0] = Rounding::of(w, noise, i * size, |w| {
                        for (i, (w, m)) in tiles(i).zip(w.chunks_mut(tile).zip(m.chunks_mut(tile))) {
                            [&*w, &*m].into_iter().for_each(ask);
                            step::with_momentum(w, m, sum.get(i, w.len(), scratch), scale, beta);
                        }
                    });
                });
            }
            Scaling::Adam => {
                let left = |decay: f32| (1.0 - power(f64::from(decay), self.step + 1)) as f32;
                let left = [left(beta), left(SQUARES_DECAY)];
                let memory =
                    self.momentum[index].par_chunks_mut(size).zip(self.squares[index].par_chunks_mut(size));
                w.zip(memory).for_each_init(Vec::new, |scratch, ((i, (w, found)), (m, v))| {
                    let memory = m.chunks_mut(tile).zip(v.chunks_mut(tile));
                    found[0] = Rounding::of(w, noise, i * size, |w| {
                        for (i, (w, (m, v))) in tiles(i).zip(w.chunks_mut(tile).zip(memory)) {
                            [&*w, &*m, &*v].into_iter().for_each(ask);
                            let sum = sum.get(i, w.len(), scratch);
                            step::like_adam(w, m, v, sum, scale, beta, left, rate);
                        }
                    });
                });
            }
        }
        found.into_iter().sum()
    }
}

/// Params as the recipe stores them.
pub(super) fn stored(params: Params, recipe: &Recipe) -> Result<Params> {
    let params = params.stored_for(recipe.storage, |index| recipe.rate(index) != 0.0);
    if recipe.storage == Storage::F16 {
        let own = params.tensors().iter().filter(|t| t.data.dtype() == Storage::F16.dtype());
        for t in own {
            if !t.data.iter().all(f32::is_finite) {
                let expected = "numbers of at most 65504, as f16 has none above";
                return Err(Error::expected(
                    ErrorKind::Spec,
                    Place::tensor(&t.name),
                    expected,
                    "larger ones",
                ));
            }
        }
    }
    Ok(params)
}

fn power_of_two(exponent: i8) -> f32 {
    f32::from_bits(((127 + i32::from(exponent)).clamp(1, 254) as u32) << 23)
}

/// `base^n` by repeated squaring: the same bits everywhere.
fn power(mut base: f64, mut n: u64) -> f64 {
    let mut result = 1.0;
    while n > 0 {
        if n & 1 == 1 {
            result *= base;
        }
        base *= base;
        n >>= 1;
    }
    result
}
