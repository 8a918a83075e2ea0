//! From text to a program: statements and the flow between them. What makes principals and permissions is in
//! `parse_security`.

use sqlparser::ast::{DataType, Expr, Ident};
use sqlparser::tokenizer::Token;

use super::lexer::{Cursor, Parsed, bare, tokens, too_deep};
use super::parse_security as security;
use super::statement::{Argument, Execute, Program, Setting, Statement, Step};
use super::value::kind_of_type;
use crate::exchange::{Column, Kind};
use crate::instance::message::{undeclared, with_class};

/// Parses a whole batch. On an error nothing of it is executed. `known` are the variables that it is given.
pub(crate) fn batch(text: &str, quoted_identifier: bool, known: impl Fn(&str) -> bool) -> Parsed<Program> {
    let mut parser =
        BatchParser { cursor: Cursor::new(tokens(text, quoted_identifier)?), program: Program::default(), depth: 0 };
    while parser.semicolons() {
        parser.statement()?;
    }
    // Found before anything is executed, as by the server.
    match parser.cursor.undeclared(known) {
        Some(name) => Err(undeclared(name)),
        None => Ok(parser.program),
    }
}

/// The second argument of `sp_executesql`: names and types.
pub(crate) fn parameters(text: &str) -> Parsed<Vec<(String, Kind)>> {
    let mut cursor = Cursor::new(tokens(text, true)?);
    let mut found = Vec::new();
    loop {
        let name = cursor.variable()?;
        let kind = known(&cursor.data_type()?)?;
        let _ = cursor.take("OUTPUT") || cursor.take("OUT");
        found.push((name, kind));
        if !cursor.take_token(&Token::Comma) {
            return if cursor.is_at_end() { Ok(found) } else { Err(cursor.unexpected()) };
        }
    }
}

/// How deep BEGIN, IF and their like may be nested.
const DEEPEST: usize = 60;

struct BatchParser {
    cursor: Cursor,
    program: Program,
    depth: usize,
}

impl BatchParser {
    /// Skips semicolons. False at the end.
    fn semicolons(&mut self) -> bool {
        while self.cursor.take_token(&Token::SemiColon) {}
        !self.cursor.is_at_end()
    }

    fn statement(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(too_deep());
        }
        self.nested()?;
        self.depth -= 1;
        Ok(())
    }

    fn nested(&mut self) -> Parsed<()> {
        let here = self.program.steps.len();
        match self.cursor.word().as_str() {
            "IF" => {
                self.cursor.take("IF");
                let condition = self.cursor.condition()?;
                self.push(Step::JumpUnless(Box::new(condition), usize::MAX));
                self.body()?;
                self.else_branch(here)
            }
            "WHILE" => {
                self.cursor.take("WHILE");
                let condition = self.cursor.condition()?;
                self.push(Step::JumpUnless(Box::new(condition), usize::MAX));
                self.body()?;
                self.push(Step::Jump(here));
                self.land(here);
                Ok(())
            }
            "BEGIN" if self.cursor.word_at(1) == "TRY" => self.try_block(),
            "BEGIN" if !matches!(self.cursor.word_at(1).as_str(), "TRAN" | "TRANSACTION" | "DISTRIBUTED") => {
                self.cursor.take("BEGIN");
                self.block("END")
            }
            "RETURN" => {
                self.cursor.take("RETURN");
                let done = self.cursor.is_at_end() || self.cursor.peek() == Some(&Token::SemiColon);
                // Outside of procedures a status has nowhere to go.
                if !done && starts_value(&self.cursor) {
                    self.cursor.expression()?;
                }
                self.push(Step::Return);
                Ok(())
            }
            _ => {
                let statement = simple(&mut self.cursor)?;
                self.program.statements += 1;
                self.push(Step::Run(Box::new(statement)));
                Ok(())
            }
        }
    }

    fn body(&mut self) -> Parsed<()> {
        if !self.semicolons() {
            return Err(self.cursor.unexpected());
        }
        self.statement()
    }

    fn else_branch(&mut self, condition: usize) -> Parsed<()> {
        let before = self.cursor.clone();
        self.semicolons();
        if !self.cursor.take("ELSE") {
            self.cursor = before;
            self.land(condition);
            return Ok(());
        }
        let jump = self.program.steps.len();
        self.push(Step::Jump(usize::MAX));
        self.land(condition);
        self.body()?;
        self.land(jump);
        Ok(())
    }

    /// Statements up to `end`, of which there is at least one.
    fn block(&mut self, end: &str) -> Parsed<()> {
        let mut count = 0;
        loop {
            if !self.semicolons() {
                return Err(self.cursor.unexpected());
            }
            if self.cursor.take(end) {
                return if count > 0 || end.contains(' ') { Ok(()) } else { Err(self.cursor.unexpected()) };
            }
            self.statement()?;
            count += 1;
        }
    }

    fn try_block(&mut self) -> Parsed<()> {
        self.cursor.take("BEGIN TRY");
        let start = self.program.steps.len();
        self.push(Step::Try(usize::MAX));
        self.block("END TRY")?;
        self.semicolons();
        let end = self.program.steps.len();
        self.push(Step::EndTry(usize::MAX));
        self.land(start);
        self.cursor.expect("BEGIN CATCH")?;
        self.block("END CATCH")?;
        self.push(Step::EndCatch);
        self.land(end);
        Ok(())
    }

    fn push(&mut self, step: Step) {
        self.program.steps.push(step);
    }

    /// Lets the jump at `step` lead to what comes next.
    fn land(&mut self, step: usize) {
        let here = self.program.steps.len();
        match &mut self.program.steps[step] {
            Step::Jump(to) | Step::JumpUnless(_, to) | Step::Try(to) | Step::EndTry(to) => *to = here,
            Step::Run(_) | Step::EndCatch | Step::Return => {}
        }
    }
}

