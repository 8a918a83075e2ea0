//! Passwords that are changed, and passwords that are reset: Windows asks more of the former ([MS-SAMR] 3.1.5.13.7).

use std::time::Duration;

use super::{ask, check, enter, knock, login};
use crate::instance::{Instance, Options, PasswordPolicy};

const DAY: Duration = Duration::from_secs(86_400);

/// Knowing the present password, or not.
fn alter(password: &str, present: Option<&str>) -> String {
    let present = present.map(|present| format!(" OLD_PASSWORD = N'{present}'")).unwrap_or_default();
    format!("ALTER LOGIN app WITH PASSWORD = N'{password}'{present}")
}

async fn with_app(policy: PasswordPolicy) -> Instance {
    let instance = Instance::new(Options { password_policy: policy, ..Options::default() });
    check(&mut instance.console(), &[("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", "")]).await;
    instance
}

#[tokio::test]
async fn a_change_waits_for_the_minimum_age_and_a_reset_does_not() {
    let instance = with_app(PasswordPolicy { min_age: DAY, ..PasswordPolicy::default() }).await;
    let mut app = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    assert_eq!(ask(&mut app, &alter("Second-Passw0rd", Some("First-Passw0rd"))).await, "!15114");
    assert_eq!(ask(&mut app, &alter("short", Some("wrong"))).await, "!15114", "before anything is looked at");
    assert_eq!(ask(&mut instance.console(), &alter("Second-Passw0rd", None)).await, "");
    instance.advance(DAY);
    assert_eq!(ask(&mut app, &alter("Third-Passw0rd", Some("Second-Passw0rd"))).await, "");
    let mut at_login = login("app", "Third-Passw0rd", "");
    at_login.change_to = Some("Fourth-Passw0rd".to_owned());
    assert_eq!(instance.login(&at_login).err().unwrap()[0].number, 18462);
    let due = "ALTER LOGIN app WITH PASSWORD = N'Fifth-Passw0rd' MUST_CHANGE, CHECK_EXPIRATION = ON";
    check(&mut instance.console(), &[(due, "")]).await;
    at_login.password = "Fifth-Passw0rd".to_owned();
    assert!(instance.login(&at_login).is_ok(), "one that must be changed is never too young");
}

#[tokio::test]
async fn a_change_never_takes_a_former_password_and_a_reset_may() {
    for (history_on_reset, expected) in [(true, "!15115"), (false, "")] {
        let instance = with_app(PasswordPolicy { history: 2, history_on_reset, ..PasswordPolicy::default() }).await;
        let (mut sa, mut app) = (instance.console(), enter(&instance, "app", "First-Passw0rd", "").unwrap());
        for (password, present) in [("Second-Passw0rd", "First-Passw0rd"), ("Third-Passw0rd", "Second-Passw0rd")] {
            assert_eq!(ask(&mut app, &alter(password, Some(present))).await, "");
        }
        assert_eq!(ask(&mut app, &alter("Second-Passw0rd", Some("Third-Passw0rd"))).await, "!15115");
        assert_eq!(ask(&mut app, &alter("Third-Passw0rd", Some("Third-Passw0rd"))).await, "!15115", "the present one");
        assert_eq!(ask(&mut sa, &alter("Second-Passw0rd", None)).await, expected, "{history_on_reset}");
        assert_eq!(ask(&mut sa, &alter("First-Passw0rd", None)).await, "", "the third is forgotten");
    }
}

#[tokio::test]
async fn nothing_is_changed_while_the_login_is_locked_out() {
    let policy = PasswordPolicy { max_length: Some(20), ..PasswordPolicy::default() };
    let instance = with_app(policy).await;
    let mut app = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    for (password, number) in [("short1!", "!15116"), ("much-Too-l0ng-for-this", "!15117"), ("alllowercase", "!15118")]
    {
        assert_eq!(ask(&mut app, &alter(password, Some("First-Passw0rd"))).await, number, "a change: {password}");
        assert_eq!(ask(&mut instance.console(), &alter(password, None)).await, number, "a reset: {password}");
    }
    for _ in 0..5 {
        knock(&instance, "app", "wrong");
    }
    assert_eq!(ask(&mut app, &alter("Second-Passw0rd", Some("First-Passw0rd"))).await, "!15113");
    assert_eq!(ask(&mut instance.console(), &alter("Second-Passw0rd", None)).await, "");
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 18486);
}
