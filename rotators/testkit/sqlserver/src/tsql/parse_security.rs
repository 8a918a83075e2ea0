//! Statements on logins, users, roles and permissions.

use sqlparser::tokenizer::Token;

use super::lexer::{Cursor, Parsed};
use super::statement::{
    AlterLogin, LoginOptions, Password, PermissionChange, RoleChange, Statement, UserOptions, Verb,
};
use crate::instance::message::{error, syntax};

pub(crate) fn create_login(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("LOGIN");
    let name = cursor.name()?;
    if cursor.take("FROM") {
        // The real server knows them. The text is this double's own.
        let text = "Windows, certificate, key and external logins are not part of this server.";
        return Err(error(15401, text));
    }
    cursor.expect("WITH")?;
    if cursor.word() != "PASSWORD" {
        return Err(cursor.unexpected());
    }
    let options = login_options(cursor, true)?;
    Ok(Statement::CreateLogin(name, options))
}

pub(crate) fn alter_login(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("LOGIN");
    let name = cursor.name()?;
    if cursor.take("ENABLE") {
        return Ok(Statement::AlterLogin(name, AlterLogin::Enable));
    }
    if cursor.take("DISABLE") {
        return Ok(Statement::AlterLogin(name, AlterLogin::Disable));
    }
    cursor.expect("WITH")?;
    let options = login_options(cursor, false)?;
    Ok(Statement::AlterLogin(name, AlterLogin::Set(options)))
}

fn login_options(cursor: &mut Cursor, create: bool) -> Parsed<LoginOptions> {
    let mut options = LoginOptions::default();
    loop {
        let option = cursor.word();
        let known = matches!(
            option.as_str(),
            "PASSWORD" | "DEFAULT_DATABASE" | "DEFAULT_LANGUAGE" | "CHECK_EXPIRATION" | "CHECK_POLICY" | "CREDENTIAL"
        ) || (create && option == "SID")
            || (!create && matches!(option.as_str(), "NAME" | "NO"));
        if !known {
            return Err(cursor.unexpected());
        }
        cursor.next();
        if option == "NO" {
            cursor.expect("CREDENTIAL")?;
            options.credential = true;
        } else {
            cursor.expect_token(&Token::Eq)?;
            login_option(cursor, &option, create, &mut options)?;
        }
        if !cursor.take_token(&Token::Comma) {
            return Ok(options);
        }
    }
}

fn login_option(cursor: &mut Cursor, option: &str, create: bool, options: &mut LoginOptions) -> Parsed<()> {
    match option {
        "PASSWORD" => {
            options.password = Some(password(cursor)?);
            loop {
                match cursor.word().as_str() {
                    "MUST_CHANGE" => options.must_change = true,
                    "UNLOCK" if !create => options.unlock = true,
                    "OLD_PASSWORD" if !create => {
                        cursor.next();
                        cursor.expect_token(&Token::Eq)?;
                        options.present = Some(cursor.text()?);
                        continue;
                    }
                    _ => return Ok(()),
                }
                cursor.next();
            }
        }
        "SID" => options.sid = Some(binary(cursor)?),
        "NAME" => options.name = Some(cursor.name()?),
        "DEFAULT_DATABASE" => options.default_database = Some(cursor.name()?),
        "DEFAULT_LANGUAGE" => options.default_language = Some(cursor.name()?),
        "CHECK_EXPIRATION" => options.expiration = Some(cursor.on_off()?),
        "CHECK_POLICY" => options.policy = Some(cursor.on_off()?),
        _ => {
            cursor.name()?;
            options.credential = true;
        }
    }
    Ok(())
}

/// A password is a literal: no variable, no expression.
fn password(cursor: &mut Cursor) -> Parsed<Password> {
    if let Some(Token::HexStringLiteral(_)) = cursor.peek() {
        let hash = binary(cursor)?;
        cursor.expect("HASHED")?;
        return Ok(Password::Hashed(hash));
    }
    let plain = cursor.text()?;
    if cursor.take("HASHED") {
        return Err(syntax("HASHED"));
    }
    Ok(Password::Plain(plain))
}

pub(crate) fn binary(cursor: &mut Cursor) -> Parsed<Vec<u8>> {
    match cursor.peek() {
        Some(Token::HexStringLiteral(digits)) => {
            let bytes = super::value::from_hex(digits).ok_or_else(|| cursor.unexpected())?;
            cursor.next();
            Ok(bytes)
        }
        _ => Err(cursor.unexpected()),
    }
}

pub(crate) fn create_user(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("USER");
    let name = cursor.name()?;
    let mut options = UserOptions::default();
    if cursor.take("WITHOUT LOGIN") {
        options.without_login = true;
    } else if cursor.take("FOR LOGIN") || cursor.take("FROM LOGIN") {
        options.login = Some(cursor.name()?);
    }
    if cursor.take("WITH") {
        user_options(cursor, &mut options, &["PASSWORD", "DEFAULT_SCHEMA", "DEFAULT_LANGUAGE", "SID"])?;
    }
    Ok(Statement::CreateUser(name, options))
}

pub(crate) fn alter_user(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("USER");
    let name = cursor.name()?;
    cursor.expect("WITH")?;
    let mut options = UserOptions::default();
    user_options(cursor, &mut options, &["PASSWORD", "DEFAULT_SCHEMA", "DEFAULT_LANGUAGE", "NAME", "LOGIN"])?;
    Ok(Statement::AlterUser(name, options))
}

