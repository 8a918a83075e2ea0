//! Grant parity: an application that is switched to the other account must be allowed the same.

use std::sync::Arc;

use keywheel_sdk::RotatorError;

use crate::access::{Access, never};
use crate::answer;
use crate::connect::Pool;
use crate::fence::AZURE_SQL_DATABASE;
use crate::instance::Instance;
use crate::rights::{self, Mapping, Right};
use crate::settings::Kind;
use crate::statement::{number, text};

/// What to do about differences.
pub(crate) const HINT: &str = "give both accounts the same roles and permissions, best through a role that both are in; or \
                               say `grant_parity: warn`";
/// How many differences a message lists.
const SHOWN: usize = 12;
const DOING: &str = "compare the two accounts' rights";

/// Where rights are kept.
struct Scope {
    /// Whom to ask.
    pool: Arc<Pool>,
    /// The database; `None` for the server's own.
    database: Option<(String, Mapping)>,
}

/// What one of two accounts has and the other has not, on the server and in the databases that the admin can look into; each as a
/// sentence fragment. The application's own database must be among them.
pub(crate) async fn differences(
    access: &Access<'_>,
    instance: &Instance<'_>,
    first: &str,
    second: &str,
) -> Result<Vec<String>, RotatorError> {
    let mut differences = Vec::new();
    for scope in scopes(access, instance).await? {
        let one = scope.rights(access, first).await?;
        let other = scope.rights(access, second).await?;
        differences.extend(missing(&one, &other).map(|right| format!("`{first}` has {right}, `{second}` has not")));
        differences.extend(missing(&other, &one).map(|right| format!("`{second}` has {right}, `{first}` has not")));
    }
    Ok(differences)
}

impl Scope {
    async fn rights(&self, access: &Access<'_>, account: &str) -> Result<Vec<Right>, RotatorError> {
        let query = match &self.database {
            None => rights::of_server(account),
            Some((database, mapping)) => rights::of_database(*mapping, account, database),
        };
        rights::read(&self.pool.read(&access.frame, &query, DOING).await?)
    }
}

async fn scopes(access: &Access<'_>, instance: &Instance<'_>) -> Result<Vec<Scope>, RotatorError> {
    let own = &access.settings.database;
    let nobody = || never("self-managed", "comparing rights needs an admin".to_owned());
    let pool = instance.pool().ok_or_else(nobody)?;
    if access.settings.kind == Kind::ContainedUser {
        return Ok(vec![Scope { pool, database: Some((own.clone(), Mapping::Contained)) }]);
    }
    let rows = pool.read(&access.frame, &rights::databases(), DOING).await?;
    let databases: Vec<String> = rows.iter().filter_map(|row| text(row, "name")).collect();
    let azure = rows.first().and_then(|row| number(row, "edition")) == Some(AZURE_SQL_DATABASE);
    let mut scopes = vec![Scope { pool: Arc::clone(&pool), database: None }];
    if azure {
        // There each database is looked into from within.
        let pool = instance.pool_in(own).ok_or_else(nobody)?;
        scopes.push(Scope { pool, database: Some((own.clone(), Mapping::Name)) });
        return Ok(scopes);
    }
    // On a secondary the application's database may not be readable; there it is the primary's anyway.
    if !access.settings.is_group() && !databases.iter().any(|name| name.eq_ignore_ascii_case(own)) {
        return Err(never(
            "grant-parity",
            format!(
                "the admin cannot look into `{own}`, so the accounts' rights there cannot be compared: create a user for the \
                 admin there, or say `grant_parity: ignore`"
            ),
        ));
    }
    let within = |name| Scope { pool: Arc::clone(&pool), database: Some((name, Mapping::Sid)) };
    scopes.extend(databases.into_iter().map(within));
    Ok(scopes)
}

/// The differences as one sentence.
pub(crate) fn message(first: &str, second: &str, differences: &[String]) -> String {
    let more = differences.len().saturating_sub(SHOWN);
    let mut listed = differences.iter().take(SHOWN).map(|one| answer::bounded(one).into_owned()).collect::<Vec<_>>();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    format!("`{first}` and `{second}` differ in their rights: {}", listed.join("; "))
}

fn missing<'r>(of: &'r [Right], from: &'r [Right]) -> impl Iterator<Item = &'r Right> {
    of.iter().filter(|right| !from.contains(right))
}
