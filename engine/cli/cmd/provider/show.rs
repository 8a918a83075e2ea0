//! `keywheel provider show`: what a policy must say to use a provider, and what is asked of it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Session;
use crate::exit::Exit;
use crate::output::printable;
use crate::wire::{Declaration, Origin, Provider};

/// Show what a provider's declaration says
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the provider
    name: String,
}

/// A declaration as JSON. Stable. Variables stand as they are written.
#[derive(Serialize)]
struct Shown {
    name: String,
    /// `shipped` or `file`.
    origin: &'static str,
    file: Option<String>,
    about: String,
    /// Where the vendor documents its API.
    docs: Option<String>,
    base_url: String,
    /// What the secret holds.
    fields: Vec<String>,
    /// The engine makes the value, and not the provider.
    engine_made: bool,
    /// The name that each key gets.
    tag: Option<String>,
    /// How long a new key may be refused at first.
    propagation_seconds: u64,
    /// What a policy gives under `target:`.
    settings: Vec<Setting>,
    requests: Vec<Request>,
}

#[derive(Serialize)]
struct Setting {
    name: String,
    /// `text`, `texts`, `integer`, `duration` or `json`.
    kind: &'static str,
    /// Of an integer.
    min: Option<i64>,
    max: Option<i64>,
    required: bool,
    default: Option<serde_json::Value>,
    help: String,
    /// Another value means other keys.
    names_target: bool,
}

#[derive(Serialize)]
struct Request {
    name: &'static str,
    /// An address of its own, instead of the provider's.
    base_url: Option<String>,
    method: String,
    path: String,
    /// `bearer`, `basic`, `headers NAME…`, `oauth2`, `sigv4` or `none`.
    auth: String,
    /// The statuses that mean success.
    expect: Vec<u16>,
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let (declaration, provider) = super::one(cx, &args.name)?;
    let shown = shown(&declaration, &provider);
    if cx.out.is_json() {
        cx.out.json(&shown)?;
    } else {
        write(cx, &shown)?;
    }
    Ok(Exit::Done)
}

fn shown(declaration: &Declaration, provider: &Provider) -> Shown {
    let (origin, file) = match &declaration.origin {
        Origin::Shipped => ("shipped", None),
        Origin::File(path) => ("file", Some(path.display().to_string())),
    };
    let outline = provider.outline();
    let setting = |setting: crate::wire::SettingOutline| Setting {
        name: setting.name,
        kind: setting.kind,
        min: setting.min,
        max: setting.max,
        required: setting.required,
        default: setting.default,
        help: setting.help,
        names_target: setting.names_target,
    };
    let request = |request: crate::wire::RequestOutline| Request {
        name: request.name,
        base_url: request.base_url,
        method: request.method,
        path: request.path,
        auth: request.auth,
        expect: request.expect,
    };
    Shown {
        name: provider.name().to_owned(),
        origin,
        file,
        about: provider.about().to_owned(),
        docs: provider.docs().map(str::to_owned),
        base_url: outline.base_url,
        fields: outline.fields,
        engine_made: outline.engine_made,
        tag: outline.tag,
        propagation_seconds: outline.propagation.as_secs(),
        settings: outline.settings.into_iter().map(setting).collect(),
        requests: outline.requests.into_iter().map(request).collect(),
    }
}

fn write(cx: &mut Session, shown: &Shown) -> anyhow::Result<()> {
    let mut head = String::new();
    let mut entry = |name: &str, value: &str| writeln!(head, "{name:<12} {}", printable(value));
    entry("provider", &shown.name)?;
    entry("about", &shown.about)?;
    entry("from", shown.file.as_deref().unwrap_or(shown.origin))?;
    if let Some(docs) = &shown.docs {
        entry("document", docs)?;
    }
    entry("address", &shown.base_url)?;
    entry("fields", &shown.fields.join(", "))?;
    let none = match shown.engine_made {
        true => "none: the engine makes passwords",
        false => "none: all keys of a target are the policy's own",
    };
    entry("tag", shown.tag.as_deref().unwrap_or(none))?;
    if shown.propagation_seconds > 0 {
        entry("propagation", &format!("{} s", shown.propagation_seconds))?;
    }
    cx.out.line(&head)?;
    let row = |setting: &Setting| {
        let given = match &setting.default {
            Some(serde_json::Value::String(text)) => format!("default {text}"),
            Some(other) => format!("default {other}"),
            None if setting.required => "required".to_owned(),
            None => "optional".to_owned(),
        };
        let names = if setting.names_target { "; another value means other keys" } else { "" };
        vec![format!("target.{}", setting.name), kind(setting), given, format!("{}{names}", setting.help)]
    };
    cx.out.table(&["SETTING", "KIND", "", "HELP"], &shown.settings.iter().map(row).collect::<Vec<_>>())?;
    cx.out.line("")?;
    let row = |request: &Request| {
        let expect: Vec<String> = request.expect.iter().map(u16::to_string).collect();
        vec![
            request.name.to_owned(),
            request.method.clone(),
            format!("{}{}", request.base_url.as_deref().unwrap_or_default(), request.path),
            request.auth.clone(),
            expect.join(" "),
        ]
    };
    let header = ["REQUEST", "METHOD", "PATH", "CREDENTIAL", "EXPECTED"];
    cx.out.table(&header, &shown.requests.iter().map(row).collect::<Vec<_>>())?;
    Ok(())
}

fn kind(setting: &Setting) -> String {
    match (setting.min, setting.max) {
        (None, None) => setting.kind.to_owned(),
        (Some(min), None) => format!("{} from {min}", setting.kind),
        (None, Some(max)) => format!("{} to {max}", setting.kind),
        (Some(min), Some(max)) => format!("{} from {min} to {max}", setting.kind),
    }
}
