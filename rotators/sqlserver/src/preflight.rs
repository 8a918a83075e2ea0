//! `preflight`: would a rotation work? All findings, before anything is changed.

mod facts;

use keywheel_sdk::{Admin, Bundle, Call, Finding, Generates, GrantParity, RotatorError, Secret, Severity, Strategy};

use crate::access::Access;
use crate::instance::{Instance, locked_out};
use crate::settings::{Encryption, Kind};
use crate::{SqlServerRotator, create, parity, sessions};
use facts::{AccountFacts, Facts, ServerFacts};

/// The oldest version that Microsoft still mends (2017), as `ProductMajorVersion`.
const OLDEST: u32 = 14;
/// What the Windows password policy asks for.
const CLASSES: usize = 3;
const SHORTEST: usize = 8;
/// From this length on a password without one of its classes is rarer than one in a thousand.
const LONG_ENOUGH: usize = 24;
/// A password that ends sooner than this is worth a word. Days.
const SOON: i32 = 14;

/// Read-only. `Err` only where the settings are wrong: an admin that cannot log in is a finding.
pub(crate) async fn preflight(
    rotator: &SqlServerRotator,
    call: &Call<'_>,
    current: Option<&Bundle>,
) -> Result<Vec<Finding>, RotatorError> {
    let access = Access::of(rotator, call)?;
    for name in access.target.strategy.users() {
        access.account(&Bundle::login(name, Secret::new(String::new())))?;
    }
    let mut findings = Findings { list: Vec::new(), at: String::new(), compared: None };
    findings.line(&access);
    let (mut servers, mut replicas, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
    for instance in access.instances() {
        if access.settings.is_group() {
            findings.at = format!("{}: ", instance.address);
        }
        match look(&access, &instance, current).await {
            Err(error) => findings.error(error.message, "see the admin's credential, and the server's log"),
            Ok(facts) => {
                findings.server(&access, &facts.server);
                findings.rights(&access, &facts);
                findings.accounts(&access, &facts, current);
                if facts.accounts.len() == 2 {
                    findings.parity(&access, &instance).await;
                }
                servers.push(facts.server.name);
                replicas.extend(facts.server.replicas);
                accounts.extend(facts.accounts);
            }
        }
    }
    findings.at.clear();
    findings.group(&access, &servers, &replicas);
    findings.sids(&access, &accounts);
    if findings.compared == Some(false) {
        findings.blind(&access);
    }
    Ok(findings.list)
}

async fn look(access: &Access<'_>, instance: &Instance<'_>, current: Option<&Bundle>) -> Result<Facts, RotatorError> {
    let mut facts = match instance.pool() {
        Some(pool) => {
            let query = facts::query(access.settings.kind, access.target.strategy.users());
            facts::read(&pool.read(&access.frame, &query, facts::DOING).await?)?
        }
        None => own_facts(access, instance, current).await?,
    };
    let Some(mut pool) = instance.pool() else { return Ok(facts) };
    // Which replicas there are may be seen by few; it is only for a warning.
    if facts.server.hadr
        && let Ok(rows) = pool.read(&access.frame, &facts::replicas(&facts.server), facts::DOING).await
    {
        facts.server.replicas = facts::read_replicas(&rows);
    }
    if facts.server.is_azure_database() && access.settings.kind == Kind::Login {
        match sessions::applications_pool(instance) {
            Ok(applications) => pool = applications,
            // Said where it matters: neither right is there.
            Err(_) => return Ok(facts),
        }
    }
    let rows = pool.read(&access.frame, &facts::over_sessions(), facts::DOING).await?;
    facts.server.read_over_sessions(&rows);
    Ok(facts)
}

async fn own_facts(
    access: &Access<'_>,
    instance: &Instance<'_>,
    current: Option<&Bundle>,
) -> Result<Facts, RotatorError> {
    let name = access.target.strategy.users().first().cloned().unwrap_or_default();
    let known: Vec<&Bundle> = current.into_iter().collect();
    let Some((mut session, _)) = instance.own_session(&name, &known).await? else { return Err(locked_out(&name)) };
    let query = facts::query(access.settings.kind, access.target.strategy.users());
    let late = || crate::connect::late(facts::DOING);
    let rows = access.frame.within(query.run(session.line()), late).await?;
    let failed =
        |error: tiberius::error::Error| crate::answer::failure(&error, crate::answer::Moment::Reading, facts::DOING);
    let facts = facts::read(&rows.map_err(failed)?)?;
    session.finish(&access.frame).await;
    Ok(facts)
}

fn creates(access: &Access<'_>) -> bool {
    matches!(&access.target.strategy, Strategy::Alternating { create_missing: true, .. })
}

/// Findings, each with the instance where it was found.
struct Findings {
    list: Vec<Finding>,
    at: String,
    /// Whether rights were compared, and in the application's database too.
    compared: Option<bool>,
}

impl Findings {
    fn add(&mut self, severity: Severity, what: String, hint: &str) {
        self.list.push(Finding { severity, what: format!("{}{what}", self.at), hint: hint.to_owned() });
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
        let how = match access.settings.encryption {
            Encryption::Required => "the line is encrypted (TLS inside TDS 7.4)",
            Encryption::Strict => "the line is encrypted (TDS 8.0)",
        };
        match access.settings.is_verified() {
            true => self.fine(format!("{how}, and the server's certificate is verified")),
            false => self.warning(
                format!("{how}, but any certificate is accepted: somebody in between could take the passwords"),
                "give a `ca_file`, and leave `trust_server_certificate` out",
            ),
        }
    }

    fn server(&mut self, access: &Access<'_>, server: &ServerFacts) {
        let what = format!("{} {} ({})", server.product(), server.version, server.edition_name);
        match server.is_azure() || server.major() >= OLDEST {
            true => self.fine(what),
            false => self.warning(what, "versions before 2017 (14) are not supported by Microsoft any more"),
        }
        if server.windows_only {
            self.error(
                "the server knows Windows accounts only, so no login of its own gets in".to_owned(),
                "allow SQL Server and Windows authentication, and restart the server",
            );
        }
        // Azure keeps copies of its own, with the logins.
        if server.hadr && !server.is_azure() && !access.settings.is_group() && access.settings.kind == Kind::Login {
            match server.replicas.len() {
                0 => self.warning(
                    "the server may be in an availability group, whose instances each keep logins of their own"
                        .to_owned(),
                    "if it is, list every instance in `target.replicas`",
                ),
                _ => self.error(
                    format!("the server is in an availability group with {}", server.replicas.join(", ")),
                    "logins live in each instance: list every one in `target.replicas`",
                ),
            }
        }
    }

    fn rights(&mut self, access: &Access<'_>, facts: &Facts) {
        if matches!(access.target.admin, Admin::Own) {
            self.fine("the account changes its own password".to_owned());
            return;
        }
        let server = &facts.server;
        if !server.may_alter {
            let (what, hint) = match access.settings.kind {
                Kind::Login if server.is_azure() => {
                    ("the admin may not change logins", "add it to the role `loginmanager` in `master`")
                }
                Kind::Login => ("the admin may not change logins", "`GRANT ALTER ANY LOGIN TO <admin>`"),
                Kind::ContainedUser => ("the admin may not change users", "`GRANT ALTER ANY USER TO <admin>`"),
            };
            self.error(what.to_owned(), hint);
        }
        let powerful = facts.accounts.iter().find(|account| account.powerful);
        if let Some(account) = powerful.filter(|_| !server.may_control) {
            self.error(
                format!("`{}` is a member of sysadmin, and the admin has no CONTROL SERVER", account.name),
                "`GRANT CONTROL SERVER TO <admin>`, or take the account out of sysadmin",
            );
        }
        if access.settings.kind == Kind::Login {
            match facts.accounts.iter().any(|account| account.shows_password) {
                true => self.fine("the admin can compare passwords, so probes need no login".to_owned()),
                false => self.warning(
                    "the admin cannot compare passwords, so each probe is a login (and a failed one where the answer is no)"
                        .to_owned(),
                    "`GRANT CONTROL SERVER TO <admin>`, from 2022 on `GRANT VIEW ANY CRYPTOGRAPHICALLY SECURED DEFINITION`; \
                     or leave it, within `lockout_budget`",
                ),
            }
        }
        if !server.may_shut {
            self.warning(
                "the admin may not take CONNECT from a user, or give it back: an idle user is shut by its password alone"
                    .to_owned(),
                "`ALTER ROLE db_accessadmin ADD MEMBER <admin>`",
            );
        }
        self.over_sessions(access, server);
    }

    fn over_sessions(&mut self, access: &Access<'_>, server: &ServerFacts) {
        let azure = server.is_azure_database();
        if azure && access.settings.kind == Kind::Login && access.settings.database.eq_ignore_ascii_case("master") {
            self.warning(
                "the login's sessions cannot be seen from `master`, so `when: no-sessions` and `terminate_sessions` cannot work"
                    .to_owned(),
                "name the application's database in `target.database`",
            );
            return;
        }
        if !server.sees_sessions {
            self.warning(
                "the admin cannot see other accounts' sessions, so `when: no-sessions` and `terminate_sessions` cannot work"
                    .to_owned(),
                match azure {
                    true => "`GRANT VIEW DATABASE STATE TO <admin>` in the application's database",
                    false => "`GRANT VIEW SERVER STATE TO <admin>`",
                },
            );
        }
        if !server.may_kill {
            self.warning(
                "the admin cannot end sessions: neither an application's with `revoke`, nor a leftover that holds an \
                 account's lock"
                    .to_owned(),
                match azure {
                    true => "`GRANT KILL DATABASE CONNECTION TO <admin>` in the application's database",
                    false => "`GRANT ALTER ANY CONNECTION TO <admin>`",
                },
            );
        }
    }

    /// A database that moves to another replica finds its users by the SIDs of the logins there.
    fn sids(&mut self, access: &Access<'_>, accounts: &[AccountFacts]) {
        for name in access.target.strategy.users() {
            let mut sids =
                accounts.iter().filter(|account| account.name.eq_ignore_ascii_case(name)).map(|one| &one.sid);
            let Some(first) = sids.next() else { continue };
            if sids.any(|sid| sid != first) {
                // A missing one is made with the SID of the others, if they have one.
                let severity = if creates(access) { Severity::Error } else { Severity::Warning };
                self.add(
                    severity,
                    format!("`{name}` has different SIDs on the replicas: after a failover its users in the databases are not its own"),
                    "drop it on all replicas but one, and create it there with `SID = …` of that one",
                );
            }
        }
    }

    fn accounts(&mut self, access: &Access<'_>, facts: &Facts, current: Option<&Bundle>) {
        let live = current.and_then(|current| current.username().ok());
        for name in access.target.strategy.users() {
            match facts.accounts.iter().find(|account| account.name.eq_ignore_ascii_case(name)) {
                Some(account) => {
                    let needs_login = !access.alternates() || live.as_deref() == Some(name);
                    self.account(account, name, needs_login, access.target.generates);
                }
                None if creates(access) => {
                    match create::refusal(access.settings.kind, facts.server.is_azure_database()) {
                        None => self.warning(
                            format!("there is no account `{name}` yet"),
                            "it will be created as a copy of the other one",
                        ),
                        Some(why) => self.error(
                            format!("there is no account `{name}`, and {why}"),
                            "create it, with the rights of the other one",
                        ),
                    }
                }
                None => self.error(
                    format!("there is no account `{name}`, or the admin may not see it"),
                    "create it, or see `create_missing`",
                ),
            }
        }
    }

    fn account(&mut self, account: &AccountFacts, name: &str, needs_login: bool, generates: Option<Generates>) {
        if account.disabled {
            match needs_login {
                true => self.error(format!("the account `{name}` is disabled"), "`ALTER LOGIN … ENABLE`"),
                false => self.fine(format!("the idle account `{name}` is disabled; `apply` changes that")),
            }
        }
        if account.locked && needs_login {
            self.error(
                format!("the account `{name}` is locked out"),
                "`ALTER LOGIN … WITH PASSWORD = … UNLOCK`, or wait",
            );
        }
        if account.must_change && needs_login {
            self.error(
                format!("the password of `{name}` is over its age, or must be changed first: nobody gets in with it"),
                "set it anew by hand, then `keywheel secret put`",
            );
        }
        if let Some(days) = account.days_left.filter(|days| (0..SOON).contains(days))
            && needs_login
        {
            self.warning(
                format!("the password of `{name}` ends in {days} days by the server's own policy"),
                "rotate more often than the server's maximum password age",
            );
        }
        if account.history > 0 && needs_login {
            self.warning(
                format!(
                    "the server remembers {} passwords of `{name}` and refuses them, so rolling back may need a person",
                    account.history
                ),
                "prefer `alternating`, which never goes back to an old password",
            );
        }
        if account.policy {
            self.password_policy(generates, name);
        }
        self.fine(format!(
            "the account `{name}` exists{}",
            if account.policy { ", and the Windows password policy applies to it" } else { "" }
        ));
    }

    /// The Windows policy asks for three of its classes, and at least eight characters unless told otherwise (Windows
    /// documentation, "Password must meet complexity requirements"). The machine's own minimum length the server does not tell.
    fn password_policy(&mut self, generates: Option<Generates>, name: &str) {
        let Some(generates) = generates else { return };
        let hint = "`generate: { length: 40, require: [lower, upper, digit] }`";
        if generates.classes < CLASSES || generates.length < SHORTEST {
            self.error(
                format!("the password policy on `{name}` refuses what `generate` makes: it asks for {CLASSES} of the classes lower, upper, digit and symbol, and {SHORTEST} characters"),
                hint,
            );
        } else if generates.required < CLASSES && generates.length < LONG_ENOUGH {
            self.warning(
                format!("some of the passwords that `generate` makes lack a class that the password policy on `{name}` asks for"),
                hint,
            );
        }
    }

    async fn parity(&mut self, access: &Access<'_>, instance: &Instance<'_>) {
        let Strategy::Alternating { users: [first, second], grant_parity, .. } = &access.target.strategy else {
            return;
        };
        if *grant_parity == GrantParity::Ignore {
            return;
        }
        let severity = if *grant_parity == GrantParity::Require { Severity::Error } else { Severity::Warning };
        let compared = parity::compare(access, instance, first, second).await;
        if let Ok(compared) = &compared {
            self.compared = Some(compared.own || self.compared == Some(true));
        }
        match compared {
            Ok(compared) if compared.differences.is_empty() => {
                self.fine(format!("`{first}` and `{second}` have the same rights"));
                if let Some(hidden) = parity::hidden(&compared) {
                    self.warning(hidden, "create a user for the admin there with VIEW DEFINITION");
                }
            }
            Ok(compared) => self.add(severity, parity::message(first, second, &compared), parity::HINT),
            Err(error) => self.add(severity, error.message, parity::HINT),
        }
    }

    /// On none of a group's instances was the application's database one that can be written and looked into.
    fn blind(&mut self, access: &Access<'_>) {
        if let Strategy::Alternating { grant_parity, .. } = &access.target.strategy {
            let severity = if *grant_parity == GrantParity::Require { Severity::Error } else { Severity::Warning };
            self.add(severity, parity::blind(&access.settings.database).message, parity::HINT);
        }
    }

    /// Two names for one instance would fence each other off; an instance that is not named keeps the old password.
    fn group(&mut self, access: &Access<'_>, servers: &[String], replicas: &[String]) {
        if !access.settings.is_group() {
            return;
        }
        if let Some(unnamed) = replicas.iter().find(|replica| !servers.contains(replica)) {
            self.error(
                format!(
                    "the instance `{unnamed}` of the availability group is not among `target.replicas`, or not reached"
                ),
                "list every instance: after a failover the application meets that one's login",
            );
        }
        let twice = servers.iter().enumerate().find(|(index, name)| servers[..*index].contains(name));
        match twice {
            Some((_, name)) => self.error(
                format!("two of `target.replicas` lead to one instance, `{name}`"),
                "name each instance once, by its own address and not by the listener's",
            ),
            None => self.fine(format!("{} instances: {}", servers.len(), servers.join(", "))),
        }
    }
}
