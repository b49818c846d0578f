//! Several answers of one model, each with a task of its own.

use super::{Answers, Grain, Task, Wanted, loss::refused};
use crate::dataset::{Targets, WEIGHT};
use crate::model::{Act, Graph};
use crate::schema::nearest_of;
use crate::{Error, ErrorKind, Hint, Result};
use std::ops::Range;
use std::sync::Arc;

/// One named output of a model with the task that it is trained for.
#[derive(Clone)]
pub struct Head {
    name: String,
    task: Arc<dyn Task>,
    columns: Vec<String>,
    weight: f32,
}

impl Head {
    /// The output of this name, trained on the rows' targets.
    pub fn new(name: impl Into<String>, task: Arc<dyn Task>) -> Self {
        Self { name: name.into(), task, columns: Vec::new(), weight: 1.0 }
    }

    /// Trains the head on columns beside the targets: several, or one where the answer is one number, are values; one where the answer
    /// is several numbers holds classes, whole numbers from 0.
    #[must_use]
    pub fn about(self, columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|name| (*name).to_owned()).collect(), ..self }
    }

    /// Multiplies the head's loss by `weight`.
    #[must_use]
    pub fn weighing(self, weight: f32) -> Self {
        Self { weight, ..self }
    }

    /// The name of the head.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The task that the head is trained for.
    pub fn task(&self) -> &dyn Task {
        &*self.task
    }

    /// The number of columns that the head is trained on; 0 for the targets.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// What the samples that `answers` are to should be answered with by `width` numbers; sample weights where `weighted`.
    ///
    /// # Errors
    /// As for [`Head::part`].
    pub(crate) fn wanted(&self, width: usize, answers: Answers<'_>, weighted: bool) -> Result<Wanted> {
        let samples = || answers.first..answers.first + answers.count;
        let all: Vec<u32> = samples().map(|sample| sample as u32).collect();
        let mut columns = answers.columns.select(&all);
        if !weighted {
            columns = columns.without(WEIGHT);
        }
        let column = |name: &str| {
            let values = answers.columns.get(name);
            values.ok_or_else(|| {
                refused(self.place(), format!("a column {name} beside the rows' targets"), "none".into())
            })
        };
        let targets = match &self.columns[..] {
            [] => answers.targets.select(&all),
            [name] if width > 1 => {
                let values = column(name)?;
                let labels =
                    samples().map(|sample| class(name, sample, values[sample])).collect::<Result<_>>()?;
                Targets::Classes { labels, classes: width }
            }
            names => {
                let all = names.iter().map(|name| column(name)).collect::<Result<Vec<_>>>()?;
                let pairs = samples().flat_map(|sample| {
                    names.iter().zip(&all).map(move |(name, all)| (name, sample, all[sample]))
                });
                let values =
                    pairs.map(|(name, sample, value)| single(name, sample, value)).collect::<Result<_>>()?;
                Targets::Values { values, width: names.len() }
            }
        };
        Ok(Wanted { targets, columns })
    }

    /// Its part of a model's outputs, which is `range` of each row, and what that should have been.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if a column is not there, or holds other numbers than the head needs.
    pub(crate) fn part(
        &self,
        range: &Range<usize>,
        outputs: &Act,
        answers: Answers<'_>,
        weighted: bool,
    ) -> Result<(Act, Wanted)> {
        let rows = (0..outputs.rows()).flat_map(|row| &outputs.row(row)[range.clone()]).copied();
        let own = Act::new(outputs.rows(), [1, 1, range.len()], rows.collect());
        Ok((own, self.wanted(range.len(), answers, weighted)?))
    }

    fn place(&self) -> String {
        format!("head {}", self.name)
    }
}

fn class(column: &str, sample: usize, value: f64) -> Result<u32> {
    if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
        return Ok(value as u32);
    }
    Err(refused(format!("column {column} of row {sample}"), "a class, counted from 0", value.to_string()))
}

fn single(column: &str, sample: usize, value: f64) -> Result<f32> {
    match (value as f32).is_finite() {
        true => Ok(value as f32),
        false => Err(refused(
            format!("column {column} of row {sample}"),
            "a number that single precision holds",
            value.to_string(),
        )),
    }
}

/// The task of a model with several heads: the sum of their losses, each times its weight. It has losses of rows where all have; sample weights
/// count for the sum.
pub struct Heads {
    heads: Vec<(Head, Range<usize>)>,
    outputs: usize,
    grain: Grain,
}

