//! `keywheel secret rewrap`: changes the master key while everything goes on.

use keywheel_policies::{MasterKey, SecretStore};
use keywheel_secrets::MasterKey as Key;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::{Session, wire};

/// Bring all versions under the first master key
///
/// To change the key: `--new-key` puts a fresh key before the others in the key file and brings everything under it. Then,
/// and not before, the old line may leave the file. Where the key is a variable, put the new key before the old one there.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// First put a fresh key before those in the key file
    #[arg(long)]
    new_key: bool,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let SecretStore::Local { master_key, .. } = &settings.secrets;
    let mut added = None;
    if args.new_key {
        match master_key {
            MasterKey::File(path) => {
                let id = Key::prepend_to_file(path).map_err(|error| Failure::input(error.to_string()))?;
                talk(&format!("key {id} is now the first in {}", path.display()));
                added = Some(id);
            }
            MasterKey::Env(name) => {
                return Err(Failure::input(format!(
                    "the master key is in the variable `{name}`, which this command cannot change"
                ))
                .hint("put a new key before the old one there, separated by a space, and leave out `--new-key`")
                .into());
            }
        }
    }
    let store = wire::secrets(&settings).await?;
    let done = store.rewrap().await.map_err(|error| {
        let failure = Failure::from(error);
        match added {
            Some(id) => failure.hint(format!(
                "key {id} stays in the file; repeat `keywheel secret rewrap`, without another `--new-key`"
            )),
            None => failure,
        }
    })?;
    if cx.out.is_json() {
        let (key, rewrapped, already) = (done.key.to_string(), done.rewrapped, done.already);
        cx.out.json(&json!({ "key": key, "rewrapped": rewrapped, "already": already }))?;
    } else {
        cx.out.line(&format!(
            "{} versions rewrapped, {} were already under key {}",
            done.rewrapped, done.already, done.key
        ))?;
    }
    talk("other keys are no longer needed and may leave the key's place");
    Ok(Exit::Done)
}
