//! CREATE, ALTER and DROP LOGIN.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::scene::{Outcome, Scene};
use super::statement::{AlterLogin, LoginOptions, Password};
use crate::exchange::Message;
use crate::instance::Version;
use crate::instance::catalogue::{Credentials, Grant, Key, Permission, Principal, SA, Securable, folded, random_sid};
use crate::instance::database::LOGIN_MANAGERS;
use crate::instance::hash::{self, verify};
use crate::instance::message::{error, missing, no_permission, with_class};
use crate::instance::policy::{self, Manner};
use crate::instance::state::Guard;

pub(crate) fn create(scene: &mut Scene<'_>, name: &str, options: &LoginOptions) -> Outcome<()> {
    check_azure(scene, options)?;
    let permission = if scene.state.options.version >= Version::V2022 { "CREATE LOGIN" } else { "ALTER ANY LOGIN" };
    if !scene.allowed(permission) && !manages_logins(scene) {
        return Err(no_permission().into());
    }
    if name.contains('\\') || name.trim().is_empty() {
        return Err(
            error(15006, format!("'{name}' is not a valid name because it contains invalid characters.")).into()
        );
    }
    scene.touch(Key::Name(folded(name)))?;
    if scene.world.principal(name).is_some() {
        return Err(error(15025, format!("The server principal '{name}' already exists.")).into());
    }
    let policy = options.policy.unwrap_or(true);
    let expiration = options.expiration.unwrap_or(false);
    check_switches(policy, expiration, options.must_change)?;
    let sid = sid(scene, options)?;
    let default_database = default_database(scene, options)?.unwrap_or_else(|| "master".to_owned());
    let now = scene.now();
    let hash =
        hashed(scene, name, options.password.as_ref().expect("the grammar wants one"), policy, None, Manner::Reset)?;
    let credentials =
        Credentials { hash, history: Vec::new(), policy, expiration, must_change: options.must_change, set: now };
    let id = scene.state.next_principal();
    scene.touch(Key::Principal(id))?;
    let connect = Permission { name: "CONNECT SQL".to_owned(), on: Securable::All, state: Grant::Granted, grantor: SA };
    let login = Principal {
        id,
        name: name.to_owned(),
        sid,
        credentials: Some(credentials),
        fixed: false,
        owner: SA,
        disabled: false,
        default_database,
        default_language: options.default_language.clone().unwrap_or_else(|| "us_english".to_owned()),
        created: now,
        modified: now,
        roles: BTreeSet::new(),
        permissions: vec![connect],
    };
    scene.world.principals.insert(id, Arc::new(login));
    Ok(())
}

pub(crate) fn alter(scene: &mut Scene<'_>, name: &str, change: &AlterLogin) -> Outcome<()> {
    if let AlterLogin::Set(options) = change {
        check_azure(scene, options)?;
    }
    let refused = || missing("alter", "login", name);
    let login = scene.world.login(name).cloned().ok_or_else(refused)?;
    // Blocked before anything is looked at: what is seen is what was committed.
    scene.touch(Key::Principal(login.id))?;
    let options = match change {
        AlterLogin::Enable | AlterLogin::Disable => {
            if !may_alter(scene, &login, true) {
                return Err(refused().into());
            }
            let now = scene.now();
            let login = scene.principal_mut(login.id)?;
            login.disabled = matches!(change, AlterLogin::Disable);
            login.modified = now;
            return Ok(());
        }
        AlterLogin::Set(options) => options,
    };
    if !authorized(scene, &login, options) {
        return Err(refused().into());
    }
    check_present(scene, &login, options)?;
    set(scene, &login, options)
}

