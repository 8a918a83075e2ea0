//! `preflight`: would a rotation work? All findings, before anything is changed.

use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywheel_sdk::{Bundle, Call, Finding, GrantParity, RotatorError, Secret, Severity, Strategy};
use sqlx::postgres::PgRow;

use crate::access::{Access, never};
use crate::connect::{self, LoginError, Pool, Session};
use crate::sqlstate::{self, Moment};
use crate::statement::{Sql, column, flag};
use crate::{PostgresRotator, parity};

/// Versions that this rotator was made for.
const VERSIONS: std::ops::RangeInclusive<u32> = 13..=18;

/// Read-only, but for one login with a random password, which the server must refuse. `Err` only where the settings are
/// wrong: an admin that cannot log in is a finding.
pub(crate) async fn preflight(
    rotator: &PostgresRotator,
    call: &Call<'_>,
    current: Option<&Bundle>,
) -> Result<Vec<Finding>, RotatorError> {
    let access = Access::of(rotator, call)?;
    let mut findings = Findings::default();
    for name in access.target.strategy.users() {
        access.account(&Bundle::login(name, Secret::new(String::new())))?;
    }
    findings.line(&access);
    let opened = match access.pool()? {
        Some(pool) => pool.session(&access.frame, false).await.map(|session| (session, Some(pool))),
        None => own_session(&access, current).await.map(|session| (session, None)),
    };
    match opened {
        Err(error) => findings.error(error.message, "see the admin's credential, and the server's log"),
        Ok((mut session, pool)) => {
            let facts = ask(&access, &mut session).await?;
            session.finish(&access.frame).await;
            findings.server(&facts)?;
            findings.accounts(&access, &facts, current)?;
            match &pool {
                Some(pool) => findings.admin_rights(&access, &facts, pool).await?,
                None => findings.fine("the account changes its own password".to_owned()),
            }
        }
    }
    findings.trust(&access).await?;
    Ok(findings.0)
}

async fn own_session(access: &Access<'_>, current: Option<&Bundle>) -> Result<Session, RotatorError> {
    let nothing =
        || never("locked-out", "the account manages itself, and no credential that works is known".to_owned());
    let current = current.ok_or_else(nothing)?;
    access.own_session(&current.username()?, &[current]).await?.ok_or_else(nothing)
}

