//! A model: a net whose hidden units compete, so that only the largest of each three answers. The competition is an operation of its own.

use crate::{accuracy, circle};
use onward::prelude::*;
use std::sync::Arc;

/// Of each group of channels the largest stays, the others become 0.
struct Largest {
    of: usize,
    name: String,
}

impl RowOp for Largest {
    fn name(&self) -> &str {
        &self.name
    }
    fn shape(&self, inputs: &[Shape]) -> onward::Result<Shape> {
        let [.., channels] = inputs[0];
        if channels % self.of == 0 {
            return Ok(inputs[0]);
        }
        let expected = format!("channels in groups of {}", self.of);
        Err(Error::expected(ErrorKind::Model, "largest", expected, channels))
    }
    fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
        for (x, y) in inputs[0].chunks(self.of).zip(output.chunks_mut(self.of)) {
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = if *x == largest { *x } else { 0.0 });
        }
    }
}

struct Competing {
    width: usize,
}

impl Model for Competing {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let hidden = g.linear("hidden", x, self.width);
        let winners = g.host(Arc::new(Largest { of: 3, name: "largest of 3".into() }), &[hidden]);
        Ok(g.linear("answer", winners, 2))
    }
}

#[test]
fn a_model_of_ones_own_learns() -> onward::Result<()> {
    let local = |width| -> onward::Result<Local> {
        Ok(Local::new(Arc::new(Competing { width }), Arc::new(Loss::CrossEntropy), &Threads::new(1)?))
    };
    let plan = Plan { batch: 100, ..Plan::new(RelativeActivation::default(), 300).with_rate(0.5) };
    assert!(accuracy(Trainer::new(plan.clone(), local(24)?, circle(0, 1000)?)?)? > 0.95);
    let refused = Trainer::new(plan, local(25)?, circle(0, 1000)?).map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "largest: expected channels in groups of 3, found 25");
    Ok(())
}
