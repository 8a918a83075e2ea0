//! The trait's code.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Ident;
use syn::spanned::Spanned;

use crate::given::Word;
use crate::kind::{Absent, Kind, Setting};

pub fn implementation(of: &Ident, settings: &[Setting<'_>]) -> TokenStream {
    let names = settings.iter().map(|setting| &setting.name);
    let schema = settings.iter().map(declared);
    let fields = settings.iter().map(field);
    quote! {
        #[automatically_derived]
        impl ::keywheel_sdk::Settings for #of {
            fn schema() -> ::std::vec::Vec<::keywheel_sdk::Setting> {
                ::std::vec![#(#schema),*]
            }

            fn read(
                given: &::keywheel_sdk::settings::Map<::std::string::String, ::keywheel_sdk::settings::Value>,
            ) -> ::std::result::Result<Self, ::keywheel_sdk::RotatorError> {
                ::keywheel_sdk::settings::known(given, &[#(#names),*])?;
                ::std::result::Result::Ok(Self { #(#fields),* })
            }
        }
    }
}

fn declared(setting: &Setting<'_>) -> TokenStream {
    let Setting { name, help, names_target, .. } = setting;
    let kind = match &setting.kind {
        Kind::Text | Kind::Path => quote!(Text),
        Kind::Texts => quote!(Texts),
        Kind::Boolean => quote!(Boolean),
        Kind::Integer { min, max } => quote!(Integer { min: #min, max: #max }),
        Kind::Choice(words) => {
            let words = words.iter().map(|word| &word.word);
            quote!(Choice(::std::vec![#(::std::string::String::from(#words)),*]))
        }
        Kind::Duration => quote!(Duration),
        Kind::Json => quote!(Json),
    };
    let required = match setting.absent {
        Absent::Refused => true,
        Absent::None | Absent::Default(_) => false,
    };
    quote! {
        ::keywheel_sdk::Setting {
            name: ::std::string::String::from(#name),
            kind: ::keywheel_sdk::SettingKind::#kind,
            required: #required,
            help: ::std::string::String::from(#help),
            names_target: #names_target,
        }
    }
}

/// `name: value`. A value of another type than the field's is told at the field's type.
fn field(setting: &Setting<'_>) -> TokenStream {
    let (name, ident, span) = (&setting.name, &setting.field.ident, setting.field.ty.span());
    let read = read(setting);
    let value = match &setting.absent {
        Absent::Refused => quote_spanned!(span=> ::keywheel_sdk::settings::needed(#name, #read)?),
        Absent::None => read,
        Absent::Default(default) => {
            let default = match &setting.kind {
                Kind::Text => quote!(::std::string::String::from(#default)),
                Kind::Path => quote!(::std::path::PathBuf::from(#default)),
                Kind::Choice(words) if words.iter().all(|word| word.value.is_none()) => {
                    quote!(::std::string::String::from(#default))
                }
                Kind::Choice(_) | Kind::Texts | Kind::Boolean | Kind::Integer { .. } | Kind::Duration | Kind::Json => {
                    quote!(#default)
                }
            };
            quote_spanned! {span=>
                match #read {
                    ::std::option::Option::Some(given) => given,
                    ::std::option::Option::None => #default,
                }
            }
        }
    };
    quote!(#ident: #value)
}

/// What a policy gave, as an `Option`.
fn read(setting: &Setting<'_>) -> TokenStream {
    let (name, span) = (&setting.name, setting.field.ty.span());
    match &setting.kind {
        Kind::Text => quote_spanned!(span=> ::keywheel_sdk::settings::text(given, #name)?),
        Kind::Path => {
            quote_spanned!(span=> ::keywheel_sdk::settings::text(given, #name)?.map(::std::path::PathBuf::from))
        }
        Kind::Texts => quote_spanned!(span=> ::keywheel_sdk::settings::texts(given, #name)?),
        Kind::Boolean => quote_spanned!(span=> ::keywheel_sdk::settings::boolean(given, #name)?),
        Kind::Integer { min, max } => {
            quote_spanned!(span=> ::keywheel_sdk::settings::integer(given, #name, #min, #max)?)
        }
        Kind::Choice(words) => {
            let pairs = words.iter().map(|Word { word, value }| match value {
                Some(value) => quote!((#word, #value)),
                None => quote!((#word, ::std::string::String::from(#word))),
            });
            quote_spanned!(span=> ::keywheel_sdk::settings::choice(given, #name, [#(#pairs),*])?)
        }
        Kind::Duration => quote_spanned!(span=> ::keywheel_sdk::settings::duration(given, #name)?),
        Kind::Json => quote_spanned!(span=> ::keywheel_sdk::settings::json(given, #name)?),
    }
}
