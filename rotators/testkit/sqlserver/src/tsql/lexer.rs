//! Tokens of T-SQL, and a cursor over them. The tokenizer is sqlparser's.

use sqlparser::ast::{DataType, Expr, Query};
use sqlparser::dialect::MsSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::exchange::Message;
use crate::instance::message::{syntax, with_class};

pub(crate) static DIALECT: MsSqlDialect = MsSqlDialect {};

/// How deep parentheses may be nested, and how many tokens a query or expression may have: a chain of operators is as deep
/// as it is long. The real server allows more; here the stack is that of a thread, and unoptimized.
const NESTED: usize = 18;
const LONGEST: usize = 800;
/// How deep queries may be nested: the types of their columns are found by running them, at each level once more.
const SUBQUERIES: usize = 6;

/// Words that begin a statement, and so end an expression or query before them.
const STARTERS: [&str; 40] = [
    "ALTER",
    "BACKUP",
    "BEGIN",
    "BREAK",
    "COMMIT",
    "CONTINUE",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DENY",
    "DROP",
    "ELSE",
    "END",
    "EXEC",
    "EXECUTE",
    "GOTO",
    "GRANT",
    "IF",
    "INSERT",
    "KILL",
    "MERGE",
    "PRINT",
    "RAISERROR",
    "RECONFIGURE",
    "RESTORE",
    "RETURN",
    "REVERT",
    "REVOKE",
    "ROLLBACK",
    "SAVE",
    "SET",
    "SHUTDOWN",
    "THROW",
    "TRUNCATE",
    "UPDATE",
    "USE",
    "WAITFOR",
    "WHILE",
    "DBCC",
];

/// Further reserved words, which are no names unless quoted.
const RESERVED: [&str; 77] = [
    "ADD",
    "ALL",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "AUTHORIZATION",
    "BETWEEN",
    "BY",
    "CASE",
    "CHECK",
    "COLLATE",
    "COLUMN",
    "CONSTRAINT",
    "CONVERT",
    "CROSS",
    "CURRENT",
    "CURRENT_USER",
    "DATABASE",
    "DEFAULT",
    "DESC",
    "DISTINCT",
    "DISTRIBUTED",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "EXTERNAL",
    "FETCH",
    "FILE",
    "FOR",
    "FOREIGN",
    "FROM",
    "FULL",
    "FUNCTION",
    "GROUP",
    "HAVING",
    "IDENTITY",
    "IN",
    "INDEX",
    "INNER",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LEFT",
    "LIKE",
    "NOT",
    "NULL",
    "OF",
    "OFF",
    "ON",
    "OPEN",
    "OPTION",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PLAN",
    "PRIMARY",
    "PROC",
    "PROCEDURE",
    "PUBLIC",
    "REFERENCES",
    "RIGHT",
    "SCHEMA",
    "SELECT",
    "TABLE",
    "THEN",
    "TO",
    "TOP",
    "TRAN",
    "TRANSACTION",
    "UNION",
    "UNIQUE",
    "USER",
    "WHERE",
];

/// Whether an unquoted word cannot be a name.
pub(crate) fn is_reserved(word: &str) -> bool {
    let upper = word.to_uppercase();
    upper != "THROW" && (STARTERS.contains(&upper.as_str()) || RESERVED.contains(&upper.as_str()))
        || matches!(upper.as_str(), "WHEN" | "WITH" | "VALUES" | "VIEW" | "TRIGGER")
}

/// The tokens of a batch without blanks and comments. With QUOTED_IDENTIFIER off, "…" is text.
pub(crate) fn tokens(text: &str, quoted_identifier: bool) -> Result<Vec<Token>, Message> {
    let mut tokenizer = Tokenizer::new(&DIALECT, text);
    let found = tokenizer.tokenize().map_err(|_| unclosed(text))?;
    let text_if_off = |token| match token {
        Token::Word(word) if word.quote_style == Some('"') && !quoted_identifier => {
            Token::SingleQuotedString(word.value)
        }
        other => other,
    };
    Ok(found.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).map(text_if_off).collect())
}

fn unclosed(text: &str) -> Message {
    let tail: String = text.rsplit(['\'', '[', '"']).next().unwrap_or_default().chars().take(120).collect();
    with_class(105, 15, format!("Unclosed quotation mark after the character string '{tail}'."))
}

/// Reads tokens from left to right.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    tokens: Vec<Token>,
    at: usize,
    /// In lower case: declared up to here, and used before they were.
    declared: Vec<String>,
    undeclared: Vec<String>,
}

pub(crate) type Parsed<T> = Result<T, Message>;

