//! Answers: class labels or numbers; and which rows are held out.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use onward::dataset::{Columns, Dataset, QUERY, Targets, WEIGHT, balanced};
use onward::{Error, ErrorKind, Result};

use super::classes::{Classes, Key};
use super::part::{Part, bad};
use super::prepare::{Preparation, TargetScale};
use super::table::as_word;
use super::{ClassWeights, DataOptions, Holdout, Missing, Target, refused};

/// A file's rows with their answers, all checked.
pub(super) struct Rows {
    part: Part,
    answers: Answers,
}

enum Answers {
    Labels(Vec<u32>),
    Values { values: Vec<f64>, width: usize },
}

/// The labels of a part, each of which may be a class.
///
/// # Errors
/// [`ErrorKind::Data`] naming the row of what can be no label.
pub(super) fn labels_of(part: &mut Part) -> Result<BTreeSet<Key>> {
    let Some(answers) = &mut part.answers else { return Ok(BTreeSet::new()) };
    let width = answers.values.len() / answers.rows.max(1);
    if width > 1 {
        answers.values = one_hot(&answers.values, width).map_err(|e| e.in_file(&part.path))?;
    }
    let mut keys: BTreeSet<Key> =
        (0..width.saturating_sub(1)).map(|class| Key::Number(class as i64)).collect();
    let mut last = None;
    for (row, value) in answers.values.iter().enumerate() {
        if last != Some(value.to_bits()) {
            keys.insert(key(row, *value, &answers.words).map_err(|e| e.in_file(&part.path))?);
            last = Some(value.to_bits());
        }
    }
    Ok(keys)
}

/// The label of a row in whose label column this cell stands.
pub(super) fn key(row: usize, cell: f64, words: &[String]) -> Result<Key> {
    Key::of(cell, words).ok_or_else(|| {
        let expected = match cell.fract() == 0.0 {
            true => "a whole number below 9e15, as larger ones are rounded, or a word",
            false => "a whole number or a word (data.target = \"value\" if these are values)",
        };
        bad(format!("label of row {row} (from 0)"), expected, cell)
    })
}

/// The classes of rows of `width` numbers, of which one is 1 and the others 0.
fn one_hot(values: &[f64], width: usize) -> Result<Vec<f64>> {
    let class = |(row, own): (usize, &[f64])| {
        let place = own.iter().position(|v| *v == 1.0);
        let place = place.filter(|at| own.iter().enumerate().all(|(i, v)| i == *at || *v == 0.0));
        place.map(|at| at as f64).ok_or_else(|| {
            let expected = "one number per row, or a 1 among zeros";
            bad(format!("label of row {row} (from 0)"), expected, format!("{width} numbers per row: {own:?}"))
        })
    };
    values.chunks_exact(width).enumerate().map(class).collect()
}

impl Rows {
    /// Checks a part's answers and turns them into labels of these classes, or values.
    pub(super) fn from_part(mut part: Part, target: Target, classes: &Classes) -> Result<Self> {
        let Some(read) = part.answers.take() else {
            return Err(bad("labels", "one for every row", "none").in_file(&part.path));
        };
        let width = read.values.len() / read.rows.max(1);
        let answers = match target {
            Target::Class => {
                let coder = classes.coder(&read.words);
                let labels = read.values.iter().enumerate().map(|(row, cell)| coder.class(row, *cell));
                labels.collect::<Result<_>>().map(Answers::Labels)
            }
            Target::Value | Target::Labels => {
                let mut rows = read.values.chunks_exact(width.max(1)).enumerate();
                rows.try_for_each(|(row, own)| check_answer(target, row, own))
                    .map(|()| Answers::Values { values: read.values, width })
            }
        };
        let answers = answers
            .and_then(|answers| part.check_beside().map(|()| answers))
            .map_err(|e| e.in_file(&part.path))?;
        Ok(Self { part, answers })
    }

    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    /// As [`Part::fill`].
    pub(super) fn fill(&mut self, rows: &[usize], missing: Missing) -> Result<()> {
        self.part.fill(rows, missing)
    }