fn starts_value(cursor: &Cursor) -> bool {
    !matches!(cursor.peek(), Some(Token::Word(word)) if word.quote_style.is_none() && super::lexer::is_reserved(&word.value))
}

/// One statement without control of flow.
fn simple(cursor: &mut Cursor) -> Parsed<Statement> {
    let first = cursor.is_at_start();
    match cursor.word().as_str() {
        "SELECT" | "WITH" => cursor.query().map(Statement::Query),
        "DECLARE" => declare(cursor),
        "SET" => set(cursor),
        "USE" => {
            cursor.take("USE");
            cursor.name().map(Statement::Use)
        }
        "PRINT" => {
            cursor.take("PRINT");
            cursor.expression().map(Statement::Print)
        }
        "RAISERROR" => raise_error(cursor),
        "THROW" => throw(cursor),
        "WAITFOR" => {
            cursor.expect("WAITFOR DELAY")?;
            cursor.expression().map(Statement::WaitFor)
        }
        "KILL" => {
            cursor.take("KILL");
            let id = cursor.integer()?;
            cursor.take("WITH STATUSONLY");
            Ok(Statement::Kill(id))
        }
        "BEGIN" => {
            cursor.take("BEGIN");
            transaction(cursor, Statement::Begin, true)
        }
        "COMMIT" => {
            cursor.take("COMMIT");
            transaction(cursor, Statement::Commit, false)
        }
        "ROLLBACK" => {
            cursor.take("ROLLBACK");
            transaction(cursor, Statement::Rollback, false)
        }
        "EXEC" | "EXECUTE" => {
            cursor.next();
            execute(cursor)
        }
        "RECONFIGURE" => {
            cursor.take("RECONFIGURE");
            cursor.take("WITH OVERRIDE");
            Ok(Statement::Reconfigure)
        }
        "CREATE" => create(cursor),
        "ALTER" => alter(cursor),
        "DROP" => drop(cursor),
        "GRANT" | "DENY" | "REVOKE" => security::permission(cursor),
        "INSERT" => insert(cursor),
        "DELETE" => delete(cursor),
        _ if first && matches!(cursor.peek(), Some(Token::Word(_))) => execute(cursor),
        _ => Err(cursor.unexpected()),
    }
}

fn declare(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("DECLARE");
    let mut found = Vec::new();
    loop {
        let name = cursor.variable()?;
        cursor.declare(&name);
        cursor.take("AS");
        let kind = cursor.data_type()?;
        let value = if cursor.take_token(&Token::Eq) { Some(cursor.expression()?) } else { None };
        found.push((name, kind, value));
        if !cursor.take_token(&Token::Comma) {
            return Ok(Statement::Declare(found));
        }
    }
}

