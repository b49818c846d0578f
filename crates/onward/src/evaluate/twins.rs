//! The derivative of a step of streams from what noise did to their twins.

use super::{Batch, Local};
use crate::Result;
use crate::ask::Response;
use crate::model::{Act, Context, Graph, Member, Norms, Probe, TensorKeys, Trace, WeightSpace};
use crate::noise::RunKey;
use crate::params::Params;
use crate::rule::worst_for_non_finite;
use crate::space::{
    Age, Credit, Derivative, Descent, Influence, Probes, Reached, Streams, Stretch, TwinNoise, TwinPlan,
    credit_at_answer, hand_on, read_at_bursts, signs,
};
use crate::task::{Answers, mean};

/// The names of twins' states: of the only one, and of the two with noise of either sign.
const TWINS: [&str; 2] = ["twin", "other twin"];

/// A step of streams whose twins are asked.
struct Step<'a> {
    local: &'a Local,
    graph: &'a Graph,
    key: &'a RunKey,
    params: &'a Params,
    batch: &'a Batch,
    plan: &'a TwinPlan,
    before: &'a Streams,
    influence: &'a Influence<'a>,
    ages: Vec<Age>,
}

impl Local {
    /// An estimate of the derivative of the mean loss of the next rows of streams by the params of the plan's stages, and what the streams hand on. In the mean over
    /// noise and steps it is the derivative as far back as twins live, up to `O(σ²)`; of bursts, divided among the streams that live so long where lengths are mixed.
    ///
    /// # Errors
    /// As for [`Local::online_derivative`].
    pub fn twin_derivative(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &TwinPlan,
        streams: &Streams,
    ) -> Result<Response> {
        let graph = &*self.meets(params, batch)?;
        plan.check(graph)?;
        let influence = &Influence::new(graph, &plan.local.stages, batch.x.rows)?;
        let ages = plan.ages(batch.x.rows);
        let step = Step { local: self, graph, key, params, batch, plan, before: streams, influence, ages };
        self.run(|| step.answered())
    }
}

