//! Writes results: COLMETADATA, rows, and the output parameters of procedures.

use super::tokens::{COLLATION, Tokens};
use crate::exchange::{Column, Kind, Value};

const COLUMNS: u8 = 0x81;
const ROW: u8 = 0xD1;
const ROW_WITHOUT_NULLS: u8 = 0xD2;
const RETURN_VALUE: u8 = 0xAC;

/// What the flags of a column say: may be null.
const NULLABLE: u16 = 0x01;

/// The longest value that needs no chunks, in bytes.
const LONGEST: usize = 8000;
const MAX: u16 = 0xFFFF;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// A value that is not of its column's kind: a mistake of the double, which its tests are to see.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch;

/// The form of a column: its kind, and whether its values come in chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    kind: Kind,
    chunked: bool,
}

impl Shape {
    /// The form for all these values.
    pub(crate) fn of<'a>(kind: Kind, values: impl IntoIterator<Item = &'a Value>) -> Self {
        Shape { kind, chunked: values.into_iter().any(is_long) }
    }
}

fn is_long(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.encode_utf16().count() * 2 > LONGEST,
        Value::Binary(bytes) => bytes.len() > LONGEST,
        Value::Null
        | Value::Bit(_)
        | Value::TinyInt(_)
        | Value::SmallInt(_)
        | Value::Int(_)
        | Value::BigInt(_)
        | Value::DateTime(_) => false,
    }
}

