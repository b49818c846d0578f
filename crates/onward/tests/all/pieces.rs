//! Batches that are worked through a few rows at a time: pieces of any size lead to the bits of all rows at once.

use crate::common::{blobs, plan, population, relative, small_conv, threads, two_point};
use onward::ask::Augment;
use onward::dataset::{Columns, Dataset, QUERY, WEIGHT};
use onward::evaluate::{Local, worker};
use onward::ledger::Search;
use onward::model::{Activation, Builder, Mlp, Model, Var};
use onward::noise::Family;
use onward::rows::{Rows, Schema, Source};
use onward::rule::{LayerOrder, Method, Population, Rso, Shaping};
use onward::task::{Auc, F1, Loss, Ndcg, Task};
use onward::train::{Plan, Trainer};
use onward::{Result, kernel};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const SHAPE: [usize; 3] = [3, 4, 1];

/// A net with chance inside.
struct Chancy(usize);

impl Model for Chancy {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let x = g.flatten(x);
        let x = g.linear("fc1", x, 7);
        let x = g.map(Activation::Tanh, x);
        let x = g.dropout("drop", x, 0.2);
        Ok(g.linear("fc2", x, self.0))
    }
}

fn digest(
    outputs: usize,
    task: impl Task + 'static,
    method: Method,
    piece: Option<usize>,
    data: impl Source + 'static,
) -> [u8; 32] {
    let local = Local::new(Arc::new(Chancy(outputs)), Arc::new(task), &threads(2)).in_pieces(piece);
    let augment = Augment { shift: Some(1), flip: None, noise: Some(0.1) };
    let plan = Plan { augment, ..plan(method, 0.1, 3, 20) };
    let mut trainer = Trainer::new(plan, local, data).unwrap();
    while !trainer.finished() {
        trainer.step().unwrap();
    }
    trainer.state().params().digest()
}

fn methods() -> [Method; 4] {
    let low_rank = Population { rank: 2, ..population(6) };
    let dense = two_point(3);
    let normal = onward::rule::TwoPoint { noise: Family::Normal, ..two_point(2) };
    [
        Method::Population(low_rank),
        Method::TwoPoint(dense),
        Method::TwoPoint(normal),
        Method::Search(Search::named("snes").unwrap()),
    ]
}

#[test]
fn pieces_of_any_size_lead_to_one_digest() {
    let two = blobs(45, SHAPE, 2, 4);
    let weights = (0..45).map(|row| f64::from(row % 3)).collect();
    let weighted = two.clone().with_columns(Columns::default().with(WEIGHT, weights)).unwrap();
    let queries = (0..45).map(|row| f64::from(row / 7)).collect();
    let ranked = two.clone().with_columns(Columns::default().with(QUERY, queries)).unwrap();
    for method in methods() {
        let of_rows = |piece| digest(2, Loss::CrossEntropy, method.clone(), piece, weighted.clone());
        let of_batch = |piece| digest(2, F1::default(), method.clone(), piece, two.clone());
        let of_order = |piece| digest(2, Auc, method.clone(), piece, two.clone());
        let of_queries = |piece| digest(1, Ndcg { k: 3 }, method.clone(), piece, ranked.clone());
        let all: [&dyn Fn(Option<usize>) -> [u8; 32]; 4] = [&of_rows, &of_batch, &of_order, &of_queries];
        for (task, of) in all.into_iter().enumerate() {
            let whole = of(None);
            for piece in [1, 3, 7, 19, 20, 1000] {
                assert_eq!(of(Some(piece)), whole, "task {task}, pieces of {piece}, {}", method.name());
            }
        }
    }
}

/// All kinds of linear maps, pooled and tied, with chance inside.
struct Mixed;

impl Model for Mixed {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let y = g.conv3x3("conv", x, 4);
        let y = g.average_pool(y);
        let y = g.scale("scale", y);
        let y = g.map(Activation::Relu, y);
        let y = g.dropout("drop", y, 0.2);
        let y = g.flatten(y);
        let y = g.linear("fc", y, 6);
        let y = g.map(Activation::Tanh, y);
        Ok(g.linear("out", y, 2))
    }
}

#[test]
fn derivatives_of_pieces_are_those_of_whole_batches() {
    use onward::rule::RelativeActivation;
    use onward::space::{Directions, LayerSpace};
    let methods = [
        relative(8),
        RelativeActivation { draws: Directions::Independent, ..relative(3) },
        RelativeActivation { draws: Directions::Blocks, focus: 0.4, ..relative(4) },
        RelativeActivation { space: LayerSpace::LowRank.into(), ..relative(4) },
    ];
    let data = blobs(190, [4, 4, 1], 2, 4);
    let weights = (0..190).map(|row| f64::from(row % 3)).collect();
    let data = data.with_columns(Columns::default().with(WEIGHT, weights)).unwrap();
    let run = |model: Arc<dyn Model>, method: &RelativeActivation, piece, batch: usize| {
        let local = Local::new(model, Arc::new(Loss::CrossEntropy), &threads(2)).in_pieces(piece);
        let augment = Augment { shift: Some(1), flip: None, noise: Some(0.1) };
        let plan = Plan { augment, ..plan(Method::RelativeActivation(method.clone()), 0.1, 2, batch) };
        let mut trainer = Trainer::new(plan, local, data.clone()).unwrap();
        let steps = [(); 2].map(|()| {
            let step = trainer.step().unwrap();
            (step.entry, step.signal_to_noise)
        });
        (steps, trainer.state().params().digest())
    };
    for (place, method) in methods.iter().enumerate() {
        let net: Arc<dyn Model> = Arc::new(Mlp::new(&[16, 9, 2], Activation::Tanh).unwrap());
        let whole = run(Arc::clone(&net), method, None, 41);
        for piece in [1, 7, 20, 21, 1000] {
            assert_eq!(run(Arc::clone(&net), method, Some(piece), 41), whole, "{place}, pieces of {piece}");
        }
        // Convolutions add up 32 images at a time.
        let net: Arc<dyn Model> = Arc::new(Mixed);
        let whole = run(Arc::clone(&net), method, None, 151);
        for piece in [1, 50, 64] {
            assert_eq!(run(Arc::clone(&net), method, Some(piece), 151), whole, "{place}, pieces of {piece}");
        }
    }
}

