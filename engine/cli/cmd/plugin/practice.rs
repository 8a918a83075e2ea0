//! `keywheel plugin practice`: the practice target by itself, to try a plugin on.

use keywheel_exam::PracticeTarget;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::{Session, signals};

/// Run a target to practise on
///
/// It keeps accounts and their passwords in memory, and listens on 127.0.0.1 until it is stopped with Ctrl-C. Messages are JSON
/// objects, one per line; rotators/plugin/README.md describes them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen on 127.0.0.1; on any free port unless given
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
}

/// Where it listens, as JSON. Stable.
#[derive(Serialize)]
struct Listening {
    host: &'static str,
    port: u16,
    /// Made anew at each start.
    admin_password: String,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let target = PracticeTarget::start(args.port).await.map_err(|error| {
        Failure::input(format!("cannot listen on port {}: {error}", args.port))
            .hint("without `--port`, a free one is taken")
    })?;
    let admin_password = target.admin().password()?.expose(str::to_owned);
    let listening = Listening { host: "127.0.0.1", port: target.port(), admin_password };
    if cx.out.is_json() {
        cx.out.json(&listening)?;
    } else {
        cx.out.line(&format!("listening on {}:{}", listening.host, listening.port))?;
        cx.out.line(&format!("the admin's password is {}", listening.admin_password))?;
    }
    signals::stopping(|| talk("stopping"))?.cancelled().await;
    Ok(Exit::Done)
}
