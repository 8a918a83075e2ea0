//! `#[derive(Settings)]`: what a policy may write under `target:`, as a struct. Used by way of `keywheel_sdk::Settings`, which
//! documents it.
//!
//! What it is given is read (`given`), each field is made one setting (`kind`), and the trait is written (`write`). Whatever
//! cannot be expressed is a compile error where it stands, all of them at once.

mod given;
mod kind;
mod write;

use proc_macro::TokenStream;
use syn::{Data, DeriveInput, Error, Fields, parse_macro_input};

use given::Given;

/// Documented at the trait, `keywheel_sdk::Settings`.
#[proc_macro_derive(Settings, attributes(setting))]
pub fn settings(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    settings_of(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn settings_of(input: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "settings are a struct: one field for each setting"));
    };
    if let Some(attribute) = input.attrs.iter().find(|attribute| attribute.path().is_ident("setting")) {
        return Err(Error::new_spanned(attribute, "this belongs before a field"));
    }
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "settings have no parameters: a rotator reads one type"));
    }
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(&input.ident, "the fields need names: they are what a policy writes"));
    };
    let mut settings = Vec::new();
    let mut wrong: Option<Error> = None;
    for field in &fields.named {
        match Given::of(field).and_then(|given| kind::setting(field, given)) {
            Ok(setting) => settings.push(setting),
            Err(error) => match &mut wrong {
                Some(before) => before.combine(error),
                None => wrong = Some(error),
            },
        }
    }
    match wrong {
        Some(wrong) => Err(wrong),
        None => Ok(write::implementation(&input.ident, &settings)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use syn::Item;

    use super::*;

    /// The mistakes of all structs and enums of a file that derive settings, each with its line and column.
    fn mistakes(text: &str) -> String {
        let file = syn::parse_file(text).expect("it is Rust");
        let inputs = file.items.into_iter().filter_map(|item| match item {
            Item::Struct(item) if !item.attrs.is_empty() => Some(DeriveInput::from(item)),
            Item::Enum(item) if !item.attrs.is_empty() => Some(DeriveInput::from(item)),
            _ => None,
        });
        let wrong = inputs.filter_map(|input| settings_of(&input).err()).flatten();
        let told = wrong.map(|error| {
            let at = error.span().start();
            format!("{}:{}: {error}\n", at.line, at.column + 1)
        });
        told.collect()
    }

    /// `tests/mistakes/<name>.rs` has its mistakes beside it, as they are told. `KEYWHEEL_BLESS=1 cargo test` writes them anew.
    #[test]
    fn what_cannot_be_expressed_is_told_where_it_stands() {
        let bless = std::env::var_os("KEYWHEEL_BLESS").is_some();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
        let mut cases = 0;
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let file = entry.expect("the folder is readable").path();
            if file.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let told = mistakes(&std::fs::read_to_string(&file).expect("the file is readable"));
            let golden = file.with_extension("txt");
            if bless {
                std::fs::write(&golden, &told).expect("the folder is writable");
            }
            let expected = std::fs::read_to_string(&golden).expect("its mistakes are beside it");
            assert!(!told.is_empty(), "{} has no mistake", file.display());
            assert_eq!(told, expected, "{}", file.display());
            cases += 1;
        }
        assert!(cases >= 12, "{cases} cases");
    }
}
