//! Sessions and their ends: attention, reset, a client that goes, a client that is killed, a failover.

use std::sync::Arc;

use keywheel_sqlserver_double::{Effect, Encryption, Fault, Options, Reply, ServerOptions, SqlServer, Value, Version};
use tiberius::{AuthMethod, EncryptionLevel};

use super::raw::{ATTENTION, LAST, LAST_AND_RESET, NO_ENCRYPTION, PRELOGIN, RPC, Raw, done, units};
use super::tiberius_client::{batch, connect, number, sa, settings};

/// Waits for ever, if nobody ends it.
const LONG: &str = "WAITFOR DELAY '23:00:00'";

/// Returns once no other session holds the lock.
const AFTER_THE_OTHER: &str = "DECLARE @rc int; EXEC @rc = sp_getapplock @Resource = N'held', @LockMode = N'Exclusive', \
                               @LockOwner = N'Session', @LockTimeout = -1; SELECT @rc AS rc";

#[tokio::test]
async fn an_attention_stops_a_batch_and_the_session_goes_on() {
    let server = SqlServer::start().unwrap();
    let mut raw = Raw::logged_in(&server).await;
    raw.batch(LAST, LONG).await;
    raw.send(ATTENTION, LAST, &[]).await;
    assert_eq!(raw.receive().await.unwrap(), done(0x20));
    // One that comes too late is acknowledged too.
    raw.send(ATTENTION, LAST, &[]).await;
    assert_eq!(raw.receive().await.unwrap(), done(0x20));
    raw.batch(LAST, "PRINT N'on'").await;
    assert!(raw.receive().await.unwrap().ends_with(&done(0)));
}

