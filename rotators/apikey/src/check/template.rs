//! Whether a text's variables exist, and may stand where they stand.

use super::Check;
use super::request::Scope;
use crate::document::{Kind, Node, Text};
use crate::mistake::{Flaw, did_you_mean};
use crate::provider::{Json, ValueKind};
use crate::template::{Template, Variable};

impl Check<'_> {
    /// A text with variables, each of them checked.
    pub(super) fn template(&mut self, text: &Text, scope: Scope) -> Option<Template> {
        let template = self.told(text.referenced, Template::parse(&text.value))?;
        self.variables(text, &template, scope, |_| false).then_some(template)
    }

    /// Whether all variables may stand there. `whole`: kinds of settings that may beside those that are texts.
    fn variables(&mut self, text: &Text, template: &Template, scope: Scope, whole: fn(ValueKind) -> bool) -> bool {
        for variable in template.variables() {
            let Variable::Admin(field) = variable else { continue };
            if !self.fields.contains(field) {
                self.self_managed = false;
            }
        }
        let flaw = |variable: &Variable| self.flaw(variable, scope).or_else(|| self.no_text(variable, whole));
        let flaws: Vec<Flaw> = template.variables().filter_map(flaw).collect();
        let fine = flaws.is_empty();
        for flaw in flaws {
            self.mistake(text.referenced, flaw);
        }
        fine
    }

    /// A list within a text would have to be joined somehow, and nobody has said how.
    fn no_text(&self, variable: &Variable, whole: fn(ValueKind) -> bool) -> Option<Flaw> {
        let Variable::Target(setting) = variable else { return None };
        let kind = self.settings.iter().find(|spec| spec.name == *setting)?.kind;
        let what = match kind {
            ValueKind::Text | ValueKind::Integer { .. } | ValueKind::Duration => return None,
            ValueKind::Texts => "a list",
            ValueKind::Json => "any JSON",
        };
        let name = variable.name();
        (!whole(kind)).then(|| {
            Flaw::new(
                format!("`{name}` is {what}, and here belongs a text"),
                format!("it can be a whole value of a body in `json`, such as `{setting}: \"${{{name}}}\"`"),
            )
        })
    }

    /// A JSON body. Its keys are as they are written.
    pub(super) fn json(&mut self, node: &Node, scope: Scope) -> Option<Json> {
        match &node.value {
            Kind::Plain(value) => Some(Json::Plain(value.clone())),
            Kind::Text(text) => {
                let text = Text::new(text.clone(), node.referenced, node.defined);
                let template = self.told(node.referenced, Template::parse(&text.value))?;
                // What is one variable and nothing else has the variable's own type.
                let whole: fn(ValueKind) -> bool = if template.is_one_variable() { |_| true } else { |_| false };
                self.variables(&text, &template, scope, whole).then_some(Json::Text(template))
            }
            Kind::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.json(item, scope)).collect();
                items.into_iter().collect::<Option<_>>().map(Json::List)
            }
            Kind::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| {
                        if key.value.contains("${") {
                            let message = "variables stand in values, not in the keys of a body";
                            self.wrong(key.referenced, message, "write the key out");
                        }
                        self.json(value, scope).map(|value| (key.value.clone(), value))
                    })
                    .collect();
                entries.into_iter().collect::<Option<_>>().map(Json::Map)
            }
        }
    }

    fn flaw(&self, variable: &Variable, scope: Scope) -> Option<Flaw> {
        let name = variable.name();
        match variable {
            Variable::Target(setting) => {
                let Some(spec) = self.settings.iter().find(|spec| spec.name == *setting) else {
                    let known = self.settings.iter().map(|spec| spec.name.as_str());
                    return Some(Flaw::new(format!("there is no setting `{setting}`"), did_you_mean(setting, known)));
                };
                (!spec.required && spec.default.is_none()).then(|| {
                    Flaw::new(
                        format!("`{name}` may have no value"),
                        format!("give the setting `{setting}` a `default`, or make it `required: true`"),
                    )
                })
            }
            Variable::Admin(field) => match scope {
                Scope::Admin | Scope::Put | Scope::Removal => None,
                // An address stands in the logs of all who pass it on; a user name may.
                Scope::AdminAddress | Scope::PutAddress | Scope::RemovalAddress if field == "username" => None,
                Scope::AdminAddress | Scope::PutAddress | Scope::RemovalAddress => Some(in_address(&name)),
                // That a wrong key is refused shows that the answer is about the key as well.
                Scope::Verify if self.control => None,
                Scope::Verify | Scope::VerifyAddress => Some(Flaw::new(
                    format!("`{name}` in `verify`, which asks whether the key is accepted and not the admin"),
                    "use `${key.…}`",
                )),
                Scope::Base | Scope::Everywhere => Some(out_of_place(&name)),
            },
            Variable::Key(field) if !self.fields.contains(field) => {
                let known = self.fields.iter().map(String::as_str);
                Some(Flaw::new(format!("there is no field `{field}`"), did_you_mean(field, known)))
            }
            Variable::Key(field) => match scope {
                Scope::Verify | Scope::Put => None,
                Scope::Removal | Scope::RemovalAddress | Scope::VerifyAddress | Scope::PutAddress
                    if field == self.id =>
                {
                    None
                }
                Scope::VerifyAddress | Scope::PutAddress => Some(in_address(&name)),
                Scope::Removal | Scope::RemovalAddress => Some(Flaw::new(
                    format!("`{name}` is not known of a key that was found in the list"),
                    format!("only `${{key.{}}}` is", self.id),
                )),
                Scope::Admin | Scope::AdminAddress => {
                    Some(Flaw::new(format!("`{name}` in a request that is about no key"), "remove it"))
                }
                Scope::Base | Scope::Everywhere => Some(out_of_place(&name)),
            },
            Variable::Expires(_) if !self.lifetime => {
                let help = "write `lifetime: \"${target.lifetime}\"` at the top, a setting of kind `duration`";
                Some(Flaw::new(format!("`{name}` where no lifetime is known"), help))
            }
            Variable::Tag if !self.tagged => Some(Flaw::new("`tag` where keys hold none", "remove it")),
            Variable::Rotation | Variable::Tag | Variable::Expires(_) => match scope {
                Scope::Base => Some(out_of_place(&name)),
                Scope::Everywhere
                | Scope::Admin
                | Scope::AdminAddress
                | Scope::Verify
                | Scope::VerifyAddress
                | Scope::Put
                | Scope::PutAddress
                | Scope::Removal
                | Scope::RemovalAddress => None,
            },
        }
    }
}

fn in_address(name: &str) -> Flaw {
    let message = format!("`{name}` would stand in an address, and addresses stand in logs");
    Flaw::new(message, "send it in `auth`, a header or the body")
}

fn out_of_place(name: &str) -> Flaw {
    Flaw::new(format!("`{name}` cannot stand here"), "only `${target.…}` can")
}
