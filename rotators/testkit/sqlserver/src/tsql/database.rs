//! Databases, schemas and tables.

use std::sync::Arc;

use super::eval::truth;
use super::relation::{Field, NOWHERE, Row};
use super::scene::{Outcome, Scene, Stop};
use super::statement::DatabaseChange;
use super::{query, value};
use crate::exchange::{Column, Message, Value};
use crate::instance::catalogue::{Key, SA, folded, same};
use crate::instance::database::{DBO, Database, Schema, Table};
use crate::instance::message::{
    denied_in_database, denied_on_object, error, invalid_column, invalid_object, missing, no_database, with_class,
};

pub(crate) fn create(scene: &mut Scene<'_>, name: &str, contained: bool) -> Outcome<()> {
    outside_of_transaction(scene, "CREATE DATABASE")?;
    if !scene.allowed("CREATE ANY DATABASE") {
        return Err(denied_in_database("CREATE DATABASE", "master").into());
    }
    scene.touch(Key::Name(folded(name)))?;
    if scene.world.database(name).is_some() {
        return Err(error(1801, format!("Database '{name}' already exists. Choose a different database name.")).into());
    }
    if contained {
        check_containment(scene)?;
    }
    let id = scene.state.next_database();
    let now = scene.now();
    let owner = scene.me.principal.unwrap_or(SA);
    let mut database = Database::new(id, name, owner, now);
    let owner_sid = scene.world.principals.get(&owner).map(|owner| owner.sid.clone());
    database.users.get_mut(&DBO).expect("every database has one").sid = owner_sid;
    database.contained = contained || scene.is_azure();
    database.grouped = contained && scene.state.options.group.is_some();
    scene.touch(Key::Database(id))?;
    scene.world.databases.insert(id, Arc::new(database));
    Ok(())
}

pub(crate) fn alter(scene: &mut Scene<'_>, name: Option<&str>, change: &DatabaseChange) -> Outcome<()> {
    let current = scene.database().name.clone();
    let name = name.unwrap_or(&current);
    let denied = || {
        error(
            5011,
            format!(
                "User does not have permission to alter database '{name}', the database does not exist, or the database is not in a state that allows access checks."
            ),
        )
    };
    let id = scene.world.database(name).ok_or_else(denied)?.id;
    let database = Arc::clone(&scene.world.databases[&id]);
    if !scene.allowed("ALTER ANY DATABASE") && !scene.allowed_in(&database, "ALTER") {
        return Err(denied().into());
    }
    if id <= 4 && !matches!(change, DatabaseChange::Other) {
        return Err(error(5058, format!("Option cannot be set in database '{name}'.")).into());
    }
    match change {
        DatabaseChange::Containment(contained) => {
            check_containment(scene)?;
            let users = database.users.values().any(|user| user.credentials.is_some());
            if !contained && users {
                // The number and the text are not confirmed by documentation.
                let text =
                    format!("Cannot set the containment of database '{name}' to NONE: it has users with passwords.");
                return Err(error(12809, text).into());
            }
            let grouped = *contained && scene.state.options.group.is_some();
            let database = scene.database_mut(id)?;
            database.contained = *contained;
            database.grouped |= grouped;
        }
        DatabaseChange::ReadOnly(read_only) => {
            scene.touch(Key::Database(id))?;
            Arc::make_mut(scene.world.databases.get_mut(&id).expect("just found")).read_only = *read_only;
        }
        DatabaseChange::Name(name) => {
            if scene.world.database(name).is_some() {
                return Err(error(
                    1801,
                    format!("Database '{name}' already exists. Choose a different database name."),
                )
                .into());
            }
            scene.database_mut(id)?.name.clone_from(name);
        }
        DatabaseChange::Other => {}
    }
    Ok(())
}

pub(crate) fn drop(scene: &mut Scene<'_>, name: &str, if_exists: bool) -> Outcome<()> {
    outside_of_transaction(scene, "DROP DATABASE")?;
    let refused = || {
        with_class(
            3701,
            11,
            format!("Cannot drop the database '{name}', because it does not exist or you do not have permission."),
        )
    };
    let database = match scene.world.database(name) {
        Some(database) => Arc::clone(database),
        None if if_exists => return Ok(()),
        None => return Err(refused().into()),
    };
    if !scene.allowed("ALTER ANY DATABASE") && !scene.allowed_in(&database, "CONTROL") {
        return Err(refused().into());
    }
    if database.id <= 4 {
        return Err(error(3708, format!("Cannot drop the database '{name}' because it is a system database.")).into());
    }
    if scene.state.sessions.values().any(|session| session.database == database.id) {
        return Err(error(3702, format!("Cannot drop database \"{name}\" because it is currently in use.")).into());
    }
    scene.database_mut(database.id)?;
    scene.world.databases.remove(&database.id);
    Ok(())
}

