//! The ledger: nothing is lost silently, nothing damaged is believed, and old ledgers are read for ever.

use crate::common::{Shaped, blobs, plan, population, relative, trainer, two_point};
use onward::ask::Spent;
use onward::ledger::{
    Entry, FORMAT_VERSION, Header, Ledger, Moves, Reading, Recipe, Search, State, Update, read, recognised,
    salvage,
};
use onward::model::{Activation, Mlp};
use onward::noise::RunKey;
use onward::params::{Params, Storage, Tensor};
use onward::rule::Method;
use onward::train::{Trainer, hex};
use onward::{Error, ErrorKind};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PREAMBLE: usize = 8;
const HEAD: usize = 12;

fn net() -> Mlp {
    Mlp::new(&[6, 5, 3], Activation::Relu).unwrap()
}

fn training(method: Method) -> Trainer {
    trainer(plan(method, 0.05, 64, 24), net(), &blobs(24, [1, 1, 6], 3, 1), 1)
}

/// A ledger of `steps` steps in a folder of its own, its bytes, and what was written.
fn written(method: Method, steps: usize) -> (TempDir, PathBuf, Vec<u8>, Header, Vec<Entry>, Spent) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ledger");
    let mut trainer = training(method);
    let header = trainer.header([7; 32]);
    let mut ledger = Ledger::create(&path, &header).unwrap();
    let records: Vec<Entry> = (0..steps).map(|_| trainer.step().unwrap().entry).collect();
    records.iter().for_each(|r| ledger.append(r).unwrap());
    ledger.sync().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (folder, path, bytes, header, records, trainer.spent())
}

fn search(name: &str) -> Method {
    Method::Search(Search::named(name).unwrap())
}

fn methods() -> [Method; 4] {
    [
        Method::Population(population(8)),
        Method::TwoPoint(two_point(1)),
        search("snes"),
        Method::RelativeActivation(relative(4)),
    ]
}

/// Offsets at which frames begin, and the end of the last one.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut all = vec![PREAMBLE];
    while let Some(length) = bytes.get(all[all.len() - 1]..).and_then(|b| b.first_chunk::<4>()) {
        all.push(all[all.len() - 1] + HEAD + u32::from_le_bytes(*length) as usize);
    }
    all
}

fn refused(bytes: &[u8]) -> String {
    let error: Error = read(bytes).unwrap_err();
    // A version that is not known may be one to come.
    let version = error.to_string().contains("expected format version");
    assert_eq!(error.kind(), if version { ErrorKind::Ledger } else { ErrorKind::Damage });
    error.to_string()
}

#[test]
fn what_is_written_is_read() {
    for method in methods() {
        let (_folder, path, bytes, header, records, _) = written(method, 5);
        let reading = read(&bytes).unwrap();
        assert_eq!((&reading.header, &reading.records), (&header, &records));
        assert_eq!((reading.sound, reading.torn), (bytes.len() as u64, 0));
        let (ledger, again) = Ledger::open(&path).unwrap();
        assert_eq!((ledger.chain(), again), (reading.chain(), reading));
        assert_eq!(
            Ledger::create(&path, &header).map(|_| ()).unwrap_err().kind(),
            ErrorKind::Io,
            "nothing is written over"
        );
    }
}

#[test]
fn replay_needs_the_base_and_the_ledger_alone() {
    for method in &methods()[..3] {
        let mut trained = training(method.clone());
        let records: Vec<Entry> = (0..10).map(|_| trained.step().unwrap().entry).collect();
        let header = trained.header([0; 32]);
        let base = Params::init(net().graph().tensors(), &RunKey::from_seed(header.seed));
        assert_eq!(base.digest(), header.base);
        let mut state = State::of(&header, base).unwrap();
        records.iter().for_each(|r| _ = state.apply(r, None).unwrap());
        assert_eq!(state.params().digest(), trained.state().params().digest());
        assert_ne!(state.params().digest(), header.base);
    }
}

