//! Models of one's own that cannot work are refused where their graph is built: one sentence that names the operation or the
//! tensor, before anything is trained that nobody meant.

use crate::common::{blobs, local, params_on, plan, population, relative, whole};
use onward::ErrorKind;
use onward::model::{
    Activation, Adapter, Attention, Builder, Cell, Function, Graph, Lif, Model, Norms, Pairwise, Patch,
    Reduction, RowOp, Shape, Var,
};
use onward::rule::Method;
use onward::task::Loss;
use onward::train::{Trainer, predict};
use std::sync::{Arc, Mutex};

/// A model that is only this.
struct Own<F>(F);

impl<F: Fn(&mut Builder) -> Var + Send + Sync> Model for Own<F> {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        Ok((self.0)(g))
    }
}

type Build = fn(&mut Builder) -> Var;

fn sound(g: &mut Builder) -> Var {
    let x = g.input();
    let x = g.linear("a", x, 8);
    let x = g.map(Activation::Relu, x);
    g.linear("b", x, 3)
}

#[test]
fn f26_a_model_that_cannot_work_is_refused() {
    let cases: Vec<(Build, &[&str])> = vec![
        (|g| g.input(), &["at least one linear map"]),
        (
            |g| {
                let x = g.input();
                let y = g.linear("a", x, 3);
                g.add(x, y)
            },
            &["sum", "[1, 1, 8]", "found [1, 1, 3]"],
        ),
        (
            |g| {
                let y = sound(g);
                g.linear("a", y, 3)
            },
            &["tensor a.weight", "a name of its own"],
        ),
        (
            |g| {
                let y = sound(g);
                g.linear_tied("c", y)
            },
            &["tensor c.weight", "a matrix that an operation before has", "a.weight, a.bias, b.weight"],
        ),
        (
            |g| {
                let y = sound(g);
                g.linear_tied("a", y)
            },
            &["tensor a.weight", "3 inputs", "[8, 8]"],
        ),
        (
            |g| {
                let y = sound(g);
                let _ = g.linear("lost", y, 3);
                y
            },
            &["tensor lost.weight", "a way from its product to the model's answer"],
        ),
        (
            |g| {
                let x = g.input();
                g.linear("a", x, 0)
            },
            &["tensor a.weight", "at least 1", "[0, 8]"],
        ),
        (
            |g| {
                let x = g.input();
                g.linear("a", x, usize::MAX / 4)
            },
            &["a: expected rows"],
        ),
        (
            |g| {
                let x = g.input();
                let y = g.max_pool(x);
                g.linear("a", y, 3)
            },
            &["pool", "rows of 1 to", "[0, 0, 8]"],
        ),
        (
            |g| {
                let x = g.input();
                let y = g.channels(x, 4..9);
                g.linear("a", y, 3)
            },
            &["channels", "some of 0..8", "4..9"],
        ),
        (
            |g| {
                let x = g.input();
                g.embed("words", x, 10, 4)
            },
            &["words", "one channel"],
        ),
        (
            |g| {
                let x = g.input();
                let [q, k, v] = ["q", "k", "v"].map(|name| g.linear(name, x, 6));
                g.attention([q, k, v], Attention { heads: 4, causal: true, rotary: None })
            },
            &["attention", "4 equal heads"],
        ),
        (
            |g| {
                let x = g.input();
                let [q, k, v] = ["q", "k", "v"].map(|name| g.linear(name, x, 6));
                g.attention([q, k, v], Attention { heads: 2, causal: true, rotary: Some(10_000.0.into()) })
            },
            &["attention", "an even number of channels"],
        ),
        (
            |g| {
                let x = g.input();
                g.batch_norm("", x)
            },
            &["tensor .weight", "a layer with a name"],
        ),
        (
            |g| {
                let y = sound(g);
                g.reshape(y, [1, 2, 2])
            },
            &["reshape", "as many numbers as [1, 1, 3]", "[1, 2, 2]"],
        ),
        (
            |g| {
                let y = sound(g);
                g.transpose(y, [0, 1, 1])
            },
            &["transpose", "some order", "[0, 1, 1]"],
        ),
        (
            |g| {
                let y = sound(g);
                g.pick(y, 2, [0, 3])
            },
            &["pick", "[1, 1, 3]", "[0, 3] along axis 2"],
        ),
        (
            |g| {
                let y = sound(g);
                g.split(y, 3, &[1, 2])[0]
            },
            &["split", "axis 3", "[1, 2]"],
        ),
        (
            |g| {
                let (x, y) = (g.input(), sound(g));
                g.join(1, &[x, y])
            },
            &["join", "rows like [1, 1, 8]", "[1, 1, 3]"],
        ),
        (
            |g| {
                let y = sound(g);
                g.join(3, &[y, y])
            },
            &["join", "along axis 3"],
        ),
        (
            |g| {
                let y = sound(g);
                g.gather(y, y)
            },
            &["gather", "[1, n, 1] item numbers", "[1, 1, 3]"],
        ),
        (
            |g| {
                let y = sound(g);
                g.reduce(Reduction::Mean, y, &[3])
            },
            &["mean", "axes 0, 1 and 2", "[3]"],
        ),
        (
            |g| {
                let (x, y) = (g.input(), sound(g));
                g.combine(Pairwise::Subtract, y, x)
            },
            &["expand", "[1, 1, 8]", "[1, 1, 3]"],
        ),
        (
            |g| {
                let y = sound(g);
                g.products(y, y)
            },
            &["matrix product", "[1, 3, n]", "[1, 1, 3]"],
        ),
        (
            |g| {
                let y = sound(g);
                g.apply(Function::Clip { low: 1.0, high: 0.0 }, y)
            },
            &["function", "the lower first", "clip 1..0"],
        ),
        (
            |g| {
                let y = sound(g);
                let other = g.constant([1, 1, 3], vec![0.0; 2]);
                g.multiply(y, other)
            },
            &["constant", "[1, 1, 3]", "2"],
        ),
        (
            |g| {
                let x = g.input();
                g.convolution("c", x, 4, Patch::of([1, 1]), 3)
            },
            &["c: expected groups", "8 channels and 4 outputs", "3"],
        ),
        (
            |g| {
                let x = g.input();
                g.convolution("c", x, 4, Patch::of([1, 2]), 1)
            },
            &["c: expected patches that fit into [1, 1, 8]", "1x2"],
        ),
        (
            |g| {
                let x = g.input();
                g.convolution("c", x, 4, Patch { stride: [0, 1], ..Patch::of([1, 1]) }, 1)
            },
            &["c: expected patches", "stride [0, 1]"],
        ),
        (
            |g| {
                let x = g.input();
                g.convolution("c", x, 4, Patch { dilation: [0, 1], ..Patch::of([1, 1]) }, 1)
            },
            &["c: expected patches", "dilation [0, 1]"],
        ),
        (
            |g| {
                let x = g.input();
                g.convolution("c", x, 4, Patch::of([0, 1]), 1)
            },
            &["c: expected patches", "0x1"],
        ),
        (
            |g| {
                let y = sound(g);
                g.pool(Reduction::Largest, y, Patch { padding: [1; 4], ..Patch::of([1, 1]) })
            },
            &["pool", "less padding than they reach"],
        ),
        (
            |g| {
                let x = g.input();
                g.group_norm("n", x, 3)
            },
            &["n: expected groups that 8 channels", "3"],
        ),
        (
            |g| {
                let x = g.input();
                let x = g.reshape(x, [2, 1, 4]);
                g.cell("l", Cell::Lstm, x, 2)
            },
            &["l: expected [1, items, channels]", "[2, 1, 4]"],
        ),
        (
            |g| {
                let x = g.input();
                g.cell("l", Cell::Gru, x, 0)
            },
            &["tensor l.weight_ih", "at least 1", "[0, 8]"],
        ),
        (
            |g| {
                let y = sound(g);
                g.lif("f", y, Lif { leak: 0.0, threshold: 1.0 })
            },
            &["f: expected", "a leak above 0", "leak: 0.0"],
        ),
        (
            |g| {
                let y = sound(g);
                let y = g.lif("f", y, Lif { leak: 0.5, threshold: 1.0 });
                g.lif("f", y, Lif { leak: 0.5, threshold: 1.0 })
            },
            &["f.v: expected a name of its own"],
        ),
        (
            |g| {
                let y = sound(g);
                g.dropout("d", y, 1.0)
            },
            &["d: expected a share from 0 to below 1", "found 1"],
        ),
        (
            |g| {
                let y = sound(g);
                let y = g.dropout("d", y, 0.5);
                g.bernoulli("d", y)
            },
            &["noise: expected a name of its own", "\"d\""],
        ),
        (
            |g| {
                let y = sound(g);
                g.outputs(&[("a", y), ("a", y)])
            },
            &["outputs: expected names", "each once", "\"a\""],
        ),
        (
            |g| {
                let y = sound(g);
                let x = g.input();
                g.adapter("b", x, y, Adapter { rank: 0, alpha: 1.0 })
            },
            &["tensor b.lora_A.weight", "at least 1", "[0, 8]"],
        ),
        (
            |g| {
                let y = sound(g);
                let x = g.input();
                let x = g.reshape(x, [1, 2, 4]);
                g.adapter("b", x, y, Adapter { rank: 1, alpha: 1.0 })
            },
            &["b: expected an answer at the positions of [1, 2, 4]", "[1, 1, 3]"],
        ),
    ];
    let data = blobs(20, [1, 1, 8], 3, 1);
    for (build, parts) in cases {
        for method in [Method::Population(population(4)), Method::RelativeActivation(relative(4))] {
            let evaluator = local(Own(build), Loss::CrossEntropy, 1);
            let error = Trainer::new(plan(method, 0.1, 3, 20), evaluator, data.clone()).err();
            let error = error.unwrap_or_else(|| panic!("{parts:?} is trained")).to_string();
            let mut rest = error.as_str();
            for part in parts {
                let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} (in order) in {error}"));
                rest = &rest[at + part.len()..];
            }
            assert!(!error.contains('\n'), "{error}");
        }
    }
    let plan = plan(Method::Population(population(4)), 0.1, 3, 20);
    let mut sound = Trainer::new(plan, local(Own(sound), Loss::CrossEntropy, 1), data).unwrap();
    sound.step().unwrap();
}

