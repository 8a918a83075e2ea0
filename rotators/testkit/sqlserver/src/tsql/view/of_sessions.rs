//! Views of sessions, connections and locks.

use super::super::relation::Relation;
use super::super::scene::Scene;
use super::text;
use crate::exchange::{Kind, Message, Value};
use crate::instance::Version;
use crate::instance::locks::Owner;
use crate::instance::message::{denied_in_database, denied_on_server};
use crate::instance::state::Presence;

pub(super) fn open(scene: &Scene<'_>, name: &str) -> Option<Result<Relation, Message>> {
    Some(match name {
        "dm_exec_sessions" => Ok(sessions(scene)),
        "dm_exec_connections" => needs(scene, "SECURITY").map(|()| connections(scene)),
        "dm_tran_locks" => needs(scene, "PERFORMANCE").map(|()| locks(scene)),
        _ => return None,
    })
}

/// The permission on the server's state, or in Azure on the database's, which since 2022 has parts.
fn needs(scene: &Scene<'_>, part: &str) -> Result<(), Message> {
    if scene.is_azure() {
        let database = scene.database();
        let permission = format!("VIEW DATABASE {part} STATE");
        // A member of ##MS_ServerStateReader## has it everywhere, `master` included, where it cannot be granted.
        let everywhere = scene.allowed(&format!("VIEW SERVER {part} STATE"));
        return if everywhere || scene.allowed_in(&database, &permission) {
            Ok(())
        } else {
            Err(denied_in_database(&permission, &database.name))
        };
    }
    let parted = scene.state.options.version >= Version::V2022;
    let permission = if parted { format!("VIEW SERVER {part} STATE") } else { "VIEW SERVER STATE".to_owned() };
    if scene.allowed(&permission) { Ok(()) } else { Err(denied_on_server(&permission)) }
}

/// Without the permission one sees one's own session only.
fn visible<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = &'a Presence> {
    let all = needs(scene, "PERFORMANCE").is_ok();
    let azure = scene.is_azure();
    let mut found: Vec<&Presence> = scene.state.sessions.values().collect();
    found.sort_by_key(|session| session.id);
    found.into_iter().filter(move |session| {
        let own = session.serial == scene.me.serial;
        own || (all && (!azure || session.database == scene.me.database))
    })
}

fn sessions(scene: &Scene<'_>) -> Relation {
    let mut found = Relation::new(&[
        ("session_id", Kind::SmallInt),
        ("login_time", Kind::DateTime),
        ("host_name", Kind::Text),
        ("program_name", Kind::Text),
        ("login_name", Kind::Text),
        ("original_login_name", Kind::Text),
        ("security_id", Kind::Binary),
        ("original_security_id", Kind::Binary),
        ("status", Kind::Text),
        ("is_user_process", Kind::Bit),
        ("open_transaction_count", Kind::Int),
        ("database_id", Kind::SmallInt),
        ("authenticating_database_id", Kind::Int),
        ("last_request_start_time", Kind::DateTime),
        ("last_request_end_time", Kind::DateTime),
        ("transaction_isolation_level", Kind::SmallInt),
        ("lock_timeout", Kind::Int),
    ]);
    for session in visible(scene) {
        let sid = session.principal.and_then(|id| scene.world.principals.get(&id)).map(|login| login.sid.clone());
        let sid = sid.map_or(Value::Null, Value::Binary);
        found.rows.push(vec![
            Value::SmallInt(session.id),
            Value::DateTime(session.since),
            text(&session.host),
            text(&session.program),
            text(&session.login),
            text(&session.original_login),
            sid.clone(),
            sid,
            text(if session.running { "running" } else { "sleeping" }),
            Value::Bit(session.user_process),
            Value::Int(session.open_transactions),
            Value::SmallInt(i16::try_from(session.database).unwrap_or(i16::MAX)),
            Value::Int(session.authenticating_database),
            Value::DateTime(session.last_request),
            Value::DateTime(session.last_request),
            Value::SmallInt(2),
            Value::Int(-1),
        ]);
    }
    found
}

fn connections(scene: &Scene<'_>) -> Relation {
    let mut found = Relation::new(&[
        ("session_id", Kind::Int),
        ("connect_time", Kind::DateTime),
        ("net_transport", Kind::Text),
        ("protocol_type", Kind::Text),
        ("encrypt_option", Kind::Text),
        ("auth_scheme", Kind::Text),
        ("client_net_address", Kind::Text),
    ]);
    for session in visible(scene).filter(|session| session.user_process) {
        found.rows.push(vec![
            Value::Int(i32::from(session.id)),
            Value::DateTime(session.since),
            text("TCP"),
            text("TSQL"),
            text(&session.encrypted.to_string().to_uppercase()),
            text("SQL"),
            text(&session.client),
        ]);
    }
    found
}

fn locks(scene: &Scene<'_>) -> Relation {
    let mut found = Relation::new(&[
        ("resource_type", Kind::Text),
        ("resource_subtype", Kind::Text),
        ("resource_database_id", Kind::Int),
        ("resource_description", Kind::Text),
        ("request_mode", Kind::Text),
        ("request_type", Kind::Text),
        ("request_status", Kind::Text),
        ("request_session_id", Kind::Int),
        ("request_owner_type", Kind::Text),
    ]);
    for session in scene.state.sessions.values() {
        let mut row = vec![text("DATABASE"), text(""), Value::Int(session.database), text("")];
        row.extend([text("S"), text("LOCK"), text("GRANT"), Value::Int(i32::from(session.id))]);
        row.push(text("SHARED_TRANSACTION_WORKSPACE"));
        found.rows.push(row);
    }
    for lock in scene.state.locks.all() {
        let Some(session) = scene.state.sessions.get(&lock.session) else { continue };
        let mut row =
            vec![text("APPLICATION"), text(""), Value::Int(lock.target.database), text(&lock.target.description())];
        row.extend([text(lock.mode.short()), text("LOCK"), text(if lock.granted { "GRANT" } else { "WAIT" })]);
        row.push(Value::Int(i32::from(session.id)));
        row.push(text(if lock.owner == Owner::Session { "SESSION" } else { "TRANSACTION" }));
        found.rows.push(row);
    }
    found
}