impl Cursor {
    pub(crate) fn new(tokens: Vec<Token>) -> Self {
        Self { tokens, at: 0, declared: Vec::new(), undeclared: Vec::new() }
    }

    pub(crate) fn declare(&mut self, variable: &str) {
        self.declared.push(variable.to_lowercase());
    }

    /// A variable is used here.
    pub(crate) fn mention(&mut self, variable: &str) {
        let variable = variable.to_lowercase();
        if !variable.starts_with("@@") && !self.declared.contains(&variable) {
            self.undeclared.push(variable);
        }
    }

    /// The first variable that is used but neither declared before nor known otherwise.
    pub(crate) fn undeclared(&self, known: impl Fn(&str) -> bool) -> Option<&str> {
        self.undeclared.iter().map(String::as_str).find(|name| !known(name))
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(crate) fn is_at_start(&self) -> bool {
        self.at == 0
    }

    pub(crate) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(crate) fn peek_at(&self, offset: usize) -> Option<&Token> {
        self.tokens.get(self.at + offset)
    }

    pub(crate) fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// The unquoted word ahead, in upper case; empty if it is something else.
    pub(crate) fn word(&self) -> String {
        self.word_at(0)
    }

    pub(crate) fn word_at(&self, offset: usize) -> String {
        self.peek_at(offset).and_then(bare).map(str::to_uppercase).unwrap_or_default()
    }

    /// Takes the words, if they are ahead.
    pub(crate) fn take(&mut self, words: &str) -> bool {
        let count = words.split(' ').count();
        let ahead = words.split(' ').enumerate().all(|(offset, word)| self.word_at(offset) == word);
        self.at += if ahead { count } else { 0 };
        ahead
    }

    pub(crate) fn expect(&mut self, words: &str) -> Parsed<()> {
        if self.take(words) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(crate) fn take_token(&mut self, token: &Token) -> bool {
        let ahead = self.peek() == Some(token);
        self.at += usize::from(ahead);
        ahead
    }

    pub(crate) fn expect_token(&mut self, token: &Token) -> Parsed<()> {
        if self.take_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// A name, quoted or not.
    pub(crate) fn name(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(Token::Word(word))
                if word.quote_style.is_some() || !is_reserved(&word.value) && !word.value.starts_with('@') =>
            {
                let name = word.value.clone();
                if name.encode_utf16().count() > 128 {
                    let start: String = name.chars().take(128).collect();
                    let text = format!("The identifier that starts with '{start}' is too long. Maximum length is 128.");
                    return Err(with_class(103, 15, text));
                }
                self.at += 1;
                if name.is_empty() {
                    let text = "An object or column name is missing or empty. For SELECT INTO statements, verify each column has a name. For other statements, look for empty alias names. Aliases defined as \"\" or [] are not allowed. Change the alias to a valid name.";
                    return Err(with_class(1038, 15, text));
                }
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Names with dots between.
    pub(crate) fn dotted(&mut self) -> Parsed<Vec<String>> {
        let mut parts = vec![self.name()?];
        while self.take_token(&Token::Period) {
            if self.peek() == Some(&Token::Period) {
                parts.push(String::new());
                continue;
            }
            parts.push(self.name()?);
        }
        Ok(parts)
    }

    pub(crate) fn text(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::NationalStringLiteral(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(crate) fn integer(&mut self) -> Parsed<i64> {
        let negative = self.take_token(&Token::Minus);
        match self.peek() {
            Some(Token::Number(digits, _)) => {
                let number: i64 = digits.parse().map_err(|_| self.unexpected())?;
                self.at += 1;
                Ok(if negative { -number } else { number })
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(crate) fn variable(&mut self) -> Parsed<String> {
        match self.peek().and_then(bare) {
            Some(name) if name.starts_with('@') && !name.starts_with("@@") => {
                let name = name.to_owned();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(crate) fn on_off(&mut self) -> Parsed<bool> {
        if self.take("ON") {
            return Ok(true);
        }
        self.expect("OFF").map(|()| false)
    }

    /// The error for what is ahead.
    pub(crate) fn unexpected(&self) -> Message {
        match self.peek().or(self.tokens.last()) {
            Some(Token::Word(word)) => syntax(&word.value),
            Some(Token::SingleQuotedString(text) | Token::NationalStringLiteral(text)) => syntax(text),
            Some(token) => syntax(&token.to_string()),
            None => syntax(""),
        }
    }

    /// The expression up to the next statement, or to a comma outside of parentheses.
    pub(crate) fn expression(&mut self) -> Parsed<Expr> {
        let slice = self.slice(Until::Comma);
        self.whole(slice, |parser| parser.parse_expr())
    }

    /// The condition of IF or WHILE, up to the statement after it.
    pub(crate) fn condition(&mut self) -> Parsed<Expr> {
        let slice = self.slice(Until::Statement);
        self.whole(slice, |parser| parser.parse_expr())
    }

    /// A query up to the next statement.
    pub(crate) fn query(&mut self) -> Parsed<Query> {
        let slice = self.slice(Until::QueryEnd);
        self.whole(slice, |parser| parser.parse_query()).map(|query| *query)
    }

    /// A data type, such as `nvarchar(128)`.
    pub(crate) fn data_type(&mut self) -> Parsed<DataType> {
        let mut slice = vec![self.next().ok_or_else(|| syntax(""))?];
        if self.peek() == Some(&Token::LParen) {
            while let Some(token) = self.next() {
                let end = token == Token::RParen;
                slice.push(token);
                if end {
                    break;
                }
            }
        }
        self.whole(slice, |parser| parser.parse_data_type())
    }

    /// All of `slice`, or the error of what is left of it.
    fn whole<T>(
        &self,
        slice: Vec<Token>,
        parse: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
    ) -> Parsed<T> {
        if slice.is_empty() {
            return Err(self.unexpected());
        }
        if slice.len() > LONGEST || subqueries(&slice) > SUBQUERIES {
            return Err(too_deep());
        }
        let mut parser = Parser::new(&DIALECT).with_recursion_limit(NESTED).with_tokens(slice.clone());
        let result = parse(&mut parser);
        let left = Cursor { at: parser.index(), ..Cursor::new(slice) };
        match result {
            Ok(found) if left.is_at_end() => Ok(found),
            Ok(_) => Err(left.unexpected()),
            Err(sqlparser::parser::ParserError::RecursionLimitExceeded) => Err(too_deep()),
            Err(_) => Err(left.unexpected()),
        }
    }

    /// The tokens up to where a query or expression must end.
    fn slice(&mut self, until: Until) -> Vec<Token> {
        let (start, mut depth, mut cases) = (self.at, 0_usize, 0_usize);
        while let Some(token) = self.peek() {
            let word = self.word();
            match token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => break,
                Token::RParen => depth -= 1,
                Token::SemiColon => break,
                Token::Comma if depth == 0 && until == Until::Comma => break,
                _ if word == "CASE" => cases += 1,
                _ if word == "END" && cases > 0 => cases -= 1,
                _ if word == "ELSE" && cases > 0 => {}
                _ if depth == 0 && self.at > start && self.begins_statement(&word, until, start) => break,
                _ => {}
            }
            self.at += 1;
        }
        let slice = self.tokens[start..self.at].to_vec();
        for name in slice.iter().filter_map(bare).filter(|name| name.starts_with('@')) {
            self.mention(name);
        }
        slice
    }

    fn begins_statement(&self, word: &str, until: Until, start: usize) -> bool {
        let before = self.tokens[start..self.at].last().and_then(bare).map(str::to_uppercase).unwrap_or_default();
        match word {
            "SELECT" => {
                let continues = matches!(before.as_str(), "UNION" | "ALL" | "EXCEPT" | "INTERSECT");
                let after_with = bare(&self.tokens[start]).is_some_and(|word| word.eq_ignore_ascii_case("WITH"));
                until != Until::QueryEnd || !(continues || after_with && self.first_select(start))
            }
            // An output parameter or its like, no statement.
            "SET" if before == "UPDATE" => false,
            word => STARTERS.contains(&word),
        }
    }

    /// Whether no SELECT stands outside of parentheses between `start` and here.
    fn first_select(&self, start: usize) -> bool {
        let mut depth = 0_i32;
        for token in &self.tokens[start..self.at] {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ if depth == 0 && bare(token).is_some_and(|word| word.eq_ignore_ascii_case("SELECT")) => return false,
                _ => {}
            }
        }
        true
    }
}

/// How deep queries are nested in others.
fn subqueries(tokens: &[Token]) -> usize {
    let mut open = Vec::new();
    let mut deepest = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::LParen => {
                let next = tokens.get(at + 1).and_then(bare);
                open.push(next.is_some_and(|word| word.eq_ignore_ascii_case("SELECT")));
                deepest = deepest.max(open.iter().filter(|query| **query).count());
            }
            Token::RParen => {
                open.pop();
            }
            _ => {}
        }
    }
    deepest
}

/// 191: what would take too much of the stack.
pub(crate) fn too_deep() -> Message {
    let text =
        "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.";
    with_class(191, 15, text)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Comma,
    Statement,
    QueryEnd,
}

/// An unquoted word.
pub(crate) fn bare(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}
