//! From a policy to what others need of it: the target that a rotator is called with, the recipe for its passwords.

use std::path::Path;
use std::sync::Arc;

use keywheel_policies::{AdminSource, FirstCharacter, Generate, Policy, Reference};
use keywheel_sdk::{Admin, Bundle, Generates, GrantParity, Secret, Strategy, Target};
use keywheel_secrets::{FirstChar, Label, PasswordError, PasswordRecipe, SecretStore, SecretsError, Selector};
use tokio::io::AsyncReadExt;

/// Reads an environment variable. A parameter, so that only the command line touches the process's environment.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A credential is a few lines; a longer file is some other one.
const MAX_FILE: u64 = 64 * 1024;
/// What every master key's text begins with, whatever its format's number.
const MASTER_KEY: &str = "keywheel-master-";

/// A credential, the admin's or another, cannot be had. Nothing was changed anywhere.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("the secret `{0}` has no CURRENT; put it with `keywheel secret put {0}`")]
    NoSecret(String),
    #[error("the environment variable `{0}`, which should hold a credential, is not set")]
    NoVariable(String),
    #[error("the file {path}, which should hold a credential, cannot be read: {reason}")]
    NoFile { path: String, reason: String },
    #[error("what {0} holds is neither a JSON object with text fields nor, with `username:` beside it, a password")]
    NoCredential(String),
    #[error("{0} holds the master key, which is no such credential and is sent nowhere; name another place")]
    MasterKey(String),
    #[error(transparent)]
    Store(#[from] SecretsError),
    #[error("the secret `{secret}` has no field `{field}`")]
    NoField { secret: String, field: String },
}

