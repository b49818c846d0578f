//! The training loop's own machine code has no floating-point instruction.

#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used)]

use onward_integer::{Bytes, BytesShape, IntegerNet, NetShape, Significance, ThreadCount};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What the search must find: otherwise it would find nothing anywhere.
#[inline(never)]
fn with_floats(a: f64, b: f64) -> f64 {
    a * b + 1.0
}

/// The loop, so that it is in this program.
fn train() -> u64 {
    let test = Significance { alpha: 65_536, fall: 16, steps: 2, memory: 4 }.at(0);
    let mut net = IntegerNet::new(&NetShape { widths: vec![4, 3, 2], spread: 6, seed: 1 }).unwrap();
    net.step(&[1, 2, 3, 4], &[1], test, ThreadCount::ONE).unwrap();
    let shape =
        BytesShape { symbols: 3, units: 4, window: 1, hidden: vec![], spread: 32, head_spread: 6, seed: 1 };
    let mut bytes = Bytes::new(&shape).unwrap();
    let mut streams = bytes.streams(1).unwrap();
    bytes.step(&mut streams, &[1], &[2], test, ThreadCount::ONE).unwrap();
    net.digest() ^ bytes.digest()
}

/// A function's instructions, and the functions that it calls.
#[derive(Default)]
struct Code {
    instructions: Vec<String>,
    calls: BTreeSet<String>,
}

fn disassembled(listing: &str) -> BTreeMap<String, Code> {
    let (mut all, mut name) = (BTreeMap::<String, Code>::new(), String::new());
    for line in listing.lines() {
        if let Some((_, symbol)) = line.strip_suffix(">:").and_then(|l| l.split_once('<')) {
            name = symbol.to_owned();
            continue;
        }
        let Some((_, instruction)) = line.split_once(":\t") else { continue };
        let code = all.entry(name.clone()).or_default();
        let mut words = instruction.split_whitespace();
        let mnemonic = words.next().unwrap_or_default().to_owned();
        if let Some((_, target)) =
            instruction.split_once('<').filter(|_| mnemonic == "call" || mnemonic.starts_with('j'))
        {
            let target = target.split(['+', '>']).next().unwrap_or_default();
            code.calls.insert(target.to_owned());
        }
        code.instructions.push(mnemonic);
    }
    all
}

/// Whether an instruction computes with, compares or converts floating-point numbers. Moves, shuffles and bitwise operations of whole registers do not.
fn floats(mnemonic: &str) -> bool {
    const OPERATIONS: [&str; 19] = [
        "add", "sub", "mul", "div", "sqrt", "min", "max", "cmp", "comi", "ucomi", "rcp", "rsqrt", "round",
        "hadd", "hsub", "addsub", "dp", "range", "reduce",
    ];
    let own = mnemonic.strip_prefix('v').unwrap_or(mnemonic);
    let scalar = ["ss", "sd", "ps", "pd", "sh", "ph"].iter().find_map(|end| own.strip_suffix(end));
    let x87 = mnemonic.starts_with('f') && !mnemonic.starts_with("fence");
    let fused = ["fmadd", "fmsub", "fnmadd", "fnmsub"].iter().any(|start| own.starts_with(start));
    let compared = own.starts_with("cmp") && scalar.is_some();
    own.starts_with("cvt")
        || x87
        || fused
        || compared
        || scalar.is_some_and(|start| OPERATIONS.contains(&start))
}

/// Where the search stops: what ends the program, gives it memory or starts threads.
fn outside(symbol: &str) -> bool {
    const ENDS: [&str; 8] =
        ["panic", "4core3fmt", "alloc", "unwrap_failed", "expect_failed", "_fail", "3std6thread", "_Unwind"];
    !symbol.contains("onward_integer")
        && (ENDS.iter().any(|end| symbol.contains(end)) || symbol.contains("@plt"))
}

#[test]
fn no_floating_point_instruction_is_reached_from_the_loop() {
    assert_ne!(train(), 0);
    assert!(with_floats(2.0, std::hint::black_box(3.0)) > 6.0);
    let program = std::env::current_exe().unwrap();
    let listing = match Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(program).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        other => {
            println!("skipped: objdump cannot be run ({:?})", other.map(|output| output.status));
            return;
        }
    };
    let all = disassembled(&listing);
    let seen = |part: &str| all.iter().find(|(name, _)| name.contains(part));
    let control = seen("with_floats").unwrap().1;
    assert!(control.instructions.iter().any(|i| floats(i)), "{:?}", control.instructions);
    let mut ahead: Vec<&String> = all.keys().filter(|name| name.contains("onward_integer")).collect();
    for part in ["IntegerNet4step", "Bytes4step"] {
        assert!(ahead.iter().any(|name| name.contains(part)), "no {part} among {} functions", ahead.len());
    }
    let mut reached: BTreeSet<&String> = ahead.iter().copied().collect();
    while let Some(name) = ahead.pop() {
        let Some(code) = all.get(name) else { continue };
        if let Some(found) = code.instructions.iter().find(|i| floats(i)) {
            panic!("{name}: {found}");
        }
        ahead.extend(code.calls.iter().filter(|call| !outside(call) && reached.insert(call)));
    }
    let instructions: usize =
        reached.iter().filter_map(|name| all.get(*name)).map(|c| c.instructions.len()).sum();
    println!("{} functions, {instructions} instructions", reached.len());
}
