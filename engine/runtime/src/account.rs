//! From a policy to what others need of it: the target that a rotator is called with, the recipe for its passwords.

use std::path::Path;
use std::sync::Arc;

use keywheel_policies::{AdminSource, FirstCharacter, Generate, Policy};
use keywheel_sdk::{Admin, Bundle, GrantParity, Secret, Strategy, Target};
use keywheel_secrets::{FirstChar, Label, PasswordError, PasswordRecipe, SecretStore, SecretsError, Selector};

/// Reads an environment variable. A parameter, so that only the command line touches the process's environment.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The admin's credential cannot be had. Nothing was changed anywhere.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("the admin's secret `{0}` has no CURRENT; put it with `keywheel secret put {0}`")]
    NoSecret(String),
    #[error("the environment variable `{0}`, which should hold the admin's credential, is not set")]
    NoVariable(String),
    #[error("the admin's credential file {path} cannot be read: {reason}")]
    NoFile { path: String, reason: String },
    #[error(
        "the admin's credential in {0} is neither a JSON object with text fields nor, with `username:` in the policy, a password"
    )]
    NoCredential(String),
    #[error(transparent)]
    Store(#[from] SecretsError),
}

/// The target that this policy names, with the admin's credential as it is now.
pub async fn target_of(
    policy: &Policy,
    secrets: &dyn SecretStore,
    environment: &Environment,
) -> Result<Target, AdminError> {
    Ok(Target {
        settings: policy.target.clone(),
        strategy: strategy_of(policy),
        admin: admin(&policy.admin, secrets, environment).await?,
    })
}

/// The policy's `generate:` as a checked recipe. `validate` asks it too, so that a weak recipe is refused before it is used.
pub fn recipe_of(generate: &Generate) -> Result<PasswordRecipe, PasswordError> {
    let first = match generate.first {
        FirstCharacter::Any => FirstChar::Any,
        FirstCharacter::Letter => FirstChar::Letter,
        FirstCharacter::Alphanumeric => FirstChar::Alphanumeric,
    };
    PasswordRecipe::new(generate.length, &generate.charset, &generate.require, &generate.exclude, first)
}

fn strategy_of(policy: &Policy) -> Strategy {
    match &policy.strategy {
        keywheel_policies::Strategy::InPlace { user } => Strategy::InPlace { user: user.clone() },
        keywheel_policies::Strategy::Alternating { users, grant_parity, create_missing } => Strategy::Alternating {
            users: users.clone(),
            grant_parity: match grant_parity {
                keywheel_policies::GrantParity::Require => GrantParity::Require,
                keywheel_policies::GrantParity::Warn => GrantParity::Warn,
                keywheel_policies::GrantParity::Ignore => GrantParity::Ignore,
            },
            create_missing: *create_missing,
        },
        keywheel_policies::Strategy::Overlapping => Strategy::Overlapping,
    }
}

async fn admin(
    source: &AdminSource,
    secrets: &dyn SecretStore,
    environment: &Environment,
) -> Result<Admin, AdminError> {
    match source {
        AdminSource::Own => Ok(Admin::Own),
        AdminSource::Secret(name) => match secrets.read(name, Selector::Label(Label::Current)).await? {
            Some(stored) => Ok(Admin::Credential(stored.bundle)),
            None => Err(AdminError::NoSecret(name.clone())),
        },
        AdminSource::Env { name, username } => {
            let text = environment(name).ok_or_else(|| AdminError::NoVariable(name.clone()))?;
            credential(Secret::new(text), username.as_deref(), &format!("the environment variable `{name}`"))
        }
        AdminSource::File { path, username } => {
            let text = read_file(path).await?;
            credential(text, username.as_deref(), &path.display().to_string())
        }
    }
}

async fn read_file(path: &Path) -> Result<Secret, AdminError> {
    let failed = |reason: String| AdminError::NoFile { path: path.display().to_string(), reason };
    let mut text = tokio::fs::read_to_string(path).await.map_err(|e| failed(e.to_string()))?;
    // An editor's last newline is no part of a password.
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(Secret::new(text))
}

/// A password with the policy's user name, or a JSON object of text fields.
fn credential(text: Secret, username: Option<&str>, place: &str) -> Result<Admin, AdminError> {
    if let Some(username) = username {
        return Ok(Admin::Credential(Bundle::login(username, text)));
    }
    let fields: std::collections::BTreeMap<String, String> =
        text.expose(|text| serde_json::from_str(text)).map_err(|_| AdminError::NoCredential(place.to_owned()))?;
    let bundle = fields.into_iter().fold(Bundle::new(), |bundle, (name, value)| bundle.with(&name, Secret::new(value)));
    Ok(Admin::Credential(bundle))
}
