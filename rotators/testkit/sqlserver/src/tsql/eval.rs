//! Expressions: values, and the three-valued truth of conditions.

use std::cmp::Ordering;

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, UnaryOperator,
    Value as Literal,
};

use super::function;
use super::query;
use super::relation::Row;
use super::scene::Scene;
use super::value::{compare, convert, from_hex, integer, kind_of, like, text};
use crate::exchange::{Kind, Message, Value};
use crate::instance::message::{error, syntax, undeclared, with_class};

pub(crate) fn eval(scene: &Scene<'_>, row: &Row<'_>, expr: &Expr) -> Result<Value, Message> {
    match expr {
        Expr::Identifier(name) => identifier(scene, row, name),
        Expr::CompoundIdentifier(names) => {
            let (table, name) = split(names);
            row.get(table, name).cloned()
        }
        Expr::Value(value) => literal(&value.value),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => eval(scene, row, inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let value = eval(scene, row, expr)?;
            Ok(if value == Value::Null { value } else { number(-integer(&value)?) })
        }
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => eval(scene, row, expr),
        Expr::BinaryOp { left, op, right } => arithmetic(scene, row, left, op, right),
        Expr::Case { operand, conditions, else_result, .. } => {
            case(scene, row, operand.as_deref(), conditions, else_result.as_deref())
        }
        Expr::Cast { kind, expr, data_type, .. } => {
            let done = convert(&eval(scene, row, expr)?, data_type, 0);
            if *kind == CastKind::TryCast { Ok(done.unwrap_or(Value::Null)) } else { done }
        }
        Expr::Convert { is_try, expr, data_type: Some(data_type), styles, .. } => {
            let style = match styles.first() {
                Some(style) => integer(&eval(scene, row, style)?)?,
                None => 0,
            };
            let done = convert(&eval(scene, row, expr)?, data_type, style);
            if *is_try { Ok(done.unwrap_or(Value::Null)) } else { done }
        }
        Expr::Substring { expr, substring_from: Some(from), substring_for: Some(length), .. } => {
            let values = [eval(scene, row, expr)?, eval(scene, row, from)?, eval(scene, row, length)?];
            function::substring(&values)
        }
        Expr::Trim { expr, .. } => {
            Ok(text(&eval(scene, row, expr)?)
                .map_or(Value::Null, |text| Value::Text(text.trim_matches(' ').to_owned())))
        }
        Expr::Function(call) => function::call(scene, row, call),
        Expr::Subquery(inner) => {
            let found = query::run(scene, inner, Some(row))?;
            if found.fields.len() != 1 {
                let text = "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.";
                return Err(error(116, text));
            }
            match found.rows.as_slice() {
                [] => Ok(Value::Null),
                [only] => Ok(only[0].clone()),
                _ => Err(error(
                    512,
                    "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= or when the subquery is used as an expression.",
                )),
            }
        }
        _ => Err(not_a_value(expr)),
    }
}

