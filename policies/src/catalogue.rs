//! What policies may refer to: rotators, freezes, notifiers and consumers. Filled in by whoever knows them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::model::{ConsumerKind, ConsumerSpec, Freeze};
use crate::pin::{Pinned, semantic};

/// The rotators, freezes, notifiers and consumers that exist.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    pub rotators: Rotators,
    pub freezes: Vec<Freeze>,
    /// Their names, in the order written.
    pub notifiers: Vec<String>,
    /// By their names.
    pub consumers: BTreeMap<String, KnownConsumer>,
}

/// What policies need to know of a consumer.
#[derive(Debug, Clone, Default)]
pub struct KnownConsumer {
    /// The fields that a secret must have.
    pub fields: Vec<String>,
    /// It writes a file, which can hold one secret.
    pub writes_file: bool,
}

impl From<&ConsumerSpec> for KnownConsumer {
    fn from(spec: &ConsumerSpec) -> Self {
        KnownConsumer { fields: spec.fields(), writes_file: matches!(spec.does, ConsumerKind::File(_)) }
    }
}

/// Rotators by the word after `rotator:`, those that are broken among them. What one says of itself is asked when a policy first
/// names it: there are many, and few are named. One word may mean several versions.
#[derive(Debug, Clone, Default)]
pub struct Rotators(BTreeMap<String, Vec<Arc<LazySpec>>>);

type LazySpec =
    LazyLock<Result<RotatorSpec, BrokenRotator>, Box<dyn FnOnce() -> Result<RotatorSpec, BrokenRotator> + Send>>;

impl Rotators {
    /// Adds a rotator; a later one of the same kind replaces the earlier.
    #[must_use]
    pub fn with(
        mut self,
        kind: &str,
        spec: impl FnOnce() -> Result<RotatorSpec, BrokenRotator> + Send + 'static,
    ) -> Self {
        self.0.remove(kind);
        self.beside(kind, spec)
    }

    /// Adds a rotator as a further version of its kind.
    #[must_use]
    pub fn beside(
        mut self,
        kind: &str,
        spec: impl FnOnce() -> Result<RotatorSpec, BrokenRotator> + Send + 'static,
    ) -> Self {
        let spec: LazySpec = LazyLock::new(Box::new(spec));
        self.0.entry(kind.to_owned()).or_default().push(Arc::new(spec));
        self
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.keys().map(String::as_str)
    }

    /// What `rotator:` means: of all versions that fit the pin the highest. `None` where there is no such kind.
    ///
    /// What is broken does not say which version it is, so it may be the one that is meant. Then another one acts only for a policy
    /// that asks for exactly that other one.
    pub(crate) fn choose(&self, pinned: &Pinned) -> Option<Chosen<'_>> {
        let listed = self.0.get(&pinned.kind)?;
        let broken = listed.iter().find_map(|spec| (***spec).as_ref().err());
        let mut there: Vec<&RotatorSpec> = listed.iter().filter_map(|spec| (***spec).as_ref().ok()).collect();
        if let Some(twin) = twin(&there) {
            return Some(Chosen::Broken(twin));
        }
        there.sort_by_key(|spec| semantic(&spec.version));
        let chosen = pinned.choose(there.iter().copied(), |spec| &spec.version);
        let versions = || there.iter().map(|spec| spec.version.clone()).collect();
        Some(match (chosen, broken) {
            (Some(spec), None) => Chosen::One(spec),
            (Some(spec), Some(_)) if pinned.is_exact() => Chosen::One(spec),
            (_, Some(broken)) if listed.len() == 1 => Chosen::Broken(broken.clone()),
            (_, Some(broken)) => Chosen::Broken(broken.of_several()),
            (None, None) if pinned.pin.is_some() => Chosen::Unfit(versions()),
            (None, None) => Chosen::Unpinned(versions()),
        })
    }

    /// The rotator of this kind that says that it is this version.
    pub(crate) fn of(&self, kind: &str, version: &str) -> Option<&RotatorSpec> {
        let mut there = self.0.get(kind)?.iter().filter_map(|spec| (***spec).as_ref().ok());
        there.find(|spec| spec.version == version)
    }
}

/// Nobody could tell which of two equal versions acts.
fn twin(there: &[&RotatorSpec]) -> Option<BrokenRotator> {
    let twin = there.iter().enumerate().find(|(at, spec)| there[..*at].iter().any(|one| one.version == spec.version));
    let (_, spec) = twin?;
    let why = format!("two files say that they are version {} of `{}`", spec.version, spec.kind);
    Some(BrokenRotator { why, file: spec.file.clone().unwrap_or_default() })
}