impl Heads {
    /// The task of a model with this graph, whose answers have names ([`crate::model::Builder::outputs`]). Answers that no head names are left
    /// to themselves.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if there is no head, if one names an answer that the model does not have or that another names too, has a weight
    /// that is negative or not finite, or is several heads itself.
    pub fn of(graph: &Graph, heads: Vec<Head>) -> Result<Self> {
        Self::within(graph.named_outputs(), graph.outputs(), heads)
    }

    /// The task of a model whose one answer has the numbers of all heads side by side: so many of each, in their order.
    ///
    /// # Errors
    /// As for [`Heads::of`].
    pub fn side_by_side(heads: Vec<(Head, usize)>) -> Result<Self> {
        let mut end = 0;
        let mut next = |width: usize| {
            end += width;
            end - width..end
        };
        let named: Vec<_> = heads.iter().map(|(head, width)| (head.name.clone(), next(*width))).collect();
        Self::within(&named, end, heads.into_iter().map(|(head, _)| head).collect())
    }

    fn within(named: &[(String, Range<usize>)], outputs: usize, heads: Vec<Head>) -> Result<Self> {
        let bad = |place: String, expected: String, found: String| {
            Error::expected(ErrorKind::Spec, place, expected, found)
        };
        if heads.is_empty() {
            return Err(bad("heads".into(), "at least one".into(), "none".into()));
        }
        let mut all = Vec::<(Head, Range<usize>)>::new();
        let mut grain = Grain::Row;
        for head in heads {
            if all.iter().any(|(other, _)| other.name == head.name) {
                return Err(bad(
                    head.place(),
                    "an answer of its own for each head".into(),
                    "two heads of it".into(),
                ));
            }
            if !(head.weight.is_finite() && head.weight >= 0.0) {
                return Err(bad(
                    head.place(),
                    "a weight that is a finite number, at least 0".into(),
                    head.weight.to_string(),
                ));
            }
            if !head.task.heads().is_empty() {
                return Err(bad(head.place(), "a task of one answer".into(), "one of several heads".into()));
            }
            let Some((_, range)) = named.iter().find(|(name, _)| *name == head.name) else {
                return Err(unknown(&head, named));
            };
            if head.task.grain() == Grain::Batch {
                grain = Grain::Batch;
            }
            all.push((head, range.clone()));
        }
        Ok(Self { heads: all, outputs, grain })
    }
}

/// A model's answer that nothing is named after.
fn unknown(head: &Head, named: &[(String, Range<usize>)]) -> Error {
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    let expected = match &names[..] {
        [] => "a model whose answers have names".to_owned(),
        _ => format!("one of the model's answers {}", names.join(", ")),
    };
    let error = Error::expected(ErrorKind::Spec, head.place(), expected, format!("{:?}", head.name));
    match nearest_of(&head.name, &names) {
        Some(near) => error.hint(Hint::Then(format!("did you mean {near:?}?"))),
        None => error,
    }
}

impl Task for Heads {
    fn grain(&self) -> Grain {
        self.grain
    }

    fn check(&self, outputs: usize, answers: Answers<'_>) -> Result<()> {
        if outputs != self.outputs {
            let expected = format!("the {} numbers of the model that the heads are of", self.outputs);
            return Err(refused("outputs", expected, outputs.to_string()));
        }
        self.each(answers, |head, width, wanted| head.task.check(width, wanted))
    }

    fn check_all(&self, answers: Answers<'_>) -> Result<()> {
        self.each(answers, |head, _, wanted| head.task.check_all(wanted))
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        losses.fill(0.0);
        let mut own = vec![0.0; losses.len()];
        for (head, range) in &self.heads {
            let (outputs, wanted) = head.part(range, outputs, answers, self.is_weighted())?;
            match self.grain {
                Grain::Batch => own[0] = head.task.of_batch(&outputs, wanted.answers())?,
                _ => head.task.of_rows(&outputs, wanted.answers(), &mut own)?,
            }
            losses.iter_mut().zip(&own).for_each(|(sum, loss)| *sum += head.weight * loss);
        }
        Ok(())
    }

    fn heads(&self) -> &[(Head, Range<usize>)] {
        &self.heads
    }
}

impl Heads {
    /// Whether heads see sample weights: where these count for the sum, row by row, its parts have none.
    fn is_weighted(&self) -> bool {
        self.grain == Grain::Batch
    }

    fn each(
        &self,
        answers: Answers<'_>,
        check: impl Fn(&Head, usize, Answers<'_>) -> Result<()>,
    ) -> Result<()> {
        self.heads.iter().try_for_each(|(head, range)| {
            let wanted = head.wanted(range.len(), answers, self.is_weighted());
            wanted
                .and_then(|wanted| check(head, range.len(), wanted.answers()))
                .map_err(|e| e.within(head.place()))
        })
    }
}
