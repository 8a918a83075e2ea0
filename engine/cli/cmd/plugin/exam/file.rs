//! The file that describes a target of an author's own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywheel_exam::CutProxy;
use keywheel_sdk::{Admin, Bundle, EXPIRES_AT, Secret, Shape, Strategy, USERNAME};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::accounts::Accounts;
use crate::exit::Failure;

/// No such file has reason to be longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What `--target FILE` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnTarget {
    /// As a policy's `target:`.
    pub target: Map<String, Value>,
    /// The TCP ports that the plugin may connect to.
    #[serde(default)]
    pub connect: Vec<u16>,
    /// What it may read.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    #[serde(rename = "strategy")]
    accounts: Accounts,
    /// The admin's credential; without it the account manages itself.
    #[serde(default)]
    admin: Option<BTreeMap<String, String>>,
    /// The command that makes the target as before a rotation.
    pub stage: Vec<String>,
    /// The command that says whether the target lets a credential in.
    pub login: Vec<String>,
    /// The command that lists the keys of the account, where the target makes them.
    #[serde(default)]
    pub keys: Option<Vec<String>>,
    /// Whether keys can hold the tag of their rotation, where the target makes them.
    #[serde(default)]
    tags: Option<bool>,
    /// Further passwords that must work.
    #[serde(default)]
    pub odd_passwords: Vec<String>,
    #[serde(default)]
    pub line: Option<LineAt>,
    /// Where the file is: commands begin there.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// Where the line to the target can be broken.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineAt {
    /// The setting that has the address in it: a port alone, or a text with `HOST:PORT`.
    setting: String,
    #[serde(default = "local")]
    host: String,
    port: u16,
    /// What a change has in it, and nothing else has: one of these texts.
    #[serde(deserialize_with = "one_or_more")]
    pub change: Vec<String>,
}

fn local() -> String {
    "127.0.0.1".to_owned()
}

impl OwnTarget {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let unreadable = |why: String| Failure::input(format!("cannot read `{}`: {why}", path.display()));
        let metadata = path.metadata().map_err(|error| unreadable(error.to_string()))?;
        if !metadata.is_file() {
            return Err(unreadable("it is no regular file".to_owned()));
        }
        if metadata.len() > LONGEST {
            return Err(unreadable(format!("it is longer than {} KiB", LONGEST / 1024)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        Self::parse(&path.display().to_string(), &text, path.parent().unwrap_or(Path::new("")))
    }

    fn parse(name: &str, text: &str, folder: &Path) -> Result<Self, Failure> {
        let options = serde_yaml::options! { strict_booleans: true, with_snippet: false };
        let mut own: OwnTarget = serde_yaml::from_str_with_options(text, options).map_err(|error| {
            let error = error.without_snippet();
            let place = error.location().map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()));
            Failure::input(format!("{name}{place}: {error}"))
                .hint("rotators/plugin/README.md says what stands in the file")
        })?;
        own.folder = folder.to_owned();
        match own.mistake() {
            Some(what) => Err(Failure::input(format!("{name}: {what}"))
                .hint("rotators/plugin/README.md says what stands in the file")),
            None => Ok(own),
        }
    }

    /// What is wrong although each member is of the right form.
    fn mistake(&self) -> Option<String> {
        if self.stage.is_empty() || self.login.is_empty() || self.keys.as_ref().is_some_and(Vec::is_empty) {
            return Some(
                "`stage` and `login`, and `keys` where it stands, are each a list: a program, and its arguments"
                    .to_owned(),
            );
        }
        match self.accounts.shape() {
            Shape::Overlapping if self.keys.is_none() => {
                return Some(
                    "with `strategy: overlapping`, `keys` is the command that lists the account's keys".to_owned(),
                );
            }
            Shape::Overlapping if !self.odd_passwords.is_empty() => {
                return Some(
                    "with `strategy: overlapping` there are no `odd_passwords`: the target makes the values".to_owned(),
                );
            }
            Shape::InPlace | Shape::Alternating if self.keys.is_some() || self.tags.is_some() => {
                return Some("`keys` and `tags` are for `strategy: overlapping`".to_owned());
            }
            Shape::InPlace | Shape::Alternating | Shape::Overlapping => {}
        }
        let LineAt { setting, host, port, change } = self.line.as_ref()?;
        if change.is_empty() || change.iter().any(String::is_empty) {
            return Some("`line.change` is a text that a change has in it, or a list of such texts".to_owned());
        }
        let leads = |value: &Value| value.as_u64().is_some() || has_address(value, host, *port);
        (!self.target.get(setting).is_some_and(leads)).then(|| {
            format!(
                "`line.setting` names `{setting}`, which is no number and has no `{host}:{port}` in it under `target`"
            )
        })
    }

    /// The file with the line that can be broken, where it names one.
    ///
    /// # Errors
    /// Its host has no address, or the system gives no port.
    pub async fn with_line(self) -> anyhow::Result<(Self, Option<Arc<CutProxy>>)> {
        let Some(LineAt { host, port, .. }) = &self.line else { return Ok((self, None)) };
        let found = tokio::net::lookup_host((host.as_str(), *port)).await.map(|mut found| found.next());
        let upstream: Option<SocketAddr> =
            found.map_err(|error| Failure::input(format!("cannot find `{host}` (`line.host`): {error}")))?;
        let upstream = upstream.ok_or_else(|| Failure::input(format!("`{host}` (`line.host`) has no address")))?;
        let line = CutProxy::start(upstream).await?;
        Ok((self, Some(Arc::new(line))))
    }

    pub fn shape(&self) -> Shape {
        self.accounts.shape()
    }

    /// As a policy's.
    pub fn strategy(&self) -> Strategy {
        self.accounts.strategy()
    }

