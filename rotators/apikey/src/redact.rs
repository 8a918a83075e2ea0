//! Takes secrets out of a text, however they are spelled in it.

/// Shorter ones would take words out of any text, and hide nothing.
const SHORTEST: usize = 4;
/// From this length on, what stands behind `Basic` is taken for a login.
const SHORTEST_LOGIN: usize = 8;
/// What stands in its place.
const GONE: &str = "[secret]";

/// The text without a secret: as it is, percent-encoded, as in a form, as in JSON or in XML, each character in any of these ways.
pub(crate) fn without(text: &str, secret: &str) -> String {
    if secret.chars().count() < SHORTEST {
        return text.to_owned();
    }
    let (mut clean, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(c) = text[at..].chars().next() {
        match end(text, at, secret) {
            Some(end) => {
                clean.push_str(GONE);
                at = end;
            }
            None => {
                clean.push(c);
                at += c.len_utf8();
            }
        }
    }
    clean
}

/// The text without what HTTP Basic makes of a user and a password, which holds neither as it is.
pub(crate) fn without_basic(text: &str) -> String {
    const WORD: &str = "basic";
    const GAPS: [&str; 9] = [" ", "\t", "+", ":", "=", "\"", "%20", "\\u0020", "&#32;"];
    let lower = text.to_ascii_lowercase();
    let (mut clean, mut from) = (String::with_capacity(text.len()), 0);
    while let Some(found) = lower[from..].find(WORD) {
        let after = from + found + WORD.len();
        let mut login = after;
        while let Some(gap) = GAPS.iter().find(|gap| lower[login..].starts_with(**gap)) {
            login += gap.len();
        }
        // Base64 in either alphabet, encoded once more or not.
        let is_login = |c: char| c.is_ascii_alphanumeric() || "+/=-_%\\&#;".contains(c);
        let length = text[login..].find(|c| !is_login(c)).unwrap_or(text.len() - login);
        clean.push_str(&text[from..login]);
        let is_word = login == after || length < SHORTEST_LOGIN;
        clean.push_str(if is_word { &text[login..login + length] } else { GONE });
        from = login + length;
    }
    clean.push_str(&text[from..]);
    clean
}

/// Where a secret ends that begins at `at`.
fn end(text: &str, at: usize, secret: &str) -> Option<usize> {
    let mut ends = vec![at];
    for c in secret.chars() {
        // `%25` may be three characters as they are or one that is encoded: both are followed.
        ends = ends.iter().flat_map(|end| lengths(&text[*end..], c).map(move |length| end + length)).collect();
        ends.sort_unstable();
        ends.dedup();
        if ends.is_empty() {
            return None;
        }
    }
    ends.into_iter().max()
}

/// How long the spellings of a character are by which the text begins.
fn lengths(text: &str, c: char) -> impl Iterator<Item = usize> {
    let (mut bytes, mut units) = ([0; 4], [0; 2]);
    let bytes = c.encode_utf8(&mut bytes).bytes().map(u32::from);
    let units = c.encode_utf16(&mut units).iter().copied().map(u32::from);
    let spellings = [
        text.starts_with(c).then_some(c.len_utf8()),
        (c == ' ' && text.starts_with('+')).then_some(1),
        coded(text, "%", 2, bytes),
        coded(text, "\\u", 4, units),
        escaped(text, c),
        entity(text, c),
    ];
    spellings.into_iter().flatten()
}

/// The length of numbers in hexadecimal of either case, each behind its sign.
fn coded(text: &str, sign: &str, digits: usize, numbers: impl Iterator<Item = u32>) -> Option<usize> {
    let mut length = 0;
    for number in numbers {
        let hex = text.get(length..)?.strip_prefix(sign)?.get(..digits)?;
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) || u32::from_str_radix(hex, 16).ok()? != number {
            return None;
        }
        length += sign.len() + digits;
    }
    Some(length)
}

/// JSON's short escapes (RFC 8259, section 7).
fn escaped(text: &str, c: char) -> Option<usize> {
    let means = match text.strip_prefix('\\')?.chars().next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        mark @ ('"' | '\\' | '/' | '\'') => mark,
        _ => return None,
    };
    (means == c).then_some(2)
}

/// References of XML and HTML.
fn entity(text: &str, c: char) -> Option<usize> {
    const LONGEST: usize = 12;
    let rest = text.strip_prefix('&')?;
    let length = rest.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let means = match &rest[..length] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        number => {
            let number = number.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    (means == c).then_some(length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_each_spelling() {
        let secret = "Qx8~a\"b\\ +/ü&<\n€%25z";
        for spelled in [
            secret,
            "Qx8%7Ea%22b%5C+%2B%2F%C3%BC%26%3C%0A%E2%82%AC%2525z",
            "Qx8~a%22b%5c%20%2b%2f%c3%bc%26%3c%0a%e2%82%ac%2525z",
            "Qx8~a\\\"b\\\\ +\\/ü&<\\n€%25z",
            "Qx8\\u007ea\\u0022b\\u005C \\u002b\\u002F\\u00fc\\u0026\\u003c\\u000a\\u20AC%25z",
            "Qx8~a&quot;b\\ &#43;&#x2F;ü&amp;&lt;&#10;&#x20ac;%25z",
        ] {
            assert_eq!(without(&format!("sent: {spelled}!{spelled}"), secret), "sent: [secret]![secret]", "{spelled}");
        }
        for other in ["Qx8~a", "%", "\\u00", "&#", "&amp", "ü€", "Qx8~a\"b\\ +/ü&<\n€%25Z"] {
            assert_eq!(without(other, secret), other);
        }
        assert_eq!(without("a surrogate \\ud83d\\ude00abc", "😀abc"), "a surrogate [secret]");
        assert_eq!(without("no", "no"), "no");
    }

    #[test]
    fn a_login_is_found_in_each_spelling() {
        for (text, clean) in [
            ("Basic dXNlcjpwYXNz\"", "Basic [secret]\""),
            ("basic  dXNlcjpwYXNz, BASIC dXNlcjpwYX==.", "basic  [secret], BASIC [secret]."),
            ("Basic%20dXNlcjpw%2BYXNz%3D x", "Basic%20[secret] x"),
            ("bAsIc+dXNlcjpwYXNz", "bAsIc+[secret]"),
            ("Basic\\u0020dXNlcjpwYX\\u003d", "Basic\\u0020[secret]"),
            ("Basic dXNl\\/cjpw-_", "Basic [secret]"),
            ("the basics of it: basic, or Basic auth", "the basics of it: basic, or Basic auth"),
        ] {
            assert_eq!(without_basic(text), clean);
        }
    }
}
