//! A subject for rotators whose values the provider makes: only a double of the provider is to be written for it.

use async_trait::async_trait;
use keywheel_sdk::{Admin, Bundle, Rotator, Strategy, Target, USERNAME};
use serde_json::{Map, Value};

use super::sitting::altered;
use super::{Candidate, Line, Stage, Subject};

/// A double of a provider of keys, as the exam sees it: from outside, and without the rotator.
#[async_trait]
pub trait KeyDouble: Send + Sync {
    /// An owner as before a rotation: it has one key, made by hand and without a tag, room for one more, and no fault is
    /// armed. Another one with each call, or the same one with all else cleared away. The other calls are about the last.
    async fn owner(&self) -> KeyOwner;

    /// Whether a key works now.
    async fn accepts(&self, key: &Bundle) -> bool;

    /// How many keys the owner has, disabled ones counted too.
    async fn keys(&self) -> usize;
}

/// An owner of keys at a double.
pub struct KeyOwner {
    /// The policy's `target:` for it.
    pub settings: Map<String, Value>,
    /// All fields of its one key.
    pub current: Bundle,
    /// The `target:` through a line that can be broken, which may be the same. Each order strikes the next request that
    /// makes, disables or deletes a key, whichever comes first. `None` where the double cannot break it.
    pub line: Option<(Map<String, Value>, Box<dyn Line>)>,
}

/// A rotator of a provider's keys, with a double of that provider.
pub struct ProviderSubject<D> {
    name: String,
    rotator: Box<dyn Rotator>,
    admin: Bundle,
    double: D,
    tags: bool,
    public: Vec<String>,
}

impl<D: KeyDouble> ProviderSubject<D> {
    /// The double takes `admin` for its administrator, and refuses one with other values in it.
    pub fn new(name: &str, rotator: impl Rotator + 'static, admin: Bundle, double: D) -> Self {
        let public = [USERNAME, "key_id", "expires_at"].map(str::to_owned).into();
        ProviderSubject { name: name.to_owned(), rotator: Box::new(rotator), admin, double, tags: true, public }
    }

    /// The provider's keys hold no tag, and the rotator owns all of a target.
    #[must_use]
    pub fn without_tags(self) -> Self {
        ProviderSubject { tags: false, ..self }
    }

    /// A further field, of keys or of the admin, that is no secret. `username`, `key_id` and `expires_at` are none.
    #[must_use]
    pub fn with_public(mut self, field: &str) -> Self {
        self.public.push(field.to_owned());
        self
    }

    /// The double, as it was given.
    pub fn double(&self) -> &D {
        &self.double
    }

    fn target(&self, settings: &Map<String, Value>, admin: Bundle) -> Target {
        let admin = Admin::Credential(admin);
        Target { settings: settings.clone(), strategy: Strategy::Overlapping, admin, generates: None }
    }
}

#[async_trait]
impl<D: KeyDouble> Subject for ProviderSubject<D> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn rotator(&self) -> &dyn Rotator {
        self.rotator.as_ref()
    }

    async fn stage(&self) -> Stage {
        let KeyOwner { settings, current, line } = self.double.owner().await;
        let wrong = altered(&self.admin, |field| !self.is_public(field));
        Stage {
            target: self.target(&settings, self.admin.duplicate()),
            current,
            candidate: Candidate::Generated,
            wrong_admin: Some(self.target(&settings, wrong)),
            line: line.map(|(settings, line)| (self.target(&settings, self.admin.duplicate()), line)),
            odd_passwords: Vec::new(),
        }
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        self.double.accepts(credential).await
    }

    async fn keys(&self) -> Option<usize> {
        Some(self.double.keys().await)
    }

    fn tags(&self) -> bool {
        self.tags
    }

    fn is_public(&self, field: &str) -> bool {
        self.public.iter().any(|public| public == field)
    }

    fn stands_apart(&self) -> bool {
        false
    }
}