#[test]
fn a_torn_tail_is_cut_and_told_and_the_run_goes_on() {
    for method in methods() {
        let (folder, _, bytes, _, records, _) = written(method, 3);
        let frames = frames(&bytes);
        let last = frames[frames.len() - 2];
        assert_eq!((frames.len(), frames[frames.len() - 1]), (5, bytes.len()));
        for end in last..bytes.len() {
            let path = folder.path().join(format!("torn-{end}"));
            std::fs::write(&path, &bytes[..end]).unwrap();
            let (mut ledger, reading) = Ledger::open(&path).unwrap();
            assert_eq!((reading.sound, reading.torn), (last as u64, (end - last) as u64), "cut at {end}");
            assert_eq!(reading.records, records[..2]);
            ledger.append(&records[2]).unwrap();
            ledger.sync().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "cut at {end}");
        }
        // A file system may leave zeros where it had made room.
        let zeros = [&bytes[..], &[0; 500]].concat();
        assert_eq!(read(&zeros).unwrap().torn, 500);
        assert_eq!(read(&zeros).unwrap().records, records);
    }
}

#[test]
fn a_cut_inside_an_earlier_record_loses_no_more_than_it_must() {
    let (_folder, _, bytes, _, records, _) = written(Method::Population(population(4)), 4);
    let frames = frames(&bytes);
    for (whole, pair) in frames.windows(2).enumerate().skip(1) {
        for end in [pair[0], pair[0] + 1, pair[0] + HEAD, pair[1] - 1] {
            let reading = read(&bytes[..end]).unwrap();
            assert_eq!((reading.records.len(), reading.torn), (whole - 1, (end - pair[0]) as u64));
            assert_eq!(reading.records, records[..whole - 1]);
        }
    }
    for end in 0..frames[1] {
        refused(&bytes[..end]);
    }
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    for method in methods() {
        let (_folder, path, bytes, _, _, _) = written(method, 3);
        let frames = frames(&bytes);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let message = refused(&flipped);
                if let Some(record) = frames.iter().rposition(|f| *f <= at) {
                    let place = format!("record {record} at offset {}", frames[record]);
                    assert!(message.starts_with(&place), "byte {at}, bit {bit}: {message}");
                }
            }
        }
        let mut flipped = bytes.clone();
        flipped[frames[1] + HEAD + 40] ^= 4;
        std::fs::write(&path, &flipped).unwrap();
        let message = Ledger::open(&path).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("run.ledger: record 1 at offset"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), flipped, "a damaged ledger is left as it was found");
    }
}

#[test]
fn foreign_files_and_versions_are_refused() {
    let (_folder, _, mut bytes, _, _, _) = written(Method::TwoPoint(two_point(1)), 1);
    assert!(refused(b"").contains("a file that begins with ONWARD"));
    assert!(refused(b"ONWARD").contains("a file that begins with ONWARD"));
    assert!(refused(b"PK\x03\x04 something else").contains("a file that begins with ONWARD"));
    assert!(refused(&bytes[..0]).contains("ONWARD"));
    assert_eq!(refused(&bytes[..PREAMBLE]), "ledger: expected a header record, found none");
    for version in [0, 4] {
        bytes[6] = version;
        let error = read(&bytes).unwrap_err();
        let words = format!("ledger: expected format version 1 to 3, found version {version}");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Ledger, words));
    }
    // A header of one version does not pass for one of another.
    for version in [1, 2] {
        bytes[6] = version;
        assert!(refused(&bytes).starts_with("record 0 at offset 8: "));
    }
}

#[test]
fn steps_out_of_order_are_refused() {
    let (folder, _, _, header, records, _) = written(Method::Population(population(4)), 3);
    for (name, order, place) in
        [("gap", [0, 2], "record 2"), ("twice", [0, 0], "record 2"), ("late", [1, 2], "record 1")]
    {
        let path = folder.path().join(name);
        let mut ledger = Ledger::create(&path, &header).unwrap();
        order.iter().for_each(|i| ledger.append(&records[*i]).unwrap());
        ledger.sync().unwrap();
        let message = refused(&std::fs::read(&path).unwrap());
        assert!(message.starts_with(place) && message.contains("expected step"), "{name}: {message}");
    }
}

