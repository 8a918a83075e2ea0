//! A mistake in a declaration, with its place, and the words that were probably meant.

use std::fmt;

/// One mistake in a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file as it was named by whoever asked for it.
    pub file: String,
    /// From 1. 0: the file as a whole.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

/// As a compiler prints it: the message, the place, the help. Control characters from the file are taken out.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  --> {}", printable(&self.message), printable(&self.file))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  = help: {}", printable(help))?;
        }
        Ok(())
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// What is wrong with a part of a declaration that does not know its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub message: String,
    pub help: Option<String>,
}

impl Flaw {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Flaw { message: message.into(), help: Some(help.into()) }
    }
}

/// Help for an unknown word: the known one that was probably meant, else all of them.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let closest = known
        .clone()
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&written.to_lowercase(), &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, word)) = closest {
        return format!("did you mean `{word}`?");
    }
    let words: Vec<String> = known.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "there is none to choose from".to_owned(),
        Some((one, [])) => format!("only {one} is known here"),
        Some((last, rest)) => format!("known here are {} and {last}", rest.join(", ")),
    }
}
