//! Attention that goes on from keys and values of earlier items: the bits of one pass over whole rows, for any pieces, rows of different
//! lengths, members with noise, with cells beside it, and what is refused.

use crate::common::{SPACES, params_on, threads, three_members};
use onward::ErrorKind;
use onward::ask::WeightPlan;
use onward::dataset::NO_ITEM;
use onward::evaluate::Local;
use onward::kernel::Precision;
use onward::model::{
    Act, Activation, Attention, Builder, Carried, Cell, Context, Graph, Model, Norms, Rate, Rated, Reduction,
    Var, Weights,
};
use onward::noise::RunKey;
use onward::params::Params;
use onward::task::Loss;
use std::sync::Arc;

const ITEMS: usize = 41;
const ROWS: usize = 3;
const WORDS: usize = 11;
const WIDTH: usize = 24;

/// Two blocks of grouped heads with rotary positions, with a cell between them if it is wanted.
#[derive(Clone, Copy)]
struct Writer {
    heads: usize,
    others: usize,
    cell: bool,
}

const PLAIN: Writer = Writer { heads: 6, others: 2, cell: false };

impl Model for Writer {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let words = g.input();
        let mut x = g.embed("words", words, WORDS, WIDTH);
        let own = WIDTH / self.heads * self.others;
        for block in 0..2 {
            let name = |part: &str| format!("{block}.{part}");
            let y = g.rms_norm(&name("norm"), x);
            let q = g.linear(&name("q"), y, WIDTH);
            let [k, v] = ["k", "v"].map(|part| g.linear(&name(part), y, own));
            let rotary = Some(100.0.into());
            let y = g.attention([q, k, v], Attention { heads: self.heads, causal: true, rotary });
            let y = g.linear(&name("o"), y, WIDTH);
            x = g.add(x, y);
            if self.cell {
                x = g.cell(&name("cell"), Cell::Gru, x, WIDTH);
            }
            let y = g.linear(&name("up"), x, 2 * WIDTH);
            let y = g.map(Activation::Silu, y);
            let y = g.linear(&name("down"), y, WIDTH);
            x = g.add(x, y);
        }
        Ok(g.linear_tied("words", x))
    }
}

fn evaluator(model: impl Model + 'static, count: usize) -> Local {
    Local::new(Arc::new(model), Arc::new(Loss::SquaredError), &threads(count))
}

fn text(rows: usize, items: usize) -> Act {
    let words = (0..rows * items).map(|i| ((i * i * 7 + i * 5 + 2) % WORDS) as f32);
    Act::new(rows, [1, items, 1], words.collect())
}