/// The target that this policy names, with the admin's credential as it is now.
pub async fn target_of(
    policy: &Policy,
    secrets: &dyn SecretStore,
    environment: &Environment,
) -> Result<Target, CredentialError> {
    let admin = match (&policy.admin, &policy.strategy) {
        // Keys stand side by side, so that the live one does what is to be done.
        (AdminSource::Own, keywheel_policies::Strategy::Overlapping) => current(&policy.secret.name, secrets).await?,
        (source, _) => admin(source, secrets, environment).await?,
    };
    Ok(Target {
        settings: policy.target.clone(),
        strategy: strategy_of(policy),
        admin,
        // `validate` says what is wrong with a recipe.
        generates: recipe_of(&policy.generate).ok().map(|recipe| Generates {
            length: recipe.length(),
            classes: recipe.classes(),
            required: policy.generate.require.len(),
            base64: recipe.is_base64(),
        }),
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

/// The credential behind a reference, as it is now.
///
/// # Errors
/// Why it cannot be had.
pub async fn admin(
    source: &AdminSource,
    secrets: &dyn SecretStore,
    environment: &Environment,
) -> Result<Admin, CredentialError> {
    match source {
        AdminSource::Own => Ok(Admin::Own),
        AdminSource::Secret(name) => current(name, secrets).await,
        AdminSource::Env { name, username } => {
            let text = environment(name).ok_or_else(|| CredentialError::NoVariable(name.clone()))?;
            credential(Secret::new(text), username.as_deref(), &format!("the environment variable `{name}`"))
        }
        AdminSource::File { path, username } => {
            let text = read_file(path).await?;
            credential(text, username.as_deref(), &path.display().to_string())
        }
    }
}

/// The text behind a reference, as it is now.
///
/// # Errors
/// Why it cannot be had.
pub async fn text_of(
    reference: &Reference,
    secrets: &dyn SecretStore,
    environment: &Environment,
) -> Result<Secret, CredentialError> {
    let (text, place) = match reference {
        Reference::Secret { name, field } => {
            let stored = secrets.read(name, Selector::Label(Label::Current)).await?;
            let bundle = stored.ok_or_else(|| CredentialError::NoSecret(name.clone()))?.bundle;
            let text = bundle.get(field).map(Secret::duplicate);
            return text.map_err(|_| CredentialError::NoField { secret: name.clone(), field: field.clone() });
        }
        Reference::Env(name) => {
            let text = environment(name).ok_or_else(|| CredentialError::NoVariable(name.clone()))?;
            (Secret::new(text), format!("the environment variable `{name}`"))
        }
        Reference::File(path) => (read_file(path).await?, path.display().to_string()),
    };
    no_master_key(&text, &place)?;
    Ok(text)
}

async fn current(name: &str, secrets: &dyn SecretStore) -> Result<Admin, CredentialError> {
    match secrets.read(name, Selector::Label(Label::Current)).await? {
        Some(stored) => Ok(Admin::Credential(stored.bundle)),
        None => Err(CredentialError::NoSecret(name.to_owned())),
    }
}

async fn read_file(path: &Path) -> Result<Secret, CredentialError> {
    let failed = |reason: String| CredentialError::NoFile { path: path.display().to_string(), reason };
    let not_regular = || failed("it is no regular file".to_owned());
    // Asked before it is opened, since opening a pipe waits for its other end; and after, since the name may be another's by then.
    if !tokio::fs::metadata(path).await.map_err(|e| failed(e.to_string()))?.is_file() {
        return Err(not_regular());
    }
    let file = tokio::fs::File::open(path).await.map_err(|e| failed(e.to_string()))?;
    if !file.metadata().await.map_err(|e| failed(e.to_string()))?.is_file() {
        return Err(not_regular());
    }
    // Room for all at once, so that growing leaves no copies behind.
    let mut bytes = Vec::with_capacity(MAX_FILE as usize + 1);
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).await.map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(failed(format!("it is larger than {MAX_FILE} bytes")));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| failed("it is no UTF-8 text".to_owned()))?;
    // An editor's last newline is no part of a password.
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(Secret::new(text))
}

/// A master key is refused wherever it stands in the text: a policy names both the place and the host that the text is sent to,
/// and who writes policies is not trusted with that key. A key file may begin with comments.
fn no_master_key(text: &Secret, place: &str) -> Result<(), CredentialError> {
    if text.expose(|text| text.contains(MASTER_KEY)) {
        return Err(CredentialError::MasterKey(place.to_owned()));
    }
    Ok(())
}

/// A password with the user name beside the reference, or a JSON object of text fields.
fn credential(text: Secret, username: Option<&str>, place: &str) -> Result<Admin, CredentialError> {
    no_master_key(&text, place)?;
    if let Some(username) = username {
        return Ok(Admin::Credential(Bundle::login(username, text)));
    }
    let fields: std::collections::BTreeMap<String, String> =
        text.expose(|text| serde_json::from_str(text)).map_err(|_| CredentialError::NoCredential(place.to_owned()))?;
    let bundle = fields.into_iter().fold(Bundle::new(), |bundle, (name, value)| bundle.with(&name, Secret::new(value)));
    Ok(Admin::Credential(bundle))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::PathBuf;

    use keywheel_secrets::{MasterKey, memory::MemoryStore};

    use super::*;

    async fn of_file(path: PathBuf, username: Option<&str>) -> Result<Admin, CredentialError> {
        let nothing: Environment = Arc::new(|_| None);
        let source = AdminSource::File { path, username: username.map(str::to_owned) };
        admin(&source, &MemoryStore::new(), &nothing).await
    }

    async fn of_variable(text: &str, username: Option<&str>) -> Result<Admin, CredentialError> {
        let text = text.to_owned();
        let environment: Environment = Arc::new(move |_| Some(text.clone()));
        let source = AdminSource::Env { name: "ADMIN".to_owned(), username: username.map(str::to_owned) };
        admin(&source, &MemoryStore::new(), &environment).await
    }

    fn password(admin: Result<Admin, CredentialError>) -> String {
        let Admin::Credential(bundle) = admin.unwrap() else { panic!("a credential was given") };
        bundle.password().unwrap().expose(str::to_owned)
    }

    #[tokio::test]
    async fn a_master_key_is_sent_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::generate_file(&path).unwrap();
        let key = std::fs::read_to_string(&path).unwrap();
        let texts = [key.clone(), format!("\n# the new one\n{key}"), format!("{{\"password\": \"{}\"}}", key.trim())];
        for text in texts {
            std::fs::write(&path, &text).unwrap();
            for username in [Some("admin"), None] {
                for found in [of_file(path.clone(), username).await, of_variable(&text, username).await] {
                    let error = found.err().unwrap();
                    assert!(matches!(error, CredentialError::MasterKey(_)), "{error}");
                    assert!(!format!("{error} {error:?}").contains(key.trim()), "{error}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_credential_is_read_from_a_small_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin");
        std::fs::write(&path, "pass word\r\n").unwrap();
        assert_eq!(password(of_file(path.clone(), Some("admin")).await), "pass word");
        std::fs::write(&path, "{\"username\": \"admin\", \"password\": \"other\"}\n").unwrap();
        assert_eq!(password(of_file(path.clone(), None).await), "other");
        std::fs::write(&path, vec![b'a'; MAX_FILE as usize]).unwrap();
        assert_eq!(password(of_file(path.clone(), Some("admin")).await).len(), MAX_FILE as usize);

        std::fs::write(&path, vec![b'a'; MAX_FILE as usize + 1]).unwrap();
        for (path, reason) in [
            (path.clone(), "larger"),
            (PathBuf::from("/dev/zero"), "no regular file"),
            (folder.path().to_owned(), "no regular file"),
            (folder.path().join("none"), "No such file"),
        ] {
            let error = of_file(path, Some("admin")).await.err().unwrap();
            assert!(matches!(&error, CredentialError::NoFile { .. }) && error.to_string().contains(reason), "{error}");
        }
        std::fs::write(&path, b"\xff\xfe").unwrap();
        let error = of_file(path, Some("admin")).await.err().unwrap();
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }
}
