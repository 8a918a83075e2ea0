//! GRANT, DENY and REVOKE.

use super::scene::{Outcome, Scene};
use super::statement::{PermissionChange, Verb};
use crate::exchange::Message;
use crate::instance::access;
use crate::instance::catalogue::{Grant, Permission, SA, Securable};
use crate::instance::database::{DBO, Database, OWNERS};
use crate::instance::message::{error, invalid_object, missing, no_permission, syntax, with_class};

pub(crate) fn change(scene: &mut Scene<'_>, change: &PermissionChange) -> Outcome<()> {
    let version = scene.state.options.version;
    let on_server = match &change.on {
        None => change
            .names
            .iter()
            .all(|name| access::is_server_permission(version, name) && !access::is_database_permission(version, name)),
        Some((class, _)) => matches!(class.as_str(), "LOGIN" | "SERVER ROLE"),
    };
    for name in &change.names {
        let known = access::is_server_permission(version, name) || access::is_database_permission(version, name);
        if !known && name != "ALL" {
            return Err(syntax(name).into());
        }
    }
    if on_server { change_on_server(scene, change) } else { change_in_database(scene, change) }
}

fn change_on_server(scene: &mut Scene<'_>, change: &PermissionChange) -> Outcome<()> {
    if scene.is_azure() {
        let text = "Securable class 'server' not supported in this version of SQL Server.";
        return Err(error(40520, text).into());
    }
    if scene.database().id != 1 {
        return Err(error(
            4621,
            "Permissions at the server scope can only be granted when the current database is master",
        )
        .into());
    }
    let on = match &change.on {
        None => Securable::All,
        Some((_, name)) => {
            let name = name.first().map(String::as_str).unwrap_or_default();
            Securable::Principal(scene.world.principal(name).ok_or_else(|| missing("find", "login", name))?.id)
        }
    };
    for grantee in &change.to {
        let target = scene.world.principal(grantee).ok_or_else(|| missing("find", "login", grantee))?;
        let (id, fixed) = (target.id, target.fixed && target.is_role());
        if id == SA || fixed || scene.me.principal == Some(id) {
            return Err(not_to(grantee).into());
        }
        for name in &change.names {
            let held = scene.allowed("CONTROL SERVER")
                || (scene.is_member("securityadmin") && on == Securable::All && name != "CONTROL SERVER")
                || scene
                    .me
                    .principal
                    .is_some_and(|me| may_pass_on(&scene.world.principals[&me].permissions, name, &on));
            if !held {
                return Err(error(4613, "Grantor does not have GRANT permission.").into());
            }
        }
        // Who holds everything speaks for `sa`. That others speak for themselves is not confirmed by documentation.
        let grantor = scene.me.principal.filter(|_| !scene.allowed("CONTROL SERVER")).unwrap_or(SA);
        let target = scene.principal_mut(id)?;
        apply(&mut target.permissions, change, &on, grantor);
    }
    Ok(())
}

fn change_in_database(scene: &mut Scene<'_>, change: &PermissionChange) -> Outcome<()> {
    let database = scene.database();
    // "The VIEW DATABASE STATE permission cannot be granted in the master database" (Azure SQL Database). That this holds for its
    // parts as well, and the number, are not confirmed by documentation; the text is that of 4606.
    let of_state = |name: &&String| name.starts_with("VIEW DATABASE ") && name.ends_with("STATE");
    if let Some(name) = change.names.iter().find(of_state).filter(|_| scene.is_azure() && database.id == 1) {
        return Err(error(4606, format!("Granted or revoked privilege {name} is not compatible with object.")).into());
    }
    let on = securable(scene, &database, change)?;
    let me = scene.user_in(&database).unwrap_or(DBO);
    let grantor = match &change.by {
        Some(name) => in_name_of(scene, &database, me, name)?,
        // What its owners give is given by `dbo`.
        None if database.roles_of(me).contains(&OWNERS) => DBO,
        None => me,
    };
    let may = change.names.iter().all(|name| may_grant(scene, &database, grantor, name, &on));
    for grantee in &change.to {
        let id = database.user(grantee).ok_or_else(|| missing("find", "user", grantee))?.id;
        if !may {
            return Err(no_permission_to(&on, change).into());
        }
        if id == DBO || id == me || database.users[&id].fixed {
            return Err(not_to(grantee).into());
        }
        let target = scene.database_mut(database.id)?;
        let user = target.users.get_mut(&id).expect("just found");
        apply(&mut user.permissions, change, &on, grantor);
    }
    Ok(())
}

