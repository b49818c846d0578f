use super::*;

fn sphere(c: &Candidate) -> f64 {
    c.numbers().map(|x| x * x).sum()
}

fn study(budget: u64, seed: u64) -> Study {
    let space = Space::reals(4, 1.0, 0.5).unwrap();
    Study::new(space, Goal::Minimize, budget, seed, StrategyKind::named("cma-es").unwrap()).unwrap()
}

#[test]
fn wrong_tells_are_refused_and_change_nothing() {
    let mut study = study(100, 1);
    let first = study.ask().unwrap();
    let before = study.record().clone();
    for (id, found) in [(1, "not asked for"), (99, "not asked for"), (u64::MAX, "not asked for")] {
        let error = study.tell(id, 1.0).unwrap_err();
        assert!(
            error.to_string().contains(&format!("tell {id}")) && error.to_string().contains(found),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::Spec);
    }
    study.tell(first.id, 1.0).unwrap();
    assert!(study.tell(first.id, 0.5).unwrap_err().to_string().contains("told already"));
    assert_eq!(study.record().told, [(0, Some(1.0))]);
    assert_eq!(before.told, []);
    assert_eq!((study.best().unwrap().loss, study.told()), (1.0, 1));
}

#[test]
fn a_generation_waits_for_its_last_loss() {
    let mut study = study(100, 1);
    let all: Vec<Candidate> = std::iter::from_fn(|| study.ask()).collect();
    assert_eq!(all.len(), 8);
    assert_eq!(study.pending(), all);
    assert!(study.stopped().is_none());
    for c in all.iter().rev().take(7) {
        study.tell(c.id, sphere(c)).unwrap();
        assert!(study.ask().is_none());
    }
    assert_eq!(study.pending(), all[..1]);
    study.tell(0, sphere(&all[0])).unwrap();
    let next = study.ask().unwrap();
    assert_eq!((next.id, next.generation), (8, 1));
    assert!(study.tell(3, 1.0).unwrap_err().to_string().contains("told already"));
}

#[test]
fn a_budget_below_one_generation_is_refused_and_any_other_is_exact() {
    let space = Space::reals(4, 1.0, 0.5).unwrap();
    let method = StrategyKind::named("cma-es").unwrap();
    let error = Study::new(space, Goal::Minimize, 7, 1, method).err().unwrap().to_string();
    assert_eq!(error, "budget: expected at least 8, the first generation of cma-es, found 7");
    for budget in [8, 9, 15, 16, 31] {
        let mut study = study(budget, 1);
        let mut asked = 0;
        while let Some(c) = study.ask() {
            study.tell(c.id, sphere(&c)).unwrap();
            asked += 1;
        }
        assert_eq!((asked, study.stopped()), (budget, Some(Stop::Budget)));
    }
}

#[test]
fn the_direction_is_obeyed_and_the_losses_keep_their_sign() {
    let run = |goal, sign: f64| {
        let space = Space::reals(4, 1.0, 0.5).unwrap();
        let mut study = Study::new(space, goal, 800, 1, StrategyKind::named("cma-es").unwrap()).unwrap();
        while let Some(c) = study.ask() {
            study.tell(c.id, sign * sphere(&c)).unwrap();
        }
        study.best().unwrap()
    };
    let (down, up) = (run(Goal::Minimize, 1.0), run(Goal::Maximize, -1.0));
    assert!(down.loss < 1e-8 && down.loss == -up.loss && down.values == up.values);
}

#[test]
fn a_resumed_study_goes_on_to_the_bit() {
    for left_at in [0, 3, 8, 53, 400, 501] {
        let (mut whole, mut part) = (study(500, 5), study(500, 5));
        let odd = |c: &Candidate| if c.id % 7 == 3 { f64::NAN } else { sphere(c) };
        while part.told() < left_at.min(500) {
            let c = part.ask().unwrap();
            part.tell(c.id, odd(&c)).unwrap();
        }
        let lost = part.ask();
        let json = serde_json::to_string(part.record()).unwrap();
        let mut part = Study::resume(serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!(lost, part.ask(), "what was never told is asked for again");
        if let Some(c) = lost {
            part.tell(c.id, odd(&c)).unwrap();
        }
        while let Some(c) = whole.ask() {
            whole.tell(c.id, odd(&c)).unwrap();
        }
        while let Some(c) = part.ask() {
            part.tell(c.id, odd(&c)).unwrap();
        }
        assert_eq!(whole.record(), part.record());
        assert_eq!((whole.best(), whole.centre()), (part.best(), part.centre()));
        assert_eq!((whole.told(), whole.non_finite()), (500, part.non_finite()));
    }
}

#[test]
fn foreign_records_are_refused() {
    let mut study = study(50, 5);
    while let Some(c) = study.ask() {
        study.tell(c.id, sphere(&c)).unwrap();
    }
    let good = study.record().clone();
    let refuse = |change: &dyn Fn(&mut StudyRecord), words: &str| {
        let mut record = good.clone();
        change(&mut record);
        let error = Study::resume(record).err().unwrap();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.kind(), ErrorKind::Ledger);
    };
    refuse(&|r| r.version = 3, "expected version 4 to 5, found version 3");
    refuse(&|r| r.version = 6, "expected version 4 to 5, found version 6");
    // The version before asked for the same candidates, but for one strategy.
    assert!(Study::resume(StudyRecord { version: 4, ..good.clone() }).is_ok());
    let one =
        StudyRecord { version: 4, method: StrategyKind::named("one-plus-one").unwrap(), ..good.clone() };
    assert!(Study::resume(one).err().unwrap().to_string().contains("expected version 5, found version 4"));
    refuse(&|r| r.told.push((50, Some(1.0))), "candidate 50");
    refuse(&|r| r.told.push((7, Some(1.0))), "candidate 7");
    refuse(&|r| r.told.retain(|t| t.0 != 3), "candidate 8");
    let other = Space::reals(4, 1.0, 0.6).unwrap();
    assert!(good.check(&other, Goal::Minimize, 5).unwrap_err().to_string().contains("space"));
    assert!(good.check(&good.space, Goal::Maximize, 5).unwrap_err().to_string().contains("goal"));
    assert!(good.check(&good.space, Goal::Minimize, 6).unwrap_err().to_string().contains("seed"));
    assert!(good.check(&good.space, Goal::Minimize, 5).is_ok());
}

