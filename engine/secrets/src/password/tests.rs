//! Recipes: what they promise, what they refuse, and that every allowed password is equally likely.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A fixed sequence of well-mixed bytes (SplitMix64), so that a failing test fails again.
fn bytes_from(mut seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), PasswordError> {
    move |out| {
        for chunk in out.chunks_mut(8) {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

fn refusal(length: usize, charset: &str, require: &[&str], exclude: &str, first: FirstChar) -> PasswordError {
    PasswordRecipe::new(length, charset, require, exclude, first).unwrap_err()
}

/// Past the entropy floor, to look at distributions that are small enough to count.
fn small(length: usize, alphabet: &str, first: &str, require: &[CharClass]) -> PasswordRecipe {
    PasswordRecipe {
        length,
        alphabet: alphabet.chars().collect(),
        first: first.chars().collect(),
        require: require.to_vec(),
        bits: 0.0,
    }
}

#[test]
fn the_default_is_strong_and_needs_no_escaping() {
    let recipe = PasswordRecipe::default();
    assert!((241.0..242.0).contains(&recipe.entropy_bits()), "{}", recipe.entropy_bits());
    let password = generate_password(&recipe).unwrap();
    password.expose(|text| {
        assert_eq!(text.len(), 40);
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)));
    });
    assert!(!password.same_as(&generate_password(&recipe).unwrap()));
}

#[test]
fn refusals_say_what_is_wrong() {
    use FirstChar::{Any, Letter};
    assert_eq!(refusal(0, "hex", &[], "", Any), PasswordError::Length(0));
    assert_eq!(refusal(1025, "hex", &[], "", Any), PasswordError::Length(1025));
    assert_eq!(refusal(40, "ebcdic", &[], "", Any), PasswordError::UnknownCharset("ebcdic".into()));
    assert_eq!(refusal(40, "custom:abca", &[], "", Any), PasswordError::Duplicate('a'));
    assert_eq!(refusal(40, "custom:a b", &[], "", Any), PasswordError::NotAllowed(' '));
    assert_eq!(refusal(40, "custom:ab", &[], "a", Any), PasswordError::CharsetSize(1));
    assert_eq!(refusal(40, "hex", &["vowel"], "", Any), PasswordError::UnknownClass("vowel".into()));
    assert_eq!(refusal(40, "hex", &["digit", "digit"], "", Any), PasswordError::DuplicateClass(CharClass::Digit));
    assert_eq!(refusal(40, "hex", &["upper"], "", Any), PasswordError::Impossible(CharClass::Upper));
    assert_eq!(refusal(40, "custom:0123456789", &[], "", Letter), PasswordError::NoFirst);
    assert!(matches!(
        refusal(3, "ascii", &["lower", "upper", "digit", "symbol"], "", Any),
        PasswordError::TooNarrow { .. }
    ));
    assert_eq!(
        refusal(12, "uri-safe", &[], "", Any).to_string(),
        "the password would have 73 bits of entropy (about 12 characters times 6.04 bits), at least 96 are needed: \
         make it 16 characters long"
    );
    assert!(PasswordRecipe::new(16, "uri-safe", &[] as &[&str], "", Any).is_ok());
}

#[test]
fn a_failing_source_is_reported() {
    let failed = generate_from(&PasswordRecipe::default(), |_| Err(PasswordError::Random));
    assert_eq!(failed.err(), Some(PasswordError::Random));
}

/// Each of the allowed passwords, and nothing else, and each as often as the others (chi-square).
#[test]
fn all_allowed_passwords_are_equally_likely() {
    const DRAWS: usize = 50_000;
    let cases = [
        small(2, "abcde", "abcde", &[]),
        small(3, "abA1-", "abA1-", &[CharClass::Digit]),
        small(3, "abcA1", "abcA", &[CharClass::Upper, CharClass::Digit]),
    ];
    for (n, recipe) in cases.iter().enumerate() {
        let mut source = bytes_from(7 + n as u64);
        let mut counts: HashMap<String, usize> = HashMap::new();
        for _ in 0..DRAWS {
            let password = generate_from(recipe, &mut source).unwrap();
            *counts.entry(password.expose(str::to_owned)).or_default() += 1;
        }
        let allowed = all(recipe);
        assert_eq!(counts.len(), allowed.len(), "case {n}");
        let candidates = recipe.first.len() * recipe.alphabet.len().pow(recipe.length as u32 - 1);
        let share = allowed.len() as f64 / candidates as f64;
        assert!((recipe.accepted() - share).abs() < 1e-12, "case {n}: {} {share}", recipe.accepted());

        let expected = DRAWS as f64 / allowed.len() as f64;
        let chi_square: f64 =
            allowed.iter().map(|password| (counts[password] as f64 - expected).powi(2) / expected).sum();
        // Mean k and deviation sqrt(2k) for k degrees of freedom; five deviations away is once in a million.
        let k = (allowed.len() - 1) as f64;
        assert!(chi_square < k + 5.0 * (2.0 * k).sqrt(), "case {n}: {chi_square} for {k} degrees of freedom");
    }
}

fn all(recipe: &PasswordRecipe) -> Vec<String> {
    let mut words: Vec<String> = recipe.first.iter().map(char::to_string).collect();
    for _ in 1..recipe.length {
        words = words.iter().flat_map(|word| recipe.alphabet.iter().map(move |c| format!("{word}{c}"))).collect();
    }
    words.retain(|word| recipe.satisfied_by(word));
    words
}

proptest! {
    #[test]
    fn recipes_keep_their_promises(
        length in 0_usize..80,
        charset in prop::sample::select(vec!["uri-safe", "alphanumeric", "ascii", "hex", "custom:abcXYZ123äöü€-"]),
        require in prop::sample::subsequence(vec!["lower", "upper", "digit", "symbol"], 0..=4),
        exclude in "[a-zA-Z0-9!-/]{0,8}",
        first in prop::sample::select(vec![FirstChar::Any, FirstChar::Letter, FirstChar::Alphanumeric]),
        seed in any::<u64>(),
    ) {
        let Ok(recipe) = PasswordRecipe::new(length, charset, &require, &exclude, first) else { return Ok(()) };
        prop_assert!(recipe.entropy_bits() >= MIN_ENTROPY_BITS);
        let allowed = charset::characters(charset).unwrap();
        let password = generate_from(&recipe, bytes_from(seed)).unwrap().expose(str::to_owned);
        prop_assert_eq!(password.chars().count(), length);
        prop_assert!(password.chars().all(|c| allowed.contains(&c) && !exclude.contains(c)));
        for class in &require {
            let class = CharClass::parse(class).unwrap();
            prop_assert!(password.chars().any(|c| CharClass::of(c) == class), "{} lacks {}", password, class);
        }
        let begins = password.chars().next().unwrap();
        let as_told = match first {
            FirstChar::Any => true,
            FirstChar::Letter => begins.is_ascii_alphabetic(),
            FirstChar::Alphanumeric => begins.is_ascii_alphanumeric(),
        };
        prop_assert!(as_told);
    }

    #[test]
    fn the_length_named_in_a_refusal_is_enough(
        length in 1_usize..40,
        charset in prop::sample::select(vec!["uri-safe", "ascii", "hex", "custom:ab1"]),
        require in prop::sample::subsequence(vec!["lower", "digit"], 0..=2),
    ) {
        if let Err(PasswordError::TooWeak { enough, .. }) = PasswordRecipe::new(length, charset, &require, "", FirstChar::Any) {
            prop_assert!(PasswordRecipe::new(enough, charset, &require, "", FirstChar::Any).is_ok());
        }
    }
}
