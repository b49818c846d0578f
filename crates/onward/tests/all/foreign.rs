//! Evaluators elsewhere: in processes that see the header, serialised questions and the entries so far, and no params; whose answers come
//! late, twice, in any order, or never.

use crate::common::{Shaped, blobs, local, plan, population, relative, two_point};
use onward::ErrorKind;
use onward::ask::{Answer, Ask, AskId, ProbePlan, Told};
use onward::dataset::Dataset;
use onward::evaluate::{AnswerPart, Evaluator, Gathering, Numerics, Quorum, Ticket, Worker};
use onward::ledger::{Direction, Entry, Header, Search, State, Update};
use onward::model::{Activation, Mlp};
use onward::noise::RunKey;
use onward::params::Params;
use onward::rule::{Clock, LayerOrder, Method, Pairing, Population, RelativeActivation, Rso, Shaping};
use onward::task::Loss;
use onward::train::{Plan, Trainer};
use onward_coordinate::Visitor;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const ADDRESS: &str = "ONWARD_TEST_WORKER";

fn net() -> Mlp {
    Mlp::new(&[6, 8, 3], Activation::Relu).unwrap()
}

fn data() -> Dataset {
    blobs(48, [1, 1, 6], 3, 4)
}

/// What goes to a worker.
#[derive(Serialize, Deserialize)]
enum Message {
    /// The header, in the form that the ledger keeps: JSON.
    Open(String),
    Ask(Ask),
    Follow(Entry, Option<Direction>),
}

fn send(stream: &mut TcpStream, value: &impl Serialize) {
    let bytes = postcard::to_allocvec(value).unwrap();
    stream.write_all(&(bytes.len() as u32).to_le_bytes()).unwrap();
    stream.write_all(&bytes).unwrap();
}

fn receive<T: for<'de> Deserialize<'de>>(stream: &mut TcpStream) -> Option<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut bytes).ok()?;
    Some(postcard::from_bytes(&bytes).unwrap())
}

/// The other process: has the model, the rows, and what it is sent. As a test of its own it has nothing to do.
#[test]
fn worker_process() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let mut stream = TcpStream::connect(address).unwrap();
    let mut worker = Visitor::new(local(net(), Loss::CrossEntropy, 1), data());
    let mut state: Option<State> = None;
    while let Some(message) = receive(&mut stream) {
        match message {
            Message::Open(json) => {
                let header: Header = serde_json::from_str(&json).unwrap();
                let base = Params::init(net().graph().tensors(), &RunKey::from_seed(header.seed));
                let begun = State::of(&header, base).unwrap();
                assert_eq!(begun.params().digest(), header.base);
                worker.open(&header, &begun).unwrap();
                state = Some(begun);
            }
            Message::Ask(ask) => {
                let ticket = worker.submit(&ask, state.as_ref().unwrap()).unwrap();
                let answer = worker.collect(ticket, Quorum::All, state.as_ref().unwrap()).unwrap();
                send(&mut stream, &answer);
            }
            Message::Follow(entry, direction) => {
                state.as_mut().unwrap().apply(&entry, direction.as_ref()).unwrap();
                worker.follow(&entry, direction.as_ref()).unwrap();
            }
        }
    }
}

/// How parts of answers come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// In reverse, each twice, and once more after the next step has begun.
    LateTwiceAndInAnyOrder,
    /// Those of the last worker never come.
    Lost,
}

/// Several processes, each with its own replica.
struct Fleet {
    workers: Vec<(Child, TcpStream)>,
    way: Way,
    taken: Option<(Ask, usize)>,
    /// Parts of earlier answers that are still on their way.
    late: VecDeque<AnswerPart>,
}