/// What a policy's word and pin come to.
pub(crate) enum Chosen<'c> {
    One(&'c RotatorSpec),
    Broken(BrokenRotator),
    /// There are several versions, and no pin says which. The highest is the last.
    Unpinned(Vec<String>),
    /// No version fits the pin. The highest is the last.
    Unfit(Vec<String>),
}

impl FromIterator<RotatorSpec> for Rotators {
    fn from_iter<T: IntoIterator<Item = RotatorSpec>>(specs: T) -> Self {
        specs.into_iter().fold(Self::default(), |all, spec| all.with(&spec.kind.clone(), move || Ok(spec)))
    }
}

/// A rotator that there would be, were its file right. A policy may name it, and rests until that is mended.
#[derive(Debug, Clone)]
pub struct BrokenRotator {
    /// What is wrong, as a sentence fragment.
    pub why: String,
    /// The file that is to be mended, as it is named in messages.
    pub file: String,
}

impl BrokenRotator {
    /// Among others of its kind: it may be any version.
    fn of_several(&self) -> Self {
        let why = format!("nobody can tell which version `{}` is: {}", self.file, self.why);
        BrokenRotator { why, file: self.file.clone() }
    }
}

/// What a rotator says of itself, as far as policies need it.
#[derive(Debug, Clone)]
pub struct RotatorSpec {
    /// The word after `rotator:`.
    pub kind: String,
    /// Its own version.
    pub version: String,
    /// The file that it comes from, as it is named in messages. `None` for what comes with the program.
    pub file: Option<String>,
    /// The shapes it can do. No order, no repeats.
    pub shapes: Vec<Shape>,
    /// What may stand under `target:`.
    pub settings: Vec<SettingSpec>,
    /// Fields that it can add to a secret beside `username` and `password`, such as `dsn`; or, if `provider_made`, all fields
    /// that the provider makes.
    pub fields: Vec<String>,
    /// The provider makes the value, and not the engine: `generate:` has no say, and each secret holds all of `fields`.
    pub provider_made: bool,
    /// It can tell who still uses a credential, so that `when: no-sessions` is possible.
    pub usage: bool,
    /// It can tell when a credential was last used, so that `when: unused-24h` is possible.
    pub last_used: bool,
    /// It can refuse a credential in a way that can be undone, so that `disable_first: 24h` is possible.
    pub disable: bool,
    /// An account may change its own password, so that `admin: self` is possible.
    pub self_managed: bool,
    /// What it says of settings that are each of the declared kind.
    pub check: SettingsCheck,
    /// Whose accounts the settings mean, and at what address, in one spelling. `None` where the settings themselves say it.
    pub owner: SettingsOwner,
}

/// Says in one spelling whose accounts a `target:` means. Opens nothing.
#[derive(Clone)]
pub struct SettingsOwner(Arc<Naming>);

type Naming = dyn Fn(&Map<String, Value>) -> Option<String> + Send + Sync;

impl SettingsOwner {
    /// Asks this function.
    pub fn new(owner: impl Fn(&Map<String, Value>) -> Option<String> + Send + Sync + 'static) -> Self {
        SettingsOwner(Arc::new(owner))
    }

    /// Leaves it to the settings.
    pub fn none() -> Self {
        Self::new(|_| None)
    }

    pub(crate) fn of(&self, target: &Map<String, Value>) -> Option<String> {
        (self.0)(target)
    }
}

impl std::fmt::Debug for SettingsOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SettingsOwner")
    }
}

/// Says what is wrong with a `target:` as a whole. Opens nothing.
#[derive(Clone)]
pub struct SettingsCheck(Arc<Judge>);

type Judge = dyn Fn(&Map<String, Value>) -> Result<(), String> + Send + Sync;

impl SettingsCheck {
    /// Asks this function.
    pub fn new(check: impl Fn(&Map<String, Value>) -> Result<(), String> + Send + Sync + 'static) -> Self {
        SettingsCheck(Arc::new(check))
    }

    /// Finds nothing wrong.
    pub fn none() -> Self {
        Self::new(|_| Ok(()))
    }

    /// What is wrong, as one sentence.
    pub fn of(&self, settings: &Map<String, Value>) -> Result<(), String> {
        (self.0)(settings)
    }
}

impl fmt::Debug for SettingsCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettingsCheck")
    }
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
    /// With another value other accounts are meant, or the same in other places.
    pub names_target: bool,
}

/// The type of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingKind {
    Text,
    /// A list of texts, at least one.
    Texts,
    Boolean,
    /// Both bounds included.
    Integer {
        min: i64,
        max: i64,
    },
    /// One of these words.
    Choice(Vec<String>),
    /// `90d`, `1d12h`: kept as it is written.
    Duration,
    /// Whatever YAML can hold, as far as JSON can.
    Json,
}
