//! Making it happen: scheduler, workers, driver, recovery.
//!
//! Bottom up: `step` has one effect per file, `settle` looks at what is in doubt, `driver` turns one rotation until it
//! ends or waits, `worker` does so under the secret's lease, `scheduler` decides whose turn it is. Between rotations `heartbeat`
//! asks about `CURRENT`.

mod account;
mod beats;
mod clock;
mod consumers;
mod context;
mod digest;
mod driver;
mod engine;
#[cfg(feature = "failpoints")]
pub mod failpoint;
mod heartbeat;
mod journal;
mod lease;
mod queue;
mod redaction;
mod registry;
mod scheduler;
mod settle;
mod step;
mod telling;
mod worker;

pub use account::{CredentialError, Environment, admin, recipe_of, target_of, text_of};
pub use clock::{Clock, SystemClock};
pub use consumers::{Consumers, Moment, NoConsumers, Occasion};
pub use driver::Stop;
pub use engine::{Engine, Limits, Observed, Observer};
pub use heartbeat::Beat;
pub use redaction::Redacted;
pub use registry::{PluginFile, Registry};
pub use scheduler::{Retired, Schedule, Until, target_key};
pub use telling::Aging;
pub use worker::{Live, Order, RunError, due_after};
