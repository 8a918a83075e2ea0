//! CREATE, ALTER and DROP USER.

use super::scene::{Outcome, Scene, Stop};
use super::statement::{Password, UserOptions};
use crate::exchange::Message;
use crate::instance::catalogue::{Credentials, Securable, random_sid, same};
use crate::instance::database::{self, DBO, Database, GUEST, User};
use crate::instance::hash::{self, verify};
use crate::instance::message::{error, missing, no_permission};
use crate::instance::policy::{self, Manner};

pub(crate) fn create(scene: &mut Scene<'_>, name: &str, options: &UserOptions) -> Outcome<()> {
    let database = scene.database();
    if !scene.allowed_in(&database, "CREATE USER") {
        return Err(no_permission().into());
    }
    if database.user(name).is_some() {
        return Err(exists(name));
    }
    let now = scene.now();
    let plain = database::user(database.next_user(), name, now);
    let user = if let Some(Password::Plain(password)) = &options.password {
        if !database.contained && !scene.is_azure() {
            return Err(error(33233, "You can only create a user with a password in a contained database.").into());
        }
        let hash = fit(scene, name, password, None, Manner::Reset)?;
        let credentials =
            Credentials { hash, history: Vec::new(), policy: true, expiration: false, must_change: false, set: now };
        User { sid: Some(options.sid.clone().unwrap_or_else(random_sid)), credentials: Some(credentials), ..plain }
    } else if options.without_login {
        User { sid: Some(options.sid.clone().unwrap_or_else(random_sid)), ..plain }
    } else {
        let login = options.login.as_deref().unwrap_or(name);
        let unknown = || error(15007, format!("'{login}' is not a valid login or you do not have permission."));
        let sid = scene.world.login(login).ok_or_else(unknown)?.sid.clone();
        check_free(&database, &sid)?;
        User { sid: Some(sid), mapped: true, ..plain }
    };
    let default_schema = Some(options.default_schema.clone().unwrap_or_else(|| "dbo".to_owned()));
    let connects = !options.without_login;
    let permissions = if connects { vec![database::connect(DBO)] } else { Vec::new() };
    let user = User { default_schema, permissions, ..user };
    scene.database_mut(database.id)?.users.insert(user.id, user);
    Ok(())
}

pub(crate) fn alter(scene: &mut Scene<'_>, name: &str, options: &UserOptions) -> Outcome<()> {
    let refused = || missing("alter", "user", name);
    let database = scene.database();
    let user = database.user(name).filter(|user| !user.role).ok_or_else(refused)?;
    let own = scene.user_in(&database) == Some(user.id);
    let allowed = scene.allowed_in(&database, "ALTER ANY USER")
        || scene.allowed_on(&database, "ALTER", &[Securable::Principal(user.id)]);
    // Oneself: the password, with the present one, and the default schema no less.
    let self_service = own && options.name.is_none() && options.login.is_none();
    if !allowed && (!self_service || (options.password.is_some() && options.present.is_none())) {
        return Err(refused().into());
    }
    if user.id == DBO || user.id == GUEST {
        return Err(error(15150, format!("Cannot alter the user '{name}'.")).into());
    }
    let mut changed = user.clone();
    changed.modified = scene.now();
    if let Some(Password::Plain(password)) = &options.password {
        changed.credentials = Some(changed_password(scene, user, password, options)?);
    }
    if let Some(login) = &options.login {
        let unknown = || error(15007, format!("'{login}' is not a valid login or you do not have permission."));
        let sid = scene.world.login(login).ok_or_else(unknown)?.sid.clone();
        if changed.sid.as_ref() != Some(&sid) {
            check_free(&database, &sid)?;
        }
        changed.sid = Some(sid);
        changed.mapped = true;
    }
    if let Some(name) = &options.name {
        if !same(name, &user.name) && database.user(name).is_some() {
            return Err(exists(name));
        }
        changed.name.clone_from(name);
    }
    if let Some(schema) = &options.default_schema {
        changed.default_schema = Some(schema.clone());
    }
    scene.database_mut(database.id)?.users.insert(changed.id, changed);
    Ok(())
}

pub(crate) fn drop(scene: &mut Scene<'_>, name: &str, if_exists: bool) -> Outcome<()> {
    let refused = || missing("drop", "user", name);
    let database = scene.database();
    let user = match database.user(name).filter(|user| !user.role) {
        Some(user) => user,
        None if if_exists => return Ok(()),
        None => return Err(refused().into()),
    };
    if !scene.allowed_in(&database, "ALTER ANY USER") {
        return Err(refused().into());
    }
    if user.id <= 4 {
        return Err(error(15150, format!("Cannot drop the user '{name}'.")).into());
    }
    if database.schemas.values().any(|schema| schema.owner == user.id) {
        return Err(error(15138, "The database principal owns a schema in the database, and cannot be dropped.").into());
    }
    if database.users.values().any(|role| role.role && role.owner == user.id) {
        return Err(error(15421, "The database principal owns a database role and cannot be dropped.").into());
    }
    let id = user.id;
    scene.database_mut(database.id)?.users.remove(&id);
    Ok(())
}

fn changed_password(scene: &Scene<'_>, user: &User, password: &str, options: &UserOptions) -> Outcome<Credentials> {
    let text = "The parameter PASSWORD cannot be provided for users that cannot authenticate in a database.";
    let credentials = user.credentials.as_ref().ok_or_else(|| error(33234, text))?;
    if let Some(present) = &options.present {
        scene.state.check_change(None, credentials)?;
        if !verify(scene.state.options.hash_format(), present, &credentials.hash) {
            return Err(missing("alter", "user", &user.name).into());
        }
    }
    let manner = if options.present.is_some() { Manner::Change } else { Manner::Reset };
    fit(scene, &user.name, password, Some(credentials), manner)?;
    Ok(scene.state.changed(credentials, password))
}

/// The hash of a password that the policy accepts, which holds for contained users always.
fn fit(
    scene: &Scene<'_>,
    name: &str,
    password: &str,
    former: Option<&Credentials>,
    manner: Manner,
) -> Result<Vec<u8>, Message> {
    policy::check_length(scene.state.options.version, password)?;
    scene.state.check_policy(name, former, password, manner)?;
    Ok(hash::hash(scene.state.options.hash_format(), password))
}

fn check_free(database: &Database, sid: &[u8]) -> Result<(), Message> {
    match database.user_of(sid) {
        Some(_) => Err(error(15063, "The login already has an account under a different user name.")),
        None => Ok(()),
    }
}

fn exists(name: &str) -> Stop {
    error(15023, format!("User, group, or role '{name}' already exists in the current database.")).into()
}
