//! Texts with variables (`${target.user}`), and how a value is made harmless for the place where it stands.

use std::fmt::{self, Write};

use keywheel_sdk::{Bundle, Retry, RotatorError};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::expiry::{Expiry, ExpiryPart};
use crate::mistake::{Flaw, did_you_mean};
use crate::provider::SettingSpec;

/// A text with variables.
#[derive(Clone)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone)]
enum Part {
    Plain(String),
    Variable(Variable),
}

/// What can stand between `${` and `}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Variable {
    /// A setting of the policy's `target:`.
    Target(String),
    /// A field of the admin's credential.
    Admin(String),
    /// A field of the key that the request is about.
    Key(String),
    /// The rotation's id.
    Rotation,
    /// The tag with the rotation's id in it.
    Tag,
    /// When a key that is made now ends.
    Expires(ExpiryPart),
}

/// Where a template stands, which says how values are written into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing has a meaning there, or what takes the text encodes all of it: JSON, forms, queries.
    Whole,
    /// One segment of a path.
    Segment,
    /// A part of a URL's host or port, or of the base path.
    Host,
    /// The value of a header.
    Header,
}

/// What variables stand for in one request.
pub(crate) struct Values<'a> {
    pub settings: &'a [SettingSpec],
    pub target: &'a Map<String, Value>,
    pub admin: Option<&'a Bundle>,
    pub key: Option<&'a Bundle>,
    pub rotation: &'a str,
    pub tag: &'a str,
    /// Where the declaration knows a lifetime.
    pub expiry: Option<Expiry>,
}

const WORDS: [&str; 6] = ["target", "admin", "key", "rotation", "tag", "expires"];

impl Template {
    /// Splits a text at its variables. `$${` stands for the characters `${` themselves.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                parts.push(Part::Plain(format!("{}${{", &rest[..at - 1])));
                rest = &rest[at + 2..];
                continue;
            }
            parts.push(Part::Plain(rest[..at].to_owned()));
            let (name, after) = rest[at + 2..]
                .split_once('}')
                .ok_or_else(|| Flaw::new("`${` without its `}`", "write `$${` for the characters `${` themselves"))?;
            parts.push(Part::Variable(Variable::parse(name)?));
            rest = after;
        }
        parts.push(Part::Plain(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Plain(text) if text.is_empty()));
        Ok(Template(parts))
    }

    /// The variables, in the order of the text.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            Part::Plain(_) => None,
            Part::Variable(variable) => Some(variable),
        })
    }

    /// Whether a setting is among them.
    pub fn uses(&self, setting: &str) -> bool {
        self.variables().any(|variable| matches!(variable, Variable::Target(name) if name == setting))
    }

    /// The text with `stand_in` for each variable.
    pub fn with_all(&self, stand_in: &str) -> String {
        let text = |part: &Part| match part {
            Part::Plain(text) => text.clone(),
            Part::Variable(_) => stand_in.to_owned(),
        };
        self.0.iter().map(text).collect()
    }

    /// The text with what `plain` makes of each part between variables, and `variable` of each variable.
    ///
    /// # Errors
    /// The first one of `variable`.
    pub fn render<E>(
        &self,
        plain: impl Fn(&str) -> String,
        variable: impl Fn(&Variable) -> Result<String, E>,
    ) -> Result<String, E> {
        self.0
            .iter()
            .map(|part| match part {
                Part::Plain(text) => Ok(plain(text)),
                Part::Variable(name) => variable(name),
            })
            .collect()
    }

    /// The variable, where it is one and nothing else.
    pub fn only(&self) -> Option<&Variable> {
        match self.0.as_slice() {
            [Part::Variable(variable)] => Some(variable),
            _ => None,
        }
    }

    /// Whether it stands for nothing at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is one variable and nothing else.
    pub fn is_one_variable(&self) -> bool {
        self.only().is_some()
    }

    /// A whole address in a variable, and what follows it: nothing or a path.
    pub fn after_address(&self) -> Option<(Template, Template)> {
        let (address, rest) = self.0.split_first()?;
        let path = match rest.first() {
            None => true,
            Some(Part::Plain(text)) => text.starts_with('/'),
            Some(Part::Variable(_)) => false,
        };
        (matches!(address, Part::Variable(_)) && path)
            .then(|| (Template(vec![address.clone()]), Template(rest.to_vec())))
    }

    /// The text before and after its only variable, where there is exactly one.
    pub fn around(&self) -> Option<(&str, &str)> {
        match self.0.as_slice() {
            [Part::Variable(_)] => Some(("", "")),
            [Part::Plain(before), Part::Variable(_)] => Some((before, "")),
            [Part::Variable(_), Part::Plain(after)] => Some(("", after)),
            [Part::Plain(before), Part::Variable(_), Part::Plain(after)] => Some((before, after)),
            _ => None,
        }
    }

    /// The text with its values, each made harmless for the place.
    ///
    /// # Errors
    /// A value that is missing, or that cannot stand there. The message names the variable, never the value.
    pub fn fill(&self, values: &Values<'_>, place: Place) -> Result<Zeroizing<String>, RotatorError> {
        let mut filled = Zeroizing::new(String::new());
        for part in &self.0 {
            match part {
                Part::Plain(text) => filled.push_str(text),
                Part::Variable(variable) => {
                    values.lend(variable, |value| write_value(&mut filled, value, place, variable))??;
                }
            }
        }
        Ok(filled)
    }
}

