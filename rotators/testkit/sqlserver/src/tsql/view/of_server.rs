//! Views of the server: principals, permissions, databases, settings.

use super::super::login::manages_logins;
use super::super::property::{COLLATION, may_see_hashes};
use super::super::relation::Relation;
use super::super::scene::Scene;
use super::{permission_type, state, text};
use crate::exchange::{Kind, Message, Value};
use crate::instance::catalogue::{PUBLIC, Principal, SA, Securable};
use crate::instance::message::invalid_object;

pub(super) fn open(scene: &Scene<'_>, name: &str) -> Option<Result<Relation, Message>> {
    Some(Ok(match name {
        "server_principals" => principals(scene),
        // Azure has them in `master` only. That it is 208 elsewhere is not confirmed by documentation.
        "sql_logins" if scene.is_azure() && scene.me.database != 1 => {
            return Some(Err(invalid_object("sys.sql_logins")));
        }
        "sql_logins" => logins(scene),
        // "Applies to: SQL Server, Azure SQL Managed Instance".
        "server_permissions" if scene.is_azure() => return Some(Err(invalid_object("sys.server_permissions"))),
        "server_role_members" => role_members(scene),
        "server_permissions" => permissions(scene),
        "databases" => databases(scene),
        "configurations" => settings(scene),
        "credentials" => {
            Relation::new(&[("credential_id", Kind::Int), ("name", Kind::Text), ("credential_identity", Kind::Text)])
        }
        "dm_os_sys_info" => {
            let mut found = Relation::new(&[("cpu_count", Kind::Int), ("sqlserver_start_time", Kind::DateTime)]);
            found.rows.push(vec![Value::Int(2), Value::DateTime(scene.world.principals[&SA].created)]);
            found
        }
        "dm_server_services" => Relation::new(&[("servicename", Kind::Text), ("status_desc", Kind::Text)]),
        "servers" => {
            let mut found = Relation::new(&[("server_id", Kind::Int), ("name", Kind::Text), ("is_linked", Kind::Bit)]);
            found.rows.push(vec![Value::Int(0), text(&scene.state.options.server_name), Value::Bit(false)]);
            found
        }
        _ => return None,
    }))
}

/// Oneself, what every server has, and what one has a permission on.
fn sees(scene: &Scene<'_>, principal: &Principal) -> bool {
    let everyones = principal.id == SA || principal.id == PUBLIC || principal.fixed && principal.is_role();
    everyones
        || scene.me.principal == Some(principal.id)
        || scene.allowed_to("VIEW DEFINITION", principal.id)
        || scene.allowed_to("ALTER", principal.id)
        || manages_logins(scene)
        || (principal.is_role()
            && scene.me.principal.is_some_and(|me| scene.world.roles_of(me).contains(&principal.id)))
}

const PRINCIPAL: [(&str, Kind); 11] = [
    ("name", Kind::Text),
    ("principal_id", Kind::Int),
    ("sid", Kind::Binary),
    ("type", Kind::Text),
    ("type_desc", Kind::Text),
    ("is_disabled", Kind::Bit),
    ("create_date", Kind::DateTime),
    ("modify_date", Kind::DateTime),
    ("default_database_name", Kind::Text),
    ("default_language_name", Kind::Text),
    ("credential_id", Kind::Int),
];

fn principal(principal: &Principal) -> Vec<Value> {
    let role = principal.is_role();
    let of_login = |value: &str| if role { Value::Null } else { text(value) };
    vec![
        text(&principal.name),
        Value::Int(principal.id),
        Value::Binary(principal.sid.clone()),
        text(if role { "R" } else { "S" }),
        text(if role { "SERVER_ROLE" } else { "SQL_LOGIN" }),
        Value::Bit(principal.disabled),
        Value::DateTime(principal.created),
        Value::DateTime(principal.modified),
        of_login(&principal.default_database),
        of_login(&principal.default_language),
        Value::Null,
    ]
}

fn principals(scene: &Scene<'_>) -> Relation {
    let further = [("owning_principal_id", Kind::Int), ("is_fixed_role", Kind::Bit)];
    let mut found = Relation::new(&[&PRINCIPAL[..], &further].concat());
    for each in scene.world.principals.values().filter(|each| sees(scene, each)) {
        let mut row = principal(each);
        row.push(if each.is_role() { Value::Int(each.owner) } else { Value::Null });
        row.push(Value::Bit(each.is_role() && each.fixed));
        found.rows.push(row);
    }
    found
}

