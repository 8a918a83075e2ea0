//! Views of one database: its principals, permissions, schemas and tables.

use super::super::relation::Relation;
use super::super::scene::Scene;
use super::{permission_type, state, text};
use crate::exchange::{Kind, Message, Value};
use crate::instance::catalogue::{Securable, text_or_null};
use crate::instance::database::{Database, GUEST, OWNERS, User};

pub(super) fn open(scene: &Scene<'_>, database: &Database, name: &str) -> Option<Result<Relation, Message>> {
    Some(Ok(match name {
        "database_principals" => principals(scene, database),
        "database_role_members" => role_members(scene, database),
        "database_permissions" => permissions(scene, database),
        "schemas" => {
            let mut found =
                Relation::new(&[("name", Kind::Text), ("schema_id", Kind::Int), ("principal_id", Kind::Int)]);
            let row = |schema: &crate::instance::database::Schema| {
                vec![text(&schema.name), Value::Int(schema.id), Value::Int(schema.owner)]
            };
            found.rows.extend(database.schemas.values().map(row));
            found
        }
        "objects" | "tables" => tables(scene, database),
        _ => return None,
    }))
}

fn sees(scene: &Scene<'_>, database: &Database, user: &User) -> bool {
    let everyones = user.fixed || user.id <= 4 || user.id == GUEST || user.id >= OWNERS;
    let places = [Securable::Principal(user.id), Securable::All];
    everyones
        || scene.user_in(database) == Some(user.id)
        || scene.allowed_on(database, "VIEW DEFINITION", &places)
        || scene.allowed_in(database, if user.role { "ALTER ANY ROLE" } else { "ALTER ANY USER" })
        || scene.allowed("VIEW ANY DEFINITION")
        || scene.user_in(database).is_some_and(|me| database.roles_of(me).contains(&user.id))
}

fn principals(scene: &Scene<'_>, database: &Database) -> Relation {
    let mut found = Relation::new(&[
        ("name", Kind::Text),
        ("principal_id", Kind::Int),
        ("type", Kind::Text),
        ("type_desc", Kind::Text),
        ("default_schema_name", Kind::Text),
        ("create_date", Kind::DateTime),
        ("modify_date", Kind::DateTime),
        ("owning_principal_id", Kind::Int),
        ("sid", Kind::Binary),
        ("is_fixed_role", Kind::Bit),
        ("authentication_type", Kind::Int),
        ("authentication_type_desc", Kind::Text),
        ("default_language_name", Kind::Text),
    ]);
    for user in database.users.values().filter(|user| sees(scene, database, user)) {
        let (authentication, described) = match (&user.credentials, user.mapped) {
            (Some(_), _) => (2, "DATABASE"),
            (None, true) => (1, "INSTANCE"),
            (None, false) => (0, "NONE"),
        };
        found.rows.push(vec![
            text(&user.name),
            Value::Int(user.id),
            text(if user.role { "R" } else { "S" }),
            text(if user.role { "DATABASE_ROLE" } else { "SQL_USER" }),
            text_or_null(user.default_schema.as_deref()),
            Value::DateTime(user.created),
            Value::DateTime(user.modified),
            if user.role { Value::Int(user.owner) } else { Value::Null },
            user.sid.clone().map_or(Value::Null, Value::Binary),
            Value::Bit(user.fixed),
            Value::Int(authentication),
            text(described),
            Value::Null,
        ]);
    }
    found
}

fn role_members(scene: &Scene<'_>, database: &Database) -> Relation {
    let mut found = Relation::new(&[("role_principal_id", Kind::Int), ("member_principal_id", Kind::Int)]);
    for user in database.users.values().filter(|user| sees(scene, database, user)) {
        found.rows.extend(user.roles.iter().map(|role| vec![Value::Int(*role), Value::Int(user.id)]));
    }
    found
}

fn permissions(scene: &Scene<'_>, database: &Database) -> Relation {
    let mut found = Relation::new(&[
        ("class", Kind::TinyInt),
        ("class_desc", Kind::Text),
        ("major_id", Kind::Int),
        ("minor_id", Kind::Int),
        ("grantee_principal_id", Kind::Int),
        ("grantor_principal_id", Kind::Int),
        ("type", Kind::Text),
        ("permission_name", Kind::Text),
        ("state", Kind::Text),
        ("state_desc", Kind::Text),
    ]);
    for user in database.users.values().filter(|user| sees(scene, database, user)) {
        for given in &user.permissions {
            let (class, described, major) = match given.on {
                Securable::All => (0, "DATABASE", 0),
                Securable::Object(id) => (1, "OBJECT_OR_COLUMN", id),
                Securable::Schema(id) => (3, "SCHEMA", id),
                Securable::Principal(id) => (4, "DATABASE_PRINCIPAL", id),
            };
            let mut row = vec![Value::TinyInt(class), text(described), Value::Int(major), Value::Int(0)];
            row.extend([Value::Int(user.id), Value::Int(given.grantor)]);
            row.extend([text(&permission_type(&given.name)), text(&given.name)]);
            row.extend(state(given.state));
            found.rows.push(row);
        }
    }
    found
}

fn tables(scene: &Scene<'_>, database: &Database) -> Relation {
    let mut found = Relation::new(&[
        ("name", Kind::Text),
        ("object_id", Kind::Int),
        ("principal_id", Kind::Int),
        ("schema_id", Kind::Int),
        ("type", Kind::Text),
        ("type_desc", Kind::Text),
        ("create_date", Kind::DateTime),
    ]);
    for table in database.tables.values() {
        let places = database.places_of_table(table.id);
        let seen = ["SELECT", "VIEW DEFINITION", "ALTER"]
            .iter()
            .any(|permission| scene.allowed_on(database, permission, &places));
        if seen {
            let mut row = vec![text(&table.name), Value::Int(table.id), Value::Null, Value::Int(table.schema)];
            row.extend([text("U "), text("USER_TABLE"), Value::DateTime(table.created)]);
            found.rows.push(row);
        }
    }
    found
}
