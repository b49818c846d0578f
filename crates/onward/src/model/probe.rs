//! Probes: what is added to the params while a model runs, and where its noise comes from.

use super::{Graph, Map};
use crate::noise::{Family, Role, RunKey, TensorKey};
use crate::params::Params;

/// The noise keys of one tensor, one for each role that probes use.
#[derive(Clone, Copy)]
pub struct TensorKeys {
    /// The key of noise over the whole tensor.
    pub dense: TensorKey,
    /// The key of low-rank factors on the output side.
    pub left: TensorKey,
    /// The key of low-rank factors on the input side.
    pub right: TensorKey,
    /// Whether probes put noise on the tensor.
    pub probed: bool,
    /// What the size of the noise on it is multiplied by.
    pub scale: f32,
}

impl TensorKeys {
    /// The keys of the tensor called `name`.
    pub fn new(key: &RunKey, name: &str) -> Self {
        Self {
            dense: key.tensor(Role::Dense, name),
            left: key.tensor(Role::Left, name),
            right: key.tensor(Role::Right, name),
            probed: true,
            scale: 1.0,
        }
    }

    /// The keys of all tensors of `params`, in their order.
    pub fn of(key: &RunKey, params: &Params) -> Vec<Self> {
        params.tensors().iter().map(|t| Self::new(key, &t.name)).collect()
    }

    /// The same without noise on those that never change.
    pub(crate) fn of_trained(key: &RunKey, params: &Params, graph: &Graph) -> Vec<Self> {
        let all = Self::of(key, params).into_iter().enumerate();
        all.map(|(i, keys)| Self { probed: graph.trains(i), ..keys }).collect()
    }
}

/// One member of a population: the number of its noise, and the sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// The member's number in the noise.
    pub index: u32,
    /// The sign of the noise: +1 or −1.
    pub sign: f32,
}

/// The noise that is added to the params while a model runs.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    /// The noise keys of each tensor ([`TensorKeys::of`]).
    pub keys: &'a [TensorKeys],
    /// The members, in the order of their rows.
    pub members: &'a [Member],
    /// The space that the noise acts in.
    pub space: WeightSpace,
    /// The size of the perturbation: every weight moves by about this much.
    pub sigma: f32,
    /// The step that names the noise.
    pub step: u32,
}

impl Probe<'_> {
    /// The size of the perturbation of a tensor.
    pub(super) fn sigma_of(&self, tensor: usize) -> f32 {
        self.sigma * self.keys[tensor].scale
    }

    /// Whether there is noise on any tensor of a map.
    pub(super) fn moves(&self, map: Map) -> bool {
        map.tensors().any(|tensor| self.keys[tensor].probed)
    }
}

/// The space that a probe on the weights acts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightSpace {
    /// On every weight alone.
    Dense {
        /// The distribution of the noise.
        noise: Family,
    },
    /// On every matrix along a sum of `rank` outer products (never formed), on every vector alone.
    LowRank {
        /// Outer products per matrix.
        rank: u32,
        /// The distribution of the factors and of the noise on vectors.
        noise: Family,
    },
    /// One weight after another, with normal noise.
    Coordinate,
}

impl WeightSpace {
    /// The distribution of the noise.
    pub fn noise(self) -> Family {
        match self {
            Self::Dense { noise } | Self::LowRank { noise, .. } => noise,
            Self::Coordinate => Family::Normal,
        }
    }

    /// The factor that gives the noise on a tensor unit variance: on matrices in low-rank space the factors' product
    /// and `1/√rank`, else the family's own. Always a power of two, so that steps stay exact: for ranks that are no power of
    /// four the variance is off by at most a factor of two.
    pub fn scale(self, is_matrix: bool) -> f32 {
        match self {
            Self::LowRank { rank, noise } if is_matrix => {
                // log₂ √rank, rounded: in integers, since a system's logarithm may be off in its last bit.
                let halvings = rank.max(1).ilog2().div_ceil(2);
                noise.scale() * noise.scale() / (1u64 << halvings) as f32
            }
            _ => self.noise().scale(),
        }
    }

    /// The largest absolute value of noise on any tensor, before [`WeightSpace::scale`]; `None` if it is not integer.
    pub fn largest(self) -> Option<u32> {
        let one = self.noise().largest()?;
        Some(if let Self::LowRank { rank, .. } = self { rank * one * one } else { one })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_rank_noise_is_scaled_by_the_power_of_two_next_to_the_root_of_its_rank() {
        for rank in 1..2000u32 {
            let scale = WeightSpace::LowRank { rank, noise: Family::Sign }.scale(true);
            assert_eq!(scale.to_bits() & 0x007f_ffff, 0, "rank {rank}: a power of two");
            let variance = f64::from(rank) * f64::from(scale).powi(2);
            assert!((0.5..2.0).contains(&variance), "rank {rank}: variance {variance}");
        }
        let scale = |rank, noise| WeightSpace::LowRank { rank, noise }.scale(true);
        assert_eq!([1, 2, 4, 7, 8].map(|r| scale(r, Family::Sign)), [1.0, 0.5, 0.5, 0.5, 0.25]);
        assert_eq!((scale(4, Family::Binomial), scale(u32::MAX, Family::Sign)), (0.125, 2f32.powi(-16)));
    }
}
