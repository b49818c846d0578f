//! What a stream's numbers lead to, found before training: which rows are trained on, how they are prepared, and the test rows.

use super::ahead::{Recipe, Streamed};
use super::queries::Queries;
use super::watched::Watched;
use super::{PIECE, Stream, refusal};
use crate::beside::Beside;
use crate::classes::{Classes, Coder, Key};
use crate::layout::Layout;
use crate::memory;
use crate::part::{Part, bad};
use crate::prepare::{Spread, TargetScale};
use crate::read::{Trained, read_more};
use crate::survey::MOST_WORDS;
use crate::table::Table;
use crate::targets::{
    HeldOut, Rows as Answered, check_answer, check_beside, check_width, given_weights, held_rows, key,
    labels_of, not_varied,
};
use crate::{
    Center, ClassWeights, DataOptions, Missing, Opened, Preparation, Split, Summary, Target, choose_shape,
};
use onward::Result;
use onward::dataset::{Columns, WEIGHT, balanced_of};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Which rows of a table are trained on: all but the held ones, up to a limit.
pub(super) struct Training {
    /// The rows of the file that are held out, in ascending order.
    held: Vec<u64>,
    /// Which of them are to choose the best step by.
    validation: Vec<u64>,
    /// How many rows are trained on.
    pub(super) rows: u64,
}

impl Training {
    /// Of so many rows.
    pub(super) fn of(options: &DataOptions, all: u64) -> Result<Self> {
        Ok(Self::without(held_rows(options, all)?, all, options))
    }

    /// Of so many rows without those that are held out.
    pub(super) fn without(out: HeldOut, all: u64, options: &DataOptions) -> Self {
        let HeldOut { test, validation } = out;
        let mut held = [test, validation.clone()].concat();
        held.sort_unstable();
        let rows = (all - held.len() as u64).min(options.limit.unwrap_or(usize::MAX) as u64);
        Self { held, validation, rows }
    }

    /// The row of the file that is the training row `row`, or as many behind the last one.
    pub(super) fn in_file(&self, row: u64) -> u64 {
        let before = |at: usize| self.held[at] - at as u64;
        let (mut low, mut high) = (0, self.held.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(middle) <= row { low = middle + 1 } else { high = middle }
        }
        row + low as u64
    }

    /// The rows of the file that are held out, in ascending order.
    pub(super) fn held(&self) -> &[u64] {
        &self.held
    }

    /// Those of them that are to be tested with.
    pub(super) fn tested(&self) -> Vec<u64> {
        self.held.iter().copied().filter(|row| self.validation.binary_search(row).is_err()).collect()
    }

    /// Those of them that are to choose the best step by.
    pub(super) fn validation(&self) -> &[u64] {
        &self.validation
    }

    /// The held rows from a row of the file on.
    pub(super) fn held_from(&self, row: u64) -> &[u64] {
        &self.held[self.held.partition_point(|held| *held < row)..]
    }
}

/// What becomes of a row of the file.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Trained,
    Held,
    /// Beyond the limit.
    LeftOut,
}

/// What the first pass finds.
struct Found {
    features: Vec<Spread>,
    /// Of each number that a row is answered with.
    answers: Vec<Spread>,
    /// All that the test rows have, and those to choose the best step by.
    test: Vec<f64>,
    validation: Vec<f64>,
    /// The bits of each label, and how many training rows have it; none if answers are values.
    labels: BTreeMap<u64, u64>,
    /// The answers of the first row.
    first: Vec<f64>,
    varied: bool,
    /// The sum of the training rows' weights.
    weight: f64,
}

