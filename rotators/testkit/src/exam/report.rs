//! What came out of an exam, for people and for assertions.

use std::fmt;

/// How one case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// The case does not fit this subject.
    Skipped(&'static str),
    /// What was expected, and what was seen.
    Failed(String),
}

/// All outcomes of one subject, in the order of the table.
#[derive(Debug)]
pub struct Report {
    subject: String,
    rows: Vec<(&'static str, Outcome)>,
}

impl Report {
    pub(super) fn new(subject: &str) -> Self {
        Report { subject: subject.to_owned(), rows: Vec::new() }
    }

    pub(super) fn add(&mut self, case: &'static str, outcome: Outcome) {
        self.rows.push((case, outcome));
    }

    /// Each case with its outcome.
    pub fn rows(&self) -> &[(&'static str, Outcome)] {
        &self.rows
    }

    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.rows.iter().filter(|(_, outcome)| *outcome == Outcome::Passed).count()
    }

    /// The names of the cases that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = self.rows.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
        failed.map(|(case, _)| *case).collect()
    }

    /// # Panics
    /// With the whole report, if a case failed.
    pub fn assert_passed(&self) {
        assert!(self.failed().is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exam of {}: {} of {} passed", self.subject, self.passed(), self.rows.len())?;
        for (case, outcome) in &self.rows {
            match outcome {
                Outcome::Passed => writeln!(f, "  pass  {case}")?,
                Outcome::Skipped(why) => writeln!(f, "  skip  {case} ({why})")?,
                Outcome::Failed(how) => writeln!(f, "  FAIL  {case}: {how}")?,
            }
        }
        Ok(())
    }
}