/// "The grantor must have either the permission itself with GRANT OPTION, or a higher permission that implies" it, which is
/// CONTROL here. Of the fixed roles `db_securityadmin` manages permissions, and `db_accessadmin` has CONNECT with the option
/// ("Permissions of Fixed Database Roles").
fn may_grant(scene: &Scene<'_>, database: &Database, grantor: i32, name: &str, on: &Securable) -> bool {
    let roles = database.roles_of(grantor);
    let fixed = |role: &str| {
        let members = database.users.values().find(|user| user.fixed && user.name == role);
        members.is_some_and(|role| roles.contains(&role.id))
    };
    let session = scene.user_in(database) == Some(grantor) && scene.allowed_in(database, "CONTROL");
    session
        || database.allows(grantor, "CONTROL")
        || fixed("db_securityadmin")
        || (name == "CONNECT" && *on == Securable::All && fixed("db_accessadmin"))
        || database.users.get(&grantor).is_some_and(|user| may_pass_on(&user.permissions, name, on))
}

/// `AS`: for a user with IMPERSONATE on it, for a role with ALTER on it, or as one of those who manage permissions.
fn in_name_of(scene: &Scene<'_>, database: &Database, me: i32, name: &str) -> Result<i32, Message> {
    let refused = || missing("find", "principal", name);
    let principal = database.user(name).ok_or_else(refused)?;
    let places = [Securable::Principal(principal.id), Securable::All];
    let needed = if principal.role { "ALTER" } else { "IMPERSONATE" };
    let managers = database.user("db_securityadmin").map(|role| role.id);
    let manages = managers.is_some_and(|role| database.roles_of(me).contains(&role));
    let may = manages || principal.id == me || scene.allowed_on(database, needed, &places);
    may.then_some(principal.id).ok_or_else(refused)
}

fn securable(scene: &Scene<'_>, database: &Database, change: &PermissionChange) -> Result<Securable, Message> {
    let Some((class, parts)) = &change.on else { return Ok(Securable::All) };
    let name = parts.last().map(String::as_str).unwrap_or_default();
    match class.as_str() {
        "DATABASE" => {
            let found = scene.world.database(name).ok_or_else(|| missing("find", "database", name))?;
            if found.id == database.id {
                Ok(Securable::All)
            } else {
                Err(error(
                    15250,
                    "The database name component of the object qualifier must be the name of the current database.",
                ))
            }
        }
        "SCHEMA" => {
            let found = database.schema(name).ok_or_else(|| missing("find", "schema", name))?;
            Ok(Securable::Schema(found.id))
        }
        "USER" | "ROLE" => {
            let found = database.user(name).ok_or_else(|| missing("find", "user", name))?;
            Ok(Securable::Principal(found.id))
        }
        _ => {
            let schema = parts.len().checked_sub(2).map_or("dbo", |at| parts[at].as_str());
            let found = database.table(schema, name).ok_or_else(|| {
                if parts.len() > 3 { invalid_object(&parts.join(".")) } else { missing("find", "object", name) }
            })?;
            Ok(Securable::Object(found.id))
        }
    }
}

/// Each grantor's word stands for itself: a REVOKE takes back what the same one granted or denied, and no other's
/// (`grantor_principal_id` is part of what identifies a permission).
fn apply(permissions: &mut Vec<Permission>, change: &PermissionChange, on: &Securable, grantor: i32) {
    for name in &change.names {
        let same = |given: &Permission| given.name == *name && given.on == *on && given.grantor == grantor;
        if change.option_only {
            for given in permissions.iter_mut().filter(|given| same(given) && given.state == Grant::WithOption) {
                given.state = Grant::Granted;
            }
            continue;
        }
        permissions.retain(|given| !same(given));
        let state = match change.verb {
            Verb::Revoke => continue,
            Verb::Deny => Grant::Deny,
            Verb::Grant if change.with_option => Grant::WithOption,
            Verb::Grant => Grant::Granted,
        };
        permissions.push(Permission { name: name.clone(), on: on.clone(), state, grantor });
    }
}

fn may_pass_on(permissions: &[Permission], name: &str, on: &Securable) -> bool {
    permissions.iter().any(|given| given.name == name && given.on == *on && given.state == Grant::WithOption)
}

fn not_to(_grantee: &str) -> Message {
    error(
        4624,
        "Cannot grant, deny, or revoke permissions to sa, dbo, entity owner, information_schema, sys, or yourself.",
    )
}

fn no_permission_to(on: &Securable, change: &PermissionChange) -> Message {
    match (on, &change.on) {
        (Securable::All, _) => no_permission(),
        (_, Some((class, name))) => {
            let name = name.last().map(String::as_str).unwrap_or_default();
            missing("find", &class.to_lowercase(), name)
        }
        (_, None) => with_class(15247, 16, "User does not have permission to perform this action."),
    }
}

impl Scene<'_> {
    /// Whether this session's login is a member of a server role.
    fn is_member(&self, role: &str) -> bool {
        let role = self.world.principal(role).map(|role| role.id);
        self.me.principal.is_some_and(|me| role.is_some_and(|role| self.world.roles_of(me).contains(&role)))
    }
}