    /// Has what stands for missing values in another part's columns stand for those of this one.
    pub(super) fn fill_as(&mut self, other: &Self) {
        self.part.layout.fill_as(&other.part.layout);
    }

    /// Some rows, prepared, with their answers of so many classes and what stands beside them.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the file and what does not fit.
    pub(super) fn dataset(
        &self,
        rows: &[usize],
        classes: usize,
        preparation: &Preparation,
    ) -> Result<Dataset> {
        let features = preparation.features(&self.part, rows)?;
        let targets = self.targets(rows, classes, preparation.targets.as_ref());
        let columns = self.columns(rows, &preparation.class_weights);
        let data = targets
            .and_then(|targets| Dataset::new(features, preparation.shape, targets))
            .and_then(|data| data.with_columns(columns?));
        data.map_err(|e| e.in_file(&self.part.path))
    }

    /// Centre and scale of the answers in `rows`; none of class labels.
    pub(super) fn fit(&self, rows: &[usize]) -> Result<Option<TargetScale>> {
        let Answers::Values { values, width } = &self.answers else { return Ok(None) };
        TargetScale::fit(*width, |row, column| values[row * width + column], rows).map(Some)
    }

    /// The answers to `rows`, as labels of so many classes or as values, centred and scaled if so prepared.
    pub(super) fn targets(
        &self,
        rows: &[usize],
        classes: usize,
        scale: Option<&TargetScale>,
    ) -> Result<Targets> {
        match &self.answers {
            Answers::Labels(labels) => {
                Ok(Targets::Classes { labels: rows.iter().map(|&row| labels[row]).collect(), classes })
            }
            Answers::Values { values, width } => {
                let prepared = |row: usize, column: usize| {
                    let raw = values[row * width + column];
                    let value = scale.map_or(raw, |scale| scale.prepare(column, raw)) as f32;
                    match value.is_finite() {
                        true => Ok(value),
                        false => Err(bad(target_of(row), "a number that single precision holds", raw)),
                    }
                };
                let all = rows.iter().flat_map(|&row| (0..*width).map(move |column| (row, column)));
                let values = all.map(|(row, column)| prepared(row, column)).collect::<Result<_>>()?;
                Ok(Targets::Values { values, width: *width })
            }
        }
    }

    /// Queries, further columns and sample weights of `rows`: a row's weight is the file's times that of its class, over the mean of these rows.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if a weight is negative or none is above 0.
    pub(super) fn columns(&self, rows: &[usize], class_weights: &[f64]) -> Result<Columns> {
        let mut columns = Columns::default();
        if let Some(queries) = &self.part.queries {
            columns = columns.with(QUERY, rows.iter().map(|row| queries[*row]).collect());
        }
        for (name, values) in &self.part.others {
            columns = columns.with(name, rows.iter().map(|row| values[*row]).collect());
        }
        columns.check(rows.len())?;
        let by_class = |row: usize| match &self.answers {
            Answers::Labels(labels) => class_weights.get(labels[row] as usize).copied(),
            Answers::Values { .. } => None,
        };
        let own = |row: usize| self.part.weights.as_ref().map(|weights| weights[row]);
        if self.part.weights.is_some() || !class_weights.is_empty() {
            let one = |row: &usize| own(*row).unwrap_or(1.0) * by_class(*row).unwrap_or(1.0);
            let all: Vec<f64> = rows.iter().map(one).collect();
            columns = columns.with(WEIGHT, all);
            columns.check(rows.len())?;
            columns.check_counted()?;
            let all = columns.get(WEIGHT).unwrap_or_default();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let over_mean = all.iter().map(|weight| weight / mean).collect();
            columns = columns.with(WEIGHT, over_mean);
        }
        Ok(columns)
    }

