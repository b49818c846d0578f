//! Language models at work: tokens a second of forward passes, of prompts that are read, and of texts that go on. One JSON object a line.
//!
//! `language FOLDER THREADS ROWS PROMPT TOKENS [forward] [bf16]`: so many rows side by side, each of a prompt of so many tokens and so many that follow;
//! with `forward` whole passes over rows of `PROMPT` tokens with the logits of all of them, `TOKENS` times; `bf16` for products of bf16.

use onward::Result as Done;
use onward::kernel::Precision;
use onward::model::{Act, Context, Graph, Norms, Weights};
use onward::noise::RunKey;
use onward::threads::Threads;
use onward_language::{Folder, Generator, Prompt, Sampling};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, numbers @ ..] = &words[..] else { return Err("FOLDER THREADS ROWS PROMPT TOKENS".into()) };
    let forward = numbers.iter().any(|word| word == "forward");
    let in_bf16 = numbers.iter().any(|word| word == "bf16");
    let precision = if in_bf16 { Precision::bf16() } else { Precision::F32 };
    let numbers: Vec<usize> = numbers.iter().take(4).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [threads, rows, prompt, tokens] = numbers[..] else {
        return Err("FOLDER THREADS ROWS PROMPT TOKENS".into());
    };
    let folder = Folder::open(Path::new(folder))?;
    let net = folder.net(0);
    let params = folder.params(&Graph::new(&net, [1, 1, 1])?, &RunKey::from_seed(0))?.params;
    let vocabulary = folder.config().vocabulary;
    let token = |row: usize, i: usize| (2 + (i * 7 + row * 5) % (vocabulary - 2)) as u32;
    let done: Done<()> = Threads::new(threads)?.run(|| {
        if forward {
            let (graph, weights) = (Graph::new(&net, [1, prompt, 1])?, Weights::new(&params, precision));
            let numbers = (0..rows).flat_map(|row| (0..prompt).map(move |i| token(row, i) as f32));
            let x = Act::new(rows, [1, prompt, 1], numbers.collect());
            for _ in 0..tokens {
                let began = Instant::now();
                let y = graph.forward(&mut Context::clean(&weights, Norms::Batch), x.clone());
                assert_eq!(y.rows(), rows);
                let speed = (rows * prompt) as f64 / began.elapsed().as_secs_f64();
                println!("{{\"what\": \"forward\", \"tokens_per_second\": {speed:.2}}}");
            }
            return Ok(());
        }
        let generator = Generator::new(net.clone(), &params, precision)?;
        let mut decoder = generator.decoder();
        for row in 0..rows {
            let tokens_of = (0..prompt).map(|i| token(row, i)).collect();
            let sampling = Sampling::GREEDY;
            let most = tokens + 1;
            decoder.add(Prompt { tokens: tokens_of, most, sampling, number: row, stops: Vec::new() })?;
        }
        let began = Instant::now();
        decoder.step(&mut |_| true)?;
        let read = (rows * prompt) as f64 / began.elapsed().as_secs_f64();
        let began = Instant::now();
        let mut told = 0;
        while !decoder.is_empty() {
            decoder.step(&mut |_| {
                told += 1;
                true
            })?;
        }
        let speed = f64::from(told) / began.elapsed().as_secs_f64();
        println!("{{\"what\": \"decode\", \"rows\": {rows}, \"read_per_second\": {read:.2}, \"tokens\": {told}, \"tokens_per_second\": {speed:.2}}}");
        Ok(())
    });
    Ok(done?)
}