/// ALTER AUTHORIZATION ON DATABASE.
pub(crate) fn set_owner(scene: &mut Scene<'_>, name: &str, owner: &str) -> Outcome<()> {
    let refused = || missing("find", "database", name);
    let database = scene.world.database(name).cloned().ok_or_else(refused)?;
    let login = scene.world.login(owner).ok_or_else(|| missing("find", "principal", owner))?;
    let (id, sid) = (login.id, login.sid.clone());
    let allowed = scene.is_sysadmin()
        || scene.is_server_admin()
        || (scene.allowed_in(&database, "TAKE OWNERSHIP") && scene.me.principal == Some(id));
    if !allowed {
        return Err(refused().into());
    }
    if database.user_of(&sid).is_some_and(|user| user.id != DBO) {
        return Err(
            error(15110, "The proposed new database owner is already a user or aliased in the database.").into()
        );
    }
    let database = scene.database_mut(database.id)?;
    database.owner = id;
    database.users.get_mut(&DBO).expect("every database has one").sid = Some(sid);
    Ok(())
}

/// USE.
pub(crate) fn enter(scene: &mut Scene<'_>, name: &str) -> Outcome<()> {
    let database = scene.world.database(name).cloned().ok_or_else(|| no_database(name))?;
    if scene.is_azure() && database.id != scene.me.database {
        let text = "USE statement is not supported to switch between databases. Use a new connection to connect to a different database.";
        return Err(error(40508, text).into());
    }
    if let Some(barred) = scene.state.bars(&database, scene.me.reads) {
        return Err(barred.into());
    }
    if scene.user_in(&database).is_none() {
        return Err(crate::instance::message::no_access(&scene.me.login, &database.name).into());
    }
    let from = scene.database().name.clone();
    scene.me.database = database.id;
    let to = database.name.clone();
    let text = format!("Changed database context to '{to}'.");
    scene.replies.push(crate::exchange::Reply::Database { from, to });
    scene.replies.push(crate::exchange::Reply::Message(crate::instance::message::info(5701, 1, text)));
    Ok(())
}

pub(crate) fn create_schema(scene: &mut Scene<'_>, name: &str, owner: Option<&str>) -> Outcome<()> {
    let database = scene.database();
    if !scene.allowed_in(&database, "CREATE SCHEMA") {
        return Err(denied_in_database("CREATE SCHEMA", &database.name).into());
    }
    if database.schema(name).is_some() {
        return Err(error(2714, format!("There is already an object named '{name}' in the database.")).into());
    }
    let owner = match owner {
        Some(owner) => database.user(owner).ok_or_else(|| missing("find", "user", owner))?.id,
        None => scene.user_in(&database).unwrap_or(DBO),
    };
    let database = scene.database_mut(database.id)?;
    let id = database.next_schema();
    database.schemas.insert(id, Schema { id, name: name.to_owned(), owner });
    Ok(())
}

pub(crate) fn create_table(scene: &mut Scene<'_>, name: &[String], columns: &[Column]) -> Outcome<()> {
    let (database, schema, table) = place(scene, name)?;
    let owns =
        |schema: &Schema| scene.user_in(&database).is_some_and(|me| database.roles_of(me).contains(&schema.owner));
    let schema = database.schema(&schema).ok_or_else(|| {
        error(
            2760,
            format!(
                "The specified schema name \"{schema}\" either does not exist or you do not have permission to use it."
            ),
        )
    })?;
    if !scene.allowed_in(&database, "CREATE TABLE") {
        return Err(denied_in_database("CREATE TABLE", &database.name).into());
    }
    let may = owns(schema) || scene.allowed_in(&database, "ALTER ANY SCHEMA") || scene.allowed_in(&database, "ALTER");
    if !may {
        let text = format!(
            "The specified schema name \"{}\" either does not exist or you do not have permission to use it.",
            schema.name
        );
        return Err(error(2760, text).into());
    }
    if database.table(&schema.name, &table).is_some() {
        return Err(error(2714, format!("There is already an object named '{table}' in the database.")).into());
    }
    let (schema, created, id) = (schema.id, scene.now(), database.next_table());
    let table = Table { id, name: table, schema, columns: columns.to_vec(), rows: Vec::new(), created };
    scene.database_mut(database.id)?.tables.insert(id, table);
    Ok(())
}

pub(crate) fn drop_table(scene: &mut Scene<'_>, name: &[String], if_exists: bool) -> Outcome<()> {
    let (database, schema, table) = place(scene, name)?;
    let found = match database.table(&schema, &table) {
        Some(found) => found.id,
        None if if_exists => return Ok(()),
        None => {
            let text =
                format!("Cannot drop the table '{table}', because it does not exist or you do not have permission.");
            return Err(with_class(3701, 11, text).into());
        }
    };
    if !scene.allowed_on(&database, "CONTROL", &database.places_of_table(found))
        && !scene.allowed_in(&database, "ALTER ANY SCHEMA")
    {
        let text = format!("Cannot drop the table '{table}', because it does not exist or you do not have permission.");
        return Err(with_class(3701, 11, text).into());
    }
    scene.database_mut(database.id)?.tables.remove(&found);
    Ok(())
}

