//! Statement texts. `ALTER LOGIN` takes no parameters, so names and values must be quoted into the text; this file is the
//! only one that does so.
//!
//! The text is made on our side, never on the server: there `QUOTENAME` gives NULL beyond 128 characters, and executing
//! NULL silently succeeds.

use std::borrow::Cow;

use futures_util::TryStreamExt;
use keywheel_sdk::Secret;
use tiberius::error::Error;
use tiberius::{Query, QueryStream, Row};
use zeroize::Zeroizing;

use crate::connect::Line;

/// More than any question of ours has for an answer.
const MOST_ROWS: usize = 100_000;

/// One batch, made of fixed texts and quoted parts only.
#[derive(Default)]
pub(crate) struct Sql(Zeroizing<String>);

impl Sql {
    pub(crate) fn new(fixed: &'static str) -> Self {
        Self::default().fixed(fixed)
    }

    /// Text from this program's source.
    pub(crate) fn fixed(mut self, text: &'static str) -> Self {
        self.push(text);
        self
    }

    /// A name, in brackets (Transact-SQL reference, "Database identifiers").
    pub(crate) fn identifier(self, name: &str) -> Self {
        self.quoted("[", name, ']', "]")
    }

    /// A text, as NVARCHAR (Transact-SQL reference, "Constants").
    pub(crate) fn literal(self, value: &str) -> Self {
        self.quoted("N'", value, '\'', "'")
    }

    /// A password, as NVARCHAR.
    pub(crate) fn secret(self, value: &Secret) -> Self {
        value.expose(|value| self.literal(value))
    }

    /// Words of the language that the server named, such as a permission; `None` if they are something else.
    pub(crate) fn keywords(words: &str) -> Option<Self> {
        let plain = !words.is_empty() && words.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ');
        plain.then(|| Sql(Zeroizing::new(words.to_owned())))
    }

    /// A whole number.
    pub(crate) fn number(mut self, value: i64) -> Self {
        self.push(&value.to_string());
        self
    }

    /// Bytes, as VARBINARY.
    pub(crate) fn binary(mut self, value: &[u8]) -> Self {
        self.push("0x");
        for byte in value {
            self.push(&format!("{byte:02X}"));
        }
        self
    }

    /// Another text made the same way.
    pub(crate) fn then(mut self, other: &Sql) -> Self {
        self.push(&other.0);
        self
    }

    /// Sends the batch and collects the rows of all its statements. Each answer is read to its end, since errors may follow
    /// rows.
    pub(crate) async fn run(&self, line: &mut Line) -> Result<Vec<Row>, Error> {
        collect(line.simple_query(Cow::Borrowed(self.0.as_str())).await?).await
    }

    /// As [`Sql::run`], with `@asked` a password: a parameter, so that it is in no statement's text.
    pub(crate) async fn run_with(&self, line: &mut Line, password: &Secret) -> Result<Vec<Row>, Error> {
        let password = Zeroizing::new(password.expose(str::to_owned));
        // The server keeps a parameter's value with the plan, where monitoring shows it; that of a variable it does not keep.
        let batch = Zeroizing::new(format!("DECLARE @asked nvarchar(128) = @P1; {}", self.0.as_str()));
        let mut query = Query::new(batch.as_str());
        query.bind(password.as_str());
        collect(query.query(line).await?).await
    }

    fn quoted(mut self, open: &'static str, text: &str, quote: char, close: &'static str) -> Self {
        self.push(open);
        for part in text.split_inclusive(quote) {
            self.push(part);
            if part.ends_with(quote) {
                self.push(close);
            }
        }
        self.push(close);
        self
    }

    /// The only way in which the text grows. Growing leaves the old buffer behind, which may hold a password: it is zeroed.
    fn push(&mut self, text: &str) {
        if self.0.capacity() - self.0.len() < text.len() {
            let mut grown = Zeroizing::new(String::with_capacity((self.0.len() + text.len()) * 2));
            grown.push_str(&self.0);
            self.0 = grown;
        }
        self.0.push_str(text);
    }
}

/// All rows, to the end of the answer.
async fn collect(mut answer: QueryStream<'_>) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    while let Some(item) = answer.try_next().await? {
        rows.extend(item.into_row());
        if rows.len() > MOST_ROWS {
            return Err(Error::Protocol("more rows than were to be expected".into()));
        }
    }
    Ok(rows)
}

/// Runs one statement that a policy's author wrote, in a transaction that is rolled back. It goes as a parameter of
/// `sp_executesql`, so nothing is put together here. Rows are read and dropped.
pub(crate) async fn run_check(line: &mut Line, statement: &str) -> Result<(), Error> {
    Sql::new("BEGIN TRANSACTION").run(line).await?;
    {
        let mut answer = line.query(statement, &[]).await?;
        while answer.try_next().await?.is_some() {}
    }
    Sql::new("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION").run(line).await.map(drop)
}

/// A column of an answer as text; `None` for NULL, and where the row has no such column.
pub(crate) fn text(row: &Row, name: &str) -> Option<String> {
    row.try_get::<&str, _>(name).ok().flatten().map(str::to_owned)
}

/// A column of type INT; `None` for NULL, and where the row has no such column.
pub(crate) fn number(row: &Row, name: &str) -> Option<i32> {
    row.try_get::<i32, _>(name).ok().flatten()
}

/// A column of type VARBINARY; `None` for NULL, and where the row has no such column.
pub(crate) fn bytes(row: &Row, name: &str) -> Option<Vec<u8>> {
    row.try_get::<&[u8], _>(name).ok().flatten().map(<[u8]>::to_vec)
}

/// Whether the row has this column.
pub(crate) fn has(row: &Row, name: &str) -> bool {
    row.columns().iter().any(|column| column.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_stay_inside_their_quotes() {
        let sql = Sql::new("ALTER LOGIN ")
            .identifier("we]ird'; DROP LOGIN [sa]--")
            .fixed(" WITH PASSWORD = ")
            .secret(&Secret::new("it's '' a ] \u{1F511} '".to_owned()))
            .fixed(", SID = ")
            .binary(&[0x0f, 0xa0]);
        assert_eq!(
            *sql.0,
            "ALTER LOGIN [we]]ird'; DROP LOGIN [sa]]--] WITH PASSWORD = N'it''s '''' a ] \u{1F511} ''', SID = 0x0FA0"
        );
    }

    #[test]
    fn nothing_grows_past_the_buffer_but_by_push() {
        // A buffer that is grown in place would be left behind uncleaned. `push` makes room for twice what is needed.
        let secret = Secret::new("x".repeat(100));
        for more in [|sql: Sql| sql.fixed(", and so on"), |sql: Sql| sql.number(1), |sql: Sql| sql.binary(&[1])] {
            let mut sql = Sql::default().secret(&secret);
            while sql.0.len() < sql.0.capacity() {
                sql.push("x");
            }
            let full = sql.0.len();
            let sql = more(sql);
            assert_eq!(sql.0.capacity(), 2 * (full + first_growth(&sql.0[full..])), "{}", &sql.0[full..]);
        }
    }

    /// The first piece that did not fit: texts come whole, bytes after their mark.
    fn first_growth(added: &str) -> usize {
        if added.starts_with("0x") { 2 } else { added.len() }
    }

    #[test]
    fn only_words_are_keywords() {
        assert!(Sql::keywords("VIEW SERVER STATE").is_some());
        for bad in ["", "SELECT;DROP", "a", "X]", "X--"] {
            assert!(Sql::keywords(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_quoted_as_nothing() {
        assert_eq!(*Sql::default().identifier("").literal("").0, "[]N''");
    }
}
