//! The tables `[[objective.heads]]`.

use super::Objective;
use crate::model::Graph;
use crate::schema::{Key, Kind, OneOrMore, Only, Part, Preset, Setting, Value, Values, is, quoted};
use crate::task::{self, Task};
use crate::{Error, Result, keys};
use std::collections::BTreeMap;
use std::sync::Arc;

keys! {
    /// The settings of one of several heads.
    pub struct Head {
        ..
        /// What it is to become good at.
        task: Objective, in "";
        /// The name of the answer: one of the net's own, or how the head is called.
        name: String = Preset::Required;
        /// Numbers of the answer: one for each class. Without it, as the net's file says, or one for each of the columns (of the target,
        /// as many as that needs).
        outputs: Option<usize> = Preset::Unset, 1.0..=65536.0;
        /// The columns that it is about, of those that `data.columns` names: values as they are in the file, or one that holds classes
        /// where the answer is several numbers. Without it, the target.
        columns: Option<OneOrMore<String>> = Preset::Unset;
        /// What its loss is multiplied by.
        weight: f32 = is(1.0), 0.0..;
    }
}

impl Head {
    /// Numbers of its answer where the targets need so many.
    pub(super) fn outputs(&self, targets: usize) -> usize {
        let own = self.columns.as_ref().map_or_else(|| self.task.outputs(targets), |all| all.0.len());
        self.outputs.unwrap_or(own)
    }

    /// The columns that it is about, by their names; none if it is about the target.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().flat_map(|all| &all.0).map(String::as_str)
    }

    fn build(&self) -> Result<task::Head> {
        let columns: Vec<&str> = self.column_names().collect();
        Ok(task::Head::new(&self.name, self.task.task()?).about(&columns).weighing(self.weight))
    }
}

/// Several heads: a table each.
#[derive(Clone, Debug, PartialEq)]
pub struct List(pub Vec<Head>);

impl List {
    /// The task of a model with this graph, where the targets need so many numbers.
    pub(super) fn task(&self, graph: &Graph, targets: usize) -> Result<Arc<dyn Task>> {
        let heads = self.0.iter().map(Head::build).collect::<Result<Vec<_>>>()?;
        if !graph.named_outputs().is_empty() {
            return Ok(Arc::new(task::Heads::of(graph, heads)?));
        }
        let sized = heads.into_iter().zip(&self.0).map(|(head, own)| (head, own.outputs(targets)));
        Ok(Arc::new(task::Heads::side_by_side(sized.collect())?))
    }
}

/// The head of one table.
fn head(table: &Value) -> Result<Head> {
    let (keys, mut own) = (Head::keys("", None), Values::default());
    own.give_all(table.as_table().unwrap_or(&BTreeMap::new()), &keys);
    let several = Some(own.text("", "loss")).filter(|loss| ["heads", "program"].contains(loss));
    if let Some(loss) = several {
        return Err(own.error("loss", "a loss of one answer", quoted(loss)));
    }
    own.check(&keys)?;
    Head::read(&own, "")
}

impl Part for List {
    fn keys(section: &'static str, only: Option<Only>) -> Vec<Key> {
        // Not listed here: a head may be of any loss, and so the keys of one would have no end.
        let each = Box::new(Kind::Table(vec![(
            "each".into(),
            "name, loss with its keys, outputs, columns, weight".into(),
        )]));
        vec![Key {
            section,
            name: "heads",
            kind: Kind::Array { each, len: None },
            preset: Preset::Required,
            only,
            selects: false,
            hint: "",
            doc: "The heads, a table [[objective.heads]] each: `name` (of the net's answer), `loss` with its own keys, `outputs` (numbers \
                  of the answer), `columns` (of `data.columns`, without which it is about the target), `weight` (1).",
        }]
    }

    fn read(values: &Values, section: &str) -> Result<Self> {
        let tables = values.get(section, "heads").and_then(Value::as_list).unwrap_or_default();
        if tables.is_empty() {
            return Err(values.error("objective.heads", "at least one table [[objective.heads]]", "none"));
        }
        let at = values.given("objective.heads").map(|given| given.at.clone()).unwrap_or_default();
        let placed =
            |index, e: Error| e.within(format!("objective.heads at index {index}")).within(at.clone());
        let one = |(index, table)| head(table).map_err(|e| placed(index, e));
        tables.iter().enumerate().map(one).collect::<Result<_>>().map(Self)
    }

    fn write(&self, section: &'static str) -> Vec<Setting> {
        let table = |head: &Head| {
            let keys = head.write("").into_iter().map(|(_, name, value)| (name.to_owned(), value));
            Value::Table(keys.collect())
        };
        vec![(section, "heads", Value::List(self.0.iter().map(table).collect()))]
    }
}
