//! Second moments of `⟨g, Z⟩ Z`, what one difference along a random direction tells of a gradient: `s(d)` in every bound.

use super::lab::{dot, square};
use super::{Check, Claim, Evidence, Finding, Lab, Measured};
use crate::Result;
use onward::noise::{Family, Noise, Role, RunKey};
use onward::study::Draws;

pub(crate) const CHECKS: [Check; 2] = [
    Check {
        name: "second moments of directions",
        source: "Duchi, Jordan, Wainwright and Wibisono 2015, assumption C; Nesterov and Spokoiny 2017",
        statement: "E‖⟨g,Z⟩Z‖² = (d + κ − 1)‖g‖² for independent coordinates of fourth moment κ, d‖g‖² on the sphere \
                    of radius √d, and the product of both factors for a rank-one matrix",
        run: |lab| Moments::default().outcome(lab),
    },
    Check {
        name: "slope along a random direction",
        source: "Bergou, Gorbunov and Richtárik 2020; Boucherouite et al. 2024, assumption 3",
        statement: "E|⟨g,s⟩| = μ_D ‖g‖ with μ_D = Γ(d/2)/(√π Γ((d+1)/2)) on the unit sphere",
        run: |lab| Slopes::default().outcome(lab),
    },
];

/// The number of coordinates, and what noise is multiplied by.
struct Moments {
    d: usize,
    scale: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { d: 64, scale: 1.0 }
    }
}

/// The fourth moment of an element of unit variance.
pub(crate) fn fourth(family: Family) -> f64 {
    match family {
        Family::Sign => 1.0,
        Family::Binomial => 2.875,
        Family::Normal => 3.0,
    }
}

pub(crate) fn name(family: Family) -> &'static str {
    match family {
        Family::Sign => "signs",
        Family::Binomial => "binomial",
        Family::Normal => "normal",
    }
}

pub(crate) const FAMILIES: [Family; 3] = [Family::Sign, Family::Binomial, Family::Normal];

/// A gradient of length 1 with coordinates of all sizes.
fn gradient(d: usize) -> Vec<f64> {
    let raw: Vec<f64> = (1..=d).map(|i| 1.0 / (i as f64).sqrt()).collect();
    let length = square(&raw).sqrt();
    raw.iter().map(|v| v / length).collect()
}

/// `n` elements of unit variance.
fn elements(noise: Noise, family: Family, n: usize) -> Vec<f64> {
    let mut z = vec![0.0; n];
    noise.fill(family, 0, &mut z);
    z.iter().map(|v| f64::from(*v) * f64::from(family.scale())).collect()
}

impl Moments {
    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let (blocks, within) = lab.pick((20, 0.08), (400, 0.02));
        let mut findings = Vec::new();
        let mut exactly = |what: String, value: f64, samples: Vec<Vec<f64>>| {
            let claim = Claim::Exactly { value, within };
            findings.push(Finding::new(what, claim, Measured::over(&samples.concat())));
        };
        let (d, g) = (self.d as f64, gradient(self.d));
        for family in FAMILIES {
            let of = |seed, i| {
                let noise = RunKey::from_seed(seed).tensor(Role::Dense, "g").at(0, i);
                let z = elements(noise, family, self.d);
                self.scale * dot(&g, &z).powi(2) * square(&z)
            };
            let value = d + fourth(family) - 1.0;
            exactly(format!("{}, d = {d}", name(family)), value, self.samples(lab, blocks, of)?);
        }
        let sphere = |seed, i| {
            let u = sphere(seed, i, self.d);
            self.scale * d * d * dot(&g, &u).powi(2)
        };
        exactly(format!("sphere, d = {d}"), d, self.samples(lab, blocks, sphere)?);
        let signs = |seed, i| {
            let mut z = vec![0.0; self.d];
            Draws::new(seed, i).signs(0, &mut z);
            self.scale * dot(&g, &z).powi(2) * z.iter().fold(0.0, |m: f64, z| m.max(z.abs())).powi(2)
        };
        exactly(format!("signs, largest coordinate, d = {d}"), 1.0, self.samples(lab, blocks, signs)?);
        for family in FAMILIES {
            let value = (d + fourth(family) - 1.0) * (d / 2.0 + fourth(family) - 1.0);
            let samples = self.samples(lab, blocks, |seed, i| self.rank_one(family, seed, i))?;
            exactly(format!("rank one, {}, {d} × {}", name(family), d / 2.0), value, samples);
        }
        Ok(Evidence { findings, figure: None })
    }

    fn samples(
        &self,
        lab: &Lab,
        blocks: usize,
        of: impl Fn(u64, u32) -> f64 + Sync,
    ) -> Result<Vec<Vec<f64>>> {
        lab.repeat(blocks, |seed| Ok((0..1000).map(|i| of(seed, i)).collect()))
    }

    /// `‖⟨G, abᵀ⟩ abᵀ‖²` for `G = g hᵀ + h' g'ᵀ` of Frobenius norm 1.
    fn rank_one(&self, family: Family, seed: u64, i: u32) -> f64 {
        let key = RunKey::from_seed(seed);
        let (m, n) = (self.d, self.d / 2);
        let a = elements(key.tensor(Role::Left, "g").at(0, i), family, m);
        let b = elements(key.tensor(Role::Right, "g").at(0, i), family, n);
        // Two rows of orthogonal outer products: the gradient of a layer is not of rank one.
        let (g, h) = (gradient(m), gradient(n));
        let turned =
            |v: &[f64]| -> Vec<f64> { v.chunks_exact(2).flat_map(|pair| [-pair[1], pair[0]]).collect() };
        let along = (dot(&a, &g) * dot(&b, &h) + dot(&a, &turned(&g)) * dot(&b, &turned(&h))) / 2f64.sqrt();
        self.scale * along * along * square(&a) * square(&b)
    }
}

