//! `apply`: a model from another's folder and a ledger alone.

use super::export::write_folder;
use crate::args::Apply;
use crate::language::{self, Form};
use crate::progress::Voice;
use onward::ledger::{self, State};
use onward::model::Graph;
use onward::noise::RunKey;
use onward::settings::{Language, ModelKind, Settings};
use onward::threads::Threads;
use onward::train::{Given, hex};
use onward::words::counted;
use onward::{Error, ErrorKind, Result};
use serde_json::json;

/// `onward apply`.
pub fn apply(args: &Apply) -> Result<()> {
    let bytes = std::fs::read(&args.ledger).map_err(|e| Error::io("read", &args.ledger, e))?;
    let reading = ledger::read(&bytes).map_err(|e| e.in_file(&args.ledger))?;
    let header = &reading.header;
    let wrong = |expected: &str, found: &str| {
        Err(Error::expected(ErrorKind::Ledger, "the ledger's header", expected, found).in_file(&args.ledger))
    };
    let settings = Settings::of(header).map_err(|e| e.in_file(&args.ledger))?;
    let Some(settings) = settings.filter(|own| matches!(own.model.kind, ModelKind::Language(_))) else {
        return wrong("settings of a language model (model.kind = \"language\")", "others");
    };
    if !header.is_complete() {
        return wrong(
            "a run in weight space (two-point, population), whose ledger is all that it took",
            "one whose steps need its data: `onward replay` on its folder takes them again",
        );
    }
    let (steps, all) = (reading.records.len() as u64, reading.budget());
    if steps < all {
        let (expected, found) = (
            format!("all {all} steps of the run"),
            format!("{steps}: the run was not finished, or its end is torn off"),
        );
        return Err(Error::expected(ErrorKind::Ledger, "records", expected, found).in_file(&args.ledger));
    }
    let folder = language::open(&args.base, false)?;
    if let ModelKind::Language(Language { path, .. }) = &settings.model.kind {
        let (began, now) = (path.display().to_string(), Given::named(&language::description(&folder)));
        if began != now {
            let place = args.base.display();
            let expected = format!("the model that the ledger begins with, {began}");
            return Err(Error::expected(ErrorKind::Model, place, expected, now));
        }
    }
    if language::is_encoder(&folder) {
        return wrong(
            "a model whose tokens follow each other",
            "an encoder's, whose classes are told by its run alone",
        );
    }
    let graph = Graph::new(&*language::net(&folder, &settings.model.kind, 0), [1, 1, 1])?;
    let given = language::params(&folder, &graph, &RunKey::from_seed(header.seed))?;
    let threads = Threads::new(args.how.threads())?;
    let recipe = &header.recipe;
    let params = given.params.stored_for(recipe.storage, |tensor| recipe.rate(tensor) != 0.0);
    let (began, found) = (hex(&header.base), hex(&params.digest()));
    if began != found {
        let place = args.base.display();
        let expected = format!("the model that the ledger begins with, of digest {began}");
        return Err(Error::expected(ErrorKind::Model, place, expected, found));
    }
    let mut state = State::of(header, params)?;
    threads.run(|| {
        let mut all = reading.records.iter();
        all.try_for_each(|entry| state.apply(entry, None).map(drop).map_err(|e| e.in_file(&args.ledger)))
    })?;
    let digest = hex(&state.params().digest());
    let metadata = [("format", "pt".to_owned()), ("onward.digest", digest.clone())];
    let files = language::files(&folder, &settings.model.kind, state.params(), &[], Form::Whole, &metadata)?;
    write_folder(&args.out, &files)?;
    let event = json!({"event": "applied", "steps": steps, "digest": digest, "file": args.out});
    let words = format!("{}  {}, params {}", args.out.display(), counted(steps, "step"), &digest[..16]);
    Voice::new(&args.how).say(&words, &event);
    Ok(())
}
