//! Where an answer holds what is needed, as JSONPath (RFC 9535).

use serde_json_path::JsonPath;

use super::Check;
use crate::document::Text;
use crate::mistake::Flaw;

// The library reads paths by recursion, with time that doubles with each level, and answers them so, too. What is more than
// that has no place in an answer.
/// The longest path, in characters.
const LONGEST: usize = 200;
/// Brackets and parentheses within each other.
const MAX_DEPTH: usize = 8;
/// Segments `..`, each of which looks at all that is below all that the one before has found.
const MAX_DESCENDANTS: usize = 1;
/// Commas: a list of selectors finds the same thing as often as it names it.
const MAX_COMMAS: usize = 8;

impl Check<'_> {
    pub(super) fn json_path(&mut self, text: &Text) -> Option<JsonPath> {
        let parsed = parse(&text.value);
        self.told(text.referenced, parsed)
    }

    /// The list that `$.keys[*]` names the items of. An answer without that list is told from one with an empty list.
    /// With it, in XML, the element that the items stand in.
    pub(super) fn items(&mut self, text: &Text) -> Option<(JsonPath, Option<JsonPath>)> {
        let parsed = match text.value.trim_end().strip_suffix("[*]") {
            Some(list) => parse(&text.value).and_then(|_| parse(list)),
            None => {
                let message = "`items` must name all items of one list, so it ends with `[*]`";
                Err(Flaw::new(message, "such as `$.keys[*]`, or `$[*]` where the answer is the list"))
            }
        };
        let items = self.told(text.referenced, parsed)?;
        let parent = text.value.trim_end().strip_suffix("[*]").and_then(|list| list.rsplit_once('.'));
        Some((items, parent.filter(|_| self.xml).and_then(|(parent, _)| parse(parent).ok())))
    }
}

fn parse(text: &str) -> Result<JsonPath, Flaw> {
    if let Some(excess) = excess(text) {
        return Err(Flaw::new(excess, "a place in an answer is a few names, such as `$.id` or `$.data[0].key`"));
    }
    // The library's words say no more than that.
    JsonPath::parse(text)
        .map_err(|_| Flaw::new("this is no JSONPath (RFC 9535)", "begin with `$`, such as `$.id` or `$.data[0].key`"))
}

/// What a path has too much of. Texts in quotes are passed over.
fn excess(text: &str) -> Option<String> {
    if text.chars().count() > LONGEST {
        return Some(format!("this JSONPath is longer than {LONGEST} characters"));
    }
    let (mut depth, mut descendants, mut commas) = (0_usize, 0, 0);
    let (mut quote, mut escaped, mut before) = (None, false, ' ');
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        if let Some(mark) = quote {
            if !escaped && c == mark {
                quote = None;
            }
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' => commas += 1,
            '.' if before == '.' => descendants += 1,
            '!' if before == '!' => return Some("this JSONPath says `!` twice".to_owned()),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(format!("this JSONPath has brackets nested deeper than {MAX_DEPTH}"));
        }
        before = c;
    }
    if descendants > MAX_DESCENDANTS {
        return Some("this JSONPath has more than one `..`".to_owned());
    }
    (commas > MAX_COMMAS).then(|| format!("this JSONPath has more than {MAX_COMMAS} commas"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_a_path_may_have_is_read_at_once() {
        for text in [
            "$[?!(!(!(!(!(!(!(!@.a)))))))]",
            "$[?(((((((@.a)))))))]",
            "$[?(((((((@.a == 1 && @.b)))))))]",
            "$[?@[?@[?@[?@[?@[?@[?@[?@.a]]]]]]]]",
            "$[?@.a == '((((((((((' || @.b == \"!![\\\"[[[[[[[[\"]",
            "$..id",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }
}
