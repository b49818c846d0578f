//! A search among params: a strategy of [`crate::study`] whose candidates are whole sets of them. Where it stands follows
//! from base params, settings and the losses that it was told.

use crate::noise::RunKey;
use crate::params::{Params, Tensor};
use crate::study::{Draws, Setup, Strategy, StrategyKind, StudyRecord};
use crate::{Error, ErrorKind, Place, Result, choices};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

choices! {
    /// The loss that a strategy with a best point compares new candidates with.
    pub enum Incumbent default Anew {
        /// The loss of the best point on the candidates' own batch.
        Anew = "anew",
        /// The loss that it once had: for losses without noise.
        Remembered = "remembered",
    }
}

/// A search among params: kept in the ledger's header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The strategy.
    pub strategy: StrategyKind,
    /// The standard deviation of the first candidates, relative to each tensor's own scale ([`Search::scale`]).
    pub sigma: f64,
    /// The loss that strategies with a best point compare with.
    pub incumbent: Incumbent,
}

impl Search {
    /// The scale of a tensor's numbers: `√(2 / inputs)` where each of its outputs has several (the standard deviation that
    /// such tensors begin with), 1 for vectors.
    pub fn scale(shape: &[usize]) -> f64 {
        match shape {
            [] | [_] => 1.0,
            [_, inputs @ ..] => (2.0 / inputs.iter().product::<usize>().max(1) as f64).sqrt(),
        }
    }

    /// The numbers of the tensors whose rate is not 0: their first candidates are the nearer, the lower it is.
    fn setup(&self, params: &Params, rates: &[f32]) -> Setup {
        let rate = |i: usize| rates.get(i).map_or(1.0, |rate| f64::from(*rate));
        let trained = || params.tensors().iter().enumerate().filter(|(i, _)| rate(*i) != 0.0);
        let sigma = |(i, t): (usize, &Tensor)| self.sigma * Self::scale(&t.shape) * rate(i);
        let start: Vec<f64> = trained().flat_map(|(_, t)| t.data.iter().map(f64::from)).collect();
        Setup {
            sigma: trained().flat_map(|all| std::iter::repeat_n(sigma(all), all.1.data.len())).collect(),
            floor: vec![0.0; start.len()],
            extent: vec![f64::INFINITY; start.len()],
            start,
            options: Vec::new(),
        }
    }

    /// The strategy before its first generation.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if a setting cannot work or there are too many params for the strategy.
    fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        if !(self.sigma.is_finite() && self.sigma > 0.0) {
            return Err(Error::expected(
                ErrorKind::Spec,
                Place::key("method", "sigma"),
                "a positive number",
                self.sigma,
            ));
        }
        // In a spec a strategy's settings have a table of their own; its name has not.
        let in_spec = |key: &str| match key.strip_prefix("method.") {
            Some(setting) if setting != "name" => format!("method.settings.{setting}"),
            _ => key.to_owned(),
        };
        self.strategy.begin(setup).map_err(|e| e.at_key(in_spec))
    }
}

/// A search in progress.
#[derive(Clone)]
pub(super) struct Searching {
    search: Search,
    strategy: Box<dyn Strategy>,
    draws: Draws,
    generation: u32,
    width: usize,
    /// The candidates of the generation, one after another, the incumbent last where it is evaluated anew: what changes of them.
    points: Vec<f64>,
    /// Each tensor's numbers, and whether they change; nothing, if all do.
    base: Vec<(bool, Vec<f64>)>,
    anew: bool,
    /// The loss that the strategy remembers of its incumbent: infinite before there is one.
    remembered: f64,
}

impl Searching {
    pub(super) fn begin(search: &Search, params: &Params, key: &RunKey, rates: &[f32]) -> Result<Self> {
        let setup = search.setup(params, rates);
        let trains = |i: usize| rates.get(i).is_none_or(|rate| *rate != 0.0);
        let one = |(i, t): (usize, &Tensor)| (trains(i), t.data.iter().map(f64::from).collect());
        let still = rates.contains(&0.0);
        let mut new = Self {
            strategy: search.begin(&setup)?,
            base: if still { params.tensors().iter().enumerate().map(one).collect() } else { Vec::new() },
            search: search.clone(),
            draws: Draws::of(key),
            generation: 0,
            width: setup.start.len(),
            points: Vec::new(),
            anew: false,
            remembered: f64::INFINITY,
        };
        let found = new.strategy.centre().map_or(0, <[f64]>::len);
        if found != new.width {
            let expected =
                format!("a strategy with a centre of {} numbers, which the net becomes", new.width);
            return Err(Error::expected(ErrorKind::Spec, Place::key("method", "name"), expected, found));
        }
        new.open();
        Ok(new)
    }

