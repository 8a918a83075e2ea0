//! Built-in functions and global variables. Those about principals and permissions are in `property`.

use std::cmp::Ordering;

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::eval::{arguments, eval, is_null, number, truth, wider};
use super::property;
use super::relation::Row;
use super::scene::Scene;
use super::value::{civil, compare, days_of, integer, text, to_kind};
use crate::exchange::{Kind, Message, Value};
use crate::instance::hash::{random, utf16};
use crate::instance::message::{error, undeclared, with_class};

const AGGREGATES: [&str; 6] = ["COUNT", "COUNT_BIG", "MAX", "MIN", "SUM", "STRING_AGG"];

pub(crate) fn call(scene: &Scene<'_>, row: &Row<'_>, call: &Function) -> Result<Value, Message> {
    let name = call.name.to_string().to_uppercase();
    if AGGREGATES.contains(&name.as_str()) {
        return aggregate(scene, row, &name, call);
    }
    let arguments = arguments(&call.args)?;
    // These do not want all of their arguments to be values.
    match (name.as_str(), arguments.as_slice()) {
        ("DATEDIFF" | "DATEDIFF_BIG", [part, from, to]) => {
            return date_diff(part, &eval(scene, row, from)?, &eval(scene, row, to)?);
        }
        ("DATEADD", [part, count, to]) => return date_add(part, &eval(scene, row, count)?, &eval(scene, row, to)?),
        ("IIF", [condition, yes, no]) => {
            return eval(scene, row, if truth(scene, row, condition)? == Some(true) { yes } else { no });
        }
        ("COALESCE", list) => {
            for item in list {
                match eval(scene, row, item)? {
                    Value::Null => {}
                    value => return Ok(value),
                }
            }
            return Ok(Value::Null);
        }
        _ => {}
    }
    let values: Vec<Value> = arguments.iter().map(|expr| eval(scene, row, expr)).collect::<Result<_, _>>()?;
    match plain(scene, &name, &values).or_else(|| property::call(scene, &name, &values)) {
        Some(found) => found,
        None => Err(with_class(195, 15, format!("'{}' is not a recognized built-in function name.", call.name))),
    }
}

/// The type of what a function gives.
pub(crate) fn kind(scene: &Scene<'_>, row: &Row<'_>, call: &Function) -> Result<Kind, Message> {
    let name = call.name.to_string().to_uppercase();
    let of = |at: usize| match arguments(&call.args)?.get(at) {
        Some(expr) => super::eval::kind(scene, row, expr),
        None => Ok(Kind::Int),
    };
    Ok(match name.as_str() {
        "COUNT"
        | "LEN"
        | "DATALENGTH"
        | "CHARINDEX"
        | "DATEDIFF"
        | "PWDCOMPARE"
        | "SUSER_ID"
        | "DB_ID"
        | "USER_ID"
        | "OBJECT_ID"
        | "IS_SRVROLEMEMBER"
        | "IS_MEMBER"
        | "IS_ROLEMEMBER"
        | "HAS_PERMS_BY_NAME"
        | "HAS_DBACCESS"
        | "ERROR_NUMBER"
        | "ERROR_SEVERITY"
        | "ERROR_STATE"
        | "ERROR_LINE"
        | "XACT_STATE"
        | "SCHEMA_ID"
        | "UNICODE"
        | "ASCII"
        | "DATABASE_PRINCIPAL_ID" => Kind::Int,
        "COUNT_BIG" | "DATEDIFF_BIG" => Kind::BigInt,
        "GETDATE" | "GETUTCDATE" | "SYSDATETIME" | "SYSUTCDATETIME" | "DATEADD" => Kind::DateTime,
        "HASHBYTES" | "SUSER_SID" | "PWDENCRYPT" => Kind::Binary,
        "MAX" | "MIN" | "SUM" | "NULLIF" => of(0)?,
        "ISNULL" => {
            let first_is_null = arguments(&call.args)?.first().is_some_and(|expr| is_null(expr));
            of(usize::from(first_is_null))?
        }
        "IIF" => wider(of(1)?, of(2)?),
        "COALESCE" => {
            let mut found = None;
            for expr in arguments(&call.args)?.into_iter().filter(|expr| !is_null(expr)) {
                let next = super::eval::kind(scene, row, expr)?;
                found = Some(found.map_or(next, |found| wider(found, next)));
            }
            found.unwrap_or(Kind::Int)
        }
        // What these give depends on what they are asked for.
        "SERVERPROPERTY" | "LOGINPROPERTY" | "DATABASEPROPERTYEX" | "CONNECTIONPROPERTY" | "SESSIONPROPERTY" => {
            let values: Vec<Value> =
                arguments(&call.args)?.iter().map(|expr| eval(scene, row, expr).unwrap_or(Value::Null)).collect();
            let property = values.last().and_then(text).unwrap_or_default();
            property::kind(&name, &property)
        }
        _ => Kind::Text,
    })
}

