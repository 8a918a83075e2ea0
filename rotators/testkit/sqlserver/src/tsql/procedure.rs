//! System procedures.

use super::eval::eval;
use super::relation::NOWHERE;
use super::scene::{Outcome, Scene};
use super::statement::{AlterLogin, Argument, LoginOptions, Password, RoleChange};
use super::value::{integer, text};
use super::{applock, login, role};
use crate::exchange::{Column, Kind, Message, Reply, Value};
use crate::instance::catalogue::Key;
use crate::instance::message::{error, no_permission, no_procedure};

/// The arguments of a call, evaluated.
pub(crate) struct Given {
    values: Vec<(Option<String>, Value)>,
}

impl Given {
    pub(crate) fn of(scene: &Scene<'_>, arguments: &[Argument]) -> Result<Self, Message> {
        let value = |argument: &Argument| Ok((argument.name.clone(), eval(scene, &NOWHERE, &argument.value)?));
        Ok(Self { values: arguments.iter().map(value).collect::<Result<_, Message>>()? })
    }

    /// By name, else by place among the unnamed ones.
    pub(crate) fn get(&self, name: &str, at: usize) -> Option<&Value> {
        let named = |(given, _): &&(Option<String>, Value)| {
            given.as_ref().is_some_and(|given| given.eq_ignore_ascii_case(name))
        };
        let by_name = self.values.iter().find(named);
        let by_place = self.values.get(at).filter(|(name, _)| name.is_none());
        by_name.or(by_place).map(|(_, value)| value)
    }

    pub(crate) fn text(&self, name: &str, at: usize) -> Option<String> {
        self.get(name, at).and_then(text)
    }

    pub(crate) fn number(&self, name: &str, at: usize) -> Option<i64> {
        self.get(name, at).filter(|value| **value != Value::Null).and_then(|value| integer(value).ok())
    }
}

/// Calls a procedure; its return status.
pub(crate) fn call(scene: &mut Scene<'_>, name: &[String], arguments: &[Argument]) -> Outcome<i32> {
    let given = Given::of(scene, arguments)?;
    let plain = name.last().map(|name| name.to_lowercase()).unwrap_or_default();
    let need = |name: &str, at| {
        given.text(name, at).ok_or_else(|| {
            error(201, format!("Procedure or function '{plain}' expects parameter '{name}', which was not supplied."))
        })
    };
    match plain.as_str() {
        "sp_getapplock" => return applock::get(scene, &given),
        "sp_releaseapplock" => return applock::release(scene, &given),
        "sp_addrolemember" => {
            role::alter(scene, false, &need("@rolename", 0)?, &RoleChange::Add(need("@membername", 1)?))?
        }
        "sp_droprolemember" => {
            role::alter(scene, false, &need("@rolename", 0)?, &RoleChange::Drop(need("@membername", 1)?))?
        }
        "sp_addsrvrolemember" => {
            role::alter(scene, true, &need("@rolename", 1)?, &RoleChange::Add(need("@loginame", 0)?))?
        }
        "sp_dropsrvrolemember" => {
            role::alter(scene, true, &need("@rolename", 1)?, &RoleChange::Drop(need("@loginame", 0)?))?
        }
        "sp_password" => {
            let login = given.text("@loginame", 2).unwrap_or_else(|| scene.me.login.clone());
            let password = Some(Password::Plain(need("@new", 1)?));
            let options = LoginOptions { password, present: given.text("@old", 0), ..LoginOptions::default() };
            login::alter(scene, &login, &AlterLogin::Set(options))?;
        }
        "sp_configure" => configure(scene, &given)?,
        "sp_who" | "sp_who2" | "sp_helplogins" => return Err(no_procedure(&name.join(".")).into()),
        _ => return Err(no_procedure(&name.join(".")).into()),
    }
    Ok(0)
}

/// `sp_configure`: shows or sets a value, which is in use after RECONFIGURE.
fn configure(scene: &mut Scene<'_>, given: &Given) -> Outcome<()> {
    if scene.is_azure() {
        return Err(no_procedure("sp_configure").into());
    }
    let name = given.text("@configname", 0);
    let known: Vec<&'static str> = scene.world.settings.named.keys().copied().collect();
    let matching = |name: &str| known.iter().copied().find(|known| known.starts_with(&name.to_lowercase()));
    match (&name, given.number("@configvalue", 1)) {
        (Some(name), Some(value)) => {
            let unknown = || {
                error(
                    15123,
                    format!("The configuration option '{name}' does not exist, or it may be an advanced option."),
                )
            };
            let known = matching(name).ok_or_else(unknown)?;
            if !scene.allowed("ALTER SETTINGS") {
                return Err(no_permission().into());
            }
            scene.touch(Key::Settings)?;
            let settings = std::sync::Arc::make_mut(&mut scene.world.settings);
            let slot = settings.named.get_mut(known).expect("just found");
            let former = slot.0;
            slot.0 = i32::try_from(value).unwrap_or(0);
            let text = format!(
                "Configuration option '{known}' changed from {former} to {value}. Run the RECONFIGURE statement to install."
            );
            scene.replies.push(Reply::Message(crate::instance::message::info(15457, 1, text)));
        }
        (name, _) => {
            let column = |name: &str, kind| Column { name: name.to_owned(), kind };
            let columns = [
                ("name", Kind::Text),
                ("minimum", Kind::Int),
                ("maximum", Kind::Int),
                ("config_value", Kind::Int),
                ("run_value", Kind::Int),
            ];
            scene.replies.push(Reply::Columns(columns.map(|(name, kind)| column(name, kind)).to_vec()));
            for (known, (value, used)) in &scene.world.settings.named {
                if name.as_ref().is_none_or(|name| known.starts_with(&name.to_lowercase())) {
                    let row = vec![
                        Value::Text((*known).to_owned()),
                        Value::Int(0),
                        Value::Int(1),
                        Value::Int(*value),
                        Value::Int(*used),
                    ];
                    scene.replies.push(Reply::Row(row));
                }
            }
        }
    }
    Ok(())
}

pub(crate) fn reconfigure(scene: &mut Scene<'_>) -> Outcome<()> {
    if !scene.allowed("ALTER SETTINGS") {
        return Err(error(15247, "User does not have permission to perform this action.").into());
    }
    scene.touch(Key::Settings)?;
    for (value, used) in std::sync::Arc::make_mut(&mut scene.world.settings).named.values_mut() {
        *used = *value;
    }
    Ok(())
}
