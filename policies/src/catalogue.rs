//! What policies may refer to: rotators and freezes. Filled in by whoever knows them.

use crate::model::Freeze;

/// The rotators and freezes that exist.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    pub rotators: Vec<RotatorSpec>,
    pub freezes: Vec<Freeze>,
}

/// What a rotator says of itself, as far as policies need it.
#[derive(Debug, Clone)]
pub struct RotatorSpec {
    /// The word after `rotator:`.
    pub kind: String,
    /// The shapes it can do. No order, no repeats.
    pub shapes: Vec<Shape>,
    /// What may stand under `target:`.
    pub settings: Vec<SettingSpec>,
    /// Fields that it can add to a secret beside `username` and `password`, such as `dsn`.
    pub fields: Vec<String>,
    /// It can tell who still uses a credential, so that `when: no-sessions` is possible.
    pub usage: bool,
    /// An account may change its own password, so that `admin: self` is possible.
    pub self_managed: bool,
}

/// How old and new live side by side at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    InPlace,
    Alternating,
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

/// One setting under `target:`.
#[derive(Debug, Clone)]
pub struct SettingSpec {
    pub name: String,
    pub kind: SettingKind,
    pub required: bool,
    /// One sentence for people who write policies.
    pub help: String,
}

/// The type of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingKind {
    Text,
    Boolean,
    /// Both bounds included.
    Integer {
        min: i64,
        max: i64,
    },
    /// One of these words.
    Choice(Vec<String>),
}
