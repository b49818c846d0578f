//! The order of queries, whose rows come into a batch together.

use super::Shuffle;
use crate::dataset::QUERY;
use crate::noise::{Role, RunKey};
use crate::rows::Source;
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Which queries a step sees, whole: a pure function of key and step.
///
/// An epoch lays the rows of all queries one after the other, the queries in an order of its own; a step of `batch` samples has the
/// queries that begin in its stretch of that line, which are about as many rows, and the one that covers the stretch where none
/// begins. So every query is seen in every epoch, and where all are shorter than a batch just once.
#[derive(Debug)]
pub struct Queries {
    key: RunKey,
    shuffled: bool,
    /// The rows of each, in the data's order.
    all: Vec<Vec<u64>>,
    rows: u64,
    /// The last order, and of which epoch it is.
    kept: Mutex<Option<(u64, Arc<[u32]>)>>,
}

impl Queries {
    /// Of rows with these numbers of their queries, in the run with this key.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if rows are to be shuffled within windows, which would part queries.
    pub fn new(key: RunKey, numbers: &[f64], shuffle: Shuffle) -> Result<Self> {
        if let Shuffle::Window(rows) = shuffle {
            let expected = "\"all\", \"in-order\" or \"once\", as rows of a query stay together";
            return Err(Error::expected(ErrorKind::Spec, "train.shuffle", expected, rows));
        }
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
        let (shuffled, rows) = (shuffle == Shuffle::All, numbers.len() as u64);
        Ok(Self { key, shuffled, all, rows, kept: Mutex::default() })
    }

    /// Those of rows in memory that have queries, in the run with this key; none of others.
    ///
    /// # Errors
    /// As for [`Queries::new`].
    pub fn of(data: &dyn Source, key: RunKey, shuffle: Shuffle) -> Result<Option<Self>> {
        let numbers = data.resident().and_then(|data| data.columns().get(QUERY));
        numbers.map(|numbers| Self::new(key, numbers, shuffle)).transpose()
    }

    /// The ids of a step's samples, query after query.
    pub fn batch(&self, step: u64, batch: usize) -> Vec<u64> {
        let stretch = step * batch as u64..(step + 1) * batch as u64;
        let (mut ids, mut covering) = (Vec::new(), None);
        for epoch in stretch.start / self.rows..=(stretch.end - 1) / self.rows {
            let mut begin = epoch * self.rows;
            for query in &*self.order(epoch) {
                let query = &self.all[*query as usize];
                if stretch.contains(&begin) {
                    ids.extend(query);
                } else if begin < stretch.start {
                    covering = Some(query);
                }
                begin += query.len() as u64;
            }
        }
        if ids.is_empty() { covering.cloned().unwrap_or_default() } else { ids }
    }

    fn order(&self, epoch: u64) -> Arc<[u32]> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = kept.as_ref().filter(|(of, _)| *of == epoch) {
            return Arc::clone(order);
        }
        let noise = self.key.tensor(Role::Shuffle, "queries").at(epoch as u32, (epoch >> 32) as u32);
        let order: Arc<[u32]> = match self.shuffled {
            true => noise.permutation(self.all.len()).into(),
            false => (0..self.all.len() as u32).collect(),
        };
        *kept = Some((epoch, Arc::clone(&order)));
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
        for shuffle in [Shuffle::All, Shuffle::InOrder] {
            let queries = Queries::new(RunKey::from_seed(3), &numbers, shuffle).unwrap();
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
        let other =
            |seed| Queries::new(RunKey::from_seed(seed), &numbers, Shuffle::All).unwrap().batch(0, 10);
        assert!(other(3) == other(3) && other(3) != other(4));
    }

    #[test]
    fn a_query_longer_than_a_batch_is_never_cut_and_windows_are_refused() {
        let queries = Queries::new(RunKey::from_seed(3), &[1.0; 20], Shuffle::All).unwrap();
        assert!((0..7).all(|step| queries.batch(step, 6).len() == 20));
        let error = Queries::new(RunKey::from_seed(3), &[1.0; 20], Shuffle::Window(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec);
    }
}