fn set(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("SET");
    if let Ok(name) = cursor.variable() {
        cursor.mention(&name);
        cursor.expect_token(&Token::Eq)?;
        return Ok(Statement::Assign(name, cursor.expression()?));
    }
    if cursor.take("TRANSACTION ISOLATION LEVEL") {
        let mut level = Vec::new();
        while matches!(
            cursor.word().as_str(),
            "READ" | "COMMITTED" | "UNCOMMITTED" | "REPEATABLE" | "SNAPSHOT" | "SERIALIZABLE"
        ) {
            level.push(cursor.word());
            cursor.next();
        }
        if level.is_empty() {
            return Err(cursor.unexpected());
        }
        return Ok(Statement::SetOption("TRANSACTION ISOLATION LEVEL".to_owned(), Setting::Word(level.join(" "))));
    }
    let mut names = vec![cursor.name()?.to_uppercase()];
    while cursor.take_token(&Token::Comma) {
        names.push(cursor.name()?.to_uppercase());
    }
    let setting = match cursor.peek().cloned() {
        Some(Token::Number(..) | Token::Minus) => Setting::Number(cursor.integer()?),
        Some(Token::SingleQuotedString(_) | Token::NationalStringLiteral(_)) => Setting::Word(cursor.text()?),
        _ if cursor.take("ON") => Setting::Switch(true),
        _ if cursor.take("OFF") => Setting::Switch(false),
        _ => Setting::Word(cursor.name()?),
    };
    Ok(Statement::SetOption(names.join(","), setting))
}

fn raise_error(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("RAISERROR");
    cursor.expect_token(&Token::LParen)?;
    let mut arguments = vec![cursor.expression()?];
    while cursor.take_token(&Token::Comma) {
        arguments.push(cursor.expression()?);
    }
    cursor.expect_token(&Token::RParen)?;
    if cursor.take("WITH") {
        cursor.name()?;
    }
    Ok(Statement::RaiseError(arguments))
}

fn throw(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("THROW");
    if !matches!(cursor.peek(), Some(Token::Number(..))) && cursor.clone().variable().is_err() {
        return Ok(Statement::Throw(None));
    }
    let number = cursor.expression()?;
    cursor.expect_token(&Token::Comma)?;
    let text = cursor.expression()?;
    cursor.expect_token(&Token::Comma)?;
    Ok(Statement::Throw(Some((number, text, cursor.expression()?))))
}

/// The words after BEGIN, COMMIT and ROLLBACK, with an optional name.
fn transaction(cursor: &mut Cursor, statement: Statement, needs_word: bool) -> Parsed<Statement> {
    let word = cursor.take("TRANSACTION") || cursor.take("TRAN");
    if !word {
        let _ = cursor.take("WORK");
        return if needs_word { Err(cursor.unexpected()) } else { Ok(statement) };
    }
    if cursor.variable().is_err() {
        let _ = cursor.name();
    }
    Ok(statement)
}

