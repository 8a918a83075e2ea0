//! Which rotators there are, by the word that policies use, and what policies may say to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use keywheel_policies::{RotatorSpec, SettingSpec, SettingsCheck};
use keywheel_sdk::{Descriptor, Origin, Rotator, Shape};

/// Rotators by kind.
#[derive(Default, Clone)]
pub struct Registry(BTreeMap<String, Arc<dyn Rotator>>);

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rotator under its own kind; a later one of the same kind replaces the earlier.
    #[must_use]
    pub fn with(mut self, rotator: Arc<dyn Rotator>) -> Self {
        self.0.insert(rotator.describe().kind, rotator);
        self
    }

    pub fn get(&self, kind: &str) -> Option<Arc<dyn Rotator>> {
        self.0.get(kind).cloned()
    }

    /// What each rotator says of itself, in order of kind.
    pub fn descriptors(&self) -> Vec<Descriptor> {
        self.0.values().map(|rotator| rotator.describe()).collect()
    }

    /// What policies may say to each, for reading them.
    pub fn specs(&self) -> Vec<RotatorSpec> {
        self.0.values().map(spec).collect()
    }
}

/// What a rotator says of itself, in the words of policies.
fn spec(rotator: &Arc<dyn Rotator>) -> RotatorSpec {
    let descriptor = rotator.describe();
    let asked = Arc::clone(rotator);
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
