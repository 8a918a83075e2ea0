//! Functions about the server, logins, users and permissions.

use std::sync::Arc;

use super::scene::Scene;
use super::value::{integer, text};
use crate::exchange::{Kind, Message, Value};
use crate::instance::catalogue::{Principal, Securable, text_or_null};
use crate::instance::database::{DBO, Database};
use crate::instance::hash::{self, verify};
use crate::instance::{Version, access, clock};

pub(crate) const COLLATION: &str = "SQL_Latin1_General_CP1_CI_AS";

/// Functions that give NULL for NULL.
const OF_NULL: [&str; 20] = [
    "LOGINPROPERTY",
    "SERVERPROPERTY",
    "DATABASEPROPERTYEX",
    "CONNECTIONPROPERTY",
    "SESSIONPROPERTY",
    "SUSER_SNAME",
    "SUSER_NAME",
    "SUSER_SID",
    "SUSER_ID",
    "USER_NAME",
    "USER_ID",
    "DATABASE_PRINCIPAL_ID",
    "DB_NAME",
    "DB_ID",
    "SCHEMA_NAME",
    "SCHEMA_ID",
    "OBJECT_ID",
    "IS_SRVROLEMEMBER",
    "IS_ROLEMEMBER",
    "HAS_DBACCESS",
];

/// What Azure SQL Database knows permissions on.
const AZURE_CLASSES: [&str; 5] = ["DATABASE", "OBJECT", "ROLE", "SCHEMA", "USER"];

