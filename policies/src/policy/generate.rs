//! `generate:` how a password is made.

use std::collections::BTreeSet;

use crate::catalogue::RotatorSpec;
use crate::model::{FirstCharacter, Generate};
use crate::scalar;
use crate::tree::Node;
use crate::walk::{Keys, Section, Walk};

pub(crate) const GENERATE: Keys =
    Keys { name: "generate", keys: &["length", "charset", "require", "exclude", "first"] };
pub(crate) const CHARSETS: [(&str, &str); 4] =
    [("uri-safe", "uri-safe"), ("alphanumeric", "alphanumeric"), ("ascii", "ascii"), ("hex", "hex")];
pub(crate) const CLASSES: [(&str, &str); 4] =
    [("lower", "lower"), ("upper", "upper"), ("digit", "digit"), ("symbol", "symbol")];
pub(crate) const FIRST: [(&str, FirstCharacter); 3] =
    [("any", FirstCharacter::Any), ("letter", FirstCharacter::Letter), ("alphanumeric", FirstCharacter::Alphanumeric)];
pub(crate) const CUSTOM: Keys = Keys { name: "charset", keys: &["custom"] };

const DEFAULT_LENGTH: usize = 40;
/// Shorter passwords are guessed; longer ones are cut or refused by servers.
const LENGTHS: std::ops::RangeInclusive<i64> = 12..=256;

/// Reads `generate:`, or takes its defaults.
pub(crate) fn read(top: &Section<'_>, spec: Option<&RotatorSpec>) -> Option<Generate> {
    let walk = top.walk;
    let plain = Generate {
        length: DEFAULT_LENGTH,
        charset: "uri-safe".to_owned(),
        require: Vec::new(),
        exclude: String::new(),
        first: FirstCharacter::Any,
    };
    if top.entry("generate").is_none() {
        return Some(plain);
    }
    if let Some(spec) = spec.filter(|spec| spec.provider_made)
        && let Some(entry) = top.entry("generate")
    {
        let what = format!("the provider of `{}` makes the value", spec.kind);
        walk.tell(walk.problem("provider-made", entry.span, what).help("remove `generate`: it would have no effect"));
    }
    let section = walk.section(top.get("generate")?, &GENERATE)?;
    let length = section.get("length").map_or(Some(DEFAULT_LENGTH), |node| {
        walk.integer(node, LENGTHS).map(|n| usize::try_from(n).expect("within 12 and 256"))
    });
    let charset = section.get("charset").map_or(Some(plain.charset), |node| charset(walk, node));
    let require = section.get("require").map_or(Some(Vec::new()), |node| {
        walk.list(node)?.iter().map(|item| walk.choice(item, &CLASSES).map(str::to_owned)).collect()
    });
    let exclude = section.get("exclude").map_or(Some(String::new()), |node| walk.text(node));
    let first = section.get("first").map_or(Some(FirstCharacter::Any), |node| walk.choice(node, &FIRST));
    let span = section.span;
    section.done();
    let mut require = require?;
    require.sort();
    require.dedup();
    let generate = Generate { length: length?, charset: charset?, require, exclude: exclude?, first: first? };
    if let Some((message, help)) = impossible(&generate) {
        walk.tell(walk.problem("impossible-password", span, message).help(help));
        return None;
    }
    Some(generate)
}

fn charset(walk: &Walk<'_>, node: &Node) -> Option<String> {
    if node.kind.as_map().is_none() {
        return walk.choice(node, &CHARSETS).map(str::to_owned);
    }
    let section = walk.section(node, &CUSTOM)?;
    let characters =
        section.need("custom", "the characters: `charset: { custom: abcdef0123456789 }`").and_then(|node| {
            walk.checked(
                node,
                "bad-charset",
                "set of characters",
                "printable ASCII characters, each once, without spaces",
                |text| {
                    let distinct: BTreeSet<char> = text.chars().collect();
                    text.chars().all(|c| c.is_ascii_graphic()) && distinct.len() == text.len()
                },
            )
        });
    section.done();
    Some(format!("custom:{}", characters?))
}

