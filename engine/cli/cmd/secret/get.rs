//! `keywheel secret get`: a value for an application or a script. The only command that prints secret values.

use clap::ValueEnum;
use keywheel_secrets::{Label, SecretStore, Selector, Stored};

use crate::exit::{Exit, Failure};
use crate::{Session, select, wire};

/// Print a secret's value
///
/// With `--field`, the bare value and a line break; without, all fields as a JSON object.
#[derive(Debug, clap::Args)]
#[command(after_help = "Such as: PGPASSWORD=$(keywheel secret get orders/db --field password) psql …")]
pub struct Args {
    /// Name of the secret
    name: String,
    /// Only this field
    #[arg(long)]
    field: Option<String>,
    /// This version instead of CURRENT
    #[arg(long, conflicts_with = "label")]
    version: Option<String>,
    /// The version with this label
    #[arg(long, default_value = "current")]
    label: Which,
    /// Without the line break after a bare value
    #[arg(short = 'n', long, requires = "field")]
    no_newline: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Current,
    Previous,
    Pending,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let secrets = wire::secrets(&settings).await?;
    let selector = match &args.version {
        Some(version) => Selector::Version(version),
        None => Selector::Label(match args.label {
            Which::Current => Label::Current,
            Which::Previous => Label::Previous,
            Which::Pending => Label::Pending,
        }),
    };
    let Some(stored) = secrets.read(&args.name, selector).await.map_err(Failure::from)? else {
        return Err(missing(&secrets, args).await?.into());
    };
    match &args.field {
        Some(field) => bare(cx, &stored, field, !args.no_newline)?,
        None => object(cx, &stored)?,
    }
    Ok(Exit::Done)
}

fn bare(cx: &mut Session, stored: &Stored, field: &str, newline: bool) -> anyhow::Result<()> {
    let value = stored.bundle.get(field).map_err(|error| {
        let known = stored.bundle.fields().map(|(name, _)| name);
        let list = stored.bundle.fields().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Failure::input(error.to_string())
            .hint(select::suggestion(field, known).unwrap_or_else(|| format!("it has {list}")))
    })?;
    value.expose(|value| cx.out.raw(value.as_bytes()))?;
    if newline {
        cx.out.raw(b"\n")?;
    }
    Ok(())
}

/// Written field by field: a document in memory would outlive the secret's own.
fn object(cx: &mut Session, stored: &Stored) -> anyhow::Result<()> {
    for (number, (name, value)) in stored.bundle.fields().enumerate() {
        let start = if number == 0 { "{\n  " } else { ",\n  " };
        cx.out.raw(format!("{start}{}: ", serde_json::to_string(name)?).as_bytes())?;
        value.expose(|value| -> anyhow::Result<()> {
            let mut quoted = serde_json::to_vec(value)?;
            let written = cx.out.raw(&quoted);
            quoted.fill(0);
            Ok(written?)
        })?;
    }
    cx.out.raw(b"\n}\n")?;
    Ok(())
}

async fn missing(secrets: &dyn SecretStore, args: &Args) -> Result<Failure, Failure> {
    let listed = secrets.list().await?;
    if listed.iter().any(|info| info.name == args.name) {
        let failure = Failure::input(format!("`{}` has no such version", args.name));
        return Ok(failure.hint(format!("`keywheel secret versions {}` lists them", args.name)));
    }
    let near = select::suggestion(&args.name, listed.iter().map(|info| info.name.as_str()));
    let put = || format!("`keywheel secret put {}` puts it; `keywheel secret list` lists what there is", args.name);
    Ok(Failure::input(format!("there is no secret `{}`", args.name)).hint(near.unwrap_or_else(put)))
}