fn logins(scene: &Scene<'_>) -> Relation {
    let further =
        [("is_policy_checked", Kind::Bit), ("is_expiration_checked", Kind::Bit), ("password_hash", Kind::Binary)];
    let mut found = Relation::new(&[&PRINCIPAL[..], &further].concat());
    let hashes = may_see_hashes(scene);
    for each in scene.world.principals.values().filter(|each| sees(scene, each)) {
        let Some(credentials) = &each.credentials else { continue };
        let mut row = principal(each);
        row.push(Value::Bit(credentials.policy));
        row.push(Value::Bit(credentials.expiration));
        row.push(if hashes { Value::Binary(credentials.hash.clone()) } else { Value::Null });
        found.rows.push(row);
    }
    found
}

fn role_members(scene: &Scene<'_>) -> Relation {
    let mut found = Relation::new(&[("role_principal_id", Kind::Int), ("member_principal_id", Kind::Int)]);
    for each in scene.world.principals.values().filter(|each| sees(scene, each)) {
        found.rows.extend(each.roles.iter().map(|role| vec![Value::Int(*role), Value::Int(each.id)]));
    }
    found.rows.sort_by_key(|row| format!("{row:?}"));
    found
}

fn permissions(scene: &Scene<'_>) -> Relation {
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
    for each in scene.world.principals.values().filter(|each| sees(scene, each)) {
        for given in &each.permissions {
            let (class, described, major) = match given.on {
                Securable::Principal(id) => (101, "SERVER_PRINCIPAL", id),
                Securable::All | Securable::Schema(_) | Securable::Object(_) => (100, "SERVER", 0),
            };
            let mut row = vec![Value::TinyInt(class), text(described), Value::Int(major), Value::Int(0)];
            row.extend([Value::Int(each.id), Value::Int(given.grantor)]);
            row.extend([text(&permission_type(&given.name)), text(&given.name)]);
            row.extend(state(given.state));
            found.rows.push(row);
        }
    }
    found
}

fn databases(scene: &Scene<'_>) -> Relation {
    let mut found = Relation::new(&[
        ("name", Kind::Text),
        ("database_id", Kind::Int),
        ("owner_sid", Kind::Binary),
        ("create_date", Kind::DateTime),
        ("compatibility_level", Kind::TinyInt),
        ("collation_name", Kind::Text),
        ("user_access_desc", Kind::Text),
        ("is_read_only", Kind::Bit),
        ("state", Kind::TinyInt),
        ("state_desc", Kind::Text),
        ("recovery_model_desc", Kind::Text),
        ("containment", Kind::TinyInt),
        ("containment_desc", Kind::Text),
        ("replica_id", Kind::Text),
        ("group_database_id", Kind::Text),
        ("source_database_id", Kind::Int),
    ]);
    let all = scene.allowed("VIEW ANY DATABASE");
    for each in scene.world.databases.values() {
        let visible = all && !scene.is_azure() || each.id <= 2 || scene.user_in(each).is_some();
        if !visible {
            continue;
        }
        let owner =
            scene.world.principals.get(&each.owner).map_or(Value::Null, |owner| Value::Binary(owner.sid.clone()));
        let grouped = |id: &str| if each.grouped { text(id) } else { Value::Null };
        found.rows.push(vec![
            text(&each.name),
            Value::Int(each.id),
            owner,
            Value::DateTime(each.created),
            Value::TinyInt(160),
            text(COLLATION),
            text("MULTI_USER"),
            Value::Bit(each.read_only),
            Value::TinyInt(0),
            text("ONLINE"),
            text("FULL"),
            Value::TinyInt(u8::from(each.contained)),
            text(if each.contained { "PARTIAL" } else { "NONE" }),
            grouped("00000000-0000-0000-0000-000000000001"),
            grouped("00000000-0000-0000-0000-000000000002"),
            Value::Null,
        ]);
    }
    found
}

fn settings(scene: &Scene<'_>) -> Relation {
    let mut found = Relation::new(&[
        ("configuration_id", Kind::Int),
        ("name", Kind::Text),
        ("value", Kind::Int),
        ("minimum", Kind::Int),
        ("maximum", Kind::Int),
        ("value_in_use", Kind::Int),
        ("description", Kind::Text),
        ("is_dynamic", Kind::Bit),
        ("is_advanced", Kind::Bit),
    ]);
    for (id, (name, (value, used))) in (101..).zip(&scene.world.settings.named) {
        let mut row = vec![Value::Int(id), text(name), Value::Int(*value), Value::Int(0), Value::Int(32767)];
        row.extend([Value::Int(*used), text(name), Value::Bit(true), Value::Bit(false)]);
        found.rows.push(row);
    }
    found
}
