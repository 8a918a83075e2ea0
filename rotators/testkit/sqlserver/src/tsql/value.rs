//! Values as T-SQL compares and converts them.

use std::cmp::Ordering;

use sqlparser::ast::DataType;

use crate::exchange::{Kind, Message, Value};
use crate::instance::catalogue::{folded, order};
use crate::instance::message::error;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Three-valued: None is UNKNOWN.
pub(crate) fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, Message> {
    Ok(match (a, b) {
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Text(a), Value::Text(b)) => Some(order(a, b)),
        (Value::Binary(a), Value::Binary(b)) => Some(a.cmp(b)),
        (Value::DateTime(_), _) | (_, Value::DateTime(_)) => Some(instant(a)?.cmp(&instant(b)?)),
        (Value::Binary(a), Value::Text(b)) | (Value::Text(b), Value::Binary(a)) => {
            Some(a.cmp(&crate::instance::hash::utf16(b)))
        }
        _ => Some(integer(a)?.cmp(&integer(b)?)),
    })
}

/// As an integer; text is read as one.
pub(crate) fn integer(value: &Value) -> Result<i64, Message> {
    match value {
        Value::Null => Ok(0),
        Value::Bit(bit) => Ok(i64::from(*bit)),
        Value::TinyInt(number) => Ok(i64::from(*number)),
        Value::SmallInt(number) => Ok(i64::from(*number)),
        Value::Int(number) => Ok(i64::from(*number)),
        Value::BigInt(number) | Value::DateTime(number) => Ok(*number),
        Value::Text(text) => {
            let plain = text.trim();
            let read = if plain.is_empty() { Ok(0) } else { plain.parse() };
            read.map_err(|_| {
                error(245, format!("Conversion failed when converting the nvarchar value '{text}' to data type int."))
            })
        }
        Value::Binary(bytes) => Ok(bytes.iter().rev().take(8).rev().fold(0, |sum, byte| (sum << 8) | i64::from(*byte))),
    }
}

fn instant(value: &Value) -> Result<i64, Message> {
    match value {
        Value::DateTime(at) => Ok(*at),
        Value::Text(text) => parse_instant(text),
        Value::Null | Value::Bit(_) | Value::TinyInt(_) | Value::SmallInt(_) | Value::Int(_) | Value::BigInt(_) => {
            Ok(integer(value)? * DAY)
        }
        Value::Binary(_) => Err(error(206, "Operand type clash: varbinary is incompatible with datetime")),
    }
}

/// As text, in the way of an implicit conversion. None for NULL.
pub(crate) fn text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bit(bit) => i32::from(*bit).to_string(),
        Value::TinyInt(number) => number.to_string(),
        Value::SmallInt(number) => number.to_string(),
        Value::Int(number) => number.to_string(),
        Value::BigInt(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Binary(bytes) => {
            let units: Vec<u16> = bytes.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        Value::DateTime(at) => format_instant(*at, 0),
    })
}

/// The type of values of a column or variable.
pub(crate) fn kind_of_type(data_type: &DataType) -> Option<Kind> {
    let (name, _) = parts(data_type);
    Some(match name.as_str() {
        "bit" => Kind::Bit,
        "tinyint" => Kind::TinyInt,
        "smallint" => Kind::SmallInt,
        "int" | "integer" => Kind::Int,
        "bigint" | "decimal" | "numeric" | "float" | "real" | "money" => Kind::BigInt,
        "nvarchar" | "varchar" | "nchar" | "char" | "sysname" | "text" | "ntext" | "uniqueidentifier" | "xml" => {
            Kind::Text
        }
        "varbinary" | "binary" | "image" | "rowversion" | "timestamp" => Kind::Binary,
        "datetime" | "datetime2" | "smalldatetime" | "date" | "datetimeoffset" => Kind::DateTime,
        _ => return None,
    })
}

pub(crate) fn kind_of(value: &Value) -> Option<Kind> {
    Some(match value {
        Value::Null => return None,
        Value::Bit(_) => Kind::Bit,
        Value::TinyInt(_) => Kind::TinyInt,
        Value::SmallInt(_) => Kind::SmallInt,
        Value::Int(_) => Kind::Int,
        Value::BigInt(_) => Kind::BigInt,
        Value::Text(_) => Kind::Text,
        Value::Binary(_) => Kind::Binary,
        Value::DateTime(_) => Kind::DateTime,
    })
}

