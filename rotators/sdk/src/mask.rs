//! Texts without the secrets that stand in them.

use crate::Secret;

/// Stands for a value that must not be shown.
pub const MASK: &str = "•••";

/// The text with [`MASK`] wherever one of these values stands in it.
pub fn mask<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    // All are looked for in the text as it came, and only then masked: where one value is a part of another or overlaps it,
    // masking one after the other would leave the rest to be read.
    let mut hidden = vec![false; text.len()];
    for secret in secrets {
        secret.expose(|value| hide(text, value, &mut hidden));
    }
    let mut masked = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if !hidden[at] {
            masked.push(character);
        } else if at == 0 || !hidden[at - 1] {
            masked.push_str(MASK);
        }
    }
    masked
}

/// Marks the bytes of each occurrence of `value`, also of those that overlap.
fn hide(text: &str, value: &str, hidden: &mut [bool]) {
    let Some(first) = value.chars().next() else { return };
    let mut from = 0;
    while let Some(at) = text[from..].find(value).map(|at| from + at) {
        hidden[at..at + value.len()].fill(true);
        from = at + first.len_utf8();
    }
}