pub(crate) fn drop(scene: &mut Scene<'_>, name: &str) -> Outcome<()> {
    let refused = || missing("drop", "login", name);
    let login = scene.world.login(name).cloned().ok_or_else(refused)?;
    if !may_alter(scene, &login, true) {
        return Err(refused().into());
    }
    if login.id == SA {
        return Err(with_class(15405, 11, "Cannot use the special principal 'sa'.").into());
    }
    if scene.state.sessions.values().any(|session| session.principal == Some(login.id)) {
        return Err(error(15434, format!("Could not drop login '{name}' as the user is currently logged in.")).into());
    }
    if scene.world.databases.values().any(|database| database.owner == login.id) {
        let text = format!(
            "Login '{name}' owns one or more database(s). Change the owner of the database(s) before dropping the login."
        );
        return Err(error(15174, text).into());
    }
    if scene.world.principals.values().any(|role| role.is_role() && role.owner == login.id) {
        return Err(error(15141, "The server principal owns one or more server role(s) and cannot be dropped.").into());
    }
    scene.touch(Key::Principal(login.id))?;
    scene.world.principals.remove(&login.id);
    Ok(())
}

/// Whether this session may alter a login; `guarded` for changes that need more where the login is powerful.
fn may_alter(scene: &Scene<'_>, login: &Principal, guarded: bool) -> bool {
    let admin = scene.is_azure() && login.id == SA;
    let powerful = admin || scene.world.is_sysadmin(login.id) || scene.world.allows(login.id, "CONTROL SERVER");
    let allowed = scene.allowed_to("ALTER", login.id) || manages_logins(scene);
    allowed && (!guarded || !powerful || scene.allowed("CONTROL SERVER") || scene.is_server_admin())
}

/// Whether this session is one of Azure's login managers: `loginmanager` is a role of its `master`, not of the server.
pub(crate) fn manages_logins(scene: &Scene<'_>) -> bool {
    let master = &scene.world.databases[&1];
    let role = master.user(LOGIN_MANAGERS).filter(|_| scene.is_azure()).map(|role| role.id);
    role.zip(scene.user_in(master)).is_some_and(|(role, me)| master.roles_of(me).contains(&role))
}

/// Otherwise it is 15151, which does not tell whether the login exists.
fn authorized(scene: &Scene<'_>, login: &Principal, options: &LoginOptions) -> bool {
    let named = options.password.is_some() && options.present.is_none();
    let guarded = named
        || options.must_change
        || options.unlock
        || options.policy.is_some()
        || options.expiration.is_some()
        || options.name.is_some()
        || options.credential;
    let own = scene.me.principal == Some(login.id);
    may_alter(scene, login, guarded) || (own && !guarded)
}

/// `OLD_PASSWORD`: first whether the password may be changed at all, then whether it is the present one, as [MS-SAMR]
/// 3.1.5.13.7.2 has it. A wrong one is 15151 too.
fn check_present(scene: &mut Scene<'_>, login: &Principal, options: &LoginOptions) -> Result<(), Message> {
    let Some(present) = &options.present else { return Ok(()) };
    let credentials = login.credentials.as_ref().expect("a login has some");
    if credentials.policy && !scene.is_azure() {
        scene.state.check_change(Some(login.id), credentials)?;
    }
    if verify(scene.state.options.hash_format(), present, &credentials.hash) {
        return Ok(());
    }
    scene.state.count_bad_password(login.id);
    Err(missing("alter", "login", &login.name))
}

fn set(scene: &mut Scene<'_>, login: &Principal, options: &LoginOptions) -> Outcome<()> {
    let mut credentials = login.credentials.clone().expect("a login has some");
    let now = scene.now();
    let policy = options.policy.unwrap_or(credentials.policy);
    let turned_on = policy && !credentials.policy;
    let expiration = options.expiration.unwrap_or(if policy { credentials.expiration || turned_on } else { false });
    let must_change = options.must_change || (credentials.must_change && options.password.is_none());
    check_switches(policy, expiration, must_change)?;
    if turned_on {
        credentials.history = Vec::new();
    }
    if !policy {
        credentials.history = Vec::new();
        scene.state.guards.insert(login.id, Guard::default());
    }
    credentials.policy = policy;
    credentials.expiration = expiration;
    if let Some(password) = &options.password {
        let name = options.name.as_deref().unwrap_or(&login.name);
        let manner = if options.present.is_some() { Manner::Change } else { Manner::Reset };
        let hash = hashed(scene, name, password, policy, Some(&credentials), manner)?;
        let kept = if policy { scene.state.options.password_policy.history } else { 0 };
        credentials.history = std::iter::once(credentials.hash).chain(credentials.history).take(kept).collect();
        credentials.hash = hash;
        credentials.set = now;
    }
    credentials.must_change = must_change;
    if options.unlock {
        scene.state.guards.insert(login.id, Guard::default());
    }
    if let Some(name) = &options.name {
        scene.touch(Key::Name(folded(name)))?;
        if scene.world.principal(name).is_some_and(|other| other.id != login.id) {
            return Err(error(15025, format!("The server principal '{name}' already exists.")).into());
        }
    }
    let default_database = default_database(scene, options)?;
    let changed = scene.principal_mut(login.id)?;
    changed.credentials = Some(credentials);
    changed.modified = now;
    if let Some(name) = &options.name {
        changed.name.clone_from(name);
    }
    if let Some(database) = default_database {
        changed.default_database = database;
    }
    if let Some(language) = &options.default_language {
        changed.default_language.clone_from(language);
    }
    Ok(())
}

