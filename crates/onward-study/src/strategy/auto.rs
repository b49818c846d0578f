//! The choice of a strategy from what is known beforehand.

use super::super::space::Space;
use super::{CmaEs, LmMaEs, OnePlusOne, StrategyKind};
use serde::{Deserialize, Serialize};

/// The settings of the automatic choice of a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auto {
    /// Whether the same candidate can get different losses.
    pub noisy: bool,
    /// Candidates that can be evaluated at once.
    #[serde(skip_serializing_if = "is_one")]
    pub jobs: u64,
}

impl Default for Auto {
    fn default() -> Self {
        Self { noisy: false, jobs: 1 }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(jobs: &u64) -> bool {
    *jobs == 1
}

/// Coordinates from which on matrices cost more than they bring within common budgets.
const MANY: usize = 200;
/// Evaluations per coordinate below which a covariance matrix has not learnt enough to pay: measured for real numbers
/// (`bench/bbob/README.md`), and with integers, options or many coordinates.
const FEW: [u64; 2] = [60, 20];
/// Members under noise, relative to the usual number.
const LARGER: usize = 4;

impl Auto {
    pub(super) fn choose(self, space: &Space, budget: u64) -> (StrategyKind, String) {
        let d = space.width();
        let usual = super::ranking::usual_members(d);
        let is = format!("{d} coordinate{}, {budget} evaluations", if d == 1 { "" } else { "s" });
        if self.noisy {
            return self.choose_under_noise(d, budget, usual, &is);
        }
        let few = FEW[usize::from(space.is_mixed() || d > MANY)];
        if self.jobs > 1 && budget >= 2 * usual as u64 && budget < few * d as u64 {
            // Whole rounds of what runs at once: a place that is left empty would be given away.
            let members = (usual as u64).div_ceil(self.jobs).saturating_mul(self.jobs).min(budget / 2);
            let why =
                format!("{is}, {} at once: generations of {members}, so that none of these waits", self.jobs);
            let members = Some(members as usize);
            return (StrategyKind::CmaEs(CmaEs { members, ..CmaEs::default() }), why);
        }
        if budget < few * d as u64 || budget < 2 * usual as u64 {
            let why = format!(
                "{is}: too few to learn a covariance; the 1/5 rule makes the most of each, one at a time (`cma-es` \
                 for many at a time)"
            );
            return (StrategyKind::OnePlusOne(OnePlusOne::default()), why);
        }
        if d > MANY {
            let why = format!("{is}: too many for full matrices; a few remembered directions stand for them");
            return (StrategyKind::LmMaEs(LmMaEs::default()), why);
        }
        let mixed = if space.is_mixed() { ", steps of integers and options kept from vanishing" } else { "" };
        let why =
            format!("{is}: enough to learn scales and correlations, with restarts for further optima{mixed}");
        (StrategyKind::CmaEs(CmaEs::default()), why)
    }

    /// Larger generations average noise; single comparisons do not.
    fn choose_under_noise(self, d: usize, budget: u64, usual: usize, is: &str) -> (StrategyKind, String) {
        let members = (LARGER * usual).min((budget / 8) as usize).max(4);
        let why = format!("{is}, noise: generations of {members}, so that it averages out");
        let method = if d > MANY {
            StrategyKind::LmMaEs(LmMaEs { members: Some(members), ..LmMaEs::default() })
        } else {
            StrategyKind::CmaEs(CmaEs { members: Some(members), ..CmaEs::default() })
        };
        (method, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_follows_dimension_budget_and_noise_and_says_why() {
        let choose = |d: usize, budget: u64, noisy: bool| {
            let (method, why) = Auto { noisy, jobs: 1 }.choose(&Space::reals(d, 0.0, 1.0).unwrap(), budget);
            let is = if d == 1 { "1 coordinate".into() } else { format!("{d} coordinates") };
            assert!(why.contains(&format!("{is}, {budget} evaluations")), "{why}");
            method.name()
        };
        assert_eq!(choose(10, 5000, false), "cma-es");
        assert_eq!(choose(10, 599, false), "one-plus-one");
        assert_eq!(choose(10, 600, false), "cma-es");
        assert_eq!(choose(1, 1, false), "one-plus-one");
        let at_once = Auto { noisy: false, jobs: 4 }.choose(&Space::reals(10, 0.0, 1.0).unwrap(), 100);
        assert_eq!(at_once.0, StrategyKind::CmaEs(CmaEs { members: Some(12), ..CmaEs::default() }));
        assert!(at_once.1.contains("4 at once"), "{}", at_once.1);
        assert_eq!(choose(5000, 1_000_000, false), "lm-ma-es");
        assert_eq!(choose(10, 5000, true), "cma-es");
        assert_eq!(choose(1_000_000, 100_000, true), "lm-ma-es");
        let mixed = |budget| {
            let space = Space::new(["x:0..1", "n:1..9 int"].map(|d| d.parse().unwrap())).unwrap();
            Auto::default().choose(&space, budget).0.name()
        };
        assert_eq!((mixed(39), mixed(40)), ("one-plus-one", "cma-es"));
    }
}