/// The characters that a password may be made of, before `exclude`.
fn alphabet(charset: &str) -> String {
    let graphic = (0x21_u8..0x7f).map(char::from);
    match charset {
        "hex" => "0123456789abcdef".to_owned(),
        "alphanumeric" => graphic.filter(char::is_ascii_alphanumeric).collect(),
        // RFC 3986, section 2.3: unreserved characters.
        "uri-safe" => graphic.filter(|c| c.is_ascii_alphanumeric() || "-._~".contains(*c)).collect(),
        "ascii" => graphic.collect(),
        custom => custom.trim_start_matches("custom:").to_owned(),
    }
}

/// Fewest binary digits of chance that a password may hold: below, a fast hash of it can be guessed at offline.
const LEAST_BITS: f64 = 96.0;
/// Fewest of all candidates that must have every required class: passwords are drawn until one has.
const LEAST_ACCEPTED: f64 = 0.01;
/// Fewest different characters.
const LEAST_CHARACTERS: usize = 10;

/// Why no password, or no good one, can be made like this; and what to change.
fn impossible(generate: &Generate) -> Option<(String, String)> {
    let left: Vec<char> = alphabet(&generate.charset).chars().filter(|c| !generate.exclude.contains(*c)).collect();
    if left.len() < LEAST_CHARACTERS {
        return Some((
            format!("only {} characters are left to choose from", left.len()),
            format!("at least {LEAST_CHARACTERS} are needed: widen `charset` or exclude less"),
        ));
    }
    let missing = generate.require.iter().find(|class| !left.iter().any(|c| belongs(*c, class)));
    if let Some(class) = missing {
        return Some((
            format!("no character of the required class `{class}` is left to choose from"),
            format!("widen `charset`, exclude less, or do not require {}", scalar::list_words([class.as_str()])),
        ));
    }
    let begins = |c: &char| match generate.first {
        FirstCharacter::Any => true,
        FirstCharacter::Letter => c.is_ascii_alphabetic(),
        FirstCharacter::Alphanumeric => c.is_ascii_alphanumeric(),
    };
    let first: Vec<char> = left.iter().copied().filter(begins).collect();
    if first.is_empty() {
        return Some((
            "no character is left that the password may begin with".to_owned(),
            "widen `charset`, or remove `first`".to_owned(),
        ));
    }
    let accepted = accepted(&left, &first, generate);
    if accepted < LEAST_ACCEPTED {
        return Some((
            "the required classes are too rare among these characters".to_owned(),
            "make the password longer, widen `charset`, or require less".to_owned(),
        ));
    }
    let each = count(left.len()).log2();
    let others = count(first.len()).log2() + accepted.log2();
    let bits = others + each * count(generate.length - 1);
    (bits < LEAST_BITS).then(|| {
        let enough = (generate.length..).find(|length| others + each * count(length - 1) >= LEAST_BITS);
        (
            format!("such a password could be guessed: it holds {bits:.0} bits, {LEAST_BITS:.0} are needed"),
            format!("write `length: {}`, or widen `charset`", enough.unwrap_or(DEFAULT_LENGTH)),
        )
    })
}

/// Lengths and set sizes are far below where whole numbers lose digits.
fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// The part of all candidates that has every required class: by inclusion and exclusion over the classes missed.
fn accepted(left: &[char], first: &[char], generate: &Generate) -> f64 {
    let without = |from: &[char], missed: usize| {
        let classes = || generate.require.iter().enumerate().filter(|(n, _)| missed >> n & 1 == 1);
        let kept = from.iter().filter(|c| !classes().any(|(_, class)| belongs(**c, class))).count();
        count(kept) / count(from.len())
    };
    let exponent = i32::try_from(generate.length - 1).unwrap_or(i32::MAX);
    (0..1_usize << generate.require.len())
        .map(|missed| {
            let sign = if missed.count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
            sign * without(first, missed) * without(left, missed).powi(exponent)
        })
        .sum()
}

fn belongs(c: char, class: &str) -> bool {
    match class {
        "lower" => c.is_ascii_lowercase(),
        "upper" => c.is_ascii_uppercase(),
        "digit" => c.is_ascii_digit(),
        _ => c.is_ascii_punctuation(),
    }
}