/// Records whose own checksums are right, in places where they do not belong.
#[test]
fn spliced_records_break_the_chain() {
    let (folder, _, bytes, header, records, _) = written(Method::Population(population(4)), 3);
    let frames_of =
        |bytes: &[u8]| frames(bytes).windows(2).map(|f| bytes[f[0]..f[1]].to_vec()).collect::<Vec<_>>();
    let own = frames_of(&bytes);
    let path = folder.path().join("other");
    let mut ledger = Ledger::create(&path, &header).unwrap();
    let altered = Entry { loss: records[0].loss + 1.0, ..records[0].clone() };
    [&altered, &records[1], &records[2]].into_iter().for_each(|r| ledger.append(r).unwrap());
    ledger.sync().unwrap();
    let other = frames_of(&std::fs::read(&path).unwrap());
    let file = |parts: &[&Vec<u8>]| {
        [bytes[..PREAMBLE].to_vec(), parts.iter().copied().flatten().copied().collect()].concat()
    };
    assert_eq!(file(&own.iter().collect::<Vec<_>>()), bytes);
    let spliced = [
        ("replaced", file(&[&own[0], &other[1], &own[2], &own[3]]), 2),
        ("continued", file(&[&own[0], &own[1], &other[2], &other[3]]), 2),
        ("left out", file(&[&own[0], &own[2], &own[3]]), 1),
        ("swapped", file(&[&own[0], &own[2], &own[1], &own[3]]), 1),
        ("second header", file(&[&own[0], &own[0], &own[1]]), 1),
    ];
    for (what, bytes, record) in spliced {
        let message = refused(&bytes);
        assert!(
            message.starts_with(&format!("record {record} at offset")) && message.contains("hash"),
            "{what}: {message}"
        );
    }
}

#[test]
fn a_ledger_has_at_most_8_bytes_per_probe_and_64_per_step() {
    let sizes = [
        Method::Population(population(2)),
        Method::Population(population(64)),
        Method::TwoPoint(two_point(1)),
        methods()[3].clone(),
        search("snes"),
        search("stp"),
    ];
    for method in sizes {
        let (_folder, _, bytes, _, records, spent) = written(method.clone(), 40);
        let body = bytes.len() - frames(&bytes)[1];
        let room = 8 * spent.passes as usize + 64 * records.len();
        println!("{}: {body} bytes for {} passes in {} steps", method.name(), spent.passes, records.len());
        assert!(body <= room, "{}: {body} bytes, room for {room}", method.name());
    }
}

/// A frame as the file holds it, with right checksums and a right chain around any payload.
fn frame(chain: &mut [u8; 32], payload: &[u8]) -> Vec<u8> {
    let mut hash = blake3::Hasher::new_derive_key("onward 2026 ledger chain v1");
    *chain = *hash.update(&chain[..]).update(payload).finalize().as_bytes();
    let body = [&chain[..], payload, &[0xff]].concat();
    let length = (body.len() as u32).to_le_bytes();
    [&length[..], &crc32fast::hash(&length).to_le_bytes(), &crc32fast::hash(&body).to_le_bytes(), &body]
        .concat()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = read(&[b"ONWARD\x03\x00", &bytes[..]].concat());
    }

    #[test]
    fn no_payload_makes_the_decoder_panic(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..4)) {
        let mut chain = [0; 32];
        let frames: Vec<u8> = payloads.iter().flat_map(|p| frame(&mut chain, p)).collect();
        prop_assert!(read(&[b"ONWARD\x03\x00", &frames[..]].concat()).is_err());
    }

    #[test]
    fn damage_is_never_believed(at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..20)) {
        let bytes = GOLDEN[3].bytes();
        let sound = read(&bytes).unwrap();
        let at = at.index(bytes.len());
        let mut damaged = bytes.clone();
        damaged.splice(at..(at + with.len()).min(bytes.len()), with);
        if let Ok(found) = read(&damaged) {
            let n = found.records.len();
            prop_assert_eq!(&found.records[..], &sound.records[..n]);
            prop_assert!(damaged == bytes || found.torn > 0);
        }
    }
}

/// One ledger that every later version must read and replay: its file, chain and the digest that it leads to.
struct Golden {
    name: &'static str,
    chain: &'static str,
    digest: &'static str,
}

