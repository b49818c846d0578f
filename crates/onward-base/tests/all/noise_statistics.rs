//! The noise is as random as it says. Seeds are fixed, so no test is ever red by chance; a bound of 5 standard deviations
//! would alarm falsely for 6·10⁻⁷ of all seeds, 6 for 2·10⁻⁹.

use onward_base::noise::{Family, Noise, Role, RunKey};
use std::collections::HashSet;

const FAMILIES: [Family; 3] = [Family::Sign, Family::Binomial, Family::Normal];

fn take(noise: Noise, family: Family, n: usize) -> Vec<f64> {
    let mut z = vec![0.0; n];
    noise.fill(family, 0, &mut z);
    z.iter().map(|v| f64::from(*v) * f64::from(family.scale())).collect()
}

/// The first eight moments of an element of unit variance, from the distribution itself.
fn moments(family: Family) -> [f64; 9] {
    std::array::from_fn(|k| match family {
        Family::Sign => f64::from(u8::from(k % 2 == 0)),
        Family::Normal => {
            if k % 2 == 0 {
                (1..k).step_by(2).product::<usize>() as f64
            } else {
                0.0
            }
        }
        Family::Binomial => {
            let mut choose = 1.0;
            (0..=16).fold(0.0, |sum, ones| {
                let term = choose / 65_536.0 * ((f64::from(ones) - 8.0) / 2.0).powi(k as i32);
                choose *= f64::from(16 - ones) / f64::from(ones + 1);
                sum + term
            })
        }
    })
}

#[test]
fn moments_are_those_of_the_distributions() {
    assert!((moments(Family::Binomial)[4] - 2.875).abs() < 1e-12);
    let n = 1 << 20;
    for family in FAMILIES {
        let want = moments(family);
        for (seed, member) in [(1, 0), (2, 77)] {
            let z = take(RunKey::from_seed(seed).tensor(Role::Dense, "fc1.weight").at(3, member), family, n);
            for k in 1..=4 {
                let found = z.iter().map(|v| v.powi(k as i32)).sum::<f64>() / n as f64;
                let deviation = ((want[2 * k] - want[k] * want[k]) / n as f64).sqrt();
                assert!(
                    (found - want[k]).abs() <= 5.0 * deviation + 1e-9,
                    "{family:?}, moment {k}: {found}, want {}",
                    want[k]
                );
            }
        }
    }
}

/// Noise that differs in one thing only from its neighbours in the list.
fn neighbours() -> Vec<(String, Noise)> {
    let at = |seed: u64, role, name: &str, step, member| {
        let what = format!("seed {seed}, {role:?}, {name}, step {step}, member {member}");
        (what, RunKey::from_seed(seed).tensor(role, name).at(step, member))
    };
    let mut all = Vec::new();
    all.extend((0..4).map(|m| at(1, Role::Dense, "fc1.weight", 0, m)));
    all.extend((1..4).map(|s| at(1, Role::Dense, "fc1.weight", s, 0)));
    all.extend(
        ["fc2.weight", "fc1.bias", "fc1.weigh", "fc1.weight2"].map(|name| at(1, Role::Dense, name, 0, 0)),
    );
    all.extend([Role::Left, Role::Right, Role::Activation].map(|role| at(1, role, "fc1.weight", 0, 0)));
    all.extend([0, 2, 3, 1 << 32, u64::MAX].map(|seed| at(seed, Role::Dense, "fc1.weight", 0, 0)));
    all
}

#[test]
fn neighbours_are_independent() {
    let n = 1 << 15;
    for family in FAMILIES {
        let fourth = moments(family)[4];
        let all: Vec<(String, Vec<f64>)> =
            neighbours().into_iter().map(|(what, noise)| (what, take(noise, family, n))).collect();
        for (i, (a_name, a)) in all.iter().enumerate() {
            for (b_name, b) in &all[..i] {
                // The products have mean 0 and variance 1; those of squares less 1 variance (μ₄ − 1)².
                let product = a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (n as f64).sqrt();
                let squares = a.iter().zip(b).map(|(a, b)| (a * a - 1.0) * (b * b - 1.0)).sum::<f64>()
                    / (n as f64).sqrt();
                assert!(
                    product.abs() < 5.0,
                    "{family:?}: {a_name} and {b_name}: {product} standard deviations"
                );
                assert!(
                    squares.abs() <= 6.0 * (fourth - 1.0) + 1e-9,
                    "{family:?}: squares of {a_name} and {b_name}: {squares}"
                );
            }
        }
    }
}

#[test]
fn elements_of_one_tensor_are_independent() {
    let n = 1 << 18;
    for family in FAMILIES {
        let z = take(RunKey::from_seed(4).tensor(Role::Left, "w").at(0, 0), family, n);
        for lag in [1, 2, 3, 4, 7, 8, 16, 31, 32, 64, 128, 256, 2048] {
            let pairs = (n - lag) as f64;
            let found = z.iter().zip(&z[lag..]).map(|(a, b)| a * b).sum::<f64>() / pairs.sqrt();
            assert!(found.abs() < 5.0, "{family:?}, lag {lag}: {found} standard deviations");
        }
    }
}

#[test]
fn every_bit_of_a_block_is_fair() {
    let (blocks, period) = (1 << 13, 128);
    let z = take(RunKey::from_seed(9).tensor(Role::Dense, "w").at(5, 6), Family::Sign, blocks * period);
    for bit in 0..period {
        let sum = z.iter().skip(bit).step_by(period).sum::<f64>() / (blocks as f64).sqrt();
        assert!(sum.abs() < 5.0, "bit {bit}: {sum} standard deviations");
    }
}

/// With additive seeds member `p`'s noise on one tensor is member `p + 1`'s on the tensor before, or step `t`'s is `t + 1`'s.
/// Here no block of 128 bits comes twice anywhere; by chance that would happen once in 10²⁹ such tests.
#[test]
fn no_noise_is_another_noise_shifted() {
    let (roles, mut seen, mut count) = ([Role::Dense, Role::Left, Role::Right], HashSet::new(), 0);
    for seed in 0..3 {
        for role in roles {
            for tensor in 0..4 {
                let key = RunKey::from_seed(seed).tensor(role, &format!("fc{tensor}.weight"));
                for (step, member, block) in (0..8 * 8 * 16u32).map(|i| (i / 128, i / 16 % 8, i % 16)) {
                    seen.insert(key.at(step, member).words(u64::from(block)));
                    count += 1;
                }
            }
        }
    }
    assert_eq!(seen.len(), count);
}
