//! Files of tokens, and a net that reads them.

#![allow(clippy::unwrap_used)]

use onward::ask::Shuffle;
use onward::dataset::{Dataset, NO_ITEM, Targets};
use onward::evaluate::Local;
use onward::ledger::{Optimizer, Scaling};
use onward::model::{Builder, Model, Var};
use onward::noise::Family;
use onward::params::Storage;
use onward::rows::{Source, TargetsSchema};
use onward::rule::{Anneal, Method, Schedule, TwoPoint};
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::{Plan, Trainer};
use onward_data::{TokenOptions, TokenWidth, Tokens};
use std::sync::Arc;
use tempfile::TempDir;

/// The tokens in a file, and how rows are made of it.
fn options(folder: &TempDir, width: TokenWidth, tokens: &[u32]) -> TokenOptions {
    let bytes = tokens.iter().flat_map(|token| match width {
        TokenWidth::U16 => token.to_le_bytes()[..2].to_vec(),
        TokenWidth::U32 => token.to_le_bytes().to_vec(),
    });
    let path = folder.path().join("t.bin");
    std::fs::write(&path, bytes.collect::<Vec<u8>>()).unwrap();
    TokenOptions {
        path,
        width,
        vocabulary: 100_000,
        length: 4,
        end_of_text: None,
        ragged: false,
        padding: None,
    }
}

/// Features and targets of all rows.
fn rows(tokens: &Tokens) -> (Vec<f32>, Vec<f32>) {
    let ids: Vec<u64> = (0..tokens.schema().count).collect();
    let rows = tokens.read(&ids).unwrap();
    let Targets::Values { values, .. } = rows.data().targets().clone() else { panic!("values") };
    (rows.data().features().to_vec(), values)
}

fn complaint(options: TokenOptions) -> String {
    let read = Tokens::open(options).and_then(|tokens| {
        let ids: Vec<u64> = (0..tokens.schema().count).collect();
        tokens.read(&ids).map(|_| ())
    });
    read.unwrap_err().to_string()
}

#[test]
fn rows_are_windows_whose_targets_follow_them() {
    let folder = TempDir::new().unwrap();
    for width in [TokenWidth::U16, TokenWidth::U32] {
        let high = if width == TokenWidth::U32 { 70_000 } else { 60_000 };
        let tokens = Tokens::open(options(&folder, width, &[5, 6, 7, 8, 9, high, 1, 2, 3, 4, 5])).unwrap();
        let (x, y) = rows(&tokens);
        assert_eq!(x, [5.0, 6.0, 7.0, 8.0, 9.0, high as f32, 1.0, 2.0]);
        assert_eq!(y, [6.0, 7.0, 8.0, 9.0, high as f32, 1.0, 2.0, 3.0]);
        assert_eq!((tokens.schema().shape(), tokens.left_out()), ([1, 4, 1], 3));
        assert!(tokens.read(&[2]).is_err());
        let again = tokens.read(&[1, 0]).unwrap();
        assert_eq!(again.data().row(1), &x[..4]);
    }
}

#[test]
fn documents_are_kept_apart() {
    let folder = TempDir::new().unwrap();
    let text = [1, 2, 3, 4, 9, 5, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 2, 2, 2, 2];
    let apart = |end_of_text| TokenOptions { end_of_text, ..options(&folder, TokenWidth::U16, &text) };
    let tokens = Tokens::open(apart(Some(9))).unwrap();
    let (x, y) = rows(&tokens);
    assert_eq!(x, [1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 2.0, 2.0, 2.0, 2.0]);
    assert_eq!(y, [2.0, 3.0, 4.0, 9.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 2.0, 2.0, 2.0, 2.0]);
    assert_ne!(tokens.digest(), Tokens::open(apart(None)).unwrap().digest());
    // More tokens than are looked at together.
    let many: Vec<u32> = (0..200_000).map(|i| if i % 10 == 9 { 9 } else { i % 7 }).collect();
    let tokens = TokenOptions { end_of_text: Some(9), ..options(&folder, TokenWidth::U32, &many) };
    let tokens = Tokens::open(tokens).unwrap();
    assert_eq!(tokens.schema().count, 40_000);
    let last = [4, 5, 6, 7].map(|at| ((199_990 + at) % 7) as f32);
    assert_eq!(tokens.read(&[39_999]).unwrap().data().row(0), last);
}