/// What another graph gave is no operand, also where its number exists here.
#[test]
fn f26_a_variable_of_another_graph_is_refused() {
    let kept = Mutex::new(None);
    let first = Own(|g: &mut Builder| {
        let y = sound(g);
        *kept.lock().unwrap() = Some(y);
        y
    });
    Graph::new(&first, [1, 1, 8]).unwrap();
    let dangling = kept.lock().unwrap().unwrap();
    let refused = |build: &(dyn Fn(&mut Builder) -> Var + Sync)| {
        Graph::new(&Own(build), [1, 1, 8]).err().unwrap().to_string()
    };
    for words in [refused(&|_| dangling), refused(&|g| g.flatten(dangling))] {
        assert!(words.contains("what operations of this graph gave"), "{words}");
    }
}

/// An operation of one's own says itself what it takes.
#[test]
fn f26_an_operation_of_ones_own_refuses_shapes() {
    struct Pair;
    impl RowOp for Pair {
        fn name(&self) -> &str {
            "pair 1"
        }
        fn shape(&self, inputs: &[Shape]) -> onward::Result<Shape> {
            match inputs {
                [[1, 1, 2]] => Ok([1, 1, 1]),
                _ => Err(onward::Error::expected(
                    ErrorKind::Model,
                    "pair",
                    "two numbers",
                    format!("{inputs:?}"),
                )),
            }
        }
        fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
            output[0] = inputs[0][0] - inputs[0][1];
        }
    }
    let model = Own(|g: &mut Builder| {
        let y = sound(g);
        g.host(Arc::new(Pair), &[y])
    });
    let words = Graph::new(&model, [1, 1, 8]).err().unwrap().to_string();
    assert!(words.contains("pair: expected two numbers, found [[1, 1, 3]]"), "{words}");
}

