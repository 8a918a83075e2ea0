//! Where an answer holds what is needed, as JSONPath (RFC 9535).

use serde_json_path::JsonPath;

use super::Check;
use crate::document::Text;
use crate::mistake::Flaw;

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
    // The library's words say no more than that.
    JsonPath::parse(text)
        .map_err(|_| Flaw::new("this is no JSONPath (RFC 9535)", "begin with `$`, such as `$.id` or `$.data[0].key`"))
}
