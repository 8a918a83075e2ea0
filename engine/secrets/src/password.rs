//! Passwords: any that the recipe allows, each as likely as every other.

mod charset;
mod random;

use keywheel_sdk::Secret;
use zeroize::Zeroize;

pub use charset::CharClass;

/// Longest password, in characters.
const MAX_LENGTH: usize = 1024;
/// Fewest bits of entropy that a recipe may have. 96 bits resist offline guessing of a fast hash for good.
const MIN_ENTROPY_BITS: f64 = 96.0;
/// Fewest of all candidates that must satisfy the recipe, so that drawing until one does ends soon.
const MIN_ACCEPTED: f64 = 0.01;
/// Candidates drawn at most. At [`MIN_ACCEPTED`] this fails once in 10^43 times.
const MAX_DRAWS: usize = 10_000;

/// What a password may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstChar {
    /// Anything in the character set.
    #[default]
    Any,
    /// `A` to `Z` and `a` to `z`.
    Letter,
    /// Letters and `0` to `9`.
    Alphanumeric,
}

/// Why no password can be made by a recipe. Never holds one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PasswordError {
    /// Out of bounds.
    #[error("length {0} is out of bounds: 1 to {MAX_LENGTH} characters")]
    Length(usize),
    /// Not a known name and not `custom:`.
    #[error("unknown charset `{0}`: use `uri-safe`, `alphanumeric`, `ascii`, `hex`, or `custom:` with the characters")]
    UnknownCharset(String),
    /// A character occurs twice, which would make it likelier than others.
    #[error("{0:?} occurs twice in the charset")]
    Duplicate(char),
    /// White space and control characters do not survive forms, files and shells.
    #[error("{0:?} is not allowed in a charset: it is white space or a control character")]
    NotAllowed(char),
    /// Too few or too many characters to choose from.
    #[error("the charset has {0} characters without the excluded ones: 2 to 256 are possible")]
    CharsetSize(usize),
    /// Not a class.
    #[error("unknown character class `{0}`: use `lower`, `upper`, `digit` or `symbol`")]
    UnknownClass(String),
    /// A class is listed twice.
    #[error("class `{0}` is required twice")]
    DuplicateClass(CharClass),
    /// A class is required and cannot occur.
    #[error("class `{0}` is required, and the charset has no such character")]
    Impossible(CharClass),
    /// Nothing to begin with.
    #[error("the charset has no character that the password may begin with")]
    NoFirst,
    /// More classes than characters, or nearly so.
    #[error(
        "only {percent:.2} % of all candidates have every required class: make the password longer or require less"
    )]
    TooNarrow {
        /// How many do.
        percent: f64,
    },
    /// Guessable.
    #[error(
        "the password would have {bits:.0} bits of entropy (about {length} characters times {per_char:.2} bits), at least \
         {MIN_ENTROPY_BITS:.0} are needed: make it {enough} characters long"
    )]
    TooWeak {
        /// What the recipe has.
        bits: f64,
        /// In characters.
        length: usize,
        /// Binary logarithm of the charset's size.
        per_char: f64,
        /// The length that would do.
        enough: usize,
    },
    /// The system's random source failed.
    #[error("the system gives no random bytes; no password was made")]
    Random,
    /// Cannot happen with a working random source.
    #[error("the random source is broken: {MAX_DRAWS} candidates in a row lacked a required class")]
    Unlucky,
}

/// A checked recipe. Its existence says that passwords can be made by it, and that they are strong enough.
#[derive(Debug, Clone, PartialEq)]
pub struct PasswordRecipe {
    length: usize,
    /// All that may occur, in charset order, none twice.
    alphabet: Vec<char>,
    /// What the password may begin with, a part of `alphabet`.
    first: Vec<char>,
    require: Vec<CharClass>,
    bits: f64,
}

impl Default for PasswordRecipe {
    /// 40 URI-safe characters: 241 bits, and no driver, shell or connection string has to escape any of them.
    fn default() -> Self {
        Self::new(40, "uri-safe", &[] as &[&str], "", FirstChar::Any)
            .expect("40 of 66 characters are within all bounds")
    }
}

