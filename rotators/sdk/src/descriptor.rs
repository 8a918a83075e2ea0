//! What a rotator says of itself, before it is asked to do anything.

use serde::{Deserialize, Serialize};

/// How old and new credentials live side by side at the target. The shape decides what is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One account, one password: from apply to promote `CURRENT` is refused.
    InPlace,
    /// Two accounts that take turns: the idle one is changed, so readers see no gap.
    Alternating,
    /// A second key beside the first: no gap.
    Overlapping,
}

impl Shape {
    /// The word that policies use.
    pub fn word(self) -> &'static str {
        match self {
            Shape::InPlace => "in_place",
            Shape::Alternating => "alternating",
            Shape::Overlapping => "overlapping",
        }
    }
}

/// Who makes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The engine makes it (passwords).
    Engine,
    /// The target makes it and shows it once (most API keys).
    Provider,
}

/// What the rotator can do beyond the six steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// It can count who still uses a credential, so a policy may wait for `when: no-sessions`.
    pub usage: bool,
    /// It can say when a credential was last used, so a policy may wait for `when: unused-24h`.
    pub last_used: bool,
    /// It can refuse a credential in a way that may be undone, so a policy may say `disable_first: 24h`.
    pub disable: bool,
    /// An account may change its own password, so `admin: self` is possible.
    pub self_managed: bool,
}

/// The type of one setting under the policy's `target:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    Text,
    /// A list of texts, at least one.
    Texts,
    Boolean,
    /// A whole number within the given bounds, both included.
    Integer {
        min: i64,
        max: i64,
    },
    /// One of these words.
    Choice(Vec<String>),
    /// A text such as `90s`, `24h`, `30d`, `2w` or `1d12h`: numbers with the units w, d, h, m and s, the longest first.
    Duration,
    /// Any JSON value.
    Json,
}

/// One setting that a policy may give under `target:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub name: String,
    pub kind: SettingKind,
    #[serde(default)]
    pub required: bool,
    /// One sentence for people who write policies.
    pub help: String,
    /// Says which accounts are meant: with another value they are others, or in other places. A rotation that is under way
    /// rests while its policy says otherwise in such a setting. `host`, `port` and `database` always do.
    #[serde(default)]
    pub names_target: bool,
}

/// What a rotator is and can do. Constant for one version of a rotator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The word that policies use: `rotator: postgres`.
    pub kind: String,
    /// The rotator's own semantic version.
    pub version: String,
    pub shapes: Vec<Shape>,
    pub origin: Origin,
    #[serde(default)]
    pub settings: Vec<Setting>,
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Fields that [`crate::Rotator::derive_field`] can add to a bundle, such as `dsn`. Where the provider makes the value: all
    /// fields of it.
    #[serde(default)]
    pub derived_fields: Vec<String>,
}
