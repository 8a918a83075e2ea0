//! The server's messages that this double gives, with number, severity and text as documented.

use crate::exchange::Message;

/// An error of severity 16, which is what most are.
pub(crate) fn error(number: i32, text: impl Into<String>) -> Message {
    with_class(number, 16, text)
}

pub(crate) fn with_class(number: i32, class: u8, text: impl Into<String>) -> Message {
    Message { class, ..Message::error(number, text) }
}

/// Information: `PRINT`, a changed database.
pub(crate) fn info(number: i32, state: u8, text: impl Into<String>) -> Message {
    Message { state, class: 0, ..Message::error(number, text) }
}

pub(crate) fn syntax(near: &str) -> Message {
    if super::super::tsql::is_reserved(near) {
        return with_class(156, 15, format!("Incorrect syntax near the keyword '{near}'."));
    }
    with_class(102, 15, format!("Incorrect syntax near '{near}'."))
}

/// 15151: `verb` and `what` as in "Cannot alter the login 'x', …".
pub(crate) fn missing(verb: &str, what: &str, name: &str) -> Message {
    error(15151, format!("Cannot {verb} the {what} '{name}', because it does not exist or you do not have permission."))
}

pub(crate) fn no_permission() -> Message {
    error(15247, "User does not have permission to perform this action.")
}

/// 300, and 297 after it: a view of the server's state without the permission.
pub(crate) fn denied_on_server(permission: &str) -> Message {
    with_class(300, 14, format!("{permission} permission was denied on object 'server', database 'master'."))
}

pub(crate) fn denied_in_database(permission: &str, database: &str) -> Message {
    with_class(262, 14, format!("{permission} permission denied in database '{database}'."))
}

pub(crate) fn denied_on_object(permission: &str, object: &str, database: &str, schema: &str) -> Message {
    let text = format!(
        "The {permission} permission was denied on the object '{object}', database '{database}', schema '{schema}'."
    );
    with_class(229, 14, text)
}

pub(crate) fn invalid_object(name: &str) -> Message {
    error(208, format!("Invalid object name '{name}'."))
}

pub(crate) fn invalid_column(name: &str) -> Message {
    error(207, format!("Invalid column name '{name}'."))
}

pub(crate) fn undeclared(name: &str) -> Message {
    with_class(137, 15, format!("Must declare the scalar variable \"{name}\"."))
}

pub(crate) fn no_procedure(name: &str) -> Message {
    error(2812, format!("Could not find stored procedure '{name}'."))
}

pub(crate) fn no_database(name: &str) -> Message {
    error(911, format!("Database '{name}' does not exist. Make sure that the name is entered correctly."))
}

pub(crate) fn no_access(login: &str, database: &str) -> Message {
    let text = format!(
        "The server principal \"{login}\" is not able to access the database \"{database}\" under the current security context."
    );
    with_class(916, 14, text)
}

pub(crate) fn read_only(database: &str) -> Message {
    error(3906, format!("Failed to update database \"{database}\" because the database is read-only."))
}

/// What a client is told whatever was wrong with name or password: state 1, always.
pub(crate) fn login_failed(user: &str) -> Message {
    with_class(18456, 14, format!("Login failed for user '{user}'."))
}

pub(crate) fn lock_timeout() -> Message {
    error(1222, "Lock request time out period exceeded.")
}

/// The session was ended by KILL while it was at work, or afterwards.
pub(crate) fn killed() -> Message {
    with_class(596, 21, "Cannot continue the execution because the session is in the kill state.")
}