impl Fleet {
    fn new(count: usize, way: Way) -> Self {
        let begin = |_| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "foreign::worker_process", "--nocapture"])
                .env(ADDRESS, listener.local_addr().unwrap().to_string())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            (child, listener.accept().unwrap().0)
        };
        Self { workers: (0..count).map(begin).collect(), way, taken: None, late: VecDeque::new() }
    }

    /// What each worker finds of its share.
    fn parts(&mut self, ask: &Ask) -> Vec<AnswerPart> {
        let count = self.workers.len();
        let mut parts = Vec::new();
        for (i, (_, stream)) in self.workers.iter_mut().enumerate() {
            let (share, first) = match &ask.probes {
                ProbePlan::Members(plan) => {
                    let cut = |i: usize| plan.directions * i as u32 / count as u32;
                    let first = cut(i) as usize * plan.signs.count();
                    (ask.of_directions(cut(i)..cut(i + 1)).unwrap(), first)
                }
                _ if i == 0 => (ask.clone(), 0),
                _ => continue,
            };
            send(stream, &Message::Ask(share));
            let Answer { to, told: Told::Losses(losses) } = receive(stream).unwrap() else {
                panic!("losses")
            };
            assert_eq!(to, ask.id);
            parts.push(AnswerPart {
                to,
                first: first as u64,
                losses: losses.into_iter().map(Option::unwrap).collect(),
            });
        }
        parts
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (child, stream) in &mut self.workers {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            child.wait().unwrap();
        }
    }
}

impl Evaluator for Fleet {
    fn kind(&self) -> &str {
        "fleet"
    }

    fn open(&mut self, run: &Header, _: &State) -> onward::Result<Numerics> {
        let header = serde_json::to_string(run).unwrap();
        self.workers.iter_mut().for_each(|(_, stream)| send(stream, &Message::Open(header.clone())));
        Ok(Numerics::Exact("f32".into()))
    }

    fn submit(&mut self, ask: &Ask, state: &State) -> onward::Result<Ticket> {
        self.taken = Some((ask.clone(), state.candidate_count()));
        Ok(Ticket(ask.id))
    }

    fn collect(&mut self, ticket: Ticket, enough: Quorum, _: &State) -> onward::Result<Answer> {
        let (ask, candidates) = self.taken.take().filter(|(ask, _)| ask.id == ticket.0).unwrap();
        if matches!(ask.probes, ProbePlan::Sites(_) | ProbePlan::Visits(_)) {
            let (_, stream) = &mut self.workers[0];
            send(stream, &Message::Ask(ask));
            return Ok(receive(stream).unwrap());
        }
        let mut gathering = Gathering::new(&ask, candidates)?;
        while let Some(part) = self.late.pop_front() {
            assert_eq!(gathering.add(&part)?, 0, "a part of an earlier step");
        }
        let mut parts = self.parts(&ask);
        if self.way == Way::Lost {
            parts.pop();
        }
        for part in parts.iter().rev() {
            assert_eq!(gathering.add(part)?, part.losses.len());
            assert_eq!(gathering.add(part)?, 0, "a part that came before");
        }
        self.late.extend(parts);
        if !gathering.is_enough(enough) {
            let found = format!("none of members {:?}", gathering.missing());
            return Err(onward::Error::expected(ErrorKind::Evaluator, "fleet", "more losses", found));
        }
        Ok(gathering.answer())
    }

    fn follow(&mut self, entry: &Entry, direction: Option<&Direction>) -> onward::Result<()> {
        for (_, stream) in &mut self.workers {
            send(stream, &Message::Follow(entry.clone(), direction.cloned()));
        }
        Ok(())
    }
}

fn methods() -> Vec<Method> {
    let rso = Rso { sigma: 1.0.into(), decay: 1e-4, order: LayerOrder::LastFirst, hold: 2 };
    let one_sided = Population { pairing: Pairing::OneSided, ..population(9) };
    let share = Population { share: 6, shaping: Shaping::ZScore, ..population(12) };
    vec![
        Method::Population(population(12)),
        Method::Population(one_sided),
        Method::Population(share),
        Method::TwoPoint(two_point(5)),
        Method::RelativeActivation(relative(4)),
        Method::RelativeActivation(RelativeActivation { focus: 0.5, ..relative(4) }),
        Method::Search(Search::named("snes").unwrap()),
        Method::Rso(rso),
    ]
}