/// What the server says about itself, the admin and the accounts: one row of kind `server`, one per account that exists.
async fn ask(access: &Access<'_>, session: &mut Session) -> Result<Vec<PgRow>, RotatorError> {
    let doing = "look at the server and its accounts";
    let mut query = Sql::new("SELECT 'server' AS kind, current_setting('server_version_num')::int / 10000 AS version, ")
        .fixed("pg_catalog.pg_is_in_recovery() AS standby, a.rolsuper AS super, a.rolcreaterole AS createrole, ")
        .fixed("has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT') AS authid, ")
        .fixed("pg_has_role('pg_signal_backend', 'USAGE') AS signal ")
        .fixed("FROM pg_catalog.pg_roles a WHERE a.rolname = current_user; ")
        .fixed("SELECT 'account' AS kind, r.rolname AS name, r.rolcanlogin AS login, r.rolsuper AS super, ")
        .fixed("r.rolvaliduntil::text AS until, coalesce(r.rolvaliduntil <= now(), false) AS expired, r.rolconnlimit AS limit, ")
        .fixed("EXISTS (SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles a ON a.oid = m.member ")
        .fixed("WHERE m.roleid = r.oid AND m.admin_option AND pg_has_role(current_user, a.oid, 'USAGE')) AS admin, ")
        .fixed("has_database_privilege(r.oid, current_database(), 'CONNECT') AS connects ")
        .fixed("FROM pg_catalog.pg_roles r WHERE r.rolname IN (NULL");
    for name in access.target.strategy.users() {
        query = query.fixed(", ").literal(name);
    }
    let query = query.fixed(")");
    let late = || LoginError::Late.into_failure(doing);
    let rows = access.frame.within(query.run(session.connection()), late).await?;
    rows.map_err(|error| sqlstate::failure(&error, Moment::Reading, doing))
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, what: String, hint: &str) {
        self.0.push(Finding { severity, what, hint: hint.to_owned() });
    }

    fn error(&mut self, what: String, hint: &str) {
        self.add(Severity::Error, what, hint);
    }

    fn warning(&mut self, what: String, hint: &str) {
        self.add(Severity::Warning, what, hint);
    }

    fn fine(&mut self, what: String) {
        self.add(Severity::Fine, what, "");
    }

    fn line(&mut self, access: &Access<'_>) {
        let settings = &access.settings;
        let how = format!("the line to `{}` uses `tls: {}`", settings.host, settings.tls.word());
        if settings.is_verified() {
            self.fine(how);
        } else if settings.is_local() {
            self.fine(how + ", and stays on this machine");
        } else {
            self.warning(how + ": somebody in between could take the passwords", "use `tls: verify-full`");
        }
    }

    fn server(&mut self, facts: &[PgRow]) -> Result<(), RotatorError> {
        let Some(server) = of_kind(facts, "server").next() else { return Ok(()) };
        let version: u32 = text(server, "version")?.parse().unwrap_or(0);
        if VERSIONS.contains(&version) {
            self.fine(format!("PostgreSQL {version}"));
        } else {
            self.warning(
                format!("PostgreSQL {version} is not one of the versions that this rotator was made for"),
                "13 to 18 are",
            );
        }
        if is(server, "standby")? {
            self.error("the server is a read-only standby".to_owned(), "name the primary in `target.host`");
        }
        Ok(())
    }

    fn accounts(&mut self, access: &Access<'_>, facts: &[PgRow], current: Option<&Bundle>) -> Result<(), RotatorError> {
        let live = current.and_then(|current| current.username().ok());
        for name in access.target.strategy.users() {
            let account = of_kind(facts, "account").find(|row| text(row, "name").is_ok_and(|seen| seen == *name));
            match account {
                Some(account) => self.account(access, account, name, live.as_deref() == Some(name))?,
                None if matches!(&access.target.strategy, Strategy::Alternating { create_missing: true, .. }) => {
                    self.warning(
                        format!("there is no role `{name}` yet"),
                        "it will be created as a copy of the other one",
                    );
                }
                None => self.error(format!("there is no role `{name}`"), "create it, or see `create_missing`"),
            }
        }
        Ok(())
    }

    fn account(&mut self, access: &Access<'_>, row: &PgRow, name: &str, live: bool) -> Result<(), RotatorError> {
        let needs_login = live || !access.alternates();
        if !is(row, "login")? {
            match needs_login {
                true => self.error(format!("the role `{name}` may not log in"), "`ALTER ROLE … LOGIN`"),
                false => self.fine(format!("the idle role `{name}` may not log in; `apply` changes that")),
            }
        }
        if is(row, "expired")? && needs_login {
            self.error(format!("`VALID UNTIL` of the role `{name}` is over"), "`ALTER ROLE … VALID UNTIL`");
        } else if !matches!(text(row, "until")?.as_str(), "" | "infinity") {
            self.warning(
                format!("the role `{name}` has a `VALID UNTIL`: its password ends on that day, rotated or not"),
                "`ALTER ROLE … VALID UNTIL 'infinity'`",
            );
        }
        if text(row, "limit")?.parse::<i64>().is_ok_and(|limit| (0..2).contains(&limit)) {
            self.warning(
                format!("the role `{name}` has a low CONNECTION LIMIT: logging in to verify may be refused"),
                "leave room for one session more than the application needs",
            );
        }
        if !is(row, "connects")? {
            self.error(
                format!("the role `{name}` may not connect to the database `{}`", access.settings.database),
                "`GRANT CONNECT ON DATABASE …`, or name another `target.database`",
            );
        }
        self.fine(format!("the role `{name}` exists"));
        Ok(())
    }

    async fn admin_rights(
        &mut self,
        access: &Access<'_>,
        facts: &[PgRow],
        pool: &Arc<Pool>,
    ) -> Result<(), RotatorError> {
        let Some(server) = of_kind(facts, "server").next() else { return Ok(()) };
        let superuser = is(server, "super")?;
        let version: u32 = text(server, "version")?.parse().unwrap_or(0);
        for account in of_kind(facts, "account") {
            let name = text(account, "name")?;
            if superuser {
                continue;
            }
            if is(account, "super")? {
                self.error(
                    format!("`{name}` is a superuser, and the admin is none"),
                    "only superusers may change superusers",
                );
            } else if !is(server, "createrole")? {
                self.error(
                    format!("the admin may not change the role `{name}`"),
                    "`ALTER ROLE <admin> CREATEROLE`, and from version 16 on also `GRANT <role> TO <admin> WITH ADMIN OPTION`",
                );
            } else if version >= 16 && !is(account, "admin")? {
                self.error(
                    format!("the admin has no ADMIN OPTION on the role `{name}`, which version {version} asks for"),
                    "`GRANT <role> TO <admin> WITH ADMIN OPTION, INHERIT FALSE, SET FALSE`",
                );
            } else {
                self.fine(format!("the admin may change the role `{name}`"));
            }
        }
        if superuser {
            self.warning("the admin is a superuser".to_owned(), "a role with CREATEROLE is enough");
        }
        match is(server, "authid")? {
            true => self.fine("the admin can compare passwords in `pg_authid`, so probes need no login".to_owned()),
            false => self.warning(
                "the admin cannot read `pg_authid`, so each probe is a login (and a failed one where the answer is no)".to_owned(),
                "`GRANT SELECT (rolname, rolpassword, rolcanlogin, rolvaliduntil) ON pg_authid TO <admin>`, where the provider allows it",
            ),
        }
        if !superuser && !is(server, "signal")? {
            self.warning(
                "the admin can end sessions of its own account only".to_owned(),
                "to end an application's sessions with `revoke`, and a stranger's that blocks rotations: \
                 `GRANT pg_signal_backend TO <admin>`",
            );
        }
        pool.authid_refused.store(!is(server, "authid")?, std::sync::atomic::Ordering::Relaxed);
        self.parity(access, facts).await
    }

    async fn parity(&mut self, access: &Access<'_>, facts: &[PgRow]) -> Result<(), RotatorError> {
        let Strategy::Alternating { users: [first, second], grant_parity, .. } = &access.target.strategy else {
            return Ok(());
        };
        if *grant_parity == GrantParity::Ignore || of_kind(facts, "account").count() < 2 {
            return Ok(());
        }
        let differences = parity::differences(access, first, second).await?;
        if differences.is_empty() {
            self.fine(format!("`{first}` and `{second}` have the same rights"));
        } else {
            let severity = if *grant_parity == GrantParity::Require { Severity::Error } else { Severity::Warning };
            self.add(severity, parity::message(first, second, &differences), parity::HINT);
        }
        Ok(())
    }

    /// A server that asks for no password accepts any: then a login proves nothing.
    async fn trust(&mut self, access: &Access<'_>) -> Result<(), RotatorError> {
        let mut refused = false;
        for name in access.target.strategy.users() {
            let mut bytes = [0; 24];
            rand::fill(&mut bytes).expect("the system's generator does not fail once the process runs");
            let nonsense = Bundle::login(name, Secret::new(URL_SAFE_NO_PAD.encode(bytes)));
            match connect::login(&access.settings, &access.frame, &nonsense).await? {
                Ok(connection) => {
                    Session::own(connection).finish(&access.frame).await;
                    self.error(
                        format!(
                            "the server lets `{name}` in with any password, so nothing that is rotated protects it"
                        ),
                        "replace `trust` in `pg_hba.conf` by `scram-sha-256`, also for this machine's address",
                    );
                    return Ok(());
                }
                // Other refusals, such as of a role that may not log in, come without a look at the password.
                Err(error) => refused |= error.is_wrong_password(),
            }
        }
        match refused {
            true => self.fine("a wrong password is refused".to_owned()),
            false => self.warning(
                "whether a wrong password is refused could not be seen".to_owned(),
                "see that `pg_hba.conf` asks for a password from here",
            ),
        }
        Ok(())
    }
}

fn of_kind<'r>(facts: &'r [PgRow], kind: &'static str) -> impl Iterator<Item = &'r PgRow> {
    facts.iter().filter(move |row| column(row, "kind").ok().flatten().as_deref() == Some(kind))
}

/// A column as text, for messages; empty for NULL.
fn text(row: &PgRow, name: &str) -> Result<String, RotatorError> {
    let text = column(row, name).map_err(unreadable)?.unwrap_or_default();
    Ok(sqlstate::bounded(&text).into_owned())
}

fn is(row: &PgRow, name: &str) -> Result<bool, RotatorError> {
    flag(row, name).map_err(unreadable)
}

fn unreadable(error: sqlx::Error) -> RotatorError {
    sqlstate::failure(&error, Moment::Reading, "read the server's answer")
}