/// None for what is no such function, or has other arguments.
pub(crate) fn call(scene: &Scene<'_>, name: &str, values: &[Value]) -> Option<Result<Value, Message>> {
    let texts: Vec<Option<String>> = values.iter().map(text).collect();
    let first = texts.first().cloned().flatten();
    let second = texts.get(1).cloned().flatten();
    // What is asked about nothing is nothing.
    if OF_NULL.contains(&name) && values.contains(&Value::Null) {
        return Some(Ok(Value::Null));
    }
    let own = scene.me.principal.and_then(|id| scene.world.principals.get(&id));
    let value = match (name, values) {
        // The documentation knows 1 and 0 only, and nothing of NULL: who takes NULL for "cannot be told" is caught by 0.
        ("PWDCOMPARE", [Value::Null, _, ..] | [_, Value::Null, ..]) => Value::Int(0),
        ("PWDCOMPARE", [_, Value::Binary(stored), ..]) => {
            let format = hash_format(scene);
            Value::Int(i32::from(verify(format, &first.unwrap_or_default(), stored)))
        }
        ("PWDENCRYPT", [_]) => first.map_or(Value::Null, |text| Value::Binary(hash::hash(hash_format(scene), &text))),
        ("LOGINPROPERTY", [_, _]) => login_property(scene, &first?, &second?),
        ("SERVERPROPERTY", [_]) => server_property(scene, &first?),
        ("DATABASEPROPERTYEX", [_, _]) => match scene.world.database(&first?) {
            Some(database) => database_property(scene, database, &second?),
            None => Value::Null,
        },
        ("CONNECTIONPROPERTY", [_]) => match first?.to_lowercase().as_str() {
            "net_transport" => Value::Text("TCP".to_owned()),
            "protocol_type" => Value::Text("TSQL".to_owned()),
            "auth_scheme" => Value::Text("SQL".to_owned()),
            "encrypt_option" => Value::Text(scene.me.encrypted.to_string().to_uppercase()),
            "local_net_address" => Value::Text("127.0.0.1".to_owned()),
            "client_net_address" => Value::Text(scene.me.client.clone()),
            _ => Value::Null,
        },
        ("SESSIONPROPERTY", [_]) => match first?.to_uppercase().as_str() {
            "QUOTED_IDENTIFIER" => Value::Int(i32::from(scene.me.flags.quoted_identifier)),
            "ANSI_NULLS" | "ANSI_PADDING" | "ANSI_WARNINGS" | "ARITHABORT" | "CONCAT_NULL_YIELDS_NULL" => Value::Int(1),
            "NUMERIC_ROUNDABORT" => Value::Int(0),
            _ => Value::Null,
        },
        ("ORIGINAL_LOGIN" | "SUSER_SNAME" | "SUSER_NAME", []) => Value::Text(scene.me.login.clone()),
        ("SUSER_SNAME", [Value::Binary(sid)]) => text_or_null(scene.world.by_sid(sid).map(|found| found.name.as_str())),
        ("SUSER_NAME", [id]) => {
            let id = i32::try_from(integer(id).ok()?).ok()?;
            text_or_null(scene.world.principals.get(&id).map(|found| found.name.as_str()))
        }
        ("SUSER_SID", []) => own.map_or(Value::Null, |own| Value::Binary(own.sid.clone())),
        ("SUSER_SID", [_, ..]) => {
            scene.world.principal(&first?).map_or(Value::Null, |found| Value::Binary(found.sid.clone()))
        }
        ("SUSER_ID", []) => own.map_or(Value::Null, |own| Value::Int(own.id)),
        ("SUSER_ID", [_]) => scene.world.principal(&first?).map_or(Value::Null, |found| Value::Int(found.id)),
        ("USER_NAME", []) => user_name(scene),
        ("USER_NAME", [id]) => {
            let id = i32::try_from(integer(id).ok()?).ok()?;
            text_or_null(scene.database().users.get(&id).map(|user| user.name.as_str()))
        }
        ("USER_ID" | "DATABASE_PRINCIPAL_ID", []) => scene.user_in(&scene.database()).map_or(Value::Null, Value::Int),
        ("USER_ID" | "DATABASE_PRINCIPAL_ID", [_]) => {
            scene.database().user(&first?).map_or(Value::Null, |user| Value::Int(user.id))
        }
        ("DB_NAME", []) => Value::Text(scene.database().name.clone()),
        ("DB_NAME", [id]) => {
            let id = i32::try_from(integer(id).ok()?).ok()?;
            text_or_null(scene.world.databases.get(&id).map(|database| database.name.as_str()))
        }
        ("DB_ID", []) => Value::Int(scene.database().id),
        ("DB_ID", [_]) => scene.world.database(&first?).map_or(Value::Null, |database| Value::Int(database.id)),
        ("SCHEMA_NAME", []) => Value::Text("dbo".to_owned()),
        ("SCHEMA_NAME", [id]) => {
            let id = i32::try_from(integer(id).ok()?).ok()?;
            text_or_null(scene.database().schemas.get(&id).map(|schema| schema.name.as_str()))
        }
        ("SCHEMA_ID", [_]) => scene.database().schema(&first?).map_or(Value::Null, |schema| Value::Int(schema.id)),
        ("OBJECT_ID", [_, ..]) => object_id(scene, &first?),
        ("APP_NAME", []) | ("PROGRAM_NAME", []) => {
            text_or_null(scene.state.sessions.get(&scene.me.serial).map(|session| session.program.as_str()))
        }
        ("HOST_NAME", []) => {
            text_or_null(scene.state.sessions.get(&scene.me.serial).map(|session| session.host.as_str()))
        }
        ("IS_SRVROLEMEMBER", [_]) => server_role_member(scene, &first?, own),
        ("IS_SRVROLEMEMBER", [_, _]) => {
            let seen = |login: &&Arc<Principal>| {
                scene.me.principal == Some(login.id) || scene.allowed_to("VIEW DEFINITION", login.id)
            };
            server_role_member(scene, &first?, scene.world.login(&second?).filter(seen))
        }
        ("IS_MEMBER" | "IS_ROLEMEMBER", [_]) => role_member(scene, &first?, None),
        ("IS_ROLEMEMBER", [_, _]) => role_member(scene, &first?, Some(&second?)),
        ("HAS_DBACCESS", [_]) => match scene.world.database(&first?) {
            Some(database) => Value::Int(i32::from(scene.user_in(database).is_some())),
            None => Value::Null,
        },
        ("HAS_PERMS_BY_NAME", [_, _, _, ..]) => {
            has_permission(scene, first.as_deref(), second.as_deref(), &texts.get(2).cloned().flatten()?)
        }
        _ => {
            let known = [
                "PWDCOMPARE",
                "LOGINPROPERTY",
                "SERVERPROPERTY",
                "DATABASEPROPERTYEX",
                "CONNECTIONPROPERTY",
                "SUSER_SNAME",
                "SUSER_SID",
                "SUSER_ID",
                "DB_ID",
                "IS_SRVROLEMEMBER",
                "IS_MEMBER",
                "HAS_DBACCESS",
                "HAS_PERMS_BY_NAME",
            ];
            return known.contains(&name).then(|| {
                let text = format!("The {} function requires other argument(s).", name.to_lowercase());
                Err(crate::instance::message::with_class(174, 15, text))
            });
        }
    };
    Some(Ok(value))
}

