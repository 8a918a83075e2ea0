//! `keywheel secret put`: a person's value becomes `CURRENT`. Values come from stdin, never from the command line, where
//! everybody on the machine could read them.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::time::{Duration, Instant};

use keywheel_policies::Policy;
use keywheel_runtime::{Engine, RunError, target_of};
use keywheel_sdk::{Bundle, Call, Secret, USERNAME};
use keywheel_state::{Claim, Lease, StateStore};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::exit::{Exit, Failure, NOTHING_CHANGED};
use crate::output::{printable, talk};
use crate::{Session, wire};

/// Put a secret's value, read from stdin or typed unseen
///
/// It becomes CURRENT at once, and the former value PREVIOUS. The target is not touched: put the value that it accepts.
/// Refused while a rotation of the secret is open.
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
}

/// Larger values are no credentials.
const LARGEST: u64 = 1024 * 1024;

/// How long making a field of others may take.
const DERIVING: Duration = Duration::from_secs(30);

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let rotators = wire::rotators(Some(&settings));
    let engine = wire::engine(&settings, &rotators, None).await?;
    // A person may take long to type: nothing that is decided below may be older than that.
    let mut bundle = read(args.username.as_deref())?;
    // Another policy's mistake does not stand in the way of a value that may be needed now.
    let loaded = wire::read_policies(&settings.policies, Some(&settings), &rotators);
    if let Some(policy) = loaded.policies.iter().find(|policy| policy.secret.name == args.name) {
        fits(policy, &bundle)?;
        bundle = complete(&engine, policy, bundle).await;
    }
    let lease = claim(&engine, &args.name).await?;
    let put = put_leased(&engine, &bundle, &lease).await;
    if let Err(error) = engine.state.release(&lease).await {
        tracing::warn!(secret = args.name, %error, "the lease was not given back; it will expire");
    }
    let (version, replaced) = put?;
    let fields = bundle.fields().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    talk(&format!("`{}` is now version {version} with {fields}", args.name));
    if let Some(replaced) = replaced {
        talk(&format!("the former version {replaced} is PREVIOUS"));
    }
    Ok(Exit::Done)
}

/// A person takes the same lease as a worker, so that no rotation moves labels in between.
async fn claim(engine: &Engine, name: &str) -> Result<Lease, Failure> {
    match engine.state.claim(name, engine.limits.lease, engine.clock.now()).await? {
        Claim::Granted(lease) => Ok(lease),
        Claim::Held { until } => Err(RunError::Busy { secret: name.to_owned(), until }.into()),
    }
}

/// Puts the value. Returns its version and the one that is `PREVIOUS` now. Should the lease run out on the way, its fence
/// keeps the store from taking what came too late.
async fn put_leased(engine: &Engine, bundle: &Bundle, lease: &Lease) -> Result<(String, Option<String>), Failure> {
    let name = lease.secret.as_str();
    refuse_over_open(engine.state.as_ref(), name).await?;
    let replaces = engine.secrets.labels(name).await?.current;
    let version = engine.clock.rotation_id().to_string();
    engine.secrets.put(name, &version, bundle, replaces.as_deref(), engine.clock.now(), lease.fence).await?;
    Ok((version, replaces))
}

/// An open rotation relies on the labels: a value put now would push out the version that it has to revoke, or become what
/// it replaces without its knowledge. Either leaves a credential that works and nobody holds.
async fn refuse_over_open(state: &dyn StateStore, name: &str) -> Result<(), Failure> {
    let Some(open) = state.open_of(name).await? else { return Ok(()) };
    let (owes, hint) = if open.state.promoted_at.is_some() {
        (
            "still has to revoke the former value",
            "let it end: `keywheel run` goes on with it, `keywheel status` shows when",
        )
    } else {
        ("is under way", "let it end with `keywheel run` or `keywheel rotate`, or undo it with `keywheel rollback`")
    };
    Err(Failure {
        exit: Exit::Busy,
        what: format!("rotation {} of `{name}` {owes}", open.fixed.id),
        changed: NOTHING_CHANGED,
        hint: Some(hint.to_owned()),
    })
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
    if let Strategy::Overlapping = policy.strategy {
        return match policy.secret.fields.iter().find(|field| bundle.get(field).is_err()) {
            None => Ok(()),
            Some(field) => Err(Failure::input(format!("the credential has no field `{field}`")).hint(format!(
                "policy `{}` needs {}",
                policy.name,
                policy.secret.fields.join(", ")
            ))),
        };
    }
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
    let rotator = engine.rotators.of(policy);
    // Without the admin's credential there is no target yet.
    let target = target_of(policy, engine.secrets.as_ref(), &engine.environment).await.ok();
    for field in &policy.secret.fields {
        if bundle.get(field).is_ok() {
            continue;
        }
        let made = match (&rotator, &target) {
            (Some(rotator), Some(target)) => {
                let call = Call { target, rotation: "put", fence: 0, until: Instant::now() + DERIVING };
                rotator.derive_field(&call, &bundle, field).await.unwrap_or_else(|error| {
                    talk(&format!("note: the field `{field}` was not made: {}", error.message));
                    None
                })
            }
            _ => None,
        };
        match made {
            Some(value) => bundle = bundle.with(field, value),
            None => talk(&format!(
                "note: the policy promises readers the field `{field}`, which is added by the next rotation"
            )),
        }
    }
    bundle
}
