//! SELECT: from tables to rows.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, JoinConstraint, JoinOperator, ObjectName, OrderByExpr, OrderByKind, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor,
    TableWithJoins, TopQuantity,
};

use super::eval::{eval, kind, truth, wider};
use super::function::has_aggregate;
use super::order::{alike, distinct, order_key, sort, sort_output};
use super::relation::{Field, NOWHERE, Relation, Row};
use super::scene::Scene;
use super::value::{integer, to_kind};
use super::view;
use crate::exchange::{Message, Value};
use crate::instance::catalogue::same;
use crate::instance::message::{error, invalid_object, syntax};

/// Rows of a query. `outer` is the row of the query around it.
pub(crate) fn run(scene: &Scene<'_>, query: &Query, outer: Option<&Row<'_>>) -> Result<Relation, Message> {
    let known = scene.ctes.borrow().len();
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        let found = renamed(run(scene, &cte.query, None)?, &cte.alias)?;
        scene.ctes.borrow_mut().push((cte.alias.name.value.clone(), found));
    }
    let order = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(order)) => order.as_slice(),
        Some(OrderByKind::All(_)) => return Err(syntax("ALL")),
        None => &[],
    };
    if query.limit_clause.as_ref().is_some_and(|limit| limit.to_string().to_uppercase().contains("LIMIT"))
        || !query.locks.is_empty()
    {
        return Err(syntax("LIMIT"));
    }
    let found = body(scene, &query.body, order, outer);
    scene.ctes.borrow_mut().truncate(known);
    found
}

/// The columns of a query.
pub(crate) fn fields(scene: &Scene<'_>, query: &Query, outer: Option<&Row<'_>>) -> Result<Vec<Field>, Message> {
    run(scene, query, outer).map(|found| found.fields)
}

