//! A training that was ended and goes on from its snapshot comes to the same bits; damaged snapshots are refused.

use onward_integer::{
    Bytes, BytesShape, InputError, IntegerNet, NetShape, Significance, Stream, ThreadCount, random,
};

const SIGNIFICANCE: Significance = Significance { alpha: 65_536, fall: 16, steps: 80, memory: 4 };

fn take_steps(model: &mut Bytes, streams: &mut [Stream], steps: std::ops::Range<u64>) {
    for step in steps {
        let at =
            |more: u64| (0..3).map(|s| (random::mixed(s, (step + more) / 2) % 5) as u8).collect::<Vec<u8>>();
        model.step(streams, &at(0), &at(1), SIGNIFICANCE.at(step), ThreadCount::ONE).unwrap();
    }
}

fn begun() -> (Bytes, Vec<Stream>) {
    let shape =
        BytesShape { symbols: 5, units: 16, window: 2, hidden: vec![8], spread: 32, head_spread: 6, seed: 1 };
    let model = Bytes::new(&shape).unwrap();
    let streams = model.streams(3).unwrap();
    (model, streams)
}

#[test]
fn a_model_of_bytes_goes_on_to_the_same_bits() {
    let (mut whole, mut streams) = begun();
    take_steps(&mut whole, &mut streams, 0..80);
    let (mut half, mut own) = begun();
    take_steps(&mut half, &mut own, 0..40);
    let (mut half, mut own, step) = Bytes::from_snapshot(&half.to_snapshot(&own, 40)).unwrap();
    assert_eq!(step, 40);
    take_steps(&mut half, &mut own, 40..80);
    assert_eq!((half, own), (whole, streams));
}

fn net() -> IntegerNet {
    IntegerNet::new(&NetShape { widths: vec![4, 6, 3], spread: 6, seed: 1 }).unwrap()
}

#[test]
fn a_net_goes_on_to_the_same_bits() {
    let take_steps = |net: &mut IntegerNet, steps: std::ops::Range<u64>| {
        for step in steps {
            let rows: Vec<i8> = (0..20).map(|i| (random::mixed(step, i) % 100) as i8).collect();
            net.step(&rows, &[0, 1, 2, 0, 1], SIGNIFICANCE.at(step), ThreadCount::ONE).unwrap();
        }
    };
    let (mut whole, mut half) = (net(), net());
    take_steps(&mut whole, 0..80);
    take_steps(&mut half, 0..40);
    let (mut half, step) = IntegerNet::from_snapshot(&half.to_snapshot(40)).unwrap();
    take_steps(&mut half, step..80);
    assert_eq!(half, whole);
}

#[test]
fn damage_is_refused() {
    fn said<T: std::fmt::Debug>(result: Result<T, InputError>) -> String {
        result.unwrap_err().to_string()
    }
    let sound = net().to_snapshot(7);
    for place in 0..sound.len() {
        let mut odd = sound.clone();
        odd[place] ^= 1;
        assert!(IntegerNet::from_snapshot(&odd).is_err(), "byte {place}");
        assert!(IntegerNet::from_snapshot(&sound[..place]).is_err(), "{place} bytes");
    }
    assert_eq!(
        said(IntegerNet::from_snapshot(b"MZ")),
        "snapshot: expected a snapshot of a net, found 2 other bytes"
    );
    let mut flipped = sound.clone();
    flipped[60] ^= 4;
    assert_eq!(
        said(IntegerNet::from_snapshot(&flipped)),
        "snapshot: expected bytes as they were written, found another checksum"
    );
    assert_eq!(
        said(Bytes::from_snapshot(&sound)),
        "snapshot: expected a snapshot of a model of bytes, found one of another kind"
    );
    // A checksum that fits a wrong length.
    let mut forged = sound[..sound.len() - 8].to_vec();
    forged[40..48].copy_from_slice(&60_000u64.to_le_bytes());
    let sum = forged
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    forged.extend(sum.to_le_bytes());
    assert_eq!(
        said(IntegerNet::from_snapshot(&forged)),
        "snapshot, byte 65: expected 360018 weights, found 1872 bytes"
    );
}
