//! Parameters of an RPC: TYPE_INFO, and the value in the form of its type.

use encoding_rs::WINDOWS_1252;

use super::input::{Input, Malformed, Read, utf16};
use crate::exchange::Value;

/// The length that says that a value comes in chunks, and the one that says that it is null.
const MAX: u16 = 0xFFFF;
const NULL_CHUNKS: u64 = u64::MAX;

/// Days from 0001-01-01 to 1900-01-01.
const DAYS_TO_1900: i64 = 693_595;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// A parameter whose type the double does not know; the server says error 8009 for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownType(pub(crate) u8);

/// Reads type and value.
pub(crate) fn value(input: &mut Input<'_>) -> Read<Result<Value, UnknownType>> {
    let known = match input.u8()? {
        0x1F => Value::Null,
        // Fixed lengths: never null.
        0x30 => Value::TinyInt(input.u8()?),
        0x32 => Value::Bit(input.u8()? != 0),
        0x34 => integer(input.take(2)?)?,
        0x38 => integer(input.take(4)?)?,
        0x7F => integer(input.take(8)?)?,
        0x3D => datetime(input.take(8)?)?,
        // INTN, BITN, DATETIMN: the greatest length, then the length of this one.
        0x26 => short(input)?.map_or(Ok(Value::Null), integer)?,
        0x68 => short(input)?.map_or(Value::Null, |bytes| Value::Bit(bytes.iter().any(|byte| *byte != 0))),
        0x6F => short(input)?.map_or(Ok(Value::Null), datetime)?,
        // DATE has no greatest length; DATETIME2 has its scale there.
        0x28 => prefixed(input)?.map_or(Ok(Value::Null), |bytes| date(bytes).map(Value::DateTime))?,
        0x2A => {
            let scale = input.u8()?;
            prefixed(input)?.map_or(Ok(Value::Null), |bytes| datetime2(bytes, scale))?
        }
        0xA5 | 0xAD => long(input, false)?.map_or(Value::Null, Value::Binary),
        0xA7 | 0xAF => long(input, true)?.map_or(Value::Null, |bytes| ansi(&bytes)),
        0xE7 | 0xEF => long(input, true)?.map_or(Ok(Value::Null), |bytes| utf16(&bytes).map(Value::Text))?,
        // TEXT, NTEXT: four bytes of length, and all ones for null.
        0x23 => blob(input)?.map_or(Value::Null, ansi),
        0x63 => blob(input)?.map_or(Ok(Value::Null), |bytes| utf16(bytes).map(Value::Text))?,
        unknown => return Ok(Err(UnknownType(unknown))),
    };
    Ok(Ok(known))
}

/// A value with its greatest length before, which says nothing here.
fn short<'a>(input: &mut Input<'a>) -> Read<Option<&'a [u8]>> {
    input.u8()?;
    prefixed(input)
}

/// A value with its length in a byte; zero for null.
fn prefixed<'a>(input: &mut Input<'a>) -> Read<Option<&'a [u8]>> {
    match input.u8()? {
        0 => Ok(None),
        length => input.take(usize::from(length)).map(Some),
    }
}

/// VARCHAR and the like: greatest length, collation for texts, then the value, in chunks where the greatest length is MAX.
fn long(input: &mut Input<'_>, collated: bool) -> Read<Option<Vec<u8>>> {
    let greatest = input.u16()?;
    if collated {
        input.take(5)?;
    }
    if greatest == MAX {
        return chunks(input);
    }
    match input.u16()? {
        MAX => Ok(None),
        length if length > greatest => Err(Malformed("a value is longer than its type")),
        length => input.take(usize::from(length)).map(|bytes| Some(bytes.to_vec())),
    }
}

/// PLP: the whole length, or that it is not known, then chunks until an empty one.
fn chunks(input: &mut Input<'_>) -> Read<Option<Vec<u8>>> {
    const UNKNOWN: u64 = u64::MAX - 1;
    let whole = input.u64()?;
    if whole == NULL_CHUNKS {
        return Ok(None);
    }
    let mut value = Vec::new();
    loop {
        match input.length()? {
            0 => break,
            length => value.extend_from_slice(input.take(length)?),
        }
    }
    if whole != UNKNOWN && usize::try_from(whole) != Ok(value.len()) {
        return Err(Malformed("chunks are not as long as they say"));
    }
    Ok(Some(value))
}

/// TEXT and NTEXT: greatest length, collation, then the value.
fn blob<'a>(input: &mut Input<'a>) -> Read<Option<&'a [u8]>> {
    input.take(4 + 5)?;
    match input.u32()? {
        u32::MAX => Ok(None),
        length => input.take(usize::try_from(length).map_err(|_| Malformed("a length is too great"))?).map(Some),
    }
}

/// VARCHAR in the server's collation.
fn ansi(bytes: impl AsRef<[u8]>) -> Value {
    Value::Text(WINDOWS_1252.decode_without_bom_handling(bytes.as_ref()).0.into_owned())
}

