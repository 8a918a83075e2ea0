//! Who may do what: effective permissions on the server and in a database. A DENY on any way outweighs grants, but not
//! for `sysadmin`, nor for the owner of a database.

use std::collections::BTreeSet;

use super::Version;
use super::catalogue::{Grant, PUBLIC, Permission, SA, SYSADMIN, Securable, World};
use super::database::{self, DBO, Database, GUEST, OWNERS, User};

/// Permissions of the server with those that hold them too.
const SERVER: [(&str, &[&str]); 25] = [
    ("ALTER ANY CONNECTION", &["CONTROL SERVER"]),
    ("ALTER ANY CREDENTIAL", &["CONTROL SERVER"]),
    ("ALTER ANY DATABASE", &["CONTROL SERVER"]),
    ("ALTER ANY LOGIN", &["CONTROL SERVER"]),
    ("ALTER ANY SERVER ROLE", &["CONTROL SERVER"]),
    ("ALTER SERVER STATE", &["CONTROL SERVER"]),
    ("ALTER SETTINGS", &["CONTROL SERVER"]),
    ("CONNECT ANY DATABASE", &["CONTROL SERVER"]),
    ("CONNECT SQL", &["CONTROL SERVER"]),
    ("CONTROL SERVER", &[]),
    ("CREATE ANY DATABASE", &["ALTER ANY DATABASE"]),
    ("CREATE LOGIN", &["ALTER ANY LOGIN"]),
    ("CREATE SERVER ROLE", &["ALTER ANY SERVER ROLE"]),
    ("IMPERSONATE ANY LOGIN", &["CONTROL SERVER"]),
    ("SELECT ALL USER SECURABLES", &["CONTROL SERVER"]),
    ("SHUTDOWN", &["CONTROL SERVER"]),
    ("VIEW ANY CRYPTOGRAPHICALLY SECURED DEFINITION", &["CONTROL SERVER"]),
    ("VIEW ANY DATABASE", &["VIEW ANY DEFINITION", "ALTER ANY DATABASE"]),
    ("VIEW ANY DEFINITION", &["CONTROL SERVER"]),
    ("VIEW ANY PERFORMANCE DEFINITION", &["VIEW ANY DEFINITION"]),
    ("VIEW ANY SECURITY DEFINITION", &["VIEW ANY DEFINITION", "VIEW ANY CRYPTOGRAPHICALLY SECURED DEFINITION"]),
    ("VIEW SERVER PERFORMANCE STATE", &["VIEW SERVER STATE"]),
    ("VIEW SERVER SECURITY AUDIT", &["CONTROL SERVER"]),
    ("VIEW SERVER SECURITY STATE", &["VIEW SERVER STATE"]),
    ("VIEW SERVER STATE", &["ALTER SERVER STATE"]),
];

/// What the fixed server roles hold.
const SERVER_ROLES: [(&str, &[&str]); 15] = [
    ("public", &["VIEW ANY DATABASE"]),
    ("securityadmin", &["ALTER ANY LOGIN"]),
    ("serveradmin", &["ALTER SERVER STATE", "ALTER SETTINGS", "SHUTDOWN", "VIEW SERVER STATE"]),
    ("processadmin", &["ALTER ANY CONNECTION", "ALTER SERVER STATE"]),
    ("dbcreator", &["ALTER ANY DATABASE", "CREATE ANY DATABASE"]),
    ("setupadmin", &[]),
    ("##MS_DatabaseConnector##", &["CONNECT ANY DATABASE"]),
    ("##MS_DatabaseManager##", &["ALTER ANY DATABASE", "CREATE ANY DATABASE"]),
    ("##MS_DefinitionReader##", &["VIEW ANY DATABASE", "VIEW ANY DEFINITION", "VIEW ANY SECURITY DEFINITION"]),
    ("##MS_LoginManager##", &["ALTER ANY LOGIN", "CREATE LOGIN"]),
    ("##MS_SecurityDefinitionReader##", &["VIEW ANY SECURITY DEFINITION"]),
    ("##MS_ServerPerformanceStateReader##", &["VIEW SERVER PERFORMANCE STATE"]),
    ("##MS_ServerStateManager##", &["ALTER SERVER STATE", "VIEW SERVER STATE"]),
    ("##MS_ServerStateReader##", &["VIEW SERVER STATE", "VIEW SERVER SECURITY STATE"]),
    ("##MS_PerformanceDefinitionReader##", &["VIEW ANY PERFORMANCE DEFINITION"]),
];

