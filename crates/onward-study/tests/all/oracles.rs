//! Evaluations that strategies need on functions whose numbers are known.

use onward_study::{
    Candidate, CmaEs, GldFast, GldSearch, Goal, NesterovSpokoiny, OnePlusOne, Radii, Restarts, Smtp, Snes,
    Space, Stp, StrategyKind, Study,
};

/// `½ Σ h_i x_i²` with h evenly spaced from 1 to 8.
fn quadratic(c: &Candidate) -> f64 {
    let last = (c.values.len() - 1) as f64;
    c.numbers().enumerate().map(|(i, x)| 0.5 * (1.0 + 7.0 * i as f64 / last) * x * x).sum()
}

/// Evaluations until the loss is below `target`.
fn evaluations(
    method: &StrategyKind,
    space: &Space,
    f: impl Fn(&Candidate) -> f64,
    target: f64,
    seed: u64,
) -> u64 {
    let mut study = Study::new(space.clone(), Goal::Minimize, 400_000, seed, method.clone()).unwrap();
    while let Some(c) = study.ask() {
        let loss = f(&c);
        study.tell(c.id, loss).unwrap();
        if loss <= target {
            break;
        }
    }
    study.told()
}

/// The median over `runs` seeds of evaluations to `f/f₀ ≤ 1e-6`, from `(1, …, 1)/√n`.
fn median_on_quadratic(method: &StrategyKind, n: usize, scale: f64, runs: u64) -> u64 {
    let root = (n as f64).sqrt();
    let space = Space::reals(n, 1.0 / root, scale).unwrap();
    let at_start = 0.5 * (1..=n).map(|i| 1.0 + 7.0 * (i - 1) as f64 / (n - 1) as f64).sum::<f64>() / n as f64;
    let mut all: Vec<u64> =
        (0..runs).map(|seed| evaluations(method, &space, quadratic, 1e-6 * at_start, seed)).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// The scale of the space for n dimensions.
type Scale = fn(f64) -> f64;

/// The method, the scale, and a reference implementation's medians for n = 10, 50, 100.
fn table() -> Vec<(StrategyKind, Scale, [u64; 3])> {
    let short = |n: f64| 0.3 / n.sqrt();
    let unit = |_: f64| 1.0;
    // Radii are in units of the scale: R = √8 and r = 1e-4 are lengths.
    let search = |steps| {
        let largest = Some(8f64.sqrt());
        StrategyKind::GldSearch(GldSearch {
            largest,
            smallest: 1e-4 / 8f64.sqrt(),
            steps,
            ..GldSearch::default()
        })
    };
    let gaps = NesterovSpokoiny { smoothness: Some(8.0), ..NesterovSpokoiny::default() };
    vec![
        (StrategyKind::Stp(Stp::default()), short, [487, 2_375, 4_951]),
        (StrategyKind::OnePlusOne(OnePlusOne::default()), short, [507, 2_700, 5_217]),
        (StrategyKind::Smtp(Smtp::default()), short, [805, 3_472, 7_079]),
        (StrategyKind::Snes(Snes::default()), short, [1_000, 5_775, 12_444]),
        (StrategyKind::NesterovSpokoiny(gaps), unit, [4_444, 15_094, 28_864]),
        (search(Radii::Sphere), unit, [2_913, 17_089, 34_593]),
        (search(Radii::Gaussian), unit, [3_313, 17_649, 34_593]),
        (
            StrategyKind::GldFast(GldFast { largest: Some(8f64.sqrt()), ..GldFast::default() }),
            unit,
            [15_616, 97_264, 197_641],
        ),
    ]
}

#[test]
fn evaluations_on_a_quadratic_are_those_of_the_reference_or_fewer() {
    let mut complaints = Vec::new();
    for (method, scale, reference) in table() {
        let found: Vec<u64> = [10usize, 50, 100]
            .into_iter()
            .zip(reference)
            .map(|(n, evaluations)| {
                // Long runs hardly vary.
                let runs = if evaluations > 10_000 { 3 } else { 11 };
                median_on_quadratic(&method, n, scale(n as f64), runs)
            })
            .collect();
        println!("{} {found:?}, reference {reference:?}", method.name());
        if found.iter().zip(reference).any(|(f, r)| *f as f64 > 1.1 * r as f64) {
            complaints.push(format!("{}: {found:?}, reference {reference:?}", method.name()));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn gld_needs_no_more_evaluations_in_more_dimensions_if_the_loss_lives_in_ten() {
    // ½ Σ h_i (q_i·x)² with ten orthogonal directions q: blocks of equal coordinates.
    let block = |c: &Candidate| {
        let width = c.values.len() / 10;
        let x: Vec<f64> = c.numbers().collect();
        let along = x.chunks(width).map(|b| b.iter().sum::<f64>() / (width as f64).sqrt());
        along.enumerate().map(|(i, a)| 0.5 * (1.0 + 7.0 * i as f64 / 9.0) * a * a).sum::<f64>()
    };
    let median = |n: usize| {
        let space = Space::reals(n, 1.0 / (n as f64).sqrt(), 1.0).unwrap();
        let largest = Some(8f64.sqrt());
        let steps = Radii::Gaussian;
        let smallest = 1e-3 / 8f64.sqrt();
        let method = GldSearch { largest, smallest, steps, effective: Some(10.0) };
        // f₀ = ½ mean(h).
        let target = 1e-4 * 0.5 * 4.5;
        let mut all =
            [1, 2, 3].map(|seed| evaluations(&StrategyKind::GldSearch(method), &space, block, target, seed));
        all.sort_unstable();
        all[1]
    };
    let found = [10, 100, 1000].map(median);
    println!("{found:?}");
    assert!(found.iter().all(|f| *f < 2_400), "{found:?}");
}

#[test]
fn cma_es_is_blind_to_rotation_and_solves_what_is_ill_conditioned() {
    let method = StrategyKind::CmaEs(CmaEs { restarts: Restarts::None, ..CmaEs::default() });
    let space = Space::reals(6, 1.0, 2.0).unwrap();
    let ellipsoid =
        |x: &[f64]| x.iter().enumerate().map(|(i, x)| 10f64.powf(1.2 * i as f64) * x * x).sum::<f64>();
    let plain = |c: &Candidate| ellipsoid(&c.numbers().collect::<Vec<_>>());
    // A reflection through a general direction.
    let turned = |c: &Candidate| {
        let x: Vec<f64> = c.numbers().collect();
        let v = [1.0, -2.0, 0.5, 3.0, 1.5, -1.0];
        let square: f64 = v.iter().map(|v| v * v).sum();
        let along: f64 = 2.0 * x.iter().zip(&v).map(|(x, v)| x * v).sum::<f64>() / square;
        ellipsoid(&x.iter().zip(&v).map(|(x, v)| x - along * v).collect::<Vec<_>>())
    };
    let median = |f: &dyn Fn(&Candidate) -> f64| {
        let mut all: Vec<u64> = (0..9).map(|seed| evaluations(&method, &space, f, 1e-8, seed)).collect();
        all.sort_unstable();
        all[4] as f64
    };
    let (plain, turned) = (median(&plain), median(&turned));
    assert!(plain < 2_100.0 && (0.8..1.25).contains(&(turned / plain)), "{plain} {turned}");
}

#[test]
fn restarts_find_the_optimum_among_many() {
    // Rastrigin's function: 10 + x² − 10 cos 2πx in each coordinate.
    let rastrigin = |c: &Candidate| -> f64 {
        c.numbers().map(|x| 10.0 + x * x - 10.0 * (std::f64::consts::TAU * x).cos()).sum()
    };
    let solved = |restarts: Restarts| {
        let method = StrategyKind::CmaEs(CmaEs { restarts, ..CmaEs::default() });
        let space = Space::reals(4, 2.5, 1.5).unwrap();
        (0..5)
            .filter(|seed| {
                let mut study =
                    Study::new(space.clone(), Goal::Minimize, 40_000, *seed, method.clone()).unwrap();
                while let Some(c) = study.ask() {
                    study.tell(c.id, rastrigin(&c)).unwrap();
                }
                study.best().unwrap().loss < 1e-8
            })
            .count()
    };
    let found = [Restarts::None, Restarts::Ipop, Restarts::Bipop].map(solved);
    assert!(found[0] <= 2 && found[1] >= 4 && found[2] >= 4, "{found:?}");
}
