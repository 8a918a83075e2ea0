//! Roles of the server and of databases, and their members.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::scene::{Outcome, Scene};
use super::statement::RoleChange;
use crate::instance::catalogue::{Key, PUBLIC, Principal, SA, SYSADMIN, Securable, folded, random_sid};
use crate::instance::database::{self, DBO, OWNERS, User};
use crate::instance::message::{error, missing, no_permission, with_class};

pub(crate) fn create(scene: &mut Scene<'_>, server: bool, name: &str, owner: Option<&str>) -> Outcome<()> {
    if server {
        return create_on_server(scene, name, owner);
    }
    let database = scene.database();
    if !scene.allowed_in(&database, "CREATE ROLE") {
        return Err(no_permission().into());
    }
    if database.user(name).is_some() {
        return Err(exists(name));
    }
    let owner = match owner {
        Some(owner) => database.user(owner).ok_or_else(|| missing("find", "user", owner))?.id,
        None => scene.user_in(&database).unwrap_or(DBO),
    };
    let now = scene.now();
    let target = scene.database_mut(database.id)?;
    let id = target.next_user();
    target.users.insert(id, User { role: true, owner, ..database::user(id, name, now) });
    Ok(())
}

fn create_on_server(scene: &mut Scene<'_>, name: &str, owner: Option<&str>) -> Outcome<()> {
    refuse_in_azure(scene)?;
    if !scene.allowed("CREATE SERVER ROLE") {
        return Err(no_permission().into());
    }
    scene.touch(Key::Name(folded(name)))?;
    if scene.world.principal(name).is_some() {
        return Err(error(15025, format!("The server principal '{name}' already exists.")).into());
    }
    let owner = match owner {
        Some(owner) => scene.world.principal(owner).ok_or_else(|| missing("find", "login", owner))?.id,
        None => scene.me.principal.unwrap_or(SA),
    };
    let id = scene.state.next_principal();
    let now = scene.now();
    scene.touch(Key::Principal(id))?;
    let role = Principal {
        id,
        name: name.to_owned(),
        sid: random_sid(),
        credentials: None,
        fixed: false,
        owner,
        disabled: false,
        default_database: String::new(),
        default_language: String::new(),
        created: now,
        modified: now,
        roles: BTreeSet::new(),
        permissions: Vec::new(),
    };
    scene.world.principals.insert(id, Arc::new(role));
    Ok(())
}

pub(crate) fn alter(scene: &mut Scene<'_>, server: bool, name: &str, change: &RoleChange) -> Outcome<()> {
    if server { alter_on_server(scene, name, change) } else { alter_in_database(scene, name, change) }
}

fn alter_on_server(scene: &mut Scene<'_>, name: &str, change: &RoleChange) -> Outcome<()> {
    let refused = || missing("alter", "server role", name);
    let role = scene.world.principal(name).filter(|role| role.is_role()).cloned().ok_or_else(refused)?;
    if scene.is_azure() && !role.name.starts_with("##MS_") {
        return refuse_in_azure(scene);
    }
    // A fixed role is altered by its members, `sysadmin` by its own only.
    let member = scene.me.principal.is_some_and(|me| scene.world.roles_of(me).contains(&role.id));
    let allowed = scene.is_sysadmin()
        || scene.is_server_admin()
        || (role.fixed && member)
        || (!role.fixed && scene.allowed("ALTER ANY SERVER ROLE"))
        || (!role.fixed && scene.me.principal == Some(role.owner));
    if !allowed || role.id == PUBLIC {
        return Err(refused().into());
    }
    match change {
        RoleChange::Add(member) | RoleChange::Drop(member) => {
            let found = scene.world.principal(member).ok_or_else(|| missing("add", "server principal", member))?.id;
            if found == SA && role.id == SYSADMIN {
                return Err(with_class(15405, 11, "Cannot use the special principal 'sa'.").into());
            }
            let nested = scene.world.roles_of(role.id).contains(&found);
            let member = scene.principal_mut(found)?;
            if matches!(change, RoleChange::Drop(_)) {
                member.roles.remove(&role.id);
            } else if nested {
                return Err(with_class(15413, 11, "Cannot make a role a member of itself.").into());
            } else {
                member.roles.insert(role.id);
            }
        }
        RoleChange::Name(_) if role.fixed => return Err(refused().into()),
        RoleChange::Name(name) => scene.principal_mut(role.id)?.name.clone_from(name),
    }
    Ok(())
}

