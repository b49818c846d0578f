//! Errors that come up after a spec was read, told where it says what they are about.

use super::Spec;
use onward::{Error, ErrorKind, Place};
use std::path::Path;

#[test]
fn errors_that_come_later_are_told_at_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, "seed = 1\n[data]\npath = \"t.bin\"\n  end_of_text = 9\n").unwrap();
    let placed = |place: Place| {
        let error = Error::expected(ErrorKind::Spec, place, "one", "two");
        let text = Spec::placed(error, &path, &["data.length=3".into()], None).to_string();
        text.replace(&format!("{}/", folder.path().display()), "")
    };
    let end = "expected one, found two";
    assert_eq!(placed(Place::key("data", "end_of_text")), format!("a.toml:4:17: data.end_of_text: {end}"));
    assert_eq!(placed(Place::key("data", "length")), format!("--set data.length: {end}"));
    assert_eq!(placed(Place::key("data", "padding")), format!("a.toml: data.padding: {end}"));
    assert_eq!(placed("rows held out".into()), format!("a.toml: rows held out: {end}"));
    assert_eq!(placed(Path::new("d.csv").into()), format!("a.toml: d.csv: {end}"));
}
