//! The declarations that come with the program, one file per vendor's kind of key in `providers/`.

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
    /// Reads it, which takes a moment: nobody needs all of them.
    pub fn provider(&self) -> Provider {
        let read = Provider::parse(self.file, self.text);
        read.unwrap_or_else(|mistakes| panic!("a test holds that what is shipped has no mistakes: {mistakes:?}"))
    }
}

/// The declarations that come with the program, ready to be named by policies, in the order of their names.
pub fn shipped() -> &'static [Shipped] {
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
