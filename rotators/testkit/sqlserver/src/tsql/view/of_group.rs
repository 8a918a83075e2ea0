//! Views of the availability group. Without one they are empty.

use super::super::relation::Relation;
use super::super::scene::Scene;
use super::text;
use crate::exchange::{Kind, Message, Value};
use crate::instance::Version;
use crate::instance::catalogue::same;

const GROUP: &str = "00000000-0000-0000-0000-0000000000A6";

pub(super) fn open(scene: &Scene<'_>, name: &str) -> Option<Result<Relation, Message>> {
    let options = &scene.state.options;
    let replicas = options.group.as_ref().map(crate::instance::AvailabilityGroup::replicas).unwrap_or_default();
    let ids = |at: usize| text(&format!("00000000-0000-0000-0000-{:012}", at + 1));
    let local = |name: &str| same(name, &options.server_name);
    let mut found;
    match name {
        "availability_groups" => {
            let mut columns = vec![("group_id", Kind::Text), ("name", Kind::Text), ("is_distributed", Kind::Bit)];
            let mut row = vec![text(GROUP), text("ag"), Value::Bit(false)];
            // Groups that carry logins with them are known since 2022; this is none.
            if options.version >= Version::V2022 {
                columns.push(("is_contained", Kind::Bit));
                row.push(Value::Bit(false));
            }
            found = Relation::new(&columns);
            if !replicas.is_empty() {
                found.rows.push(row);
            }
        }
        "availability_replicas" => {
            found = Relation::new(&[
                ("replica_id", Kind::Text),
                ("group_id", Kind::Text),
                ("replica_server_name", Kind::Text),
                ("availability_mode_desc", Kind::Text),
                ("failover_mode_desc", Kind::Text),
            ]);
            for (at, (name, _)) in replicas.iter().enumerate() {
                found.rows.push(vec![ids(at), text(GROUP), text(name), text("SYNCHRONOUS_COMMIT"), text("AUTOMATIC")]);
            }
        }
        "dm_hadr_availability_replica_states" => {
            found = Relation::new(&[
                ("replica_id", Kind::Text),
                ("group_id", Kind::Text),
                ("is_local", Kind::Bit),
                ("role", Kind::TinyInt),
                ("role_desc", Kind::Text),
                ("connected_state_desc", Kind::Text),
                ("synchronization_health_desc", Kind::Text),
            ]);
            for (at, (name, primary)) in replicas.iter().enumerate() {
                let mut row =
                    vec![ids(at), text(GROUP), Value::Bit(local(name)), Value::TinyInt(if *primary { 1 } else { 2 })];
                row.extend([text(if *primary { "PRIMARY" } else { "SECONDARY" }), text("CONNECTED"), text("HEALTHY")]);
                found.rows.push(row);
            }
        }
        "dm_hadr_database_replica_states" => {
            found = Relation::new(&[
                ("database_id", Kind::Int),
                ("group_id", Kind::Text),
                ("replica_id", Kind::Text),
                ("is_local", Kind::Bit),
                ("is_primary_replica", Kind::Bit),
                ("synchronization_state_desc", Kind::Text),
            ]);
            for database in scene.world.databases.values().filter(|database| database.grouped) {
                for (at, (name, primary)) in replicas.iter().enumerate() {
                    let mut row = vec![Value::Int(database.id), text(GROUP), ids(at)];
                    row.extend([Value::Bit(local(name)), Value::Bit(*primary), text("SYNCHRONIZED")]);
                    found.rows.push(row);
                }
            }
        }
        _ => return None,
    }
    Some(Ok(found))
}
