//! PRELOGIN: version, encryption, instance, and whether a token will come instead of a password.

use super::input::{Input, Malformed, Read};

// The options that a client and a server tell each other.
const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const MARS: u8 = 4;
const FEDERATED: u8 = 6;
const END: u8 = 0xFF;

/// What one side says of encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encrypt {
    /// The login only.
    Off = 0,
    On = 1,
    NotSupported = 2,
    Required = 3,
}

/// What a client says before it logs in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prelogin {
    pub(crate) encrypt: Encrypt,
    instance: Vec<u8>,
    federated: Option<u8>,
}

impl Prelogin {
    pub(crate) fn read(message: &[u8]) -> Read<Self> {
        let mut prelogin = Prelogin { encrypt: Encrypt::NotSupported, instance: Vec::new(), federated: None };
        let mut table = Input::new(message);
        loop {
            let option = table.u8()?;
            if option == END {
                return Ok(prelogin);
            }
            let (offset, length) = (table.u16_be()?, table.u16_be()?);
            let value = Input::at(message, usize::from(offset))?.take(usize::from(length))?;
            match option {
                ENCRYPTION => prelogin.encrypt = encrypt(value)?,
                INSTANCE => prelogin.instance = value.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
                FEDERATED => prelogin.federated = value.first().copied(),
                // The rest changes nothing here, and options to come are to be passed over.
                _ => {}
            }
        }
    }

    /// The server's answer, with its version as four bytes: major, minor, and the build.
    pub(crate) fn answer(&self, version: [u8; 4], encrypt: Encrypt) -> Vec<u8> {
        let [major, minor, build_high, build_low] = version;
        let known = self.instance.is_empty() || self.instance.eq_ignore_ascii_case(b"MSSQLServer");
        let mut options: Vec<(u8, Vec<u8>)> = vec![
            (VERSION, vec![major, minor, build_high, build_low, 0, 0]),
            (ENCRYPTION, vec![encrypt as u8]),
            (INSTANCE, vec![u8::from(!known)]),
            (THREAD, Vec::new()),
            (MARS, vec![0]),
        ];
        options.extend(self.federated.map(|asked| (FEDERATED, vec![asked])));
        let mut offset = options.len() * 5 + 1;
        let (mut table, mut values) = (Vec::new(), Vec::new());
        for (option, value) in options {
            table.push(option);
            for number in [offset, value.len()] {
                table.extend(u16::try_from(number).expect("there are six short options").to_be_bytes());
            }
            offset += value.len();
            values.extend(value);
        }
        table.push(END);
        table.extend(values);
        table
    }
}

fn encrypt(value: &[u8]) -> Read<Encrypt> {
    match value.first() {
        Some(0) => Ok(Encrypt::Off),
        Some(1) => Ok(Encrypt::On),
        Some(2) => Ok(Encrypt::NotSupported),
        Some(3) => Ok(Encrypt::Required),
        // Among them 0x80 and up: clients with a certificate of their own.
        Some(_) | None => Err(Malformed("an encryption that the server does not know")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_answer_reads_like_a_question() {
        for (instance, valid) in [(&b""[..], true), (b"mssqlserver", true), (b"OTHER", false)] {
            let asked = Prelogin { encrypt: Encrypt::On, instance: instance.to_vec(), federated: Some(1) };
            let answer = asked.answer([16, 0, 16, 39], Encrypt::Required);
            let read = Prelogin::read(&answer).unwrap();
            assert_eq!((read.encrypt, read.federated), (Encrypt::Required, Some(1)));
            assert_eq!(read.instance.is_empty(), valid);
        }
    }

    #[test]
    fn a_table_that_leads_outside_is_refused() {
        for message in [&[][..], &[1], &[1, 0, 6, 0, 1, END], &[1, 0, 6, 0, 2, END, 1], &[1, 0, 6, 0, 1, END, 9]] {
            assert!(Prelogin::read(message).is_err(), "{message:?}");
        }
    }
}