/// Items `from..to` of all rows.
fn part(x: &Act, from: usize, to: usize) -> Act {
    let [_, _, c] = x.shape();
    let rows = (0..x.rows()).flat_map(|r| x.row(r)[from * c..to * c].to_vec());
    Act::new(x.rows(), [1, to - from, c], rows.collect())
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

/// The answers to rows whose pieces end at `ends`, row after row.
fn in_pieces(x: &Act, ends: &[usize], mut pass: impl FnMut(Act) -> Act) -> Act {
    let (mut from, mut answers) = (0, Vec::<Vec<f32>>::new());
    for to in ends {
        let y = pass(part(x, from, *to));
        answers.resize(y.rows(), Vec::new());
        answers.iter_mut().enumerate().for_each(|(r, all)| all.extend_from_slice(y.row(r)));
        from = *to;
    }
    let (rows, items) = (answers.len(), x.shape()[1]);
    let width = answers.concat().len() / rows / items;
    Act::new(rows, [1, items, width], answers.concat())
}

fn ready(model: Writer) -> (Local, Params, Act) {
    let (evaluator, x) = (evaluator(model, 2), text(ROWS, ITEMS));
    let params = params_on(&evaluator.graph(x.shape()).unwrap(), 3);
    (evaluator, params, x)
}

#[test]
fn pieces_of_rows_have_the_bits_of_whole_rows() {
    let models = [
        PLAIN,
        Writer { heads: 6, others: 6, cell: false },
        Writer { heads: 12, others: 1, cell: false },
        Writer { cell: true, ..PLAIN },
    ];
    for model in models {
        let (evaluator, params, x) = ready(model);
        let want = evaluator.outputs(&params, x.clone(), Norms::Batch).unwrap();
        let one_by_one: Vec<usize> = (1..=ITEMS).collect();
        for ends in [&one_by_one[..], &[17, 18, 19, ITEMS], &[ITEMS]] {
            let mut carried = Carried::default();
            let found = in_pieces(&x, ends, |x| {
                evaluator.outputs_carrying(&params, x, Norms::Batch, &mut carried).unwrap()
            });
            assert_eq!(bits(found.data()), bits(want.data()), "pieces that end at {ends:?}");
            assert_eq!((carried.rows(), carried.items()), (ROWS, vec![ITEMS; ROWS]));
        }
    }
}

/// Noise on all tensors, or on those of the last block alone: what lies before is then one for all members until their rows differ.
#[test]
fn members_go_on_each_with_its_own_noise() {
    let key = RunKey::from_seed(5);
    let (_, params, x) = ready(PLAIN);
    let rates =
        vec![Rate { tensors: "0.*".into(), factor: 0.0 }, Rate { tensors: "words*".into(), factor: 0.0 }];
    let frozen = Rated { model: Arc::new(PLAIN), rates };
    for evaluator in [evaluator(PLAIN, 2), evaluator(frozen, 1)] {
        for space in SPACES {
            let plan = WeightPlan { space, ..three_members() };
            let members = plan.members.len();
            let pass = |carried: &mut Carried, x: Act| {
                evaluator.outputs_of_members_carrying(&key, &params, x, &plan, carried).unwrap()
            };
            let want = pass(&mut Carried::default(), x.clone());
            assert_eq!(want.rows(), members * ROWS);
            assert_ne!(want.row(0), want.row(ROWS), "members differ");
            let mut carried = Carried::default();
            let found = in_pieces(&x, &[20, 21, ITEMS], |x| pass(&mut carried, x));
            assert_eq!(bits(found.data()), bits(want.data()), "{space:?}");
            // Rows of each member's own after those that all see: as if the member stood alone.
            let (start, own) = (part(&x, 0, 20), text(members * ROWS, 3));
            let mut carried = Carried::default();
            pass(&mut carried, start.clone());
            let found = pass(&mut carried, own.clone());
            for (m, member) in plan.members.iter().enumerate() {
                let plan = WeightPlan { members: vec![*member], together: 1, ..plan.clone() };
                let mut carried = Carried::default();
                let mut alone =
                    |x| evaluator.outputs_of_members_carrying(&key, &params, x, &plan, &mut carried).unwrap();
                alone(start.clone());
                let want = alone(own.slice(m * ROWS, (m + 1) * ROWS));
                assert_eq!(
                    bits(found.slice(m * ROWS, (m + 1) * ROWS).data()),
                    bits(want.data()),
                    "{space:?}"
                );
            }
        }
    }
}

#[test]
fn padded_rows_go_on_from_their_own_last_items() {
    let (evaluator, params, x) = ready(PLAIN);
    let lengths = [20, 3, 11];
    let mut carried = Carried::default();
    let pass = |x: Act, carried: &mut Carried| {
        evaluator.outputs_carrying(&params, x, Norms::Batch, carried).unwrap()
    };
    let start = pass(part(&x, 0, 20), &mut carried);
    carried.keep(&lengths).unwrap();
    assert_eq!(carried.items(), lengths);
    let next = pass(part(&x, 30, 32), &mut carried);
    // The second row is done; the last one goes on in two ways.
    carried.select(&[2, 0, 2]).unwrap();
    let last = pass(part(&x, 35, 36), &mut carried);
    for (row, length) in lengths.iter().enumerate() {
        let own = x.slice(row, row + 1);
        let mut alone = Carried::default();
        let want = pass(part(&own, 0, *length), &mut alone);
        assert_eq!(bits(want.data()), bits(&start.row(row)[..length * WORDS]));
        let want = pass(part(&own, 30, 32), &mut alone);
        assert_eq!(bits(want.data()), bits(next.row(row)), "row {row}");
        for at in [2, 0, 2].iter().enumerate().filter(|(_, from)| **from == row).map(|(at, _)| at) {
            let want = pass(part(&x.slice(at, at + 1), 35, 36), &mut alone.clone());
            assert_eq!(bits(want.data()), bits(last.row(at)), "row {row}, then {at}");
        }
    }
}

/// Rows that begin apart, and items whose answers are not asked for.
#[test]
fn rows_join_others_and_go_on() {
    for model in [PLAIN, Writer { cell: true, ..PLAIN }] {
        let (evaluator, params, x) = ready(model);
        let pass = |x: Act, carried: &mut Carried| {
            evaluator.outputs_carrying(&params, x, Norms::Batch, carried).unwrap()
        };
        let weights = Weights::new(&params, Precision::F32);
        let graph = |items: usize| Graph::new(&model, [1, items, 1]).unwrap();
        let (mut joined, lengths) = (Carried::default(), [20, 0, 7]);
        for (row, length) in lengths.iter().enumerate() {
            let own = part(&x.slice(row, row + 1), 0, *length);
            let mut carried = graph(1).carried(1);
            if *length > 0 {
                let mut cx = Context::clean(&weights, Norms::Batch);
                graph(*length).carry(&mut cx, own, &mut carried).unwrap();
            }
            joined.join(&mut carried).unwrap();
        }
        assert_eq!((joined.items(), joined.rows()), (lengths.to_vec(), 3));
        let next = pass(part(&x, 30, 32), &mut joined);
        for (row, length) in lengths.iter().enumerate() {
            let (own, mut alone) = (x.slice(row, row + 1), Carried::default());
            if *length > 0 {
                pass(part(&own, 0, *length), &mut alone);
            }
            let want = pass(part(&own, 30, 32), &mut alone);
            assert_eq!(bits(want.data()), bits(next.row(row)), "row {row}");
        }
        let mut others = Carried::default();
        let (other, params, _) = ready(Writer { others: 3, ..PLAIN });
        other.outputs_carrying(&params, part(&x, 0, 2), Norms::Batch, &mut others).unwrap();
        let error = joined.join(&mut others).unwrap_err().to_string();
        assert!(error.contains("another's"), "{error}");
        assert_eq!((joined.rows(), others.rows()), (3, 3));
    }
}

/// Where the model knows how long each piece of a row is, what stands behind its last item is no part of what is carried.
#[test]
fn pieces_with_places_without_items_carry_their_items_alone() {
    struct Within;
    impl Model for Within {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let words = g.input();
            let length = g.length(words);
            let x = g.embed("words", words, WORDS, WIDTH);
            let attention = Attention { heads: 6, causal: true, rotary: Some(100.0.into()) };
            let y = g.attention_within([x; 3], length, attention);
            Ok(g.linear_tied("words", y))
        }
    }
    let (evaluator, x) = (evaluator(Within, 2), text(ROWS, ITEMS));
    let params = params_on(&evaluator.graph(x.shape()).unwrap(), 3);
    let pass = |x: Act, carried: &mut Carried| {
        evaluator.outputs_carrying(&params, x, Norms::Batch, carried).unwrap()
    };
    let (lengths, mut carried) = ([5, 2, 0], Carried::default());
    let mut start = part(&x, 0, 5);
    for (row, length) in start.data_mut().chunks_exact_mut(5).zip(lengths) {
        row[length..].fill(NO_ITEM);
    }
    let start = pass(start, &mut carried);
    assert_eq!(carried.items(), lengths);
    let next = pass(part(&x, 5, 7), &mut carried);
    for (row, length) in lengths.iter().enumerate() {
        let own = x.slice(row, row + 1);
        let mut alone = Carried::default();
        if *length > 0 {
            let want = pass(part(&own, 0, *length), &mut alone);
            assert_eq!(bits(want.data()), bits(&start.row(row)[..length * WORDS]));
        }
        assert_eq!(bits(pass(part(&own, 5, 7), &mut alone).data()), bits(next.row(row)), "row {row}");
    }
}

