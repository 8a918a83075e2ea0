//! YAML text becomes a [`Provider`], or the mistakes in it.

use serde_yaml::{DuplicateKeyPolicy, Error, MergeKeyPolicy, Options};

use crate::check;
use crate::document::Document;
use crate::mistake::{Flaw, Mistake, did_you_mean};
use crate::provider::Provider;

/// Nested deeper than any request's body has reason to be.
const MAX_DEPTH: usize = 32;
/// More values than any declaration has.
const MAX_NODES: usize = 20_000;

impl Provider {
    /// The longest declaration that is read, in bytes.
    pub const LONGEST: usize = 256 * 1024;

    /// Reads a declaration. `file_name` is for the mistakes only; nothing is opened.
    ///
    /// # Errors
    /// The first thing that makes the text no YAML or no declaration by its keys and types; else all mistakes in what
    /// it means, in the order of the file.
    pub fn parse(file_name: &str, text: &str) -> Result<Provider, Vec<Mistake>> {
        if text.len() > Self::LONGEST {
            return Err(vec![Mistake {
                file: file_name.to_owned(),
                line: 0,
                column: 0,
                message: format!("the file is longer than {} KiB", Self::LONGEST / 1024),
                help: Some("a declaration is a page or two; is this the right file?".to_owned()),
            }]);
        }
        let options: Options = serde_yaml::options! {
            budget: serde_yaml::budget! {
                max_depth: MAX_DEPTH,
                flow_nesting_limit: MAX_DEPTH,
                max_nodes: MAX_NODES,
                max_events: MAX_NODES * 2,
                max_aliases: 50,
                max_anchors: 50,
                max_recorded_anchor_events: MAX_NODES,
                max_documents: 2,
            },
            alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MAX_NODES },
            duplicate_keys: DuplicateKeyPolicy::Error,
            merge_keys: MergeKeyPolicy::AsOrdinary,
            strict_booleans: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        };
        let document: Document =
            serde_yaml::from_str_with_options(text, options).map_err(|error| vec![refusal(file_name, &error)])?;
        check::check(file_name, document)
    }

    /// The name that a declaration gives its provider, be the rest as wrong as it may: what stands behind the first
    /// `provider:` that begins a line.
    pub fn name_in(text: &str) -> Option<String> {
        let value = text.lines().find_map(|line| line.strip_prefix("provider:"))?;
        let name = value.split(" #").next()?.trim().trim_matches(['"', '\'']);
        check::is_word(name, '-').then(|| name.to_owned())
    }
}

/// The library's error in our words, with help for a slip of the pen.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library has dozens of errors, and adds to them")]
fn refusal(file_name: &str, error: &Error) -> Mistake {
    let error = error.without_snippet();
    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
    let flaw = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            // `auth` knows `query` only to refuse it.
            let known = expected.iter().copied().filter(|word| *word != "query" || !expected.contains(&"bearer"));
            Flaw::new(format!("`{field}` means nothing here"), did_you_mean(field, known))
        }
        Error::SerdeMissingField { field, .. } => {
            Flaw::new(format!("`{field}` is missing"), "add it to the map that ends here")
        }
        Error::DuplicateMappingKey { key, .. } => {
            let name = key.as_deref().map_or_else(|| "a key".to_owned(), |key| format!("`{key}`"));
            Flaw::new(format!("{name} stands here twice"), "remove one of them")
        }
        Error::MultipleDocuments { .. } => {
            Flaw::new("the file holds more than one document", "remove the `---`, or make two files")
        }
        Error::Eof { .. } => {
            Flaw::new("the file ends before it says anything", "a declaration begins with `version: 1`")
        }
        Error::Unexpected { expected: "mapping start", .. } => Flaw::new("here belongs a map", "write `key: value`"),
        Error::Unexpected { expected: "sequence start", .. } => Flaw::new("here belongs a list", "write `[one, two]`"),
        other => {
            let words = other.to_string();
            // Its place is told already.
            let words = words.split(" at line ").next().unwrap_or_default().trim_end();
            Flaw { message: words.to_owned(), help: None }
        }
    };
    Mistake { file: file_name.to_owned(), line, column, message: flaw.message, help: flaw.help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_among_mistakes() {
        for (text, name) in [
            ("version: 1\nprovider: mailer # ours\nabout: [", Some("mailer")),
            ("a:\n  provider: other\nprovider: \"mail-er\"\r\n", Some("mail-er")),
            ("provider:\n", None),
            ("provider: [a]\n", None),
            ("about: nothing", None),
        ] {
            assert_eq!(Provider::name_in(text).as_deref(), name, "{text}");
        }
    }
}