fn far(plan: Plan, evaluator: impl Evaluator + 'static, quorum: Quorum) -> Trainer {
    let near = local(net(), Loss::CrossEntropy, 1);
    Trainer::with(plan, near, Arc::new(data()), Box::new(evaluator), quorum).unwrap()
}

#[test]
fn a_fleet_leaves_the_ledger_that_this_process_leaves() {
    for method in methods() {
        let plan = plan(method.clone(), 0.05, 6, 24);
        let mut here =
            onward_coordinate::trainer(plan.clone(), local(net(), Loss::CrossEntropy, 1), data()).unwrap();
        let mut there = far(plan, Fleet::new(2, Way::LateTwiceAndInAnyOrder), Quorum::All);
        let (own, other) = (here.header([3; 32]), there.header([3; 32]));
        assert_eq!((own.evaluator.as_deref(), other.evaluator.as_deref()), (Some("worker"), Some("fleet")));
        assert_eq!(Header { evaluator: None, ..own }, Header { evaluator: None, ..other });
        for _ in 0..6 {
            assert_eq!(here.step().unwrap().entry, there.step().unwrap().entry, "{method:?}");
        }
        assert_eq!((here.state(), here.spent()), (there.state(), there.spent()), "{method:?}");
    }
}

/// A run is gone on with elsewhere: the replicas follow what the ledger has.
#[test]
fn replicas_catch_up_from_the_ledger() {
    let plan = plan(Method::Population(population(12)), 0.05, 6, 24);
    let mut here =
        onward_coordinate::trainer(plan.clone(), local(net(), Loss::CrossEntropy, 1), data()).unwrap();
    let entries: Vec<Entry> = (0..6).map(|_| here.step().unwrap().entry).collect();
    let mut there = far(plan, Fleet::new(2, Way::LateTwiceAndInAnyOrder), Quorum::All);
    entries[..4].iter().for_each(|entry| there.retake(entry).unwrap());
    for entry in &entries[4..] {
        assert_eq!(there.step().unwrap().entry, *entry);
    }
}

#[test]
fn losses_that_are_lost_for_ever_are_left_out() {
    for method in methods().into_iter().filter(|m| matches!(m, Method::Population(_) | Method::TwoPoint(_))) {
        let mut plan = plan(method.clone(), 0.05, 6, 24);
        plan.digest_every = 1;
        let mut run = far(plan.clone(), Fleet::new(3, Way::Lost), Quorum::AtLeast(4));
        let mut replayed =
            onward_coordinate::trainer(plan.clone(), local(net(), Loss::CrossEntropy, 1), data()).unwrap();
        for _ in 0..6 {
            let step = run.step().unwrap();
            assert!(step.missing > 0 && step.entry.non_finite == 0, "{method:?}: {} missing", step.missing);
            let Update::Probes { coefficients, .. } = &step.entry.update else { panic!("probes") };
            let whole = coefficients.len() - coefficients.len().div_ceil(3);
            assert!(coefficients[..whole].iter().any(|c| *c != 0), "{method:?}: {coefficients:?}");
            assert!(coefficients[whole..].iter().all(|c| *c == 0), "{method:?}: {coefficients:?}");
            replayed.retake(&step.entry).unwrap();
        }
        assert_eq!(run.state(), replayed.state());
        let mut whole = far(plan, Fleet::new(3, Way::Lost), Quorum::All);
        let before = whole.state().clone();
        assert_eq!(whole.step().map(|_| ()).unwrap_err().kind(), ErrorKind::Evaluator);
        assert_eq!(*whole.state(), before);
    }
}

type Spoil = fn(&mut Answer);

