//! Files are written whole, under names that nobody else uses, and never through a link.

#![cfg(unix)]

use onward_base::file::{is_temporary, write, write_pieces};
use std::fs::{read, read_dir};
use std::os::unix::fs::symlink;

#[test]
fn r08_a_file_is_replaced_whole_and_a_link_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let [path, victim] = ["out", "victim"].map(|name| folder.path().join(name));
    write(&path, b"one").unwrap();
    write(&path, b"two").unwrap();
    assert_eq!(read(&path).unwrap(), b"two");
    std::fs::remove_file(&path).unwrap();
    write(&victim, b"secret").unwrap();
    symlink(&victim, &path).unwrap();
    write(&path, b"three").unwrap();
    assert_eq!((read(&victim).unwrap(), read(&path).unwrap()), (b"secret".to_vec(), b"three".to_vec()));
    assert!(path.symlink_metadata().unwrap().is_file(), "the link is gone");
    assert_eq!(read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn pieces_are_one_file_after_one_another_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let pieces = [vec![1, 2, 3], Vec::new(), vec![4; 70_000], vec![5]];
    write_pieces(&path, &pieces).unwrap();
    assert_eq!(read(&path).unwrap(), pieces.concat());
    write_pieces(&path, &[[0u8; 0]; 0]).unwrap();
    assert!(read(&path).unwrap().is_empty());
    write_pieces(&path, &[b"old"]).unwrap();
    assert!(write_pieces(&folder.path().join("missing/out"), &pieces).is_err());
    let occupied = folder.path().join("occupied");
    std::fs::create_dir(&occupied).unwrap();
    assert!(write_pieces(&occupied, &pieces).unwrap_err().to_string().contains("occupied: cannot write: "));
    assert_eq!((read(&path).unwrap(), read_dir(folder.path()).unwrap().count()), (b"old".to_vec(), 2));
}

#[test]
fn r08_a_refused_file_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    std::fs::create_dir(&occupied).unwrap();
    let error = write(&occupied, b"x").unwrap_err().to_string();
    assert!(error.contains("occupied: cannot write: "), "{error}");
    assert_eq!(read_dir(folder.path()).unwrap().count(), 1);
    assert!(write(&folder.path().join("missing/file"), b"x").is_err());
}

#[test]
fn r08_only_names_of_the_own_pattern_are_temporaries() {
    assert!(is_temporary(".onward-0123456789abcdef.tmp".as_ref()));
    let others = [
        "notes.tmp",
        ".onward-.tmp",
        ".onward-0123456789abcde.tmp",
        ".onward-0123456789ABCDEF.tmp",
        "a.onward-0123456789abcdef.tmp",
    ];
    assert!(!others.iter().any(|name| is_temporary(name.as_ref())));
}
