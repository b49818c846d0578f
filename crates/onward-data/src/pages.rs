//! What stands between a Parquet file and its decoder: bounds that the decoder does not check itself.

use bytes::{Buf, Bytes};
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnDescriptor;

/// A file in memory that answers every lying offset with an error.
pub(super) struct InMemory(Bytes);

impl InMemory {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    fn from(&self, start: u64) -> Result<Bytes> {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        if start > self.0.len() {
            return Err(ParquetError::EOF(format!("offset {start} lies behind the end of the file")));
        }
        Ok(self.0.slice(start..))
    }
}

impl Length for InMemory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl ChunkReader for InMemory {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let rest = self.from(start)?;
        if length > rest.len() {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at offset {start} reach behind the end of the file"
            )));
        }
        Ok(rest.slice(..length))
    }
}

/// Pages of a numeric column whose headers are checked against the bytes that they stand before.
pub(super) struct CheckedPages {
    pages: Box<dyn PageReader>,
    value_len: usize,
    has_dictionary: bool,
}

impl CheckedPages {
    pub(super) fn new(pages: Box<dyn PageReader>, column: &ColumnDescriptor) -> Self {
        let value_len = match column.physical_type() {
            Type::INT64 | Type::DOUBLE => 8,
            Type::FIXED_LEN_BYTE_ARRAY => column.type_length().max(1) as usize,
            // Of a byte array its length alone takes four.
            _ => 4,
        };
        Self { pages, value_len, has_dictionary: false }
    }

    fn check(&mut self, page: &Page) -> Result<()> {
        let lying =
            |what: &str| Err(ParquetError::General(format!("page header that lies about its {what}")));
        match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                if (*num_values as usize).saturating_mul(self.value_len) > buf.len() {
                    return lying("dictionary's size");
                }
                self.has_dictionary = true;
            }
            Page::DataPageV2 { buf, def_levels_byte_len: a, rep_levels_byte_len: b, .. } => {
                if u64::from(*a) + u64::from(*b) > buf.len() as u64 {
                    return lying("levels");
                }
            }
            Page::DataPage { .. } => {}
        }
        let by_dictionary = matches!(page.encoding(), Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
        if page.is_data_page() && by_dictionary && !self.has_dictionary {
            return lying("dictionary");
        }
        Ok(())
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            self.check(page)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}
