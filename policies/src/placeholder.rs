//! `${name}` in texts: filled in from the variables of one round of `for_each`.

use crate::problem::Problem;
use crate::scalar;
use crate::tree::Span;
use crate::walk::{Variables, Walk, shown};

/// A part of a text with placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t> {
    /// As it stands.
    Plain(&'t str),
    /// What is between `${` and `}`.
    Variable(&'t str),
}

/// Splits a text at its placeholders. `$${` stands for the characters `${` themselves.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            parts.push(Part::Plain(&rest[..at - 1]));
            parts.push(Part::Plain("${"));
            rest = &rest[at + 2..];
            continue;
        }
        parts.push(Part::Plain(&rest[..at]));
        let inside = &rest[at + 2..];
        // Without its `}` it is a variable without a name, which no policy has.
        let (name, after) = inside.split_once('}').unwrap_or(("", ""));
        parts.push(Part::Variable(name));
        rest = after;
    }
    parts.push(Part::Plain(rest));
    parts
}

/// The names that a text asks for.
pub(crate) fn names(text: &str) -> impl Iterator<Item = &str> {
    parts(text).into_iter().filter_map(|part| match part {
        Part::Variable(name) => Some(name),
        Part::Plain(_) => None,
    })
}

/// The longest text that variables may make, in bytes. A placeholder is short and its value may be long, so a small file
/// could ask for gigabytes.
const LONGEST: usize = 64 * 1024;

/// Why a text could not be filled in.
pub(crate) enum Unfilled {
    /// A placeholder without a value.
    Unknown {
        name: String,
        /// `None`: the policy has no `for_each` at all.
        closest: Option<Option<String>>,
    },
    /// It would be longer than [`LONGEST`].
    TooLong,
}

/// The text with its variables filled in.
pub(crate) fn fill(text: &str, variables: Option<&Variables>) -> Result<String, Unfilled> {
    let mut filled = String::with_capacity(text.len().min(LONGEST));
    for part in parts(text) {
        let next = match part {
            Part::Plain(plain) => plain,
            Part::Variable(name) => match variables.and_then(|variables| variables.get(name)) {
                Some(value) => value,
                None => {
                    let closest = variables
                        .map(|known| scalar::closest(name, known.keys().map(String::as_str)).map(str::to_owned));
                    return Err(Unfilled::Unknown { name: name.to_owned(), closest });
                }
            },
        };
        if filled.len() + next.len() > LONGEST {
            return Err(Unfilled::TooLong);
        }
        filled.push_str(next);
    }
    Ok(filled)
}

/// How it is told.
pub(crate) fn problem(walk: &Walk<'_>, span: Span, unfilled: &Unfilled) -> Problem {
    let (name, closest) = match unfilled {
        Unfilled::Unknown { name, closest } => (name.as_str(), closest),
        Unfilled::TooLong => {
            let message = format!("with its variables this text is longer than {} KiB", LONGEST / 1024);
            return walk.problem("too-long", span, message).help("shorten the values in `for_each`, or the text");
        }
    };
    let message = match name {
        "" => "`${` without a name or without its `}`".to_owned(),
        name => format!("there is no variable `{}`", shown(name)),
    };
    let problem = walk.problem("unknown-variable", span, message);
    problem.help(match closest {
        None => "variables come from `for_each`; write `$${` for the characters `${` themselves".to_owned(),
        Some(Some(word)) => format!("did you mean `{word}`?"),
        Some(None) => "give it in each entry of `for_each`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Option<String> {
        let variables = Variables::from([("user".to_owned(), "app_a".to_owned()), ("n".to_owned(), "1".to_owned())]);
        fill(text, Some(&variables)).ok()
    }

    #[test]
    fn variables_are_filled_in() {
        assert_eq!(filled("db/${user}/${n}!").as_deref(), Some("db/app_a/1!"));
        assert_eq!(filled("no variable, $5").as_deref(), Some("no variable, $5"));
        assert_eq!(filled("$${user}").as_deref(), Some("${user}"));
        assert_eq!(filled("${other}"), None);
        assert_eq!(filled("${user"), None);
        assert_eq!(filled("${}"), None);
    }

    #[test]
    fn a_text_grows_to_a_limit() {
        let variables = Variables::from([("v".to_owned(), "x".repeat(1024))]);
        let grown = |times: usize, rest: &str| fill(&("${v}".repeat(times) + rest), Some(&variables));
        assert_eq!(grown(64, "").ok().map(|text| text.len()), Some(LONGEST));
        assert!(matches!(grown(64, "y"), Err(Unfilled::TooLong)));
        assert!(matches!(grown(1_000, ""), Err(Unfilled::TooLong)));
    }

    #[test]
    fn what_a_variable_holds_is_not_filled_in_again() {
        let variables = Variables::from([("a".to_owned(), "${a}".to_owned())]);
        assert_eq!(fill("${a}", Some(&variables)).ok().as_deref(), Some("${a}"));
    }
}