/// A worker whose answers are changed on their way.
struct Changed(Worker, Spoil);

impl Evaluator for Changed {
    fn open(&mut self, run: &Header, state: &State) -> onward::Result<Numerics> {
        self.0.open(run, state)
    }
    fn submit(&mut self, ask: &Ask, state: &State) -> onward::Result<Ticket> {
        self.0.submit(ask, state)
    }
    fn collect(&mut self, ticket: Ticket, enough: Quorum, state: &State) -> onward::Result<Answer> {
        let mut answer = self.0.collect(ticket, enough, state)?;
        self.1(&mut answer);
        Ok(answer)
    }
    fn follow(&mut self, entry: &Entry, direction: Option<&Direction>) -> onward::Result<()> {
        self.0.follow(entry, direction)
    }
}

/// Members that are left out count for nothing: the step is that of the others alone.
#[test]
fn what_is_left_out_is_renormalised() {
    let half = |answer: &mut Answer| {
        if let Told::Losses(losses) = &mut answer.told {
            // One of the pair is enough to leave it out.
            let half = losses.len() / 2;
            losses.iter_mut().skip(half).step_by(2).for_each(|l| *l = None);
        }
    };
    let (few, many) = (
        plan(Method::TwoPoint(two_point(4)), 0.05, 1, 24),
        plan(Method::TwoPoint(two_point(8)), 0.05, 1, 24),
    );
    let worker = Worker::new(local(net(), Loss::CrossEntropy, 1), Arc::new(data()));
    let half = far(many, Changed(worker, half), Quorum::AtLeast(1)).step().unwrap().entry;
    let whole = onward_coordinate::trainer(few, local(net(), Loss::CrossEntropy, 1), data())
        .unwrap()
        .step()
        .unwrap()
        .entry;
    let (Update::Probes { coefficients: a, exponent: e }, Update::Probes { coefficients: b, exponent: f }) =
        (&half.update, &whole.update)
    else {
        panic!("probes")
    };
    assert_eq!((&a[..4], e), (&b[..], f));
    assert!(a[4..].iter().all(|c| *c == 0));
}

/// What a wrong answer is said to be.
#[test]
fn answers_to_something_else_are_errors() {
    fn change(answer: &mut Answer, f: impl FnOnce(&mut Vec<Option<f32>>)) {
        if let Told::Losses(losses) = &mut answer.told {
            f(losses);
        }
    }
    let cases: [(Spoil, &str); 6] = [
        (|a| a.to.step += 1, "expected one to question 0 of step 0, found one to question 0 of step 1"),
        (|a| a.to.part += 1, "expected one to question 0 of step 0, found one to question 1 of step 0"),
        (|a| a.to.run[0] ^= 1, "expected one of run "),
        (|a| change(a, |l| l.truncate(7)), "expected 8 losses, found 7"),
        (|a| change(a, |l| l.push(Some(1.0))), "expected 8 losses, found 9"),
        (
            |a| {
                let choices = onward::space::Choices { choices: vec![1], loss: 0.0, non_finite: 0 };
                a.told = Told::Choices(choices);
            },
            "expected an answer of the question's kind, found choices",
        ),
    ];
    for (spoil, words) in cases {
        let worker = Worker::new(local(net(), Loss::CrossEntropy, 1), Arc::new(data()));
        let plan = plan(Method::Population(population(8)), 0.05, 6, 24);
        let mut run = far(plan, Changed(worker, spoil), Quorum::All);
        let before = run.state().clone();
        let error = run.step().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Evaluator, "{error}");
        let said = error.to_string();
        assert!(said.starts_with("answer to step 0: ") && said.contains(words), "{said}");
        assert_eq!(*run.state(), before, "{words}");
    }
}

/// A device whose numbers are its own.
struct Device(Worker);

impl Evaluator for Device {
    fn kind(&self) -> &str {
        "card"
    }

