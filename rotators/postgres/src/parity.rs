//! Grant parity: do two alternating accounts have the same rights? If not, the application breaks at the next rotation.

use std::collections::BTreeSet;

use keywheel_sdk::RotatorError;

use crate::access::{Access, never};
use crate::sqlstate::{self, Moment};
use crate::statement::{Sql, column};

/// At most this many differences are named.
const NAMED: usize = 20;

/// One line per difference between two roles: attributes, memberships with their options, settings, what each owns, and
/// what was granted to it. Rights on objects are compared one by one in the target's own database and cluster-wide; in other
/// databases, by which objects name the role. Values of settings are compared, but not shown.
pub(crate) async fn differences(access: &Access<'_>, live: &str, other: &str) -> Result<Vec<String>, RotatorError> {
    let doing = "compare the rights of both accounts";
    let pool = access.pool()?.ok_or_else(|| never("self-managed", "comparing accounts needs an admin".to_owned()))?;
    let rows = pool.read(&access.frame, &items_query(live, other), doing).await?;
    let mut items: [BTreeSet<(String, String)>; 2] = Default::default();
    for row in &rows {
        let read = |name| column(row, name).map_err(|error| sqlstate::failure(&error, Moment::Reading, doing));
        let (role, item, value) = (read("role")?, read("item")?, read("value")?);
        let side = usize::from(role.as_deref() == Some(other));
        items[side].insert((item.unwrap_or_default(), value.unwrap_or_default()));
    }
    let [of_live, of_other] = &items;
    let names = |side: &BTreeSet<(String, String)>| side.iter().map(|(item, _)| item.clone()).collect::<BTreeSet<_>>();
    let (live_names, other_names) = (names(of_live), names(of_other));
    let mut found: Vec<String> = Vec::new();
    found.extend(live_names.difference(&other_names).map(|item| format!("only `{live}`: {item}")));
    found.extend(other_names.difference(&live_names).map(|item| format!("only `{other}`: {item}")));
    let unequal = of_live.difference(of_other).filter(|(item, _)| other_names.contains(item));
    found.extend(unequal.map(|(item, _)| format!("not the same: {item}")));
    Ok(found)
}

