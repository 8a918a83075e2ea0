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
