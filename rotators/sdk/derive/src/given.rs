//! What stands before a field: its doc comment, and the words of `#[setting(…)]`.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, Field, Ident, Lit, LitInt, LitStr, Token, bracketed};

const WORDS: &str = "`names_target`, `min`, `max`, `choice`, `duration`, `json` and `default`";
const FLAGS: [&str; 3] = ["names_target", "duration", "json"];

/// One word of a choice, and what is read for it.
pub struct Word {
    pub word: LitStr,
    /// The word itself where nothing is given.
    pub value: Option<Expr>,
}

/// A bound of a whole number.
pub struct Bound {
    pub value: i128,
    pub span: Span,
}

/// All that an author says of one field.
#[derive(Default)]
pub struct Given {
    /// The first paragraph of the doc comment, on one line, without the full stop.
    pub help: String,
    pub names_target: Option<Span>,
    pub min: Option<Bound>,
    pub max: Option<Bound>,
    pub choice: Option<(Span, Vec<Word>)>,
    pub duration: Option<Span>,
    pub json: Option<Span>,
    pub default: Option<Expr>,
}

impl Given {
    pub fn of(field: &Field) -> syn::Result<Self> {
        let mut given = Given { help: help(&field.attrs), ..Given::default() };
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("setting")) {
            attribute.parse_nested_meta(|meta| given.take(&meta))?;
        }
        if given.help.is_empty() {
            return Err(Error::new_spanned(field, "a doc comment is missing: it is the help for who writes policies"));
        }
        Ok(given)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let span = meta.path.span();
        let word = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        if FLAGS.contains(&word.as_str()) && meta.input.peek(Token![=]) {
            return Err(meta.error(format!("`{word}` stands alone: leave it out where it does not hold")));
        }
        let again = match word.as_str() {
            "names_target" => self.names_target.replace(span).is_some(),
            "duration" => self.duration.replace(span).is_some(),
            "json" => self.json.replace(span).is_some(),
            "min" => self.min.replace(bound(meta)?).is_some(),
            "max" => self.max.replace(bound(meta)?).is_some(),
            "choice" => self.choice.replace((span, words(meta)?)).is_some(),
            "default" => self.default.replace(meta.value()?.parse()?).is_some(),
            _ => return Err(meta.error(format!("not a word of settings: there are {WORDS}"))),
        };
        if again { Err(meta.error(format!("`{word}` is said twice"))) } else { Ok(()) }
    }
}

fn help(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| {
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &attribute.meta.require_name_value().ok()?.value else {
            return None;
        };
        Some(line.value())
    });
    // A block comment is one text of several lines.
    let text: Vec<String> =
        lines.flat_map(|text| text.split('\n').map(|line| line.trim().to_owned()).collect::<Vec<_>>()).collect();
    let begin = text.iter().skip_while(|line| line.is_empty());
    let first: Vec<&str> = begin.take_while(|line| !line.is_empty()).map(String::as_str).collect();
    first.join(" ").trim_end_matches('.').to_owned()
}

fn bound(meta: &ParseNestedMeta<'_>) -> syn::Result<Bound> {
    let value = meta.value()?;
    let span = value.span();
    let negative = value.parse::<Option<Token![-]>>()?.is_some();
    let number: LitInt = value.parse().map_err(|_| Error::new(span, "a bound is a whole number, such as `min = 1`"))?;
    let size: i128 = number.base10_parse()?;
    Ok(Bound { value: if negative { -size } else { size }, span })
}

/// `["a", "b"]`, or `["a" => Kind::A, "b" => Kind::B]`.
fn words(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<Word>> {
    let value = meta.value()?;
    let list;
    bracketed!(list in value);
    let words = Punctuated::<Word, Token![,]>::parse_terminated_with(&list, |one| {
        let word: LitStr = one.parse()?;
        let value = one.parse::<Option<Token![=>]>>()?.map(|_| one.parse()).transpose()?;
        Ok(Word { word, value })
    })?;
    Ok(words.into_iter().collect())
}
