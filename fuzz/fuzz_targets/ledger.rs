//! Whatever the bytes, the reader answers with a ledger or an error; a ledger cut anywhere still reads up to the cut; and
//! what was read says the same once it is written again.
//!
//! No mutation gets past a checksum, so the bytes are tried twice: as a file, and as the records of a file whose lengths,
//! checksums and chain are put right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onward::ledger::{FORMAT_VERSION, Ledger, Reading, read};

/// A ledger of records that `bytes` list, each behind its length in two bytes.
fn sealed(mut bytes: &[u8]) -> Vec<u8> {
    let mut file = b"ONWARD".to_vec();
    file.extend(FORMAT_VERSION.to_le_bytes());
    let mut chain = [0; 32];
    while let [low, high, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes([*low, *high]))));
        let mut hash = blake3::Hasher::new_derive_key("onward 2026 ledger chain v1");
        chain = *hash.update(&chain).update(payload).finalize().as_bytes();
        let body = [&chain[..], payload, &[0xff]].concat();
        let length = (body.len() as u32).to_le_bytes();
        for part in [length, crc32fast::hash(&length).to_le_bytes(), crc32fast::hash(&body).to_le_bytes()] {
            file.extend(part);
        }
        file.extend(body);
        bytes = rest;
    }
    file
}

/// All that a reading tells, NaNs included.
fn told(reading: &Reading) -> String {
    format!("{:?} {:?}", reading.header, reading.records)
}

fn check(bytes: &[u8]) {
    let Ok(reading) = read(bytes) else { return };
    assert_eq!(reading.sound + reading.torn, bytes.len() as u64);
    let sound = &bytes[..reading.sound as usize];
    assert_eq!(read(sound).map(|again| (told(&again), again.torn)).ok(), Some((told(&reading), 0)));
    if let Ok(shorter) = read(&sound[..sound.len() - 1]) {
        assert_eq!(shorter.records.len() + 1, reading.records.len());
    }
    let path = std::env::temp_dir().join(format!("onward-fuzz-{}.ledger", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut ledger = Ledger::create(&path, &reading.header).expect("a new file");
    for record in &reading.records {
        ledger.append(record).expect("what was read can be written");
    }
    ledger.flush().expect("room in the temporary folder");
    drop(ledger);
    let written = std::fs::read(&path).expect("the file just written");
    let _ = std::fs::remove_file(&path);
    assert_eq!(read(&written).map(|again| told(&again)).ok(), Some(told(&reading)));
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&sealed(bytes));
});
