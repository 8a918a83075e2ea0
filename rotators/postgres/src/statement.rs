//! Statement texts. `ALTER ROLE` takes no bind parameters, so names and values must be quoted into the text; this file is
//! the only one that does so, and the only one that vouches for a text towards the driver.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use zeroize::Zeroizing;

/// One or more statements, made of fixed texts and quoted parts only.
#[derive(Default)]
pub(crate) struct Sql(Zeroizing<String>);

impl Sql {
    pub(crate) fn new(fixed: &'static str) -> Self {
        Self::default().fixed(fixed)
    }

    /// Text from this program's source.
    pub(crate) fn fixed(mut self, text: &'static str) -> Self {
        self.0.push_str(text);
        self
    }

    /// A name, in double quotes.
    pub(crate) fn identifier(mut self, name: &str) -> Self {
        self.0.push_str(&escape_identifier(name));
        self
    }

    /// A value, in single quotes. Backslashes are safe whatever `standard_conforming_strings` is.
    pub(crate) fn literal(mut self, value: &str) -> Self {
        self.0.push_str(&Zeroizing::new(escape_literal(value)));
        self
    }

    /// A whole number.
    pub(crate) fn number(mut self, value: i64) -> Self {
        self.0.push_str(&value.to_string());
        self
    }

    /// Another text made the same way.
    pub(crate) fn then(mut self, other: &Sql) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// Sends everything in one message and collects the rows of all statements. Values come as text.
    /// If one statement fails, those after it do not run.
    pub(crate) async fn run(&self, session: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        // Safe: the text has parts from the methods above only.
        sqlx::raw_sql(AssertSqlSafe(self.0.as_str())).fetch_all(session).await
    }
}

/// Runs one statement that a policy's author wrote. The extended protocol takes one statement at a time, so nothing can be
/// appended to it. Rows are read and dropped.
pub(crate) async fn run_check(session: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    // Safe: it comes from the policy, whose author may run anything here that the application's account may.
    sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(session).await.map(drop)
}

/// A column of an answer as text; `None` for NULL.
pub(crate) fn column(row: &PgRow, name: &str) -> Result<Option<String>, sqlx::Error> {
    row.try_get_unchecked(name)
}

/// A column that is true. NULL is false.
pub(crate) fn flag(row: &PgRow, name: &str) -> Result<bool, sqlx::Error> {
    Ok(column(row, name)?.as_deref() == Some("t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_stay_inside_their_quotes() {
        let sql = Sql::new("ALTER ROLE ")
            .identifier(r#"we"ird; drop"#)
            .fixed(" PASSWORD ")
            .literal(r"it's \ ok")
            .fixed(" CONNECTION LIMIT ")
            .number(-1);
        assert_eq!(*sql.0, r#"ALTER ROLE "we""ird; drop" PASSWORD  E'it''s \\ ok' CONNECTION LIMIT -1"#);
    }
}
