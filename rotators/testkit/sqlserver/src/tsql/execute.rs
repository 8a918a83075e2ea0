//! One statement: to whom it goes.

use super::eval::eval;
use super::query;
use super::relation::{NOWHERE, Relation};
use super::scene::{Outcome, Scene, Stop};
use super::statement::Statement;
use super::value::{integer, text};
use super::{database, group, login, permission, procedure, role, session, user, wait};
use crate::exchange::{Column, Message, Reply, Value};
use crate::instance::message::{error, info, syntax, with_class};

pub(crate) fn statement(scene: &mut Scene<'_>, statement: &Statement) -> Outcome<()> {
    let mut count = None;
    match statement {
        Statement::Query(query) => return select(scene, query),
        Statement::Declare(variables) => {
            for (name, data_type, value) in variables {
                let kind = super::parse::known(data_type)?;
                let value = match value {
                    Some(value) => super::value::convert(&eval(scene, &NOWHERE, value)?, &lengthened(data_type), 0)?,
                    None => Value::Null,
                };
                scene.variables.declare(name, kind, value);
            }
            return Ok(());
        }
        Statement::Assign(name, expr) => {
            let value = eval(scene, &NOWHERE, expr)?;
            return Ok(scene.variables.set(name, &value)?);
        }
        Statement::SetOption(name, setting) => session::set(scene, name, setting)?,
        Statement::Use(name) => database::enter(scene, name)?,
        Statement::Print(expr) => {
            let text = text(&eval(scene, &NOWHERE, expr)?).unwrap_or_default();
            scene.replies.push(Reply::Message(info(0, 1, text)));
        }
        Statement::RaiseError(arguments) => raise(scene, arguments)?,
        Statement::Throw(arguments) => return Err(throw(scene, arguments.as_ref())),
        Statement::WaitFor(expr) => {
            let delay = wait::delay(&eval(scene, &NOWHERE, expr)?)?;
            if scene.waited.is_none() {
                return Err(Stop::Delay(delay));
            }
        }
        Statement::Kill(id) => session::kill(scene, *id)?,
        Statement::Execute(execute) => {
            let called = procedure::call(scene, &execute.procedure, &execute.arguments);
            let status = called.map_err(|stop| raised_by(stop, &execute.procedure))?;
            if let Some(name) = &execute.status {
                scene.variables.set(name, &Value::Int(status))?;
            }
        }
        Statement::Reconfigure => procedure::reconfigure(scene)?,
        Statement::CreateLogin(name, options) => login::create(scene, name, options)?,
        Statement::AlterLogin(name, change) => login::alter(scene, name, change)?,
        Statement::DropLogin(name) => login::drop(scene, name)?,
        Statement::CreateUser(name, options) => user::create(scene, name, options)?,
        Statement::AlterUser(name, options) => user::alter(scene, name, options)?,
        Statement::DropUser { name, if_exists } => user::drop(scene, name, *if_exists)?,
        Statement::CreateRole { server, name, owner } => role::create(scene, *server, name, owner.as_deref())?,
        Statement::AlterRole { server, name, change } => role::alter(scene, *server, name, change)?,
        Statement::DropRole { server, name, if_exists } => role::drop(scene, *server, name, *if_exists)?,
        Statement::Permission(change) => permission::change(scene, change)?,
        Statement::CreateDatabase { name, contained } => database::create(scene, name, *contained)?,
        Statement::AlterDatabase { name, change } => database::alter(scene, name.as_deref(), change)?,
        Statement::DropDatabase { name, if_exists } => database::drop(scene, name, *if_exists)?,
        Statement::Group { databases, join } => group::alter(scene, databases, *join)?,
        Statement::DatabaseOwner { name, owner } => database::set_owner(scene, name, owner)?,
        Statement::CreateSchema { name, owner } => database::create_schema(scene, name, owner.as_deref())?,
        Statement::CreateTable { name, columns } => database::create_table(scene, name, columns)?,
        Statement::DropTable { name, if_exists } => database::drop_table(scene, name, *if_exists)?,
        Statement::Insert { table, columns, source } => count = Some(database::insert(scene, table, columns, source)?),
        Statement::Delete { table, condition } => count = Some(database::delete(scene, table, condition.as_ref())?),
        // These are the machine's.
        Statement::Begin | Statement::Commit | Statement::Rollback | Statement::ExecuteText(_) => {}
    }
    scene.me.rows = count.unwrap_or(0);
    let told = count.filter(|_| !scene.me.flags.no_count).and_then(|count| u64::try_from(count).ok());
    scene.replies.push(Reply::Done(told));
    Ok(())
}

/// What goes wrong in a procedure says in which; that there is none is the batch's to say.
fn raised_by(stop: Stop, procedure: &[String]) -> Stop {
    let Stop::Failed(messages) = stop else { return stop };
    let name = procedure.last().cloned().unwrap_or_default();
    let named = |message: Message| if message.number == 2812 { message } else { message.raised_by(&name) };
    Stop::Failed(messages.into_iter().map(named).collect())
}

