//! Columns of a table that are no features.

use onward::Result;

use super::part::bad;
use super::table::{Label, Table};
use super::{DataOptions, Labels, Missing, Target};

/// Which columns of a table are no features.
#[derive(Clone, Default)]
pub(super) struct Beside {
    pub(super) labels: Vec<usize>,
    pub(super) weight: Option<usize>,
    pub(super) query: Option<usize>,
    /// With the names that the options give them.
    pub(super) others: Vec<(String, usize)>,
    /// Those that nothing is made of.
    pub(super) ignored: Vec<usize>,
    /// Those that say which row it is.
    pub(super) ids: Vec<usize>,
}

impl Beside {
    /// Where the answers stand, in words.
    pub(super) fn answers(&self, table: &Table) -> String {
        let words: Vec<String> = self.labels.iter().map(|column| table.name(*column)).collect();
        format!("column{} {}", if words.len() > 1 { "s" } else { "" }, words.join(", "))
    }

    /// The names of the labels' columns where the options do not say them; none where the table has no names.
    pub(super) fn unsaid_labels(&self, options: &DataOptions, table: &Table) -> Vec<String> {
        let unsaid = self.labels.iter().filter(|_| options.label.is_none());
        unsaid.filter_map(|column| table.names.get(*column).cloned()).collect()
    }

    /// Those that the options say; without a word on labels, the table's own label column, which is none of `features`.
    pub(super) fn of(options: &DataOptions, table: &Table, features: &[usize]) -> Result<Self> {
        let all = |place: &str, all: Option<&Labels>| -> Result<Vec<usize>> {
            all.iter().flat_map(|all| &all.0).map(|one| table.column(place, one)).collect()
        };
        let (ignored, ids) =
            (all("column of data.ignore", options.ignore.as_ref())?, all("id column", options.id.as_ref())?);
        let labels = match &options.label {
            None => {
                let taken: Vec<usize> = ignored.iter().chain(&ids).chain(features).copied().collect();
                vec![table.label_column(&taken)?]
            }
            some => all("label column", some.as_ref())?,
        };
        let one = |key: &str, wanted: Option<&Label>| {
            wanted.map(|wanted| table.column(&format!("{key} column"), wanted)).transpose()
        };
        let (weight, query) =
            (one("weight", options.weight.as_ref())?, one("query", options.query.as_ref())?);
        let others =
            further(options).iter().map(|wanted| Ok((wanted.to_string(), table.column("column", wanted)?)));
        let own = Self { labels, weight, query, others: others.collect::<Result<_>>()?, ignored, ids };
        let mut all: Vec<usize> = own.all().collect();
        all.sort_unstable();
        match all.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(own),
            Some(pair) => {
                let found = format!("column {} (from 0) twice", pair[0]);
                Err(bad("columns", "a use of its own for each", found))
            }
        }
    }

    /// Whether a table has the labels that the options name; what they do not name may be anywhere.
    pub(super) fn has_labels(options: &DataOptions, table: &Table) -> bool {
        let has = |wanted: &Label| !matches!(wanted, Label::Name(name) if !table.names.contains(name));
        options.label.iter().flat_map(|all| &all.0).all(has)
    }

    /// Those that the options name and a table has; labels only if all are there.
    pub(super) fn there(options: &DataOptions, table: &Table) -> Result<Self> {
        let has = |wanted: &Label| matches!(wanted, Label::Name(name) if table.names.contains(name));
        let default = Labels(vec![Label::Name("label".into())]);
        let labels = options.label.as_ref().unwrap_or(&default);
        let all = |place: &str, all: Option<&Labels>| -> Result<Vec<usize>> {
            let named = all.iter().flat_map(|all| &all.0).filter(|one| has(one));
            named.map(|one| table.column(place, one)).collect()
        };
        let one = |key: &str, wanted: Option<&Label>| {
            let wanted = wanted.filter(|wanted| has(wanted));
            wanted.map(|wanted| table.column(&format!("{key} column"), wanted)).transpose()
        };
        Ok(Self {
            labels: all("label column", Some(labels).filter(|labels| labels.0.iter().all(has)))?,
            weight: one("weight", options.weight.as_ref())?,
            query: one("query", options.query.as_ref())?,
            others: further(options)
                .iter()
                .filter(|wanted| has(wanted))
                .map(|wanted| Ok((wanted.to_string(), table.column("column", wanted)?)))
                .collect::<Result<_>>()?,
            ignored: all("column of data.ignore", options.ignore.as_ref())?,
            ids: all("id column", options.id.as_ref())?,
        })
    }

    /// Refuses words and missing values in these columns, where there must be none.
    pub(super) fn check(&self, table: &Table, options: &DataOptions) -> Result<()> {
        let declared = options.categorical.as_ref().map_or(&[][..], |all| &all.0);
        for column in self.used() {
            let Some(seen) = table.seen.get(column) else { continue };
            let is_label = self.labels.contains(&column);
            let left_out = match options.missing.unwrap_or_default() {
                Missing::Error => false,
                Missing::Mean | Missing::Median => is_label,
                Missing::Drop => true,
            };
            if let (Some(spot), false) = (&seen.first_missing, left_out) {
                let expected = if is_label {
                    "a label (data.missing = \"drop\" leaves such rows out)"
                } else {
                    "a finite number"
                };
                return Err(table.flaw(column, spot, expected));
            }
            let Some(spot) = &seen.first_word else { continue };
            let mixed = seen.numbers > 0 || seen.odd;
            let is_declared = declared.iter().any(|one| table.column("", one).is_ok_and(|own| own == column));
            let expected = match options.target {
                Target::Class if is_label && (!mixed || (is_declared && !seen.odd)) => continue,
                Target::Class if is_label => format!(
                    "a number as in {} other rows, or words in all of them (data.categorical takes both for classes)",
                    seen.numbers
                ),
                _ => "a finite number".into(),
            };
            return Err(table.flaw(column, spot, expected));
        }
        Ok(())
    }

    /// Those with numbers or labels.
    pub(super) fn used(&self) -> impl Iterator<Item = usize> + '_ {
        let others = self.others.iter().map(|(_, column)| *column);
        self.labels.iter().copied().chain(self.weight).chain(self.query).chain(others)
    }

    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.used().chain(self.ignored.iter().copied()).chain(self.ids.iter().copied())
    }

    pub(super) fn count(&self) -> usize {
        self.all().count()
    }

    pub(super) fn has(&self, column: usize) -> bool {
        self.all().any(|own| own == column)
    }
}

/// How many columns are no features, if all are there.
pub(super) fn count_beside(options: &DataOptions) -> usize {
    let many = |all: &Option<Labels>| all.as_ref().map_or(0, |all| all.0.len());
    options.label.as_ref().map_or(1, |labels| labels.0.len())
        + usize::from(options.weight.is_some())
        + usize::from(options.query.is_some())
        + further(options).len()
        + many(&options.ignore)
        + many(&options.id)
}

/// The further columns that the options name.
pub(super) fn further(options: &DataOptions) -> &[Label] {
    options.columns.as_ref().map_or(&[], |all| &all.0)
}