/// The data of a stream, ready to be trained on in blocks of `block(width)` rows.
pub(super) fn opened(
    stream: Box<dyn Stream>,
    watched: &Watched,
    options: &DataOptions,
    block: impl FnOnce(usize) -> usize,
) -> Result<Opened> {
    let path = watched.path();
    let at = |e: onward::Error| e.in_file(path);
    let beside = Beside::of(options, stream.table(), &[]).map_err(at)?;
    check_width(options.target, beside.labels.len()).map_err(at)?;
    beside.check(stream.table(), options).map_err(at)?;
    let mut columns = Layout::of(stream.table(), &beside, options).map_err(at)?;
    check_missing(options, stream.table(), &beside, path)?;
    let width = columns.features.len();
    let shape = choose_shape(options.shape, [1, 1, width], width, path)?;
    if options.center == Center::Mean {
        let found = "\"mean\", whose sum goes through one column after the other";
        return Err(refusal(path, "data.center", "\"none\" or \"standardize\"", found));
    }
    let queries = beside.query.map(|column| Queries::read(&*stream, column)).transpose().map_err(at)?;
    let training = match &queries {
        Some(queries) => queries.training(options),
        None => Training::of(options, stream.rows()),
    };
    let training = training.map_err(at)?;
    if training.rows == 0 {
        return Err(bad("data", "at least one row to train on", "none").in_file(path));
    }
    let kept = training.held.len() as u128 * (12 * width as u128 + 24);
    memory::check("data.test", "rows that are held out, which are kept in memory", kept)?;
    let words = beside.words(stream.table());
    if columns.filled().next().is_some() {
        let scan = Scan {
            stream: &*stream,
            training: &training,
            columns: &columns,
            beside: &beside,
            words: &words,
            options,
        };
        let means = scan.means().map_err(at)?;
        columns.fill(&means);
    }
    let scan = Scan {
        stream: &*stream,
        training: &training,
        columns: &columns,
        beside: &beside,
        words: &words,
        options,
    };
    let mut found = scan.first_pass().map_err(at)?;
    if !found.varied {
        let first = found.first.first().copied().unwrap_or_default();
        return Err(not_varied(&beside.answers(stream.table()), first, &words).in_file(path));
    }
    let labels = beside.unsaid_labels(options, stream.table());
    let file = |path: &Option<std::path::PathBuf>| {
        let read = |path| read_more(path, None, options, &Trained::of(&columns, &labels), Missing::Error);
        path.as_deref().map(read).transpose()
    };
    let (mut test, mut validation) = (file(&options.test_path)?, file(&options.validation_path)?);
    let classes = scan.classes(&found, [&mut test, &mut validation]).map_err(at)?;
    let answered = |part: Part| Answered::from_part(part, options.target, &classes);
    let (test, validation) = (test.map(answered).transpose()?, validation.map(answered).transpose()?);
    let coder = classes.coder(&words);
    let class_weights = scan.class_weights(&found, &coder, classes.count).map_err(at)?;
    let preparation =
        Preparation { class_weights, classes: classes.names.clone(), labels, ..Preparation::none(shape) };
    let preparation = scan.prepared(preparation, &mut found, &coder).map_err(at)?;
    let mean = found.weight / training.rows as f64;
    if scan.is_weighted() {
        Columns::default().with(WEIGHT, vec![found.weight]).check_counted().map_err(at)?;
    }
    let mut notes = columns.notes.clone();
    let bytes = watched.digest(&mut notes)?;
    let summary = Summary::of_stream(stream.table(), &columns, &beside, &classes);
    let queries = queries.map(|queries| queries.trained(&training));
    let (tested, validated, trained) = (training.tested(), training.validation.clone(), training.rows);
    let recipe = Recipe::new(
        stream,
        training,
        (columns, beside),
        preparation.clone(),
        (classes.count, coder, mean),
        block(width),
    );
    let test = match test {
        None => recipe.test(&found.test, &tested).map_err(at)?,
        Some(test) => test.dataset(&test.all(), classes.count, &preparation)?,
    };
    let validation = match validation {
        Some(rows) => Some(rows.dataset(&rows.all(), classes.count, &preparation)?),
        None if validated.is_empty() => None,
        None => Some(recipe.test(&found.validation, &validated).map_err(at)?),
    };
    let notes = notes.into_iter().map(|note| format!("{}: {note}", path.display())).collect();
    let train = Streamed::new(recipe, &bytes, queries).map_err(at)?;
    let summary = summary.with(trained, validation.as_ref(), &test);
    Ok(Split { train: Arc::new(train), test, validation, preparation, summary, notes })
}

/// A pass over a stream.
struct Scan<'a> {
    stream: &'a dyn Stream,
    training: &'a Training,
    columns: &'a Layout,
    beside: &'a Beside,
    /// Of the label column.
    words: &'a [String],
    options: &'a DataOptions,
}

/// Refuses what only all rows at once could tell of missing values.
fn check_missing(options: &DataOptions, table: &Table, beside: &Beside, path: &Path) -> Result<()> {
    let unanswered = |column: &usize| {
        table.seen.get(*column).and_then(|seen| Some((*column, seen.first_missing.as_ref()?)))
    };
    if let Some((column, spot)) = beside.labels.iter().find_map(unanswered) {
        return Err(table
            .flaw(column, spot, "a label, as no rows can be left out of a stream")
            .in_file(path));
    }
    match options.missing.unwrap_or_default() {
        Missing::Error => Ok(()),
        Missing::Mean => Ok(()),
        other => Err(refusal(path, "data.missing", "\"error\" or \"mean\"", &format!("{:?}", other.name()))),
    }
}