/// Rows to the client, or values to variables (`SELECT @x = …`).
fn select(scene: &mut Scene<'_>, query: &sqlparser::ast::Query) -> Outcome<()> {
    let targets = targets(query)?;
    let found = query::run(scene, query, None)?;
    scene.me.rows = i64::try_from(found.rows.len()).expect("few rows");
    if !targets.is_empty() {
        if let Some(row) = found.rows.last() {
            for (name, value) in targets.iter().zip(row) {
                scene.variables.set(name, value)?;
            }
        }
        return Ok(());
    }
    let Relation { fields, rows } = found;
    let count = u64::try_from(rows.len()).expect("few rows");
    let columns = fields.into_iter().map(|field| Column { name: field.name, kind: field.kind }).collect();
    scene.replies.push(Reply::Columns(columns));
    scene.replies.extend(rows.into_iter().map(Reply::Row));
    scene.replies.push(Reply::Done(Some(count).filter(|_| !scene.me.flags.no_count)));
    Ok(())
}

/// The variables that a SELECT assigns; all of its columns, or none.
fn targets(query: &sqlparser::ast::Query) -> Result<Vec<String>, Message> {
    use sqlparser::ast::SelectItem;
    let Some(select) = query.body.as_select() else { return Ok(Vec::new()) };
    let target = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } if alias.value.starts_with('@') && alias.quote_style.is_none() => {
            Some(alias.value.clone())
        }
        _ => None,
    };
    let found: Vec<String> = select.projection.iter().filter_map(target).collect();
    if !found.is_empty() && found.len() != select.projection.len() {
        let text = "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.";
        return Err(with_class(141, 15, text));
    }
    Ok(found)
}

/// A variable without a length is of one character; with none given this double keeps all of it.
fn lengthened(data_type: &sqlparser::ast::DataType) -> sqlparser::ast::DataType {
    use sqlparser::ast::{CharacterLength, DataType};
    match data_type {
        DataType::Nvarchar(None) => DataType::Nvarchar(Some(CharacterLength::IntegerLength { length: 1, unit: None })),
        DataType::Varchar(None) => DataType::Varchar(Some(CharacterLength::IntegerLength { length: 1, unit: None })),
        other => other.clone(),
    }
}

/// Up to severity 10 it is information.
fn raise(scene: &mut Scene<'_>, arguments: &[sqlparser::ast::Expr]) -> Outcome<()> {
    let mut values = Vec::new();
    for argument in arguments {
        values.push(eval(scene, &NOWHERE, argument)?);
    }
    let [what, severity, state, rest @ ..] = values.as_slice() else { return Err(syntax(")").into()) };
    let mut message = text(what).unwrap_or_default();
    for value in rest {
        let found = ["%s", "%d", "%i"].iter().filter_map(|mark| message.find(mark)).min();
        if let Some(at) = found {
            message.replace_range(at..at + 2, &text(value).unwrap_or_else(|| "(null)".to_owned()));
        }
    }
    let class = u8::try_from(integer(severity)?.clamp(0, 25)).expect("clamped");
    let state = u8::try_from(integer(state)?.clamp(0, 255)).expect("clamped");
    let message = Message { state, class, ..Message::error(50000, message) };
    if class > 18 && !scene.is_sysadmin() {
        let text = "Only System Administrator can specify WITH LOG option for RAISERROR command.";
        return Err(error(2778, text).into());
    }
    if class > 10 {
        return Err(message.into());
    }
    scene.replies.push(Reply::Message(Message { class: 0, ..message }));
    Ok(())
}

fn throw(
    scene: &Scene<'_>,
    arguments: Option<&(sqlparser::ast::Expr, sqlparser::ast::Expr, sqlparser::ast::Expr)>,
) -> Stop {
    let Some((number, what, state)) = arguments else {
        let outside =
            || with_class(10704, 15, "To rethrow an error, a THROW statement must be used inside a CATCH block.");
        return scene.me.caught.clone().unwrap_or_else(outside).into();
    };
    let values = eval(scene, &NOWHERE, number).and_then(|number| {
        Ok((
            integer(&number)?,
            text(&eval(scene, &NOWHERE, what)?).unwrap_or_default(),
            integer(&eval(scene, &NOWHERE, state)?)?,
        ))
    });
    match values {
        Ok((number, text, state)) => match (i32::try_from(number), u8::try_from(state)) {
            (Ok(number), Ok(state)) if number >= 50000 => Message { state, ..Message::error(number, text) }.into(),
            _ => error(35100, format!("Error number {number} in the THROW statement is outside the valid range. Specify an error number in the valid range of 50000 to 2147483647.")).into(),
        },
        Err(message) => message.into(),
    }
}