fn execute(cursor: &mut Cursor) -> Parsed<Statement> {
    if cursor.take_token(&Token::LParen) {
        let text = cursor.expression()?;
        cursor.expect_token(&Token::RParen)?;
        return Ok(Statement::ExecuteText(text));
    }
    let status = cursor.variable().ok();
    if let Some(status) = &status {
        cursor.mention(status);
        cursor.expect_token(&Token::Eq)?;
    }
    let procedure = cursor.dotted()?;
    let mut arguments = Vec::new();
    while !cursor.is_at_end() && cursor.peek() != Some(&Token::SemiColon) {
        if arguments.is_empty() && !starts_value(cursor) && cursor.word() != "NULL" && cursor.word() != "DEFAULT" {
            break;
        }
        arguments.push(argument(cursor)?);
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    Ok(Statement::Execute(Execute { status, procedure, arguments }))
}

/// A constant or a variable, as T-SQL wants it: no expression.
fn argument(cursor: &mut Cursor) -> Parsed<Argument> {
    let named =
        cursor.peek().and_then(bare).is_some_and(|word| word.starts_with('@')) && cursor.peek_at(1) == Some(&Token::Eq);
    let name = if named { Some(cursor.variable()?) } else { None };
    if named {
        cursor.expect_token(&Token::Eq)?;
    }
    let word = cursor.peek().and_then(bare).map(str::to_owned);
    let value = match (cursor.peek(), word) {
        (_, Some(word)) if word.eq_ignore_ascii_case("NULL") || word.starts_with('@') => {
            cursor.next();
            if word.starts_with('@') {
                cursor.mention(&word);
                Expr::Identifier(Ident::new(word))
            } else {
                Expr::value(sqlparser::ast::Value::Null)
            }
        }
        // A bare word is text, as in `EXEC sp_addrolemember db_owner, app`.
        (_, Some(word)) if !super::lexer::is_reserved(&word) => {
            cursor.next();
            Expr::value(sqlparser::ast::Value::NationalStringLiteral(word))
        }
        (Some(Token::Word(word)), None) => {
            let text = word.value.clone();
            cursor.next();
            Expr::value(sqlparser::ast::Value::NationalStringLiteral(text))
        }
        (Some(Token::Minus | Token::Number(..)), _) => {
            Expr::value(sqlparser::ast::Value::Number(cursor.integer()?.to_string(), false))
        }
        (Some(Token::HexStringLiteral(_)), _) => match cursor.next() {
            Some(Token::HexStringLiteral(digits)) => Expr::value(sqlparser::ast::Value::HexStringLiteral(digits)),
            _ => return Err(cursor.unexpected()),
        },
        _ => Expr::value(sqlparser::ast::Value::NationalStringLiteral(cursor.text()?)),
    };
    let output = cursor.take("OUTPUT") || cursor.take("OUT");
    Ok(Argument { name, value, output })
}

fn create(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("CREATE");
    match cursor.word().as_str() {
        "LOGIN" => security::create_login(cursor),
        "USER" => security::create_user(cursor),
        "ROLE" | "SERVER" => security::create_role(cursor),
        "DATABASE" => super::parse_database::create(cursor),
        "SCHEMA" => {
            cursor.take("SCHEMA");
            let name = if cursor.word() == "AUTHORIZATION" { None } else { Some(cursor.name()?) };
            let owner = if cursor.take("AUTHORIZATION") { Some(cursor.name()?) } else { None };
            let name = name.or(owner.clone()).ok_or_else(|| cursor.unexpected())?;
            Ok(Statement::CreateSchema { name, owner })
        }
        "TABLE" => create_table(cursor),
        _ => Err(cursor.unexpected()),
    }
}

fn alter(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("ALTER");
    match cursor.word().as_str() {
        "LOGIN" => security::alter_login(cursor),
        "USER" => security::alter_user(cursor),
        "ROLE" | "SERVER" => security::alter_role(cursor),
        "DATABASE" => super::parse_database::alter(cursor),
        "AUTHORIZATION" => super::parse_database::owner(cursor),
        "AVAILABILITY" => super::parse_database::group(cursor),
        _ => Err(cursor.unexpected()),
    }
}

fn drop(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("DROP");
    if cursor.take("TABLE") {
        let if_exists = cursor.take("IF EXISTS");
        return Ok(Statement::DropTable { name: cursor.dotted()?, if_exists });
    }
    if cursor.take("DATABASE") {
        let if_exists = cursor.take("IF EXISTS");
        return Ok(Statement::DropDatabase { name: cursor.name()?, if_exists });
    }
    security::drop(cursor)
}

/// Names and types of columns; what else is said of them is skipped.
fn create_table(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("TABLE");
    let name = cursor.dotted()?;
    cursor.expect_token(&Token::LParen)?;
    let mut columns = Vec::new();
    loop {
        let constraint = matches!(cursor.word().as_str(), "CONSTRAINT" | "PRIMARY" | "UNIQUE" | "FOREIGN" | "CHECK");
        if !constraint {
            let column = cursor.name()?;
            let data_type = cursor.data_type()?;
            columns.push(Column { name: column, kind: known(&data_type)? });
        }
        let mut depth = 0_i32;
        loop {
            match cursor.next().ok_or_else(|| cursor.unexpected())? {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => return Ok(Statement::CreateTable { name, columns }),
                Token::RParen => depth -= 1,
                Token::Comma if depth == 0 => break,
                _ => {}
            }
        }
    }
}

pub(crate) fn known(data_type: &DataType) -> Parsed<Kind> {
    kind_of_type(data_type)
        .ok_or_else(|| with_class(243, 16, format!("Type {data_type} is not a defined system type.")))
}

fn insert(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("INSERT");
    cursor.take("INTO");
    let table = cursor.dotted()?;
    let mut columns = Vec::new();
    if cursor.take_token(&Token::LParen) {
        columns.push(cursor.name()?);
        while cursor.take_token(&Token::Comma) {
            columns.push(cursor.name()?);
        }
        cursor.expect_token(&Token::RParen)?;
    }
    Ok(Statement::Insert { table, columns, source: cursor.query()? })
}

fn delete(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("DELETE");
    cursor.take("FROM");
    let table = cursor.dotted()?;
    let condition = if cursor.take("WHERE") { Some(cursor.condition()?) } else { None };
    Ok(Statement::Delete { table, condition })
}