#[test]
fn a_raised_budget_goes_on_as_if_it_had_been_there_from_the_start() {
    let mut short = study(53, 2);
    while let Some(c) = short.ask() {
        short.tell(c.id, sphere(&c)).unwrap();
    }
    let mut record = short.record().clone();
    record.budget = 90;
    let (mut long, mut raised) = (study(90, 2), Study::resume(record).unwrap());
    while let Some(c) = long.ask() {
        long.tell(c.id, sphere(&c)).unwrap();
    }
    while let Some(c) = raised.ask() {
        raised.tell(c.id, sphere(&c)).unwrap();
    }
    assert_eq!(long.record(), raised.record());
}

#[test]
fn too_many_dimensions_are_refused_with_the_strategy_to_use_instead() {
    for (name, instead) in [("cma-es", "`lm-ma-es`"), ("xnes", "`snes`")] {
        let space = Space::reals(3000, 0.0, 1.0).unwrap();
        let method = StrategyKind::named(name).unwrap();
        let error = Study::new(space, Goal::Minimize, 9000, 1, method).err().unwrap().to_string();
        assert!(
            error.contains(instead) && error.ends_with(&format!("`{name}` for 3000 coordinates")),
            "{error}"
        );
    }
    let space = Space::reals(100_000, 0.0, 1.0).unwrap();
    let mut study =
        Study::new(space, Goal::Minimize, 4_000_000, 1, StrategyKind::named("auto").unwrap()).unwrap();
    assert_eq!((study.method().name(), study.ask().unwrap().values.len()), ("lm-ma-es", 100_000));
    assert!(study.why().contains("100000 coordinates"), "{}", study.why());
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let refuse = |json: &str, words: &str| {
        let method: StrategyKind = serde_json::from_str(json).unwrap();
        let space = Space::reals(3, 1.0, 1.0).unwrap();
        let error = Study::new(space, Goal::Minimize, 1000, 1, method).err().unwrap();
        assert!(error.to_string().contains(words), "{json}: {error}");
        assert_eq!(error.kind(), ErrorKind::Spec);
    };
    refuse(r#"{"name": "cma-es", "members": 3}"#, "method.members: expected a number from 4 to 1000000");
    refuse(r#"{"name": "pgpe", "members": 7}"#, "method.members: expected an even number");
    refuse(r#"{"name": "stp", "step": 0.0}"#, "method.step: expected a positive number, found 0");
    refuse(r#"{"name": "stp", "shrink": 1.5}"#, "method.shrink: expected a number above 0");
    refuse(r#"{"name": "smtp", "momentum": 1.0}"#, "method.momentum: expected");
    refuse(r#"{"name": "gld-search", "smallest": 2.0}"#, "method.smallest: expected");
    refuse(r#"{"name": "gld-fast", "condition": 1.0}"#, "method.condition: expected");
    refuse(r#"{"name": "gld-fast", "effective": 4.0}"#, "method.effective: expected a number from 1 to 3");
    refuse(
        r#"{"name": "two-point", "mirror": {"map": "simplex"}}"#,
        "method.mirror: expected a start of positive",
    );
    refuse(
        r#"{"name": "two-point", "mirror": {"map": "l1-ball", "radius": 2.0}}"#,
        "a start inside of the ball",
    );
    refuse(
        r#"{"name": "relative-loss", "lean": 1.0}"#,
        "method.lean: expected a number of at least 0 and below 1",
    );
    refuse(
        r#"{"name": "relative-loss", "directions": 0}"#,
        "method.directions: expected a number from 2 to 1000000",
    );
    refuse(r#"{"name": "nesterov-spokoiny", "smoothness": -1.0}"#, "method.smoothness: expected a positive");
    assert!(
        serde_json::from_str::<StrategyKind>(r#"{"name": "cma-es", "member": 3}"#).is_err(),
        "a misspelt setting"
    );
}

#[test]
fn interleaved_studies_do_not_change_each_other() {
    let methods = StrategyKind::all();
    let begin = |m: &StrategyKind, seed: u64| {
        Study::new(Space::reals(3, 1.0, 0.5).unwrap(), Goal::Minimize, 200, seed, m.clone()).unwrap()
    };
    let step = |study: &mut Study| {
        let c = study.ask()?;
        study.tell(c.id, sphere(&c)).unwrap();
        Some(c)
    };
    let alone = |m: &StrategyKind, seed: u64| {
        let mut study = begin(m, seed);
        std::iter::from_fn(|| step(&mut study)).collect::<Vec<_>>()
    };
    // All of them at once, two seeds each, by turns: one candidate each.
    let mut studies: Vec<(&StrategyKind, u64, Study, Vec<Candidate>)> =
        methods.iter().flat_map(|m| [1, 2].map(|seed| (m, seed, begin(m, seed), Vec::new()))).collect();
    for _ in 0..200 {
        for (_, _, study, seen) in &mut studies {
            seen.extend(step(study));
        }
    }
    for (method, seed, _, seen) in studies {
        assert_eq!(seen, alone(method, seed), "{} with seed {seed}", method.name());
    }
}
