//! What a stream's numbers lead to, found before training: which rows are trained on, how they are prepared, and the test rows.

use super::ahead::{Recipe, Streamed};
use super::watched::Watched;
use super::{PIECE, Stream, refusal};
use crate::Label;
use crate::memory;
use crate::part::{self, Layout};
use crate::prepare::{Spread, TargetScale};
use crate::targets::{Rows as Answered, held_rows, label, not_varied, target_of};
use crate::{Center, DataOptions, Opened, Preparation, Split, Target, check_names, choose_shape};
use onward::dataset::Dataset;
use onward::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// Which rows of a table are trained on: all but the held ones, up to a limit.
pub(super) struct Training {
    /// The rows of the file that are held out, in ascending order.
    held: Vec<u64>,
    /// How many rows are trained on.
    pub(super) rows: u64,
}

impl Training {
    /// Of so many rows.
    pub(super) fn of(options: &DataOptions, all: u64) -> Result<Self> {
        let held = match options.test_path {
            Some(_) => Vec::new(),
            None => held_rows(options.test, options.split, all)?,
        };
        let rows = (all - held.len() as u64).min(options.limit.unwrap_or(usize::MAX) as u64);
        Ok(Self { held, rows })
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

    /// The held rows from a row of the file on.
    pub(super) fn held_from(&self, row: u64) -> &[u64] {
        &self.held[self.held.partition_point(|held| *held < row)..]
    }
}

/// What the first pass finds.
struct Found {
    features: Vec<Spread>,
    answers: Spread,
    /// All that the held rows have.
    test: Vec<f64>,
    /// One more than the highest label; 0 if answers are values.
    classes: usize,
    first: Option<f64>,
    varied: bool,
}

/// The data of a stream, ready to be trained on in blocks of `block(width)` rows.
pub(super) fn opened(
    stream: Box<dyn Stream>,
    watched: &Watched,
    options: &DataOptions,
    block: impl FnOnce(usize) -> usize,
) -> Result<Opened> {
    let path = watched.path();
    let at = |e: Error| e.in_file(path);
    let label = one_label(options, path)?;
    let label = match label {
        Some(label) => stream.table().column("label column", label),
        None => stream.table().label_column(None),
    };
    let label = label.map_err(at)?;
    let columns = Layout::of(path, stream.table(), |column| column == label)?;
    let width = columns.features.len();
    let shape = choose_shape(options.shape, [1, 1, width], width, path)?;
    if options.center == Center::Mean {
        let found = "\"mean\", the mean of all features";
        return Err(refusal(path, "data.center", "\"none\" or \"standardize\"", found));
    }
    let training = Training::of(options, stream.rows()).map_err(at)?;
    if training.rows == 0 {
        return Err(part::bad("data", "at least one row to train on", "none").in_file(path));
    }
    let kept = training.held.len() as u128 * (12 * width as u128 + 24);
    memory::check("data.test", "test rows, which are kept in memory", kept)?;
    let scan = Scan { stream: &*stream, training: &training, columns: &columns, label, options };
    let (preparation, found) = scan.prepared(shape).map_err(at)?;
    let test = match &options.test_path {
        None => None,
        Some(test) => {
            let part = part::read_more(test, options, width, &columns.names)?;
            check_names(&columns.names, &part)?;
            Some(Answered::from_part(part, options.target)?)
        }
    };
    let classes = found.classes.max(test.as_ref().map_or(0, Answered::classes));
    let held = training.held.clone();
    let mut notes = columns.notes.clone();
    let bytes = watched.digest(&mut notes)?;
    let recipe = Recipe::new(stream, training, columns, label, preparation.clone(), classes, block(width));
    let test = match test {
        None => recipe.dataset(&found.test, &held).map_err(at)?,
        Some(test) => {
            let rows = test.all();
            let features = preparation.features(test.part(), &rows)?;
            let targets = test.targets(&rows, classes, preparation.targets.as_ref());
            let data = targets.and_then(|targets| Dataset::new(features, shape, targets));
            data.map_err(|e| e.in_file(&test.part().path))?
        }
    };
    let notes = notes.into_iter().map(|note| format!("{}: {note}", path.display())).collect();
    let train = Streamed::new(recipe, &bytes).map_err(at)?;
    Ok(Split { train: Arc::new(train), test, preparation, notes })
}

/// The one column of answers, if the options say which; what else they say of columns and answers takes all rows at once.
fn one_label<'a>(options: &'a DataOptions, path: &Path) -> Result<Option<&'a Label>> {
    let labels = options.label.as_ref().map_or(&[][..], |labels| &labels.0);
    let said = [
        ("data.label", labels.len() > 1, "one column", "several"),
        ("data.target", options.target == Target::Labels, "\"class\" or \"value\"", "\"labels\""),
        ("data.weight", options.weight.is_some(), "no such key", "one"),
        ("data.columns", options.columns.is_some(), "no such key", "some"),
        ("data.class_weights", options.class_weights.is_some(), "no such key", "one"),
        ("data.query", options.query.is_some(), "no such key", "one"),
    ];
    match said.into_iter().find(|(_, said, ..)| *said) {
        None => Ok(labels.first()),
        Some((key, _, expected, found)) => Err(refusal(path, key, expected, found)),
    }
}