#[tokio::test]
async fn a_message_that_is_taken_back_is_not_executed() {
    let server = SqlServer::start().unwrap();
    let mut raw = Raw::logged_in(&server).await;
    raw.batch(0x03, LONG).await;
    raw.batch(LAST, "PRINT N'on'").await;
    assert!(raw.receive().await.unwrap().ends_with(&done(0)));
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn a_reset_releases_what_the_session_holds() {
    let server = SqlServer::start().unwrap();
    let (mut holder, mut waiter) = (Raw::logged_in(&server).await, sa(&server).await);
    holder.batch(LAST, AFTER_THE_OTHER).await;
    holder.receive().await.unwrap();
    holder.batch(LAST_AND_RESET, "PRINT N'reset'").await;
    let answer = holder.receive().await.unwrap();
    assert!(answer.starts_with(&[0xE3, 3, 0, 18, 0, 0]), "the reset is acknowledged: {answer:x?}");
    batch(&mut waiter, AFTER_THE_OTHER).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_while_its_batch_runs_ends_its_session() {
    let server = SqlServer::start().unwrap();
    let (mut holder, mut waiter) = (Raw::logged_in(&server).await, sa(&server).await);
    holder.batch(LAST, AFTER_THE_OTHER).await;
    holder.receive().await.unwrap();
    holder.batch(LAST, LONG).await;
    drop(holder);
    batch(&mut waiter, AFTER_THE_OTHER).await.unwrap();
    assert_eq!(server.sessions("sa"), 1);
}

#[tokio::test]
async fn a_second_request_before_the_first_is_answered_ends_the_session() {
    let server = SqlServer::start().unwrap();
    let mut raw = Raw::logged_in(&server).await;
    raw.batch(LAST, LONG).await;
    raw.batch(LAST, "PRINT N'too soon'").await;
    assert_eq!(raw.receive().await, None);
}

#[tokio::test]
async fn kill_closes_an_idle_line_and_tells_a_busy_one() {
    let server = SqlServer::start().unwrap();
    let (mut idle, mut busy, mut killer) =
        (Raw::logged_in(&server).await, Raw::logged_in(&server).await, sa(&server).await);
    let running = server.faults().arm(Fault::at_text(LONG, Effect::CallBefore(Arc::new(|| ()))));
    busy.batch(LAST, LONG).await;
    running.wait_for(1).await;
    for session in sessions_but(&server, &mut killer).await {
        batch(&mut killer, &format!("KILL {session}")).await.unwrap();
    }
    assert_eq!(idle.receive().await, None);
    let told = busy.receive().await.unwrap();
    assert_eq!((told[0], &told[3..9]), (0xAA, &[0x54, 2, 0, 0, 1, 21][..]), "596, severity 21");
    assert_eq!(busy.receive().await, None);
    assert_eq!(server.sessions("sa"), 1);
}

/// The sessions of others, in order of their number.
async fn sessions_but(server: &SqlServer, client: &mut super::tiberius_client::Connected) -> Vec<i32> {
    let rows = batch(client, "SELECT @@SPID").await.unwrap();
    let own = rows[0][0].try_get::<i16, _>(0).unwrap().map(i32::from);
    let all =
        server.execute("SELECT CAST(session_id AS int) FROM sys.dm_exec_sessions WHERE is_user_process = 1").unwrap();
    let number = |reply| {
        if let Reply::Row(values) = reply
            && let [Value::Int(number)] = values[..]
        {
            Some(number)
        } else {
            None
        }
    };
    all.into_iter().filter_map(number).filter(|number| Some(*number) != own).collect()
}

#[tokio::test]
async fn a_failover_ends_all_sessions_and_takes_new_ones() {
    let server = SqlServer::start().unwrap();
    let (mut idle, mut busy) = (Raw::logged_in(&server).await, Raw::logged_in(&server).await);
    busy.batch(LAST, LONG).await;
    let mut logging_in = Raw::connect(&server).await;
    logging_in.send(PRELOGIN, LAST, &NO_ENCRYPTION).await;
    logging_in.receive().await.unwrap();
    server.fail_over();
    assert_eq!((idle.receive().await, logging_in.receive().await), (None, None));
    while busy.receive().await.is_some() {}
    assert_eq!(batch(&mut sa(&server).await, "SELECT 1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_dropped_server_closes_everything() {
    let server = SqlServer::start().unwrap();
    let mut raw = Raw::logged_in(&server).await;
    raw.batch(LAST, LONG).await;
    let port = server.port();
    drop(server);
    assert_eq!(raw.receive().await, None);
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_number_and_heard() {
    let server = SqlServer::start().unwrap();
    let refused = connect(settings(&server, "sa", "wrong")).await;
    assert_eq!(number(refused), 18456);
    let heard = server.logins_heard();
    assert_eq!((heard.len(), heard[0].password.as_str()), (1, "wrong"));
    assert!(!format!("{heard:?}").contains("wrong"), "a password is not printed");
    assert_eq!(server.sessions("sa"), 0);
}

/// No directory is doubled that could have issued one: a test says whose each token is.
#[tokio::test]
async fn a_federated_token_that_is_known_logs_in() {
    let identity = super::identity();
    let tokens = [("a.token".to_owned(), "app".to_owned())].into();
    let instance = Options { version: Version::AzureSqlDatabase, tokens, ..Options::default() };
    let options = ServerOptions { instance, tls: Some(identity.clone()), ..ServerOptions::default() };
    let server = SqlServer::start_with(options).unwrap();
    server.execute("CREATE LOGIN app WITH PASSWORD = N'C0rrect-horse'").unwrap();
    let mut settings = settings(&server, "", "");
    settings.authentication(AuthMethod::aad_token("a.token"));
    settings.encryption(EncryptionLevel::Required);
    settings.trust_cert_ca_bundle(identity.certificate_pem.as_bytes());
    let mut client = connect(settings).await.unwrap();
    let rows = batch(&mut client, "SELECT SUSER_SNAME()").await.unwrap();
    assert_eq!(rows[0][0].get::<&str, _>(0), Some("app"));
    assert_eq!(server.logins_heard()[0].password, "a.token");
}

#[tokio::test]
async fn a_statement_with_parameters_leaves_the_session_as_it_was() {
    let server = SqlServer::start().unwrap();
    let mut client = sa(&server).await;
    client.execute("SET QUOTED_IDENTIFIER OFF; USE tempdb; PRINT @P1", &[&1]).await.unwrap();
    let rows = batch(&mut client, "SELECT DB_NAME(), SESSIONPROPERTY('QUOTED_IDENTIFIER')").await.unwrap();
    assert_eq!((rows[0][0].get::<&str, _>(0), rows[0][0].get::<i32, _>(1)), (Some("master"), Some(1)));
}

/// A token that nobody has is refused; what the client sent is read all the same.
#[tokio::test]
async fn a_federated_token_is_read_and_refused() {
    let (server, identity) = super::encrypting(Encryption::Require, Version::AzureSqlDatabase);
    let mut settings = settings(&server, "", "");
    settings.authentication(AuthMethod::aad_token("a.token"));
    settings.encryption(EncryptionLevel::Required);
    settings.trust_cert_ca_bundle(identity.certificate_pem.as_bytes());
    assert_eq!(number(connect(settings).await), 18456);
    let heard = server.logins_heard();
    assert_eq!((heard.len(), heard[0].password.as_str(), heard[0].encrypted), (1, "a.token", true));
}

/// An RPC by number, with these parameters.
async fn rpc(raw: &mut Raw, status: u8, procedure: u8, parameters: &[&[u8]]) -> Vec<u8> {
    let call = [&[4, 0, 0, 0, 0xFF, 0xFF, procedure, 0, 0, 0][..], &parameters.concat()].concat();
    raw.send(RPC, status, &call).await;
    raw.receive().await.unwrap()
}

fn contains(answer: &[u8], part: &[u8]) -> bool {
    answer.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_prepared_statement_lives_until_it_is_given_back_or_the_session_is_reset() {
    let server = SqlServer::start().unwrap();
    let mut raw = Raw::logged_in(&server).await;
    let text = units("SELECT N'prepared'");
    let length = u8::try_from(text.len()).unwrap();
    let statement = [&[0, 0, 0xE7, 0x40, 0x1F, 0, 0, 0, 0, 0, length, 0][..], &text].concat();
    let (no_handle, no_declarations) = ([0, 1, 0x26, 4, 0], [0, 0, 0xE7, 0x40, 0x1F, 0, 0, 0, 0, 0, 0xFF, 0xFF]);
    let prepare = [&no_handle[..], &no_declarations, &statement];
    let handle = |number| [0, 0, 0x26, 4, 4, number, 0, 0, 0];
    // RETURNVALUE: the first parameter, without a name, an INT.
    let told = |number| [0xAC, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0x26, 4, 4, number, 0, 0, 0];
    let unknown = [0xF3, 0x1F, 0, 0];

    let answer = rpc(&mut raw, LAST, 13, &prepare).await;
    assert!(contains(&answer, &units("prepared")) && contains(&answer, &told(1)), "{answer:x?}");
    let answer = rpc(&mut raw, LAST, 11, &prepare).await;
    assert!(!contains(&answer, &units("prepared")) && contains(&answer, &told(2)), "{answer:x?}");
    assert!(contains(&rpc(&mut raw, LAST, 12, &[&handle(2)]).await, &units("prepared")));
    assert!(!contains(&rpc(&mut raw, LAST, 15, &[&handle(2)]).await, &unknown));
    assert!(contains(&rpc(&mut raw, LAST, 12, &[&handle(2)]).await, &unknown), "8179");
    assert!(contains(&rpc(&mut raw, LAST, 12, &[&handle(1)]).await, &units("prepared")));
    assert!(contains(&rpc(&mut raw, LAST_AND_RESET, 12, &[&handle(1)]).await, &unknown), "8179");
}
