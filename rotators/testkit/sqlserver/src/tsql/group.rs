//! ALTER AVAILABILITY GROUP: which databases travel.

use super::scene::{Outcome, Scene};
use crate::instance::message::{error, missing};

/// Databases join the group, or leave it. Numbers as in the list of errors; the texts are shortened.
pub(crate) fn alter(scene: &mut Scene<'_>, databases: &[String], join: bool) -> Outcome<()> {
    let group = scene.state.options.group.clone();
    let Some(group) = group.filter(|_| scene.allowed("CONTROL SERVER")) else {
        return Err(missing("alter", "availability group", "ag").into());
    };
    if !group.is_primary(&scene.state.options.server_name) {
        let text = "Availability group 'ag' failed to process the ALTER command. The local availability replica is not in a state that could process the command.";
        return Err(error(41190, text).into());
    }
    for name in databases {
        let found = scene.world.database(name).filter(|database| database.id > 4);
        let Some(id) = found.map(|database| database.id) else {
            return Err(error(911, format!("Database '{name}' does not exist, or is of the system.")).into());
        };
        scene.database_mut(id)?.grouped = join;
    }
    Ok(())
}
