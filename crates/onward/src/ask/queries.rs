//! The order of queries, whose rows come into a batch together.

use super::Shuffle;
use crate::dataset::QUERY;
use crate::noise::{Role, RunKey};
use crate::rows::Source;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The whole queries that each step sees: a pure function of key and step.
///
/// An epoch lays the rows of all queries one after the other, the queries in an order of its own; a step of `batch` samples has the
/// queries that begin in its stretch of that line, which are about as many rows, and the one that covers the stretch where none
/// begins. So every query is seen in every epoch, and where all are shorter than a batch just once. Within windows, queries change places with those
/// that begin in the same window of the data's line alone.
#[derive(Debug)]
pub struct Queries {
    key: RunKey,
    shuffle: Shuffle,
    /// Where each begins in the data's line of queries, and where the last one ends.
    begins: Arc<[u64]>,
    /// The rows in that line; none where they stand so in the data.
    rows: Option<Vec<u64>>,
    kept: Mutex<Option<Kept>>,
}

/// The last order, and of which epoch and window it is.
type Kept = ([u64; 2], Arc<[u32]>);

/// Places of a window where nothing is shuffled.
const UNSHUFFLED: u64 = 1 << 16;

impl Queries {
    /// The order of rows with these query numbers, in the run with this key. There is at least one.
    pub fn new(key: RunKey, numbers: &[f64], shuffle: Shuffle) -> Self {
        let mut place = BTreeMap::new();
        let mut all: Vec<Vec<u64>> = Vec::new();
        for (row, number) in numbers.iter().enumerate() {
            // Both zeros are one query.
            let at = *place.entry((number + 0.0).to_bits()).or_insert(all.len());
            if at == all.len() {
                all.push(Vec::new());
            }
            all[at].push(row as u64);
        }
        let ends = all.iter().scan(0, |end, rows| {
            *end += rows.len() as u64;
            Some(*end)
        });
        let begins: Vec<u64> = std::iter::once(0).chain(ends).collect();
        Self { rows: Some(all.concat()), ..Self::side_by_side(key, begins.into(), shuffle) }
    }

    /// The order of queries whose rows are adjacent in the data: `begins` holds the first row of each, then the number of all rows.
    pub fn side_by_side(key: RunKey, begins: Arc<[u64]>, shuffle: Shuffle) -> Self {
        Self { key, shuffle, begins, rows: None, kept: Mutex::default() }
    }

    /// The order of queries of the rows of a source, in the run with this key; `None` for rows without queries.
    pub fn of(data: &dyn Source, key: RunKey, shuffle: Shuffle) -> Option<Self> {
        if let Some(begins) = data.queries() {
            return Some(Self::side_by_side(key, begins, shuffle));
        }
        let numbers = data.resident().and_then(|data| data.columns().get(QUERY));
        numbers.map(|numbers| Self::new(key, numbers, shuffle))
    }

    /// The ids of a step's samples, query after query.
    pub fn batch(&self, step: u64, batch: usize) -> Vec<u64> {
        let rows = self.begins.last().copied().unwrap_or(1);
        let (first, last) = (step * batch as u64, (step + 1) * batch as u64);
        let (mut ids, mut covering) = (Vec::new(), None);
        for epoch in first / rows..=(last - 1) / rows {
            // Of the epoch's line.
            let within = |place: u64| place.saturating_sub(epoch * rows).min(rows);
            covering = self.add(epoch, within(first)..within(last), &mut ids).or(covering);
        }
        if let Some(query) = covering.filter(|_| ids.is_empty()) {
            self.add_query(query, &mut ids);
        }
        ids
    }

    /// Adds the queries that begin in a stretch of an epoch's line, and tells the last one that begins before it.
    fn add(&self, epoch: u64, stretch: Range<u64>, ids: &mut Vec<u64>) -> Option<usize> {
        let (size, count) = (self.window(), self.begins.len() - 1);
        let first_from = |place: u64| self.begins[..count].partition_point(|begin| *begin < place);
        let mut window = self.begins[first_from(stretch.start + 1).saturating_sub(1)] / size;
        let mut covering = None;
        loop {
            let queries = first_from(window * size)..first_from((window + 1).saturating_mul(size));
            let mut begin = self.begins[queries.start];
            if queries.start == count || begin >= stretch.end {
                return covering;
            }
            for at in &*self.order(epoch, window, queries.len()) {
                let query = queries.start + *at as usize;
                if stretch.contains(&begin) {
                    self.add_query(query, ids);
                } else if begin < stretch.start {
                    covering = Some(query);
                }
                begin += self.begins[query + 1] - self.begins[query];
            }
            window += 1;
        }
    }