/// The differences as one message.
pub(crate) fn message(live: &str, other: &str, differences: &[String]) -> String {
    let mut text = format!("`{live}` and `{other}` do not have the same rights: ");
    text.push_str(&sqlstate::bounded(&differences.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ")));
    if differences.len() > NAMED {
        text.push_str(&format!("; and {} more", differences.len() - NAMED));
    }
    text.push_str(". ");
    text.push_str(HINT);
    text
}

/// What to do about differences.
pub(crate) const HINT: &str =
    "give rights and ownership to a group role (NOLOGIN), and make both accounts members of it";

fn items_query(live: &str, other: &str) -> Sql {
    Sql::new("WITH r AS (SELECT oid, rolname FROM pg_catalog.pg_roles WHERE rolname IN (")
        .literal(live)
        .fixed(", ")
        .literal(other)
        .fixed(")), here AS (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()), ")
        .fixed(ATTRIBUTES)
        .fixed(MEMBERSHIPS)
        .fixed(SETTINGS)
        .fixed(OBJECTS)
        .fixed(PRIVILEGES)
        .fixed("SELECT * FROM attributes UNION ALL SELECT * FROM memberships UNION ALL SELECT * FROM settings ")
        .fixed("UNION ALL SELECT * FROM objects UNION ALL SELECT * FROM privileges")
}

const ATTRIBUTES: &str = "
attributes AS (
    SELECT r.rolname::text AS role, 'attribute ' || a.key AS item, a.value AS value
    FROM r JOIN pg_catalog.pg_roles p ON p.oid = r.oid, jsonb_each_text(jsonb_build_object(
        'SUPERUSER', rolsuper, 'INHERIT', rolinherit, 'CREATEROLE', rolcreaterole, 'CREATEDB', rolcreatedb,
        'REPLICATION', rolreplication, 'BYPASSRLS', rolbypassrls, 'CONNECTION LIMIT', rolconnlimit)) a),
";

// The options differ between versions (16 added `inherit_option` and `set_option`), so whatever there is gets compared.
const MEMBERSHIPS: &str = "
memberships AS (
    SELECT r.rolname::text, 'member of ' || quote_ident(g.rolname),
        string_agg(DISTINCT (to_jsonb(m) - 'oid' - 'roleid' - 'member' - 'grantor')::text, ' ')
    FROM pg_catalog.pg_auth_members m JOIN r ON r.oid = m.member JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
    GROUP BY 1, 2),
";

const SETTINGS: &str = "
settings AS (
    SELECT r.rolname::text,
        'setting ' || split_part(c, '=', 1) || coalesce(' in database ' || quote_ident(d.datname), ''), c
    FROM pg_catalog.pg_db_role_setting s JOIN r ON r.oid = s.setrole
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c),
";

// `pg_shdepend` knows all objects of all databases that name a role (documentation, `pg_shdepend.deptype`).
const OBJECTS: &str = "
objects AS (
    SELECT r.rolname::text,
        CASE s.deptype WHEN 'o' THEN 'owner of ' WHEN 'r' THEN 'named in ' ELSE 'privileges on ' END ||
        CASE WHEN s.dbid IN (0, here.oid) THEN pg_describe_object(s.classid, s.objid, s.objsubid)
             ELSE s.classid::regclass || ' ' || s.objid || '/' || s.objsubid || ' in database ' || quote_ident(d.datname) END,
        ''
    FROM pg_catalog.pg_shdepend s JOIN r ON r.oid = s.refobjid CROSS JOIN here
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass
        AND (s.deptype IN ('o', 'r') OR (s.deptype = 'a' AND s.dbid NOT IN (0, here.oid)))),
";

const PRIVILEGES: &str = "
privileges AS (
    SELECT r.rolname::text,
        coalesce(x.privilege_type, 'privileges') || ' on ' || pg_describe_object(s.classid, s.objid, s.objsubid) ||
        CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END,
        ''
    FROM pg_catalog.pg_shdepend s JOIN r ON r.oid = s.refobjid CROSS JOIN here
    CROSS JOIN LATERAL (SELECT CASE s.classid
        WHEN 'pg_catalog.pg_class'::regclass THEN CASE s.objsubid
            WHEN 0 THEN (SELECT relacl FROM pg_catalog.pg_class WHERE oid = s.objid)
            ELSE (SELECT attacl FROM pg_catalog.pg_attribute WHERE attrelid = s.objid AND attnum = s.objsubid) END
        WHEN 'pg_catalog.pg_namespace'::regclass THEN (SELECT nspacl FROM pg_catalog.pg_namespace WHERE oid = s.objid)
        WHEN 'pg_catalog.pg_proc'::regclass THEN (SELECT proacl FROM pg_catalog.pg_proc WHERE oid = s.objid)
        WHEN 'pg_catalog.pg_type'::regclass THEN (SELECT typacl FROM pg_catalog.pg_type WHERE oid = s.objid)
        WHEN 'pg_catalog.pg_database'::regclass THEN (SELECT datacl FROM pg_catalog.pg_database WHERE oid = s.objid)
        WHEN 'pg_catalog.pg_tablespace'::regclass THEN (SELECT spcacl FROM pg_catalog.pg_tablespace WHERE oid = s.objid)
        WHEN 'pg_catalog.pg_default_acl'::regclass THEN (SELECT defaclacl FROM pg_catalog.pg_default_acl WHERE oid = s.objid)
        WHEN 'pg_catalog.pg_language'::regclass THEN (SELECT lanacl FROM pg_catalog.pg_language WHERE oid = s.objid)
        WHEN 'pg_catalog.pg_foreign_server'::regclass THEN (SELECT srvacl FROM pg_catalog.pg_foreign_server WHERE oid = s.objid)
        WHEN 'pg_catalog.pg_foreign_data_wrapper'::regclass
            THEN (SELECT fdwacl FROM pg_catalog.pg_foreign_data_wrapper WHERE oid = s.objid)
        WHEN 'pg_catalog.pg_largeobject_metadata'::regclass
            THEN (SELECT lomacl FROM pg_catalog.pg_largeobject_metadata WHERE oid = s.objid)
        END AS acl) o
    LEFT JOIN LATERAL aclexplode(o.acl) x ON x.grantee = r.oid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype = 'a' AND s.dbid IN (0, here.oid))
";
