//! Queries whose rows stand side by side in a file, so that a stream comes by them whole.

use super::scan::Training;
use super::{PIECE, Stream};
use crate::DataOptions;
use crate::part::bad;
use crate::targets::{expected_beside, held_queries};
use onward::Result;
use onward::dataset::QUERY;
use std::collections::HashSet;
use std::sync::Arc;

/// The first row of each query of a table, in ascending order, and the number of all rows.
pub(super) struct Queries(Vec<u64>);

impl Queries {
    /// Those that a column of the stream numbers.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Data`] naming the row of a number that is not finite, or of a query that was left before; those of the stream.
    pub(super) fn read(stream: &dyn Stream, column: usize) -> Result<Self> {
        let (mut reader, mut raw) = (stream.at(0)?, Vec::new());
        let (mut begins, mut seen, mut last) = (Vec::new(), HashSet::new(), None);
        let mut row = 0;
        while row < stream.rows() {
            raw.clear();
            reader.read((stream.rows() - row).min(PIECE as u64) as usize, &mut raw)?;
            for numbers in raw.chunks_exact(stream.table().columns) {
                let place = || format!("row {row} (from 0), column {}", stream.table().name(column));
                let query = numbers[column];
                if let Some(expected) = expected_beside(QUERY, query) {
                    return Err(bad(place(), expected, query));
                }
                // Both zeros are one query.
                let query = query + 0.0;
                if last != Some(query) {
                    if !seen.insert(query.to_bits()) {
                        let expected = "rows of one query side by side, to be read as they are needed";
                        return Err(bad(place(), expected, format!("query {query} again")));
                    }
                    begins.push(row);
                    last = Some(query);
                }
                row += 1;
            }
        }
        begins.push(row);
        Ok(Self(begins))
    }

    /// The rows that are trained on: whole queries, but where a limit cuts the last one.
    ///
    /// # Errors
    /// As for [`held_queries`].
    pub(super) fn training(&self, options: &DataOptions) -> Result<Training> {
        let held = held_queries(options, &self.0)?;
        Ok(Training::without(held, self.0.last().copied().unwrap_or_default(), options))
    }

    /// The first training row of each query, and the number of all training rows.
    pub(super) fn trained(&self, training: &Training) -> Arc<[u64]> {
        let (mut begins, mut begin) = (Vec::new(), 0);
        for query in self.0.windows(2) {
            if begin >= training.rows {
                break;
            }
            if training.held().binary_search(&query[0]).is_err() {
                begins.push(begin);
                begin += query[1] - query[0];
            }
        }
        begins.push(training.rows);
        begins.into()
    }
}