/// Those of version 1 have the three kinds of header that it knew.
const GOLDEN: [Golden; 7] = [
    Golden {
        name: "population-v1.ledger",
        chain: "3601c4dc1651f82960d129c126a9fb05e20c493dc62e084f2fdc54595cacbbb5",
        digest: "74855230e1f0c3cbf5afd2ee37ef70a54e1c8d79ce4c654ae303e03f1ccb4558",
    },
    Golden {
        name: "stored-v1.ledger",
        chain: "14ef09e6fc5e3a70c75a26a88b92dc15cfea0f000675643e9d901996a1a5f219",
        digest: "87e3be9e032c316327b0a614f4abac475deacf370d85ecf95181890d963875cb",
    },
    Golden {
        name: "search-v1.ledger",
        chain: "822f27b5d400525a14f3a03a4ceebf9533001fa4cea4ddb51649ea9958c76fc5",
        digest: "c73fdd9cc131f3ce890e0b8e856b4059643ec0646d8c2e54aa1a28ee90a49990",
    },
    Golden {
        name: "population-v2.ledger",
        chain: "22b8d32b97c9decda0063f4f57a586171a022e6809d20dfefa0b4ca50aa63044",
        digest: "74855230e1f0c3cbf5afd2ee37ef70a54e1c8d79ce4c654ae303e03f1ccb4558",
    },
    Golden {
        name: "search-v2.ledger",
        chain: "d5393ed7a3de5f32253e492765c7b8b2e4bbae0999a5ff450a07998384c7052a",
        digest: "4b82454c255c3a0848d13a347ce7ac6a3b640a069a8f87cc95ceae8c76a84852",
    },
    Golden {
        name: "population-v3.ledger",
        chain: "ac01a170a5e50d755b62c8a384ddbe470845fe433188f549e867265fe8112205",
        digest: "74855230e1f0c3cbf5afd2ee37ef70a54e1c8d79ce4c654ae303e03f1ccb4558",
    },
    Golden {
        name: "search-v3.ledger",
        chain: "79e051f0bf7005d793d459144757ad544d2df26b19894c3347abba0f5c64fd89",
        digest: "0c9a3e3866ffc38300b5c752c5032e82a246ac17faece588ed93d5e725f133f9",
    },
];

impl Golden {
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(self.name)).unwrap()
    }
}

/// The params that a ledger of a multilayer perceptron leads to.
fn replayed(reading: &Reading) -> [u8; 32] {
    let header = &reading.header;
    let biases = header.tensors.iter().filter(|t| t.shape.len() == 1).map(|t| t.shape[0] as usize);
    let inputs = header.tensors[0].shape[1] as usize;
    let widths: Vec<usize> = std::iter::once(inputs).chain(biases).collect();
    let graph = Mlp::new(&widths, Activation::Relu).unwrap().graph();
    let specs = graph.tensors();
    let base = Params::init(specs, &RunKey::from_seed(header.seed)).stored_as(header.recipe.storage);
    assert_eq!(base.digest(), header.base, "initial params");
    let shapes = |t: &Tensor| t.shape.iter().map(|n| *n as u64).collect::<Vec<_>>();
    assert!(
        base.tensors().iter().zip(&header.tensors).all(|(t, h)| t.name == h.name && shapes(t) == h.shape)
    );
    let mut state = State::of(header, base).unwrap();
    reading.records.iter().for_each(|r| _ = state.apply(r, None).unwrap());
    state.params().digest()
}

/// Ledgers that earlier versions wrote decode for ever, and lead to the same params for ever. (A new format version gets a
/// ledger of its own beside them: `ONWARD_WRITE_GOLDEN=1 cargo test -p onward --test all golden`.)
#[test]
fn golden_ledgers_replay_to_their_digests() {
    if std::env::var_os("ONWARD_WRITE_GOLDEN").is_some() {
        for golden in &GOLDEN[5..] {
            let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(golden.name);
            std::fs::write(at, golden_run(golden.name)).unwrap();
        }
    }
    for golden in &GOLDEN {
        let reading = read(&golden.bytes()).unwrap();
        let found = (hex(&reading.chain()), hex(&replayed(&reading)));
        assert_eq!(found, (golden.chain.into(), golden.digest.into()), "{}", golden.name);
        if reading.version == FORMAT_VERSION {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("again");
            let mut ledger = Ledger::create(&path, &reading.header).unwrap();
            reading.records.iter().for_each(|r| ledger.append(r).unwrap());
            ledger.sync().unwrap();
            assert!(std::fs::read(&path).unwrap() == golden.bytes(), "{} is written as it was", golden.name);
        }
    }
}