/// Rows into a table; how many.
pub(crate) fn insert(
    scene: &mut Scene<'_>,
    name: &[String],
    columns: &[String],
    source: &sqlparser::ast::Query,
) -> Outcome<i64> {
    let (database, table) = writable(scene, name, "INSERT")?;
    let rows = query::run(scene, source, None)?.rows;
    let at: Vec<usize> = if columns.is_empty() {
        (0..table.columns.len()).collect()
    } else {
        let find = |name: &String| {
            table.columns.iter().position(|column| same(&column.name, name)).ok_or_else(|| invalid_column(name))
        };
        columns.iter().map(find).collect::<Result<_, Message>>()?
    };
    let mut done = Vec::new();
    for row in rows {
        if row.len() != at.len() {
            return Err(error(213, "Column name or number of supplied values does not match table definition.").into());
        }
        let mut full = vec![Value::Null; table.columns.len()];
        for (at, given) in at.iter().zip(&row) {
            full[*at] = value::to_kind(given, table.columns[*at].kind, 0)?;
        }
        done.push(full);
    }
    let count = i64::try_from(done.len()).expect("few rows");
    let target = scene.database_mut(database.id)?;
    target.tables.get_mut(&table.id).expect("just found").rows.extend(done);
    Ok(count)
}

/// Rows out of a table; how many.
pub(crate) fn delete(scene: &mut Scene<'_>, name: &[String], condition: Option<&sqlparser::ast::Expr>) -> Outcome<i64> {
    let (database, table) = writable(scene, name, "DELETE")?;
    let field = |column: &Column| Field { table: table.name.clone(), name: column.name.clone(), kind: column.kind };
    let fields: Vec<Field> = table.columns.iter().map(field).collect();
    let mut kept = Vec::new();
    for row in &table.rows {
        let scope = Row { fields: &fields, values: row, ..NOWHERE };
        let goes = condition.map_or(Ok(Some(true)), |condition| truth(scene, &scope, condition))?;
        if goes != Some(true) {
            kept.push(row.clone());
        }
    }
    let count = i64::try_from(table.rows.len() - kept.len()).expect("few rows");
    let target = scene.database_mut(database.id)?;
    target.tables.get_mut(&table.id).expect("just found").rows = kept;
    Ok(count)
}

fn writable(scene: &Scene<'_>, name: &[String], permission: &str) -> Result<(Arc<Database>, Table), Stop> {
    let (database, schema, table) = place(scene, name)?;
    let found = database.table(&schema, &table).ok_or_else(|| invalid_object(&name.join(".")))?.clone();
    if !scene.allowed_on(&database, permission, &database.places_of_table(found.id)) {
        return Err(denied_on_object(permission, &table, &database.name, &schema).into());
    }
    Ok((database, found))
}

/// The database, schema and name of a table that is to be changed.
fn place(scene: &Scene<'_>, name: &[String]) -> Result<(Arc<Database>, String, String), Message> {
    let current = scene.database();
    let own = scene.user_in(&current).and_then(|user| current.users.get(&user)?.default_schema.clone());
    let default = own.unwrap_or_else(|| "dbo".to_owned());
    Ok(match name {
        [table] => (current, default, table.clone()),
        [schema, table] => (current, schema.clone(), table.clone()),
        [database, schema, table] => {
            let found = scene.world.database(database).cloned().ok_or_else(|| no_database(database))?;
            if let Some(barred) = scene.state.bars(&found, scene.me.reads) {
                return Err(barred);
            }
            if scene.user_in(&found).is_none() {
                return Err(crate::instance::message::no_access(&scene.me.login, &found.name));
            }
            (found, if schema.is_empty() { default } else { schema.clone() }, table.clone())
        }
        _ => return Err(invalid_object(&name.join("."))),
    })
}

fn check_containment(scene: &Scene<'_>) -> Result<(), Message> {
    if scene.world.settings.in_use("contained database authentication") == 0 {
        let text = "The sp_configure value 'contained database authentication' must be set to 1 in order to create a contained database. You may need to use RECONFIGURE to set the value_in_use.";
        return Err(error(12824, text));
    }
    Ok(())
}

fn outside_of_transaction(scene: &Scene<'_>, statement: &str) -> Result<(), Message> {
    if scene.me.transaction.is_some() || scene.me.flags.implicit_transactions {
        return Err(error(226, format!("{statement} statement not allowed within multi-statement transaction.")));
    }
    Ok(())
}