/// Name and length of a type: `nvarchar(20)` is `nvarchar` and 20. `max` and none are None.
fn parts(data_type: &DataType) -> (String, Option<usize>) {
    let text = data_type.to_string().to_lowercase();
    let (name, rest) = text.split_once('(').unwrap_or((&text, ""));
    (name.trim().trim_matches(['[', ']']).to_owned(), rest.trim_end_matches(')').parse().ok())
}

/// CAST and CONVERT.
pub(crate) fn convert(value: &Value, data_type: &DataType, style: i64) -> Result<Value, Message> {
    let kind =
        kind_of_type(data_type).ok_or_else(|| error(243, format!("Type {data_type} is not a defined system type.")))?;
    let (name, length) = parts(data_type);
    Ok(match (to_kind(value, kind, style)?, kind) {
        (Value::Text(text), Kind::Text) => {
            // A CAST without a length is of 30 characters.
            let max = data_type.to_string().to_lowercase().contains("max");
            let length = length.unwrap_or(match name.as_str() {
                "sysname" => 128,
                _ if max || matches!(name.as_str(), "uniqueidentifier" | "xml" | "text" | "ntext") => usize::MAX,
                _ => 30,
            });
            Value::Text(truncated(&text, length))
        }
        (Value::Binary(mut bytes), Kind::Binary) => {
            let max = data_type.to_string().to_lowercase().contains("max");
            bytes.truncate(length.unwrap_or(if max { usize::MAX } else { 30 }));
            if name == "binary" {
                bytes.resize(length.unwrap_or(30), 0);
            }
            Value::Binary(bytes)
        }
        (Value::DateTime(at), Kind::DateTime) if name == "date" => Value::DateTime(at.div_euclid(DAY) * DAY),
        (value, _) => value,
    })
}

/// To the type of a column, a variable or a parameter.
pub(crate) fn to_kind(value: &Value, kind: Kind, style: i64) -> Result<Value, Message> {
    let overflow =
        |what: &str| error(220, format!("Arithmetic overflow error for data type {what}, value = {value:?}."));
    Ok(match (value, kind) {
        (Value::Null, _) => Value::Null,
        (_, Kind::Bit) => match text(value).map(|text| text.to_lowercase()).as_deref() {
            Some("true") => Value::Bit(true),
            Some("false") => Value::Bit(false),
            _ => Value::Bit(integer(value)? != 0),
        },
        (_, Kind::TinyInt) => Value::TinyInt(integer(value)?.try_into().map_err(|_| overflow("tinyint"))?),
        (_, Kind::SmallInt) => Value::SmallInt(integer(value)?.try_into().map_err(|_| overflow("smallint"))?),
        (_, Kind::Int) => Value::Int(integer(value)?.try_into().map_err(|_| overflow("int"))?),
        (_, Kind::BigInt) => Value::BigInt(integer(value)?),
        (Value::Binary(bytes), Kind::Text) if style == 1 || style == 2 => {
            Value::Text(format!("{}{}", if style == 1 { "0x" } else { "" }, to_hex(bytes)))
        }
        (Value::DateTime(at), Kind::Text) => Value::Text(format_instant(*at, style)),
        (_, Kind::Text) => text(value).map_or(Value::Null, Value::Text),
        (Value::Text(text), Kind::Binary) if style == 1 || style == 2 => {
            let digits = if style == 1 {
                text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
            } else {
                Some(text.as_str())
            };
            let bytes = digits.and_then(from_hex);
            Value::Binary(bytes.ok_or_else(|| error(8114, "Error converting data type varchar to varbinary."))?)
        }
        (Value::Text(text), Kind::Binary) => Value::Binary(crate::instance::hash::utf16(text)),
        (Value::Binary(bytes), Kind::Binary) => Value::Binary(bytes.clone()),
        (Value::BigInt(number), Kind::Binary) => Value::Binary(number.to_be_bytes().to_vec()),
        (_, Kind::Binary) => {
            let number = i32::try_from(integer(value)?).map_err(|_| overflow("int"))?;
            Value::Binary(number.to_be_bytes().to_vec())
        }
        (_, Kind::DateTime) => Value::DateTime(instant(value)?),
    })
}

/// To a length in UTF-16 units, without splitting a character.
pub(crate) fn truncated(text: &str, units: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += c.len_utf16();
            used <= units
        })
        .collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// An odd number of digits has a zero before it. None for what is no digit.