/// The type of a property's values.
pub(crate) fn kind(function: &str, property: &str) -> Kind {
    match (function, property.to_lowercase().as_str()) {
        ("LOGINPROPERTY", "passwordhash") => Kind::Binary,
        ("LOGINPROPERTY", "badpasswordtime" | "lockouttime" | "passwordlastsettime") => Kind::DateTime,
        ("LOGINPROPERTY", "defaultdatabase" | "defaultlanguage") => Kind::Text,
        ("LOGINPROPERTY" | "SESSIONPROPERTY", _) => Kind::Int,
        (
            "SERVERPROPERTY",
            "engineedition"
            | "editionid"
            | "ishadrenabled"
            | "isintegratedsecurityonly"
            | "isclustered"
            | "issingleuser"
            | "hadrmanagerstatus"
            | "processid"
            | "isfulltextinstalled",
        ) => Kind::Int,
        _ => Kind::Text,
    }
}

pub(crate) fn user_name(scene: &Scene<'_>) -> Value {
    let database = scene.database();
    let user = scene.user_in(&database).and_then(|id| database.users.get(&id));
    text_or_null(user.map(|user| user.name.as_str()))
}

/// `@@VERSION`.
pub(crate) fn version(scene: &Scene<'_>) -> String {
    let version = scene.state.options.version;
    let edition = if version.is_azure() { "" } else { "\n\tDeveloper Edition (64-bit) on Linux" };
    format!("{} - {} (X64){edition}", version.title(), scene.state.options.product())
}

fn hash_format(scene: &Scene<'_>) -> hash::Format {
    // A hash of 2025 can be compared with by 2025 only.
    scene.state.options.hash_format()
}

/// LOGINPROPERTY. Of a login that CHECK_POLICY is off for, Windows keeps nothing, and so there is nothing but the password's own
/// and the defaults. What is about age needs CHECK_EXPIRATION too. The documentation wants both for all of it, but for
/// HistoryLength, which it says is 0 without a policy; that lock-out is seen with CHECK_POLICY alone is this double's reading.
fn login_property(scene: &Scene<'_>, name: &str, property: &str) -> Value {
    // "Applies to: SQL Server, Azure SQL Managed Instance". What Azure SQL Database answers is not documented.
    let Some(login) = scene.world.login(name).filter(|_| !scene.is_azure()) else { return Value::Null };
    let own = scene.me.principal == Some(login.id);
    if !own && !scene.allowed_to("VIEW DEFINITION", login.id) {
        return Value::Null;
    }
    let credentials = login.credentials.as_ref().expect("a login has some");
    let guard = scene.state.guards.get(&login.id);
    let policy = &scene.state.options.password_policy;
    let (checked, ages) = (credentials.policy, credentials.policy && credentials.expiration);
    let flag = |flag: bool| Value::Int(i32::from(flag));
    let count = |count: usize| Value::Int(i32::try_from(count).unwrap_or(i32::MAX));
    match property.to_lowercase().as_str() {
        "defaultdatabase" => Value::Text(login.default_database.clone()),
        "defaultlanguage" => Value::Text(login.default_language.clone()),
        "passwordhash" if may_see_hashes(scene) => Value::Binary(credentials.hash.clone()),
        "passwordlastsettime" => Value::DateTime(credentials.set),
        "passwordhashalgorithm" => Value::Int(if credentials.hash.first() == Some(&3) { 3 } else { 2 }),
        // "Resuming password policy enforcement restarts at 1": the present password is one of those tracked.
        "historylength" if checked => count((credentials.history.len() + 1).min(policy.history.max(1))),
        "historylength" => Value::Int(0),
        "badpasswordcount" if checked => count(guard.map_or(0, |guard| guard.bad as usize)),
        "badpasswordtime" if checked => Value::DateTime(guard.and_then(|guard| guard.bad_at).unwrap_or(0)),
        "islocked" if checked => flag(scene.state.is_locked_out(login.id)),
        "lockouttime" if checked => Value::DateTime(guard.and_then(|guard| guard.locked_at).unwrap_or(0)),
        "isexpired" if ages => flag(scene.state.has_expired(credentials)),
        "ismustchange" if ages => flag(credentials.must_change),
        "daysuntilexpiration" if ages => match policy.max_age {
            // "-1 if the local security policy in Windows never expires the password."
            None => Value::Int(-1),
            Some(max) => {
                const DAY: i64 = 86_400_000;
                let left = clock::millis(max) - (scene.now() - credentials.set);
                // A day that has begun counts whole; not confirmed by documentation.
                Value::Int(i32::try_from((left + DAY - 1).div_euclid(DAY)).unwrap_or(i32::MAX).max(0))
            }
        },
        _ => Value::Null,
    }
}

