//! SIGKILL between two replicas: inside one effect, where the engine has no point of its own.

use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex};

use keywheel_sqlserver_double::{Effect, Fault};
use rustix::process::{Pid, Signal, kill_process};

use super::{Case, End, Scenario};
use crate::ground::Ground;
use crate::house::say;

/// Kills the daemon when a replica has done (or is about to do) its `nth` change of the account.
async fn kill_at(scenario: Scenario, name: &str, replica: usize, nth: usize, after: bool) -> bool {
    let case = Case::new(scenario, name, None).await;
    let daemon: Arc<Mutex<Option<Pid>>> = Arc::default();
    let victim = Arc::clone(&daemon);
    let kill = Arc::new(move || {
        if let Some(pid) = *victim.lock().expect("nobody panics") {
            kill_process(pid, Signal::KILL).expect("it runs");
        }
    });
    let effect = if after { Effect::CallAfter(kill) } else { Effect::CallBefore(kill) };
    let server = &Ground::Group.servers()[replica];
    let struck = server.faults().arm(Fault::at_text(format!("ALTER LOGIN [{name}_"), effect).skip(nth));
    let mut running = {
        // Held until the process is known, however fast it gets there.
        let mut daemon = daemon.lock().expect("nobody panics");
        let running = case.house.daemon("keywheel=info", None);
        *daemon = Pid::from_raw(i32::try_from(running.id()).expect("a process number"));
        running
    };
    while let Some(entry) = running.next() {
        let message = crate::house::message_of(&entry);
        if ["done", "rolled back", "parked"].iter().any(|end| message.starts_with(end)) {
            running.ask_to_stop();
        }
    }
    let (status, _) = running.wait();
    let killed = struck.count() == 1;
    assert_eq!(status.signal() == Some(9), killed, "killed by the strike, and by nothing else: {status}");
    let when = format!("killed {} change {nth} of replica {replica}", if after { "after" } else { "before" });
    case.check(&when).await;
    case.recover(&when).await;
    killed
}

/// Each change of each replica, before and after it; until there are no more.
async fn between_replicas(scenario: Scenario, name: &str) {
    let mut kills = 0;
    for replica in 0..Ground::Group.servers().len() {
        for after in [false, true] {
            for nth in 0.. {
                if !kill_at(scenario, &format!("{name}_{replica}_{after}_{nth}"), replica, nth, after).await {
                    break;
                }
                kills += 1;
            }
        }
    }
    say(&format!("{name}: SIGKILL at {kills} changes of three replicas, each ended as {:?}", scenario.end));
    // In place each replica is changed once; alternating also let in again, disabled and scrambled.
    let least = if scenario.alternating { 4 } else { 1 };
    assert!(kills >= Ground::Group.servers().len() * 2 * least, "every change was killed at: {kills}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_replicas_in_place() {
    between_replicas(Scenario { ground: Ground::Group, alternating: false, end: End::Done }, "between").await;
    between_replicas(Scenario { ground: Ground::Group, alternating: false, end: End::RolledBack }, "between_back")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_replicas_alternating() {
    between_replicas(Scenario { ground: Ground::Group, alternating: true, end: End::Done }, "between_alt").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_replicas_alternating_rolled_back() {
    between_replicas(Scenario { ground: Ground::Group, alternating: true, end: End::RolledBack }, "between_alt_back")
        .await;
}
