//! A bundle as bytes: lengths and texts. No escapes, hence no parser's scratch space that keeps a secret.

use keywheel_sdk::{Bundle, Secret};
use zeroize::Zeroizing;

/// Each field is its name and its value, each a little-endian `u32` length and UTF-8.
/// `spare` bytes can be appended without moving the buffer, which would leave a copy behind.
pub(super) fn encode(bundle: &Bundle, spare: usize) -> Zeroizing<Vec<u8>> {
    let size: usize = bundle.fields().map(|(name, value)| 8 + name.len() + value.expose(str::len)).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + spare));
    for (name, value) in bundle.fields() {
        put(&mut bytes, name);
        value.expose(|text| put(&mut bytes, text));
    }
    debug_assert_eq!(bytes.len(), size);
    bytes
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("a bundle is bounded far below 4 GiB");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// The reverse. `None` if the bytes are anything that [`encode`] does not write.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Bundle> {
    let mut bundle = Bundle::new();
    let mut last: Option<&str> = None;
    while !bytes.is_empty() {
        let name = take(&mut bytes)?;
        if last.is_some_and(|last| last >= name) {
            return None;
        }
        last = Some(name);
        bundle = bundle.with(name, Secret::new(take(&mut bytes)?.to_owned()));
    }
    Some(bundle)
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(fields in prop::collection::btree_map(".*", ".*", 0..6)) {
            let bundle = bundle(&fields);
            let bytes = encode(&bundle, 16);
            prop_assert!(bytes.capacity() >= bytes.len() + 16);
            prop_assert!(decode(&bytes).unwrap().same_as(&bundle));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(bundle) = decode(&bytes) {
                prop_assert_eq!(&*encode(&bundle, 0), &bytes);
            }
        }
    }

    fn bundle(fields: &BTreeMap<String, String>) -> Bundle {
        fields.iter().fold(Bundle::new(), |bundle, (name, value)| bundle.with(name, Secret::new(value.clone())))
    }
}