impl PasswordRecipe {
    /// Checks a recipe.
    ///
    /// `length` is in characters. `charset` is `uri-safe` (the unreserved characters of RFC 3986: `A-Z a-z 0-9 - . _ ~`),
    /// `alphanumeric`, `ascii` (`!` to `~`), `hex` (lower case), or `custom:` and the characters themselves. Of each class in
    /// `require` (`lower`, `upper`, `digit`, `symbol`) at least one character occurs. Those in `exclude` never occur.
    ///
    /// # Errors
    /// The first thing that is wrong with it, see [`PasswordError`].
    pub fn new(
        length: usize,
        charset: &str,
        require: &[impl AsRef<str>],
        exclude: &str,
        first: FirstChar,
    ) -> Result<PasswordRecipe, PasswordError> {
        if !(1..=MAX_LENGTH).contains(&length) {
            return Err(PasswordError::Length(length));
        }
        let mut alphabet = charset::characters(charset)?;
        alphabet.retain(|&c| !exclude.contains(c));
        if !(2..=256).contains(&alphabet.len()) {
            return Err(PasswordError::CharsetSize(alphabet.len()));
        }
        let mut required = Vec::new();
        for name in require {
            let class = CharClass::parse(name.as_ref())?;
            if required.contains(&class) {
                return Err(PasswordError::DuplicateClass(class));
            }
            if !alphabet.iter().any(|&c| CharClass::of(c) == class) {
                return Err(PasswordError::Impossible(class));
            }
            required.push(class);
        }
        let may_begin = |c: char| match first {
            FirstChar::Any => true,
            FirstChar::Letter => c.is_ascii_alphabetic(),
            FirstChar::Alphanumeric => c.is_ascii_alphanumeric(),
        };
        let first: Vec<char> = alphabet.iter().copied().filter(|&c| may_begin(c)).collect();
        if first.is_empty() {
            return Err(PasswordError::NoFirst);
        }

        let mut recipe = PasswordRecipe { length, alphabet, first, require: required, bits: 0.0 };
        let accepted = recipe.accepted();
        if accepted < MIN_ACCEPTED {
            return Err(PasswordError::TooNarrow { percent: accepted.max(0.0) * 100.0 });
        }
        let per_char = (recipe.alphabet.len() as f64).log2();
        let fixed = (recipe.first.len() as f64).log2() + accepted.log2();
        recipe.bits = fixed + per_char * (length - 1) as f64;
        if recipe.bits < MIN_ENTROPY_BITS {
            let enough = 1 + ((MIN_ENTROPY_BITS - fixed) / per_char).ceil() as usize;
            return Err(PasswordError::TooWeak { bits: recipe.bits, length, per_char, enough });
        }
        Ok(recipe)
    }

    /// Binary logarithm of how many passwords the recipe allows. All are equally likely.
    pub fn entropy_bits(&self) -> f64 {
        self.bits
    }

    /// Of each password, in characters.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many of the four classes may occur.
    pub fn classes(&self) -> usize {
        let classes = [CharClass::Lower, CharClass::Upper, CharClass::Digit, CharClass::Symbol];
        classes.iter().filter(|&&class| self.alphabet.iter().any(|&c| CharClass::of(c) == class)).count()
    }

    /// Whether all characters that may occur are among the 64 of base64 (RFC 4648, section 4).
    pub fn is_base64(&self) -> bool {
        self.alphabet.iter().all(|&c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'))
    }

    /// Which part of the candidates has every required class: by inclusion and exclusion over the classes missed.
    fn accepted(&self) -> f64 {
        let share_without = |from: &[char], missed: usize| {
            let misses =
                |c: char| self.require.iter().enumerate().any(|(n, &r)| missed >> n & 1 == 1 && CharClass::of(c) == r);
            from.iter().filter(|&&c| !misses(c)).count() as f64 / from.len() as f64
        };
        (0..1_usize << self.require.len())
            .map(|missed| {
                let sign = if missed.count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
                let rest = share_without(&self.alphabet, missed).powi(self.length as i32 - 1);
                sign * share_without(&self.first, missed) * rest
            })
            .sum()
    }

    fn satisfied_by(&self, candidate: &str) -> bool {
        self.require.iter().all(|&class| candidate.chars().any(|c| CharClass::of(c) == class))
    }
}

/// Makes a password by the recipe from the system's random source.
///
/// # Errors
/// [`PasswordError::Random`] if the system gives no random bytes.
pub fn generate_password(recipe: &PasswordRecipe) -> Result<Secret, PasswordError> {
    generate_from(recipe, |bytes| aws_lc_rs::rand::fill(bytes).map_err(|_| PasswordError::Random))
}

/// Draws whole candidates until one has all classes. Each candidate is equally likely, hence so is each accepted one.
fn generate_from(
    recipe: &PasswordRecipe,
    fill: impl FnMut(&mut [u8]) -> Result<(), PasswordError>,
) -> Result<Secret, PasswordError> {
    let mut random = random::Uniform::new(fill);
    // Room for any candidate, so that the buffer never moves and one wiping is enough.
    let mut candidate = String::with_capacity(4 * recipe.length);
    for _ in 0..MAX_DRAWS {
        match draw(recipe, &mut random, &mut candidate) {
            Ok(()) if recipe.satisfied_by(&candidate) => return Ok(Secret::new(candidate)),
            Ok(()) => candidate.zeroize(),
            Err(error) => {
                candidate.zeroize();
                return Err(error);
            }
        }
    }
    Err(PasswordError::Unlucky)
}

fn draw<F: FnMut(&mut [u8]) -> Result<(), PasswordError>>(
    recipe: &PasswordRecipe,
    random: &mut random::Uniform<F>,
    candidate: &mut String,
) -> Result<(), PasswordError> {
    candidate.push(recipe.first[random.below(recipe.first.len())?]);
    for _ in 1..recipe.length {
        candidate.push(recipe.alphabet[random.below(recipe.alphabet.len())?]);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
