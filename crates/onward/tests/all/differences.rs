//! Credit of a stream, or at the answers of layers, from differences of the loss alone, against the credit that comes down all the way.

use crate::common::{cosine, local_plan, params_on, threads, whole};
use crate::local_credit::found;
use crate::transformer::{Transformer, sentences};
use onward::dataset::{Dataset, UNASKED};
use onward::evaluate::Local;
use onward::model::{Activation, Builder, Model, Var};
use onward::noise::RunKey;
use onward::rule::{Method, RelativeLocal};
use onward::space::{Differences, LocalPlan, Places};
use onward::task::ItemCrossEntropy;
use std::sync::Arc;

fn evaluator(threads_: usize) -> Local {
    Local::new(Arc::new(Transformer { blocks: 2 }), Arc::new(ItemCrossEntropy), &threads(threads_))
}

fn plan(from: &LocalPlan, at: Places, draws: u32, discount: f32) -> LocalPlan {
    LocalPlan { differences: Some(Differences { at, draws, discount }), sigma: 0.01, ..from.clone() }
}

/// With `K` draws, noise of `d` numbers a row that tell on the whole of it leaves the cosine `1/√(1 + d/K)`; here a row's stream has 40 numbers, and what follows
/// from one place alone is nearer.
#[test]
fn many_draws_come_to_the_credit_that_comes_down() {
    let (evaluator, data) = (evaluator(2), sentences(12));
    let graph = evaluator.graph(data.shape()).unwrap();
    let (params, exact) = (params_on(&graph, 3), local_plan(&graph));
    let truth = found(&evaluator, &params, &data, &exact);
    for at in [Places::Stream, Places::Layers] {
        let near = |draws| cosine(&found(&evaluator, &params, &data, &plan(&exact, at, draws, 1.0)), &truth);
        let (few, many) = (near(40), near(1500));
        assert!(many > 0.97, "{at:?}: {many}");
        assert!(few > 0.45 && few < many, "{at:?}: {few}");
    }
}

/// What a later item loses is not what the last item's own numbers do: without a discount to hide it, no noise behind an item tells on it.
#[test]
fn an_item_is_told_by_itself_and_those_after_it() {
    let (evaluator, data) = (evaluator(1), sentences(6));
    let graph = evaluator.graph(data.shape()).unwrap();
    let (params, exact) = (params_on(&graph, 3), local_plan(&graph));
    let truth = found(&evaluator, &params, &data, &exact);
    let near = |discount| {
        cosine(&found(&evaluator, &params, &data, &plan(&exact, Places::Stream, 1500, discount)), &truth)
    };
    let (own, all) = (near(0.0), near(1.0));
    assert!(own < all && own > 0.3, "own items alone {own}, with all after them {all}");
}

#[test]
fn threads_and_pieces_of_rows_give_the_same_bits_and_prompts_are_not_asked() {
    let data = sentences(8);
    let onward::dataset::Targets::Values { values, width } = data.targets() else { panic!("values") };
    let mut values = values.clone();
    values.chunks_exact_mut(*width).for_each(|row| row[..2].fill(UNASKED));
    let targets = onward::dataset::Targets::Values { values, width: *width };
    let data = Dataset::new(data.features().to_vec(), data.shape(), targets).unwrap();
    let graph = evaluator(1).graph(data.shape()).unwrap();
    let params = params_on(&graph, 3);
    let plan = plan(&local_plan(&graph), Places::Stream, 3, 0.3);
    let one = found(&evaluator(1), &params, &data, &plan);
    assert_eq!(one, found(&evaluator(2), &params, &data, &plan));
    assert!(one.iter().all(|v| v.is_finite()) && one.iter().any(|v| *v != 0.0));
    // What credit costs more than a clean pass follows from the plan alone.
    let spent = plan.cost(&graph, 8).unwrap();
    assert!(spent.flops > 0);
}

/// A net without a stream.
struct Plain;

impl Model for Plain {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear("a", x, 5);
        let x = g.map(Activation::Tanh, x);
        Ok(g.linear("b", x, 3))
    }
}

#[test]
fn a_net_without_residual_connections_is_refused() {
    let data = crate::common::blobs(9, [1, 1, 4], 3, 1);
    let method = Method::RelativeLocal(RelativeLocal { differences: 2, ..Default::default() });
    let plan = crate::common::plan(method, 0.05, 2, 4);
    let local = crate::common::local(Plain, onward::task::Loss::CrossEntropy, 1);
    let error = onward::train::Trainer::new(plan, local, data.clone()).err();
    let told = error.map(|e| e.to_string()).unwrap_or_default();
    assert!(told.contains("no residual connections"), "{told}");
    // At layers' answers it needs none.
    let evaluator = crate::common::local(Plain, onward::task::Loss::CrossEntropy, 1);
    let graph = evaluator.graph(data.shape()).unwrap();
    let (params, exact) = (params_on(&graph, 2), local_plan(&graph));
    let truth = found(&evaluator, &params, &data, &exact);
    let own = LocalPlan {
        differences: Some(Differences { at: Places::Layers, draws: 400, discount: 0.3 }),
        ..exact.clone()
    };
    let key = RunKey::from_seed(1);
    let response = evaluator.local_derivative(&key, &params, &whole(&data), &own).unwrap();
    assert_eq!(response.non_finite, 0);
    assert!(cosine(&found(&evaluator, &params, &data, &own), &truth) > 0.98);
}
