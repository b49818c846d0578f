//! The files that tables lie in: packed or not, whole or in parts.

use std::borrow::Cow;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use onward::{Error, Result};

use super::csv::Reading;
use super::part::bad;
use super::table::Table;
use super::{Format, csv, gz, npy};

pub(super) fn read_table(path: &Path, format: Format, how: &Reading<'_>) -> Result<Table> {
    if format == Format::Parquet && path.is_dir() {
        return joined(path, how);
    }
    parsed(&read_file(path)?, format, packing(path), how).map_err(|e| e.in_file(path))
}

/// Whether two paths lead to the same rows: to one file or folder, or to files of the same bytes. Never so of idx folders and npz files, of
/// which each part has its own rows. What cannot be read is another's to say.
pub(super) fn are_same(one: &Path, other: &Path) -> bool {
    if matches!(Format::of(one), Ok(Format::Idx | Format::Npz)) {
        return false;
    }
    if let (Ok(one), Ok(other)) = (one.canonicalize(), other.canonicalize())
        && one == other
    {
        return true;
    }
    let length = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
    match (length(one), length(other)) {
        (Some(length), Some(own)) if length == own && length > 0 => same_bytes(one, other).unwrap_or(false),
        _ => false,
    }
}

fn same_bytes(one: &Path, other: &Path) -> std::io::Result<bool> {
    const PIECE: u64 = 1 << 16;
    let (mut one, mut other) = (fs::File::open(one)?, fs::File::open(other)?);
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    loop {
        own.clear();
        theirs.clear();
        one.by_ref().take(PIECE).read_to_end(&mut own)?;
        other.by_ref().take(PIECE).read_to_end(&mut theirs)?;
        if own != theirs || own.is_empty() {
            return Ok(own == theirs);
        }
    }
}

/// How a file of text is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstandard,
}

/// What a file's name says of its packing.
pub(super) fn packing(path: &Path) -> Packing {
    let ends = |ending: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending));
    match (ends("gz"), ends("zst")) {
        (true, _) => Packing::Gzip,
        (_, true) => Packing::Zstandard,
        _ => Packing::None,
    }
}

/// How bytes that came through a pipe are packed.
pub(super) fn packed(bytes: &[u8]) -> Packing {
    match bytes {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstandard,
        _ => Packing::None,
    }
}

/// What was packed.
fn unpacked(bytes: &[u8], packing: Packing) -> Result<Cow<'_, [u8]>> {
    match packing {
        Packing::None => Ok(bytes.into()),
        Packing::Gzip => gz::inflate_all(bytes).map(Cow::Owned),
        #[cfg(feature = "zstd")]
        Packing::Zstandard => super::zst::inflate_all(bytes).map(Cow::Owned),
        #[cfg(not(feature = "zstd"))]
        Packing::Zstandard => {
            let expected =
                "a program built to read Zstandard (cargo install --path crates/onward-cli --features zstd)";
            Err(bad("packing", expected, "one built without that feature"))
        }
    }
}

/// The table in a file's bytes.
pub(super) fn parsed(bytes: &[u8], format: Format, packing: Packing, how: &Reading<'_>) -> Result<Table> {
    match format {
        Format::Csv => csv::read(&unpacked(bytes, packing)?, how),
        #[cfg(feature = "parquet")]
        Format::Parquet => super::parquet::read_with_texts(bytes, &how.texts),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(super::without_parquet()),
        _ => npy::read(bytes).and_then(|array| match array.shape[..] {
            [_, columns] => {
                let notes = array.note("the array").into_iter().collect();
                Ok(Table { columns, values: array.values, notes, ..Table::default() })
            }
            _ => Err(bad("array", "rows × columns", format!("shape {:?}", array.shape))),
        }),
    }
}

/// The files of a folder that hold the parts of one Parquet table, in the order of their names.
pub(super) fn parts_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok);
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        // Programs write notes of their own under names that open so.
        !name.starts_with(['_', '.']) && [".parquet", ".pq"].iter().any(|ending| name.ends_with(ending))
    };
    let mut parts: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_part).collect();
    parts.sort_unstable();
    parts
}

/// The table whose parts lie in a folder.
fn joined(folder: &Path, how: &Reading<'_>) -> Result<Table> {
    let mut whole: Option<Table> = None;
    for path in parts_of(folder) {
        let part = read_table(&path, Format::Parquet, how)?;
        whole = Some(match whole {
            None => part,
            Some(whole) => whole.followed_by(part).map_err(|e| e.in_file(&path))?,
        });
    }
    whole.ok_or_else(|| bad("folder", "files ending in .parquet or .pq", "none").in_file(folder))
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::io("read", path, error))
}

/// Whether a file's name says that it is packed.
pub(super) fn is_packed(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ["gz", "zst"].iter().any(|packed| ending.eq_ignore_ascii_case(packed)))
}