#[test]
fn golden_headers_say_what_the_runs_are() {
    let [first, stored, search, second, second_search, third, third_search] =
        GOLDEN.map(|golden| read(&golden.bytes()).unwrap());
    for reading in [&first, &second, &third] {
        let header = &reading.header;
        assert_eq!((header.seed, header.steps, header.method.as_str()), (11, 64, "population"));
        assert_eq!((header.goal.as_str(), header.recipe.optimizer.momentum), ("minimize", 0.9));
        assert_eq!(reading.records.len(), 12);
        let Some(Update::Probes { coefficients, .. }) = reading.records.last().map(|r| &r.update) else {
            panic!("probes")
        };
        assert_eq!(coefficients.len(), 8);
    }
    assert!(first.records == second.records && second.records == third.records);
    let numerics = |reading: &Reading| reading.header.numerics.as_ref().map(ToString::to_string);
    assert_eq!((first.version, numerics(&first)), (1, None));
    assert_eq!((second.version, numerics(&second)), (2, Some("f32".into())));
    assert_eq!((third.version, numerics(&third)), (3, Some("f32".into())));
    assert_eq!(stored.header.recipe.storage, Storage::Bf16);
    for (reading, version) in [(search, 1), (second_search, 2), (third_search, 3)] {
        let Recipe { moves: Moves::Search(settings), storage, .. } = reading.header.recipe else {
            panic!("a search")
        };
        assert_eq!((reading.version, settings.strategy.name(), storage), (version, "snes", Storage::F32));
    }
}

/// A ledger of each version with a tail that a torn write left, cut or filled with zeros: it is told, cut off, and the run goes on in the
/// ledger's own version, to the same bytes.
#[test]
fn a_torn_ledger_of_any_version_goes_on_in_its_own_version() {
    for golden in &GOLDEN {
        let bytes = golden.bytes();
        let (folder, reading) = (tempfile::tempdir().unwrap(), read(&bytes).unwrap());
        let frames = frames(&bytes);
        let last = frames[frames.len() - 2];
        for (end, zeros) in [
            (last, 0),
            (last + 5, 0),
            (last + 5, 40),
            (frames[4] + 20, 300),
            (frames[4], 0),
            (bytes.len(), 0),
        ] {
            let path = folder.path().join(format!("cut-{end}-{zeros}"));
            std::fs::write(&path, [&bytes[..end], &vec![0; zeros]].concat()).unwrap();
            let (mut ledger, found) = Ledger::open(&path).unwrap();
            let sound = *frames.iter().rfind(|f| **f <= end).unwrap();
            assert_eq!((found.version, found.sound as usize), (reading.version, sound), "{}", golden.name);
            assert_eq!(found.torn as usize, end + zeros - sound);
            reading.records[found.records.len()..].iter().for_each(|r| ledger.append(r).unwrap());
            ledger.sync().unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes, "{} cut at {end}", golden.name);
        }
    }
}

