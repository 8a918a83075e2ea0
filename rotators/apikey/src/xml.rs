//! XML as JSON, for providers that answer nothing else.

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Value};

/// Nested deeper than any answer has reason to be.
const MAX_DEPTH: usize = 32;
/// More elements, attributes and texts than any answer has.
const MAX_NODES: u32 = 100_000;

/// The outermost element. One without elements in it is its text, which is empty if it is blank; another one is a map from each
/// name to the list of the elements of that name, always a list.
///
/// # Errors
/// It is no XML, or too much of it, or has a document type, which could ask for more than it holds: a fragment without any of
/// the text.
pub(crate) fn value(bytes: &[u8]) -> Result<Value, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    // The library's own words may quote the text.
    let document =
        Document::parse_with_options(text, options).map_err(|_| "it is malformed, or has a document type")?;
    element(document.root_element(), 0)
}

fn element(node: Node<'_, '_>, depth: usize) -> Result<Value, &'static str> {
    if depth > MAX_DEPTH {
        return Err("it is nested too deep");
    }
    let mut map = Map::new();
    for child in node.children().filter(Node::is_element) {
        let value = element(child, depth + 1)?;
        match map.entry(child.tag_name().name()).or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(list) => list.push(value),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {}
        }
    }
    if !map.is_empty() {
        return Ok(Value::Object(map));
    }
    let text: String = node.children().filter_map(|child| child.text().filter(|_| child.is_text())).collect();
    Ok(Value::String(if text.trim().is_empty() { String::new() } else { text }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn elements_become_lists_by_name() {
        let text = "<?xml version=\"1.0\"?>\n<R xmlns=\"https://x.example/\">\n <A z=\"1\">one &amp; <![CDATA[<two>]]><!-- no --></A>\n \
                    <B><C>1</C><C/></B>\n <B> \n </B><n:A xmlns:n=\"https://y.example/\">3</n:A> text</R>";
        let expected = json!({ "A": ["one & <two>", "3"], "B": [{ "C": ["1", ""] }, ""] });
        assert_eq!(value(text.as_bytes()).unwrap(), expected);
        assert_eq!(value(b"<R/>").unwrap(), json!(""));
        assert_eq!(value(b"<R>x</R>").unwrap(), json!("x"));
    }

    #[test]
    fn what_is_no_xml_or_too_much_is_refused() {
        let bomb = "<!DOCTYPE r [<!ENTITY a \"canary\"><!ENTITY b \"&a;&a;&a;\">]><r>&b;</r>";
        let outside = "<!DOCTYPE r [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><r>&a;</r>";
        let (deep, deepest) = ("<a>".repeat(40) + &"</a>".repeat(40), "<a>".repeat(300_000));
        let closed = "<a>".repeat(140_000) + &"</a>".repeat(140_000);
        let wide = format!("<r>{}</r>", "<a/>".repeat(250_000));
        for text in [
            bomb,
            outside,
            &deep,
            &deepest,
            &closed,
            &wide,
            "",
            "{}",
            "canary",
            "<a>canary",
            "<a></b>",
            "<a>&canary;</a>",
        ] {
            let why = value(text.as_bytes()).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
        assert!(value(b"<a>\xff</a>").is_err());
    }
}