/// `password_hash` is NULL for everyone else.
pub(crate) fn may_see_hashes(scene: &Scene<'_>) -> bool {
    scene.allowed("CONTROL SERVER")
        || (scene.state.options.version >= Version::V2022
            && scene.allowed("VIEW ANY CRYPTOGRAPHICALLY SECURED DEFINITION"))
}

fn server_property(scene: &Scene<'_>, property: &str) -> Value {
    let options = &scene.state.options;
    let product = options.product();
    let part = |at: usize| text_or_null(product.split('.').nth(at));
    let azure = options.version.is_azure();
    let plain = |text: &str| Value::Text(text.to_owned());
    match property.to_lowercase().as_str() {
        "productversion" => plain(product),
        "productmajorversion" => part(0),
        "productminorversion" => part(1),
        "productbuild" => part(2),
        "productlevel" => plain("RTM"),
        "edition" => plain(if azure { "SQL Azure" } else { "Developer Edition (64-bit)" }),
        "engineedition" => Value::Int(if azure { 5 } else { 3 }),
        "editionid" => Value::Int(if azure { 1_674_378_470 } else { -2_117_995_310 }),
        "servername" => plain(&options.server_name),
        "machinename" | "computernamephysicalnetbios" => {
            if azure {
                Value::Null
            } else {
                plain(options.server_name.split('\\').next().unwrap_or_default())
            }
        }
        "instancename" => text_or_null(options.server_name.split_once('\\').map(|(_, instance)| instance)),
        // Of Azure the documentation says nothing but that it is SQL Server's.
        "ishadrenabled" if azure => Value::Null,
        "ishadrenabled" => Value::Int(i32::from(options.group.is_some())),
        "hadrmanagerstatus" => {
            if options.group.is_some() && !azure {
                Value::Int(1)
            } else {
                Value::Null
            }
        }
        "isintegratedsecurityonly" => Value::Int(i32::from(options.integrated_security_only)),
        "isclustered" | "issingleuser" => Value::Int(0),
        "collation" => plain(COLLATION),
        "processid" => Value::Int(44),
        _ => Value::Null,
    }
}

fn database_property(scene: &Scene<'_>, database: &Database, property: &str) -> Value {
    let plain = |text: &str| Value::Text(text.to_owned());
    match property.to_lowercase().as_str() {
        "updateability" => plain(if scene.is_read_only(database) { "READ_ONLY" } else { "READ_WRITE" }),
        "status" => plain("ONLINE"),
        "collation" => plain(COLLATION),
        "useraccess" => plain("MULTI_USER"),
        "recovery" => plain("FULL"),
        "edition" if scene.is_azure() => plain("Standard"),
        _ => Value::Null,
    }
}

