//! Rows of tokens that end before others do: what is answered at their items has the bits that each row has alone, and estimates are
//! those of the rows alone.

use crate::common::{
    cosine, every_direction, params_on, plan, population, relative, threads, two_point, wide,
};
use onward::ErrorKind;
use onward::dataset::{Dataset, NO_ITEM, Targets};
use onward::evaluate::{Batch, Local};
use onward::ledger::Search;
use onward::model::{Act, Activation, Attention, Builder, Carried, Cell, Graph, Model, Norms, Var};
use onward::noise::RunKey;
use onward::params::Params;
use onward::rule::{LayerOrder, Method, Rso};
use onward::task::{ItemCrossEntropy, Loss, Task};
use onward::train::Trainer;
use std::sync::Arc;

const WORDS: usize = 11;
const ITEMS: usize = 6;
const WIDTH: usize = 8;

/// What reads a row.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// Causal attention, an answer for each item.
    Causal,
    /// Attention to all items, an answer for each.
    Whole,
    /// A cell, an answer for each item.
    Forward(Cell),
    /// Cells in both directions, an answer for each item.
    Both(Cell),
}

impl Model for Reader {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let tokens = g.input();
        let length = g.length(tokens);
        let x = g.embed("embed", tokens, WORDS, WIDTH);
        let x = g.layer_norm("norm", x);
        let y = match *self {
            Self::Causal | Self::Whole => {
                let qkv = [("q", WIDTH), ("k", WIDTH / 2), ("v", WIDTH / 2)];
                let qkv = qkv.map(|(name, width)| g.linear(name, x, width));
                let causal = matches!(self, Self::Causal);
                let attention = Attention { heads: 2, causal, rotary: Some(100.0.into()) };
                if causal { g.attention(qkv, attention) } else { g.attention_within(qkv, length, attention) }
            }
            Self::Forward(cell) => g.cell_within("cell", cell, x, length, WIDTH),
            Self::Both(cell) => {
                let forward = g.cell("cell", cell, x, WIDTH);
                let turned = g.reversed_items(x, length);
                let backward = g.cell("back", cell, turned, WIDTH);
                let backward = g.reversed_items(backward, length);
                g.add(forward, backward)
            }
        };
        let y = g.map(Activation::Tanh, y);
        Ok(g.linear("out", y, WORDS))
    }
}

const READERS: [Reader; 6] = [
    Reader::Causal,
    Reader::Whole,
    Reader::Forward(Cell::Lstm),
    Reader::Forward(Cell::Gru),
    Reader::Both(Cell::Lstm),
    Reader::Both(Cell::Gru),
];

/// Says of a row one thing: the mean of its items and its last.
struct Topic;

impl Model for Topic {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let tokens = g.input();
        let length = g.length(tokens);
        let x = g.embed("embed", tokens, WORDS, WIDTH);
        let (mean, last) = (g.mean_of_items(x, length), g.last_of_items(x, length));
        let both = g.concat(&[mean, last]);
        Ok(g.linear("out", both, 3))
    }
}

/// Tokens of rows of one to so many items, and what follows each.
fn lists(rows: usize) -> Vec<(Vec<f32>, Vec<f32>)> {
    let token = |row: usize, item: usize| ((row * 31 + item * 7 + row * item) % WORDS) as f32;
    let list =
        |row: usize, more: usize| (0..1 + row * 5 % ITEMS).map(|item| token(row, item + more)).collect();
    (0..rows).map(|row| (list(row, 0), list(row, 1))).collect()
}

fn local(model: impl Model + 'static, task: impl Task + 'static, threads: usize) -> Local {
    Local::new(Arc::new(model), Arc::new(task), &self::threads(threads))
}

fn params(model: &dyn Model) -> Params {
    params_on(&Graph::new(model, [1, ITEMS, 1]).unwrap(), 3)
}