/// Whether a condition holds. None is UNKNOWN.
pub(crate) fn truth(scene: &Scene<'_>, row: &Row<'_>, expr: &Expr) -> Result<Option<bool>, Message> {
    let value = |expr: &Expr| eval(scene, row, expr);
    Ok(match expr {
        Expr::Nested(inner) => truth(scene, row, inner)?,
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => truth(scene, row, expr)?.map(|truth| !truth),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => match truth(scene, row, left)? {
            Some(false) => Some(false),
            left => match (left, truth(scene, row, right)?) {
                (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
        },
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => match truth(scene, row, left)? {
            Some(true) => Some(true),
            left => match (left, truth(scene, row, right)?) {
                (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        },
        Expr::BinaryOp { left, op, right } => {
            let Some(holds) = comparison(op) else { return Err(not_a_value(expr)) };
            compare(&value(left)?, &value(right)?)?.map(holds)
        }
        Expr::IsNull(inner) => Some(value(inner)? == Value::Null),
        Expr::IsNotNull(inner) => Some(value(inner)? != Value::Null),
        Expr::In { expr, target, negated, .. } => {
            let mut set = Vec::new();
            match target {
                sqlparser::ast::InTarget::List(list) => {
                    for item in list {
                        set.push(value(item)?);
                    }
                }
                sqlparser::ast::InTarget::Subquery(inner) => {
                    let found = query::run(scene, inner, Some(row))?;
                    set.extend(found.rows.into_iter().filter_map(|row| row.into_iter().next()));
                }
                _ => return Err(syntax("IN")),
            }
            among(&value(expr)?, &set)?.map(|truth| truth != *negated)
        }
        Expr::Between { expr, negated, low, high } => {
            let (value, low, high) = (value(expr)?, value(low)?, value(high)?);
            match (compare(&value, &low)?, compare(&value, &high)?) {
                (Some(low), Some(high)) => Some((low != Ordering::Less && high != Ordering::Greater) != *negated),
                _ => None,
            }
        }
        Expr::Like { negated, expr, pattern, escape_char, .. } => {
            let escape = match escape_char {
                Some(escape) => text(&value(escape)?).and_then(|text| text.to_lowercase().chars().next()),
                None => None,
            };
            match (text(&value(expr)?), text(&value(pattern)?)) {
                (Some(text), Some(pattern)) => Some(like(&text, &pattern, escape) != *negated),
                _ => None,
            }
        }
        Expr::Exists { subquery, negated } => Some(query::run(scene, subquery, Some(row))?.rows.is_empty() == *negated),
        _ => {
            return Err(with_class(
                4145,
                15,
                "An expression of non-boolean type specified in a context where a condition is expected.",
            ));
        }
    })
}

/// The type of an expression's values, before there are any.
pub(crate) fn kind(scene: &Scene<'_>, row: &Row<'_>, expr: &Expr) -> Result<Kind, Message> {
    Ok(match expr {
        Expr::Identifier(name) if name.value.starts_with("@@") && name.quote_style.is_none() => {
            kind_of(&function::global(scene, &name.value)?).unwrap_or(Kind::Int)
        }
        Expr::Identifier(name) if name.value.starts_with('@') && name.quote_style.is_none() => {
            scene.variables.get(&name.value).ok_or_else(|| undeclared(&name.value))?.0
        }
        Expr::Identifier(name) if function::niladic(scene, &name.value).is_some() && name.quote_style.is_none() => {
            if name.value.eq_ignore_ascii_case("CURRENT_TIMESTAMP") {
                Kind::DateTime
            } else {
                Kind::Text
            }
        }
        Expr::Identifier(name) => row.kind(None, &name.value)?,
        Expr::CompoundIdentifier(names) => {
            let (table, name) = split(names);
            row.kind(table, name)?
        }
        Expr::Value(value) => kind_of(&literal(&value.value)?).unwrap_or(Kind::Int),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } | Expr::UnaryOp { expr: inner, .. } => {
            kind(scene, row, inner)?
        }
        Expr::BinaryOp { left, right, .. } => wider(kind(scene, row, left)?, kind(scene, row, right)?),
        Expr::Case { conditions, else_result, .. } => {
            let results = conditions.iter().map(|when| &when.result).chain(else_result.as_deref());
            let mut found = None;
            for result in results.filter(|result| !is_null(result)) {
                let next = kind(scene, row, result)?;
                found = Some(found.map_or(next, |found| wider(found, next)));
            }
            found.unwrap_or(Kind::Int)
        }
        Expr::Cast { data_type, .. } | Expr::Convert { data_type: Some(data_type), .. } => {
            super::parse::known(data_type)?
        }
        Expr::Function(call) => function::kind(scene, row, call)?,
        Expr::Subquery(inner) => query::fields(scene, inner, Some(row))?.first().map_or(Kind::Text, |field| field.kind),
        Expr::Substring { .. } | Expr::Trim { .. } => Kind::Text,
        _ => return Err(not_a_value(expr)),
    })
}

pub(crate) fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if value.value == Literal::Null)
}

/// The type that both can be: numbers outrank text, dates outrank numbers.
pub(crate) fn wider(a: Kind, b: Kind) -> Kind {
    let rank = |kind| match kind {
        Kind::Binary => 0,
        Kind::Text => 1,
        Kind::Bit => 2,
        Kind::TinyInt => 3,
        Kind::SmallInt => 4,
        Kind::Int => 5,
        Kind::BigInt => 6,
        Kind::DateTime => 7,
    };
    if rank(a) >= rank(b) { a } else { b }
}

/// The plain expressions of a call's arguments.
pub(crate) fn arguments(arguments: &FunctionArguments) -> Result<Vec<&Expr>, Message> {
    let FunctionArguments::List(list) = arguments else { return Ok(Vec::new()) };
    let plain = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Ok(expr),
        _ => Err(syntax("*")),
    };
    list.args.iter().map(plain).collect()
}

fn identifier(scene: &Scene<'_>, row: &Row<'_>, name: &Ident) -> Result<Value, Message> {
    let bare = name.quote_style.is_none();
    if bare && name.value.starts_with("@@") {
        return function::global(scene, &name.value);
    }
    if bare && name.value.starts_with('@') {
        return Ok(scene.variables.get(&name.value).ok_or_else(|| undeclared(&name.value))?.1.clone());
    }
    if let Some(value) = function::niladic(scene, &name.value).filter(|_| bare) {
        return Ok(value);
    }
    row.get(None, &name.value).cloned()
}

fn split(names: &[Ident]) -> (Option<&str>, &str) {
    match names {
        [.., table, name] => (Some(&table.value), &name.value),
        [name] => (None, &name.value),
        [] => (None, ""),
    }
}