/// A pass over a stream.
struct Scan<'a> {
    stream: &'a dyn Stream,
    training: &'a Training,
    columns: &'a Layout,
    label: usize,
    options: &'a DataOptions,
}

impl Scan<'_> {
    /// How rows of this shape are prepared, and what else both passes find.
    fn prepared(&self, shape: [usize; 3]) -> Result<(Preparation, Found)> {
        let mut found = self.first_pass()?;
        if !found.varied {
            let place = format!("column {}", self.stream.table().name(self.label));
            return Err(not_varied(&place, found.first.unwrap_or_default()));
        }
        let (names, scale) = (self.columns.names.clone(), self.options.scale);
        let (offsets, divisors) = (Vec::new(), Vec::new());
        let mut preparation =
            Preparation { shape, names, scale, offsets, divisors, targets: None, class_weights: Vec::new() };
        let centered = self.options.center != Center::None;
        let standardized = match self.options.center {
            Center::Auto => shape[0] * shape[1] == 1,
            center => center == Center::Standardize,
        };
        let values = self.options.target == Target::Value && centered;
        if standardized || values {
            self.second_pass(&mut found)?;
        }
        if standardized {
            preparation.standardize(found.features.iter().map(Spread::moments));
        }
        if values {
            preparation.targets = Some(TargetScale::of(vec![found.answers.moments()])?);
        }
        Ok((preparation, found))
    }

    /// Gives `f` each row that is trained on or held out: its number, whether it is held out, and its numbers.
    fn each(&self, rows: u64, mut f: impl FnMut(u64, bool, &[f64]) -> Result<()>) -> Result<()> {
        let width = self.stream.table().columns;
        let (mut reader, mut raw, mut held) = (self.stream.at(0)?, Vec::new(), self.training.held_from(0));
        let (mut row, mut left) = (0, self.training.rows);
        while row < rows {
            let count = (rows - row).min(PIECE as u64);
            raw.clear();
            reader.read(count as usize, &mut raw)?;
            for numbers in raw.chunks_exact(width) {
                let is_held = held.first() == Some(&row);
                if is_held {
                    held = &held[1..];
                }
                if is_held || left > 0 {
                    f(row, is_held, numbers)?;
                    left -= u64::from(!is_held);
                }
                row += 1;
            }
        }
        Ok(())
    }

    fn first_pass(&self) -> Result<Found> {
        let columns = &self.columns.features;
        let mut found = Found {
            features: vec![Spread::default(); columns.len()],
            answers: Spread::default(),
            test: Vec::new(),
            classes: 0,
            first: None,
            varied: self.stream.rows() < 2,
        };
        let scale = self.options.scale;
        self.each(self.stream.rows(), |row, held, numbers| {
            if let Some(at) = columns.iter().position(|column| !numbers[*column].is_finite()) {
                let place = self.columns.place(row, at);
                return Err(part::bad(place, "a finite number", numbers[columns[at]]));
            }
            let answer = numbers[self.label];
            match self.options.target {
                Target::Class => found.classes = found.classes.max(label(row as usize, answer)? as usize + 1),
                Target::Value if !answer.is_finite() => {
                    return Err(part::bad(target_of(row as usize), "a finite number", answer));
                }
                Target::Value | Target::Labels => {}
            }
            found.varied |= *found.first.get_or_insert(answer) != answer;
            if held {
                found.test.extend(numbers);
            } else {
                for (spread, column) in found.features.iter_mut().zip(columns) {
                    spread.see(numbers[*column] * scale);
                }
                found.answers.see(answer);
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn second_pass(&self, found: &mut Found) -> Result<()> {
        found.features.iter_mut().for_each(Spread::settle);
        found.answers.settle();
        let scale = self.options.scale;
        self.each(self.training.in_file(self.training.rows - 1) + 1, |_, held, numbers| {
            if !held {
                for (spread, column) in found.features.iter_mut().zip(&self.columns.features) {
                    spread.see_again(numbers[*column] * scale);
                }
                found.answers.see_again(numbers[self.label]);
            }
            Ok(())
        })
    }
}
