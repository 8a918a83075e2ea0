//! Clients that others wrote in C: `tsql` of FreeTDS, pymssql, which has a FreeTDS of its own, and mssql-python, which has
//! Microsoft's ODBC driver. Where one is absent its test says so on standard error, and fails if `KEYWHEEL_TEST_CLIENTS`
//! names it (`tsql pymssql mssql_python`). The Python that has them is the one that `KEYWHEEL_TEST_PYTHON` names, or the first on
//! `PATH`, or the distribution's.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use keywheel_sqlserver_double::{Encryption, SqlServer, TlsIdentity, Version};

use super::{encrypting, sa_password};

const FORMER: &str = "Former-Passw0rd'";
const NEXT: &str = "Näxt-]Passw0rd🗝";

#[expect(clippy::disallowed_methods, reason = "where the clients are is the machine's to say")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Says that a client is absent, which is a failure where it has to be there. Past what libtest keeps of tests that pass, as it
/// would of `eprintln!`: who runs the tests is to see what was not tested.
fn not_run(client: &str) {
    let required = environment("KEYWHEEL_TEST_CLIENTS").unwrap_or_default();
    assert!(!required.split_whitespace().any(|name| name == client), "{client} is required, and absent");
    let told = format!("not run: the test with {client}, since it is absent\n");
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}

/// The Python that has a module, looked for as `keywheel-testkit` does; `None` if it is absent.
fn python_with(module: &str) -> Option<String> {
    let usual = ["python3", "/usr/bin/python3"].map(str::to_owned);
    environment("KEYWHEEL_TEST_PYTHON").into_iter().chain(usual).find(|python| {
        let imported = run(Command::new(python).args(["-c", &format!("import {module}")]), "");
        imported.is_some_and(|output| output.status.success())
    })
}

/// `tsql`, with a script on its standard input. `None` if it is absent.
fn tsql(server: &SqlServer, user: &str, password: &str, version: &str, script: &str) -> Option<String> {
    let mut command = Command::new("tsql");
    command.args(["-H", "127.0.0.1", "-p", &server.port().to_string(), "-U", user, "-P", password]);
    run(command.env("TDSVER", version).env("LC_ALL", "C.UTF-8"), script).map(|output| printed(&output))
}

fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn run(command: &mut Command, input: &str) -> Option<Output> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    // A client that is refused does not read.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    Some(child.wait_with_output().unwrap())
}

/// A server with the login `app`, which has its former password.
fn with_app(encryption: Encryption) -> (SqlServer, TlsIdentity) {
    let (server, identity) = encrypting(encryption, Version::V2022);
    server.execute(&format!("CREATE LOGIN app WITH PASSWORD = N'{}'", FORMER.replace('\'', "''"))).unwrap();
    (server, identity)
}

#[test]
fn tsql_logs_in_queries_and_rotates() {
    for (version, encryption) in [
        ("7.4", Encryption::Offer),
        ("7.4", Encryption::Require),
        ("7.3", Encryption::Offer),
        ("7.2", Encryption::Offer),
    ] {
        let (server, _) = with_app(encryption);
        let script = format!(
            "SELECT 1 AS a, N'grüße 🗝' AS b, NULL AS c, CAST(1 AS bit) AS d, CAST(4294967296 AS bigint) AS e, 0x0102 AS f\ngo\n\
             ALTER LOGIN [app] WITH PASSWORD = N'{NEXT}'\ngo\nALTER LOGIN [nobody] WITH PASSWORD = N'{NEXT}'\ngo\nexit\n"
        );
        let Some(said) = tsql(&server, "sa", &sa_password(), version, &script) else {
            return not_run("tsql");
        };
        assert!(said.contains("1\tgrüße 🗝\tNULL\t1\t4294967296\t0102"), "{version} {encryption:?}: {said}");
        assert!(said.contains("Msg 15151"), "{version} {encryption:?}: {said}");
        let former = tsql(&server, "app", FORMER, version, "exit\n").unwrap();
        assert!(former.contains("Msg 18456"), "{former}");
        let next = tsql(&server, "app", NEXT, version, "SELECT SUSER_SNAME() AS me\ngo\nexit\n").unwrap();
        assert!(next.contains("me\napp\n"), "{next}");
        assert!(server.logins_heard().iter().all(|heard| heard.encrypted));
        assert!(server.heard().iter().all(|heard| heard.encrypted == (encryption == Encryption::Require)));
    }
}

const PYMSSQL: &str = r#"
import sys
import pymssql

port, sa, former, candidate = sys.argv[1:]

def connect(user, password):
    return pymssql.connect(server="127.0.0.1", port=port, user=user, password=password, autocommit=True, login_timeout=30)