    fn open(&mut self, run: &Header, state: &State) -> onward::Result<Numerics> {
        self.0.open(run, state)?;
        Ok(Numerics::Device("test card".into()))
    }

    fn submit(&mut self, ask: &Ask, state: &State) -> onward::Result<Ticket> {
        self.0.submit(ask, state)
    }

    fn collect(&mut self, ticket: Ticket, enough: Quorum, state: &State) -> onward::Result<Answer> {
        self.0.collect(ticket, enough, state)
    }

    fn follow(&mut self, entry: &Entry, direction: Option<&Direction>) -> onward::Result<()> {
        self.0.follow(entry, direction)
    }
}

/// Other bits than the ledger's are damage where the numerics promise the same ones, and only there.
#[test]
fn a_device_that_answers_otherwise_has_damaged_nothing() {
    let plan = plan(Method::RelativeActivation(relative(4)), 0.05, 6, 24);
    let worker = || Worker::new(local(net(), Loss::CrossEntropy, 1), Arc::new(data()));
    let mut exact = far(plan.clone(), worker(), Quorum::All);
    let mut device = far(plan, Device(worker()), Quorum::All);
    let header = device.header([0; 32]);
    assert_eq!(header.numerics, Some(Numerics::Device("test card".into())));
    assert_eq!(header.evaluator.as_deref(), Some("card"));
    let entry = device.step().unwrap().entry;
    let other = Entry { loss: entry.loss + 0.5, ..entry };
    let again = |run: &mut Trainer| run.retake(&other).unwrap_err().kind();
    assert_eq!(again(&mut exact), ErrorKind::Damage);
    let next = Entry { step: 1, ..other.clone() };
    assert_eq!(device.retake(&next).unwrap_err().kind(), ErrorKind::Ledger);
}

#[test]
fn a_worker_answers_its_own_run_alone() {
    let trainer = |seed| {
        let plan = Plan { seed, ..plan(Method::Population(population(8)), 0.05, 6, 24) };
        onward_coordinate::trainer(plan, local(net(), Loss::CrossEntropy, 1), data()).unwrap()
    };
    let (own, other) = (trainer(1), trainer(2));
    let mut worker = Worker::new(local(net(), Loss::CrossEntropy, 1), data());
    let id = |run: &Trainer| AskId { run: run.header([0; 32]).run(), step: 0, part: 0 };
    assert_ne!(id(&own), id(&other));
    let ask = |id| Ask { id, batch: 24, probes: ProbePlan::Points };
    assert!(worker.submit(&ask(id(&own)), own.state()).is_err(), "not opened");
    worker.open(&own.header([0; 32]), own.state()).unwrap();
    let error = worker.submit(&ask(id(&other)), own.state()).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Evaluator);
    assert!(worker.submit(&ask(id(&own)), own.state()).is_ok());
    let unknown = Ticket(AskId { step: 1, ..id(&own) });
    assert_eq!(
        worker.collect(unknown, Quorum::All, own.state()).map(|_| ()).unwrap_err().kind(),
        ErrorKind::Evaluator
    );
}

/// Forward passes alone do not visit weights: the error says who does.
#[test]
fn a_worker_refuses_visits() {
    let rso = Rso { sigma: 1.0.into(), decay: 0.0, order: LayerOrder::LastFirst, hold: 1 };
    let plan = plan(Method::Rso(rso), 1.0, 3, 24);
    let mut run = Trainer::new(plan, local(net(), Loss::CrossEntropy, 1), data()).unwrap();
    let error = run.step().map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Evaluator);
    assert!(error.to_string().contains("`onward-coordinate`), found visits"), "{error}");
}

