//! Answers: class labels or numbers; and which rows are held out.

use onward::dataset::Targets;
use onward::{Error, ErrorKind, Result};

use super::source::{Part, bad};
use super::{Holdout, Target};

/// The highest class label that is believed.
const HIGHEST_LABEL: f32 = 65535.0;

/// Features with their answers, before preparation.
pub(super) struct Rows {
    pub(super) features: Vec<f32>,
    width: usize,
    answers: Answers,
}

enum Answers {
    Labels(Vec<u32>),
    Values { values: Vec<f32>, width: usize },
}

impl Rows {
    /// Checks a part's answers and turns them into labels or values.
    pub(super) fn from_part(part: Part, target: Target) -> Result<Self> {
        let (rows, width) = (part.rows(), part.width());
        let Some(answers) = part.answers else {
            return Err(bad("labels", "one for every row", "none").in_file(&part.path));
        };
        let columns = answers.values.len() / rows.max(1);
        let answers = match target {
            Target::Value => check_values(&answers.values, columns)
                .map(|()| Answers::Values { values: answers.values, width: columns }),
            Target::Class if columns != 1 => {
                Err(bad("labels", "one number per row", format!("{columns} numbers per row")))
            }
            Target::Class => answers
                .values
                .iter()
                .enumerate()
                .map(|(row, &v)| label(row, v))
                .collect::<Result<_>>()
                .map(Answers::Labels),
        };
        Ok(Self { features: part.features, width, answers: answers.map_err(|e| e.in_file(&part.path))? })
    }

    fn rows(&self) -> usize {
        self.features.len() / self.width.max(1)
    }

    /// One more than the highest label.
    pub(super) fn classes(&self) -> usize {
        match &self.answers {
            Answers::Labels(labels) => labels.iter().max().map_or(0, |&label| label as usize + 1),
            Answers::Values { .. } => 0,
        }
    }

    /// Refuses labels that a model of so many classes cannot give.
    pub(super) fn check_classes(&self, classes: usize) -> Result<()> {
        let Answers::Labels(labels) = &self.answers else { return Ok(()) };
        match labels.iter().position(|&label| label as usize >= classes) {
            None => Ok(()),
            Some(row) => Err(bad(
                format!("label of row {row} (from 0)"),
                format!("a class below {classes}"),
                labels[row],
            )),
        }
    }

    /// Takes the answers out, as labels of so many classes or as values.
    pub(super) fn take_targets(&mut self, classes: usize) -> Targets {
        match &mut self.answers {
            Answers::Labels(labels) => Targets::Classes { labels: std::mem::take(labels), classes },
            Answers::Values { values, width } => {
                Targets::Values { values: std::mem::take(values), width: *width }
            }
        }
    }

    /// Keeps at most the first `rows` rows.
    pub(super) fn truncate(&mut self, rows: usize) {
        let rows = rows.min(self.rows());
        self.features.truncate(rows * self.width);
        match &mut self.answers {
            Answers::Labels(labels) => labels.truncate(rows),
            Answers::Values { values, width } => values.truncate(rows * *width),
        }
    }

    /// Splits into training rows and test rows. Each row's turn is a hash of the key and its index, so it depends on
    /// nothing else; within each part the rows keep their order.
    pub(super) fn hold_out(self, holdout: Holdout, split_key: u64) -> Result<(Self, Self)> {
        let rows = self.rows();
        let held = match holdout {
            Holdout::Fraction(part) => ((rows as f64 * part).round() as usize).max(1),
            Holdout::Rows(held) => held,
        };
        if held >= rows {
            let expected = format!("fewer than the {rows} rows of the file");
            return Err(Error::expected(ErrorKind::Spec, "rows held out for testing", expected, held));
        }
        let mut order: Vec<_> = (0..rows).map(|row| (turn(split_key, row as u64), row)).collect();
        order.sort_unstable();
        let mut in_test = vec![false; rows];
        order[..held].iter().for_each(|&(_, row)| in_test[row] = true);
        Ok((self.select(|row| !in_test[row]), self.select(|row| in_test[row])))
    }

    fn select(&self, keep: impl Fn(usize) -> bool) -> Self {
        let rows = || (0..self.rows()).filter(|&row| keep(row));
        let pick =
            |values: &[f32], width| rows().flat_map(|row| &values[row * width..][..width]).copied().collect();
        let answers = match &self.answers {
            Answers::Labels(labels) => Answers::Labels(rows().map(|row| labels[row]).collect()),
            Answers::Values { values, width } => {
                Answers::Values { values: pick(values, *width), width: *width }
            }
        };
        Self { features: pick(&self.features, self.width), width: self.width, answers }
    }
}

fn label(row: usize, value: f32) -> Result<u32> {
    if value.fract() == 0.0 && (0.0..=HIGHEST_LABEL).contains(&value) {
        return Ok(value as u32);
    }
    let expected = format!("a whole number from 0 to {HIGHEST_LABEL}");
    Err(bad(format!("label of row {row} (from 0)"), expected, value))
}

fn check_values(values: &[f32], width: usize) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => {
            Err(bad(format!("target of row {} (from 0)", at / width.max(1)), "a finite number", values[at]))
        }
    }
}

/// When a row's turn to be held out comes.
fn turn(split_key: u64, row: u64) -> [u8; 32] {
    let mut hash = blake3::Hasher::new_derive_key("onward 2026 split v1");
    hash.update(&split_key.to_le_bytes());
    hash.update(&row.to_le_bytes());
    *hash.finalize().as_bytes()
}