    /// What classes count: as given, or so that those of the training `rows` count alike.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if there is not one number for each class.
    pub(super) fn class_weights(
        &self,
        wanted: Option<&ClassWeights>,
        rows: &[usize],
        classes: usize,
    ) -> Result<Vec<f64>> {
        let (Some(wanted), Answers::Labels(labels)) = (wanted, &self.answers) else { return Ok(Vec::new()) };
        match wanted {
            ClassWeights::Balanced => {
                let own: Vec<u32> = rows.iter().map(|row| labels[*row]).collect();
                Ok(balanced(&own, classes))
            }
            ClassWeights::Given(all) => given_weights(all, classes),
        }
    }

    /// All rows.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.part.rows()).collect()
    }

    /// Which of `rows` are to be trained on and which are held out: a fraction is one of all the file's rows. Each row's turn is a hash of the key
    /// and its index, so it depends on nothing else; within each part the rows keep their order. Rows of one query have the turn of the first
    /// and go together, even if more rows than asked for are held out then.
    pub(super) fn hold_out(
        &self,
        rows: Vec<usize>,
        holdout: Holdout,
        options: &DataOptions,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let held = held_count(holdout, self.part.rows() as u64)? as usize;
        if held >= rows.len() {
            let expected = format!("fewer than the {} rows that are left", rows.len());
            return Err(Error::expected(ErrorKind::Spec, "rows held out", expected, held));
        }
        if options.streams.is_some() {
            let mut rows = rows;
            let last = rows.split_off(rows.len() - held);
            return Ok((rows, last));
        }
        let first = self.first_of_query();
        let mut order: Vec<_> = rows.iter().map(|row| (turn(options.split, first(*row)), *row)).collect();
        order.sort_unstable();
        let mut out = vec![false; self.part.rows()];
        match &self.answers {
            Answers::Labels(labels) if options.stratify == Some(true) => {
                for row in stratified(order.iter().map(|(_, row)| (*row, labels[*row])), held) {
                    out[row] = true;
                }
            }
            _ => {
                let whole = order[held..].iter().take_while(|(turn, _)| *turn == order[held - 1].0).count();
                if held + whole >= rows.len() {
                    return Err(no_query_left());
                }
                order[..held + whole].iter().for_each(|&(_, row)| out[row] = true);
            }
        }
        Ok(rows.into_iter().partition(|&row| !out[row]))
    }

    /// From a row to the first of its query; to itself where there are none.
    fn first_of_query(&self) -> impl Fn(usize) -> u64 {
        let mut first = std::collections::BTreeMap::new();
        let queries = self.part.queries.iter().flatten().enumerate();
        // Numbers that are equal have equal bits, but for the two zeros.
        let of_row: Vec<u64> =
            queries.map(|(row, query)| *first.entry((query + 0.0).to_bits()).or_insert(row as u64)).collect();
        move |row| of_row.get(row).copied().unwrap_or(row as u64)
    }
}

/// So many of `rows`, which stand in the order of their turns with their labels: of each class its share, the largest remainders rounded up (Hamilton),
/// but never all of a class.
pub(super) fn stratified(rows: impl Iterator<Item = (usize, u32)>, held: usize) -> Vec<usize> {
    let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    rows.for_each(|(row, label)| classes.entry(label).or_default().push(row));
    let all: usize = classes.values().map(Vec::len).sum();
    // Whole numbers, so that equal remainders are equal.
    let share = |own: &Vec<usize>| (held * own.len() / all, held * own.len() % all);
    let missing = held - classes.values().map(|own| share(own).0).sum::<usize>();
    let mut by_remainder: Vec<(usize, u32)> =
        classes.iter().map(|(label, own)| (share(own).1, *label)).collect();
    by_remainder.sort_by_key(|(remainder, label)| (std::cmp::Reverse(*remainder), *label));
    let more: Vec<u32> = by_remainder.into_iter().take(missing).map(|(_, label)| label).collect();
    let taken = classes.iter().flat_map(|(label, own)| {
        let wanted = share(own).0 + usize::from(more.contains(label));
        own[..wanted.min(own.len() - 1)].iter().copied()
    });
    taken.collect()
}

