//! What a policy may give under `target:`.

use super::request::Scope;
use super::{Check, is_word};
use crate::document::{Entries, SettingDocument, Text};
use crate::mistake::did_you_mean;
use crate::provider::{SettingSpec, ValueKind};
use crate::settings::check_value;
use crate::template::Variable;

impl Check<'_> {
    pub(super) fn settings(&mut self, settings: Entries<SettingDocument>) {
        for (name, setting) in settings.0 {
            if !is_word(&name.value, '_') {
                let message = "a setting's name has lower-case letters, digits and `_`, and begins with a letter";
                self.wrong(name.referenced, message, "such as `user`");
            }
            let kind = self.value_kind(&setting);
            if let Some(default) = setting.default.as_ref() {
                if setting.required {
                    self.wrong(default.referenced, "a required setting has no default", "remove one of them");
                }
                if let Some(Err(why)) = kind.map(|kind| check_value(kind, &default.value.value())) {
                    let help = "leave `default` out, or write one of the setting's `kind`";
                    self.wrong(default.referenced, format!("the default {why}"), help);
                }
            }
            self.settings.push(SettingSpec {
                name: name.value,
                kind: kind.unwrap_or(ValueKind::Text),
                required: setting.required,
                default: setting.default.map(|default| default.value.value()),
                help: setting.help.value,
                names_target: setting.names_target,
            });
        }
    }

    /// The setting that says how long keys live.
    pub(super) fn lifetime(&mut self, text: &Text) -> Option<String> {
        // Whatever else is wrong with it: variables that follow from it are not to be told, too.
        self.lifetime = true;
        let template = self.template(text, Scope::Base)?;
        let named = template.only().and_then(|variable| match variable {
            Variable::Target(name) => self.settings.iter().find(|spec| spec.name == *name),
            Variable::Admin(_) | Variable::Key(_) | Variable::Rotation | Variable::Tag | Variable::Expires(_) => None,
        });
        match named.map(|spec| (spec.kind, spec.name.clone())) {
            Some((ValueKind::Duration, name)) => Some(name),
            Some(_) | None => {
                let message = "a lifetime is a setting of kind `duration`, and nothing else";
                self.wrong(text.referenced, message, "write `lifetime: \"${target.lifetime}\"`");
                None
            }
        }
    }

    fn value_kind(&mut self, setting: &SettingDocument) -> Option<ValueKind> {
        let (min, max) = (setting.min.as_ref(), setting.max.as_ref());
        let range = ValueKind::Integer {
            min: min.map_or(i64::MIN, |min| min.value),
            max: max.map_or(i64::MAX, |max| max.value),
        };
        let word = setting.kind.as_ref().map_or("text", |kind| kind.value.as_str());
        let known = [
            ("text", ValueKind::Text),
            ("texts", ValueKind::Texts),
            ("integer", range),
            ("duration", ValueKind::Duration),
            ("json", ValueKind::Json),
        ];
        let found = known.into_iter().find(|(name, _)| *name == word).map(|(_, kind)| kind);
        if let (None, Some(kind)) = (found, &setting.kind) {
            let help = did_you_mean(word, known.map(|(name, _)| name));
            self.wrong(kind.referenced, format!("`{word}` is no kind of setting"), help);
        }
        match (found, min, max) {
            (Some(ValueKind::Integer { .. }), Some(min), Some(max)) if min.value > max.value => {
                self.wrong(max.referenced, "`max` is less than `min`", "swap them");
            }
            (None | Some(ValueKind::Integer { .. }), _, _) => {}
            (Some(ValueKind::Text | ValueKind::Texts | ValueKind::Duration | ValueKind::Json), _, _) => {
                for bound in [min, max].into_iter().flatten() {
                    self.wrong(
                        bound.referenced,
                        "only whole numbers have bounds",
                        "write `kind: integer`, or remove it",
                    );
                }
            }
        }
        found
    }
}