/// Attention that sees all items, and a mean over them.
struct Around(bool);

impl Model for Around {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear("in", x, 4);
        if self.0 {
            return Ok(g.reduce(Reduction::Mean, x, &[1]));
        }
        Ok(g.attention([x; 3], Attention { heads: 2, causal: false, rotary: None }))
    }
}

#[test]
fn what_cannot_go_on_is_told() {
    let x = Act::new(2, [1, 3, 2], vec![0.5; 12]);
    for (model, what) in
        [(Around(false), "found attention, 2 heads"), (Around(true), "found mean over axes [1]")]
    {
        let evaluator = evaluator(model, 1);
        let params = params_on(&evaluator.graph(x.shape()).unwrap(), 3);
        let error = evaluator.outputs_carrying(&params, x.clone(), Norms::Batch, &mut Carried::default());
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        assert!(error.to_string().contains(what), "{error}");
    }
    let (evaluator, params, x) = ready(PLAIN);
    let mut carried = Carried::default();
    let pass = |x: Act, carried: &mut Carried| evaluator.outputs_carrying(&params, x, Norms::Batch, carried);
    pass(part(&x, 0, 2), &mut carried).unwrap();
    let told = |result: onward::Result<()>, what: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    let fewer = part(&x, 2, 3).slice(0, 2);
    told(pass(fewer, &mut carried).map(|_| ()), "carries: expected 3 rows, found 2");
    told(carried.keep(&[1, 1]), "carries: expected at most [2, 2, 2] items, found [1, 1]");
    told(carried.keep(&[1, 3, 1]), "found [1, 3, 1]");
    told(carried.select(&[3]), "expected some of the 3 rows of one member, found [3]");
    told(carried.select(&[]), "found []");
    // Nothing of it changed.
    assert_eq!(carried.items(), [2, 2, 2]);
    let key = RunKey::from_seed(1);
    let plan = three_members();
    let members = |plan: &WeightPlan, carried: &mut Carried| {
        evaluator.outputs_of_members_carrying(&key, &params, part(&x, 2, 3), plan, carried).map(|_| ())
    };
    told(members(&plan, &mut carried), "carries: expected 1 members, found 3");
    told(members(&WeightPlan { share: 1, ..plan.clone() }, &mut carried), "share: expected 0");
    let mut theirs = Carried::default();
    members(&plan, &mut theirs).unwrap();
    told(theirs.select(&[0]), "of 3 members");
    told(theirs.join(&mut carried), "expected rows of one member, found 3 and 1 members");
    let (cells, params, _) = ready(Writer { cell: true, ..PLAIN });
    let mut states = Carried::default();
    cells.outputs_carrying(&params, part(&x, 0, 2), Norms::Batch, &mut states).unwrap();
    told(states.keep(&[1, 1, 1]), "found states of recurrent cells");
    told(
        cells.outputs_carrying(&params, part(&x, 2, 3), Norms::Batch, &mut carried).map(|_| ()),
        "another's",
    );
}