    fn open(&mut self) {
        self.points.clear();
        self.strategy.ask(self.draws.at(self.generation), &mut self.points);
        let compares = self.search.incumbent == Incumbent::Anew && self.strategy.remembers();
        let incumbent = self.strategy.centre().filter(|_| compares && self.remembered.is_finite());
        self.anew = incumbent.is_some();
        self.points.extend_from_slice(incumbent.unwrap_or_default());
    }

    /// The candidates, each with all numbers of all tensors.
    pub(super) fn points(&self) -> Cow<'_, [f64]> {
        if self.base.is_empty() {
            return (&self.points).into();
        }
        let mut all = Vec::new();
        for mut point in self.points.chunks_exact(self.width) {
            for (changes, numbers) in &self.base {
                let own =
                    if *changes { point.split_off(..numbers.len()).unwrap_or_default() } else { numbers };
                all.extend_from_slice(own);
            }
        }
        all.into()
    }

    /// How many losses the generation needs.
    pub(super) fn candidates(&self) -> usize {
        self.points.len() / self.width.max(1)
    }

    /// Where the search stands.
    pub(super) fn centre(&self) -> Option<&[f64]> {
        self.strategy.centre()
    }

    /// Takes the losses of the generation, in the order of its candidates; goes on to the next one.
    pub(super) fn tell(&mut self, losses: &[f32]) {
        let mut told: Vec<f64> =
            losses.iter().map(|l| if l.is_finite() { f64::from(*l) } else { f64::INFINITY }).collect();
        if self.anew
            && let Some(incumbent) = told.pop()
        {
            told.iter_mut().for_each(|l| *l = self.remembered + response(*l, incumbent));
        }
        self.strategy.tell(&told);
        if let Some(now) = self.strategy.centre() {
            let found = self.points.chunks_exact(self.width).zip(&told).find(|(point, _)| *point == now);
            self.remembered = found.map_or(self.remembered, |(_, loss)| *loss);
        }
        self.generation += 1;
        self.open();
    }
}

/// How much worse a candidate is than the incumbent on the same batch. Any loss is better than none.
fn response(candidate: f64, incumbent: f64) -> f64 {
    match (candidate.is_finite(), incumbent.is_finite()) {
        (true, true) => candidate - incumbent,
        (true, false) => -1.0,
        (false, _) => f64::INFINITY,
    }
}

/// By settings and the next candidates: nothing else of a search can be seen.
impl PartialEq for Searching {
    fn eq(&self, other: &Self) -> bool {
        (&self.search, self.generation, &self.points, self.remembered)
            == (&other.search, other.generation, &other.points, other.remembered)
    }
}

impl std::fmt::Debug for Searching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} before generation {}", self.search, self.generation)
    }
}

/// A search under strategies of this version; what is wrong with them if they would search elsewhere today.
pub(super) fn check_strategies(version: u32, search: Result<Search, String>) -> Result<Search, String> {
    let own = StudyRecord::VERSION;
    let refusal = match &search {
        Ok(search) => StudyRecord::refusal(version, &search.strategy),
        // Another version may have other settings.
        Err(_) => (version != own).then(|| format!("version {own}")),
    };
    refusal.map_or(search, |expected| Err(format!("strategies of version {version} instead of {expected}")))
}

/// A search in a header, with the version of the strategies.
pub(super) mod versioned {
    use super::{Search, StudyRecord, check_strategies};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Versioned<S> {
        version: u32,
        settings: S,
    }

    pub fn serialize<S: Serializer>(search: &Search, to: S) -> Result<S::Ok, S::Error> {
        Versioned { version: StudyRecord::VERSION, settings: search }.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Search, D::Error> {
        let search = Versioned::<Search>::deserialize(from)?;
        check_strategies(search.version, Ok(search.settings)).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_of_earlier_strategies_are_gone_on_with_unless_they_would_search_elsewhere() {
        let of = |version, name| check_strategies(version, Search::named(name).map_err(|e| e.to_string()));
        assert!(of(4, "snes").is_ok() && of(5, "snes").is_ok() && of(5, "one-plus-one").is_ok());
        for (version, name, found) in [
            (4, "one-plus-one", "strategies of version 4 instead of version 5"),
            (3, "snes", "strategies of version 3 instead of version 4 to 5"),
            (6, "snes", "strategies of version 6 instead of version 4 to 5"),
            (3, "none", "strategies of version 3 instead of version 5"),
        ] {
            assert_eq!(of(version, name).err().as_deref(), Some(found));
        }
    }
}
