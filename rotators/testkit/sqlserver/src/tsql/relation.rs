//! Tables as the query engine sees them, and rows in their scope.

use crate::exchange::{Kind, Message, Value};
use crate::instance::catalogue::same;
use crate::instance::message::{error, invalid_column};

#[derive(Debug, Clone, Default)]
pub(crate) struct Relation {
    pub(crate) fields: Vec<Field>,
    pub(crate) rows: Vec<Vec<Value>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// The alias or name of its table.
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// One row in scope, within those of the queries around it.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) fields: &'a [Field],
    pub(crate) values: &'a [Value],
    pub(crate) outer: Option<&'a Row<'a>>,
    /// The rows of its group, where there are groups.
    pub(crate) group: Option<&'a [Vec<Value>]>,
}

/// The scope of what stands in no query.
pub(crate) const NOWHERE: Row<'static> = Row { fields: &[], values: &[], outer: None, group: None };

impl Relation {
    pub(crate) fn new(columns: &[(&str, Kind)]) -> Self {
        let field = |(name, kind): &(&str, Kind)| Field { table: String::new(), name: (*name).to_owned(), kind: *kind };
        Self { fields: columns.iter().map(field).collect(), rows: Vec::new() }
    }

    pub(crate) fn called(mut self, table: &str) -> Self {
        for field in &mut self.fields {
            table.clone_into(&mut field.table);
        }
        self
    }
}

impl<'a> Row<'a> {
    /// The value of a column, by its name and perhaps that of its table.
    pub(crate) fn get(&self, table: Option<&str>, name: &str) -> Result<&'a Value, Message> {
        let mut scope = Some(*self);
        while let Some(row) = scope {
            if let Some(at) = find(row.fields, table, name)? {
                return Ok(row.values.get(at).unwrap_or(&Value::Null));
            }
            scope = row.outer.copied();
        }
        Err(unknown(table, name))
    }

    pub(crate) fn kind(&self, table: Option<&str>, name: &str) -> Result<Kind, Message> {
        let mut scope = Some(*self);
        while let Some(row) = scope {
            if let Some(at) = find(row.fields, table, name)? {
                return Ok(row.fields[at].kind);
            }
            scope = row.outer.copied();
        }
        Err(unknown(table, name))
    }
}

fn unknown(table: Option<&str>, name: &str) -> Message {
    match table {
        Some(table) => error(4104, format!("The multi-part identifier \"{table}.{name}\" could not be bound.")),
        None => invalid_column(name),
    }
}

fn find(fields: &[Field], table: Option<&str>, name: &str) -> Result<Option<usize>, Message> {
    let fits = |field: &Field| same(&field.name, name) && table.is_none_or(|table| same(&field.table, table));
    let mut found = fields.iter().enumerate().filter(|(_, field)| fits(field));
    let first = found.next().map(|(at, _)| at);
    if found.next().is_some() {
        return Err(error(209, format!("Ambiguous column name '{name}'.")));
    }
    // `t.column` where `t` is there and has no such column is 207 as well.
    if first.is_none() && table.is_some_and(|table| fields.iter().any(|field| same(&field.table, table))) {
        return Err(invalid_column(name));
    }
    Ok(first)
}