impl Tokens<'_> {
    pub(crate) fn columns(&mut self, columns: &[Column], shapes: &[Shape]) {
        self.byte(COLUMNS);
        self.put(&u16::try_from(columns.len()).expect("a SELECT has at most 4096 columns").to_le_bytes());
        for (column, shape) in columns.iter().zip(shapes) {
            self.form(*shape);
            self.short_text(&column.name);
        }
    }

    pub(crate) fn row(&mut self, shapes: &[Shape], values: &[Value]) -> Result<(), Mismatch> {
        if shapes.len() != values.len() {
            return Err(Mismatch);
        }
        let without_nulls = self.null_bitmaps && values.contains(&Value::Null);
        if without_nulls {
            self.byte(ROW_WITHOUT_NULLS);
            for eight in values.chunks(8) {
                let bits = eight.iter().enumerate().map(|(bit, value)| u8::from(*value == Value::Null) << bit);
                self.byte(bits.fold(0, |bits, bit| bits | bit));
            }
        } else {
            self.byte(ROW);
        }
        for (shape, value) in shapes.iter().zip(values) {
            if !(without_nulls && *value == Value::Null) {
                self.value(*shape, value)?;
            }
        }
        Ok(())
    }

    /// An output parameter, by its place in the call. One that is null is said to be text.
    pub(crate) fn return_value(&mut self, ordinal: u16, name: &str, value: &Value) -> Result<(), Mismatch> {
        let kind = match value {
            Value::Bit(_) => Kind::Bit,
            Value::TinyInt(_) => Kind::TinyInt,
            Value::SmallInt(_) => Kind::SmallInt,
            Value::Int(_) => Kind::Int,
            Value::BigInt(_) => Kind::BigInt,
            Value::Text(_) | Value::Null => Kind::Text,
            Value::Binary(_) => Kind::Binary,
            Value::DateTime(_) => Kind::DateTime,
        };
        let shape = Shape::of(kind, [value]);
        self.byte(RETURN_VALUE);
        self.put(&ordinal.to_le_bytes());
        self.short_text(name);
        self.byte(1); // of a procedure, not of a function
        self.form(shape);
        self.value(shape, value)
    }

    /// User type, flags and TYPE_INFO.
    fn form(&mut self, shape: Shape) {
        self.put(&0_u32.to_le_bytes());
        self.put(&NULLABLE.to_le_bytes());
        let longest = if shape.chunked { MAX } else { 8000 }.to_le_bytes();
        match shape.kind {
            Kind::Bit => self.put(&[0x68, 1]),
            Kind::TinyInt => self.put(&[0x26, 1]),
            Kind::SmallInt => self.put(&[0x26, 2]),
            Kind::Int => self.put(&[0x26, 4]),
            Kind::BigInt => self.put(&[0x26, 8]),
            Kind::DateTime => self.put(&[0x6F, 8]),
            Kind::Binary => {
                self.byte(0xA5);
                self.put(&longest);
            }
            Kind::Text => {
                self.byte(0xE7);
                self.put(&longest);
                self.put(&COLLATION);
            }
        }
    }

    fn value(&mut self, shape: Shape, value: &Value) -> Result<(), Mismatch> {
        match (shape.kind, value) {
            (Kind::Text | Kind::Binary, Value::Null) if shape.chunked => self.put(&u64::MAX.to_le_bytes()),
            (Kind::Text | Kind::Binary, Value::Null) => self.put(&MAX.to_le_bytes()),
            (_, Value::Null) => self.byte(0),
            (Kind::Text, Value::Text(text)) => {
                let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                self.long(shape, &bytes)?;
            }
            (Kind::Binary, Value::Binary(bytes)) => self.long(shape, bytes)?,
            (Kind::DateTime, Value::DateTime(milliseconds)) => self.datetime(*milliseconds)?,
            (kind, value) => self.number(kind, value)?,
        }
        Ok(())
    }

    fn number(&mut self, kind: Kind, value: &Value) -> Result<(), Mismatch> {
        let number = match value {
            Value::Bit(bit) => i64::from(*bit),
            Value::TinyInt(number) => i64::from(*number),
            Value::SmallInt(number) => i64::from(*number),
            Value::Int(number) => i64::from(*number),
            Value::BigInt(number) => *number,
            Value::Null | Value::Text(_) | Value::Binary(_) | Value::DateTime(_) => return Err(Mismatch),
        };
        let fits = match kind {
            Kind::Bit => (0..=1).contains(&number).then_some(1),
            Kind::TinyInt => u8::try_from(number).ok().map(|_| 1),
            Kind::SmallInt => i16::try_from(number).ok().map(|_| 2),
            Kind::Int => i32::try_from(number).ok().map(|_| 4),
            Kind::BigInt => Some(8),
            Kind::Text | Kind::Binary | Kind::DateTime => None,
        };
        let length: u8 = fits.ok_or(Mismatch)?;
        self.byte(length);
        self.put(&number.to_le_bytes()[..usize::from(length)]);
        Ok(())
    }

    fn long(&mut self, shape: Shape, bytes: &[u8]) -> Result<(), Mismatch> {
        if shape.chunked {
            self.put(&u64::try_from(bytes.len()).map_err(|_| Mismatch)?.to_le_bytes());
            // More than one, so that clients are seen to put them together.
            for chunk in bytes.chunks(4000) {
                self.put(&u32::try_from(chunk.len()).map_err(|_| Mismatch)?.to_le_bytes());
                self.put(chunk);
            }
            self.put(&0_u32.to_le_bytes());
        } else {
            self.put(&u16::try_from(bytes.len()).map_err(|_| Mismatch)?.to_le_bytes());
            self.put(bytes);
        }
        Ok(())
    }

    /// Days since 1900, and three-hundredths of a second.
    fn datetime(&mut self, milliseconds: i64) -> Result<(), Mismatch> {
        let ticks = |milliseconds: i64| (milliseconds * 3 + 5) / 10;
        let (mut days, mut time) = (milliseconds.div_euclid(DAY), ticks(milliseconds.rem_euclid(DAY)));
        // The last millisecond of a day rounds up to the next.
        if time == ticks(DAY) {
            (days, time) = (days + 1, 0);
        }
        self.byte(8);
        self.put(&i32::try_from(days).map_err(|_| Mismatch)?.to_le_bytes());
        self.put(&u32::try_from(time).map_err(|_| Mismatch)?.to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn row(kinds: &[Kind], values: &[Value], null_bitmaps: bool) -> Result<Vec<u8>, Mismatch> {
        let shapes: Vec<Shape> = kinds.iter().zip(values).map(|(kind, value)| Shape::of(*kind, [value])).collect();
        let mut tokens = Tokens::new("S", null_bitmaps);
        tokens.row(&shapes, values)?;
        Ok(tokens.into_bytes())
    }

    #[test]
    fn values_have_the_form_of_their_kind() {
        let cases: [(Kind, Value, &[u8]); 9] = [
            (Kind::Bit, Value::Bit(true), &[1, 1]),
            (Kind::TinyInt, Value::TinyInt(255), &[1, 255]),
            (Kind::SmallInt, Value::SmallInt(-2), &[2, 0xFE, 0xFF]),
            (Kind::Int, Value::Int(-1), &[4, 0xFF, 0xFF, 0xFF, 0xFF]),
            (Kind::BigInt, Value::Int(1), &[8, 1, 0, 0, 0, 0, 0, 0, 0]),
            (Kind::Text, Value::Text("é".to_owned()), &[2, 0, 0xE9, 0]),
            (Kind::Binary, Value::Binary(vec![7]), &[1, 0, 7]),
            (Kind::DateTime, Value::DateTime(DAY - 1), &[8, 1, 0, 0, 0, 0, 0, 0, 0]),
            (Kind::DateTime, Value::DateTime(-DAY), &[8, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]),
        ];
        for (kind, value, expected) in cases {
            assert_eq!(row(&[kind], std::slice::from_ref(&value), true).unwrap()[1..], *expected, "{value:?}");
        }
    }

    #[test]
    fn nulls_are_left_out_where_the_client_knows_it() {
        let (kinds, values) = ([Kind::Int, Kind::Text], [Value::Int(1), Value::Null]);
        assert_eq!(row(&kinds, &values, true).unwrap(), [ROW_WITHOUT_NULLS, 0b10, 4, 1, 0, 0, 0]);
        assert_eq!(row(&kinds, &values, false).unwrap(), [ROW, 4, 1, 0, 0, 0, 0xFF, 0xFF]);
    }

    #[test]
    fn what_does_not_fit_is_no_row() {
        assert_eq!(row(&[Kind::Int], &[Value::Text("1".to_owned())], true), Err(Mismatch));
        assert_eq!(row(&[Kind::TinyInt], &[Value::Int(256)], true), Err(Mismatch));
        assert_eq!(Tokens::new("S", true).row(&[], &[Value::Null]), Err(Mismatch));
    }
}
