//! Members in chunks, tasks and threads: the fast passes give what each member gives alone.

use crate::common::{Shaped, blobs, known, local, materialise, params_of, params_on, whole};
use onward::ask::WeightPlan;
use onward::kernel::Precision;
use onward::model::{
    Act, Activation, Builder, Context, Conv, GlobalPool, Member, Mlp, Model, Norms, Probe, Shape, TensorKeys,
    Var, WeightSpace, Weights,
};
use onward::noise::{Family, RunKey};
use onward::params::{Params, Tensor};
use onward::task::Loss;

fn pairs(n: u32) -> Vec<Member> {
    (0..n).map(|i| Member { index: i / 2, sign: if i % 2 == 0 { 1.0 } else { -1.0 } }).collect()
}

fn low_rank(rank: u32) -> WeightSpace {
    WeightSpace::LowRank { rank, noise: Family::Sign }
}

/// Dense probes form their weights a few outputs at a time; the bits are those of weights perturbed beforehand.
#[test]
fn dense_probes_have_the_bits_of_weights_perturbed_by_hand() {
    // Sizes on both sides of the blocks: 64 outputs, 64 rows.
    let mlp = Mlp::new(&[30, 150, 64, 4], Activation::Relu).unwrap();
    dense_by_hand(&mlp, whole(&blobs(67, [1, 1, 30], 4, 3)).x);
    let conv = Conv {
        input: [6, 6, 2],
        channels: vec![16, 3],
        average_pool_after: vec![0],
        max_pool_after: vec![],
        batch_norm: true,
        bias: true,
        residual: vec![],
        activation: Activation::Relu,
        global_pool: GlobalPool::None,
        outputs: 4,
    };
    dense_by_hand(&conv.checked().unwrap(), whole(&blobs(9, [6, 6, 2], 4, 3)).x);
}

fn dense_by_hand(net: &impl Shaped, x: Act) {
    let (key, sigma, step) = (RunKey::from_seed(4), 0.03, 9);
    let graph = net.graph();
    let params = params_on(&graph, 4);
    let kinds = Precision::ALL.map(|precision| (Family::Binomial, precision));
    for (noise, precision) in kinds.into_iter().chain([(Family::Sign, Precision::F32)]) {
        let (space, members) = (WeightSpace::Dense { noise }, pairs(4));
        let probe = Probe { keys: &TensorKeys::of(&key, &params), members: &members, space, sigma, step };
        let weights = Weights::new(&params, precision);
        let mut cx = Context::probing(&weights, Norms::Batch, probe, x.rows());
        let found = graph.forward(&mut cx, x.clone());
        for (i, member) in members.iter().enumerate() {
            let moved = |t: &Tensor| {
                let z = materialise(space, &TensorKeys::new(&key, &t.name), &t.shape, step, member.index);
                let scale = sigma * member.sign * space.scale(false);
                Tensor {
                    data: t.data.iter().zip(&z).map(|(w, z)| z.mul_add(scale, w)).collect(),
                    ..t.clone()
                }
            };
            let own = Params::from_tensors(params.tensors().iter().map(moved).collect());
            let weights = Weights::new(&own, precision);
            let want = graph.forward(&mut Context::clean(&weights, Norms::Batch), x.clone());
            let part = found.slice(i * x.rows(), (i + 1) * x.rows());
            assert!(
                part.data().iter().zip(want.data().iter()).all(|(a, b)| a.to_bits() == b.to_bits()),
                "{noise:?} {precision:?} {i}"
            );
        }
    }
}

/// Where a ReLU follows, a product takes it on its way out, unless a trace is kept; the bits are the same.
#[test]
fn whole_passes_have_the_bits_of_traced_ones() {
    let graph = Mlp::new(&[30, 70, 33, 4], Activation::Relu).unwrap().graph();
    let (x, params) = (whole(&blobs(40, [1, 1, 30], 4, 3)).x, params_on(&graph, 4));
    let keys = TensorKeys::of(&RunKey::from_seed(4), &params);
    let spaces = [None, Some(low_rank(2)), Some(WeightSpace::Dense { noise: Family::Sign })];
    for (precision, space) in Precision::ALL.into_iter().flat_map(|p| spaces.map(|s| (p, s))) {
        let (weights, members) = (Weights::new(&params, precision), pairs(3));
        let context = || match space {
            None => Context::clean(&weights, Norms::Batch),
            Some(space) => {
                let probe = Probe { keys: &keys, members: &members, space, sigma: 0.02, step: 1 };
                Context::probing(&weights, Norms::Batch, probe, x.rows())
            }
        };
        let mut cx = context();
        cx.start_trace();
        let stages = graph.forward(&mut cx, x.clone());
        assert!(stages.data().iter().any(|v| *v < 0.0), "what no ReLU follows keeps its signs");
        let whole = graph.forward(&mut context(), x.clone());
        assert!(
            whole.data().iter().map(|v| v.to_bits()).eq(stages.data().iter().map(|v| v.to_bits())),
            "{precision:?} {space:?}"
        );
    }
}

/// 67 members do not divide into chunks of two; they are the same alone, and for any number of threads.
#[test]
fn members_that_do_not_fill_their_chunks_give_the_same_losses() {
    let data = blobs(300, [1, 1, 20], 4, 5);
    let net = Mlp::new(&[20, 190, 33, 4], Activation::Relu).unwrap();
    let params = params_of(&net, 5);
    for (rank, share) in [(1, 0), (3, 0), (1, 150)] {
        let losses = |members: &[Member], threads| {
            let members = members.to_vec();
            let plan = WeightPlan {
                step: 2,
                space: low_rank(rank),
                sigma: 0.05,
                members,
                together: 1,
                share,
                scales: vec![],
            };
            known(local(net.clone(), Loss::CrossEntropy, threads).losses(
                &RunKey::from_seed(5),
                &params,
                &whole(&data),
                &plan,
            ))
        };
        let all = pairs(67);
        let one = losses(&all, 1);
        for threads in [2, 3] {
            assert_eq!(losses(&all, threads), one, "rank {rank}, share {share}, {threads} threads");
        }
        // With shares, members two apart meet the same samples.
        let alone: Vec<f32> = all.chunks(2).flat_map(|m| losses(m, 1)).collect();
        assert_eq!(alone, one, "rank {rank}, share {share}");
    }
}

/// A net that begins with a normalisation: its noise makes members differ before any product does.
#[derive(Clone)]
struct NormFirst;

impl Model for NormFirst {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.batch_norm("norm", x);
        Ok(g.linear_without_bias("fc", x, 3))
    }
}

impl Shaped for NormFirst {
    fn input(&self) -> Shape {
        [1, 1, 5]
    }
}

#[test]
fn noise_on_a_leading_normalisation_reaches_every_member() {
    let data = blobs(40, [1, 1, 5], 3, 6);
    let params = params_of(&NormFirst, 6);
    for space in [low_rank(1), WeightSpace::Dense { noise: Family::Sign }] {
        let losses = |members: &[Member]| {
            let members = members.to_vec();
            let plan =
                WeightPlan { step: 2, space, sigma: 0.2, members, together: 2, share: 0, scales: vec![] };
            known(local(NormFirst, Loss::CrossEntropy, 1).losses(
                &RunKey::from_seed(6),
                &params,
                &whole(&data),
                &plan,
            ))
        };
        let all = pairs(6);
        let together = losses(&all);
        let alone: Vec<f32> = all.iter().flat_map(|m| losses(&[*m])).collect();
        assert_eq!(together, alone, "{space:?}");
        assert!(together.windows(2).all(|l| l[0] != l[1]), "{space:?}: {together:?}");
    }
}
