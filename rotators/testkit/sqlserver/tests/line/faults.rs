//! Each fault as a client meets it, and what is so on the server afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keywheel_sqlserver_double::{Effect, Fault, Message, SqlServer};
use tiberius::error::Error;
use tokio::sync::mpsc;

use super::sa_password;
use super::tiberius_client::{Connected, batch, connect, number, sa, settings};

const ALTER: &str = "ALTER LOGIN [app] WITH PASSWORD = N'C0rrect-horse-2'";

/// A server with the login `app`, and `sa` logged in.
async fn with_app() -> (SqlServer, Connected) {
    let server = SqlServer::start().unwrap();
    server.execute("CREATE LOGIN app WITH PASSWORD = N'C0rrect-horse-1'").unwrap();
    let client = sa(&server).await;
    (server, client)
}

fn applied(server: &SqlServer) -> bool {
    let (former, next) =
        (server.accepts("app", "C0rrect-horse-1", None), server.accepts("app", "C0rrect-horse-2", None));
    assert_ne!(former, next, "one password at a time");
    next
}

fn message(number: i32, class: u8) -> Message {
    Message { class, ..Message::error(number, "as the test has it") }
}

fn is_cut<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Io { .. } | Error::Protocol(_)))
}

#[tokio::test]
async fn a_line_is_cut_before_or_after_the_effect() {
    for (effect, expected) in [(Effect::CloseBefore, false), (Effect::ApplyThenClose, true)] {
        let (server, mut client) = with_app().await;
        let strikes = server.faults().arm(Fault::at_verb("ALTER LOGIN", effect.clone()));
        batch(&mut client, "SELECT N'ALTER LOGIN'").await.unwrap();
        assert_eq!(strikes.count(), 0);
        assert!(is_cut(batch(&mut client, ALTER).await), "{effect:?}");
        assert_eq!((strikes.count(), server.faults().strikes()), (1, 1));
        assert_eq!(applied(&server), expected, "{effect:?}");
        assert_eq!(server.heard().last().unwrap().text, ALTER);
    }
}

#[tokio::test]
async fn a_stalled_session_stays_until_its_client_goes_or_it_is_killed() {
    for (effect, expected) in [(Effect::StallBefore, false), (Effect::ApplyThenStall, true)] {
        let (server, mut client) = with_app().await;
        let mut waiter = sa(&server).await;
        let lock =
            "EXEC sp_getapplock @Resource = N'r', @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = ";
        batch(&mut client, &format!("{lock}0")).await.unwrap();
        let strikes = server.faults().arm(Fault::at_verb("ALTER LOGIN", effect.clone()));
        {
            let mut stalled = std::pin::pin!(batch(&mut client, ALTER));
            tokio::select! {
                _ = &mut stalled => panic!("{effect:?}: no answer comes"),
                () = strikes.wait_for(1) => {}
            }
        }
        assert_eq!(server.sessions("sa"), 2);
        drop(client);
        // Granted when the stalled session has ended.
        batch(&mut waiter, &format!("{lock}-1")).await.unwrap();
        assert_eq!((server.sessions("sa"), applied(&server)), (1, expected), "{effect:?}");
    }
    let (server, mut client) = with_app().await;
    server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::ApplyThenStall));
    let id = server_process(&mut client).await;
    let killing = async {
        server.faults().wait_for_strikes(1).await;
        server.execute(&format!("KILL {id}")).unwrap();
    };
    let (outcome, ()) = tokio::join!(batch(&mut client, ALTER), killing);
    assert!(is_cut(outcome));
}

async fn server_process(client: &mut Connected) -> i16 {
    batch(client, "SELECT @@SPID").await.unwrap()[0][0].get(0).unwrap()
}

#[tokio::test]
async fn any_error_can_be_had_with_and_without_the_effect() {
    for (effect, expected) in
        [(Effect::FailWith(message(1222, 16)), false), (Effect::ExecuteThenFailWith(message(1222, 16)), true)]
    {
        let (server, mut client) = with_app().await;
        server.faults().arm(Fault::at_verb("ALTER LOGIN", effect.clone()));
        assert_eq!(number(batch(&mut client, ALTER).await), 1222);
        assert_eq!(applied(&server), expected, "{effect:?}");
        batch(&mut client, "SELECT 1").await.unwrap();
    }
    let (server, mut client) = with_app().await;
    server.faults().arm(Fault::at_text("", Effect::FailWith(message(40197, 20))));
    assert_eq!(number(batch(&mut client, ALTER).await), 40197);
    assert!(is_cut(batch(&mut client, "SELECT 1").await), "severity 20 ends the session");
}

