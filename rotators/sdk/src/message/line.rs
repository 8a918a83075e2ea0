//! Messages as lines.

use std::io::{self, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The longest line, in bytes. A longer one is no message.
pub const LONGEST: usize = 1 << 20;

/// A line that is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// More than [`LONGEST`] bytes.
    #[error("a message is longer than 1 MiB")]
    TooLong,
    /// Where it went wrong, without what stands there: that may be a secret.
    #[error("a message is not what it should be, at column {column}: {category}")]
    Wrong { column: usize, category: &'static str },
}

/// The message as one line, its line feed included. The memory is zeroed on drop, and no copy is left behind.
///
/// # Errors
/// It would be longer than [`LONGEST`].
pub fn write(message: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    // Measured first: a buffer that grows leaves what it held before in memory that is not zeroed.
    let mut measure = Measure(0);
    serde_json::to_writer(&mut measure, message).map_err(|error| wrong(&error))?;
    let length = measure.0 + 1;
    if length > LONGEST {
        return Err(Malformed::TooLong);
    }
    let mut line = Zeroizing::new(Vec::with_capacity(length));
    serde_json::to_writer(&mut *line, message).map_err(|error| wrong(&error))?;
    line.push(b'\n');
    Ok(line)
}

/// The message of one line, with or without its end.
///
/// # Errors
/// It is none of this type.
pub fn read<T: DeserializeOwned>(line: &[u8]) -> Result<T, Malformed> {
    if line.len() > LONGEST {
        return Err(Malformed::TooLong);
    }
    serde_json::from_slice(line).map_err(|error| wrong(&error))
}

/// The `type` of a message.
///
/// # Errors
/// It is no JSON object that has one.
pub fn kind_of(line: &[u8]) -> Result<String, Malformed> {
    #[derive(Deserialize)]
    struct Head {
        r#type: String,
    }
    read::<Head>(line).map(|head| head.r#type)
}

fn wrong(error: &serde_json::Error) -> Malformed {
    let category = match error.classify() {
        serde_json::error::Category::Io => "it cannot be written",
        serde_json::error::Category::Syntax => "it is no JSON",
        serde_json::error::Category::Data => "a member is missing or of another kind",
        serde_json::error::Category::Eof => "it ends too early",
    };
    Malformed::Wrong { column: error.column(), category }
}

struct Measure(usize);

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