fn literal(literal: &Literal) -> Result<Value, Message> {
    Ok(match literal {
        Literal::Number(digits, _) => number(digits.parse().map_err(|_| syntax(digits))?),
        Literal::SingleQuotedString(text) | Literal::NationalStringLiteral(text) => Value::Text(text.clone()),
        Literal::HexStringLiteral(digits) => Value::Binary(from_hex(digits).ok_or_else(|| syntax(digits))?),
        Literal::Null => Value::Null,
        other => return Err(syntax(&other.to_string())),
    })
}

/// INT, or BIGINT if it must be.
pub(crate) fn number(number: i64) -> Value {
    i32::try_from(number).map_or(Value::BigInt(number), Value::Int)
}

fn arithmetic(
    scene: &Scene<'_>,
    row: &Row<'_>,
    left: &Expr,
    op: &BinaryOperator,
    right: &Expr,
) -> Result<Value, Message> {
    if comparison(op).is_some() || matches!(op, BinaryOperator::And | BinaryOperator::Or) {
        return Err(not_a_value(&Expr::BinaryOp {
            left: Box::new(left.clone()),
            op: op.clone(),
            right: Box::new(right.clone()),
        }));
    }
    let (a, b) = (eval(scene, row, left)?, eval(scene, row, right)?);
    match (op, &a, &b) {
        (_, Value::Null, _) | (_, _, Value::Null) => Ok(Value::Null),
        (BinaryOperator::Plus, Value::Text(a), Value::Text(b)) => Ok(Value::Text(format!("{a}{b}"))),
        (BinaryOperator::Plus, Value::Binary(a), Value::Binary(b)) => Ok(Value::Binary([&a[..], b].concat())),
        (_, a, b) => {
            let (x, y) = (integer(a)?, integer(b)?);
            let result = match op {
                BinaryOperator::Plus => x.checked_add(y),
                BinaryOperator::Minus => x.checked_sub(y),
                BinaryOperator::Multiply => x.checked_mul(y),
                BinaryOperator::Divide | BinaryOperator::Modulo if y == 0 => {
                    return Err(error(8134, "Divide by zero error encountered."));
                }
                BinaryOperator::Divide => x.checked_div(y),
                BinaryOperator::Modulo => x.checked_rem(y),
                BinaryOperator::BitwiseAnd => Some(x & y),
                BinaryOperator::BitwiseOr => Some(x | y),
                BinaryOperator::BitwiseXor => Some(x ^ y),
                other => return Err(syntax(&other.to_string())),
            };
            let wide = [a, b].iter().any(|value| matches!(value, Value::BigInt(_)));
            match result.map(number) {
                Some(Value::Int(small)) if wide => Ok(Value::BigInt(i64::from(small))),
                Some(Value::Int(small)) => Ok(Value::Int(small)),
                Some(big) if wide => Ok(big),
                _ => Err(error(8115, "Arithmetic overflow error converting expression to data type int.")),
            }
        }
    }
}

fn comparison(op: &BinaryOperator) -> Option<fn(Ordering) -> bool> {
    Some(match op {
        BinaryOperator::Eq => Ordering::is_eq,
        BinaryOperator::NotEq => Ordering::is_ne,
        BinaryOperator::Lt => Ordering::is_lt,
        BinaryOperator::LtEq => Ordering::is_le,
        BinaryOperator::Gt => Ordering::is_gt,
        BinaryOperator::GtEq => Ordering::is_ge,
        _ => return None,
    })
}

fn among(value: &Value, set: &[Value]) -> Result<Option<bool>, Message> {
    let mut unknown = false;
    for item in set {
        match compare(value, item)? {
            Some(Ordering::Equal) => return Ok(Some(true)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { None } else { Some(false) })
}

fn case(
    scene: &Scene<'_>,
    row: &Row<'_>,
    operand: Option<&Expr>,
    conditions: &[CaseWhen],
    otherwise: Option<&Expr>,
) -> Result<Value, Message> {
    let operand = operand.map(|operand| eval(scene, row, operand)).transpose()?;
    for when in conditions {
        let holds = match &operand {
            Some(operand) => compare(operand, &eval(scene, row, &when.condition)?)?.map(Ordering::is_eq),
            None => truth(scene, row, &when.condition)?,
        };
        if holds == Some(true) {
            return eval(scene, row, &when.result);
        }
    }
    otherwise.map_or(Ok(Value::Null), |otherwise| eval(scene, row, otherwise))
}

/// A condition, or what this double does not know, where a value must stand.
fn not_a_value(expr: &Expr) -> Message {
    let near = match expr {
        Expr::BinaryOp { op, .. } => op.to_string(),
        other => other.to_string(),
    };
    syntax(&near)
}