/// An operation of one's own has no tensors, so that no probe acts inside it: a map that it reads is probed before it.
#[test]
fn f26_no_stage_reaches_into_an_operation_of_ones_own() {
    struct Twice;
    impl RowOp for Twice {
        fn name(&self) -> &str {
            "twice 1"
        }
        fn shape(&self, inputs: &[Shape]) -> onward::Result<Shape> {
            Ok(inputs[0])
        }
        fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
            output.iter_mut().zip(inputs[0]).for_each(|(y, x)| *y = 2.0 * x);
        }
    }
    let model = |owned: bool| {
        Own(move |g: &mut Builder| {
            let x = g.input();
            let y = g.linear("a", x, 5);
            let z = if owned { g.host(Arc::new(Twice), &[y]) } else { y };
            let z = g.add(z, y);
            g.linear("b", z, 3)
        })
    };
    let graph = |owned| Graph::new(&model(owned), [1, 1, 8]).unwrap();
    assert_eq!([graph(true), graph(false)].map(|g| (g.stages(), g.shape(0))), [(2, [1, 1, 5]); 2]);
    assert_ne!(graph(true).digest(), graph(false).digest());
    let data = blobs(20, [1, 1, 8], 3, 1);
    let evaluator = local(model(true), Loss::CrossEntropy, 1);
    let plan = plan(Method::RelativeActivation(relative(2)), 0.1, 2, 20);
    assert!(Trainer::new(plan, evaluator, data).unwrap().step().is_ok());
}

#[test]
fn f26_rows_of_another_shape_and_params_of_another_model_are_refused() {
    let wide = |g: &mut Builder| {
        let x = g.input();
        if x.shape() != [1, 1, 8] {
            return x;
        }
        sound(g)
    };
    let data = blobs(20, [1, 1, 9], 3, 1);
    let plan = plan(Method::Population(population(4)), 0.1, 3, 20);
    let error = Trainer::new(plan, local(Own(wide), Loss::CrossEntropy, 1), data.clone()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Model);
    let evaluator = local(Own(sound), Loss::CrossEntropy, 1);
    let params = params_on(&evaluator.graph([1, 1, 8]).unwrap(), 1);
    let good = whole(&blobs(20, [1, 1, 8], 3, 1));
    assert!(evaluator.outputs(&params, whole(&data).x, Norms::Batch).is_err());
    assert!(predict(&evaluator, &params, &[], &[0.0; 17], [1, 1, 8]).is_err());
    assert!(predict(&evaluator, &params, &[], &[], [0, 1, 8]).is_err());
    assert_eq!(predict(&evaluator, &params, &[], &[], [1, 1, 8]).unwrap(), [0f32; 0]);
    let one = Own(|g: &mut Builder| {
        let x = g.input();
        g.linear("a", x, 8)
    });
    let other = params_on(&Graph::new(&one, [1, 1, 8]).unwrap(), 1);
    let error = evaluator.outputs(&other, good.x.clone(), Norms::Batch).unwrap_err().to_string();
    assert!(error.contains("4 tensors"), "{error}");
    let points = vec![0.0; params.count() + 1];
    assert!(evaluator.losses_at(&params, &good, &points).is_err());
}
