//! States in files, out and in.

use super::State;
use super::state::stored;
use crate::params::{Params, Tensor, TensorData};
use crate::space::Streams;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

impl State {
    /// The bytes of a snapshot: params, the optimizer's memory and the step, as a safetensors file. `chain` is the hash of the
    /// ledger's chain after the step, which names the run that this is a state of.
    ///
    /// # Errors
    /// As for [`Params::to_safetensors`].
    pub fn to_snapshot(&self, chain: &[u8; 32]) -> Result<Vec<u8>> {
        let memory = |prefix: &str, all: &[Vec<f32>]| -> Vec<Tensor> {
            let named = self.params.tensors().iter().zip(all).filter(|(t, d)| t.data.len() == d.len());
            named
                .map(|(t, d)| Tensor {
                    name: format!("{prefix}/{}", t.name),
                    shape: t.shape.clone(),
                    data: d.clone().into(),
                })
                .collect()
        };
        let mut extra = memory("momentum", &self.momentum);
        extra.extend(memory("squares", &self.squares));
        extra.extend(self.streams.0.iter().map(|(name, numbers)| Tensor {
            name: format!("{STREAMS}{name}"),
            shape: vec![numbers.len()],
            data: numbers.to_vec().into(),
        }));
        extra.push(Tensor { name: "step".into(), shape: vec![2], data: split(self.step).into() });
        // What stays as it is, in memory of somebody else's, is there.
        let own = self.params.tensors().iter().filter(|t| t.data.memory().is_none()).cloned();
        Params::from_tensors(own.collect()).to_safetensors(&extra, &[(SNAPSHOT_CHAIN, hex(chain))])
    }

    /// Replaces this state by the one that a snapshot holds. `chains` are the hashes of the ledger's chain after its header and after each
    /// of its steps.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the bytes are no snapshot of a run with these params, or for a search, which goes on from its
    /// ledger alone; [`ErrorKind::Damage`] if they are one of another run or ledger; the state is then unchanged.
    pub fn restore(&mut self, bytes: &[u8], chains: &[[u8; 32]]) -> Result<()> {
        if self.search.is_some() {
            let expected = "the records of a search from its first on";
            return Err(Error::expected(ErrorKind::Model, "snapshot", expected, "params alone"));
        }
        let tensors = Params::tensors_from_safetensors(bytes)?;
        let (streams, mut tensors): (Vec<_>, Vec<_>) =
            tensors.into_iter().partition(|tensor| tensor.name.starts_with(STREAMS));
        let mut take = |name: &str, shape: &[usize]| -> Result<TensorData> {
            let at = tensors.iter().position(|t| t.name == name && t.shape == shape);
            let at = at.ok_or_else(|| {
                Error::expected(ErrorKind::Model, "snapshot", format!("tensor {name} of {shape:?}"), "none")
            })?;
            Ok(tensors.swap_remove(at).data)
        };
        let mut next = self.clone();
        for index in 0..self.params.tensors().len() {
            let t = &self.params.tensors()[index];
            let trains = self.recipe.rate(index) != 0.0;
            match take(&t.name, &t.shape) {
                Ok(data) if t.data.memory().is_none() => *next.params.data_mut(index) = data,
                Err(error) if trains => return Err(error),
                // What never changes is here.
                _ => {}
            }
            for (prefix, all) in [("momentum", &mut next.momentum), ("squares", &mut next.squares)] {
                let Some(own) = all.get_mut(index) else { continue };
                match take(&format!("{prefix}/{}", t.name), &t.shape) {
                    Ok(memory) if trains => *own = memory.into_floats(),
                    Err(error) if trains => return Err(error),
                    // Earlier versions kept one for what never changes.
                    _ => {}
                }
            }
        }
        let of_streams =
            |tensor: Tensor| (tensor.name[STREAMS.len()..].to_owned(), Arc::new(tensor.data.into_floats()));
        next.streams = Streams(streams.into_iter().map(of_streams).collect());
        next.params = stored(next.params, &self.recipe)?;
        next.step = join(&take("step", &[2])?.floats());
        let chain = Params::metadata_from_safetensors(bytes)?.remove(SNAPSHOT_CHAIN);
        if chain.is_none() || chain != chains.get(next.step as usize).map(hex) {
            let expected = format!("a state of this run's ledger after step {}", next.step);
            return Err(Error::expected(ErrorKind::Damage, "snapshot", expected, "one of another ledger"));
        }
        if let Some(left) = tensors.first() {
            let found = format!("also one named {}", left.name);
            return Err(Error::expected(
                ErrorKind::Model,
                "snapshot",
                "the tensors of this run alone",
                found,
            ));
        }
        *self = next;
        Ok(())
    }
}

/// Where a snapshot has the hash of its ledger's chain.
const SNAPSHOT_CHAIN: &str = "onward.chain";
/// What the names of what streams hand on begin with.
const STREAMS: &str = "streams/";

fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

/// A step as two numbers that f32 holds exactly (below 2⁴⁴).
fn split(step: u64) -> Vec<f32> {
    vec![(step >> 22) as f32, (step & 0x3f_ffff) as f32]
}

fn join(parts: &[f32]) -> u64 {
    ((parts[0] as u64) << 22) | parts[1] as u64
}