    fn add_query(&self, query: usize, ids: &mut Vec<u64>) {
        let line = self.begins[query]..self.begins[query + 1];
        match &self.rows {
            None => ids.extend(line),
            Some(rows) => ids.extend(&rows[line.start as usize..line.end as usize]),
        }
    }

    /// Places of the data's line within which queries change theirs.
    fn window(&self) -> u64 {
        match self.shuffle {
            Shuffle::All => u64::MAX,
            Shuffle::Window(rows) => (rows as u64).max(1),
            Shuffle::InOrder | Shuffle::Once | Shuffle::Streams => UNSHUFFLED,
        }
    }

    /// The order of a window's queries.
    fn order(&self, epoch: u64, window: u64, queries: usize) -> Arc<[u32]> {
        let name = match self.shuffle {
            Shuffle::InOrder | Shuffle::Once | Shuffle::Streams => return (0..queries as u32).collect(),
            Shuffle::All => "queries".to_owned(),
            Shuffle::Window(_) => format!("queries, window {window}"),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = kept.as_ref().filter(|(of, _)| *of == [epoch, window]) {
            return Arc::clone(order);
        }
        let noise = self.key.tensor(Role::Shuffle, &name).at(epoch as u32, (epoch >> 32) as u32);
        let order: Arc<[u32]> = noise.permutation(queries).into();
        *kept = Some(([epoch, window], Arc::clone(&order)));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_query_whole_and_once() {
        // Queries of one to nine rows, their rows apart.
        let numbers: Vec<f64> = (0..45).map(|i| f64::from(i * 17 % 45 % 9)).collect();
        for shuffle in [Shuffle::All, Shuffle::InOrder, Shuffle::Window(7), Shuffle::Window(1000)] {
            let queries = Queries::new(RunKey::from_seed(3), &numbers, shuffle);
            let mut seen = vec![0; 45];
            // Nine batches of ten are two epochs.
            for ids in (0..9).map(|step| queries.batch(step, 10)) {
                assert!(!ids.is_empty());
                for id in &ids {
                    seen[*id as usize] += 1;
                    let whole = |other: &usize| numbers[*other] == numbers[*id as usize];
                    assert!((0..45).filter(whole).all(|other| ids.contains(&(other as u64))));
                }
            }
            assert_eq!(seen, vec![2; 45]);
        }
        let other = |seed| Queries::new(RunKey::from_seed(seed), &numbers, Shuffle::All).batch(0, 10);
        assert!(other(3) == other(3) && other(3) != other(4));
    }

    #[test]
    fn a_query_longer_than_a_batch_is_never_cut() {
        for shuffle in [Shuffle::All, Shuffle::InOrder, Shuffle::Window(5)] {
            let queries = Queries::new(RunKey::from_seed(3), &[1.0; 20], shuffle);
            assert!((0..7).all(|step| queries.batch(step, 6).len() == 20));
        }
    }

    #[test]
    fn within_windows_queries_change_places_with_neighbours_alone() {
        // Queries of four rows each, side by side.
        let numbers: Vec<f64> = (0..400).map(|i| f64::from(i / 4)).collect();
        let begins: Arc<[u64]> = (0..=100).map(|query| query * 4).collect();
        let key = RunKey::from_seed(3);
        let apart = Queries::new(key, &numbers, Shuffle::Window(40));
        let queries = Queries::side_by_side(key, begins, Shuffle::Window(40));
        let epoch = |from: u64| (from..from + 20).map(|step| queries.batch(step, 20)).collect::<Vec<_>>();
        for (step, ids) in epoch(0).into_iter().enumerate() {
            assert_eq!(apart.batch(step as u64, 20), ids);
            // Two batches are a window.
            let (begin, end) = (step as u64 / 2 * 40, (step as u64 / 2 + 1) * 40);
            assert!(ids.len() == 20 && ids.iter().all(|id| (begin..end).contains(id)), "{step}: {ids:?}");
        }
        assert_ne!(epoch(0), epoch(20), "another epoch has another order");
    }
}
