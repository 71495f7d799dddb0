//! What a dataset's folder or archive holds beside its files: counted by kind, so that it can be said before anything is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::base_name;

/// The most kinds that are named.
const NAMED: usize = 8;

/// Files that are not read, by kind.
///
/// ```
/// use obverse::data::LeftOut;
/// let left: LeftOut = ["b/notes.TXT", "a.txt", "c/LICENSE"].into_iter().collect();
/// assert_eq!(left.to_string(), "2 .txt, 1 without an ending");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeftOut(BTreeMap<String, usize>);

impl LeftOut {
    /// True where every file is read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts `count` things of a kind.
    pub(crate) fn add(&mut self, kind: &str, count: usize) {
        if count > 0 {
            *self.0.entry(kind.to_string()).or_default() += count;
        }
    }

    /// Counts a file by the ending of its name.
    pub(crate) fn add_file(&mut self, name: &str) {
        let ending = base_name(name).rsplit_once('.').map(|(_, ending)| format!(".{}", ending.to_ascii_lowercase()));
        self.add(ending.as_deref().unwrap_or("without an ending"), 1);
    }

    /// Counts what another one counted.
    pub(crate) fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|(kind, &count)| self.add(kind, count));
    }
}

impl<'a> FromIterator<&'a str> for LeftOut {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut left = Self::default();
        names.into_iter().for_each(|name| left.add_file(name));
        left
    }
}

/// The most frequent kinds first.
impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<(&String, &usize)> = self.0.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown: Vec<String> = kinds.iter().take(NAMED).map(|(kind, count)| format!("{count} {kind}")).collect();
        formatter.write_str(&shown.join(", "))?;
        let rest: usize = kinds.iter().skip(NAMED).map(|(_, count)| **count).sum();
        if rest > 0 { write!(formatter, ", {rest} of other kinds") } else { Ok(()) }
    }
}