impl Step<'_> {
    fn answered(&self) -> Result<Response> {
        let (graph, batch, plan, rows) = (self.graph, self.batch, &self.plan.local, self.batch.x.rows);
        let task = self.local.task_of_rows()?;
        let states = self.influence.states(self.before)?;
        let weights = &self.local.packed(self.params);
        let chance = batch.chance(self.key, plan.step);
        let mut cx = Context::clean(weights, Norms::Batch).with_chance(chance.clone());
        cx.start_trace();
        let (flow, after) = graph.flow_from(&mut cx, batch.x.clone(), states.clone());
        let mut trace = cx.take_trace();
        trace.silence_overflow();
        let mut losses = vec![0.0; rows];
        task.of_rows(&flow.outputs, batch.answers(), &mut losses)?;
        let mut derivative: Derivative = vec![None; self.params.tensors().len()];
        // What no states follow from.
        let (answer, mut non_finite) = credit_at_answer(task, &flow.outputs, batch.answers(), plan.sigma);
        let heads: Vec<usize> =
            plan.stages.iter().copied().filter(|stage| !self.influence.stages.contains(stage)).collect();
        let descent = Descent {
            graph,
            weights,
            statistics: &[],
            flow: &flow,
            times: 1,
            trace: &trace,
            plan,
            buffer_pools: &self.local.buffer_pools,
            task,
            answers: batch.answers(),
            losses: &losses,
            chance,
            known: &[],
        };
        let begins = graph.carry_nodes().0;
        non_finite += descent.from([(graph.output(), answer.into())], &heads, &begins, |at, g| {
            if let Reached::Stage(stage) = at {
                let mut earned = Credit::default();
                earned.add(graph, stage, self.params, &trace, g, Stretch::all(rows));
                earned.give(graph, stage, &mut derivative);
            }
        })?;
        let mut streams = self.influence.after(&after, None)?;
        non_finite += match self.plan.place {
            TwinNoise::Sites => self.bursts((&states, &losses, &trace), &mut derivative, &mut streams)?,
            TwinNoise::Weights { window, noise } => {
                let space = WeightSpace::Dense { noise };
                self.episodes((&states, space, window), &mut derivative, &mut streams)?
            }
        };
        let mut finite = losses;
        non_finite += worst_for_non_finite(&mut finite, u64::from(plan.step))?;
        let loss = mean(&finite);
        let costs = Vec::new();
        Ok(Response { loss, derivative, norms: Vec::new(), costs, non_finite, saturated: 0, streams })
    }

    /// The states that twins have in this step: the clean ones where they begin.
    fn twins(&self, name: &str, clean: &[Act]) -> Result<Vec<Act>> {
        if self.before.is_empty() {
            return Ok(clean.to_vec());
        }
        let mut all = self.influence.states_of(name, self.before)?;
        for (own, clean) in all.iter_mut().zip(clean) {
            let width = clean.width();
            let own = own.data_mut().chunks_exact_mut(width.max(1)).zip(&self.ages);
            for (stream, (own, _)) in own.enumerate().filter(|(_, (_, age))| age.steps == 0) {
                own.copy_from_slice(clean.row(stream));
            }
        }
        Ok(all)
    }

    /// What bursts of signs at sites earn. Returns how many losses were not finite.
    fn bursts(
        &self,
        (states, losses, trace): (&[Act], &[f32], &Trace),
        derivative: &mut Derivative,
        streams: &mut Streams,
    ) -> Result<u64> {
        let (graph, stages) = (self.graph, &self.influence.stages);
        let (rows, sigma) = (self.batch.x.rows, self.plan.local.sigma);
        let of_stages: Vec<Vec<f32>> =
            stages.iter().map(|stage| signs(self.key, graph, *stage, &self.ages)).collect();
        let moved = stages.iter().zip(&of_stages).map(|(stage, signs)| {
            let width = graph.width(*stage).max(1);
            let each = signs.chunks_exact(width).zip(&self.ages);
            let now = each.flat_map(|(signs, age)| {
                signs.iter().map(move |sign| if age.steps == 0 { sigma * sign } else { 0.0 })
            });
            (graph.site(*stage), Act::new(rows, graph.shape(*stage), now.collect()))
        });
        let weights = self.local.packed(self.params);
        let chance = self.batch.chance(self.key, self.plan.local.step);
        let mut cx = Context::clean(&weights, Norms::Batch).with_chance(chance);
        // As in the clean pass: a linear map answers before a ReLU that may follow.
        cx.start_trace();
        let moved: Vec<(usize, Act)> = moved.collect();
        let twins = self.twins(TWINS[0], states)?;
        let (outputs, after) = graph.forward_moved(&mut cx, self.batch.x.clone(), twins, &moved);
        let mut others = vec![0.0; rows];
        let task = self.local.task_of_rows()?;
        task.of_rows(&outputs, self.batch.answers(), &mut others)?;
        let mut lost = 0;
        let factors: Vec<f32> = (0..rows)
            .map(|stream| {
                let age = self.ages[stream];
                let difference = sound_difference(others[stream], losses[stream], &mut lost);
                difference * age.length as f32 / sigma
            })
            .collect();
        let read = read_at_bursts(graph, stages, (&self.ages, trace, self.before));
        for (stage, mut g) in stages.iter().zip(of_stages) {
            let each = g.chunks_exact_mut(graph.width(*stage).max(1)).zip(&factors);
            each.for_each(|(g, factor)| g.iter_mut().for_each(|g| *g *= factor));
            let mut earned = Credit::default();
            earned.add(graph, *stage, self.params, &read, &g, Stretch::all(rows));
            earned.give(graph, *stage, derivative);
        }
        hand_on(graph, stages, &read, streams);
        self.influence.hand_on(TWINS[0], &after, streams)?;
        Ok(lost)
    }

    /// What two twins with params on either side earn. Returns how many losses were not finite.
    fn episodes(
        &self,
        (states, space, window): (&[Act], WeightSpace, u32),
        derivative: &mut Derivative,
        streams: &mut Streams,
    ) -> Result<u64> {
        let (graph, rows, sigma) = (self.graph, self.batch.x.rows, self.plan.local.sigma);
        let trained: Vec<usize> = self.influence.tensors().collect();
        let mut keys = TensorKeys::of_trained(self.key, self.params, graph);
        keys.iter_mut().enumerate().for_each(|(i, keys)| keys.probed &= trained.contains(&i));
        let named = |stream: usize, begun: u32| begun.wrapping_mul(rows as u32).wrapping_add(stream as u32);
        let window_of = |age: &Age| if window == 0 { age.length } else { window };
        let members: Vec<Member> = (0..rows)
            .flat_map(|stream| {
                let age = self.ages[stream];
                let within = age.steps - age.steps % window_of(&age);
                let index = named(stream, age.begun.map_or(0, |begun| begun + within));
                [1.0, -1.0].map(|sign| Member { index, sign })
            })
            .collect();
        let probe = Probe { keys: &keys, members: &members, space, sigma, step: 0 };
        let twice: Vec<u32> = (0..rows as u32).flat_map(|stream| [stream, stream]).collect();
        let [plus, minus] = TWINS.map(|name| self.twins(name, states));
        let both = plus?.iter().zip(&minus?).map(|(plus, minus)| interleaved(plus, minus)).collect();
        let weights = self.local.for_dense(self.params, &keys);
        let mut cx = Context::probing(&weights, Norms::Batch, probe, 1);
        let (outputs, after) = graph.forward_moved(&mut cx, self.batch.x.select(&twice), both, &[]);
        let wanted = self.batch.answers().select(&twice);
        let mut losses = vec![0.0; 2 * rows];
        self.local.task_of_rows()?.of_rows(&outputs, Answers { ..wanted.answers() }, &mut losses)?;
        let mut lost = 0;
        let mut sums: Vec<[Vec<f32>; 2]> = trained
            .iter()
            .map(|t| [(); 2].map(|()| vec![0.0; self.params.tensors()[*t].data.len()]))
            .collect();
        for (stream, pair) in losses.chunks_exact(2).enumerate() {
            let (age, half) = (self.ages[stream], usize::from(stream >= rows / 2));
            let difference = sound_difference(pair[0], pair[1], &mut lost);
            let Some(begun) = age.begun else { continue };
            let factor = difference / (2.0 * sigma * rows as f32);
            for first in (0..=age.steps).step_by(window_of(&age) as usize) {
                let index = named(stream, begun + first);
                for (tensor, sums) in trained.iter().zip(&mut sums) {
                    let matrix = self.params.tensors()[*tensor].matrix();
                    let coefficients = &[factor * space.scale(matrix.is_some())];
                    let probes =
                        Probes { keys: keys[*tensor], matrix, space, step: 0, first: index, coefficients };
                    probes.add_to(&mut sums[half]);
                }
            }
        }
        trained.iter().zip(sums).for_each(|(tensor, sums)| derivative[*tensor] = Some(sums));
        for (place, name) in TWINS.iter().enumerate() {
            let own: Vec<u32> = (0..rows as u32).map(|stream| 2 * stream + place as u32).collect();
            let after: Vec<Act> = after.iter().map(|state| state.select(&own)).collect();
            self.influence.hand_on(name, &after, streams)?;
        }
        Ok(lost)
    }
}

/// The difference of two losses, 0 where one is not finite, which is counted.
fn sound_difference(a: f32, b: f32, lost: &mut u64) -> f32 {
    let found = a - b;
    *lost += u64::from(!a.is_finite());
    if found.is_finite() { found } else { 0.0 }
}

/// Rows of two in turn.
fn interleaved(a: &Act, b: &Act) -> Act {
    let rows = (0..a.rows()).flat_map(|row| a.row(row).iter().chain(b.row(row)).copied());
    Act::new(2 * a.rows(), a.shape(), rows.collect())
}