    /// Whether keys hold the tag of their rotation.
    pub fn tags(&self) -> bool {
        self.tags.unwrap_or(true)
    }

    /// The admin's credential, with each of its secrets replaced by what `secret` makes of it.
    pub fn admin(&self, secret: impl Fn(&str) -> String) -> Admin {
        let Some(admin) = &self.admin else { return Admin::Own };
        Admin::Credential(admin.iter().fold(Bundle::new(), |bundle, (field, value)| {
            let value = if is_public(field) { value.clone() } else { secret(value) };
            bundle.with(field, Secret::new(value))
        }))
    }

    pub fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// The settings by way of this port.
    pub fn through(&self, proxy: u16) -> Map<String, Value> {
        let mut settings = self.target.clone();
        let Some(LineAt { setting, host, port, .. }) = &self.line else { return settings };
        match settings.get_mut(setting) {
            Some(Value::String(text)) => *text = text.replace(&format!("{host}:{port}"), &format!("127.0.0.1:{proxy}")),
            Some(value) => {
                *value = proxy.into();
                // The port is the proxy's, so the host must be its, too.
                if let Some(Value::String(named)) = settings.get_mut("host")
                    && named == host
                {
                    *named = local();
                }
            }
            None => {}
        }
        settings
    }
}

/// Whether a field is no secret, at any target.
pub fn is_public(field: &str) -> bool {
    [USERNAME, "key_id", EXPIRES_AT].contains(&field)
}

/// One text, or a list of texts.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "`change` is a text that a change has in it, or a list of such texts")]
    enum Given {
        One(String),
        More(Vec<String>),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(text) => vec![text],
        Given::More(texts) => texts,
    })
}

fn has_address(value: &Value, host: &str, port: u16) -> bool {
    value.as_str().is_some_and(|text| text.contains(&format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

    use super::*;

    const RIGHT: &str = "target: { url: \"http://127.0.0.1:8099/v1\", user: app }\nstrategy: { in_place: { user: a } }\n\
        stage: [./stage]\nlogin: [./login]\nline: { setting: url, port: 8099, change: \"PUT \" }\n";

    fn refused(text: &str) -> String {
        OwnTarget::parse("exam.yaml", text, Path::new("")).err().unwrap().what
    }

    #[test]
    fn the_line_leads_through_the_proxy() {
        let own = OwnTarget::parse("exam.yaml", RIGHT, Path::new("")).ok().unwrap();
        assert_eq!(own.through(7)["url"], "http://127.0.0.1:7/v1");
        let port = "target: { host: db, port: 5 }\nstrategy: { alternating: { users: [a, b] } }\nadmin: { password: x }\n\
            stage: [a]\nlogin: [b]\nline: { setting: port, host: db, port: 5, change: SET }\n";
        let own = OwnTarget::parse("exam.yaml", port, Path::new("")).ok().unwrap();
        assert_eq!(Value::Object(own.through(7)), serde_json::json!({ "host": "127.0.0.1", "port": 7 }));
        assert_eq!((own.shape(), own.has_admin()), (Shape::Alternating, true));
    }

    #[test]
    fn mistakes_have_a_place() {
        let said = refused(&RIGHT.replace("stage:", "stages:"));
        assert!(said.starts_with("exam.yaml:3:1: ") && said.contains("stages"), "{said}");
        let said = refused(&RIGHT.replace("port: 8099", "port: many"));
        assert!(said.starts_with("exam.yaml:5:29: "), "{said}");
        assert!(refused("").starts_with("exam.yaml"));
        assert!(refused(&RIGHT.replace("[./stage]", "[]")).contains("`stage` and `login`"));
        assert!(refused(&RIGHT.replace("in_place: { user: a }", "")).contains("`strategy` is either"));
        assert!(refused(&RIGHT.replace("{ in_place: { user: a } }", "beside")).starts_with("exam.yaml:2:11: "));
        let said = refused(&RIGHT.replace("{ user: a }", "{ users: a }"));
        assert!(said.starts_with("exam.yaml:2:25: ") && said.contains("users"), "{said}");
        assert!(refused(&RIGHT.replace("\"PUT \"", "[]")).contains("`line.change` is a text"));
        assert!(refused(&RIGHT.replace("\"PUT \"", "[PUT, \"\"]")).contains("`line.change` is a text"));
        let said = refused(&RIGHT.replace("\"PUT \"", "{ is: PUT }"));
        assert!(said.starts_with("exam.yaml:5:") && said.contains("a text that a change has in it"), "{said}");
        assert!(refused(&RIGHT.replace("setting: url", "setting: user")).contains("no `127.0.0.1:8099` in it"));
    }

    #[test]
    fn keys_of_the_targets_own_making_are_counted() {
        let keys =
            RIGHT.replace("{ in_place: { user: a } }", "overlapping").replace("\"PUT \"", "[\"POST \", \"DELETE \"]");
        let right = format!("{keys}keys: [./keys]\n");
        let own = OwnTarget::parse("exam.yaml", &right, Path::new("")).ok().unwrap();
        assert_eq!((own.shape(), own.tags()), (Shape::Overlapping, true));
        assert_eq!(own.line.as_ref().unwrap().change, ["POST ", "DELETE "]);
        let own = OwnTarget::parse("exam.yaml", &format!("{right}tags: false\n"), Path::new("")).ok().unwrap();
        assert!(!own.tags());
        assert!(refused(&keys).contains("`keys` is the command that lists"));
        assert!(refused(&right.replace("[./keys]", "[]")).contains("are each a list"));
        assert!(refused(&format!("{right}odd_passwords: [x]\n")).contains("no `odd_passwords`"));
        assert!(refused(&format!("{RIGHT}tags: false\n")).contains("for `strategy: overlapping`"));
    }
}