/// As it is written in a declaration.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Plain(text) => f.write_str(&text.replace("${", "$${")),
            Part::Variable(variable) => write!(f, "{}", variable.placeholder()),
        })
    }
}

impl Variable {
    fn parse(name: &str) -> Result<Self, Flaw> {
        let unknown = || Flaw::new(format!("there is no variable `{name}`"), did_you_mean(name, WORDS));
        match name.split_once('.') {
            None => match name {
                "rotation" => Ok(Variable::Rotation),
                "tag" => Ok(Variable::Tag),
                "target" | "admin" | "key" | "expires" => {
                    Err(Flaw::new(format!("`{name}` has parts, one must be chosen"), format!("write `${{{name}.…}}`")))
                }
                _ => Err(unknown()),
            },
            Some((_, "")) => Err(Flaw::new(format!("`{name}` has no name after its dot"), "name a part")),
            Some(("target", part)) => Ok(Variable::Target(part.to_owned())),
            Some(("admin", part)) => Ok(Variable::Admin(part.to_owned())),
            Some(("key", part)) => Ok(Variable::Key(part.to_owned())),
            Some(("expires", part)) => match ExpiryPart::ALL.into_iter().find(|known| known.word() == part) {
                Some(part) => Ok(Variable::Expires(part)),
                None => {
                    let help = did_you_mean(part, ExpiryPart::ALL.map(ExpiryPart::word));
                    Err(Flaw::new(format!("there is no variable `{name}`"), help))
                }
            },
            Some((first, _)) => Err(Flaw::new(format!("there is no variable `{name}`"), did_you_mean(first, WORDS))),
        }
    }

    /// As it is written, without its frame.
    pub fn name(&self) -> String {
        match self {
            Variable::Target(part) => format!("target.{part}"),
            Variable::Admin(part) => format!("admin.{part}"),
            Variable::Key(part) => format!("key.{part}"),
            Variable::Rotation => "rotation".to_owned(),
            Variable::Tag => "tag".to_owned(),
            Variable::Expires(part) => format!("expires.{}", part.word()),
        }
    }

    /// As it is written, in its frame.
    pub fn placeholder(&self) -> String {
        format!("${{{}}}", self.name())
    }
}