impl Scan<'_> {
    /// Whether rows count for what a column or their class says.
    fn is_weighted(&self) -> bool {
        let by_class = self.options.class_weights.is_some() && self.options.target == Target::Class;
        by_class || self.beside.weight.is_some()
    }

    /// Each filled column's mean over the training rows.
    fn means(&self) -> Result<Vec<f64>> {
        let columns: Vec<usize> = self.columns.filled().collect();
        let mut spreads = vec![Spread::default(); columns.len()];
        self.each(self.stream.rows(), |_, what, cells| {
            if what == Use::Trained {
                let there = spreads.iter_mut().zip(&columns).filter(|(_, column)| !cells[**column].is_nan());
                there.for_each(|(spread, column)| spread.see(cells[*column]));
            }
            Ok(())
        })?;
        let mean = |(spread, column): (&Spread, &usize)| {
            let place = || format!("column {}", self.stream.table().name(*column));
            spread
                .mean_of_some()
                .ok_or_else(|| bad(place(), "a value in a training row", "missing values alone"))
        };
        spreads.iter().zip(&columns).map(mean).collect()
    }

    /// The classes of the labels that were found, and of those of rows in files of their own.
    fn classes(&self, found: &Found, more: [&mut Option<Part>; 2]) -> Result<Classes> {
        if self.options.target != Target::Class {
            return Ok(Classes::default());
        }
        let cells = found.labels.keys().map(|bits| f64::from_bits(*bits));
        let mut keys: BTreeSet<Key> = cells.filter_map(|cell| Key::of(cell, self.words)).collect();
        for part in more.into_iter().flatten() {
            keys.extend(labels_of(part)?);
        }
        Classes::of(&keys, self.options.query.is_some())
    }

    /// What classes count, as the first pass found them.
    fn class_weights(&self, found: &Found, coder: &Coder, classes: usize) -> Result<Vec<f64>> {
        match &self.options.class_weights {
            _ if self.options.target != Target::Class => Ok(Vec::new()),
            None => Ok(Vec::new()),
            Some(ClassWeights::Given(all)) => given_weights(all, classes),
            Some(ClassWeights::Balanced) => {
                let mut counts = vec![0; classes];
                for (bits, rows) in &found.labels {
                    counts[coder.class(0, f64::from_bits(*bits))? as usize] = *rows;
                }
                Ok(balanced_of(&counts))
            }
        }
    }

    /// How rows of this shape are prepared, where classes count so.
    fn prepared(
        &self,
        mut preparation: Preparation,
        found: &mut Found,
        coder: &Coder,
    ) -> Result<Preparation> {
        let shape = preparation.shape;
        preparation.names.clone_from(&self.columns.names);
        preparation.inputs.clone_from(&self.columns.inputs);
        preparation.scale = self.options.scale;
        let centered = self.options.center != Center::None;
        let standardized = match self.options.center {
            Center::Auto => shape[0] * shape[1] == 1,
            center => center == Center::Standardize,
        };
        let values = self.options.target == Target::Value && centered;
        if standardized || values || self.is_weighted() {
            self.second_pass(found, &preparation, coder)?;
        }
        if standardized {
            preparation.standardize(found.features.iter().map(Spread::moments));
        }
        if values {
            preparation.targets = Some(TargetScale::of(found.answers.iter().map(Spread::moments).collect())?);
        }
        Ok(preparation)
    }

    /// Gives `f` each of the first rows: its number, what becomes of it, and its numbers.
    fn each(&self, rows: u64, mut f: impl FnMut(u64, Use, &[f64]) -> Result<()>) -> Result<()> {
        let width = self.stream.table().columns;
        let (mut reader, mut raw, mut held) = (self.stream.at(0)?, Vec::new(), self.training.held_from(0));
        let (mut row, mut left) = (0, self.training.rows);
        while row < rows {
            let count = (rows - row).min(PIECE as u64);
            raw.clear();
            reader.read(count as usize, &mut raw)?;
            for numbers in raw.chunks_exact_mut(width) {
                self.columns.code(row, numbers)?;
                let what = match held.first() == Some(&row) {
                    true => Use::Held,
                    false if left > 0 => Use::Trained,
                    false => Use::LeftOut,
                };
                match what {
                    Use::Held => held = &held[1..],
                    Use::Trained => left -= 1,
                    Use::LeftOut => {}
                }
                f(row, what, numbers)?;
                row += 1;
            }
        }
        Ok(())
    }

    fn first_pass(&self) -> Result<Found> {
        let columns = &self.columns.features;
        let mut found = Found {
            features: vec![Spread::default(); columns.len()],
            answers: vec![Spread::default(); self.beside.labels.len()],
            test: Vec::new(),
            validation: Vec::new(),
            labels: BTreeMap::new(),
            first: Vec::new(),
            varied: self.stream.rows() < 2,
            weight: 0.0,
        };
        let scale = self.options.scale;
        self.each(self.stream.rows(), |row, what, numbers| {
            self.check(row, numbers)?;
            let answers = || self.beside.labels.iter().map(|column| numbers[*column]);
            if row == 0 {
                found.first = answers().collect();
            }
            // Words are no numbers, so that their bits are compared.
            let bits = |cell: f64| (cell + 0.0).to_bits();
            found.varied |= !answers().map(bits).eq(found.first.iter().copied().map(bits));
            if self.options.target == Target::Class {
                let label = answers().next().unwrap_or_default();
                *found.labels.entry(bits(label)).or_default() += u64::from(what == Use::Trained);
                if found.labels.len() > MOST_WORDS {
                    let expected = "no more than 65536 classes (data.target = \"value\" if they are values)";
                    return Err(bad("labels", expected, "more"));
                }
            }
            match what {
                Use::Held if self.training.validation.binary_search(&row).is_ok() => {
                    found.validation.extend(numbers);
                }
                Use::Held => found.test.extend(numbers),
                Use::Trained => {
                    for (spread, feature) in found.features.iter_mut().zip(columns) {
                        spread.see(feature.of(numbers[feature.column]) * scale);
                    }
                    found.answers.iter_mut().zip(answers()).for_each(|(spread, answer)| spread.see(answer));
                }
                Use::LeftOut => {}
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// That a row's numbers are what they should be.
    fn check(&self, row: u64, numbers: &[f64]) -> Result<()> {
        let columns = &self.columns.features;
        if let Some(at) = columns.iter().position(|feature| !feature.takes(numbers[feature.column])) {
            let place = self.columns.place(row, at);
            return Err(bad(place, "a finite number", numbers[columns[at].column]));
        }
        for column in &self.beside.labels {
            if self.options.target == Target::Class {
                key(row as usize, numbers[*column], self.words)?;
            }
            check_answer(self.options.target, row as usize, &[numbers[*column]])?;
        }
        let others = self.beside.others.iter().map(|(name, column)| (name.as_str(), *column));
        let mut beside = others.chain(self.beside.weight.map(|column| (WEIGHT, column)));
        beside.try_for_each(|(name, column)| check_beside(name, row as usize, numbers[column]))
    }

    fn second_pass(&self, found: &mut Found, preparation: &Preparation, coder: &Coder) -> Result<()> {
        found.features.iter_mut().for_each(Spread::settle);
        found.answers.iter_mut().for_each(Spread::settle);
        let scale = self.options.scale;
        self.each(self.training.in_file(self.training.rows - 1) + 1, |row, what, numbers| {
            if what == Use::Trained {
                for (spread, feature) in found.features.iter_mut().zip(&self.columns.features) {
                    spread.see_again(feature.of(numbers[feature.column]) * scale);
                }
                for (spread, column) in found.answers.iter_mut().zip(&self.beside.labels) {
                    spread.see_again(numbers[*column]);
                }
                if self.is_weighted() {
                    found.weight += self.beside.weight_of(row, numbers, &preparation.class_weights, coder)?;
                }
            }
            Ok(())
        })
    }
}

impl Beside {
    /// What a row counts, before that is divided by the mean: its own weight times that of its class.
    pub(super) fn weight_of(
        &self,
        row: u64,
        numbers: &[f64],
        class_weights: &[f64],
        coder: &Coder,
    ) -> Result<f64> {
        let own = self.weight.map_or(1.0, |column| numbers[column]);
        let (Some(label), false) = (self.labels.first(), class_weights.is_empty()) else { return Ok(own) };
        let class = coder.class(row as usize, numbers[*label])?;
        Ok(own * class_weights.get(class as usize).copied().unwrap_or(1.0))
    }

    /// The words of the one label column.
    pub(super) fn words(&self, table: &Table) -> Vec<String> {
        let [label] = self.labels[..] else { return Vec::new() };
        table.seen.get(label).map(|seen| seen.words.clone()).unwrap_or_default()
    }
}
