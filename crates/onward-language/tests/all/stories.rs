//! A real small model: what it goes on with, byte for byte, and its loss, as PyTorch has both.

use onward::kernel::Precision;
use onward::model::Graph;
use onward::noise::RunKey;
use onward::threads::Threads;
use onward_language::{Ended, Folder, Generator, Sampling};
use std::path::PathBuf;

/// The folder of the model, or a word of why the test is skipped.
fn folder() -> Option<PathBuf> {
    let data = std::env::var_os("ONWARD_DATA").map(PathBuf::from)?;
    let folder = data.join("llm/stories260K");
    folder.is_dir().then_some(folder)
}

#[test]
fn its_greedy_story_is_the_published_one() {
    let Some(path) = folder() else {
        eprintln!("SKIPPED: no llm/stories260K in the folder that ONWARD_DATA names");
        return;
    };
    let folder = Folder::open(&path).unwrap();
    let wanted = std::fs::read_to_string(path.join("expected_greedy_200steps.txt")).unwrap();
    let graph = Graph::new(&folder.net(0), [1, 1, 1]).unwrap();
    let given = folder.params(&graph, &RunKey::from_seed(0)).unwrap();
    let begin = folder.config().begin.unwrap();
    for threads in [1, 2] {
        let threads = Threads::new(threads).unwrap();
        let tokens = threads.run(|| {
            let generator = Generator::new(folder.net(0), &given.params, Precision::F32).unwrap();
            let mut tokens = Vec::new();
            let mut each = |row, token| {
                assert_eq!(row, 0);
                tokens.push(token);
                true
            };
            let ended = generator.run(&[vec![begin]], 200, Sampling::GREEDY, &mut each).unwrap();
            assert_eq!(ended, [Ended::Length]);
            tokens
        });
        assert_eq!(folder.tokenizer().decode(&tokens).unwrap(), wanted);
    }
}