connection = connect("sa", sa)
cursor = connection.cursor()
cursor.execute("SELECT %s, %d, N'grüße 🗝', NULL, CAST(1 AS bit), CAST(4294967296 AS bigint), 0x0102", ("O'Neil ]", -7))
print(cursor.fetchall())
cursor.execute("SELECT DATEADD(second, 1, CONVERT(datetime, '2009-07-08T00:00:00', 126)) AS t")
print(cursor.fetchone()[0])
cursor.execute("ALTER LOGIN [app] WITH PASSWORD = N'" + candidate + "'")
for attempt in (lambda: cursor.execute("ALTER LOGIN [nobody] WITH PASSWORD = N'x'"), lambda: connect("app", former)):
    try:
        attempt()
        print("no error")
    except pymssql.Error as error:
        print(error.args[0][0] if isinstance(error.args[0], tuple) else error.args[0])
again = connect("app", candidate).cursor()
again.execute("SELECT SUSER_SNAME()")
print(again.fetchone()[0])
connection.autocommit(False)
cursor.execute("CREATE LOGIN undone WITH PASSWORD = N'C0rrect-horse'")
connection.rollback()
cursor.execute("SELECT COUNT(*) FROM sys.sql_logins WHERE name = N'undone'")
print(cursor.fetchone()[0])
"#;

#[test]
fn pymssql_logs_in_queries_and_rotates() {
    let Some(python) = python_with("pymssql") else { return not_run("pymssql") };
    for (client, encryption) in [
        ("off", Encryption::Offer),
        ("request", Encryption::Offer),
        ("require", Encryption::Offer),
        ("require", Encryption::Require),
    ] {
        let (server, _) = with_app(encryption);
        // Older ones have no parameter for it.
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("freetds.conf");
        std::fs::write(&settings, format!("[global]\ntds version = 7.4\nencryption = {client}\n")).unwrap();
        let port = server.port().to_string();
        let mut command = Command::new(&python);
        command.env("FREETDSCONF", &settings).env("PYTHONIOENCODING", "utf-8");
        command.args(["-", &port, &sa_password(), FORMER, NEXT]);
        let output = run(&mut command, PYMSSQL).unwrap();
        let expected = "[(\"O'Neil ]\", -7, 'grüße 🗝', None, True, 4294967296, b'\\x01\\x02')]\n2009-07-08 00:00:01\n\
                        15151\n18456\napp\n0\n";
        assert_eq!(printed(&output), expected, "{client} {encryption:?}");
    }
}

const MSSQL_PYTHON: &str = r#"
import sys
import mssql_python

port, wish, sa, former, candidate = sys.argv[1:]

def connect(user, password):
    quoted = "{" + password.replace("}", "}}") + "}"
    return mssql_python.connect(f"Server=localhost,{port};UID={user};PWD={quoted};{wish}", autocommit=True)

connection = connect("sa", sa)
cursor = connection.cursor()
cursor.execute("SELECT ?, ?, N'grüße 🗝', NULL, CAST(1 AS bit), CAST(4294967296 AS bigint), 0x0102", ("O'Neil ]", -7))
print(tuple(cursor.fetchone()))
cursor.execute("ALTER LOGIN [app] WITH PASSWORD = N'" + candidate + "'")
for attempt in (lambda: cursor.execute("ALTER LOGIN [nobody] WITH PASSWORD = N'x'"), lambda: connect("app", former)):
    try:
        attempt()
        print("no error")
    except Exception as error:
        print("Cannot alter" in str(error), "Login failed" in str(error))
again = connect("app", candidate).cursor()
again.execute("SELECT SUSER_SNAME()")
print(again.fetchone()[0])
connection.autocommit = False
cursor.execute("CREATE LOGIN undone WITH PASSWORD = N'C0rrect-horse'")
connection.rollback()
cursor.execute("SELECT COUNT(*) FROM sys.sql_logins WHERE name = N'undone'")
print(cursor.fetchone()[0])
"#;

#[test]
fn the_odbc_driver_of_microsoft_logs_in_queries_and_rotates() {
    let Some(python) = python_with("mssql_python") else { return not_run("mssql_python") };
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("server.pem");
    let trusting = "TrustServerCertificate=yes";
    for (wish, encryption) in [
        (format!("Encrypt=no;{trusting}"), Encryption::Offer),
        (format!("Encrypt=yes;{trusting}"), Encryption::Offer),
        (format!("Encrypt=no;{trusting}"), Encryption::Require),
        (format!("Encrypt=strict;ServerCertificate={}", certificate.display()), Encryption::Strict),
    ] {
        let (server, identity) = with_app(encryption);
        std::fs::write(&certificate, &identity.certificate_pem).unwrap();
        let port = server.port().to_string();
        let mut command = Command::new(&python);
        command.env("PYTHONIOENCODING", "utf-8").args(["-", &port, &wish, &sa_password(), FORMER, NEXT]);
        let output = run(&mut command, MSSQL_PYTHON).unwrap();
        let expected =
            "(\"O'Neil ]\", -7, 'grüße 🗝', None, True, 4294967296, b'\\x01\\x02')\nTrue False\nFalse True\napp\n0\n";
        assert_eq!(printed(&output), expected, "{wish} {encryption:?}");
    }
}
