//! Lists: a page of objects after the last one that the caller has seen.

use coffer_core::{
    Malformed,
    limits::{PAGE_DEFAULT, PAGE_MAX},
};
use coffer_db::Row;

use crate::Error;

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    limit: i64,
    after: Option<String>,
}

impl Page {
    /// `limit` objects (20 when not said) after the object with this id.
    ///
    /// # Errors
    /// When the limit is not within 1 and 100.
    pub fn new(limit: Option<i64>, after: Option<String>) -> Result<Self, Malformed> {
        let limit = limit.unwrap_or(PAGE_DEFAULT);
        if (1..=PAGE_MAX).contains(&limit) {
            Ok(Self { limit, after })
        } else {
            Err(Malformed {
                expected: "a number from 1 to 100",
            })
        }
    }

    /// So many.
    pub(crate) const fn limit(&self) -> i64 {
        self.limit
    }

    /// The cursor as an id of the list's kind.
    pub(crate) fn after<T: std::str::FromStr<Err = Malformed>>(&self) -> Result<Option<T>, Error> {
        let parsed = self.after.as_deref().map(str::parse).transpose();
        parsed.map_err(|malformed| Error::invalid("after", malformed))
    }

    /// The cursor for a list with the newest first; beyond every id when there is none. `~` sorts after every id.
    pub(crate) fn before_id<T: std::str::FromStr<Err = Malformed> + ToString>(
        &self,
    ) -> Result<String, Error> {
        Ok(self
            .after::<T>()?
            .map_or_else(|| "~".to_owned(), |id| id.to_string()))
    }

    /// One more than asked for, to know whether there is more.
    pub(crate) const fn fetch(&self) -> i64 {
        self.limit.saturating_add(1)
    }

    /// Reads the page from the rows that were fetched.
    pub(crate) fn read<T>(
        &self,
        rows: &[Row],
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Listed<T>, Error> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        Ok(Listed {
            items: rows
                .iter()
                .take(limit)
                .map(read)
                .collect::<Result<_, _>>()?,
            has_more: rows.len() > limit,
        })
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The objects.
    pub items: Vec<T>,
    /// Whether another page follows.
    pub has_more: bool,
}
