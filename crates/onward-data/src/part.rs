//! Features and answers of rows as a file has them, whatever its format.

use super::Missing;
use super::beside::Beside;
use super::layout::{Feature, Layout};
use super::table::{Array, Numbers, Table};
use super::targets::check_beside;
use onward::dataset::{QUERY, WEIGHT};
use onward::study::statistics::{mean, median};
use onward::{Error, ErrorKind, Place, Result};
use std::path::{Path, PathBuf};

/// Features and, where there are any, what they should be answered with; as read.
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// All that the file has, `stride` numbers per row.
    numbers: Numbers,
    stride: usize,
    /// How a row's numbers become features.
    pub(super) layout: Layout,
    pub(super) shape: [usize; 3],
    pub(super) answers: Option<Answers>,
    /// Sample weights, if there are any.
    pub(super) weights: Option<Vec<f64>>,
    /// Queries, if there are any.
    pub(super) queries: Option<Vec<f64>>,
    /// Further columns by their names.
    pub(super) others: Vec<(String, Vec<f64>)>,
    /// The texts of columns that say which row it is, by their names.
    pub(super) ids: Vec<(String, Vec<String>)>,
    /// The names of the label columns that the options do not say.
    pub(super) labels: Vec<String>,
    /// Whether its columns have names.
    pub(super) has_header: bool,
    /// How many rows were left out, as values are missing.
    pub(super) dropped: usize,
}

/// What rows should be answered with, as read.
pub(super) struct Answers {
    /// Rows × values per row; words are cells of a table.
    pub(super) values: Vec<f64>,
    /// The words of the one label column.
    pub(super) words: Vec<String>,
    /// How many there should be rows for.
    pub(super) rows: usize,
    /// Where in the file they stand.
    pub(super) place: String,
}

impl Part {
    pub(super) fn width(&self) -> usize {
        self.layout.features.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.numbers.count() / self.stride.max(1)
    }

    /// One feature of one row, both counted from 0.
    pub(super) fn feature(&self, row: usize, feature: usize) -> f64 {
        let feature = self.layout.features[feature];
        feature.of(self.numbers.at(row * self.stride + feature.column))
    }

    /// Where in the file that is, in words.
    pub(super) fn place(&self, row: usize, feature: usize) -> String {
        self.layout.place(row as u64, feature)
    }

    /// Splits a table into features and columns that are none.
    pub(super) fn from_table(
        path: &Path,
        mut table: Table,
        beside: &Beside,
        layout: Layout,
        missing: Missing,
    ) -> Result<Self> {
        if layout.has_codings() {
            table.code(&layout)?;
        }
        // Nothing can stand for an answer.
        let used: Vec<usize> = match missing {
            Missing::Error => Vec::new(),
            Missing::Mean | Missing::Median => beside.labels.clone(),
            Missing::Drop => {
                layout.features.iter().map(|feature| feature.column).chain(beside.used()).collect()
            }
        };
        let dropped = table.drop_missing(&used);
        if dropped > 0 && table.rows() == 0 {
            return Err(bad("rows", "one at least in which no value is missing", "none"));
        }
        let numbers = |columns: &[usize]| -> Vec<f64> {
            let of_row = |row| columns.iter().map(move |column| row * table.columns + column);
            (0..table.rows()).flat_map(of_row).map(|at| table.values.at(at)).collect()
        };
        let words =
            |column: &usize| table.seen.get(*column).map(|seen| seen.words.clone()).unwrap_or_default();
        let answers = (!beside.labels.is_empty()).then(|| Answers {
            values: numbers(&beside.labels),
            words: if let [one] = &beside.labels[..] { words(one) } else { Vec::new() },
            rows: table.rows(),
            place: beside.answers(&table),
        });
        let (weights, queries) =
            (beside.weight.map(|column| numbers(&[column])), beside.query.map(|column| numbers(&[column])));
        let others = beside.others.iter().map(|(name, column)| (name.clone(), numbers(&[*column]))).collect();
        let ids = beside.ids.iter().map(|column| (table.called(*column), table.texts(*column))).collect();
        Ok(Self {
            path: path.into(),
            shape: [1, 1, layout.features.len()],
            stride: table.columns,
            layout,
            answers,
            weights,
            queries,
            others,
            ids,
            labels: Vec::new(),
            has_header: !table.names.is_empty(),
            dropped,
            numbers: table.values,
        })
    }