fn integer(bytes: &[u8]) -> Read<Value> {
    match *bytes {
        [byte] => Ok(Value::TinyInt(byte)),
        [a, b] => Ok(Value::SmallInt(i16::from_le_bytes([a, b]))),
        [a, b, c, d] => Ok(Value::Int(i32::from_le_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Ok(Value::BigInt(i64::from_le_bytes([a, b, c, d, e, f, g, h]))),
        _ => Err(Malformed("no integer has this length")),
    }
}

/// DATETIME: days since 1900 and three-hundredths of a second; SMALLDATETIME: days and minutes.
fn datetime(bytes: &[u8]) -> Read<Value> {
    match *bytes {
        [a, b, c, d, e, f, g, h] => {
            let (days, ticks) = (i32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            Ok(Value::DateTime(i64::from(days) * DAY + (i64::from(ticks) * 10 + 1) / 3))
        }
        [a, b, c, d] => {
            let (days, minutes) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
            Ok(Value::DateTime(i64::from(days) * DAY + i64::from(minutes) * 60_000))
        }
        _ => Err(Malformed("no datetime has this length")),
    }
}

/// Three bytes: days since 0001-01-01. In milliseconds since 1900.
fn date(bytes: &[u8]) -> Read<i64> {
    match *bytes {
        [a, b, c] => Ok((i64::from(u32::from_le_bytes([a, b, c, 0])) - DAYS_TO_1900) * DAY),
        _ => Err(Malformed("no date has this length")),
    }
}

/// The time of day in units of its scale, then the date.
fn datetime2(bytes: &[u8], scale: u8) -> Read<Value> {
    let (time, day) = bytes.split_last_chunk::<3>().ok_or(Malformed("no datetime2 has this length"))?;
    if time.len() > 5 || scale > 7 {
        return Err(Malformed("no datetime2 has this scale"));
    }
    let units = time.iter().rev().fold(0_i64, |units, byte| units << 8 | i64::from(*byte));
    Ok(Value::DateTime(date(day)? + units * 1000 / 10_i64.pow(u32::from(scale))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Read<Result<Value, UnknownType>> {
        let mut input = Input::new(bytes);
        let value = value(&mut input)?;
        assert!(input.is_empty() || value.is_err(), "all is read");
        Ok(value)
    }

    #[test]
    fn values_are_read_in_the_form_of_their_type() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases: [(&[u8], Value); 16] = [
            (&[0x38, 1, 0, 0, 0x80], Value::Int(i32::MIN + 1)),
            (&[0x26, 4, 4, 0xFF, 0xFF, 0xFF, 0xFF], Value::Int(-1)),
            (&[0x26, 8, 8, 1, 0, 0, 0, 0, 0, 0, 0x80], Value::BigInt(i64::MIN + 1)),
            (&[0x26, 2, 2, 0xFE, 0xFF], Value::SmallInt(-2)),
            (&[0x26, 1, 1, 0xFF], Value::TinyInt(255)),
            (&[0x26, 4, 0], Value::Null),
            (&[0x68, 1, 1, 1], Value::Bit(true)),
            (&[0x68, 1, 0], Value::Null),
            (&[0xE7, 8, 0, 0, 0, 0, 0, 0, 4, 0, 0x41, 0, 0xDF, 0], text("Aß")),
            (&[0xE7, 8, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], Value::Null),
            (&[0xA7, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0x41, 0x80], text("A€")),
            (&[0xA5, 8, 0, 1, 0, 7], Value::Binary(vec![7])),
            (&[0x6F, 8, 8, 1, 0, 0, 0, 0x2C, 1, 0, 0], Value::DateTime(DAY + 1000)),
            (&[0x28, 3, 0x5B, 0x95, 0x0A], Value::DateTime(0)),
            (&[0x2A, 3, 7, 0xE8, 3, 0, 0, 0x5B, 0x95, 0x0A], Value::DateTime(1000)),
            (&[0x63, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], Value::Null),
        ];
        for (bytes, value) in cases {
            assert_eq!(read(bytes), Ok(Ok(value)), "{bytes:x?}");
            for length in 0..bytes.len() {
                assert!(read(&bytes[..length]).is_err(), "{:x?}", &bytes[..length]);
            }
        }
    }

    #[test]
    fn chunks_make_one_value() {
        let mut bytes = vec![0xE7, 0xFF, 0xFF, 0, 0, 0, 0, 0];
        bytes.extend(4_u64.to_le_bytes());
        bytes.extend([2, 0, 0, 0, 0x41, 0, 2, 0, 0, 0, 0x42, 0, 0, 0, 0, 0]);
        assert_eq!(read(&bytes), Ok(Ok(Value::Text("AB".to_owned()))));
        bytes[8] = 5;
        assert_eq!(read(&bytes), Err(Malformed("chunks are not as long as they say")));
        let mut null = vec![0xA5, 0xFF, 0xFF];
        null.extend(u64::MAX.to_le_bytes());
        assert_eq!(read(&null), Ok(Ok(Value::Null)));
    }

    #[test]
    fn a_value_longer_than_its_type_is_refused() {
        assert_eq!(read(&[0xA5, 1, 0, 2, 0, 7, 7]), Err(Malformed("a value is longer than its type")));
    }

    #[test]
    fn a_type_that_is_not_known_is_named() {
        assert_eq!(read(&[0xF1, 0]), Ok(Err(UnknownType(0xF1))));
    }
}