/// A name that is a function without parentheses.
pub(crate) fn is_niladic(name: &str) -> bool {
    let names = ["CURRENT_USER", "SYSTEM_USER", "SESSION_USER", "USER", "CURRENT_TIMESTAMP"];
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

pub(crate) fn niladic(scene: &Scene<'_>, name: &str) -> Option<Value> {
    Some(match name.to_uppercase().as_str() {
        "CURRENT_USER" | "SESSION_USER" | "USER" => property::user_name(scene),
        "SYSTEM_USER" => Value::Text(scene.me.login.clone()),
        "CURRENT_TIMESTAMP" => Value::DateTime(scene.now()),
        _ => return None,
    })
}

/// `@@…`.
pub(crate) fn global(scene: &Scene<'_>, name: &str) -> Result<Value, Message> {
    let depth = scene.me.transaction.as_ref().map_or(0, |transaction| transaction.depth);
    Ok(match name.to_uppercase().as_str() {
        "@@SPID" => Value::SmallInt(scene.me.id),
        "@@VERSION" => Value::Text(property::version(scene)),
        "@@SERVERNAME" => Value::Text(scene.state.options.server_name.clone()),
        "@@SERVICENAME" => Value::Text("MSSQLSERVER".to_owned()),
        "@@LANGUAGE" => Value::Text("us_english".to_owned()),
        "@@NESTLEVEL" => Value::Int(0),
        "@@TRANCOUNT" => Value::Int(depth),
        "@@ERROR" => Value::Int(scene.me.error),
        "@@ROWCOUNT" => number(scene.me.rows),
        "@@LOCK_TIMEOUT" => number(scene.me.flags.lock_timeout),
        "@@MAX_CONNECTIONS" => Value::Int(32767),
        "@@OPTIONS" => Value::Int(if scene.me.flags.implicit_transactions { 5498 } else { 5496 }),
        "@@IDENTITY" => Value::Null,
        "@@MICROSOFTVERSION" => {
            let mut parts = scene.state.options.product().split('.').map(|part| part.parse::<i64>().unwrap_or(0));
            let (major, minor, build) =
                (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
            number((major << 24) | (minor << 16) | build)
        }
        _ => return Err(undeclared(name)),
    })
}

/// Whether an expression has an aggregate in it, not counting those of its subqueries.
pub(crate) fn has_aggregate(expr: &Expr) -> bool {
    match expr {
        Expr::Function(call) => {
            let own = AGGREGATES.contains(&call.name.to_string().to_uppercase().as_str());
            own || arguments(&call.args).is_ok_and(|list| list.into_iter().any(has_aggregate))
        }
        Expr::Nested(inner)
        | Expr::Cast { expr: inner, .. }
        | Expr::Convert { expr: inner, .. }
        | Expr::UnaryOp { expr: inner, .. } => has_aggregate(inner),
        Expr::BinaryOp { left, right, .. } => has_aggregate(left) || has_aggregate(right),
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter().any(|when| has_aggregate(&when.condition) || has_aggregate(&when.result))
                || else_result.as_deref().is_some_and(has_aggregate)
        }
        _ => false,
    }
}

fn aggregate(scene: &Scene<'_>, row: &Row<'_>, name: &str, call: &Function) -> Result<Value, Message> {
    let Some(group) = row.group else {
        return Err(with_class(
            147,
            15,
            "An aggregate may not appear in the WHERE clause unless it is in a subquery contained in a HAVING clause or a select list, and the column being aggregated is an outer reference.",
        ));
    };
    if let FunctionArguments::List(list) = &call.args
        && matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)])
    {
        return Ok(number(i64::try_from(group.len()).expect("few rows")));
    }
    let list = arguments(&call.args)?;
    let Some(expr) = list.first() else {
        return Err(with_class(174, 15, format!("The {} function requires 1 argument(s).", name.to_lowercase())));
    };
    let mut values = Vec::new();
    for other in group {
        let scope = Row { values: other, group: None, ..*row };
        match eval(scene, &scope, expr)? {
            Value::Null => {}
            value => values.push(value),
        }
    }
    if let FunctionArguments::List(arguments) = &call.args
        && arguments.duplicate_treatment.is_some_and(|treatment| treatment.to_string() == "DISTINCT")
    {
        let mut kept: Vec<Value> = Vec::new();
        for value in values {
            let known =
                kept.iter().any(|other| compare(other, &value).is_ok_and(|order| order == Some(Ordering::Equal)));
            if !known {
                kept.push(value);
            }
        }
        values = kept;
    }
    match name {
        "COUNT" => Ok(number(i64::try_from(values.len()).expect("few rows"))),
        "COUNT_BIG" => Ok(Value::BigInt(i64::try_from(values.len()).expect("few rows"))),
        "SUM" if values.is_empty() => Ok(Value::Null),
        "SUM" => values.iter().try_fold(0_i64, |sum, value| integer(value).map(|value| sum + value)).map(number),
        "STRING_AGG" if values.is_empty() => Ok(Value::Null),
        "STRING_AGG" => {
            let separator = match list.get(1) {
                Some(separator) => text(&eval(scene, row, separator)?).unwrap_or_default(),
                None => return Err(with_class(174, 15, "The string_agg function requires 2 argument(s).")),
            };
            let texts: Vec<String> = values.iter().filter_map(text).collect();
            Ok(Value::Text(texts.join(&separator)))
        }
        _ => {
            let wanted = if name == "MAX" { Ordering::Greater } else { Ordering::Less };
            let mut best = Value::Null;
            for value in values {
                if best == Value::Null || compare(&value, &best)? == Some(wanted) {
                    best = value;
                }
            }
            Ok(best)
        }
    }
}

