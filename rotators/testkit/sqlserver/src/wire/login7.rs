//! LOGIN7: who logs in, with what, to where.

use std::net::SocketAddr;

use super::input::{Input, Malformed, Read, utf16};
use crate::exchange::Login;

/// The oldest version of TDS whose tokens look as those written here.
const TDS_7_2: u32 = 0x7209_0002;
const TDS_7_3: u32 = 0x7300_0000;
const TDS_7_4: u32 = 0x7400_0004;
const TDS_8_0: u32 = 0x0800_0000;

// Bits of the option flags.
const INTEGRATED: u8 = 0x80; // of the second
const READ_ONLY: u8 = 0x20; // of the type flags
const CHANGE_PASSWORD: u8 = 0x01; // of the third
const EXTENSION: u8 = 0x10; // of the third

/// Where offset and length of each field stand.
mod field {
    pub(super) const HOST: usize = 36;
    pub(super) const USER: usize = 40;
    pub(super) const PASSWORD: usize = 44;
    pub(super) const APPLICATION: usize = 48;
    pub(super) const EXTENSION: usize = 56;
    pub(super) const DATABASE: usize = 68;
    pub(super) const CHANGE_TO: usize = 86;
}

/// A feature's number: a federated token.
const FEDERATED: u8 = 0x02;
const END_OF_FEATURES: u8 = 0xFF;
/// A token that the client brings, as opposed to one that it gets once it is told from where.
const SECURITY_TOKEN: u8 = 0x01;

/// A login and what it says of the line.
#[derive(Debug)]
pub(crate) struct Login7 {
    pub(crate) login: Login,
    /// As the server's answer repeats it.
    pub(crate) version: u32,
    pub(crate) packet_size: usize,
    /// Windows authentication, which is not known here.
    pub(crate) integrated: bool,
    /// The client asks that its federated token be acknowledged.
    pub(crate) federated: bool,
}

impl Login7 {
    /// Whether rows may leave out nulls, as from TDS 7.3 on.
    pub(crate) fn knows_null_bitmaps(&self) -> bool {
        !(TDS_7_2..TDS_7_3).contains(&self.version)
    }

    pub(crate) fn read(message: &[u8], client: SocketAddr, encrypted: bool) -> Read<Self> {
        let mut fixed = Input::new(message);
        if fixed.length()? != message.len() {
            return Err(Malformed("LOGIN7 has another length than it says"));
        }
        let version = answered_version(fixed.u32()?)?;
        let packet_size = match fixed.length()? {
            0 => super::line::FIRST_PACKET_SIZE,
            wanted => wanted.clamp(512, 32_767),
        };
        fixed.take(12)?; // the client's program, process and connection
        let [_, second, kind, third] = *fixed.take(4)? else { return Err(Malformed("LOGIN7 has no flags")) };
        let text = |field| utf16(bytes(message, field)?);
        let secret = |field| utf16(&unscrambled(bytes(message, field)?));
        let token = if third & EXTENSION != 0 { federated_token(message)? } else { None };
        let federated = token.is_some();
        let login = Login {
            user: text(field::USER)?,
            password: secret(field::PASSWORD)?,
            change_to: if third & CHANGE_PASSWORD != 0 { Some(secret(field::CHANGE_TO)?) } else { None },
            token,
            database: text(field::DATABASE)?,
            application: text(field::APPLICATION)?,
            host: text(field::HOST)?,
            client,
            encrypted,
            read_only: kind & READ_ONLY != 0,
        };
        Ok(Login7 { login, version, packet_size, integrated: second & INTEGRATED != 0, federated })
    }
}

/// The version that both sides speak, of what the client offers.
fn answered_version(asked: u32) -> Read<u32> {
    match asked {
        TDS_8_0 => Ok(TDS_8_0),
        TDS_7_2..TDS_7_4 => Ok(asked),
        TDS_7_4..=0x74FF_FFFF => Ok(TDS_7_4),
        _ => Err(Malformed("a version of TDS that is not spoken here")),
    }
}