impl Values<'_> {
    /// What a value of a JSON body is that is this variable and nothing else: a setting in its own type, else a text.
    pub fn json(&self, variable: &Variable) -> Result<Value, RotatorError> {
        match variable {
            Variable::Target(name) => self.setting(name).cloned().ok_or_else(|| missing(variable)),
            Variable::Expires(ExpiryPart::Seconds) => {
                self.expiry.map(|expiry| Value::from(expiry.seconds())).ok_or_else(|| missing(variable))
            }
            Variable::Admin(_)
            | Variable::Key(_)
            | Variable::Rotation
            | Variable::Tag
            | Variable::Expires(ExpiryPart::Date | ExpiryPart::Time) => self.lend(variable, |text| Value::from(text)),
        }
    }

    fn setting(&self, name: &str) -> Option<&Value> {
        setting(self.settings, self.target, name)
    }

    fn lend<R>(&self, variable: &Variable, use_it: impl FnOnce(&str) -> R) -> Result<R, RotatorError> {
        match variable {
            Variable::Rotation => Ok(use_it(self.rotation)),
            Variable::Tag => Ok(use_it(self.tag)),
            Variable::Expires(part) => {
                self.expiry.map(|expiry| use_it(&expiry.text(*part))).ok_or_else(|| missing(variable))
            }
            Variable::Target(name) => match self.setting(name) {
                Some(Value::String(text)) => Ok(use_it(text)),
                Some(Value::Number(number)) => Ok(use_it(&number.to_string())),
                Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {
                    Err(missing(variable))
                }
            },
            Variable::Admin(field) => {
                let admin = self.admin.ok_or_else(|| {
                    let message = "API keys are made with an admin's credential: the policy's `admin:` must name one";
                    RotatorError::not_done(Retry::Never, "no-admin", message)
                })?;
                let secret = admin.get(field).map_err(|_| {
                    let message = format!("the admin's credential has no field `{field}`");
                    RotatorError::not_done(Retry::Never, "missing-field", message)
                })?;
                Ok(secret.expose(use_it))
            }
            Variable::Key(field) => Ok(self.key.ok_or_else(|| missing(variable))?.get(field)?.expose(use_it)),
        }
    }
}

/// What a policy gives, or the declaration instead.
pub(crate) fn setting<'a>(specs: &'a [SettingSpec], target: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let default = || specs.iter().find(|spec| spec.name == name).and_then(|spec| spec.default.as_ref());
    target.get(name).or_else(default)
}

fn missing(variable: &Variable) -> RotatorError {
    let message = format!("`{}` has no value", variable.name());
    RotatorError::not_done(Retry::Never, "missing-value", message)
}

/// Appends a value, made harmless for the place.
///
/// # Errors
/// It cannot stand there. The message names the variable, never the value.
pub(crate) fn write_value(to: &mut String, value: &str, place: Place, variable: &Variable) -> Result<(), RotatorError> {
    let refuse = |why: &str| {
        let message = format!("the value of `{}` {why}", variable.name());
        Err(RotatorError::not_done(Retry::Never, "unfit-value", message))
    };
    match place {
        Place::Whole => to.push_str(value),
        Place::Segment => {
            // Of dots only: `.` and `..` mean another place, alone and beside what else stands in the segment.
            if value.chars().all(|c| c == '.') {
                return refuse("is empty or of dots only, which a path would take as another place");
            }
            percent_encode(to, value);
        }
        Place::Host => {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if value.is_empty() || !value.chars().all(fits) || value.starts_with('.') || value.contains("..") {
                return refuse("has characters that do not belong into a host name");
            }
            to.push_str(value);
        }
        Place::Header => {
            if value.chars().any(char::is_control) {
                return refuse("has control characters, such as line ends, which a header cannot hold");
            }
            to.push_str(value);
        }
    }
    Ok(())
}

