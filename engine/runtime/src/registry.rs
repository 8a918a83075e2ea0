//! Which rotators there are, by the word that policies use, and what policies may say to them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use keywheel_policies::{BrokenRotator, Policy, RotatorSpec, Rotators, SettingSpec, SettingsCheck, SettingsOwner};
use keywheel_sdk::{Origin, Rotator, Shape};

/// Rotators by kind. One kind may have several versions.
#[derive(Default, Clone)]
pub struct Registry(BTreeMap<String, Vec<Arc<Listed>>>);

/// One rotator, made when it is first asked for.
struct Listed {
    made: LazyLock<Made, Box<dyn FnOnce() -> Made + Send>>,
    plugin: Option<PluginFile>,
}

/// A rotator with its version, or why there is none.
type Made = Result<(Arc<dyn Rotator>, String), BrokenRotator>;

/// The file that a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFile {
    /// As it is named in messages.
    pub file: String,
    /// In hexadecimal digits, in lower case.
    pub sha256: String,
}

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
    pub fn with_later(
        mut self,
        kind: &str,
        make: impl FnOnce() -> Result<Arc<dyn Rotator>, BrokenRotator> + Send + 'static,
    ) -> Self {
        self.0.insert(kind.to_owned(), vec![Arc::new(Listed::new(None, make))]);
        self
    }

    /// Adds a plugin, made when it is first asked for, beside those of the same kind.
    #[must_use]
    pub fn with_plugin(
        mut self,
        kind: &str,
        plugin: PluginFile,
        make: impl FnOnce() -> Result<Arc<dyn Rotator>, BrokenRotator> + Send + 'static,
    ) -> Self {
        self.0.entry(kind.to_owned()).or_default().push(Arc::new(Listed::new(Some(plugin), make)));
        self
    }

    /// The rotator that acts for this policy.
    pub fn of(&self, policy: &Policy) -> Option<Arc<dyn Rotator>> {
        self.listed(policy)?.made.as_ref().ok().map(|(rotator, _)| Arc::clone(rotator))
    }

    /// The plugin that it is, if it is one.
    pub fn plugin_of(&self, policy: &Policy) -> Option<&PluginFile> {
        self.listed(policy)?.plugin.as_ref()
    }

    fn listed(&self, policy: &Policy) -> Option<&Listed> {
        let is_meant =
            |listed: &&Arc<Listed>| listed.made.as_ref().is_ok_and(|(_, version)| *version == policy.rotator_version);
        match self.0.get(&policy.rotator)?.as_slice() {
            [only] => Some(only),
            several => several.iter().find(is_meant).map(Arc::as_ref),
        }
    }

    /// The words that policies use, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What policies may say to each, for reading them.
    pub fn specs(&self) -> Rotators {
        let all = self.0.iter().flat_map(|(kind, several)| several.iter().map(move |listed| (kind, listed)));
        all.fold(Rotators::default(), |specs, (kind, listed)| {
            let listed = Arc::clone(listed);
            specs.beside(kind, move || match &*listed.made {
                Ok((rotator, _)) => Ok(spec(rotator, listed.plugin.as_ref())),
                Err(broken) => Err(broken.clone()),
            })
        })
    }
}

impl Listed {
    fn new(
        plugin: Option<PluginFile>,
        make: impl FnOnce() -> Result<Arc<dyn Rotator>, BrokenRotator> + Send + 'static,
    ) -> Self {
        let make = move || {
            make().map(|rotator| {
                let version = rotator.describe().version;
                (rotator, version)
            })
        };
        Listed { made: LazyLock::new(Box::new(make)), plugin }
    }
}

/// What a rotator says of itself, in the words of policies.
fn spec(rotator: &Arc<dyn Rotator>, plugin: Option<&PluginFile>) -> RotatorSpec {
    let descriptor = rotator.describe();
    let asked = Arc::clone(rotator);
    let placed = Arc::clone(rotator);
    RotatorSpec {
        kind: descriptor.kind.clone(),
        version: descriptor.version.clone(),
        file: plugin.map(|plugin| plugin.file.clone()),
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