/// Rows that are counted as they are read.
struct Counted(Dataset, Arc<Mutex<Vec<usize>>>);

impl Source for Counted {
    fn schema(&self) -> Schema {
        Schema::of(&self.0)
    }
    fn digest(&self) -> [u8; 32] {
        self.0.digest()
    }
    fn read(&self, ids: &[u64]) -> Result<Rows> {
        self.1.lock().unwrap().push(ids.len());
        self.0.read(ids)
    }
}

#[test]
fn no_more_rows_than_a_piece_are_read_at_once() {
    // Derivatives are told of halves of a batch.
    for (method, wanted) in [
        (Method::TwoPoint(two_point(2)), vec![30, 30, 30, 10]),
        (Method::RelativeActivation(relative(2)), vec![30, 20, 30, 20]),
    ] {
        let read = Arc::new(Mutex::new(Vec::new()));
        let source = Counted(blobs(400, [1, 1, 5], 2, 4), Arc::clone(&read));
        let net = Arc::new(Mlp::new(&[5, 2], Activation::Tanh).unwrap());
        let local = Local::new(net, Arc::new(Loss::CrossEntropy), &threads(1)).in_pieces(Some(30));
        let mut trainer = Trainer::new(plan(method, 0.1, 2, 100), local, source).unwrap();
        read.lock().unwrap().clear();
        trainer.step().unwrap();
        assert_eq!(*read.lock().unwrap(), wanted);
    }
}

/// A loss that fails for some rows.
struct Failing(AtomicUsize);

impl Task for Failing {
    fn losses(
        &self,
        outputs: &onward::model::Act,
        _: onward::task::Answers<'_>,
        losses: &mut [f32],
    ) -> Result<()> {
        let many = self.0.fetch_add(1, Ordering::SeqCst) == 2;
        losses.iter_mut().enumerate().for_each(|(row, loss)| *loss = outputs.row(row)[0].abs());
        if many { Err(onward::Error::new(onward::ErrorKind::Evaluator, "lost")) } else { Ok(()) }
    }
}

#[test]
fn a_piece_without_losses_leaves_its_member_out() {
    let net = Arc::new(Mlp::new(&[12, 2], Activation::Tanh).unwrap());
    let local = Local::new(net, Arc::new(Failing(AtomicUsize::new(0))), &threads(1)).in_pieces(Some(5));
    let mut trainer =
        Trainer::new(plan(Method::TwoPoint(two_point(2)), 0.1, 1, 20), local, blobs(40, SHAPE, 2, 4))
            .unwrap();
    // The first loss is of zeros, before any step.
    assert_eq!(trainer.step().unwrap().missing, 1);
}

#[test]
fn what_couples_rows_or_asks_for_more_than_losses_is_refused() {
    let refused = |model: Arc<dyn Model>, shape, method| {
        let local = Local::new(model, Arc::new(Loss::CrossEntropy), &threads(1)).in_pieces(Some(4));
        let data = blobs(40, shape, 2, 4);
        let answering = worker(local.clone(), Arc::new(data.clone()));
        let made = Trainer::with(plan(method, 0.1, 2, 20), local, data, answering, Default::default());
        made.map(|_| ()).unwrap_err().to_string()
    };
    let net = || Arc::new(Chancy(2));
    let rso = Rso { sigma: 1.0.into(), decay: 0.0, order: LayerOrder::LastFirst, hold: 1 };
    assert_eq!(
        refused(net(), SHAPE, Method::Rso(rso)),
        "train.piece: expected a method that asks for losses of one batch after the other, found \"rso\""
    );
    let share = Method::Population(Population { share: 5, shaping: Shaping::ZScore, ..population(4) });
    assert!(
        refused(net(), SHAPE, share).contains("members that see the whole batch, found method.share = 5")
    );
    let error = refused(Arc::new(small_conv()), [6, 6, 2], Method::Population(population(4)));
    assert!(error.contains("a net without batch normalisation") && error.contains("norm1"), "{error}");
}

#[test]
fn other_arithmetics_keep_to_their_bits_too() {
    let data = blobs(45, [1, 1, 12], 2, 4);
    for precision in [kernel::Precision::bf16(), kernel::Precision::Int8] {
        let of = |piece| {
            let net = Arc::new(Mlp::new(&[12, 9, 2], Activation::Relu).unwrap());
            let local = Local::new(net, Arc::new(Loss::CrossEntropy), &threads(2)).with_precision(precision);
            let mut trainer = Trainer::new(
                plan(Method::Population(population(6)), 0.1, 2, 20),
                local.in_pieces(piece),
                data.clone(),
            )
            .unwrap();
            trainer.step().unwrap();
            trainer.step().unwrap();
            trainer.state().params().digest()
        };
        assert_eq!(of(Some(7)), of(None), "{}", precision.name());
    }
}