pub(crate) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let even = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
    let pairs = even.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair[0] != b'+')).collect()
}

/// Styles 121 (as in `2026-01-31 12:00:00.000`) and 126 (with a T); others are given as 121.
fn format_instant(at: i64, style: i64) -> String {
    let (days, rest) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    let between = if style == 126 || style == 127 { 'T' } else { ' ' };
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}.{milli:03}")
}

pub(crate) fn parse_instant(text: &str) -> Result<i64, Message> {
    let fail = || error(241, "Conversion failed when converting date and/or time from character string.");
    let (date, time) = text.trim().split_once([' ', 'T']).unwrap_or((text.trim(), "0:0:0"));
    let plain: String = date.chars().filter(char::is_ascii_digit).collect();
    if plain.len() != 8 {
        return Err(fail());
    }
    let part = |from: usize, to: usize| plain[from..to].parse::<i64>().map_err(|_| fail());
    let mut total = days_of(part(0, 4)?, part(4, 6)?, part(6, 8)?) * DAY;
    let (clock, fraction) = time.trim_end_matches('Z').split_once('.').unwrap_or((time.trim_end_matches('Z'), "0"));
    for (field, unit) in clock.split(':').zip([3_600_000, 60_000, 1000]) {
        total += field.parse::<i64>().map_err(|_| fail())? * unit;
    }
    let millis: String = format!("{fraction}000").chars().take(3).collect();
    Ok(total + millis.parse::<i64>().map_err(|_| fail())?)
}

/// Year, month and day of a count of days since 1900-01-01.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 693_901;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1900-01-01.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 693_901
}

/// LIKE: `%`, `_`, `[a-z]`, `[^a]`, with an escape character.
pub(crate) fn like(text: &str, pattern: &str, escape: Option<char>) -> bool {
    let text: Vec<char> = folded(text).chars().collect();
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    matches(&text, &pattern, escape)
}

fn matches(text: &[char], pattern: &[char], escape: Option<char>) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    if Some(*first) == escape {
        let Some((literal, rest)) = rest.split_first() else { return false };
        return text.first() == Some(literal) && matches(&text[1..], rest, escape);
    }
    match first {
        '%' => (0..=text.len()).any(|skip| matches(&text[skip..], rest, escape)),
        '_' => !text.is_empty() && matches(&text[1..], rest, escape),
        '[' if rest.contains(&']') => {
            let end = rest.iter().position(|c| *c == ']').expect("just seen");
            let (negated, set) = match rest[..end].split_first() {
                Some(('^', set)) => (true, set),
                _ => (false, &rest[..end]),
            };
            let Some(c) = text.first() else { return false };
            in_set(*c, set) != negated && matches(&text[1..], &rest[end + 1..], escape)
        }
        literal => text.first() == Some(literal) && matches(&text[1..], rest, escape),
    }
}

fn in_set(c: char, set: &[char]) -> bool {
    match set {
        [from, '-', to, rest @ ..] => (*from <= c && c <= *to) || in_set(c, rest),
        [first, rest @ ..] => *first == c || in_set(c, rest),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_text_and_back() {
        for text in ["1900-01-01 00:00:00.000", "2000-02-29 23:59:59.997", "2026-12-31 01:02:03.000"] {
            assert_eq!(format_instant(parse_instant(text).expect("it is one"), 121), text);
        }
        assert_eq!(parse_instant("19700101").expect("it is one"), 25_567 * DAY);
        assert!(parse_instant("yesterday").is_err());
    }

    #[test]
    fn like_knows_its_wildcards() {
        for (text, pattern, expected) in [
            ("app_1", "APP%", true),
            ("app_1", "app[_]1", true),
            ("appx1", "app[_]1", false),
            ("appx1", "app_1", true),
            ("b", "[a-c]", true),
            ("b", "[^a-c]", false),
            ("", "%", true),
            ("", "_", false),
        ] {
            assert_eq!(like(text, pattern, None), expected, "{text} {pattern}");
        }
        assert!(like("50%", "50\\%", Some('\\')) && !like("50x", "50\\%", Some('\\')));
    }

    #[test]
    fn text_is_cut_in_units() {
        assert_eq!(truncated("a🔑b", 2), "a");
        assert_eq!(truncated("a🔑b", 3), "a🔑");
    }
}
