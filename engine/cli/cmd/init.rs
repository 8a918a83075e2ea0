//! `keywheel init`: a folder to begin with, explained by its own comments.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use keywheel_secrets::MasterKey;

use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::{Session, wire};

/// Make settings, a master key and a first policy
///
/// Replaces nothing that exists.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where
    #[arg(default_value = ".")]
    folder: PathBuf,
}

const KEY: &str = "master.key";

/// The files, with what they hold. The key is made apart.
fn files() -> [(&'static str, String); 6] {
    [
        ("keywheel.yaml", include_str!("init/keywheel.yaml").to_owned()),
        ("policies/orders-db.yaml", include_str!("init/orders-db.yaml").to_owned()),
        ("schema/keywheel.schema.json", keywheel_policies::settings_schema()),
        ("schema/policy.schema.json", keywheel_policies::policy_schema()),
        ("schema/provider.schema.json", wire::provider_schema()),
        (".gitignore", include_str!("init/gitignore").to_owned()),
    ]
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let folder = &args.folder;
    let files = files();
    let taken: Vec<String> = files
        .iter()
        .map(|(name, _)| *name)
        .chain([KEY])
        .map(|name| folder.join(name))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| format!("`{}`", path.display()))
        .collect();
    if !taken.is_empty() {
        return Err(Failure::input(format!("{} would be replaced", taken.join(", ")))
            .hint("name another folder, or move them away; a lost master key loses every secret")
            .into());
    }
    for folder in [folder.clone(), folder.join("policies"), folder.join("schema")] {
        make_folder(&folder)?;
    }
    MasterKey::generate_file(&folder.join(KEY)).map_err(|error| Failure::input(error.to_string()))?;
    for (name, text) in &files {
        write_new(&folder.join(name), text)?;
    }
    for name in files.iter().map(|(name, _)| *name).chain([KEY]) {
        cx.out.line(&folder.join(name).display().to_string())?;
    }
    let cd = if folder == Path::new(".") { String::new() } else { format!("  cd {}\n", folder.display()) };
    next_steps(&cd);
    Ok(Exit::Done)
}

fn next_steps(cd: &str) {
    let text = format!(
        "\nnext:
{cd}  $EDITOR policies/orders-db.yaml                                  # your server and accounts
  keywheel validate
  keywheel secret put orders/admin --username ADMIN < password     # who may change the accounts
  keywheel secret put orders/db --username orders_a < password     # what applications use now
  keywheel doctor
  keywheel rotate orders/db
  keywheel run                                                     # the daemon: rotates what is due
keep a copy of master.key elsewhere: without it no secret can be read"
    );
    for line in text.lines() {
        talk(line);
    }
}

/// Private: what is in there is nobody else's business.
fn make_folder(folder: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::input(format!("the folder `{}` cannot be made: {error}", folder.display())))
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::input(format!("`{}` cannot be written: {error}", path.display())))
}
