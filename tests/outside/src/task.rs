//! A task: a quantile. Being below a target costs nine times what being above it costs, so the answer is exceeded once in ten times.

use onward::prelude::*;
use std::sync::Arc;

struct Quantile(f32);

impl Task for Quantile {
    fn check(&self, outputs: usize, answers: Answers<'_>) -> onward::Result<()> {
        match answers.targets {
            Targets::Values { width: 1, .. } if outputs == 1 => Ok(()),
            _ => {
                Err(Error::expected(ErrorKind::Data, "quantile", "one value a row, and one output", outputs))
            }
        }
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
        let Targets::Values { values, .. } = answers.targets else { return Ok(()) };
        for (row, loss) in losses.iter_mut().enumerate() {
            let short = values[answers.sample(row)] - outputs.row(row)[0];
            *loss = if short > 0.0 { self.0 * short } else { (self.0 - 1.0) * short };
        }
        Ok(())
    }
}

/// `x`, and values that lie evenly between `x` and `x + 1`: nine tenths of them below `x + 0.9`.
fn data() -> onward::Result<Dataset> {
    let x = |i: u32| (i as f32 * 0.618_034).fract();
    let values = (0..1000).map(|i| x(i) + (i as f32 * 0.754_878).fract()).collect();
    Dataset::new((0..1000).map(x).collect(), [1, 1, 1], Targets::Values { values, width: 1 })
}

#[test]
fn a_task_of_ones_own_is_learnt() -> onward::Result<()> {
    let net = |outputs| Mlp::new(&[1, 8, outputs], Activation::Relu).map(Arc::new);
    let local = |outputs| -> onward::Result<Local> {
        Ok(Local::new(net(outputs)?, Arc::new(Quantile(0.9)), &Threads::new(1)?))
    };
    let plan = Plan { batch: 250, ..Plan::new(RelativeActivation::default(), 400) };
    let (data, mut trainer) = (data()?, Trainer::new(plan.clone(), local(1)?, data()?)?);
    while !trainer.finished() {
        trainer.step()?;
    }
    let x = Act::new(data.rows(), data.shape(), data.features().to_vec());
    let y = trainer.local().outputs(trainer.state().params(), x, onward::model::Norms::Batch)?;
    let Targets::Values { values, .. } = data.targets() else { unreachable!() };
    let below = values.iter().zip(y.data()).filter(|(value, answer)| value < answer).count();
    assert!((870..=930).contains(&below), "{below} of 1000 are below their 90 % quantile");
    let refused = Trainer::new(plan, local(2)?, data).map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "quantile: expected one value a row, and one output, found 2");
    Ok(())
}
