//! Finds an installed PostgreSQL server, and the user that may run it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with `initdb` and `postgres`, or `None`. Looks in `pg_config --bindir`, then in the folders that the
/// distributions use (newest version first), then along `PATH`.
///
/// `PATH` comes last: distributions put wrappers there that manage clusters of their own.
#[expect(clippy::disallowed_methods, reason = "where programs are is what PATH is for, and only tests look here")]
pub(crate) fn find() -> Option<PathBuf> {
    let from_pg_config = Command::new("pg_config").arg("--bindir").output().ok().and_then(|output| {
        output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    });
    let mut folders: Vec<PathBuf> = from_pg_config.into_iter().collect();
    folders.extend(versioned("/usr/lib/postgresql", "bin"));
    folders.extend(versioned("/usr", "bin").into_iter().filter(|path| path.to_string_lossy().contains("pgsql")));
    folders.extend(["/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql/bin"].map(PathBuf::from));
    folders.extend(std::env::var_os("PATH").iter().flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>()));
    folders.into_iter().find(|folder| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file()))
}

/// `<root>/<number>/<leaf>` for all that exist, the highest number first.
fn versioned(root: &str, leaf: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let digits = name.trim_start_matches("pgsql-");
            Some((digits.parse().ok()?, path.join(leaf)))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

/// User and group number of an unprivileged account: the server refuses to run as root.
pub(crate) fn unprivileged() -> Option<(u32, u32)> {
    let accounts = std::fs::read_to_string(Path::new("/etc/passwd")).ok()?;
    ["postgres", "nobody"].iter().find_map(|wanted| {
        accounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.first() == Some(wanted))
                .then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))?
        })
    })
}
