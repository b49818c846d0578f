//! The noise against golden vectors that `testdata/make_noise.py`, an implementation of its own, made.

use super::*;
use onward_kernel::normal_pair;
use proptest::prelude::*;
use serde_json::Value;

const FAMILIES: [Family; 3] = [Family::Sign, Family::Binomial, Family::Normal];

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../../testdata/noise-v1.json")).unwrap()
}

fn number<T: TryFrom<u64>>(v: &Value) -> T {
    let n = v.as_u64().or_else(|| v.as_str()?.parse().ok()).unwrap();
    T::try_from(n).ok().unwrap()
}

fn role(v: &Value) -> Role {
    match v.as_str().unwrap() {
        "init" => Role::Init,
        "shuffle" => Role::Shuffle,
        "dense" => Role::Dense,
        "left" => Role::Left,
        "right" => Role::Right,
        "activation" => Role::Activation,
        other => panic!("{other}"),
    }
}

fn tensor_key(v: &Value) -> TensorKey {
    RunKey::from_seed(number(&v["seed"])).tensor(role(&v["role"]), v["name"].as_str().unwrap())
}

fn numbers(v: &Value) -> Vec<u32> {
    v.as_array().unwrap().iter().map(number).collect()
}

#[test]
fn philox_gives_the_known_answers_of_random123() {
    let answer = |counter: [u32; 4], key: [u32; 2]| {
        let noise = Noise { key, member: counter[2], step: counter[3] };
        noise.words(u64::from(counter[0]) | u64::from(counter[1]) << 32)
    };
    assert_eq!(answer([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    assert_eq!(answer([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    let pi = answer([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
    assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
}

#[test]
fn keys_and_words_are_golden() {
    let golden = golden();
    for v in golden["tensor_keys"].as_array().unwrap() {
        assert_eq!(tensor_key(v).0.to_vec(), numbers(&v["key"]), "{v}");
    }
    for v in golden["words"].as_array().unwrap() {
        let key = numbers(&v["key"]);
        let noise = TensorKey([key[0], key[1]]).at(number(&v["step"]), number(&v["member"]));
        assert_eq!(noise.words(number(&v["block"])).to_vec(), numbers(&v["words"]), "{v}");
    }
}

#[test]
fn elements_are_golden() {
    let golden = golden();
    {
        for v in golden["elements"].as_array().unwrap() {
            let family: Family = serde_json::from_value(v["family"].clone()).unwrap();
            let values = v["values"].as_array().unwrap();
            let want: Vec<u32> = match family {
                Family::Normal => values.iter().map(number).collect(),
                _ => values.iter().map(|z| (z.as_i64().unwrap() as f32).to_bits()).collect(),
            };
            let mut found = vec![0.0; want.len()];
            tensor_key(v).at(number(&v["step"]), number(&v["member"])).fill(
                family,
                number(&v["first"]),
                &mut found,
            );
            let found: Vec<u32> = found.iter().map(|z| z.to_bits()).collect();
            assert_eq!(found, want, "{family:?} of {}", v["name"]);
        }
    }
}

#[test]
fn normal_numbers_are_golden_at_the_edges() {
    for v in golden()["normal_pairs"].as_array().unwrap() {
        let v = numbers(v);
        let (a, b) = normal_pair(v[0], v[1]);
        assert_eq!((a.to_bits(), b.to_bits()), (v[2], v[3]), "words {:08x} {:08x}", v[0], v[1]);
        assert!(a.abs() < 6.67 && b.abs() < 6.67);
    }
}

#[test]
fn integer_families_stay_within_their_bounds() {
    let noise = RunKey::from_seed(5).tensor(Role::Dense, "w").at(1, 2);
    let mut z = vec![0.0; 100_000];
    for family in [Family::Sign, Family::Binomial] {
        noise.fill(family, 0, &mut z);
        let largest = family.largest().unwrap() as f32;
        assert!(z.iter().all(|v| v.fract() == 0.0 && v.abs() <= largest));
    }
}

#[test]
fn adding_rounds_once() {
    let noise = RunKey::from_seed(6).tensor(Role::Dense, "w").at(0, 0);
    let (scale, n) = (0.012_345_679, 5000);
    {
        for family in FAMILIES {
            let (mut z, mut sum) =
                (vec![0.0; n], (0..n).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>());
            noise.fill(family, 3, &mut z);
            let want: Vec<u32> = sum.iter().zip(&z).map(|(w, z)| z.mul_add(scale, *w).to_bits()).collect();
            noise.add_to(family, 3, scale, &mut sum);
            assert_eq!(sum.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), want, "{family:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_part_is_the_same_as_its_elements(first in 0u64..1 << 40, length in 0usize..3000, picks in prop::collection::vec(0usize..3000, 8)) {
        let noise = RunKey::from_seed(7).tensor(Role::Left, "w").at(4, 5);
        let mut part = vec![f32::NAN; length];
        for family in FAMILIES {
            noise.fill(family, first, &mut part);
            for i in picks.iter().copied().filter(|i| *i < length).chain([0, length.saturating_sub(1)]).take(length) {
                let mut one = [f32::NAN];
                noise.fill(family, first + i as u64, &mut one);
                assert_eq!(one[0].to_bits(), part[i].to_bits(), "{family:?} element {i}");
            }
        }
    }
}

#[test]
fn rounding_to_bf16_is_right_in_the_mean_and_the_same_everywhere() {
    use onward_kernel::{from_bf16, to_bf16};
    let noise = RunKey::from_seed(8).tensor(Role::Rounding, "w").at(3, 0);
    for value in [1.0f32, 1.001, -1.003, 0.333_333, 3.0e-39, -7.7e30] {
        let mut all = vec![value; 40_000];
        noise.round_to_bf16(0, &mut all);
        let cut = f32::from_bits(value.to_bits() & 0xffff_0000);
        let up = f32::from_bits((value.to_bits() & 0xffff_0000) + if cut == value { 0 } else { 0x1_0000 });
        assert!(all.iter().all(|v| *v == cut || *v == up), "{value}: a neighbour");
        let mean = all.iter().map(|v| f64::from(*v)).sum::<f64>() / 40_000.0;
        let step = f64::from(up) - f64::from(cut);
        assert!((mean - f64::from(value)).abs() <= 0.01 * step.abs(), "{value}: mean {mean}");
    }
    let special = [f32::MAX, -f32::MAX, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0];
    let mut found = special.repeat(100);
    noise.round_to_bf16(0, &mut found);
    for (i, v) in found.iter().enumerate() {
        let value = special[i % 6];
        assert_eq!(
            (v.is_finite(), v.is_sign_negative()),
            (value.is_finite(), value.is_sign_negative()),
            "{value}"
        );
        assert!(!v.is_finite() || from_bf16(to_bf16(*v)) == *v, "{value} became {v}");
    }
    let values: Vec<f32> = (0..1037).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut whole = values.clone();
    noise.round_to_bf16(0, &mut whole);
    {
        let (mut parts, at) = (values.clone(), 520);
        let (first, second) = parts.split_at_mut(at);
        noise.round_to_bf16(0, first);
        noise.round_to_bf16(at as u64, second);
        assert_eq!(parts, whole);
    }
}