    /// Finds what stands for missing values: each column's mean or median over these rows.
    pub(super) fn fill(&mut self, rows: &[usize], missing: Missing) -> Result<()> {
        let of = |column: usize| {
            let cells = rows.iter().map(|row| self.numbers.at(row * self.stride + column));
            let there: Vec<f64> = cells.filter(|cell| !cell.is_nan()).collect();
            if there.is_empty() {
                let place = format!("column {column} (from 0)");
                return Err(
                    bad(place, "a value in a training row", "missing values alone").in_file(&self.path)
                );
            }
            Ok(if missing == Missing::Median { median(there) } else { mean(there.iter().copied()) })
        };
        let numbers = self.layout.filled().map(of).collect::<Result<Vec<f64>>>()?;
        self.layout.fill(&numbers);
        Ok(())
    }

    /// Checks what stands beside the rows: sample weights, queries and further columns.
    pub(super) fn check_beside(&self) -> Result<()> {
        let others = self.others.iter().map(|(name, values)| (name.as_str(), values));
        let own = [(QUERY, &self.queries), (WEIGHT, &self.weights)];
        let mut all =
            others.chain(own.into_iter().filter_map(|(name, values)| Some((name, values.as_ref()?))));
        all.try_for_each(|(name, values)| {
            values.iter().enumerate().try_for_each(|(row, value)| check_beside(name, row, *value))
        })
    }

    /// Rows of vectors, of images, or of images with channels (last); `place` is where the answers stand.
    pub(super) fn from_arrays(
        path: &Path,
        features: Array,
        answers: Option<Array>,
        place: &str,
    ) -> Result<Self> {
        let shape = match features.shape[..] {
            [_] => [1, 1, 1],
            [_, n] => [1, 1, n],
            [_, h, w] => [h, w, 1],
            [_, h, w, c] => [h, w, c],
            _ => {
                return Err(bad(
                    "features",
                    "1 to 4 dimensions, rows first",
                    format!("shape {:?}", features.shape),
                )
                .in_file(path));
            }
        };
        let stride = shape.iter().product();
        let rows = features.shape[0];
        if let Some(answers) = answers.as_ref().filter(|answers| answers.shape.first() != Some(&rows)) {
            let found = format!("shape {:?}", answers.shape);
            return Err(bad("labels", format!("one for each of the {rows} rows"), found).in_file(path));
        }
        let notes = features.note("the array of features").into_iter();
        let notes = notes.chain(answers.as_ref().and_then(|answers| answers.note(place))).collect();
        let answers = answers.map(|a| Answers {
            values: a.values.iter().collect(),
            words: Vec::new(),
            rows,
            place: place.into(),
        });
        Ok(Self {
            path: path.into(),
            numbers: features.values,
            stride,
            layout: Layout::plain(stride).noting(notes),
            shape,
            answers,
            weights: None,
            queries: None,
            others: Vec::new(),
            ids: Vec::new(),
            labels: Vec::new(),
            has_header: false,
            dropped: 0,
        })
    }

    /// Refuses features that are no numbers.
    pub(super) fn check_finite(self) -> Result<Self> {
        let cell = |row: usize, feature: Feature| self.numbers.at(row * self.stride + feature.column);
        let width = self.width();
        let unsound = |at: &usize| {
            let feature = self.layout.features[at % width];
            !feature.takes(cell(at / width, feature))
        };
        match (0..self.rows() * width).find(unsound).map(|at| (at / width, at % width)) {
            None => Ok(self),
            Some((row, feature)) => {
                let found = cell(row, self.layout.features[feature]);
                Err(bad(self.place(row, feature), "a finite number", found).in_file(&self.path))
            }
        }
    }
}

/// What the file at a place is expected to have, and has not.
pub(super) fn bad(
    place: impl Into<Place>,
    expected: impl std::fmt::Display,
    found: impl std::fmt::Display,
) -> Error {
    Error::expected(ErrorKind::Data, place, expected, found)
}