fn body(
    scene: &Scene<'_>,
    body: &SetExpr,
    order: &[OrderByExpr],
    outer: Option<&Row<'_>>,
) -> Result<Relation, Message> {
    match body {
        SetExpr::Select(select) => self::select(scene, select, order, outer),
        SetExpr::Query(inner) => run(scene, inner, outer),
        SetExpr::Values(values) => {
            let mut found = Relation::default();
            for row in &values.rows {
                let mut out = Vec::new();
                for (at, expr) in row.content.iter().enumerate() {
                    out.push(eval(scene, outer.unwrap_or(&NOWHERE), expr)?);
                    if found.fields.len() <= at {
                        let kind = kind(scene, outer.unwrap_or(&NOWHERE), expr)?;
                        found.fields.push(Field { table: String::new(), name: String::new(), kind });
                    }
                }
                found.rows.push(out);
            }
            Ok(found)
        }
        SetExpr::SetOperation { left, op, set_quantifier, right } => {
            let left = self::body(scene, left, &[], outer)?;
            let right = self::body(scene, right, &[], outer)?;
            let mut found = combined(left, right, *op, *set_quantifier)?;
            sort_output(scene, &mut found, order)?;
            Ok(found)
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => {
            Err(syntax(&body.to_string()))
        }
    }
}

fn combined(left: Relation, right: Relation, op: SetOperator, quantifier: SetQuantifier) -> Result<Relation, Message> {
    if left.fields.len() != right.fields.len() {
        let text = "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.";
        return Err(error(205, text));
    }
    let mut fields = left.fields;
    for (field, other) in fields.iter_mut().zip(&right.fields) {
        field.kind = wider(field.kind, other.kind);
    }
    let aligned = |rows: Vec<Vec<Value>>| -> Result<Vec<Vec<Value>>, Message> {
        let row =
            |row: Vec<Value>| row.iter().zip(&fields).map(|(value, field)| to_kind(value, field.kind, 0)).collect();
        rows.into_iter().map(row).collect()
    };
    let (left, right) = (aligned(left.rows)?, aligned(right.rows)?);
    let mut rows = match op {
        SetOperator::Union => left.into_iter().chain(right).collect(),
        SetOperator::Intersect => left.into_iter().filter(|row| right.iter().any(|other| alike(row, other))).collect(),
        SetOperator::Except | SetOperator::Minus => {
            left.into_iter().filter(|row| !right.iter().any(|other| alike(row, other))).collect()
        }
    };
    if !(op == SetOperator::Union && quantifier == SetQuantifier::All) {
        rows = distinct(rows);
    }
    Ok(Relation { fields, rows })
}

fn select(
    scene: &Scene<'_>,
    select: &Select,
    order: &[OrderByExpr],
    outer: Option<&Row<'_>>,
) -> Result<Relation, Message> {
    if select.into.is_some() {
        return Err(syntax("INTO"));
    }
    let mut source = Relation { fields: Vec::new(), rows: vec![Vec::new()] };
    for table in &select.from {
        source = from(scene, source, table, outer)?;
    }
    let Relation { fields, rows } = source;
    let mut kept = Vec::new();
    for row in rows {
        let keep = match &select.selection {
            Some(condition) => {
                truth(scene, &Row { fields: &fields, values: &row, outer, group: None }, condition)? == Some(true)
            }
            None => true,
        };
        if keep {
            kept.push(row);
        }
    }
    // Unknown columns are an error even where there are no rows.
    if let Some(condition) = select.selection.as_ref().filter(|_| kept.is_empty()) {
        let nulls = vec![Value::Null; fields.len()];
        let row = Row { fields: &fields, values: &nulls, outer, group: None };
        check(truth(scene, &row, condition).map(|_| ()))?;
    }
    let grouping = match &select.group_by {
        GroupByExpr::Expressions(list, _) => list.as_slice(),
        GroupByExpr::All(_) => return Err(syntax("ALL")),
    };
    let projected = projection(select, &fields)?;
    let aggregates =
        projected.iter().any(|(_, expr)| has_aggregate(expr)) || select.having.as_ref().is_some_and(has_aggregate);
    let mut groups = Vec::new();
    if !grouping.is_empty() || aggregates {
        groups = grouped(scene, &fields, kept, grouping, outer)?;
        if let Some(having) = &select.having {
            let mut held = Vec::new();
            for group in groups {
                let first = group.first().cloned().unwrap_or_default();
                let row = Row { fields: &fields, values: &first, outer, group: Some(&group) };
                if truth(scene, &row, having)? == Some(true) {
                    held.push(group);
                }
            }
            groups = held;
        }
    } else {
        groups.extend(kept.into_iter().map(|row| vec![row]));
    }
    let in_groups = !grouping.is_empty() || aggregates;
    let nulls = vec![Value::Null; fields.len()];
    let mut out = Vec::new();
    for group in &groups {
        let first = group.first().unwrap_or(&nulls);
        let row = Row { fields: &fields, values: first, outer, group: in_groups.then_some(group.as_slice()) };
        let values: Vec<Value> = projected.iter().map(|(_, expr)| eval(scene, &row, expr)).collect::<Result<_, _>>()?;
        let keys =
            order.iter().map(|by| order_key(scene, &row, by, &projected, &values)).collect::<Result<Vec<_>, _>>()?;
        out.push((keys, values));
    }
    if out.is_empty() {
        let none: [Vec<Value>; 0] = [];
        let row = Row { fields: &fields, values: &nulls, outer, group: in_groups.then_some(&none) };
        for (_, expr) in &projected {
            check(eval(scene, &row, expr).map(|_| ()))?;
        }
    }
    sort(&mut out, order)?;
    let empty = Row { fields: &fields, values: &nulls, outer, group: None };
    let mut found = Relation::default();
    for (name, expr) in &projected {
        found.fields.push(Field { table: String::new(), name: name.clone(), kind: kind(scene, &empty, expr)? });
    }
    for (_, values) in out {
        let typed = values.iter().zip(&found.fields).map(|(value, field)| to_kind(value, field.kind, 0));
        found.rows.push(typed.collect::<Result<_, _>>()?);
    }
    if matches!(select.distinct, Some(Distinct::Distinct)) {
        found.rows = distinct(found.rows);
    }
    if let Some(top) = &select.top {
        let count = match &top.quantity {
            Some(TopQuantity::Constant(count)) => i64::try_from(*count).unwrap_or(i64::MAX),
            Some(TopQuantity::Expr(expr)) => integer(&eval(scene, outer.unwrap_or(&NOWHERE), expr)?)?,
            None => return Err(syntax("TOP")),
        };
        found.rows.truncate(usize::try_from(count).unwrap_or(0));
    }
    Ok(found)
}

/// Only what is wrong with the statement itself counts where there is no row; a division by zero does not.
fn check(result: Result<(), Message>) -> Result<(), Message> {
    result.or_else(|message| match message.number {
        245 | 512 | 220 | 8134 | 8115 | 241 | 8114 => Ok(()),
        _ => Err(message),
    })
}

/// The select list with its names, `*` written out.
fn projection(select: &Select, fields: &[Field]) -> Result<Vec<(String, Expr)>, Message> {
    let mut found = Vec::new();
    let star = |found: &mut Vec<(String, Expr)>, table: Option<&str>| {
        for field in fields.iter().filter(|field| table.is_none_or(|table| same(&field.table, table))) {
            let quoted = |name: &str| sqlparser::ast::Ident::with_quote('[', name);
            let names = vec![quoted(&field.table), quoted(&field.name)];
            let expr = if field.table.is_empty() {
                Expr::Identifier(quoted(&field.name))
            } else {
                Expr::CompoundIdentifier(names)
            };
            found.push((field.name.clone(), expr));
        }
    };
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => found.push((default_name(expr), expr.clone())),
            SelectItem::ExprWithAlias { expr, alias } => found.push((alias.value.clone(), expr.clone())),
            SelectItem::Wildcard(_) if fields.is_empty() => {
                return Err(error(263, "Must specify table to select from."));
            }
            SelectItem::Wildcard(_) => star(&mut found, None),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let table = last(name);
                if !fields.iter().any(|field| same(&field.table, &table)) {
                    return Err(error(
                        107,
                        format!(
                            "The column prefix '{table}' does not match with a table name or alias name used in the query."
                        ),
                    ));
                }
                star(&mut found, Some(&table));
            }
            SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) => return Err(syntax("*")),
        }
    }
    Ok(found)
}