fn object_id(scene: &Scene<'_>, name: &str) -> Value {
    let parts: Vec<String> = name.split('.').map(|part| part.trim_matches(['[', ']', '"']).to_owned()).collect();
    let (database, schema, table) = match parts.as_slice() {
        [table] => (Some(scene.database()), "dbo", table.as_str()),
        [schema, table] => (Some(scene.database()), schema.as_str(), table.as_str()),
        [database, schema, table] => (
            scene.world.database(database).map(Arc::clone),
            if schema.is_empty() { "dbo" } else { schema.as_str() },
            table.as_str(),
        ),
        _ => (None, "", ""),
    };
    let found = database.and_then(|database| database.table(schema, table).map(|table| table.id));
    found.map_or(Value::Null, Value::Int)
}

fn server_role_member(scene: &Scene<'_>, role: &str, login: Option<&Arc<Principal>>) -> Value {
    let Some(role) = scene.world.principal(role).filter(|role| role.is_role()) else { return Value::Null };
    let Some(login) = login else { return Value::Null };
    Value::Int(i32::from(scene.world.roles_of(login.id).contains(&role.id)))
}

fn role_member(scene: &Scene<'_>, role: &str, user: Option<&str>) -> Value {
    let database = scene.database();
    let Some(role) = database.user(role).filter(|role| role.role) else { return Value::Null };
    let user = match user {
        Some(name) => database.user(name).map(|user| user.id),
        None => scene.user_in(&database),
    };
    user.map_or(Value::Null, |user| Value::Int(i32::from(database.roles_of(user).contains(&role.id))))
}

/// 1, 0, or NULL for what there is not.
fn has_permission(scene: &Scene<'_>, securable: Option<&str>, class: Option<&str>, permission: &str) -> Value {
    let permission = permission.to_uppercase();
    let version = scene.state.options.version;
    let class = class.map(str::to_uppercase);
    // "In Azure SQL Database, the securable_class argument must be set to one of the following" (HAS_PERMS_BY_NAME).
    if scene.is_azure() && !class.as_ref().is_some_and(|class| AZURE_CLASSES.contains(&class.as_str())) {
        return Value::Null;
    }
    let found = match (securable, class.as_deref()) {
        (None, None | Some("SERVER")) => {
            if permission != "ANY" && !access::is_server_permission(version, &permission) {
                return Value::Null;
            }
            scene.allowed(&permission) || permission == "ANY"
        }
        // "A null stands for the current database."
        (name, Some("DATABASE")) => {
            let current = scene.database();
            let named = name.map_or(Some(&current), |name| scene.world.database(&unquoted(name)));
            let Some(database) = named else { return Value::Null };
            if permission == "ANY" {
                scene.user_in(database).is_some()
            } else if access::is_database_permission(version, &permission) {
                scene.allowed_in(database, &permission)
            } else {
                return Value::Null;
            }
        }
        (Some(name), Some("LOGIN" | "SERVER ROLE")) => {
            let Some(target) = scene.world.principal(&unquoted(name)) else { return Value::Null };
            scene.allowed_to(&permission, target.id) || (permission == "ANY" && scene.me.principal == Some(target.id))
        }
        (Some(name), Some("USER" | "ROLE")) => {
            let database = scene.database();
            let Some(target) = database.user(&unquoted(name)).map(|user| user.id) else { return Value::Null };
            scene.allowed_on(&database, &permission, &[Securable::Principal(target), Securable::All])
        }
        (Some(name), Some("SCHEMA")) => {
            let database = scene.database();
            let Some(schema) = database.schema(&unquoted(name)).map(|schema| schema.id) else { return Value::Null };
            scene.allowed_on(&database, &permission, &[Securable::Schema(schema), Securable::All])
        }
        (Some(name), Some("OBJECT")) => {
            let Value::Int(id) = object_id(scene, name) else { return Value::Null };
            let database = scene.database();
            let user = scene.user_in(&database);
            user == Some(DBO) || scene.allowed_on(&database, &permission, &database.places_of_table(id))
        }
        _ => return Value::Null,
    };
    Value::Int(i32::from(found))
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner.replace("]]", "]"),
        None => name.to_owned(),
    }
}