#[test]
fn answers_at_items_are_those_of_the_row_alone() {
    let rows = lists(9);
    let all = Dataset::ragged(&rows, ITEMS).unwrap();
    for reader in READERS {
        let (local, params) = (local(reader, ItemCrossEntropy, 1), params(&reader));
        let outputs = |x: Act| local.outputs(&params, x, Norms::Batch).unwrap();
        let padded = outputs(Act::new(9, [1, ITEMS, 1], all.features().to_vec()));
        for (row, (tokens, _)) in rows.iter().enumerate() {
            let alone = outputs(Act::new(1, [1, tokens.len(), 1], tokens.clone()));
            assert_eq!(padded.row(row)[..tokens.len() * WORDS], *alone.row(0), "{reader:?}, row {row}");
        }
        assert!(padded.data().iter().all(|v| v.is_finite()), "{reader:?}");
    }
    let (local, params) = (local(Topic, Loss::CrossEntropy, 1), params(&Topic));
    let outputs = |x: Act| local.outputs(&params, x, Norms::Batch).unwrap();
    let padded = outputs(Act::new(9, [1, ITEMS, 1], all.features().to_vec()));
    for (row, (tokens, _)) in rows.iter().enumerate() {
        assert_eq!(padded.row(row), outputs(Act::new(1, [1, tokens.len(), 1], tokens.clone())).row(0));
    }
}

#[test]
fn carries_are_those_after_a_rows_last_item() {
    let rows = lists(5);
    let all = Dataset::ragged(&rows, ITEMS).unwrap();
    for cell in [Cell::Lstm, Cell::Gru] {
        let reader = Reader::Forward(cell);
        let (local, params) = (local(reader, ItemCrossEntropy, 1), params(&reader));
        let carried = |x: Act| {
            let mut carried = Carried::default();
            local.outputs_carrying(&params, x, Norms::Batch, &mut carried).unwrap();
            carried.states().to_vec()
        };
        let padded = carried(Act::new(5, [1, ITEMS, 1], all.features().to_vec()));
        for (row, (tokens, _)) in rows.iter().enumerate() {
            for (padded, alone) in
                padded.iter().zip(carried(Act::new(1, [1, tokens.len(), 1], tokens.clone())))
            {
                assert_eq!(padded.row(row), alone.row(0), "{cell:?}, row {row}");
            }
        }
    }
}

#[test]
fn estimates_are_the_mean_of_those_of_the_rows_alone() {
    let (rows, key) = (lists(6), RunKey::from_seed(5));
    let all = Dataset::ragged(&rows, ITEMS).unwrap();
    for reader in READERS {
        let (local, params) = (local(reader, ItemCrossEntropy, 2), params(&reader));
        let estimate = |x: Act, targets: Targets| {
            let graph = local.graph(x.shape()).unwrap();
            let batch = Batch::new(x, targets);
            let found = local.derivative(&key, &params, &batch, &every_direction(&graph)).unwrap();
            let sum = |halves: &[Vec<f32>; 2]| {
                wide(&halves[0]).iter().zip(wide(&halves[1])).map(|(a, b)| a + b).collect::<Vec<f64>>()
            };
            found.derivative.iter().map(|halves| sum(halves.as_ref().unwrap())).collect::<Vec<_>>()
        };
        let found = estimate(Act::new(6, [1, ITEMS, 1], all.features().to_vec()), all.targets().clone());
        let mut want: Vec<Vec<f64>> = found.iter().map(|tensor| vec![0.0; tensor.len()]).collect();
        for (tokens, targets) in &rows {
            let (n, width) = (tokens.len(), tokens.len());
            let own = estimate(
                Act::new(1, [1, n, 1], tokens.clone()),
                Targets::Values { values: targets.clone(), width },
            );
            for (sum, own) in want.iter_mut().zip(own) {
                sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own / 6.0);
            }
        }
        for ((tensor, found), want) in params.tensors().iter().zip(&found).zip(&want) {
            let near = cosine(found, want);
            assert!(near > 0.999, "{reader:?}, {}: cosine {near}", tensor.name);
        }
    }
}