/// The weights of so many classes, which are given.
///
/// # Errors
/// [`ErrorKind::Spec`] if there is not one number for each class.
pub(super) fn given_weights(all: &[f64], classes: usize) -> Result<Vec<f64>> {
    if all.len() == classes {
        return Ok(all.to_vec());
    }
    let expected = format!("one number for each of the {classes} classes");
    Err(refused("data.class_weights", expected, all.len()))
}

/// Refuses answers that are all the same: nothing can be learned from them, and every score is perfect.
pub(super) fn check_varied(part: &Part) -> Result<()> {
    let Some(answers) = &part.answers else { return Ok(()) };
    let mut rows = answers.values.chunks_exact((answers.values.len() / answers.rows.max(1)).max(1));
    // Words are no numbers, so that their bits are compared.
    let bits = |row: &[f64]| row.iter().map(|v| (v + 0.0).to_bits()).collect::<Vec<u64>>();
    let first = rows.next();
    if answers.rows < 2 || rows.any(|row| Some(bits(row)) != first.map(bits)) {
        return Ok(());
    }
    let cell = first.and_then(|row| row.first()).copied().unwrap_or_default();
    Err(not_varied(&answers.place, cell, &answers.words).in_file(&part.path))
}

/// The answers in this place are all the same.
pub(super) fn not_varied(place: &str, cell: f64, words: &[String]) -> Error {
    let value = as_word(cell).and_then(|code| words.get(code)).cloned();
    let found = format!("one value in all rows, {}", value.unwrap_or_else(|| cell.to_string()));
    bad(place, "at least two different values to be told apart", found)
}

/// Rows of a file that are held out, each part in ascending order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HeldOut {
    /// Those to test with.
    pub(super) test: Vec<u64>,
    /// Those to choose the best step by.
    pub(super) validation: Vec<u64>,
}

impl HeldOut {
    fn sorted(mut self) -> Self {
        self.test.sort_unstable();
        self.validation.sort_unstable();
        self
    }
}

/// How many of so many rows are to be held out for testing, and how many to choose the best step by.
fn wanted(options: &DataOptions, rows: u64) -> Result<[u64; 2]> {
    let test = if options.test_path.is_some() { 0 } else { held_count(options.test, rows)? };
    let Some(holdout) = options.validation else { return Ok([test, 0]) };
    let validation = held_count(holdout, rows).map_err(|e| e.within("data.validation"))?;
    if validation >= rows - test {
        let expected = format!("fewer than the {} rows that are left", rows - test);
        return Err(
            Error::expected(ErrorKind::Spec, "rows held out", expected, validation).within("data.validation")
        );
    }
    Ok([test, validation])
}

/// The rows of `rows` without queries that are held out: those whose turn comes first, to test with before all others, as [`Rows::hold_out`] finds them.
///
/// # Errors
/// [`ErrorKind::Spec`] if these are all.
pub(super) fn held_rows(options: &DataOptions, rows: u64) -> Result<HeldOut> {
    let [test, validation] = wanted(options, rows)?;
    if options.streams.is_some() {
        let at = rows - test;
        return Ok(HeldOut { test: (at..rows).collect(), validation: (at - validation..at).collect() });
    }
    // The last of the first turns on top: no more of them are kept than are wanted.
    let mut first = BinaryHeap::new();
    for row in 0..rows {
        first.push((turn(options.split, row), row));
        if first.len() as u64 > test + validation {
            first.pop();
        }
    }
    let mut held: Vec<u64> = first.into_sorted_vec().into_iter().map(|(_, row)| row).collect();
    let validation = held.split_off(test as usize);
    Ok(HeldOut { test: held, validation }.sorted())
}

