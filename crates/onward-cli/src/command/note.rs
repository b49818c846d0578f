//! `note`: what people say of a run.

use crate::args::Note;
use crate::folder::Folder;
use crate::progress::Voice;
use onward::{Error, ErrorKind, Result};
use onward_run::summary::About;
use serde_json::json;

/// `onward note`.
pub fn note(args: &Note) -> Result<()> {
    let folder = Folder::read_only(&args.run)?;
    let mut about = About::read(folder.path())?;
    let new = self::about(&args.tags, args.text.as_deref())?;
    for tag in &args.untags {
        if !about.tags.remove(tag) {
            let all: Vec<&str> = about.tags.iter().map(String::as_str).collect();
            let expected = if all.is_empty() {
                "none, as it has none".into()
            } else {
                format!("one of its tags: {}", all.join(", "))
            };
            return Err(Error::expected(ErrorKind::Spec, "--untag", expected, format!("`{tag}`")));
        }
    }
    about.tags.extend(new.tags);
    if args.text.is_some() {
        about.note = new.note;
    }
    about.write(folder.path())?;
    let tags: Vec<&str> = about.tags.iter().map(String::as_str).collect();
    let words = [
        about.note.clone(),
        if tags.is_empty() { String::new() } else { format!("tags: {}", tags.join(", ")) },
    ];
    let words: Vec<String> = words.into_iter().filter(|text| !text.is_empty()).collect();
    let words = if words.is_empty() { "nothing is noted".into() } else { words.join("\n") };
    Voice::of(args.print)
        .say(&words, &json!({"event": "noted", "run": args.run, "tags": tags, "note": about.note}));
    Ok(())
}

/// What arguments say of a run.
pub(super) fn about(tags: &[String], note: Option<&str>) -> Result<About> {
    let is_tag = |tag: &&String| !tag.is_empty() && !tag.contains(|c: char| c == ',' || c.is_whitespace());
    if let Some(odd) = tags.iter().find(|tag| !is_tag(tag)) {
        let expected = "a word without blanks and commas";
        return Err(Error::expected(ErrorKind::Spec, "--tag", expected, format!("`{odd}`")));
    }
    Ok(About { tags: tags.iter().cloned().collect(), note: note.unwrap_or_default().trim().to_owned() })
}
