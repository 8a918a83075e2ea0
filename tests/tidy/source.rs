//! Rust source without what is not code, for tests that look for words in code.

/// The text with comments, strings and character literals blanked; lines stay where they are.
pub fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// The code before the file's own test module. What a whole test file holds is up to the caller.
pub fn without_tests(code: &str) -> &str {
    code.find("#[cfg(test)]").map_or(code, |start| &code[..start])
}

/// Identifiers with where they begin.
pub fn identifiers(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in code.char_indices().chain([(code.len(), ' ')]) {
        let inside = c.is_alphanumeric() || c == '_';
        match start {
            None if inside => start = Some(at),
            Some(from) if !inside => {
                found.push((from, &code[from..at]));
                start = None;
            }
            None | Some(_) => {}
        }
    }
    found
}

/// The line of a place, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// `lock_budget` and `LockBudget` are both `lock`, `budget`.
pub fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut after_small = false;
    for c in identifier.chars() {
        if c == '_' || (c.is_uppercase() && after_small) {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("it begins with one").extend(c.to_lowercase());
        }
        after_small = c.is_lowercase() || c.is_numeric();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Where the comment, string or character literal that begins at `at` ends; `at` itself where none begins.
fn skip(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied().unwrap_or(' ');
    match chars[at] {
        '/' if next(1) == '/' => (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len()),
        '/' if next(1) == '*' => block_comment(chars, at),
        '"' => string(chars, at + 1),
        'r' if begins_word(chars, at, &['b', 'c']) && matches!(next(1), '"' | '#') => raw_string(chars, at),
        '\'' if next(1) == '\\' => (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1),
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

/// Whether the word at `at` begins there, or with one of these before it.
fn begins_word(chars: &[char], at: usize, prefixes: &[char]) -> bool {
    let in_word = |i: usize| chars[i].is_alphanumeric() || chars[i] == '_';
    at == 0 || !in_word(at - 1) || (prefixes.contains(&chars[at - 1]) && (at == 1 || !in_word(at - 2)))
}

fn block_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match chars[at..].get(..2) {
            Some(['/', '*']) => (depth, at) = (depth + 1, at + 2),
            Some(['*', '/']) if depth == 1 => return at + 2,
            Some(['*', '/']) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    // `r#name` is a raw identifier.
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let closes =
        |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (open + 1..chars.len()).find(|i| closes(*i)).map_or(chars.len(), |i| i + 1 + hashes)
}

#[test]
fn only_code_is_left() {
    let text =
        "a /* b /* c */ d */ e // f\n'g' 'h: loop \"i \\\" j\" k r#\"l \" m\"# n br\"o\" '\\'' p r#type '\\u{1F}' q";
    let code = code_of(text);
    let words: Vec<&str> = identifiers(&code).into_iter().map(|(_, word)| word).collect();
    assert_eq!(words.join(" "), "a e h loop k n b p r type q");
}

#[test]
fn names_are_taken_apart() {
    assert_eq!(parts("LockBudget_ofSHA256Sum"), ["lock", "budget", "of", "sha256", "sum"]);
}
