//! Tables and the system's views. Of the views the columns that matter; others are unknown columns.

mod of_database;
mod of_group;
mod of_server;
mod of_sessions;

use std::sync::Arc;

use super::relation::{Field, Relation};
use super::scene::Scene;
use crate::exchange::{Message, Value};
use crate::instance::catalogue::same;
use crate::instance::database::Database;
use crate::instance::message::{denied_on_object, error, invalid_object, no_access};

/// What a name in FROM stands for: of one to three parts.
pub(crate) fn open(scene: &Scene<'_>, parts: &[String]) -> Result<Relation, Message> {
    let whole = parts.join(".");
    let (database, schema, name) = match parts {
        [name] => (scene.database(), "", name.as_str()),
        [schema, name] => (scene.database(), schema.as_str(), name.as_str()),
        [database, schema, name] => (other(scene, database, &whole)?, schema.as_str(), name.as_str()),
        [server, ..] => {
            let text = format!(
                "Could not find server '{server}' in sys.servers. Verify that the correct server name was specified. If necessary, execute the stored procedure sp_addlinkedserver to add the server to sys.servers."
            );
            return Err(error(7202, text));
        }
        [] => return Err(invalid_object("")),
    };
    if same(schema, "sys") {
        let name = name.to_lowercase();
        let found = of_server::open(scene, &name)
            .or_else(|| of_sessions::open(scene, &name))
            .or_else(|| of_group::open(scene, &name))
            .or_else(|| of_database::open(scene, &database, &name));
        return found.unwrap_or_else(|| Err(invalid_object(&whole)));
    }
    table(scene, &database, schema, name, &whole)
}

fn other(scene: &Scene<'_>, name: &str, whole: &str) -> Result<Arc<Database>, Message> {
    let database = scene.world.database(name).ok_or_else(|| invalid_object(whole))?;
    if scene.is_azure() && database.id != scene.me.database && !same(name, "tempdb") {
        let text = format!(
            "Reference to database and/or server name in '{whole}' is not supported in this version of SQL Server."
        );
        return Err(error(40515, text));
    }
    if let Some(barred) = scene.state.bars(database, scene.me.reads) {
        return Err(barred);
    }
    if scene.user_in(database).is_none() {
        return Err(no_access(&scene.me.login, &database.name));
    }
    Ok(Arc::clone(database))
}

fn table(scene: &Scene<'_>, database: &Database, schema: &str, name: &str, whole: &str) -> Result<Relation, Message> {
    let own = scene.user_in(database).and_then(|user| database.users.get(&user)?.default_schema.clone());
    let schemas = if schema.is_empty() {
        vec![own.unwrap_or_else(|| "dbo".to_owned()), "dbo".to_owned()]
    } else {
        vec![schema.to_owned()]
    };
    let found = schemas.iter().find_map(|schema| database.table(schema, name));
    let table = found.ok_or_else(|| invalid_object(whole))?;
    if !scene.allowed_on(database, "SELECT", &database.places_of_table(table.id)) {
        let schema = &database.schemas[&table.schema].name;
        return Err(denied_on_object("SELECT", &table.name, &database.name, schema));
    }
    let field =
        |column: &crate::exchange::Column| Field { table: String::new(), name: column.name.clone(), kind: column.kind };
    Ok(Relation { fields: table.columns.iter().map(field).collect(), rows: table.rows.clone() })
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn permission_type(name: &str) -> String {
    // The real codes are irregular; what reads them reads `permission_name`.
    match name {
        "CONNECT SQL" => "COSQ".to_owned(),
        "CONNECT" => "CO".to_owned(),
        "CONTROL SERVER" | "CONTROL" => "CL".to_owned(),
        "ALTER ANY LOGIN" => "ALLG".to_owned(),
        "ALTER ANY CONNECTION" => "ALCO".to_owned(),
        "VIEW SERVER STATE" => "VWSS".to_owned(),
        "SELECT" => "SL".to_owned(),
        "ALTER" => "AL".to_owned(),
        other => other.chars().filter(char::is_ascii_alphabetic).take(4).collect(),
    }
}

fn state(grant: crate::instance::catalogue::Grant) -> [Value; 2] {
    use crate::instance::catalogue::Grant;
    match grant {
        Grant::Deny => [text("D"), text("DENY")],
        Grant::Granted => [text("G"), text("GRANT")],
        Grant::WithOption => [text("W"), text("GRANT_WITH_GRANT_OPTION")],
    }
}
