//! What came out of an exam, for people, for programs and for assertions.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::cases::Case;

/// How one case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// The case does not fit this subject.
    Skipped(&'static str),
    /// What was expected, and what was seen.
    Failed(String),
}

impl Outcome {
    /// One word, and why.
    fn told(&self) -> (&'static str, Option<&str>) {
        match self {
            Outcome::Passed => ("passed", None),
            Outcome::Skipped(why) => ("skipped", Some(why)),
            Outcome::Failed(how) => ("failed", Some(how)),
        }
    }
}

/// One case with its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The case's word. Stable.
    pub id: &'static str,
    /// What must be true.
    pub name: &'static str,
    pub outcome: Outcome,
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (outcome, why) = self.outcome.told();
        let mut row = serializer.serialize_struct("Row", 4)?;
        row.serialize_field("id", self.id)?;
        row.serialize_field("case", self.name)?;
        row.serialize_field("outcome", outcome)?;
        row.serialize_field("why", &why)?;
        row.end()
    }
}

/// All outcomes of one subject, in the order of the table.
#[derive(Debug)]
pub struct Report {
    subject: String,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(subject: &str) -> Self {
        Report { subject: subject.to_owned(), rows: Vec::new() }
    }

    pub(super) fn add(&mut self, case: &Case, outcome: Outcome) {
        self.rows.push(Row { id: case.id, name: case.name, outcome });
    }

    /// Who sat it.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Each case with its outcome.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome == Outcome::Passed).count()
    }

    /// How many cases fit the subject: all but those that were skipped.
    pub fn fit(&self) -> usize {
        self.rows.iter().filter(|row| !matches!(row.outcome, Outcome::Skipped(_))).count()
    }

    /// The names of the cases that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        self.failures().map(|row| row.name).collect()
    }

    /// The words of the cases that failed.
    pub fn failed_ids(&self) -> Vec<&'static str> {
        self.failures().map(|row| row.id).collect()
    }

    fn failures(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_)))
    }

    /// # Panics
    /// With the whole report, if a case failed.
    pub fn assert_passed(&self) {
        assert!(self.failed().is_empty(), "{self}");
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("Report", 4)?;
        report.serialize_field("subject", &self.subject)?;
        report.serialize_field("passed", &self.passed())?;
        report.serialize_field("fit", &self.fit())?;
        report.serialize_field("cases", &self.rows)?;
        report.end()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, fit) = (self.passed(), self.fit());
        let skipped = self.rows.len() - fit;
        writeln!(f, "exam of {}: {passed} of {fit} passed, {skipped} do not fit", self.subject)?;
        for Row { id, name, outcome } in &self.rows {
            match outcome {
                Outcome::Passed => writeln!(f, "  pass  {id}: {name}")?,
                Outcome::Skipped(why) => writeln!(f, "  skip  {id}: {name} ({why})")?,
                Outcome::Failed(how) => writeln!(f, "  FAIL  {id}: {name}: {how}")?,
            }
        }
        Ok(())
    }
}