#[test]
fn rows_may_end_with_their_document() {
    let folder = TempDir::new().unwrap();
    let text = [1, 2, 3, 4, 9, 5, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 2, 2];
    let ragged =
        |end_of_text| TokenOptions { end_of_text, ragged: true, ..options(&folder, TokenWidth::U16, &text) };
    let tokens = Tokens::open(ragged(Some(9))).unwrap();
    let none = NO_ITEM;
    let x = [
        [1.0, 2.0, 3.0, 4.0],
        [5.0, none, none, none],
        [1.0, 2.0, 3.0, 4.0],
        [5.0, 6.0, 7.0, 8.0],
        [2.0, 2.0, none, none],
    ];
    let y = [
        [2.0, 3.0, 4.0, 9.0],
        [9.0, none, none, none],
        [2.0, 3.0, 4.0, 5.0],
        [6.0, 7.0, 8.0, 9.0],
        [2.0, 2.0, none, none],
    ];
    assert_eq!(rows(&tokens), (x.concat(), y.concat()));
    assert_eq!(tokens.left_out(), 4, "the ends of documents are targets alone");
    assert_eq!(tokens.schema().targets, TargetsSchema::Ragged(4));
    let all: Vec<u64> = (0..5).collect();
    assert!(tokens.read(&all).unwrap().data().is_ragged());
    // As lists of tokens give them.
    let lists = x.iter().zip(&y).map(|(x, y)| {
        let own = |row: &[f32; 4]| row.iter().copied().filter(|token| *token != none).collect::<Vec<_>>();
        (own(x), own(y))
    });
    let lists: Vec<_> = lists.collect();
    assert_eq!(tokens.read(&all).unwrap().into_parts().1, Dataset::ragged(&lists, 4).unwrap());
    let one = Tokens::open(ragged(None)).unwrap();
    assert_eq!((one.schema().count, one.left_out()), (5, 1));
    assert_eq!(one.read(&[4]).unwrap().data().row(0), [2.0, 2.0, none, none]);
    assert_ne!(one.digest(), Tokens::open(options(&folder, TokenWidth::U16, &text)).unwrap().digest());
    let padded = Tokens::open(TokenOptions { padding: Some(0), ..ragged(Some(9)) }).unwrap();
    let (features, targets) = rows(&padded);
    assert_eq!(features[4..8], [5.0, 0.0, 0.0, 0.0]);
    assert_eq!(targets[4..8], [9.0, none, none, none]);
    assert_ne!(padded.digest(), tokens.digest());
}

#[test]
fn rows_without_items_are_refused() {
    let folder = TempDir::new().unwrap();
    let of = |tokens: &[u32]| TokenOptions {
        end_of_text: Some(9),
        ragged: true,
        ..options(&folder, TokenWidth::U16, tokens)
    };
    let text = complaint(of(&[1, 2, 9, 9, 1]));
    assert!(text.contains("t.bin: token 3 (from 0): expected a document of at least one token"), "{text}");
    assert!(complaint(of(&[1])).contains("a document of at least 2 tokens, found 1 tokens"));
    let rows = [(vec![1.0], vec![2.0]), (Vec::new(), Vec::new())];
    let error = Dataset::ragged(&rows, 4).unwrap_err();
    assert_eq!(error.to_string(), "row 1: expected 1 to 4 items, found 0");
    let refused = |tokens: &[f32], targets: &[f32]| {
        Dataset::ragged(&[(tokens.to_vec(), targets.to_vec())], 2).unwrap_err().to_string()
    };
    assert!(refused(&[1.0; 3], &[1.0; 3]).contains("row 0: expected 1 to 2 items, found 3"));
    assert!(refused(&[1.0; 2], &[1.0]).contains("2 targets, one an item, found 1"));
    assert!(refused(&[-1.0], &[1.0]).contains("whole numbers from 0 on, found -1"));
    let even = TokenOptions { padding: Some(0), ragged: false, ..of(&[1, 2, 3, 4, 5, 6]) };
    assert!(complaint(even).starts_with("data.padding: expected none, as rows are all of one length"));
    assert!(complaint(TokenOptions { padding: Some(100_000), ..of(&[1, 2]) }).starts_with("data.padding"));
}