/// Permissions of a database with those that hold them too. CONTROL holds all.
const DATABASE: [(&str, &[&str]); 24] = [
    ("ALTER", &[]),
    ("ALTER ANY ROLE", &["ALTER"]),
    ("ALTER ANY SCHEMA", &["ALTER"]),
    ("ALTER ANY USER", &["ALTER"]),
    ("CONNECT", &[]),
    ("CONTROL", &[]),
    ("CREATE ROLE", &["ALTER ANY ROLE"]),
    ("CREATE SCHEMA", &["ALTER ANY SCHEMA"]),
    ("CREATE TABLE", &["ALTER"]),
    ("CREATE USER", &["ALTER ANY USER"]),
    ("DELETE", &[]),
    ("EXECUTE", &[]),
    ("INSERT", &[]),
    ("KILL DATABASE CONNECTION", &[]),
    ("REFERENCES", &[]),
    ("SELECT", &[]),
    ("TAKE OWNERSHIP", &[]),
    ("UPDATE", &[]),
    ("VIEW DATABASE PERFORMANCE STATE", &["VIEW DATABASE STATE"]),
    ("VIEW DATABASE SECURITY STATE", &["VIEW DATABASE STATE"]),
    ("VIEW DATABASE STATE", &[]),
    ("VIEW DEFINITION", &[]),
    ("IMPERSONATE", &[]),
    ("CREATE VIEW", &["ALTER"]),
];

/// What the fixed database roles hold.
const DATABASE_ROLES: [(&str, &[&str]); 6] = [
    ("db_owner", &["CONTROL"]),
    ("db_accessadmin", &["ALTER ANY USER", "CREATE SCHEMA", "CONNECT"]),
    ("db_securityadmin", &["ALTER ANY ROLE", "CREATE SCHEMA", "VIEW DEFINITION"]),
    ("db_ddladmin", &["CREATE TABLE", "CREATE SCHEMA", "ALTER ANY SCHEMA", "CREATE VIEW"]),
    ("db_datareader", &["SELECT"]),
    ("db_datawriter", &["INSERT", "UPDATE", "DELETE"]),
];

/// Permissions that came with SQL Server 2022 ("Permissions (Database Engine)"), and are in Azure SQL Database.
const SINCE_2022: [&str; 10] = [
    "CREATE LOGIN",
    "CREATE USER",
    "VIEW ANY CRYPTOGRAPHICALLY SECURED DEFINITION",
    "VIEW ANY PERFORMANCE DEFINITION",
    "VIEW ANY SECURITY DEFINITION",
    "VIEW DATABASE PERFORMANCE STATE",
    "VIEW DATABASE SECURITY STATE",
    "VIEW SERVER PERFORMANCE STATE",
    "VIEW SERVER SECURITY AUDIT",
    "VIEW SERVER SECURITY STATE",
];

pub(crate) fn is_server_permission(version: Version, name: &str) -> bool {
    is_there(version, name) && SERVER.iter().any(|(known, _)| *known == name)
}

pub(crate) fn is_database_permission(version: Version, name: &str) -> bool {
    is_there(version, name) && DATABASE.iter().any(|(known, _)| *known == name)
}

fn is_there(version: Version, name: &str) -> bool {
    version >= Version::V2022 || !SINCE_2022.contains(&name)
}

impl World {
    /// A principal with its roles, theirs, and `public`.
    pub(crate) fn roles_of(&self, principal: i32) -> BTreeSet<i32> {
        let mut found = BTreeSet::from([principal, PUBLIC]);
        let mut open = vec![principal];
        while let Some(principal) = open.pop().and_then(|id| self.principals.get(&id)) {
            open.extend(principal.roles.iter().filter(|role| found.insert(**role)));
        }
        found
    }

    pub(crate) fn is_sysadmin(&self, principal: i32) -> bool {
        self.roles_of(principal).contains(&SYSADMIN)
    }

    /// Whether a login holds a permission on the server.
    pub(crate) fn allows(&self, principal: i32, permission: &str) -> bool {
        self.allows_on(principal, permission, &Securable::All)
    }

    /// Whether a login may do `permission` (ALTER, VIEW DEFINITION, CONTROL, IMPERSONATE) to another login or a role.
    pub(crate) fn allows_to(&self, principal: i32, permission: &str, target: i32) -> bool {
        self.allows_on(principal, permission, &Securable::Principal(target))
    }

    fn allows_on(&self, principal: i32, permission: &str, on: &Securable) -> bool {
        let roles = self.roles_of(principal);
        if roles.contains(&SYSADMIN) {
            return true;
        }
        let holders: Vec<_> = roles.iter().filter_map(|id| self.principals.get(id)).collect();
        let ways = ways(permission, on);
        let stands = |wanted: fn(Grant) -> bool| {
            let matches =
                |given: &&Permission| wanted(given.state) && ways.contains(&(given.name.as_str(), given.on.clone()));
            holders.iter().any(|holder| holder.permissions.iter().any(|given| matches(&given)))
        };
        if stands(|state| state == Grant::Deny) {
            return false;
        }
        let mut fixed =
            holders.iter().filter(|holder| holder.is_role()).flat_map(|holder| held_by(&SERVER_ROLES, &holder.name));
        stands(|state| state != Grant::Deny) || fixed.any(|held| ways.contains(&(*held, Securable::All)))
    }

    /// Who a login is in a database: its user's id, or None if it may not come in.
    pub(crate) fn user_in(&self, database: &Database, login: i32) -> Option<i32> {
        // `sa` also where it is Azure's server administrator, and no `sysadmin`.
        if self.is_sysadmin(login) || login == SA || database.owner == login {
            return Some(DBO);
        }
        let sid = &self.principals.get(&login)?.sid;
        if let Some(user) = database.user_of(sid) {
            return database.allows(user.id, "CONNECT").then_some(user.id);
        }
        let anywhere = self.allows(login, "CONNECT ANY DATABASE");
        (anywhere || database.admits_guests()).then_some(GUEST)
    }
}

