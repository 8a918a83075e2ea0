//! What should happen: YAML text becomes a [`Policy`], with all mistakes reported at once.
//!
//! Two representations with a wall between them: documents (what people write, spanned, full of options) and the model
//! (what the engine acts on, complete and checked). Only this crate sees documents.
//!
//! Start at [`load`] for policies and at [`load_settings`] for `keywheel.yaml`. The path of a file through the modules:
//! `source` (bytes to text) → `tree` (text to values with places) → `walk` (values with places to typed values or
//! problems) → `policy`, `settings` (what the keys mean) → `across` (policies side by side) → `problem` (how it is shown).

mod across;
mod catalogue;
mod consumers;
mod cron;
mod document;
mod insert;
mod load;
mod model;
mod notifiers;
mod notify;
mod pin;
mod placeholder;
mod plugins;
mod policy;
mod problem;
mod scalar;
mod schema;
mod settings;
mod source;
mod tree;
mod walk;
mod window;

pub use catalogue::{
    BrokenRotator, Catalogue, KnownConsumer, RotatorSpec, Rotators, SettingKind, SettingSpec, SettingsCheck,
    SettingsOwner, Shape,
};
pub use cron::{Cron, CronError, CronField};
pub use insert::{NewPlugin, with_plugin};
pub use load::{Loaded, Resting, load, load_text};
pub use model::{
    AdminSource, Adopt, Backoff, Channel, Chat, Check, ConsumerKind, ConsumerSpec, DigestSchedule, Email, Exec,
    ExecInput, Exhausted, File, FileSignal, FirstCharacter, Freeze, Generate, GrantParity, Heartbeat, MailTls,
    NoticeKind, NotifierSpec, Notify, OnDeadline, OnDrift, OnFailure, Policy, Reference, Revoke, RevokeWhen, Schedule,
    SecretSpec, Signal, Strategy, Trigger, Webhook, Weekday, Window,
};
pub use pin::{Pinned, is_version};
pub use placeholder::{Part, parts};
pub use plugins::{PluginForm, PluginSignature, PluginSpec};
pub use policy::{BROKEN_ROTATOR, RESTING};
pub use problem::{Place, Problem, Problems, steers};
pub use schema::{policy_schema, settings_schema};
pub use settings::{
    ABSENT, Deadlines, Limits, MasterKey, SecretStore, Settings, StateStore, load_settings, load_settings_to_use,
};
