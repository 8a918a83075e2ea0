//! What a vendor holds: keys, and who may change them.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::{Value, json};

/// A key at its vendor.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
    /// The vendor's field that holds the tag.
    pub name: String,
    /// Refused, and still there, where the vendor can do that.
    pub disabled: bool,
    /// Over for good, and still shown by vendors who keep what was.
    pub revoked: bool,
    /// When it was last used, in whole seconds.
    pub used: Option<Timestamp>,
    /// What else was said when it was made.
    pub more: Value,
}

impl Key {
    /// Whether its vendor lets in who sends it.
    pub fn is_accepted(&self) -> bool {
        !self.disabled && !self.revoked
    }
}

/// All that a vendor's double holds.
#[derive(Default)]
pub struct Shelf {
    pub keys: Vec<Key>,
    /// The admin's credential, by its fields.
    pub admin: Vec<(String, String)>,
    /// No further key beyond so many.
    pub limit: usize,
    /// All secret values that ever were, each with whose it is, for the record to hide.
    pub secrets: Vec<(String, String)>,
    made: usize,
}

impl Shelf {
    /// Without keys.
    pub fn of(admin: Vec<(String, String)>, limit: usize) -> Self {
        let secrets = admin.iter().map(|(name, value)| (value.clone(), format!("admin's {name}"))).collect();
        Shelf { admin, limit, secrets, ..Shelf::default() }
    }

    /// Makes a key. `id` and `secret` are made of its number, in the vendor's form.
    pub fn make(
        &mut self,
        name: &str,
        more: Value,
        id: impl FnOnce(usize) -> String,
        secret: impl FnOnce(usize) -> String,
    ) -> Key {
        self.made += 1;
        let (id, secret) = (id(self.made), secret(self.made));
        self.secrets.push((secret.clone(), format!("key {}", self.made)));
        let key = Key { id, secret, name: name.to_owned(), disabled: false, revoked: false, used: None, more };
        self.keys.push(key.clone());
        key
    }

    /// Whether no further key is allowed.
    pub fn is_full(&self) -> bool {
        self.ids().len() >= self.limit
    }

    pub fn admin(&self, field: &str) -> &str {
        self.admin.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str()).unwrap()
    }

    /// The key with this id.
    pub fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The key with this secret, if it is accepted; then it is used hereby.
    pub fn accepted(&mut self, secret: &str) -> Option<Key> {
        let id = self.keys.iter().find(|key| key.secret == secret && key.is_accepted())?.id.clone();
        self.uses(&id);
        self.key(&id).cloned()
    }

    /// Notes that a key is used now.
    #[expect(clippy::disallowed_methods, reason = "a vendor stamps a use by the world's time")]
    pub fn uses(&mut self, id: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let used = Timestamp::from_second(now.try_into().unwrap()).unwrap();
        self.keys.iter_mut().filter(|key| key.id == id).for_each(|key| key.used = Some(used));
    }

    /// Takes the key away. `None`: there is no such key.
    pub fn delete(&mut self, id: &str) -> Option<Key> {
        let at = self.keys.iter().position(|key| key.id == id)?;
        Some(self.keys.remove(at))
    }

    /// Of the keys that are not over.
    pub fn ids(&self) -> Vec<String> {
        self.keys.iter().filter(|key| !key.revoked).map(|key| key.id.clone()).collect()
    }

    /// What nobody asked for: a key's further fields are none.
    pub fn nothing() -> Value {
        json!({})
    }
}
