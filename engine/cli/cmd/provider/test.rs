//! `keywheel provider test`: what a rotation would send, or the part of it that only reads.

use keywheel_policies::{Policy, Settings};
use keywheel_runtime::target_of;
use keywheel_sdk::{Admin, Bundle};
use keywheel_secrets::{Label, Selector};
use serde::Serialize;
use serde_json::Map;

use crate::exit::{Exit, Failure};
use crate::output::{printable, talk};
use crate::wire::{Held, Known, Sketch};
use crate::{Session, preflight, wire};

/// Try a provider's declaration without making a key
///
/// With `--dry-run`, prints every request that a rotation would send, and sends none: secret values are shown as •••, and what
/// nobody knows yet as its variable, such as ${key.key_id}. Without, asks the provider what only reads: its list of keys, and
/// whether it accepts CURRENT. Exits with 7 if a rotation would fail.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the provider
    name: String,
    /// The policy whose target, admin and secret are used
    #[arg(long, value_name = "POLICY", required_unless_present = "dry_run")]
    policy: Option<String>,
    /// Send nothing: print the requests
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let (_, provider) = super::one(cx, &args.name)?;
    let Some(policy) = &args.policy else {
        let nothing = Map::new();
        let known = Known { target: &nothing, admin: Held::Assumed };
        return print(cx, &provider.dry_run(&known).map_err(Failure::input)?);
    };
    if !args.dry_run {
        return ask(args, policy, cx).await;
    }
    let settings = wire::settings(&cx.globals.settings)?;
    let policy = wire::policies(&settings, &wire::rotators(Some(&settings)))?.one(policy)?;
    fits(&policy, &args.name)?;
    let fields = admin_fields(&settings, &policy).await;
    let known = Known { target: &policy.target, admin: Held::Fields(&fields) };
    print(cx, &provider.dry_run(&known).map_err(Failure::input)?)
}

fn fits(policy: &Policy, provider: &str) -> Result<(), Failure> {
    if policy.rotator == provider {
        return Ok(());
    }
    Err(Failure::input(format!("policy `{}` uses `{}`, not `{provider}`", policy.name, policy.rotator))
        .hint(format!("`keywheel provider test {} --policy {}`", policy.rotator, policy.name)))
}

/// One finding as JSON. Stable.
#[derive(Serialize)]
struct Line {
    /// `error`, `warning` or `fine`.
    severity: &'static str,
    what: String,
    hint: String,
}

/// The part of a rotation that only reads.
async fn ask(args: &Args, policy: &str, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open(&cx.globals.settings, None).await?;
    let policy = wired.policies.one(policy)?;
    fits(&policy, &args.name)?;
    talk("asking for the list of keys, and whether CURRENT is accepted; nothing is created, changed or deleted");
    let line = |finding: keywheel_sdk::Finding| Line {
        severity: preflight::word(finding.severity),
        what: finding.what,
        hint: finding.hint,
    };
    let lines: Vec<Line> = preflight::findings(&wired.engine, &policy).await.into_iter().map(line).collect();
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else {
        let row = |line: &Line| vec![line.severity.to_owned(), line.what.clone(), line.hint.clone()];
        cx.out.table(&["", "FOUND", "TO DO"], &lines.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(if lines.iter().any(|line| line.severity == "error") { Exit::Findings } else { Exit::Done })
}

/// The names of the fields of the admin's credential, none where there is none. What is missing is told. Values are dropped here.
async fn admin_fields(settings: &Settings, policy: &Policy) -> Vec<String> {
    let (secrets, unreadable) = wire::secrets_to_look_into(settings).await;
    if let Some(why) = unreadable {
        talk(&format!("note: {why}"));
    }
    let current = secrets.read(&policy.secret.name, Selector::Label(Label::Current)).await.ok().flatten();
    if current.is_none() {
        talk(&format!("note: `{}` has no CURRENT", policy.secret.name));
    }
    let names = |bundle: &Bundle| bundle.fields().map(|(name, _)| name.to_owned()).collect();
    match target_of(policy, secrets.as_ref(), &wire::environment()).await.map(|target| target.admin) {
        Ok(Admin::Credential(bundle)) => names(&bundle),
        Ok(Admin::Own) => current.map(|stored| names(&stored.bundle)).unwrap_or_default(),
        Err(error) => {
            talk(&format!("note: {error}"));
            Vec::new()
        }
    }
}

/// One request as JSON. Stable.
#[derive(Serialize)]
struct Request<'a> {
    /// Its word in the declaration.
    request: &'static str,
    method: &'a str,
    url: &'a str,
    headers: Vec<Header<'a>>,
    body: Option<&'a str>,
    /// What else is sent with it, for people.
    note: Option<&'static str>,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: &'a str,
}

fn print(cx: &mut Session, sketches: &[Sketch]) -> anyhow::Result<Exit> {
    if cx.out.is_json() {
        let requests: Vec<Request<'_>> = sketches
            .iter()
            .map(|sketch| Request {
                request: sketch.request,
                method: &sketch.method,
                url: &sketch.url,
                headers: sketch.headers.iter().map(|(name, value)| Header { name, value }).collect(),
                body: sketch.body.as_deref(),
                note: sketch.note,
            })
            .collect();
        cx.out.json(&requests)?;
    } else {
        for sketch in sketches {
            let note = sketch.note.map(|note| format!(" ({note})")).unwrap_or_default();
            let mut text = format!("{}{note}\n  {} {}\n", sketch.request, sketch.method, printable(&sketch.url));
            for (name, value) in &sketch.headers {
                text.push_str(&format!("  {name}: {}\n", printable(value)));
            }
            if let Some(body) = &sketch.body {
                text.push_str(&format!("\n  {}\n", printable(body)));
            }
            cx.out.line(&text)?;
        }
        talk("dry run: nothing was sent");
    }
    Ok(Exit::Done)
}
