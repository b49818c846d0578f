//! Randomness of a study: a pure function of (seed, generation, candidate, element).

use onward_base::noise::{Family, Noise, Role, RunKey, TensorKey};

/// The random numbers of one generation.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    key: TensorKey,
    generation: u32,
}

impl Draws {
    /// The draws of one generation (counted from 0) of the study with this seed.
    pub fn new(seed: u64, generation: u32) -> Self {
        Self::of(&RunKey::from_seed(seed)).at(generation)
    }

    /// The random numbers of the first generation under a run's key.
    pub fn of(key: &RunKey) -> Self {
        Self { key: key.tensor(Role::Candidate, "study"), generation: 0 }
    }

    /// The random numbers of another generation of the same study.
    #[must_use]
    pub fn at(self, generation: u32) -> Self {
        Self { generation, ..self }
    }

    fn noise(self, candidate: usize) -> Noise {
        self.key.at(self.generation, candidate as u32)
    }

    /// Independent standard normal numbers: elements `first .. first + out.len()` of a candidate's row. Their grain is that
    /// of f32, far below what a search step resolves.
    pub fn normal(self, candidate: usize, first: usize, out: &mut [f64]) {
        self.fill(Family::Normal, candidate, first, out);
    }

    /// Independent signs, ±1.
    pub fn signs(self, candidate: usize, out: &mut [f64]) {
        self.fill(Family::Sign, candidate, 0, out);
    }

    /// A point uniform on the unit sphere, from the same elements as [`Draws::normal`].
    pub fn sphere(self, candidate: usize, first: usize, out: &mut [f64]) {
        self.normal(candidate, first, out);
        let length = out.iter().map(|z| z * z).sum::<f64>().sqrt();
        // All zero has no chance worth a better answer than some unit vector.
        match out.first_mut() {
            Some(z) if length == 0.0 => *z = 1.0,
            _ => out.iter_mut().for_each(|z| *z /= length),
        }
    }

    /// A number uniform in [0, 1). It shares words with normal elements near `element`: use one or the other.
    pub fn uniform(self, candidate: usize, element: usize) -> f64 {
        let words = self.noise(candidate).words(element as u64 / 4);
        f64::from(words[element % 4]) / 4_294_967_296.0
    }

    fn fill(self, family: Family, candidate: usize, first: usize, out: &mut [f64]) {
        let mut buffer = [0f32; 64];
        let noise = self.noise(candidate);
        for (part, out) in out.chunks_mut(buffer.len()).enumerate() {
            let buffer = &mut buffer[..out.len()];
            noise.fill(family, (first + 64 * part) as u64, buffer);
            out.iter_mut().zip(buffer).for_each(|(o, z)| *o = f64::from(*z));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_they_should_and_names_of_their_own() {
        let draws = Draws::new(3, 7);
        let mut z = vec![0.0; 20_000];
        draws.normal(5, 0, &mut z);
        let moment = |p: i32| z.iter().map(|z| z.powi(p)).sum::<f64>() / z.len() as f64;
        assert!(moment(1).abs() < 0.03 && (moment(2) - 1.0).abs() < 0.04 && (moment(4) - 3.0).abs() < 0.2);
        let mean = (0..20_000).map(|e| draws.uniform(1, e)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let mut part = [0.0; 10];
        draws.normal(5, 100, &mut part);
        assert_eq!(part[..], z[100..110], "an element is the same however it is asked for");
        draws.at(8).normal(5, 100, &mut part);
        assert_ne!(part[..], z[100..110]);
        draws.sphere(0, 0, &mut part);
        assert!((part.iter().map(|z| z * z).sum::<f64>() - 1.0).abs() < 1e-14);
    }
}
