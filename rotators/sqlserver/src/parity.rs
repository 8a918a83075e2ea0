//! Grant parity: an application that is switched to the other account must be allowed the same.

use std::sync::Arc;

use keywheel_sdk::RotatorError;
use tiberius::Row;

use crate::access::{Access, never};
use crate::answer;
use crate::connect::Pool;
use crate::fence::AZURE_SQL_DATABASE;
use crate::instance::Instance;
use crate::rights::{self, Mapping, Right};
use crate::settings::Kind;
use crate::statement::{Sql, number, text};

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
    place: Kept,
}

enum Kept {
    OnServer { azure: bool },
    InDatabase { name: String, mapping: Mapping, own: bool },
}

/// What was compared.
pub(crate) struct Compared {
    /// What one of two accounts has and the other has not, each as a sentence fragment.
    pub(crate) differences: Vec<String>,
    /// Databases that the admin cannot look into.
    pub(crate) hidden: Vec<String>,
    /// Whether the application's own database was compared. Of a group it is the primary's only.
    pub(crate) own: bool,
}

/// Compares two accounts on the server and in the databases that the admin can look into. The application's own database must
/// be among them, and have a user of at least one of the two: else nothing would have been compared.
pub(crate) async fn compare(
    access: &Access<'_>,
    instance: &Instance<'_>,
    first: &str,
    second: &str,
) -> Result<Compared, RotatorError> {
    let (scopes, hidden) = scopes(access, instance).await?;
    let (mut differences, mut powerful) = (Vec::new(), false);
    let mut own = access.settings.database.eq_ignore_ascii_case("master");
    for scope in scopes {
        let one = scope.rights(access, first).await?;
        let other = scope.rights(access, second).await?;
        own |= matches!(scope.place, Kept::InDatabase { own: true, .. });
        powerful |= one.iter().chain(&other).any(is_sysadmin);
        if let Kept::InDatabase { name, own: true, .. } = &scope.place
            && !powerful
            && !name.eq_ignore_ascii_case("master")
            && !one.iter().chain(&other).any(|right| matches!(right, Right::User { .. }))
        {
            let message = format!(
                "neither `{first}` nor `{second}` has a user in `{name}`, as far as the admin can see, so their rights there \
                 cannot be compared: see `target.database`, or say `grant_parity: ignore`"
            );
            return Err(never("grant-parity", message));
        }
        differences.extend(missing(&one, &other).map(|right| format!("`{first}` has {right}, `{second}` has not")));
        differences.extend(missing(&other, &one).map(|right| format!("`{second}` has {right}, `{first}` has not")));
    }
    Ok(Compared { differences, hidden, own })
}

/// A member needs no user anywhere.
fn is_sysadmin(right: &Right) -> bool {
    matches!(right, Right::Role { database, name } if database.is_empty() && name == "sysadmin")
}

impl Scope {
    async fn rights(&self, access: &Access<'_>, account: &str) -> Result<Vec<Right>, RotatorError> {
        let query = match &self.place {
            Kept::OnServer { azure } => rights::of_server(account, *azure),
            Kept::InDatabase { name, mapping, .. } => rights::of_database(*mapping, account, name),
        };
        rights::read(&self.pool.read(&access.frame, &query, DOING).await?)
    }
}

/// The places to compare, and the databases that are left out because the admin may not see what is in them.
async fn scopes(access: &Access<'_>, instance: &Instance<'_>) -> Result<(Vec<Scope>, Vec<String>), RotatorError> {
    let own = &access.settings.database;
    let nobody = || never("self-managed", "comparing rights needs an admin".to_owned());
    let pool = instance.pool().ok_or_else(nobody)?;
    let within = |pool: &Arc<Pool>, name: &str, mapping| Scope {
        pool: Arc::clone(pool),
        place: Kept::InDatabase { name: name.to_owned(), mapping, own: name.eq_ignore_ascii_case(own) },
    };
    if access.settings.kind == Kind::ContainedUser {
        sees_users(access, &pool).await?;
        return Ok((vec![within(&pool, own, Mapping::Contained)], Vec::new()));
    }
    let rows = pool.read(&access.frame, &rights::databases(), DOING).await?;
    let azure = rows.first().and_then(|row| number(row, "edition")) == Some(AZURE_SQL_DATABASE);
    let mut scopes = vec![Scope { pool: Arc::clone(&pool), place: Kept::OnServer { azure } }];
    if azure {
        // There each database is looked into from within.
        let pool = instance.pool_in(own).ok_or_else(nobody)?;
        sees_users(access, &pool).await?;
        scopes.push(within(&pool, own, Mapping::Name));
        return Ok((scopes, Vec::new()));
    }
    let (shown, hidden): (Vec<_>, Vec<_>) = rows.iter().partition(|row| rights::is_shown(row));
    let names = |rows: Vec<&Row>| rows.into_iter().filter_map(|row| text(row, "name")).collect::<Vec<_>>();
    let (shown, hidden) = (names(shown), names(hidden));
    // On a secondary the application's database may not be readable; there it is the primary's anyway.
    let is_own = |name: &String| name.eq_ignore_ascii_case(own);
    // (Of `master` little is used, and few see into it.)
    let unseen = hidden.iter().any(is_own) || (!access.settings.is_group() && !shown.iter().any(is_own));
    if unseen && !own.eq_ignore_ascii_case("master") {
        return Err(blind(own));
    }
    scopes.extend(shown.iter().map(|name| within(&pool, name, Mapping::Sid)));
    Ok((scopes, hidden))
}

/// Whether all users of the pool's database are seen, and not one's own only.
async fn sees_users(access: &Access<'_>, pool: &Arc<Pool>) -> Result<(), RotatorError> {
    let query = Sql::new("SELECT CASE WHEN HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'VIEW DEFINITION') = 1 ")
        .fixed("THEN 1 ELSE 0 END AS shown");
    let rows = pool.read(&access.frame, &query, DOING).await?;
    match rows.first().and_then(|row| number(row, "shown")) {
        Some(1) => Ok(()),
        _ => Err(blind(&access.settings.database)),
    }
}

/// The application's database was compared nowhere.
pub(crate) fn blind(database: &str) -> RotatorError {
    never(
        "grant-parity",
        format!(
            "the admin cannot look into `{database}`, so the accounts' rights there cannot be compared: create a user for the \
             admin there with VIEW DEFINITION, or say `grant_parity: ignore`"
        ),
    )
}

/// The differences as one sentence.
pub(crate) fn message(first: &str, second: &str, compared: &Compared) -> String {
    let differences = &compared.differences;
    let more = differences.len().saturating_sub(SHOWN);
    let mut listed = differences.iter().take(SHOWN).map(|one| answer::bounded(one).into_owned()).collect::<Vec<_>>();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    let hidden = hidden(compared).map_or_else(String::new, |hidden| format!(" ({hidden})"));
    format!("`{first}` and `{second}` differ in their rights: {}{hidden}", listed.join("; "))
}

/// What was not compared; `None` if all was.
pub(crate) fn hidden(compared: &Compared) -> Option<String> {
    let names = compared.hidden.iter().take(SHOWN).map(|name| answer::bounded(name)).collect::<Vec<_>>().join("`, `");
    let more = compared.hidden.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| format!("not compared, since the admin cannot see the users there: `{names}`{more}"))
}

fn missing<'r>(of: &'r [Right], from: &'r [Right]) -> impl Iterator<Item = &'r Right> {
    of.iter().filter(|right| !from.contains(right))
}