fn user_options(cursor: &mut Cursor, options: &mut UserOptions, known: &[&str]) -> Parsed<()> {
    loop {
        let option = cursor.word();
        if !known.contains(&option.as_str()) {
            return Err(cursor.unexpected());
        }
        cursor.next();
        cursor.expect_token(&Token::Eq)?;
        match option.as_str() {
            "PASSWORD" => {
                options.password = Some(Password::Plain(cursor.text()?));
                if cursor.take("OLD_PASSWORD") {
                    cursor.expect_token(&Token::Eq)?;
                    options.present = Some(cursor.text()?);
                }
            }
            "DEFAULT_SCHEMA" => options.default_schema = Some(cursor.name()?),
            "NAME" => options.name = Some(cursor.name()?),
            "LOGIN" => options.login = Some(cursor.name()?),
            "SID" => options.sid = Some(binary(cursor)?),
            _ => {
                cursor.name()?;
            }
        }
        if !cursor.take_token(&Token::Comma) {
            return Ok(());
        }
    }
}

pub(crate) fn create_role(cursor: &mut Cursor) -> Parsed<Statement> {
    let server = cursor.take("SERVER");
    cursor.expect("ROLE")?;
    let name = cursor.name()?;
    let owner = if cursor.take("AUTHORIZATION") { Some(cursor.name()?) } else { None };
    Ok(Statement::CreateRole { server, name, owner })
}

pub(crate) fn alter_role(cursor: &mut Cursor) -> Parsed<Statement> {
    let server = cursor.take("SERVER");
    cursor.expect("ROLE")?;
    let name = cursor.name()?;
    let change = if cursor.take("ADD MEMBER") {
        RoleChange::Add(cursor.name()?)
    } else if cursor.take("DROP MEMBER") {
        RoleChange::Drop(cursor.name()?)
    } else {
        cursor.expect("WITH NAME")?;
        cursor.expect_token(&Token::Eq)?;
        RoleChange::Name(cursor.name()?)
    };
    Ok(Statement::AlterRole { server, name, change })
}

pub(crate) fn drop(cursor: &mut Cursor) -> Parsed<Statement> {
    if cursor.take("LOGIN") {
        return cursor.name().map(Statement::DropLogin);
    }
    if cursor.take("USER") {
        let if_exists = cursor.take("IF EXISTS");
        return Ok(Statement::DropUser { name: cursor.name()?, if_exists });
    }
    let server = cursor.take("SERVER");
    cursor.expect("ROLE")?;
    let if_exists = !server && cursor.take("IF EXISTS");
    Ok(Statement::DropRole { server, name: cursor.name()?, if_exists })
}

/// GRANT, DENY and REVOKE.
pub(crate) fn permission(cursor: &mut Cursor) -> Parsed<Statement> {
    let verb = match cursor.word().as_str() {
        "GRANT" => Verb::Grant,
        "DENY" => Verb::Deny,
        _ => Verb::Revoke,
    };
    cursor.next();
    let option_only = verb == Verb::Revoke && cursor.take("GRANT OPTION FOR");
    let mut names = vec![permission_name(cursor)?];
    while cursor.take_token(&Token::Comma) {
        names.push(permission_name(cursor)?);
    }
    let on = if cursor.take("ON") { Some(securable(cursor)?) } else { None };
    let to = cursor.take("TO") || (verb == Verb::Revoke && cursor.take("FROM"));
    if !to {
        return Err(cursor.unexpected());
    }
    let mut to = vec![grantee(cursor)?];
    while cursor.take_token(&Token::Comma) {
        to.push(grantee(cursor)?);
    }
    let with_option = verb == Verb::Grant && cursor.take("WITH GRANT OPTION");
    let _ = verb != Verb::Grant && cursor.take("CASCADE");
    let by = if cursor.take("AS") { Some(cursor.name()?) } else { None };
    Ok(Statement::Permission(PermissionChange { verb, names, on, to, with_option, option_only, by }))
}

/// `public` is a reserved word, and a role.
fn grantee(cursor: &mut Cursor) -> Parsed<String> {
    if cursor.take("PUBLIC") { Ok("public".to_owned()) } else { cursor.name() }
}

/// The words of a permission, some of which are reserved otherwise.
fn permission_name(cursor: &mut Cursor) -> Parsed<String> {
    let mut words = Vec::new();
    while !matches!(cursor.word().as_str(), "" | "ON" | "TO" | "FROM") {
        words.push(cursor.word());
        cursor.next();
    }
    if words.is_empty() { Err(cursor.unexpected()) } else { Ok(words.join(" ")) }
}

/// `DATABASE::x`, `SERVER ROLE::x`, or the plain name of an object.
fn securable(cursor: &mut Cursor) -> Parsed<(String, Vec<String>)> {
    for class in ["SERVER ROLE", "DATABASE", "SCHEMA", "OBJECT", "LOGIN", "USER", "ROLE"] {
        let words = class.split(' ').count();
        if cursor.peek_at(words) == Some(&Token::DoubleColon) && cursor.take(class) {
            cursor.next();
            return Ok((class.to_owned(), cursor.dotted()?));
        }
    }
    Ok(("OBJECT".to_owned(), cursor.dotted()?))
}