/// The rows that are held out where those of a query stand side by side, as [`Rows::hold_out`] finds them: `begins` are the first
/// row of each query, and the number of all rows.
///
/// # Errors
/// [`ErrorKind::Spec`] if no query is left.
pub(super) fn held_queries(options: &DataOptions, begins: &[u64]) -> Result<HeldOut> {
    let rows = begins.last().copied().unwrap_or_default();
    let [tested, validated] = wanted(options, rows)?;
    let mut order: Vec<_> =
        begins.windows(2).map(|query| (turn(options.split, query[0]), query[0]..query[1])).collect();
    order.sort_unstable_by_key(|(turn, _)| *turn);
    let mut held = HeldOut::default();
    for (_, query) in order {
        if (held.test.len() as u64) < tested {
            held.test.extend(query);
        } else if (held.validation.len() as u64) < validated {
            held.validation.extend(query);
        } else {
            return Ok(held.sorted());
        }
    }
    Err(no_query_left())
}

fn no_query_left() -> Error {
    let expected = "a query that is left to be trained on";
    Error::expected(ErrorKind::Spec, "rows held out", expected, "none")
}

/// How many rows of `rows` are asked to be held out: not all.
pub(super) fn held_count(holdout: Holdout, rows: u64) -> Result<u64> {
    let held = match holdout {
        Holdout::Fraction(part) => ((rows as f64 * part).round() as u64).max(1),
        Holdout::Rows(held) => held as u64,
    };
    if held < rows {
        return Ok(held);
    }
    let expected = format!("fewer than the {rows} rows of the file");
    Err(Error::expected(ErrorKind::Spec, "rows held out for testing", expected, held))
}

/// That so many numbers can be what a row is answered with.
pub(super) fn check_width(target: Target, width: usize) -> Result<()> {
    if target != Target::Class || width == 1 {
        return Ok(());
    }
    Err(bad("labels", "one number per row", format!("{width} numbers per row")))
}

/// Whole numbers up to here are exact in double precision.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// That a number beside a row of the file can be that: finite, a sample weight at least 0, a query told from all others.
pub(super) fn check_beside(name: &str, row: usize, number: f64) -> Result<()> {
    match expected_beside(name, number) {
        None => Ok(()),
        Some(expected) => {
            Err(bad(format!("column {name}"), expected, format!("{number} in row {row} (from 0)")))
        }
    }
}

/// What a number beside a row should be, if it is not.
pub(super) fn expected_beside(name: &str, number: f64) -> Option<&'static str> {
    match name {
        WEIGHT if !(number >= 0.0 && number.is_finite()) => Some("a finite number, at least 0"),
        _ if !number.is_finite() => Some("a finite number"),
        QUERY if number.abs() >= EXACT => Some("a number below 2^53, as larger ones are rounded"),
        _ => None,
    }
}

/// That a row's numbers are what it can be answered with.
pub(super) fn check_answer(target: Target, row: usize, values: &[f64]) -> Result<()> {
    let (sound, expected): (fn(&f64) -> bool, _) = match target {
        Target::Class => return Ok(()),
        Target::Value => (|v| v.is_finite(), "a finite number"),
        Target::Labels => (|v| *v == 0.0 || *v == 1.0, "0 or 1"),
    };
    match values.iter().find(|value| !sound(value)) {
        None => Ok(()),
        Some(value) => Err(bad(target_of(row), expected, value)),
    }
}

pub(super) fn target_of(row: usize) -> String {
    format!("target of row {row} (from 0)")
}

/// When a row's turn to be held out comes.
pub(super) fn turn(split_key: u64, row: u64) -> [u8; 32] {
    let mut hash = blake3::Hasher::new_derive_key("onward 2026 split v1");
    hash.update(&split_key.to_le_bytes());
    hash.update(&row.to_le_bytes());
    *hash.finalize().as_bytes()
}