/// What a worker keeps is of the run that it was opened with: of the next one it answers like a new worker.
#[test]
fn a_worker_keeps_nothing_of_an_earlier_run() {
    let rso = Rso { sigma: 1.0.into(), decay: 0.0, order: LayerOrder::LastFirst, hold: 1 };
    for method in [Method::TwoPoint(two_point(3)), Method::Rso(rso)] {
        let run = |seed| {
            let plan = Plan { seed, ..plan(method.clone(), 0.05, 6, 24) };
            onward_coordinate::trainer(plan, local(net(), Loss::CrossEntropy, 1), data()).unwrap()
        };
        let new = || Visitor::new(local(net(), Loss::CrossEntropy, 1), data());
        let answer = |worker: &mut Visitor, run: &Trainer| {
            let header = run.header([0; 32]);
            worker.open(&header, run.state()).unwrap();
            let clock = Clock { batch: 24, rows: 48, ..Clock::alone(0, 0.05, 24) };
            let rule = method.rule(&net().graph(), 24).unwrap();
            let id = AskId { run: header.run(), step: 0, part: 0 };
            let ask = Ask { id, batch: 24, probes: rule.ask(run.state(), &clock).unwrap() };
            let ticket = worker.submit(&ask, run.state()).unwrap();
            worker.collect(ticket, Quorum::All, run.state()).unwrap().told
        };
        let (first, second) = (run(1), run(2));
        let mut worker = new();
        answer(&mut worker, &first);
        assert_eq!(answer(&mut worker, &second), answer(&mut new(), &second), "{method:?}");
    }
}

#[test]
fn parts_that_contradict_or_do_not_belong_are_errors() {
    let plan = onward::ask::MemberPlan {
        space: onward::model::WeightSpace::Dense { noise: onward::noise::Family::Sign },
        sigma: 0.1,
        first: 0,
        directions: 3,
        signs: onward::ask::Signs::Both,
        share: 0,
    };
    let id = AskId { run: [1; 32], step: 5, part: 0 };
    let ask = Ask { id, batch: 8, probes: ProbePlan::Members(plan) };
    let mut gathering = Gathering::new(&ask, 0).unwrap();
    let part = |to, first, losses: &[f32]| AnswerPart { to, first, losses: losses.to_vec() };
    assert_eq!(gathering.add(&part(id, 1, &[1.0, f32::NAN])).unwrap(), 2);
    assert_eq!(gathering.add(&part(id, 2, &[f32::NAN, 2.0])).unwrap(), 1);
    assert_eq!(gathering.add(&part(AskId { step: 4, ..id }, 0, &[9.0; 6])).unwrap(), 0);
    let bad = [
        (part(AskId { run: [2; 32], ..id }, 0, &[1.0]), "expected one of the same run"),
        (part(AskId { step: 6, ..id }, 0, &[1.0]), "found one to step 6"),
        (part(id, 1, &[1.5]), "expected the loss 1 of member 1 again, found 1.5"),
        (part(id, 5, &[1.0, 2.0]), "expected members below 6, found members 5 to 7"),
        (part(id, u64::MAX, &[1.0]), "expected members below 6"),
    ];
    for (part, words) in bad {
        let error = gathering.add(&part).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Evaluator);
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(gathering.missing(), [0..1, 4..6]);
    assert!(gathering.is_enough(Quorum::AtLeast(3)) && !gathering.is_enough(Quorum::AtLeast(4)));
    assert!(!gathering.is_enough(Quorum::All));
    let Told::Losses(losses) = gathering.answer().told else { panic!("losses") };
    assert_eq!(
        losses.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, true, true, true, false, false]
    );
    let visits = Ask { probes: ProbePlan::Visits(visits_to_one()), ..ask };
    assert_eq!(Gathering::new(&visits, 0).map(|_| ()).unwrap_err().kind(), ErrorKind::Evaluator);
}

fn visits_to_one() -> onward::space::CoordinatePlan {
    onward::space::CoordinatePlan {
        stage: 0,
        tensor: 0,
        elements: 0..1,
        before: 0,
        cycle: 0,
        sigma: 1.0,
        keep: 1.0,
        batch: 8,
        hold: 1,
    }
}