fn check_switches(policy: bool, expiration: bool, must_change: bool) -> Result<(), Message> {
    if must_change && !(policy && expiration) {
        let text = "The CHECK_POLICY and CHECK_EXPIRATION options cannot be turned OFF when MUST_CHANGE is ON.";
        return Err(error(15128, text));
    }
    if expiration && !policy {
        return Err(error(15122, "The CHECK_EXPIRATION option cannot be used when CHECK_POLICY is OFF."));
    }
    Ok(())
}

/// The hash to store for a password, once it is found to be fit.
fn hashed(
    scene: &Scene<'_>,
    name: &str,
    password: &Password,
    policy: bool,
    former: Option<&Credentials>,
    manner: Manner,
) -> Result<Vec<u8>, Message> {
    match password {
        Password::Hashed(hash) if !hash::is_hash(hash) => {
            let text = "Invalid value given for parameter PASSWORD. Specify a valid parameter value.";
            Err(Message { state: 2, ..error(15021, text) })
        }
        // Nobody can see whether what is behind it is complex enough. The number was seen by others on real servers.
        Password::Hashed(_) if policy => Err(policy::complex(scene.state.options.version)),
        Password::Hashed(hash) => Ok(hash.clone()),
        Password::Plain(plain) => {
            policy::check_length(scene.state.options.version, plain)?;
            if policy || scene.is_azure() {
                scene.state.check_policy(name, former, plain, manner)?;
            }
            Ok(hash::hash(scene.state.options.hash_format(), plain))
        }
    }
}

fn sid(scene: &Scene<'_>, options: &LoginOptions) -> Result<Vec<u8>, Message> {
    let Some(sid) = &options.sid else { return Ok(random_sid()) };
    if sid.len() != 16 {
        return Err(error(15419, "Supplied parameter sid should be binary(16)."));
    }
    if scene.world.by_sid(sid).is_some() {
        return Err(error(15433, "Supplied parameter sid is in use."));
    }
    Ok(sid.clone())
}

fn default_database(scene: &Scene<'_>, options: &LoginOptions) -> Result<Option<String>, Message> {
    let Some(name) = &options.default_database else { return Ok(None) };
    let found = scene.world.database(name).map(|database| Some(database.name.clone()));
    found.ok_or_else(|| {
        error(15010, format!("The database '{name}' does not exist. Supply a valid database name. To see available databases, use sys.databases."))
    })
}

/// What Azure SQL Database does not know of logins.
fn check_azure(scene: &Scene<'_>, options: &LoginOptions) -> Result<(), Message> {
    let foreign = [
        ("DEFAULT_DATABASE", options.default_database.is_some()),
        ("DEFAULT_LANGUAGE", options.default_language.is_some()),
        ("CHECK_EXPIRATION", options.expiration.is_some()),
        ("CHECK_POLICY", options.policy.is_some()),
        ("CREDENTIAL", options.credential),
        ("MUST_CHANGE", options.must_change),
        ("UNLOCK", options.unlock),
        ("HASHED", matches!(options.password, Some(Password::Hashed(_)))),
    ];
    match foreign.iter().find(|(_, used)| *used && scene.is_azure()) {
        Some((option, _)) => {
            let text =
                format!("Keyword or statement option '{option}' is not supported in this version of SQL Server.");
            Err(error(40517, text))
        }
        None => Ok(()),
    }
}
