//! `keywheel secret put`: a person's value becomes `CURRENT`. Values come from stdin, never from the command line, where
//! everybody on the machine could read them.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Read, Write};

use keywheel_policies::Policy;
use keywheel_runtime::{Engine, target_of};
use keywheel_sdk::{Bundle, Secret, USERNAME};
use keywheel_state::StateStore;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::exit::{Exit, Failure, NOTHING_CHANGED};
use crate::output::{printable, talk};
use crate::{Session, wire};

/// Put a secret's value, read from stdin or typed unseen
///
/// It becomes CURRENT at once, and the former value PREVIOUS. The target is not touched: put the value that it accepts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Such as:
  keywheel secret put admin/db --username rotator < password-file
  echo '{\"username\": \"orders\", \"password\": \"…\"}' | keywheel secret put orders/db")]
pub struct Args {
    /// Name of the secret
    name: String,
    /// Take stdin as the password of this account, instead of as a JSON object of text fields
    #[arg(long)]
    username: Option<String>,
    /// Even though a rotation of this secret still has to revoke the former value
    #[arg(long)]
    force: bool,
}

/// Larger values are no credentials.
const LARGEST: u64 = 1024 * 1024;

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let engine = wire::engine(&settings, None).await?;
    let secrets = &engine.secrets;
    if !args.force {
        refuse_over_unrevoked(engine.state.as_ref(), &args.name).await?;
    }
    let mut bundle = read(args.username.as_deref())?;
    // Another policy's mistake does not stand in the way of a value that may be needed now.
    let loaded = wire::read_policies(&settings.policies, Some(&settings));
    if let Some(policy) = loaded.policies.iter().find(|policy| policy.secret.name == args.name) {
        fits(policy, &bundle)?;
        bundle = complete(&engine, policy, bundle).await;
    }
    let replaces = secrets.labels(&args.name).await.map_err(Failure::from)?.current;
    let version = engine.clock.rotation_id().to_string();
    let now = engine.clock.now();
    secrets.put(&args.name, &version, &bundle, replaces.as_deref(), now).await.map_err(Failure::from)?;
    let fields = bundle.fields().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    talk(&format!("`{}` is now version {version} with {fields}", args.name));
    if let Some(replaces) = replaces {
        talk(&format!("the former version {replaces} is PREVIOUS"));
    }
    Ok(Exit::Done)
}

/// Putting a value now would push out the version that still has to be revoked: a credential that works and nobody holds.
async fn refuse_over_unrevoked(state: &dyn StateStore, name: &str) -> Result<(), Failure> {
    match state.open_of(name).await? {
        Some(open) if open.state.promoted_at.is_some() => Err(Failure {
            exit: Exit::Busy,
            what: format!("rotation {} of `{name}` still has to revoke the former value", open.fixed.id),
            changed: NOTHING_CHANGED,
            hint: Some("wait until it is done (`keywheel status`), or say `--force`: it will park then".to_owned()),
        }),
        Some(_) | None => Ok(()),
    }
}

fn read(username: Option<&str>) -> Result<Bundle, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return match username {
            Some(username) => Ok(Bundle::login(username, ask(username)?)),
            None => Err(Failure::input("a JSON object is read from stdin, and stdin is a terminal that would show it")
                .hint("pipe it in, or use `--username USER` and type the password alone")),
        };
    }
    // Room for all at once, so that growing leaves no copies behind.
    let mut text = String::with_capacity(LARGEST as usize + 1);
    stdin
        .lock()
        .take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::input(format!("stdin could not be read as text: {}", error.kind())))?;
    if text.len() as u64 > LARGEST {
        return Err(Failure::input("the value is larger than 1 MiB"));
    }
    match username {
        Some(username) => Ok(Bundle::login(username, password(text)?)),
        None => object(&Secret::new(text)),
    }
}

/// A password, without the line break behind it.
fn password(mut text: String) -> Result<Secret, Failure> {
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() { Err(Failure::input("stdin holds no password")) } else { Ok(Secret::new(text)) }
}

/// Asks a person at the terminal, without showing what is typed.
fn ask(username: &str) -> Result<Secret, Failure> {
    let failed = |error: std::io::Error| Failure::input(format!("the terminal cannot be read: {error}"));
    let _ = write!(std::io::stderr(), "password of {}: ", printable(username));
    let hidden = Hidden::new().map_err(|error| failed(error.into()))?;
    let mut text = String::with_capacity(LINE);
    let read = std::io::stdin().lock().take(LINE as u64).read_line(&mut text);
    drop(hidden);
    talk("");
    read.map_err(failed)?;
    password(text)
}

/// A terminal's own limit for one line is 4096 bytes.
const LINE: usize = 4096;

/// The terminal does not show what is typed, until dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> rustix::io::Result<Hidden> {
        let before = tcgetattr(std::io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that went away needs nothing any more.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn object(text: &Secret) -> Result<Bundle, Failure> {
    // The parser's own message could quote the value.
    let fields: BTreeMap<String, String> = text.expose(|text| serde_json::from_str(text)).map_err(|error: serde_json::Error| {
        Failure::input(format!("stdin is no JSON object of texts (line {}, column {})", error.line(), error.column()))
            .hint("such as {\"username\": \"…\", \"password\": \"…\"}, or use `--username USER` and give the password alone")
    })?;
    if fields.is_empty() {
        return Err(Failure::input("stdin holds an object without fields"));
    }
    Ok(fields.into_iter().fold(Bundle::new(), |bundle, (name, value)| bundle.with(&name, Secret::new(value))))
}

/// A value for an account that the policy does not manage would fail the next rotation.
fn fits(policy: &Policy, bundle: &Bundle) -> Result<(), Failure> {
    use keywheel_policies::Strategy;
    let users: &[String] = match &policy.strategy {
        Strategy::InPlace { user } => std::slice::from_ref(user),
        Strategy::Alternating { users, .. } => users,
        Strategy::Overlapping => &[],
    };
    let list = users.iter().map(|user| format!("`{user}`")).collect::<Vec<_>>().join(" or ");
    let lacking = |error: keywheel_sdk::MissingField| {
        Failure::input(error.to_string()).hint(format!("policy `{}` needs `username` and `password`", policy.name))
    };
    let username = bundle.username().map_err(lacking)?;
    bundle.password().map_err(lacking)?;
    if !users.is_empty() && !users.contains(&username) {
        return Err(Failure::input(format!(
            "policy `{}` rotates {list}, and this value's `{USERNAME}` is `{username}`",
            policy.name
        ))
        .hint("put the credential that the target accepts for that account"));
    }
    Ok(())
}

/// Adds the fields that the policy promises to readers and the rotator can make, such as `dsn`.
async fn complete(engine: &Engine, policy: &Policy, mut bundle: Bundle) -> Bundle {
    let rotator = engine.rotators.get(&policy.rotator);
    // Without the admin's credential there is no target yet.
    let target = target_of(policy, engine.secrets.as_ref(), &engine.environment).await.ok();
    for field in &policy.secret.fields {
        if bundle.get(field).is_ok() {
            continue;
        }
        let made = rotator
            .as_ref()
            .zip(target.as_ref())
            .and_then(|(rotator, target)| rotator.derive_field(target, &bundle, field));
        match made {
            Some(value) => bundle = bundle.with(field, value),
            None => talk(&format!(
                "note: the policy promises readers the field `{field}`, which is added by the next rotation"
            )),
        }
    }
    bundle
}