fn golden_run(name: &str) -> Vec<u8> {
    let method = match name.split('-').next() {
        Some("search") => search("snes"),
        _ => Method::Population(onward::rule::Population { rank: 2, ..population(16) }),
    };
    let momentum = if matches!(method, Method::Search(_)) { 0.0 } else { 0.9 };
    let mut plan = plan(method, 0.05, 64, 24);
    plan.optimizer.momentum = momentum;
    let mut trainer = trainer(plan, net(), &blobs(24, [1, 1, 6], 3, 1), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden");
    let header = Header { interface: Some([8; 32]), test: Some([9; 32]), ..trainer.header([7; 32]) };
    let mut ledger = Ledger::create(&path, &header).unwrap();
    (0..12).for_each(|_| ledger.append(&trainer.step().unwrap().entry).unwrap());
    ledger.sync().unwrap();
    std::fs::read(&path).unwrap()
}

/// Zeros from any place to the end of the file, as a power cut leaves them whose file system knew the size before the data.
#[test]
fn r03_a_zero_filled_tail_is_cut_and_no_sound_record_is_lost() {
    for method in methods() {
        let (_folder, _, bytes, _, records, _) = written(method, 6);
        let frames = frames(&bytes);
        for from in frames[1]..bytes.len() {
            for room in [0, 1, 512] {
                let zeros = vec![0; bytes.len() - from + room];
                let reading = read(&[&bytes[..from], &zeros].concat()).unwrap();
                let whole = frames.iter().rposition(|f| *f <= from).unwrap() - 1;
                assert_eq!(reading.records, records[..whole], "zeros from {from}");
                assert_eq!(reading.sound as usize, frames[whole + 1]);
                assert_eq!(reading.sound + reading.torn, (bytes.len() + room) as u64);
            }
        }
        for from in 0..frames[1] {
            let zeros = vec![0; bytes.len() - from];
            refused(&[&bytes[..from], &zeros].concat());
        }
    }
}

#[test]
fn r13_a_ledger_that_is_no_longer_at_its_place_is_not_synced() {
    let (folder, path, _, _, records, _) = written(Method::Population(population(4)), 3);
    let (mut ledger, _) = Ledger::open(&path).unwrap();
    let other = folder.path().join("other");
    std::fs::rename(&path, &other).unwrap();
    let moved = ledger.sync().unwrap_err();
    assert_eq!(moved.kind(), ErrorKind::Io);
    assert!(moved.to_string().ends_with("found none: it was moved or removed"), "{moved}");
    std::fs::write(&path, "another file").unwrap();
    assert!(ledger.sync().is_err());
    std::fs::rename(&other, &path).unwrap();
    ledger.sync().unwrap();
    // Nor does a second one append to it.
    assert_eq!(Ledger::open(&path).map(|_| ()).unwrap_err().kind(), ErrorKind::Locked);
    drop(ledger);
    let (_, reading) = Ledger::open(&path).unwrap();
    assert_eq!(reading.records, records);
}

#[test]
fn r03_what_stands_before_damage_is_salvaged() {
    let (_folder, _, bytes, _, records, _) = written(Method::Population(population(4)), 4);
    let frames = frames(&bytes);
    for at in frames[1]..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 16;
        let (reading, damage) = salvage(&flipped).unwrap();
        let whole = frames.iter().rposition(|f| *f <= at).unwrap() - 1;
        assert_eq!((&reading.records[..], damage.is_some()), (&records[..whole], true), "byte {at}");
        assert_eq!((reading.sound + reading.torn) as usize, bytes.len());
        let lost = recognised(&flipped[reading.sound as usize..]) as usize;
        assert!(lost == 4 - whole || lost == 3 - whole, "byte {at}: {lost}");
    }
    assert!(salvage(&bytes).unwrap().1.is_none());
    assert_eq!(salvage(&bytes[..30]).map(|_| ()).unwrap_err().kind(), ErrorKind::Damage);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn headers_come_back_to_the_bit(
        seed in any::<u64>(), momentum in any::<f32>(), sigma in any::<f64>(), digests in any::<[[u8; 32]; 3]>(), name in any::<String>(),
    ) {
        prop_assume!(momentum.is_finite() && sigma.is_finite());
        let mut header = training(search("snes")).header(digests[0]);
        header.seed = seed;
        header.recipe.optimizer.momentum = momentum;
        let Moves::Search(search) = &mut header.recipe.moves else { panic!("a search") };
        search.sigma = sigma;
        header.interface = Some(digests[1]);
        header.test = Some(digests[2]).filter(|_| seed % 2 == 0);
        header.tensors[0].name = name;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.ledger");
        Ledger::create(&path, &header).unwrap();
        let back = read(&std::fs::read(&path).unwrap()).unwrap().header;
        prop_assert_eq!(back.recipe.optimizer.momentum.to_bits(), momentum.to_bits());
        prop_assert_eq!(back, header);
    }
}
