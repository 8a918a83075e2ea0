//! Which kind of setting a field is.

use proc_macro2::Span;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, ExprUnary, Field, GenericArgument, Lit, PathArguments, Type, UnOp};

use crate::given::{Bound, Given, Word};

/// One field, understood.
pub struct Setting<'a> {
    pub field: &'a Field,
    pub name: String,
    pub help: String,
    pub kind: Kind,
    pub names_target: bool,
    pub absent: Absent,
}

/// How its value is written and read.
pub enum Kind {
    Text,
    /// A text that is read as a path.
    Path,
    Texts,
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    Choice(Vec<Word>),
    Duration,
    Json,
}

/// What it is where a policy does not give it.
pub enum Absent {
    /// A mistake.
    Refused,
    None,
    /// This.
    Default(Box<Expr>),
}

/// Whole numbers with their bounds; those that JSON's numbers cannot all be (`i64` holds them) end where `i64` does.
const NUMBERS: [(&str, i64, i64); 10] = [
    ("u8", 0, u8::MAX as i64),
    ("u16", 0, u16::MAX as i64),
    ("u32", 0, u32::MAX as i64),
    ("u64", 0, i64::MAX),
    ("usize", 0, i64::MAX),
    ("i8", i8::MIN as i64, i8::MAX as i64),
    ("i16", i16::MIN as i64, i16::MAX as i64),
    ("i32", i32::MIN as i64, i32::MAX as i64),
    ("i64", i64::MIN, i64::MAX),
    ("isize", i64::MIN, i64::MAX),
];

const TYPES: &str = "no setting is read into this type: take String, PathBuf, bool, a whole number of at most 64 bits, \
                     Vec<String> or Duration, an Option of one of them, or say `choice = [\"word\" => value]` or `json`";

pub fn setting(field: &Field, given: Given) -> syn::Result<Setting<'_>> {
    let Some(ident) = &field.ident else { return Err(Error::new_spanned(field, "the field needs a name")) };
    let inner = inside(&field.ty, "Option");
    let (min, max) = (given.min, given.max);
    let kind = match (given.choice, given.duration, given.json) {
        (None, None, None) => of_type(inner.unwrap_or(&field.ty))?,
        (Some((span, words)), None, None) => choice(span, words, inner.unwrap_or(&field.ty))?,
        (None, Some(_), None) => Kind::Duration,
        (None, None, Some(_)) => Kind::Json,
        (_, Some(span), _) | (_, _, Some(span)) => {
            return Err(Error::new(span, "a setting is of one kind: `choice`, `duration` or `json`"));
        }
    };
    let kind = bounded(kind, min, max, inner.unwrap_or(&field.ty))?;
    let absent = match (given.default, inner) {
        (Some(default), Some(_)) => {
            return Err(Error::new_spanned(default, "with a default it is never absent: take the type without Option"));
        }
        (Some(default), None) => {
            fits(&default, &kind)?;
            Absent::Default(Box::new(default))
        }
        (None, Some(_)) => Absent::None,
        (None, None) => Absent::Refused,
    };
    let name = ident.unraw().to_string();
    Ok(Setting { field, name, help: given.help, kind, names_target: given.names_target.is_some(), absent })
}

/// The type inside `Option<…>` or `Vec<…>`.
fn inside<'a>(of: &'a Type, outer: &str) -> Option<&'a Type> {
    let Type::Path(path) = of else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == outer)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => Some(inner),
        Some(_) | None => None,
    }
}

/// The last name of a type without parameters.
fn name_of(of: &Type) -> String {
    let Type::Path(path) = of else { return String::new() };
    path.path
        .segments
        .last()
        .filter(|last| last.arguments.is_none())
        .map(|last| last.ident.to_string())
        .unwrap_or_default()
}

fn of_type(of: &Type) -> syn::Result<Kind> {
    let name = name_of(of);
    if let Some((_, min, max)) = NUMBERS.iter().find(|(number, _, _)| *number == name) {
        return Ok(Kind::Integer { min: *min, max: *max });
    }
    match name.as_str() {
        "String" => Ok(Kind::Text),
        "PathBuf" => Ok(Kind::Path),
        "bool" => Ok(Kind::Boolean),
        "Duration" => Ok(Kind::Duration),
        _ if inside(of, "Vec").is_some_and(|text| name_of(text) == "String") => Ok(Kind::Texts),
        _ => Err(Error::new_spanned(of, TYPES)),
    }
}

fn choice(span: Span, words: Vec<Word>, of: &Type) -> syn::Result<Kind> {
    if words.is_empty() {
        return Err(Error::new(span, "a choice of no words: nothing could be written"));
    }
    for (at, word) in words.iter().enumerate() {
        let text = word.word.value();
        if text.is_empty() {
            return Err(Error::new_spanned(&word.word, "a policy cannot write a word of no letters"));
        }
        if words[..at].iter().any(|before| before.word.value() == text) {
            return Err(Error::new_spanned(&word.word, format!("`{text}` is there twice")));
        }
        if word.value.is_none() && name_of(of) != "String" {
            let of = of.to_token_stream();
            return Err(Error::new_spanned(
                &word.word,
                format!("say what is read for it: `\"{text}\" => …` of type `{of}`"),
            ));
        }
    }
    Ok(Kind::Choice(words))
}

fn bounded(kind: Kind, min: Option<Bound>, max: Option<Bound>, of: &Type) -> syn::Result<Kind> {
    let Kind::Integer { min: least, max: most } = kind else {
        return match min.or(max) {
            Some(bound) => Err(Error::new(bound.span, "only whole numbers have bounds")),
            None => Ok(kind),
        };
    };
    let within = |bound: Option<Bound>, otherwise: i64| match bound {
        None => Ok((otherwise, None)),
        Some(bound) => match i64::try_from(bound.value).ok().filter(|value| (least..=most).contains(value)) {
            Some(value) => Ok((value, Some(bound.span))),
            None => Err(Error::new(bound.span, format!("`{}` is read from {least} to {most}", name_of(of)))),
        },
    };
    let (min, _) = within(min, least)?;
    let (max, at) = within(max, most)?;
    match at {
        Some(span) if min > max => Err(Error::new(span, format!("no number is at least {min} and at most {max}"))),
        Some(_) | None => Ok(Kind::Integer { min, max }),
    }
}

/// Whether a default that can be read here is one that a policy could write. Others are left to the compiler.
fn fits(default: &Expr, kind: &Kind) -> syn::Result<()> {
    match kind {
        Kind::Integer { min, max } => match number(default) {
            Some(number) if !(i128::from(*min)..=i128::from(*max)).contains(&number) => {
                Err(Error::new(default.span(), format!("the default is not from {min} to {max}")))
            }
            Some(_) | None => Ok(()),
        },
        Kind::Choice(words) => match text(default) {
            Some(text) if words.iter().all(|word| word.word.value() != text) => {
                Err(Error::new(default.span(), "the default is none of the words"))
            }
            Some(_) | None => Ok(()),
        },
        Kind::Text | Kind::Path | Kind::Texts | Kind::Boolean | Kind::Duration | Kind::Json => Ok(()),
    }
}

fn number(written: &Expr) -> Option<i128> {
    if let Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) = written {
        return number(expr).map(|number| -number);
    }
    let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = written else { return None };
    number.base10_parse().ok()
}

fn text(written: &Expr) -> Option<String> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = written else { return None };
    Some(text.value())
}