/// Functions of their arguments alone, and of the clock.
fn plain(scene: &Scene<'_>, name: &str, values: &[Value]) -> Option<Result<Value, Message>> {
    let texts: Vec<Option<String>> = values.iter().map(text).collect();
    let one = |change: fn(&str) -> String| {
        texts.first().cloned().flatten().map_or(Value::Null, |text| Value::Text(change(&text)))
    };
    let value = match (name, values) {
        ("GETDATE" | "GETUTCDATE" | "SYSDATETIME" | "SYSUTCDATETIME", []) => Value::DateTime(scene.now()),
        ("ISNULL", [Value::Null, other]) => other.clone(),
        ("ISNULL", [value, other]) => match super::value::kind_of(value) {
            Some(_) => value.clone(),
            None => other.clone(),
        },
        ("NULLIF", [a, b]) => match compare(a, b) {
            Ok(Some(Ordering::Equal)) => Value::Null,
            Ok(_) => a.clone(),
            Err(message) => return Some(Err(message)),
        },
        ("CONCAT", [_, _, ..]) => Value::Text(texts.into_iter().flatten().collect()),
        ("LEN", [_]) => match texts.first().cloned().flatten() {
            Some(text) => number(length(text.trim_end_matches(' '))),
            None => Value::Null,
        },
        ("DATALENGTH", [value]) => match value {
            Value::Null => Value::Null,
            Value::Text(text) => number(length(text) * 2),
            Value::Binary(bytes) => number(i64::try_from(bytes.len()).expect("short")),
            Value::Bit(_) | Value::TinyInt(_) => Value::Int(1),
            Value::SmallInt(_) => Value::Int(2),
            Value::Int(_) => Value::Int(4),
            Value::BigInt(_) | Value::DateTime(_) => Value::Int(8),
        },
        ("LEFT", [_, _]) => return Some(substring(&[values[0].clone(), Value::Int(1), values[1].clone()])),
        ("RIGHT", [Value::Null, _] | [_, Value::Null]) => Value::Null,
        ("RIGHT", [_, count]) => {
            let units: Vec<u16> = texts[0].clone().unwrap_or_default().encode_utf16().collect();
            let count = usize::try_from(integer(count).ok()?).ok()?.min(units.len());
            Value::Text(String::from_utf16_lossy(&units[units.len() - count..]))
        }
        ("SUBSTRING", [_, _, _]) => return Some(substring(values)),
        ("UPPER", [_]) => one(str::to_uppercase),
        ("LOWER", [_]) => one(str::to_lowercase),
        ("LTRIM", [_]) => one(|text| text.trim_start_matches(' ').to_owned()),
        ("RTRIM", [_]) => one(|text| text.trim_end_matches(' ').to_owned()),
        ("TRIM", [_]) => one(|text| text.trim_matches(' ').to_owned()),
        ("REVERSE", [_]) => one(|text| text.chars().rev().collect()),
        ("REPLACE", [_, _, _]) => match texts.into_iter().collect::<Option<Vec<_>>>().as_deref() {
            Some([text, from, to]) => Value::Text(replaced(text, from, to)),
            _ => Value::Null,
        },
        ("QUOTENAME", [_]) => quoted(texts[0].as_deref(), '['),
        ("QUOTENAME", [_, _]) => match texts[1].as_deref().and_then(|mark| mark.chars().next()) {
            Some(mark) => quoted(texts[0].as_deref(), mark),
            None => Value::Null,
        },
        ("CHARINDEX", [_, _, rest @ ..]) => match (&texts[0], &texts[1]) {
            (Some(part), Some(whole)) => {
                let from = rest
                    .first()
                    .and_then(|from| integer(from).ok())
                    .map_or(0, |from| usize::try_from(from - 1).unwrap_or(0));
                number(position(part, whole, from))
            }
            _ => Value::Null,
        },
        ("NCHAR" | "CHAR", [code]) => {
            let code = integer(code).ok().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
            code.map_or(Value::Null, |c| Value::Text(c.to_string()))
        }
        ("UNICODE" | "ASCII", [_]) => {
            let first = texts[0].as_deref().and_then(|text| text.encode_utf16().next());
            first.map_or(Value::Null, |unit| Value::Int(i32::from(unit)))
        }
        ("REPLICATE", [_, count]) => {
            let count = usize::try_from(integer(count).ok()?).unwrap_or(0);
            texts[0].clone().map_or(Value::Null, |text| Value::Text(text.repeat(count.min(8000))))
        }
        ("NEWID", []) => {
            let hex = super::value::to_hex(&random::<16>());
            Value::Text(format!("{}-{}-4{}-A{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]))
        }
        ("HASHBYTES", [_, Value::Null]) => Value::Null,
        ("HASHBYTES", [_, value]) => hash_bytes(&texts[0].clone().unwrap_or_default(), value),
        ("ERROR_NUMBER", []) => scene.me.caught.as_ref().map_or(Value::Null, |message| Value::Int(message.number)),
        ("ERROR_MESSAGE", []) => {
            scene.me.caught.as_ref().map_or(Value::Null, |message| Value::Text(message.text.clone()))
        }
        ("ERROR_PROCEDURE", []) => {
            let named = scene.me.caught.as_ref().filter(|message| !message.procedure.is_empty());
            named.map_or(Value::Null, |message| Value::Text(message.procedure.clone()))
        }
        ("ERROR_SEVERITY", []) => {
            scene.me.caught.as_ref().map_or(Value::Null, |message| Value::Int(i32::from(message.class)))
        }
        ("ERROR_STATE", []) => {
            scene.me.caught.as_ref().map_or(Value::Null, |message| Value::Int(i32::from(message.state)))
        }
        ("XACT_STATE", []) => {
            Value::Int(scene.me.transaction.as_ref().map_or(0, |transaction| if transaction.doomed { -1 } else { 1 }))
        }
        _ => return None,
    };
    Some(Ok(value))
}

/// From a unit, counted from 1, so many units.
pub(crate) fn substring(values: &[Value]) -> Result<Value, Message> {
    if values.contains(&Value::Null) {
        return Ok(Value::Null);
    }
    let (start, count) = (integer(&values[1])?, integer(&values[2])?);
    if count < 0 {
        return Err(error(537, "Invalid length parameter passed to the LEFT or SUBSTRING function."));
    }
    let (from, to) = ((start - 1).max(0), (start - 1 + count).max(0));
    let cut = |length: usize| {
        let clamp = |at: i64| usize::try_from(at).unwrap_or(usize::MAX).min(length);
        (clamp(from), clamp(to))
    };
    if let Value::Binary(bytes) = &values[0] {
        let (from, to) = cut(bytes.len());
        return Ok(Value::Binary(bytes[from..to].to_vec()));
    }
    let units: Vec<u16> = text(&values[0]).unwrap_or_default().encode_utf16().collect();
    let (from, to) = cut(units.len());
    Ok(Value::Text(String::from_utf16_lossy(&units[from..to])))
}

fn length(text: &str) -> i64 {
    i64::try_from(text.encode_utf16().count()).expect("a text is not that long")
}

/// NULL beyond 128 units, whatever follows from that.
fn quoted(text: Option<&str>, mark: char) -> Value {
    let Some(text) = text.filter(|text| text.encode_utf16().count() <= 128) else { return Value::Null };
    let (open, close) = match mark {
        '[' | ']' => ('[', ']'),
        '\'' | '"' | '`' => (mark, mark),
        '(' | ')' => ('(', ')'),
        '<' | '>' => ('<', '>'),
        '{' | '}' => ('{', '}'),
        _ => return Value::Null,
    };
    Value::Text(format!("{open}{}{close}", text.replace(close, &format!("{close}{close}"))))
}

/// Without regard to case, as the collation has it.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let (lower, wanted) = (text.to_lowercase(), from.to_lowercase());
    // Where lower case has another length, only exact matches are found.
    if wanted.is_empty() || lower.len() != text.len() {
        return if from.is_empty() { text.to_owned() } else { text.replace(from, to) };
    }
    let mut out = String::new();
    let mut rest = 0;
    while let Some(at) = lower[rest..].find(&wanted) {
        out.push_str(&text[rest..rest + at]);
        out.push_str(to);
        rest += at + wanted.len();
    }
    out.push_str(&text[rest..]);
    out
}

fn position(part: &str, whole: &str, from: usize) -> i64 {
    let (part, whole): (Vec<u16>, Vec<u16>) =
        (part.to_lowercase().encode_utf16().collect(), whole.to_lowercase().encode_utf16().collect());
    if part.is_empty() {
        return 0;
    }
    let found = whole.windows(part.len()).skip(from).position(|window| window == part);
    found.map_or(0, |at| i64::try_from(at + from + 1).expect("short"))
}

fn hash_bytes(algorithm: &str, value: &Value) -> Value {
    use aws_lc_rs::digest;
    let algorithm = match algorithm.to_uppercase().as_str() {
        "SHA2_256" => &digest::SHA256,
        "SHA2_512" => &digest::SHA512,
        "SHA1" | "SHA" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        _ => return Value::Null,
    };
    let bytes = match value {
        Value::Binary(bytes) => bytes.clone(),
        other => utf16(&text(other).unwrap_or_default()),
    };
    Value::Binary(digest::digest(algorithm, &bytes).as_ref().to_vec())
}

/// Milliseconds of a part of a date; months and years are negative counts of months.
fn unit(part: &Expr) -> Result<i64, Message> {
    let name = part.to_string().to_lowercase();
    Ok(match name.as_str() {
        "millisecond" | "ms" => 1,
        "second" | "ss" | "s" => 1000,
        "minute" | "mi" | "n" => 60_000,
        "hour" | "hh" => 3_600_000,
        "day" | "dd" | "d" | "dayofyear" => 86_400_000,
        "week" | "wk" | "ww" => 604_800_000,
        "month" | "mm" | "m" => -1,
        "quarter" | "qq" | "q" => -3,
        "year" | "yy" | "yyyy" => -12,
        _ => return Err(with_class(155, 15, format!("'{name}' is not a recognized datepart option."))),
    })
}

/// Boundaries crossed, as the server counts.
fn date_diff(part: &Expr, from: &Value, to: &Value) -> Result<Value, Message> {
    let unit = unit(part)?;
    let (Value::DateTime(from), Value::DateTime(to)) =
        (to_kind(from, Kind::DateTime, 0)?, to_kind(to, Kind::DateTime, 0)?)
    else {
        return Ok(Value::Null);
    };
    let count = |at: i64| {
        if unit > 0 {
            return at.div_euclid(unit);
        }
        let (year, month, _) = civil(at.div_euclid(86_400_000));
        (year * 12 + month - 1).div_euclid(-unit)
    };
    let difference = count(to) - count(from);
    i32::try_from(difference).map(Value::Int).map_err(|_| {
        error(535, "The datediff function resulted in an overflow. The number of dateparts separating two date/time instances is too large. Try to use datediff with a less precise datepart.")
    })
}

fn date_add(part: &Expr, count: &Value, to: &Value) -> Result<Value, Message> {
    let unit = unit(part)?;
    let (Value::DateTime(at), false) = (to_kind(to, Kind::DateTime, 0)?, *count == Value::Null) else {
        return Ok(Value::Null);
    };
    let count = integer(count)?;
    if unit > 0 {
        return Ok(Value::DateTime(at + count * unit));
    }
    let (year, month, day) = civil(at.div_euclid(86_400_000));
    let months = year * 12 + month - 1 + count * -unit;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let next = days_of(year + i64::from(month == 12), month % 12 + 1, 1);
    let last = next - days_of(year, month, 1);
    Ok(Value::DateTime(days_of(year, month, day.min(last)) * 86_400_000 + at.rem_euclid(86_400_000)))
}
