//! Which rotators there are, by the word that policies use, and what policies may say to them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use keywheel_policies::{BrokenRotator, RotatorSpec, Rotators, SettingSpec, SettingsCheck, SettingsOwner};
use keywheel_sdk::{Origin, Rotator, Shape};

/// Rotators by kind.
#[derive(Default, Clone)]
pub struct Registry(BTreeMap<String, Arc<LazyRotator>>);

type LazyRotator = LazyLock<Made, Box<dyn FnOnce() -> Made + Send>>;

/// A rotator, or why there is none.
type Made = Result<Arc<dyn Rotator>, BrokenRotator>;

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rotator under its own kind; a later one of the same kind replaces the earlier.
    #[must_use]
    pub fn with(self, rotator: Arc<dyn Rotator>) -> Self {
        let kind = rotator.describe().kind;
        self.with_later(&kind, move || Ok(rotator))
    }

    /// The same with one that is made when it is first asked for, if it can be.
    #[must_use]
    pub fn with_later(mut self, kind: &str, make: impl FnOnce() -> Made + Send + 'static) -> Self {
        self.0.insert(kind.to_owned(), Arc::new(LazyLock::new(Box::new(make))));
        self
    }

    pub fn get(&self, kind: &str) -> Option<Arc<dyn Rotator>> {
        self.0.get(kind).and_then(|made| (**made).as_ref().ok().cloned())
    }

    /// The words that policies use, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What policies may say to each, for reading them.
    pub fn specs(&self) -> Rotators {
        self.0.iter().fold(Rotators::default(), |specs, (kind, made)| {
            let made = Arc::clone(made);
            specs.with(kind, move || (**made).as_ref().map(spec).map_err(BrokenRotator::clone))
        })
    }
}

/// What a rotator says of itself, in the words of policies.
fn spec(rotator: &Arc<dyn Rotator>) -> RotatorSpec {
    let descriptor = rotator.describe();
    let asked = Arc::clone(rotator);
    let placed = Arc::clone(rotator);
    RotatorSpec {
        kind: descriptor.kind.clone(),
        shapes: descriptor
            .shapes
            .iter()
            .filter(|shape| is_safe(descriptor.origin, **shape))
            .map(|shape| match shape {
                Shape::InPlace => keywheel_policies::Shape::InPlace,
                Shape::Alternating => keywheel_policies::Shape::Alternating,
                Shape::Overlapping => keywheel_policies::Shape::Overlapping,
            })
            .collect(),
        settings: descriptor
            .settings
            .iter()
            .map(|setting| SettingSpec {
                name: setting.name.clone(),
                kind: match &setting.kind {
                    keywheel_sdk::SettingKind::Text => keywheel_policies::SettingKind::Text,
                    keywheel_sdk::SettingKind::Texts => keywheel_policies::SettingKind::Texts,
                    keywheel_sdk::SettingKind::Boolean => keywheel_policies::SettingKind::Boolean,
                    keywheel_sdk::SettingKind::Integer { min, max } => {
                        keywheel_policies::SettingKind::Integer { min: *min, max: *max }
                    }
                    keywheel_sdk::SettingKind::Choice(words) => keywheel_policies::SettingKind::Choice(words.clone()),
                    keywheel_sdk::SettingKind::Duration => keywheel_policies::SettingKind::Duration,
                    keywheel_sdk::SettingKind::Json => keywheel_policies::SettingKind::Json,
                },
                required: setting.required,
                help: setting.help.clone(),
                names_target: setting.names_target,
            })
            .collect(),
        fields: descriptor.derived_fields.clone(),
        provider_made: descriptor.origin == Origin::Provider,
        usage: descriptor.capabilities.usage,
        last_used: descriptor.capabilities.last_used,
        disable: descriptor.capabilities.disable,
        self_managed: descriptor.capabilities.self_managed,
        check: SettingsCheck::new(move |settings| asked.check_settings(settings)),
        owner: SettingsOwner::new(move |settings| Some(placed.place(settings).owner).filter(|owner| !owner.is_empty())),
    }
}

/// Whether a value of this origin may be brought in this way. What a provider makes must stand beside the live one: in its
/// place, a lost answer would leave nobody with a working credential.
pub(crate) fn is_safe(origin: Origin, shape: Shape) -> bool {
    match (origin, shape) {
        (Origin::Engine, _) | (Origin::Provider, Shape::Overlapping) => true,
        (Origin::Provider, Shape::InPlace | Shape::Alternating) => false,
    }
}