fn alter_in_database(scene: &mut Scene<'_>, name: &str, change: &RoleChange) -> Outcome<()> {
    let refused = || missing("alter", "role", name);
    let database = scene.database();
    let role = database.user(name).filter(|role| role.role).ok_or_else(refused)?;
    let places = [Securable::Principal(role.id), Securable::All];
    let allowed = if role.fixed {
        scene.user_in(&database).is_some_and(|me| me == DBO || database.roles_of(me).contains(&OWNERS))
    } else {
        scene.allowed_in(&database, "ALTER ANY ROLE")
            || scene.allowed_on(&database, "ALTER", &places)
            || scene.user_in(&database) == Some(role.owner)
    };
    if !allowed || role.id == database::PUBLIC {
        return Err(refused().into());
    }
    match change {
        RoleChange::Add(member) | RoleChange::Drop(member) => {
            let found = database.user(member).ok_or_else(|| missing("add", "principal", member))?;
            if found.id == DBO {
                return Err(with_class(15405, 11, format!("Cannot use the special principal '{}'.", found.name)).into());
            }
            if matches!(change, RoleChange::Add(_)) && database.roles_of(role.id).contains(&found.id) {
                return Err(with_class(15413, 11, "Cannot make a role a member of itself.").into());
            }
            let (member, role) = (found.id, role.id);
            let user = scene.database_mut(database.id)?.users.get_mut(&member).expect("just found");
            if matches!(change, RoleChange::Drop(_)) {
                user.roles.remove(&role);
            } else {
                user.roles.insert(role);
            }
        }
        RoleChange::Name(_) if role.fixed => return Err(refused().into()),
        RoleChange::Name(name) => {
            let id = role.id;
            if database.user(name).is_some() {
                return Err(exists(name));
            }
            scene.database_mut(database.id)?.users.get_mut(&id).expect("just found").name.clone_from(name);
        }
    }
    Ok(())
}

pub(crate) fn drop(scene: &mut Scene<'_>, server: bool, name: &str, if_exists: bool) -> Outcome<()> {
    let members = || error(15144, "The role has members. It must be empty before it can be dropped.");
    if server {
        refuse_in_azure(scene)?;
        let refused = || missing("drop", "server role", name);
        let role =
            scene.world.principal(name).filter(|role| role.is_role() && !role.fixed).cloned().ok_or_else(refused)?;
        let allowed = scene.allowed("ALTER ANY SERVER ROLE") || scene.me.principal == Some(role.owner);
        if !allowed || role.id == PUBLIC {
            return Err(refused().into());
        }
        if scene.world.principals.values().any(|member| member.roles.contains(&role.id)) {
            return Err(members().into());
        }
        scene.touch(Key::Principal(role.id))?;
        scene.world.principals.remove(&role.id);
        return Ok(());
    }
    let database = scene.database();
    let refused = || missing("drop", "role", name);
    let role = match database.user(name).filter(|role| role.role) {
        Some(role) => role,
        None if if_exists => return Ok(()),
        None => return Err(refused().into()),
    };
    if role.fixed || role.id == database::PUBLIC || !scene.allowed_in(&database, "ALTER ANY ROLE") {
        return Err(refused().into());
    }
    if database.users.values().any(|member| member.roles.contains(&role.id)) {
        return Err(members().into());
    }
    let id = role.id;
    scene.database_mut(database.id)?.users.remove(&id);
    Ok(())
}

fn exists(name: &str) -> super::scene::Stop {
    error(15023, format!("User, group, or role '{name}' already exists in the current database.")).into()
}

fn refuse_in_azure(scene: &Scene<'_>) -> Outcome<()> {
    if !scene.is_azure() {
        return Ok(());
    }
    let text = "Keyword or statement option 'server role' is not supported in this version of SQL Server.";
    Err(error(40517, text).into())
}
