//! Who hears of what.

use std::collections::HashMap;

use keywheel_core::Notice;
use keywheel_policies::Notify;

/// What policies say of who is told, and what holds where they say nothing.
#[derive(Debug, Clone)]
pub struct Routes {
    otherwise: Notify,
    by_policy: HashMap<String, Notify>,
    /// A policy that was renamed still has its secret.
    by_secret: HashMap<String, Notify>,
}

impl Routes {
    /// `otherwise` is for policies that say nothing, or are there no more.
    pub fn new(otherwise: Notify) -> Self {
        Routes { otherwise, by_policy: HashMap::new(), by_secret: HashMap::new() }
    }

    /// What this policy of this secret says.
    #[must_use]
    pub fn with(mut self, policy: &str, secret: &str, notify: Notify) -> Self {
        self.by_policy.insert(policy.to_owned(), notify.clone());
        self.by_secret.insert(secret.to_owned(), notify);
        self
    }

    /// Whether the notifier of this name is told anything of this policy.
    pub fn reaches(&self, policy: &str, notifier: &str) -> bool {
        self.by_policy.get(policy).unwrap_or(&self.otherwise).to.iter().any(|to| to == notifier)
    }

    /// Whether the notifier of this name is told.
    pub fn leads(&self, notice: &Notice, notifier: &str) -> bool {
        if let Some(to) = &notice.to {
            return to == notifier;
        }
        let own = notice.policy.as_ref().and_then(|policy| self.by_policy.get(policy));
        let own = own.or_else(|| notice.secret.as_ref().and_then(|secret| self.by_secret.get(secret)));
        let notify = own.unwrap_or(&self.otherwise);
        notify.on.contains(&notice.kind) && notify.to.iter().any(|to| to == notifier)
    }
}
