//! Reads what a client sent, which may be anything: each read is checked, and a wrong one ends the line.

use std::io;

/// A message that does not keep to the protocol. The line is closed, without an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, malformed)
    }
}

pub(crate) type Read<T> = Result<T, Malformed>;

/// The unread rest of a message. Numbers are little-endian where nothing else is said.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Input { rest: bytes }
    }

    /// What a message has at an offset that it names itself.
    pub(crate) fn at(bytes: &'a [u8], offset: usize) -> Read<Self> {
        bytes.get(offset..).map(Input::new).ok_or(Malformed("an offset leads outside of the message"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed("a message ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed("a message ends early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Read<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u16_be(&mut self) -> Read<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length in bytes, as `usize`.
    pub(crate) fn length(&mut self) -> Read<usize> {
        usize::try_from(self.u32()?).map_err(|_| Malformed("a length is too great"))
    }

    /// UTF-16 text of so many units.
    pub(crate) fn text(&mut self, units: usize) -> Read<String> {
        let bytes = units.checked_mul(2).ok_or(Malformed("a length is too great"))?;
        utf16(self.take(bytes)?)
    }

    /// B_VARCHAR: a byte says how many units follow.
    pub(crate) fn short_text(&mut self) -> Read<String> {
        let units = self.u8()?;
        self.text(usize::from(units))
    }
}

/// UTF-16 text from its bytes.
pub(crate) fn utf16(bytes: &[u8]) -> Read<String> {
    let (pairs, odd) = bytes.as_chunks();
    if !odd.is_empty() {
        return Err(Malformed("text has half a unit"));
    }
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16(&units).map_err(|_| Malformed("text is no UTF-16"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_not_there_is_not_read() {
        let mut input = Input::new(&[2, 0x41, 0, 0x3D, 0xD8]);
        assert_eq!(input.clone().text(3), Err(Malformed("a message ends early")));
        assert_eq!(input.short_text(), Err(Malformed("text is no UTF-16")));
        assert_eq!(input.u8(), Err(Malformed("a message ends early")));
        assert_eq!(Input::new(&[1]).text(usize::MAX), Err(Malformed("a length is too great")));
        assert!(Input::at(&[1, 2], 3).is_err());
        assert!(Input::at(&[1, 2], 2).unwrap().is_empty());
        assert_eq!(utf16(&[0x41, 0, 0]), Err(Malformed("text has half a unit")));
    }

    #[test]
    fn numbers_are_little_endian_but_where_said() {
        let mut input = Input::new(&[1, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((input.u16(), input.u16_be(), input.u32(), input.u64()), (Ok(1), Ok(1), Ok(2), Ok(3)));
        assert!(input.is_empty());
    }
}
