//! ORDER BY and DISTINCT: what comes first, and what is the same.

use std::cmp::Ordering;

use sqlparser::ast::{Expr, OrderByExpr, OrderBySort};

use super::eval::eval;
use super::relation::{Relation, Row};
use super::scene::Scene;
use super::value::compare;
use crate::exchange::{Message, Value};
use crate::instance::catalogue::same;
use crate::instance::message::error;

/// What a row is ordered by: an output column by name or number, else an expression over the source.
pub(super) fn order_key(
    scene: &Scene<'_>,
    row: &Row<'_>,
    by: &OrderByExpr,
    projected: &[(String, Expr)],
    values: &[Value],
) -> Result<Value, Message> {
    if let Expr::Identifier(name) = &by.expr
        && let Some(at) = projected.iter().position(|(column, _)| same(column, &name.value))
    {
        return Ok(values[at].clone());
    }
    if let Some(at) = ordinal(&by.expr, values.len())? {
        return Ok(values[at].clone());
    }
    eval(scene, row, &by.expr)
}

fn ordinal(expr: &Expr, count: usize) -> Result<Option<usize>, Message> {
    let Expr::Value(value) = expr else { return Ok(None) };
    let sqlparser::ast::Value::Number(digits, _) = &value.value else { return Ok(None) };
    let at = digits.parse::<usize>().ok().filter(|at| (1..=count).contains(at));
    at.map(|at| Some(at - 1)).ok_or_else(|| {
        error(
            108,
            format!("The ORDER BY position number {digits} is out of range of the number of items in the select list."),
        )
    })
}

pub(super) fn sort(rows: &mut [(Vec<Value>, Vec<Value>)], order: &[OrderByExpr]) -> Result<(), Message> {
    for (keys, _) in rows.windows(2).flat_map(|two| two.first()) {
        if let Some((other, _)) = rows.first() {
            keys.iter().zip(other).try_for_each(|(a, b)| compare(a, b).map(|_| ()))?;
        }
    }
    rows.sort_by(|(a, _), (b, _)| {
        let pairs = a.iter().zip(b).zip(order);
        pairs.map(|((a, b), by)| directed(collated(a, b), by)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    Ok(())
}

pub(super) fn sort_output(scene: &Scene<'_>, found: &mut Relation, order: &[OrderByExpr]) -> Result<(), Message> {
    let mut rows = Vec::new();
    for values in std::mem::take(&mut found.rows) {
        let row = Row { fields: &found.fields, values: &values, outer: None, group: None };
        let mut keys = Vec::new();
        for by in order {
            keys.push(match ordinal(&by.expr, values.len())? {
                Some(at) => values[at].clone(),
                None => eval(scene, &row, &by.expr)?,
            });
        }
        rows.push((keys, values));
    }
    sort(&mut rows, order)?;
    found.rows = rows.into_iter().map(|(_, values)| values).collect();
    Ok(())
}

fn directed(order: Ordering, by: &OrderByExpr) -> Ordering {
    if matches!(by.options.sort, Some(OrderBySort::Desc)) { order.reverse() } else { order }
}

/// NULLs come first.
fn collated(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (a, b) => compare(a, b).ok().flatten().unwrap_or(Ordering::Equal),
    }
}

pub(super) fn alike(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| collated(a, b).is_eq())
}

pub(super) fn distinct(rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    let mut kept: Vec<Vec<Value>> = Vec::new();
    for row in rows {
        if !kept.iter().any(|other| alike(other, &row)) {
            kept.push(row);
        }
    }
    kept
}