/// The bytes of a field of UTF-16 text.
fn bytes(message: &[u8], field: usize) -> Read<&[u8]> {
    let mut table = Input::at(message, field)?;
    let (offset, units) = (table.u16()?, table.u16()?);
    match units {
        // Where there is nothing, the offset may be anything.
        0 => Ok(&[]),
        _ => Input::at(message, usize::from(offset))?.take(usize::from(units) * 2),
    }
}

/// Clients scramble passwords so that they are not read by chance: halves of each byte swapped, then XOR.
fn unscrambled(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| (byte ^ 0xA5).rotate_left(4)).collect()
}

/// The token among the features. Passes over features that are not known: a server need not acknowledge them.
fn federated_token(message: &[u8]) -> Read<Option<String>> {
    let mut table = Input::at(message, field::EXTENSION)?;
    let offset = usize::from(table.u16()?);
    let features = Input::at(message, offset)?.length()?;
    let mut features = Input::at(message, features)?;
    let mut token = None;
    loop {
        match features.u8()? {
            END_OF_FEATURES => return Ok(token),
            FEDERATED => {
                let length = features.length()?;
                let mut data = Input::new(features.take(length)?);
                if data.u8()? >> 1 != SECURITY_TOKEN {
                    return Err(Malformed("a federated login of a kind that is not known here"));
                }
                let length = data.length()?;
                token = Some(utf16(data.take(length)?)?);
            }
            _ => {
                let length = features.length()?;
                features.take(length)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    /// A LOGIN7 with these fields, the flags of the third byte, and what follows the fields.
    fn message(fields: &[(usize, &[u8])], third: u8) -> Vec<u8> {
        let mut message = vec![0; 94];
        message[4..8].copy_from_slice(&TDS_7_4.to_le_bytes());
        message[27] = third;
        for (field, value) in fields {
            let offset = u16::try_from(message.len()).unwrap().to_le_bytes();
            message[*field..field + 2].copy_from_slice(&offset);
            message[field + 2..field + 4].copy_from_slice(&u16::try_from(value.len() / 2).unwrap().to_le_bytes());
            message.extend_from_slice(value);
        }
        let length = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&length.to_le_bytes());
        message
    }

    fn units(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn scrambled(text: &str) -> Vec<u8> {
        units(text).into_iter().map(|byte| byte.rotate_left(4) ^ 0xA5).collect()
    }

    #[test]
    fn passwords_are_unscrambled() {
        let fields: [(usize, &[u8]); 3] = [
            (field::USER, &units("ärger")),
            (field::PASSWORD, &scrambled("p🗝ß")),
            (field::CHANGE_TO, &scrambled("next")),
        ];
        let read = Login7::read(&message(&fields, CHANGE_PASSWORD), CLIENT, true).unwrap();
        assert_eq!((read.login.user.as_str(), read.login.password.as_str()), ("ärger", "p🗝ß"));
        assert_eq!(read.login.change_to.as_deref(), Some("next"));
        let without = Login7::read(&message(&fields, 0), CLIENT, true).unwrap();
        assert_eq!(without.login.change_to, None);
        // As MS-TDS writes it: "a" is A5 ^ 16.
        assert_eq!(scrambled("a"), [0xB3, 0xA5]);
    }

    #[test]
    fn a_message_cut_anywhere_is_refused_and_nothing_panics() {
        let whole = message(&[(field::USER, &units("sa")), (field::PASSWORD, &scrambled("secret"))], EXTENSION);
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            assert!(Login7::read(&cut, CLIENT, true).is_err());
            if length > 4 {
                cut[..4].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
                assert!(Login7::read(&cut, CLIENT, true).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn old_clients_are_refused() {
        for (asked, answered) in [
            (0x7100_0001, None),
            (0x7209_0002, Some(0x7209_0002)),
            (0x730B_0003, Some(0x730B_0003)),
            (0x7400_0004, Some(0x7400_0004)),
            (0x0800_0000, Some(0x0800_0000)),
            (0, None),
        ] {
            assert_eq!(answered_version(asked).ok(), answered, "{asked:x}");
        }
    }
}
