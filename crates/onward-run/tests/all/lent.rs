//! Runs whose params lie in memory of a program's own.

use crate::common::{Small, clock, methods};
use onward::evaluate::Local;
use onward::ledger::Header;
use onward::model::{Activation, Mlp, Rate, Rated};
use onward::noise::RunKey;
use onward::params::{Memory, Params};
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::Trainer;
use onward::{ErrorKind, Result};
use onward_run::folder::Folder;
use onward_run::follow::{Origin, Parts};
use onward_run::{Observers, Run};
use std::sync::Arc;

/// The bytes of a safetensors file that a program has from somewhere.
struct Array(Vec<u8>);

impl Memory for Array {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A run whose first layer stays and lies in such memory.
struct Lent(Small);

impl Lent {
    fn parts(&self) -> Parts {
        let mut parts = self.0.parts();
        let model = Arc::new(Mlp::new(&[2, 6, 2], Activation::Tanh).unwrap());
        let rates = vec![Rate { tensors: "fc1.*".into(), factor: 0.0 }];
        let rated = Arc::new(Rated { model, rates });
        let local = Local::new(rated, Arc::new(Loss::CrossEntropy), &Threads::new(1).unwrap());
        let specs = parts.trainer.graph().tensors();
        let bytes = Params::init(specs, &RunKey::from_seed(9)).to_safetensors(&[], &[]).unwrap();
        let memory: Arc<dyn Memory> = Arc::new(Array(bytes));
        let lying = Params::tensors_in(&memory).unwrap();
        let named = |name: &str| lying.iter().find(|t| t.name == name).unwrap().clone();
        let given = Params::from_tensors(specs.iter().map(|spec| named(&spec.name)).collect());
        let data = parts.trainer.data().read(&(0..60).collect::<Vec<_>>()).unwrap().into_parts().1;
        parts.trainer = Trainer::from_params(self.0.plan(), local, data, given).unwrap();
        assert!(parts.trainer.state().params().tensors().iter().any(|t| t.data.memory().is_some()));
        parts
    }

    fn resume(&mut self, run: &std::path::Path) -> Result<Run> {
        Run::resume(Folder::open(run)?, self, clock(), Observers::none())
    }
}

impl Origin for Lent {
    fn possible(&mut self, begun: &Header) -> Result<Vec<Header>> {
        Ok(vec![begun.clone()])
    }

    fn build(&mut self, _: &Header) -> Result<Parts> {
        Ok(self.parts())
    }

    fn check_interface(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn base_params_of_the_run_are_checked_where_others_like_them_lie_elsewhere() {
    let mut lent = Lent(Small::new(methods()[0].clone(), 9));
    let runs = tempfile::tempdir().unwrap();
    let folder = Folder::create(runs.path(), "lent", false).unwrap();
    let mut run = Run::create(folder, "name = \"lent\"\n", lent.parts(), clock(), Observers::none()).unwrap();
    run.step().unwrap();
    let (path, base) = (run.folder().path().to_owned(), run.folder().base());
    drop(run);
    drop(lent.resume(&path).unwrap());
    let mut bytes = std::fs::read(&base).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&base, &bytes).unwrap();
    let error = lent.resume(&path).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage);
    assert!(error.to_string().contains("base.safetensors: expected digest "), "{error}");
}