impl Database {
    /// A user with its roles, theirs, and `public`.
    pub(crate) fn roles_of(&self, user: i32) -> BTreeSet<i32> {
        let mut found = BTreeSet::from([user, database::PUBLIC]);
        let mut open = vec![user];
        while let Some(user) = open.pop().and_then(|id| self.users.get(&id)) {
            open.extend(user.roles.iter().filter(|role| found.insert(**role)));
        }
        found
    }

    /// Whether a user holds a permission on the whole database.
    pub(crate) fn allows(&self, user: i32, permission: &str) -> bool {
        self.allows_on(user, permission, &[Securable::All])
    }

    /// Whether a user holds a permission on a securable, by any of the places that hold it, from itself outwards.
    pub(crate) fn allows_on(&self, user: i32, permission: &str, places: &[Securable]) -> bool {
        if user == DBO {
            return true;
        }
        let holders: Vec<&User> = self.roles_of(user).iter().filter_map(|id| self.users.get(id)).collect();
        let ways = database_ways(permission, !places.contains(&Securable::All) || places.len() > 1);
        let given = |wanted: fn(Grant) -> bool| {
            let stands = |given: &Permission| {
                wanted(given.state) && places.contains(&given.on) && ways.contains(&given.name.as_str())
            };
            holders.iter().any(|holder| holder.permissions.iter().any(stands))
        };
        let denied_by = |role: &str| holders.iter().any(|holder| holder.fixed && holder.name == role);
        let denied = match permission {
            "SELECT" => denied_by("db_denydatareader"),
            "INSERT" | "UPDATE" | "DELETE" => denied_by("db_denydatawriter"),
            _ => false,
        };
        if denied || given(|state| state == Grant::Deny) {
            return self.roles_of(user).contains(&OWNERS) && !denied;
        }
        let mut fixed =
            holders.iter().filter(|holder| holder.role).flat_map(|holder| held_by(&DATABASE_ROLES, &holder.name));
        given(|state| state != Grant::Deny) || fixed.any(|held| ways.contains(held))
    }

    /// The places that hold a table.
    pub(crate) fn places_of_table(&self, table: i32) -> Vec<Securable> {
        let schema = self.tables.get(&table).map(|table| Securable::Schema(table.schema));
        [Securable::Object(table)].into_iter().chain(schema).chain([Securable::All]).collect()
    }
}

/// What a fixed role holds.
fn held_by(table: &'static [(&str, &[&'static str])], role: &str) -> &'static [&'static str] {
    table.iter().find(|(name, _)| *name == role).map_or(&[], |(_, held)| *held)
}

/// All that gives a permission on the server: the permission itself, and what holds it.
fn ways(permission: &str, on: &Securable) -> Vec<(&'static str, Securable)> {
    let mut found: Vec<(&'static str, Securable)> = Vec::new();
    match on {
        Securable::Principal(_) => {
            let own: &[&'static str] = match permission {
                "ALTER" => &["ALTER", "CONTROL"],
                "VIEW DEFINITION" => &["VIEW DEFINITION", "CONTROL"],
                "IMPERSONATE" => &["IMPERSONATE", "CONTROL"],
                _ => &["CONTROL"],
            };
            found.extend(own.iter().map(|name| (*name, on.clone())));
            let above: &[&str] = match permission {
                "ALTER" => &["ALTER ANY LOGIN"],
                "VIEW DEFINITION" => &["VIEW ANY DEFINITION", "VIEW ANY SECURITY DEFINITION", "ALTER ANY LOGIN"],
                "IMPERSONATE" => &["IMPERSONATE ANY LOGIN"],
                _ => &["CONTROL SERVER"],
            };
            found.extend(above.iter().flat_map(|name| ways(name, &Securable::All)));
        }
        Securable::All | Securable::Schema(_) | Securable::Object(_) => {
            let mut open: Vec<&str> = vec![permission];
            while let Some(name) = open.pop() {
                let Some((known, above)) = SERVER.iter().find(|(known, _)| *known == name) else { continue };
                if !found.contains(&(*known, Securable::All)) {
                    found.push((*known, Securable::All));
                    open.extend(*above);
                }
            }
        }
    }
    found
}

fn database_ways(permission: &str, within: bool) -> Vec<&'static str> {
    let mut found = vec!["CONTROL"];
    let mut open = vec![permission];
    while let Some(name) = open.pop() {
        let Some((known, above)) = DATABASE.iter().find(|(known, _)| *known == name) else { continue };
        if !found.contains(known) {
            found.push(known);
            open.extend(*above);
        }
    }
    // ALTER ANY USER is how one alters a user, and so on.
    if within && permission == "ALTER" {
        found.extend(["ALTER ANY USER", "ALTER ANY ROLE"]);
    }
    found
}