fn sphere(seed: u64, i: u32, d: usize) -> Vec<f64> {
    let mut u = vec![0.0; d];
    Draws::new(seed, i).sphere(0, 0, &mut u);
    u
}

/// `Γ(d/2) / (√π Γ((d+1)/2))`: the mean of `|⟨g, s⟩|` over unit vectors s, for a unit vector g.
pub(crate) fn mean_slope(d: usize) -> f64 {
    // With r(d) = Γ(d/2)/Γ((d+1)/2): r(1) = √π and r(d + 1) = 2 / (d r(d)).
    let root = std::f64::consts::PI.sqrt();
    (1..d).fold(root, |r, d| 2.0 / (d as f64 * r)) / root
}

/// Numbers of coordinates, and a power that the length of directions grows with.
struct Slopes {
    dimensions: [usize; 4],
    power: f64,
}

impl Default for Slopes {
    fn default() -> Self {
        Self { dimensions: [2, 10, 50, 200], power: 0.0 }
    }
}

impl Slopes {
    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let (blocks, within) = lab.pick((10, 0.03), (100, 0.01));
        let mut findings = Vec::new();
        for d in self.dimensions {
            let g = gradient(d);
            let length = (d as f64).powf(self.power);
            let block = |seed| -> Result<Vec<f64>> {
                Ok((0..1000).map(|i| (length * dot(&g, &sphere(seed, i, d))).abs()).collect())
            };
            let samples = lab.repeat(blocks, block)?.concat();
            let claim = Claim::Exactly { value: mean_slope(d), within };
            findings.push(Finding::new(format!("d = {d}"), claim, Measured::over(&samples)));
        }
        Ok(Evidence { findings, figure: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    const LAB: Lab = Lab { seed: 1, effort: Effort::Quick };

    #[test]
    fn moments_are_exact_and_noise_of_another_size_is_noticed() {
        let found = Moments::default().outcome(&LAB).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let wrong = Moments { scale: 1.2, ..Moments::default() }.outcome(&LAB).unwrap();
        assert!(wrong.findings.iter().all(|f| !f.holds()), "{:#?}", wrong.findings);
    }

    #[test]
    fn slopes_are_exact_and_directions_of_another_length_are_noticed() {
        let found = Slopes::default().outcome(&LAB).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let wrong = Slopes { power: 0.1, ..Slopes::default() }.outcome(&LAB).unwrap();
        assert!(wrong.findings.iter().all(|f| !f.holds()), "{:#?}", wrong.findings);
    }

    #[test]
    fn the_mean_slope_is_that_of_the_circle_and_the_ball() {
        // d = 2: the mean of |cos|; d = 3: of a number uniform in 0..1.
        assert!((mean_slope(2) - 2.0 / std::f64::consts::PI).abs() < 1e-14);
        assert!((mean_slope(3) - 0.5).abs() < 1e-14);
        assert!((mean_slope(1000) / (2.0 / (std::f64::consts::PI * 1000.0)).sqrt() - 1.0).abs() < 1e-3);
    }
}
