//! Data to stdout, as a table for people or as JSON for programs; talk to stderr.

use std::io::{self, ErrorKind, Write};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::Serialize;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people. May change at any time.
    Table,
    /// For programs. Fields are added, never renamed or removed.
    Json,
}

/// Standard output. A reader that went away is no error: what is left is dropped, and the command's own outcome counts.
pub struct Output {
    format: Format,
    gone: bool,
}

impl Output {
    pub fn new(format: Format) -> Self {
        Output { format, gone: false }
    }

    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            other => other,
        }
    }

    /// Writes one line for people.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.raw(format!("{text}\n").as_bytes())
    }

    /// Writes a document for programs.
    pub fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.line(&text)
    }

    /// Writes rows for people. Control characters in cells are shown as `?`, so that no stored text can steer a terminal.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header);
        // Never wrapped: an id broken in two cannot be copied.
        table.set_content_arrangement(ContentArrangement::Disabled);
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text: String = table.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect();
        self.raw(text.as_bytes())
    }
}

/// Says something to a person on stderr.
pub fn talk(text: &str) {
    // Whoever closed stderr does not want to know.
    let _ = anstream::stderr().write_all(format!("{}\n", printable(text)).as_bytes());
}

/// A text on one line without control characters: messages of servers and files must not steer a terminal, nor show their
/// letters in another order than they have.
pub fn printable(text: &str) -> String {
    let shown = |c| match c {
        '\n' => ' ',
        c if keywheel_policies::steers(c) => '?',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// An instant for people, in UTC.
pub fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// An instant for people, in a zone.
pub fn zoned(at: &Zoned) -> String {
    let name = at.time_zone().iana_name().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{}{name}", at.strftime("%a %Y-%m-%d %H:%M"))
}

/// A length of time for people: its two largest units.
pub fn length(of: SignedDuration) -> String {
    let of = of.abs();
    let seconds = of.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        0 => format!("{}ms", of.subsec_millis()),
        1..60 => format!("{seconds}.{}s", of.subsec_millis() / 100),
        60..3_600 => format!("{minutes}m {:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours:02}h"),
    }
}

/// Seconds with fractions, for programs.
pub fn seconds(of: SignedDuration) -> f64 {
    of.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_show_two_units() {
        let shown = |millis| length(SignedDuration::from_millis(millis));
        assert_eq!(shown(7), "7ms");
        assert_eq!(shown(1_250), "1.2s");
        assert_eq!(shown(61_000), "1m 01s");
        assert_eq!(shown(3_600_000), "1h 00m");
        assert_eq!(shown(90_000_000_000), "1041d 16h");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\x1b[31mb\nc"), "a?[31mb c");
        // https://www.unicode.org/Public/UCD/latest/ucd/PropList.txt: Bidi_Control; and the line and paragraph separators.
        let steering = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\
            \u{2028}\u{2029}\u{85}";
        assert_eq!(printable(steering), "?".repeat(15));
        // Neighbours and what is written from right to left stay.
        let harmless = "\u{61b}\u{200d}\u{2010}\u{2027}\u{202f}\u{2065}\u{206a}שלום";
        assert_eq!(printable(harmless), harmless);
    }
}
