//! All that a rotator author reads: the trait, requests, errors and secrets. Depends on nothing else of keywheel.
//!
//! A rotator changes one kind of credential at one kind of target. The engine owns the order of the six steps, durability
//! and retries; the rotator owns the target's dialect and tells the truth about what happened there.
//! Start at [`Rotator`], then read [`RotatorError`]: *did it happen?* and *what next?* are the two answers that keep a
//! credential from being lost.

mod bundle;
mod call;
mod descriptor;
mod error;
pub mod library;
mod mask;
pub mod message;
mod rotator;
mod secret;

pub use bundle::{Bundle, EXPIRES_AT, MissingField, PASSWORD, USERNAME};
pub use call::{Admin, Call, Check, Generates, GrantParity, RevokeHow, Strategy, Target};
pub use descriptor::{Capabilities, Descriptor, Origin, Setting, SettingKind, Shape};
pub use error::{Effect, Retry, RotatorError};
pub use mask::{MASK, mask};
pub use rotator::{Answer, Finding, Place, Rotator, Severity, Usage};
pub use secret::Secret;
