//! The verbs, one per file, all of the same shape: `Args`, and `run`, which reads, acts, writes and gives an exit code.

use clap::Subcommand;

use crate::Session;
use crate::exit::Exit;

mod completions;
mod doctor;
mod heartbeat;
mod history;
mod init;
mod notify;
mod plan;
mod plugin;
pub mod plugin_host;
mod provider;
mod resume;
mod rollback;
mod rotate;
mod run;
mod schema;
mod secret;
mod show;
mod status;
mod validate;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Args),
    Validate(validate::Args),
    Plan(plan::Args),
    Rotate(rotate::Args),
    Run(run::Args),
    Status(status::Args),
    History(history::Args),
    Show(show::Args),
    Resume(resume::Args),
    Rollback(rollback::Args),
    Heartbeat(heartbeat::Args),
    Secret(secret::Args),
    Provider(provider::Args),
    Plugin(plugin::Args),
    Notify(notify::Args),
    #[command(hide = true)]
    PluginHost(plugin_host::Args),
    Doctor(doctor::Args),
    Schema(schema::Args),
    Completions(completions::Args),
}

impl Command {
    pub async fn run(&self, cx: &mut Session) -> anyhow::Result<Exit> {
        match self {
            Command::Init(args) => init::run(args, cx),
            Command::Validate(args) => validate::run(args, cx),
            Command::Plan(args) => plan::run(args, cx).await,
            Command::Rotate(args) => rotate::run(args, cx).await,
            Command::Run(args) => run::run(args, cx).await,
            Command::Status(args) => status::run(args, cx).await,
            Command::History(args) => history::run(args, cx).await,
            Command::Show(args) => show::run(args, cx).await,
            Command::Resume(args) => resume::run(args, cx).await,
            Command::Rollback(args) => rollback::run(args, cx).await,
            Command::Heartbeat(args) => heartbeat::run(args, cx).await,
            Command::Secret(args) => secret::run(args, cx).await,
            Command::Provider(args) => provider::run(args, cx).await,
            Command::Plugin(args) => plugin::run(args, cx).await,
            Command::Notify(args) => notify::run(args, cx).await,
            Command::PluginHost(args) => plugin_host::run(args),
            Command::Doctor(args) => doctor::run(args, cx).await,
            Command::Schema(args) => schema::run(args, cx),
            Command::Completions(args) => completions::run(args, cx),
        }
    }

    /// What is logged unless the command line says otherwise.
    pub fn usual_log(&self) -> &'static str {
        match self {
            Command::Run(_) => "info,sqlx=warn",
            // Their progress lines and results say the same.
            Command::Rotate(_) | Command::Resume(_) | Command::Rollback(_) => {
                "warn,keywheel_runtime::driver=off,keywheel_runtime::worker=off"
            }
            // A notifier may be the log itself.
            Command::Notify(_) => "warn,keywheel_notify::channel::log=info",
            Command::Init(_)
            | Command::Validate(_)
            | Command::Plan(_)
            | Command::Status(_)
            | Command::History(_)
            | Command::Show(_)
            | Command::Heartbeat(_)
            | Command::Secret(_)
            | Command::Provider(_)
            | Command::Plugin(_)
            | Command::PluginHost(_)
            | Command::Doctor(_)
            | Command::Schema(_)
            | Command::Completions(_) => "warn",
        }
    }
}
