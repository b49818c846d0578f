//! What every strategy of a study has to do: make progress, keep its budget, answer to losses by name and to nothing else.

use onward_study::{
    Auto, Candidate, Dimension, Estimator, Goal, Level, Mirror, MirrorDescent, NesterovSpokoiny,
    RelativeLoss, Scheme, Space, Stop, StrategyKind, Study, StudyRecord,
};

/// Every strategy with its defaults, and those forms of them that tests should see too.
fn registry() -> Vec<StrategyKind> {
    let mut all = StrategyKind::all();
    all.push(StrategyKind::Auto(Auto { noisy: true, jobs: 1 }));
    let two_point = |estimator, mirror| {
        StrategyKind::MirrorDescent(MirrorDescent { estimator, mirror, ..MirrorDescent::default() })
    };
    all.push(two_point(Estimator::Smooth, Mirror::Euclidean));
    all.push(two_point(Estimator::NonSmooth, Mirror::Euclidean));
    all.push(two_point(Estimator::Symmetric, Mirror::Box));
    all.push(two_point(Estimator::Symmetric, Mirror::L1Ball { radius: 6.0 }));
    all.push(StrategyKind::NesterovSpokoiny(NesterovSpokoiny {
        scheme: Scheme::Accelerated,
        ..NesterovSpokoiny::default()
    }));
    for level in [Level::Accept, Level::Pair, Level::Momentum, Level::Sampler] {
        all.push(StrategyKind::RelativeLoss(RelativeLoss { level, ..RelativeLoss::default() }));
    }
    all
}

/// Those that learn from losses.
fn searching() -> impl Iterator<Item = StrategyKind> {
    registry().into_iter().filter(|method| !method.is_design())
}

fn begin(method: &StrategyKind, budget: u64, seed: u64) -> Study {
    Study::new(Space::reals(5, 1.0, 0.5).unwrap(), Goal::Minimize, budget, seed, method.clone()).unwrap()
}

fn sphere(c: &Candidate) -> f64 {
    c.numbers().map(|x| (x - 0.25) * (x - 0.25)).sum()
}

/// Runs to the end; the record of what happened.
fn run(mut study: Study, f: impl Fn(&Candidate) -> f64) -> Study {
    while let Some(c) = study.ask() {
        study.tell(c.id, f(&c)).unwrap();
    }
    study
}

/// All candidates of a run, to the bit.
fn trace(mut study: Study, f: impl Fn(&Candidate) -> f64) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(c) = study.ask() {
        all.extend(c.numbers().map(f64::to_bits));
        study.tell(c.id, f(&c)).unwrap();
    }
    all
}

