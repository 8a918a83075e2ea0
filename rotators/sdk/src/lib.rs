//! All that a rotator author reads: the trait, requests, errors and secrets. Depends on nothing else of keywheel.
//!
//! A rotator changes one kind of credential at one kind of target. The engine owns the order of the six steps, durability
//! and retries; the rotator owns the target's dialect and tells the truth about what happened there.
//! Start at the [`guide`]; then read [`Rotator`] and [`RotatorError`]: *did it happen?* and *what next?* are the two answers
//! that keep a credential from being lost.

// What the derive writes names this crate, also in here.
extern crate self as keywheel_sdk;

mod bundle;
mod call;
mod descriptor;
#[cfg(feature = "double")]
pub mod double;
mod duration;
mod error;
pub mod library;
#[doc = include_str!("guide.md")]
pub mod guide {}
mod mask;
pub mod message;
mod rotator;
mod secret;
pub mod settings;

pub use bundle::{Bundle, EXPIRES_AT, MissingField, PASSWORD, USERNAME};
pub use call::{Admin, Call, Check, Generates, GrantParity, RevokeHow, Strategy, Target};
pub use descriptor::{Capabilities, Descriptor, Origin, Setting, SettingKind, Shape};
pub use duration::duration;
pub use error::{Effect, Retry, RotatorError};
pub use mask::{MASK, mask};
pub use rotator::{Answer, Finding, Place, Rotator, Severity, Usage};
pub use secret::Secret;
pub use settings::Settings;

/// Derives the trait of the same name, which documents it.
pub use keywheel_sdk_derive::Settings;
