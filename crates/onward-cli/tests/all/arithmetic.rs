//! Runs in bf16 go from one kind of processor to another: what one began, any other goes on with, checks and uses, to the bit.

use crate::common::{Place, digits};
use onward::kernel::{Isa, amx};
use onward::ledger::{Header, Ledger, Numerics, Reading, read};

/// The kinds of processor that this one can stand for.
fn processors() -> Vec<Isa> {
    let all = [Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16, Isa::Amx];
    let (here, others): (Vec<Isa>, Vec<Isa>) = all.into_iter().partition(|isa| *isa <= Isa::available());
    for isa in others {
        eprintln!("skipped: runs begun with {isa}, which this machine lacks ({})", amx::availability());
    }
    here
}

/// A command on a processor that has no more than `isa`: standard output.
fn on(place: &Place, isa: Isa, args: &str, emulated: bool) -> String {
    let done = place.command(args).env(Isa::LIMIT, isa.name()).output().unwrap();
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert!(done.status.success(), "{args} on {isa:?}: {out}{err}");
    let told = err.lines().filter(|line| line.ends_with("they are emulated, slowly")).count();
    assert_eq!(
        (told, err.lines().count()),
        (usize::from(emulated), usize::from(emulated)),
        "{args} on {isa:?}: {err}"
    );
    out
}

fn header(place: &Place, run: &str) -> Header {
    read(&place.read(&format!("{run}/ledger.bin"))).unwrap().header
}

/// The run `from` as it was after half of its steps, as `to`, with a change of its ledger.
fn halved(place: &Place, from: &str, to: &str, change: impl Fn(&mut Reading)) {
    let mut reading = read(&place.read(&format!("{from}/ledger.bin"))).unwrap();
    for name in ["spec.toml", "interface.json", "base.safetensors"] {
        place.write(&format!("{to}/{name}"), place.read(&format!("{from}/{name}")));
    }
    reading.records.truncate(reading.records.len() / 2);
    change(&mut reading);
    let mut ledger = Ledger::create(&place.path(&format!("{to}/ledger.bin")), &reading.header).unwrap();
    reading.records.iter().for_each(|record| ledger.append(record).unwrap());
    ledger.sync().unwrap();
}

/// `{name}.toml`: a convolution and two matrices in bf16.
fn spec(place: &Place, name: &str) {
    place.spec(name, "relative-activation", 8);
    place.make_conv(name, "channels = [4, 4]");
    let path = format!("{name}.toml");
    let text = String::from_utf8(place.read(&path)).unwrap();
    let fewer = text.replace("limit = 400", "limit = 120");
    place.write(&path, fewer.replace("[model]\n", "[model]\nprecision = \"bf16\"\n") + "digest_every = 1\n");
}

fn digest_in(words: &str) -> &str {
    words.split_whitespace().find(|w| w.len() == 64).unwrap_or_else(|| panic!("a digest in {words}"))
}

#[test]
fn r10_a_bf16_run_is_the_same_under_every_instruction_set() {
    let place = Place::new();
    let mut kinds = std::collections::BTreeMap::new();
    for began in processors() {
        let name = began.name();
        spec(&place, name);
        on(&place, began, &format!("train {name}.toml"), false);
        let run = format!("runs/{name}");
        let kind = header(&place, &run).numerics.unwrap().to_string();
        let needs = match kind.as_str() {
            "bf16-chain" => Isa::Portable,
            "bf16-avx512" => Isa::Avx512Bf16,
            "bf16-amx" => Isa::Amx,
            other => panic!("arithmetic {other}"),
        };
        let digest = digest_in(&on(&place, began, &format!("replay {run}"), false)).to_owned();
        kinds.entry(kind).or_insert_with(Vec::new).push(digest.clone());
        let predict = format!("predict {run} {} --json", digits().display());
        let answers = on(&place, began, &predict, false);
        for isa in processors().into_iter().chain([Isa::Portable]) {
            let emulated = isa < needs;
            let verified = on(&place, isa, &format!("verify {run} --from-start"), emulated);
            assert_eq!(digest_in(&verified), digest, "verify of {name} on {isa:?}");
            assert!(on(&place, isa, &predict, emulated) == answers, "predict of {name} on {isa:?}");
            let half = format!("{run}-half-{}", isa.name());
            halved(&place, &run, &half, |_| ());
            on(&place, isa, &format!("resume {half}"), emulated);
            let resumed = on(&place, began, &format!("replay {half}"), false);
            assert_eq!(digest_in(&resumed), digest, "resume of {name} on {isa:?}");
        }
    }
    let mut different: Vec<&String> = kinds.values().flatten().collect();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), kinds.len(), "one model for each kind: {kinds:?}");
}

#[test]
fn r10_a_ledger_that_does_not_tell_its_arithmetic_is_followed_in_that_which_fits() {
    let place = Place::new();
    for began in processors() {
        let name = began.name();
        spec(&place, name);
        on(&place, began, &format!("train {name}.toml"), false);
        let old = format!("runs/old-{name}");
        halved(&place, &format!("runs/{name}"), &old, |r| r.header.numerics = None);
        for isa in processors() {
            let done = place.command(&format!("verify {old}")).env(Isa::LIMIT, isa.name()).output().unwrap();
            let err = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "begun with {began:?}, on {isa:?}: {err}");
            assert!(err.lines().all(|line| line.ends_with("they are emulated, slowly")), "{err}");
        }
        let forged = format!("runs/forged-{name}");
        halved(&place, &old, &forged, |r| {
            r.header.numerics = None;
            r.records[0].loss += 0.25;
        });
        let done = place.onward(&format!("verify {forged}"));
        assert!(
            done.code != Some(0) && done.err.contains("nor do the steps fit to any other kind"),
            "{}",
            done.err
        );
    }
}

#[test]
fn r10_an_arithmetic_that_nobody_knows_is_refused() {
    let place = Place::new();
    spec(&place, "p");
    place.onward("train p.toml").good();
    halved(&place, "runs/p", "runs/odd", |r| r.header.numerics = Some(Numerics::Exact("bf16-sve".into())));
    let want = [
        "runs/odd/spec.toml",
        "the ledger's arithmetic: expected one of bf16-chain, bf16-avx512, bf16-amx, found bf16-sve",
    ];
    place.onward("verify runs/odd").refuses(&want);
    place.onward("resume runs/odd").refuses(&want);
}