#[tokio::test]
async fn a_session_is_killed_in_the_middle() {
    let (server, mut client) = with_app().await;
    server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::KillSession));
    assert_eq!(number(batch(&mut client, ALTER).await), 596);
    assert!(!applied(&server));
    assert!(is_cut(batch(&mut client, "SELECT 1").await));
}

#[tokio::test]
async fn calls_are_made_before_and_after() {
    let (server, mut client) = with_app().await;
    let server = Arc::new(server);
    let seen = Arc::new(AtomicUsize::new(0));
    let call = |expected: bool| {
        let (server, seen) = (Arc::clone(&server), Arc::clone(&seen));
        let call: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            seen.fetch_add(usize::from(applied(&server) == expected), Ordering::SeqCst);
        });
        call
    };
    server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::CallBefore(call(false))));
    server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::CallAfter(call(true))));
    batch(&mut client, ALTER).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    // Statements with parameters are struck as well.
    server.faults().arm(Fault::at_text("@P1", Effect::CloseBefore));
    assert!(is_cut(client.query("SELECT @P1", &[&1]).await));
}

#[tokio::test]
async fn a_login_is_cut_refused_or_sent_elsewhere() {
    let server = SqlServer::start().unwrap();
    let login = || connect(settings(&server, "sa", &sa_password()));
    for effect in [Effect::CloseBefore, Effect::ApplyThenClose] {
        server.faults().arm(Fault::at_login(effect));
        assert!(is_cut(login().await));
    }
    server.faults().arm(Fault::at_login(Effect::FailWith(message(18456, 14))));
    assert_eq!(number(login().await), 18456);
    server.faults().arm(Fault::at_login(Effect::Route { host: "replica.example".to_owned(), port: 14_330 }));
    match login().await {
        Err(Error::Routing { host, port }) => assert_eq!((host.as_str(), port), ("replica.example", 14_330)),
        other => panic!("no routing: {:?}", other.err()),
    }
    server.faults().arm(Fault::at_login(Effect::CloseBefore).only_login("another"));
    batch(&mut login().await.unwrap(), "SELECT 1").await.unwrap();
    assert_eq!(server.faults().strikes(), 4);
}

#[tokio::test]
async fn a_login_stalls_before_and_after_the_check() {
    for (effect, sessions) in [(Effect::StallBefore, 0), (Effect::ApplyThenStall, 1)] {
        let server = SqlServer::start().unwrap();
        let (tell, mut told) = mpsc::unbounded_channel();
        server.faults().arm(Fault::at_login(Effect::CallAfter(Arc::new(move || tell.send(()).unwrap()))));
        let strikes = server.faults().arm(Fault::at_login(effect.clone()));
        let mut login = std::pin::pin!(connect(settings(&server, "sa", &sa_password())));
        let stalled = async {
            strikes.wait_for(1).await;
            if sessions > 0 {
                told.recv().await.unwrap();
            }
        };
        tokio::select! {
            _ = &mut login => panic!("{effect:?}: no answer comes"),
            () = stalled => {}
        }
        assert_eq!(server.sessions("sa"), sessions, "{effect:?}");
    }
}

#[tokio::test]
async fn an_error_says_which_trigger_or_procedure_raised_it() {
    let (server, mut client) = with_app().await;
    let refusal = Message::error(50000, "Not on my server.").raised_by("guard_logins");
    server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::FailWith(refusal.clone())));
    let procedure = |outcome: Result<_, Error>| match outcome.map(|_: Vec<_>| ()) {
        Err(Error::Server(error)) => error.procedure().to_owned(),
        other => panic!("no error of the server: {other:?}"),
    };
    assert_eq!(procedure(batch(&mut client, ALTER).await), "guard_logins");
    assert_eq!(procedure(batch(&mut client, "ALTER LOGIN nobody DISABLE").await), "");
    assert_eq!(procedure(batch(&mut client, "EXEC sp_configure 'nothing', 1").await), "sp_configure");
    assert_eq!(procedure(batch(&mut client, "EXEC sp_nothing").await), "");
    let caught = "BEGIN TRY EXEC sp_addrolemember nobody, app END TRY BEGIN CATCH SELECT ERROR_PROCEDURE() END CATCH";
    let rows = batch(&mut client, caught).await.unwrap();
    assert_eq!(rows[0][0].get::<&str, _>(0), Some("sp_addrolemember"));
}