/// All but RFC 3986's unreserved characters.
fn percent_encode(to: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            to.push(char::from(byte));
        } else {
            write!(to, "%{byte:02X}").expect("writing to a string never fails");
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use keywheel_sdk::Secret;
    use serde_json::json;

    use crate::provider::ValueKind;

    use super::*;

    fn filled(text: &str, value: &str, place: Place) -> Result<String, String> {
        let settings = [SettingSpec {
            name: "region".to_owned(),
            kind: ValueKind::Text,
            required: false,
            default: Some(json!("eu")),
            help: String::new(),
            names_target: false,
        }];
        let key = Bundle::new().with("key_id", Secret::new(value.to_owned()));
        let target = json!({ "user": value });
        let values = Values {
            settings: &settings,
            target: target.as_object().unwrap(),
            admin: None,
            key: Some(&key),
            rotation: "r-1",
            tag: "keywheel:r-1",
            expiry: None,
        };
        let template = Template::parse(text).unwrap();
        template.fill(&values, place).map(|text| text.to_string()).map_err(|error| error.message)
    }

    #[test]
    fn variables_are_filled_in_once() {
        assert_eq!(filled("${rotation} ${tag} ${target.region}", "", Place::Whole).unwrap(), "r-1 keywheel:r-1 eu");
        assert_eq!(
            filled("a$${user} $5 ${key.key_id}", "${rotation}", Place::Whole).unwrap(),
            "a${user} $5 ${rotation}"
        );
        assert!(filled("${key.other}", "x", Place::Whole).unwrap_err().contains("`other`"));
        assert!(filled("${target.other}", "x", Place::Whole).unwrap_err().contains("`target.other`"));
        assert!(filled("${admin.password}", "x", Place::Whole).unwrap_err().contains("admin"));
    }

    #[test]
    fn a_value_stays_within_its_segment() {
        for (value, expected) in [
            ("me", "/u/me/k"),
            ("a/b?c#d", "/u/a%2Fb%3Fc%23d/k"),
            ("../x", "/u/..%2Fx/k"),
            ("%2e%2e", "/u/%252e%252e/k"),
            ("a b\"\\", "/u/a%20b%22%5C/k"),
            ("ü\r\n", "/u/%C3%BC%0D%0A/k"),
            ("a..b", "/u/a..b/k"),
        ] {
            assert_eq!(filled("/u/${target.user}/k", value, Place::Segment).unwrap(), expected);
        }
        for value in ["", ".", "..", "..."] {
            let message = filled("/u/${target.user}/k", value, Place::Segment).unwrap_err();
            assert!(message.contains("`target.user`"), "{message}");
        }
    }

    #[test]
    fn a_value_stays_within_its_header_and_its_host() {
        assert_eq!(filled("Token ${key.key_id}", "a \"b\" ü", Place::Header).unwrap(), "Token a \"b\" ü");
        for value in ["a\r\nX: y", "a\n", "\0", "\u{7f}"] {
            let message = filled("${key.key_id}", value, Place::Header).unwrap_err();
            assert!(message.contains("`key.key_id`") && !message.contains('\n'), "{message}");
        }
        assert_eq!(filled("https://${target.user}.example", "a-1.b", Place::Host).unwrap(), "https://a-1.b.example");
        for value in ["", "evil.com/", "evil.com#", "a@evil.com", "a:1", "..", ".x", "a b", "ü"] {
            assert!(filled("https://${target.user}.example", value, Place::Host).is_err(), "{value:?}");
        }
    }

    #[test]
    fn slips_in_variables_are_told() {
        for (text, part) in [
            ("${target.user", "without its `}`"),
            ("${}", "no variable ``"),
            ("${rotatoin}", "no variable `rotatoin`"),
            ("${keys.key}", "no variable `keys.key`"),
            ("${key}", "has parts"),
            ("${key.}", "no name after its dot"),
        ] {
            let flaw = Template::parse(text).err().unwrap();
            assert!(flaw.message.contains(part), "{text}: {}", flaw.message);
        }
    }
}