#[test]
fn every_method_trains_on_them_to_the_same_bits_on_any_threads() {
    let data = Dataset::ragged(&lists(40), ITEMS).unwrap();
    let methods = [
        Method::RelativeActivation(relative(8)),
        Method::Population(population(8)),
        Method::TwoPoint(two_point(4)),
        Method::Search(Search::named("snes").unwrap()),
        Method::Rso(Rso { sigma: 1.0.into(), decay: 0.0, order: LayerOrder::LastFirst, hold: 1 }),
    ];
    for method in methods {
        let digest = |threads: usize, piece: Option<usize>| {
            let local = local(Reader::Whole, ItemCrossEntropy, threads).in_pieces(piece);
            let plan = plan(method.clone(), 0.05, 4, 12);
            let mut trainer = onward_coordinate::trainer(plan, local, data.clone()).unwrap();
            while !trainer.finished() {
                assert_eq!(trainer.step().unwrap().entry.non_finite, 0);
            }
            trainer.state().params().digest()
        };
        assert_eq!(digest(1, None), digest(2, None), "{}", method.name());
        if !matches!(method, Method::Rso(_)) {
            assert_eq!(digest(1, Some(5)), digest(1, None), "{}", method.name());
        }
    }
}

/// Normalises over items.
struct Normalised;

impl Model for Normalised {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.embed("embed", x, WORDS, WIDTH);
        let x = g.batch_norm("norm", x);
        Ok(g.linear("out", x, WORDS))
    }
}

/// Attends within what is no length.
struct Odd;

impl Model for Odd {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let tokens = g.input();
        let x = g.embed("embed", tokens, WORDS, WIDTH);
        let attention = Attention { heads: 1, causal: false, rotary: None };
        Ok(g.attention_within([x, x, x], tokens, attention))
    }
}

#[test]
fn what_would_count_what_is_no_item_is_refused() {
    let data = Dataset::ragged(&lists(8), ITEMS).unwrap();
    assert_eq!(data.row(0)[1..], [NO_ITEM; ITEMS - 1]);
    let error = Trainer::new(
        plan(Method::Population(population(4)), 0.1, 2, 4),
        local(Normalised, ItemCrossEntropy, 1),
        data,
    );
    let error = error.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("behind the ends of rows, found the normalisation norm"), "{error}");
    let error = Graph::new(&Odd, [1, ITEMS, 1]).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("attention: expected a length of shape [1, 1, 1]"), "{error}");
}

#[test]
fn words_that_no_table_has_are_refused_with_row_and_item() {
    let mut rows = lists(8);
    rows[3].0[0] = WORDS as f32;
    let data = Dataset::ragged(&rows, ITEMS).unwrap();
    let whole = Targets::Values { values: vec![0.0; 8 * ITEMS], width: ITEMS };
    let halved = Dataset::new(vec![0.5; 8 * ITEMS], [1, ITEMS, 1], whole).unwrap();
    for (data, place, found) in [(data, "row 3, item 0", "found 11"), (halved, "row 0, item 0", "found 0.5")]
    {
        let causal = local(Reader::Causal, ItemCrossEntropy, 1);
        let x = Act::new(8, [1, ITEMS, 1], data.features().to_vec());
        let answered = causal.outputs(&params(&Reader::Causal), x, Norms::Batch).map(|_| ());
        let begun =
            Trainer::new(plan(Method::Population(population(4)), 0.1, 2, 4), causal, data).map(|_| ());
        for error in [answered, begun].map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Data);
            let expected =
                format!("{place}: expected one of the 11 words of embed.weight, numbered from 0, {found}");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}

#[test]
fn rows_that_cannot_be_are_refused_by_their_number() {
    let refused = |tokens: &[f32], targets: &[f32]| {
        let rows = [(vec![1.0], vec![2.0]), (tokens.to_vec(), targets.to_vec())];
        Dataset::ragged(&rows, 3).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(refused(&[], &[]), "row 1: expected 1 to 3 items, found 0");
    assert_eq!(refused(&[0.0; 4], &[0.0; 4]), "row 1: expected 1 to 3 items, found 4");
    assert_eq!(refused(&[0.0; 2], &[0.0]), "row 1: expected 2 targets, one an item, found 1");
    assert_eq!(refused(&[0.0, 0.5], &[0.0; 2]), "row 1: expected whole numbers from 0 on, found 0.5");
    assert_eq!(refused(&[0.0, 1.0], &[0.0, -1.0]), "row 1: expected whole numbers from 0 on, found -1");
}