#[test]
fn bad_files_are_refused_with_their_place() {
    let folder = TempDir::new().unwrap();
    let of = |tokens: &[u32]| options(&folder, TokenWidth::U16, tokens);
    let apart = |tokens: &[u32]| TokenOptions { end_of_text: Some(9), ..of(tokens) };
    let text = complaint(apart(&[1, 2, 9, 9, 1]));
    assert!(text.contains("t.bin: token 3 (from 0): expected a document of at least one token"), "{text}");
    assert!(complaint(apart(&[9, 1, 2])).contains("token 0 (from 0)"));
    let text = complaint(of(&[1, 2, 3, 4]));
    assert!(
        text.contains("t.bin: tokens: expected a document of at least 5 tokens, found 4 tokens"),
        "{text}"
    );
    assert!(complaint(of(&[])).contains("found 0 tokens"));
    let odd = of(&[1, 2, 3, 4, 5, 6]);
    std::fs::write(&odd.path, [1; 13]).unwrap();
    let text = complaint(odd);
    assert!(text.contains("t.bin: token 6 (from 0): expected 2 bytes, found 1, and then"), "{text}");
    let text = complaint(TokenOptions { vocabulary: 5, ..of(&[1, 2, 3, 4, 5, 1]) });
    assert!(text.contains("t.bin: token 4 (from 0): expected one below 5, found 5"), "{text}");
    assert!(complaint(TokenOptions { length: 0, ..of(&[1]) }).starts_with("data.length"));
    assert!(complaint(TokenOptions { vocabulary: 1 << 25, ..of(&[1]) }).starts_with("data.vocabulary"));
    assert!(
        complaint(TokenOptions { end_of_text: Some(100_000), ..of(&[1]) }).starts_with("data.end_of_text")
    );
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let folder = TempDir::new().unwrap();
    let of = || options(&folder, TokenWidth::U16, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for change in [&[1u8, 0][..], &[7; 18]] {
        let tokens = Tokens::open(of()).unwrap();
        tokens.read(&[0]).unwrap();
        std::fs::write(folder.path().join("t.bin"), change).unwrap();
        let text = tokens.read(&[1]).unwrap_err().to_string();
        assert!(text.contains("t.bin") && text.contains("written to since"), "{text}");
    }
}

/// Answers each token with a number.
struct Reader;

impl Model for Reader {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.embed("tokens", x, 8, 6);
        let y = g.linear("out", x, 1);
        Ok(g.flatten(y))
    }
}

#[test]
fn a_net_that_embeds_tokens_learns_what_follows() {
    let folder = TempDir::new().unwrap();
    let text: Vec<u32> = (0..400).map(|i| i % 7).collect();
    let tokens = TokenOptions { vocabulary: 8, ..options(&folder, TokenWidth::U16, &text) };
    let tokens = Arc::new(Tokens::open(tokens).unwrap());
    let method = Method::TwoPoint(TwoPoint { sigma: 0.01, directions: 8, noise: Family::Sign });
    let plan = Plan {
        seed: 1,
        method,
        schedule: Schedule { rate: 0.002, anneal: Anneal::Constant, final_share: 1.0, warmup: 0, steps: 400 },
        optimizer: Optimizer { momentum: 0.9, scaling: Scaling::None },
        storage: Storage::F32,
        batch: 20,
        shuffle: Shuffle::All,
        augment: Default::default(),
        digest_every: 50,
    };
    let local = Local::new(Arc::new(Reader), Arc::new(Loss::SquaredError), &Threads::new(1).unwrap());
    let mut trainer = Trainer::new(plan, local, Arc::clone(&tokens)).unwrap();
    let before = trainer.score(&tokens).unwrap().loss;
    while !trainer.finished() {
        trainer.step().unwrap();
    }
    let after = trainer.score(&tokens).unwrap().loss;
    assert!(after < 0.5 * before, "{before} to {after}");
}
