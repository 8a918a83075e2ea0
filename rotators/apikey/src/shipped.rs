//! The declarations that come with the program, one file per vendor's kind of key in `providers/`.

use crate::mistake::Mistake;
use crate::provider::Provider;

/// A declaration that comes with the program.
pub struct Shipped {
    /// The word that policies use after `rotator:`.
    pub name: &'static str,
    /// The file's name, for messages.
    pub file: &'static str,
    /// The declaration as it is written, with the vendor's documents in its comments.
    pub text: &'static str,
}

impl Shipped {
    /// Reads it.
    ///
    /// # Errors
    /// None, as a test holds for each of them; the type is that of [`Provider::parse`].
    pub fn provider(&self) -> Result<Provider, Vec<Mistake>> {
        Provider::parse(self.file, self.text)
    }
}

/// The declarations that come with the program, ready to be named by policies, in the order of their names.
pub fn shipped() -> Vec<Provider> {
    // That none is left out here, a test holds.
    SHIPPED.iter().filter_map(|shipped| shipped.provider().ok()).collect()
}

/// The same as they are written.
pub fn shipped_texts() -> &'static [Shipped] {
    SHIPPED
}

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(Shipped {
            name: $name,
            file: concat!($name, ".yaml"),
            text: include_str!(concat!("../providers/", $name, ".yaml")),
        }),+]
    };
}

const SHIPPED: &[Shipped] = shipped![
    "aws-iam",
    "azure-application",
    "cloudflare-account",
    "cloudflare-user",
    "datadog-api-key",
    "datadog-application-key",
    "generic",
    "gitlab-project",
    "gitlab-user",
    "grafana",
    "openai-admin",
    "openai-project",
    "sendgrid",
    "webhook-signing",
];