/// Fails with all complaints at once.
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn all_make_progress_on_a_sphere() {
    let mut complaints = Vec::new();
    for method in searching() {
        let study = run(begin(&method, 3000, 1), sphere);
        let first = sphere(&begin(&method, 3000, 1).ask().unwrap());
        let best = study.best().unwrap().loss;
        let centre = study.centre().map(|c| c.iter().map(|x| (x.number() - 0.25).powi(2)).sum::<f64>());
        if best > 1e-2 * first || centre.is_some_and(|c| c > 2e-2 * first) {
            complaints.push(format!("{method:?}: from {first} to {best}, centre {centre:?}"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn budgets_are_exact() {
    for method in registry() {
        for budget in [64, 101, 257] {
            let study = run(begin(&method, budget, 1), sphere);
            assert_eq!(study.told(), budget, "{}: {:?}", method.name(), study.stopped());
            assert!(study.stopped().is_some());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    for method in registry() {
        let of = |seed| trace(begin(&method, 300, seed), sphere);
        assert_eq!(of(1), of(1), "{}", method.name());
        assert_ne!(of(1), of(2), "{}", method.name());
    }
}

#[test]
fn the_order_of_losses_and_the_number_of_workers_change_nothing() {
    for method in registry() {
        let one = trace(begin(&method, 300, 1), sphere);
        for workers in [2, 4, 100] {
            let (mut study, mut waiting, mut all) = (begin(&method, 300, 1), Vec::new(), Vec::new());
            loop {
                while waiting.len() < workers {
                    let Some(c) = study.ask() else { break };
                    all.extend(c.numbers().map(f64::to_bits));
                    waiting.push(c);
                }
                // The middle one is done first.
                if waiting.is_empty() {
                    break;
                }
                let c = waiting.remove(waiting.len() / 2);
                study.tell(c.id, sphere(&c)).unwrap();
            }
            assert!(one == all, "{} with {workers} workers", method.name());
        }
    }
}

#[test]
fn studies_side_by_side_do_not_affect_each_other() {
    for method in registry() {
        let alone = trace(begin(&method, 200, 1), sphere);
        let (mut a, mut b, mut all) = (begin(&method, 200, 1), begin(&method, 200, 2), Vec::new());
        while let Some(c) = a.ask() {
            if let Some(other) = b.ask() {
                b.tell(other.id, -sphere(&other)).unwrap();
            }
            all.extend(c.numbers().map(f64::to_bits));
            a.tell(c.id, sphere(&c)).unwrap();
        }
        assert!(alone == all, "{}", method.name());
    }
}

#[test]
fn losses_that_are_not_finite_are_counted_and_do_not_spread() {
    let mut complaints = Vec::new();
    for method in searching() {
        // A cliff beside the optimum, and now and then an accident.
        let broken = |c: &Candidate| match c.numbers().next().unwrap() {
            x if x < 0.0 => f64::NAN,
            _ if c.id % 29 == 11 => f64::INFINITY,
            _ if c.id % 31 == 17 => f64::NEG_INFINITY,
            _ => sphere(c),
        };
        let study = run(begin(&method, 3000, 1), broken);
        let best = study.best().unwrap().loss;
        let not_finite = study.record().told.iter().filter(|t| t.1.is_none()).count() as u64;
        let centre_fits = study.centre().is_none_or(|c| c.iter().all(|x| x.number().is_finite()));
        if best > 0.05 || !centre_fits || study.non_finite() != not_finite || not_finite < study.told() / 30 {
            complaints
                .push(format!("{method:?}: {best}, {not_finite} not finite, centre {:?}", study.centre()));
        }
        let study = run(begin(&method, 300, 1), |_| f64::NAN);
        assert_eq!((study.best(), study.non_finite()), (None, study.told()), "{method:?}");
    }
    assert_none(&complaints);
}

#[test]
fn resuming_after_any_loss_changes_nothing() {
    for method in registry() {
        let whole = run(begin(&method, 230, 3), sphere);
        for left_at in [1, 50, 229] {
            let mut part = begin(&method, 230, 3);
            for _ in 0..left_at {
                let c = part.ask().unwrap();
                part.tell(c.id, sphere(&c)).unwrap();
            }
            let record: StudyRecord =
                serde_json::from_str(&serde_json::to_string(part.record()).unwrap()).unwrap();
            let part = run(Study::resume(record).unwrap(), sphere);
            assert!(whole.record() == part.record(), "{} left at {left_at}", method.name());
        }
    }
}

#[test]
fn rank_based_strategies_are_blind_to_increasing_transforms() {
    for method in registry().iter().filter(|m| m.is_rank_based()) {
        let plain = trace(begin(method, 400, 1), sphere);
        let bent = trace(begin(method, 400, 1), |c| -(-sphere(c).sqrt()).exp());
        assert!(plain == bent, "{}", method.name());
    }
}

/// A name, and the loss of a candidate.
type Extreme = (&'static str, fn(&Candidate) -> f64);

/// What losses can be at their worst.
fn extremes() -> Vec<Extreme> {
    vec![
        ("the same", |_| 7.0),
        ("huge", |c| 1e300 * sphere(c).min(1e6)),
        ("tiny", |c| 1e-300 * sphere(c).min(1e6)),
        ("none", |_| f64::NAN),
        ("falling without end", |c| -(c.id as f64)),
        ("falling by shares", |c| 1e300 * (-(c.id as f64)).exp2()),
        ("a cliff to nowhere", |c| if c.id % 3 == 0 { f64::INFINITY } else { -sphere(c) }),
        ("any bits", |c| f64::from_bits((c.id + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        ("both ends", |c| if c.id % 2 == 0 { f64::MAX } else { f64::MIN }),
    ]
}

#[test]
fn f14_candidates_are_finite_whatever_the_losses() {
    let mut complaints = Vec::new();
    let boxed = || Space::new(["x:-5..5".parse::<Dimension>().unwrap()]).unwrap();
    for method in registry() {
        for (space, of) in [(boxed(), "box"), (Space::reals(1, 0.5, 1.0).unwrap(), "reals")] {
            for (name, loss) in extremes() {
                // A simplex of one coordinate holds one point, and a ball may be too small for the start.
                let Ok(mut study) = Study::new(space.clone(), Goal::Minimize, 3000, 1, method.clone()) else {
                    continue;
                };
                while let Some(c) = study.ask() {
                    if c.numbers().any(|x| !x.is_finite()) {
                        complaints.push(format!("{} in {of}, {name}: {:?}", method.name(), c.values));
                        break;
                    }
                    study.tell(c.id, loss(&c)).unwrap();
                }
                let centre = study.centre().is_none_or(|c| c.iter().all(|x| x.number().is_finite()));
                if !centre && study.stopped() != Some(Stop::Unbounded) {
                    complaints.push(format!(
                        "{} in {of}, {name}: centre {:?}",
                        method.name(),
                        study.centre()
                    ));
                }
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn f14_equal_losses_do_not_drive_candidates_into_a_corner() {
    let mut complaints = Vec::new();
    for (d, budget) in [(5, 299), (1, 1260)] {
        let all: Vec<Dimension> = (0..d).map(|i| format!("x{i}:-5..5").parse().unwrap()).collect();
        for method in registry() {
            let Ok(mut study) =
                Study::new(Space::new(all.clone()).unwrap(), Goal::Minimize, budget, 1, method)
            else {
                continue;
            };
            let (mut asked, mut corners) = (0, 0);
            while let Some(c) = study.ask() {
                asked += 1;
                corners += usize::from(c.numbers().all(|x| x.abs() == 5.0));
                study.tell(c.id, 7.0).unwrap();
            }
            // The longest of gld-search's 17 fixed steps leads from the middle to the ends of one dimension.
            if corners > asked / 10 {
                complaints.push(format!("{}, {d} dimensions: {corners} of {asked}", study.method().name()));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn f21_the_size_of_losses_changes_no_candidate() {
    for method in registry() {
        let plain = trace(begin(&method, 600, 1), sphere);
        for exponent in [-565, -40, 40, 530] {
            let scaled = trace(begin(&method, 600, 1), |c| sphere(c) * 2f64.powi(exponent));
            assert!(plain == scaled, "{method:?} with losses times 2^{exponent}");
        }
    }
}

#[test]
fn f21_the_noise_of_a_batch_is_seen_at_any_size() {
    let of = |scale: f64| {
        let method =
            StrategyKind::RelativeLoss(RelativeLoss { level: Level::Pair, ..RelativeLoss::default() });
        let noisy = |c: &Candidate| {
            let noise = ((c.generation * 7919) % 101) as f64 / 101.0 - 0.5;
            scale * c.numbers().map(|x| (x - 0.2 * noise).powi(2)).sum::<f64>()
        };
        run(begin(&method, 3000, 1), noisy).diagnosis().unwrap()
    };
    let plain = of(1.0);
    for exponent in [-500, 500] {
        let scale = 2f64.powi(exponent);
        let seen = of(scale);
        assert_eq!((seen.noise, seen.decrease), (plain.noise * scale, plain.decrease * scale));
    }
}

#[test]
fn f14_settings_whose_candidates_are_no_numbers_end_as_unbounded() {
    for json in [
        r#"{"name": "one-plus-one", "step": 1e308}"#,
        r#"{"name": "gld-search", "largest": 1e308}"#,
        r#"{"name": "open-ai-es", "sigma": 1e308}"#,
    ] {
        let method: StrategyKind = serde_json::from_str(json).unwrap();
        let space = Space::reals(3, 1.0, 1e3).unwrap();
        // The first candidate of some is the start itself; then the study ends before the second.
        match Study::new(space, Goal::Minimize, 60, 1, method) {
            Ok(study) => assert_eq!(run(study, sphere).stopped(), Some(Stop::Unbounded), "{json}"),
            Err(error) => assert!(error.to_string().contains("first candidates are finite"), "{error}"),
        }
    }
}

#[test]
fn mixed_spaces_are_solved() {
    let space = || {
        let text = ["x:-4..4", "lr:1e-5..1e-1 log", "n:1..64 int", "act:{relu,tanh,gelu}"];
        Space::new(text.iter().map(|t| t.parse().unwrap()).collect::<Vec<Dimension>>()).unwrap()
    };
    let loss = |c: &Candidate| {
        let v: Vec<f64> = c.numbers().collect();
        let wrong = if v[3] == 1.0 { 0.0 } else { 1.0 };
        (v[0] - 1.0).powi(2) + (v[1] / 1e-3).ln().powi(2) + (v[2] - 17.0).powi(2) / 50.0 + wrong
    };
    let mut complaints = Vec::new();
    for method in searching() {
        if !method.takes_steps() {
            let error = Study::new(space(), Goal::Minimize, 2000, 1, method).err().unwrap().to_string();
            assert!(error.contains("method.name: expected a strategy for whole numbers"), "{error}");
            assert!(error.ends_with("for dimension `n`"), "{error}");
            continue;
        }
        let mut losses: Vec<f64> = (0..5)
            .map(|seed| {
                let study = Study::new(space(), Goal::Minimize, 2000, seed, method.clone()).unwrap();
                run(study, loss).best().unwrap().loss
            })
            .collect();
        losses.sort_by(f64::total_cmp);
        if losses[2] > 0.2 {
            complaints.push(format!("{method:?}: {losses:?}"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn names_lead_back_to_methods_and_unknown_ones_are_refused() {
    for method in StrategyKind::all() {
        assert_eq!(StrategyKind::named(method.name()).unwrap(), method);
        let json = serde_json::to_string(&method).unwrap();
        assert_eq!(serde_json::from_str::<StrategyKind>(&json).unwrap(), method);
        assert!(json.contains(method.name()), "{json}");
    }
    let error = StrategyKind::named("adam").unwrap_err().to_string();
    assert!(
        error.starts_with("method: expected one of auto, cma-es") && error.ends_with("found `adam`"),
        "{error}"
    );
}

/// What each strategy's candidates hash to: where this changes, so must [`StudyRecord::VERSION`].
#[test]
fn candidates_are_those_of_this_version_to_the_bit() {
    let golden: std::collections::BTreeMap<String, String> =
        serde_json::from_str(include_str!("../../../../testdata/study-v5.json")).unwrap();
    let found: std::collections::BTreeMap<String, String> = StrategyKind::all()
        .iter()
        .map(|method| {
            let bytes: Vec<u8> =
                trace(begin(method, 600, 1), sphere).iter().flat_map(|b| b.to_le_bytes()).collect();
            (method.name().to_owned(), blake3::hash(&bytes).to_hex()[..16].to_owned())
        })
        .collect();
    assert_eq!(StudyRecord::VERSION, 5);
    assert!(golden == found, "{}", serde_json::to_string_pretty(&found).unwrap());
}