fn default_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) if !name.value.starts_with('@') && !super::function::is_niladic(&name.value) => {
            name.value.clone()
        }
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.clone()).unwrap_or_default(),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => default_name(inner),
        _ => String::new(),
    }
}

fn grouped(
    scene: &Scene<'_>,
    fields: &[Field],
    rows: Vec<Vec<Value>>,
    by: &[Expr],
    outer: Option<&Row<'_>>,
) -> Result<Vec<Vec<Vec<Value>>>, Message> {
    if by.is_empty() {
        return Ok(vec![rows]);
    }
    let mut groups: Vec<(Vec<Value>, Vec<Vec<Value>>)> = Vec::new();
    for row in rows {
        let scope = Row { fields, values: &row, outer, group: None };
        let key: Vec<Value> = by.iter().map(|expr| eval(scene, &scope, expr)).collect::<Result<_, _>>()?;
        match groups.iter_mut().find(|(other, _)| alike(other, &key)) {
            Some((_, group)) => group.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}

fn from(
    scene: &Scene<'_>,
    source: Relation,
    table: &TableWithJoins,
    outer: Option<&Row<'_>>,
) -> Result<Relation, Message> {
    let mut found = product(scene, source, &table.relation, outer, &Way::Inner(None))?;
    for join in &table.joins {
        let on = |constraint: &JoinConstraint| match constraint {
            JoinConstraint::On(condition) => Ok(Some(condition.clone())),
            JoinConstraint::None => Ok(None),
            JoinConstraint::Using(_) | JoinConstraint::UsingAlias(..) | JoinConstraint::Natural => Err(syntax("USING")),
        };
        let way = match &join.join_operator {
            JoinOperator::Join(on_what) | JoinOperator::Inner(on_what) => Way::Inner(on(on_what)?),
            JoinOperator::CrossJoin(_) | JoinOperator::CrossApply => Way::Inner(None),
            JoinOperator::Left(on_what) | JoinOperator::LeftOuter(on_what) => Way::Left(on(on_what)?),
            JoinOperator::OuterApply => Way::Left(None),
            _ => return Err(syntax("JOIN")),
        };
        found = product(scene, found, &join.relation, outer, &way)?;
    }
    Ok(found)
}

/// How a table is joined, and on what.
enum Way {
    Inner(Option<Expr>),
    Left(Option<Expr>),
}

fn product(
    scene: &Scene<'_>,
    left: Relation,
    table: &TableFactor,
    outer: Option<&Row<'_>>,
    way: &Way,
) -> Result<Relation, Message> {
    // What is on the left is in scope of a derived table as well, which is more than SQL Server allows without APPLY.
    let nulls = vec![Value::Null; left.fields.len()];
    let fixed = if matches!(table, TableFactor::Derived { .. }) { None } else { Some(factor(scene, table, outer)?) };
    let sample = match &fixed {
        Some(found) => found.fields.clone(),
        None => factor(scene, table, Some(&Row { fields: &left.fields, values: &nulls, outer, group: None }))?.fields,
    };
    let fields: Vec<Field> = left.fields.iter().cloned().chain(sample.iter().cloned()).collect();
    let (condition, keeps_left) = match way {
        Way::Inner(condition) => (condition, false),
        Way::Left(condition) => (condition, true),
    };
    let mut rows = Vec::new();
    for row in &left.rows {
        let right = match &fixed {
            Some(found) => found.rows.clone(),
            None => factor(scene, table, Some(&Row { fields: &left.fields, values: row, outer, group: None }))?.rows,
        };
        let before = rows.len();
        for other in right {
            let joined: Vec<Value> = row.iter().cloned().chain(other).collect();
            let scope = Row { fields: &fields, values: &joined, outer, group: None };
            let holds = condition.as_ref().map_or(Ok(Some(true)), |condition| truth(scene, &scope, condition))?;
            if holds == Some(true) {
                rows.push(joined);
            }
        }
        if keeps_left && rows.len() == before {
            rows.push(row.iter().cloned().chain(sample.iter().map(|_| Value::Null)).collect());
        }
    }
    Ok(Relation { fields, rows })
}

fn factor(scene: &Scene<'_>, table: &TableFactor, outer: Option<&Row<'_>>) -> Result<Relation, Message> {
    match table {
        TableFactor::Table { name, alias, args, .. } => {
            let parts: Vec<String> =
                name.0.iter().map(|part| part.as_ident().map(|name| name.value.clone()).unwrap_or_default()).collect();
            let cte = match parts.as_slice() {
                [only] => {
                    scene.ctes.borrow().iter().rev().find(|(name, _)| same(name, only)).map(|(_, found)| found.clone())
                }
                _ => None,
            };
            let found = match (cte, args) {
                (Some(found), _) => found,
                (None, Some(args)) if !args.args.is_empty() && !args.to_string_is_hint() => {
                    return Err(invalid_object(&parts.join(".")));
                }
                (None, _) => view::open(scene, &parts)?,
            };
            match alias {
                Some(alias) => renamed(found, alias),
                None => Ok(found.called(&last(name))),
            }
        }
        TableFactor::Derived { subquery, alias: Some(alias), .. } => renamed(run(scene, subquery, outer)?, alias),
        TableFactor::Derived { .. } => Err(syntax(")")),
        TableFactor::NestedJoin { table_with_joins, .. } => {
            from(scene, Relation { fields: Vec::new(), rows: vec![Vec::new()] }, table_with_joins, outer)
        }
        other => Err(syntax(&other.to_string())),
    }
}

trait Hint {
    fn to_string_is_hint(&self) -> bool;
}

impl Hint for sqlparser::ast::TableFunctionArgs {
    /// `FROM t (NOLOCK)`.
    fn to_string_is_hint(&self) -> bool {
        self.args.iter().all(|arg| arg.to_string().eq_ignore_ascii_case("NOLOCK"))
    }
}

fn renamed(mut found: Relation, alias: &TableAlias) -> Result<Relation, Message> {
    if alias.columns.len() > found.fields.len() {
        return Err(error(
            8158,
            format!("'{}' has more columns than were specified in the column list.", alias.name.value),
        ));
    }
    for (field, column) in found.fields.iter_mut().zip(&alias.columns) {
        field.name.clone_from(&column.name.value);
    }
    Ok(found.called(&alias.name.value))
}

fn last(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.clone()).unwrap_or_default()
}
