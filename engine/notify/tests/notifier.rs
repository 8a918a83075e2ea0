//! A notifier walks behind the outbox: with time that is set, a store in memory, and a channel that keeps what it is given.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::{Notice, NoticeKind};
use keywheel_notify::{Channel, Digests, Message, Notifier, Routes, SendError, Sender, Sent, Time};
use keywheel_policies::{Channel as Spec, Cron, DigestSchedule, NotifierSpec, Notify};
use keywheel_state::faulty::{FaultyState, When};
use keywheel_state::memory::MemoryState;
use keywheel_state::{Outbox, StateStore};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(5);

/// Time that the test sets, and how many wait for a later one.
struct SetTime(watch::Sender<Timestamp>, watch::Sender<u64>);

impl SetTime {
    fn new() -> Arc<Self> {
        Arc::new(SetTime(watch::Sender::new("2026-03-02T07:00:00Z".parse().unwrap()), watch::Sender::new(0)))
    }

    fn advance(&self, seconds: i64) {
        self.0.send_modify(|now| *now = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap());
    }

    /// Returns once the notifier, which the time that was just set wakes, sleeps again.
    async fn until_asleep(&self) {
        let mut asleep = self.1.subscribe();
        let before = *asleep.borrow_and_update();
        tokio::time::timeout(SOON, asleep.wait_for(|count| *count > before)).await.expect("it sleeps").unwrap();
    }
}

#[async_trait]
impl Time for SetTime {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.1.send_modify(|count| *count += 1);
        self.0.subscribe().wait_for(|now| *now >= until).await.unwrap();
    }
}

/// Keeps what it is given, after these refusals.
#[derive(Default)]
struct Kept {
    messages: Mutex<Vec<Message>>,
    refusals: Mutex<Vec<SendError>>,
}

struct Keeping(Arc<Kept>);

#[async_trait]
impl Channel for Keeping {
    async fn send(&self, message: &Message, _has: &[String], _now: Timestamp) -> Result<Sent, SendError> {
        // So that another one of the same name would be at it, too.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        if let Some(refusal) = self.0.refusals.lock().unwrap().pop() {
            return Err(refusal);
        }
        self.0.messages.lock().unwrap().push(message.clone());
        Ok(Sent::default())
    }
}

impl Kept {
    /// The ids of the notices of each message.
    fn told(&self) -> Vec<Vec<String>> {
        let ids = |message: &Message| message.shown().iter().map(|notice| notice.id.clone()).collect();
        self.messages.lock().unwrap().iter().map(ids).collect()
    }
}

/// Writes digests; so many cannot be made first.
struct Written(Mutex<u32>);

#[async_trait]
impl Digests for Written {
    async fn digest(&self, notifier: &str, since: Timestamp, until: Timestamp) -> Result<String, String> {
        let mut away = self.0.lock().unwrap();
        if *away > 0 {
            *away -= 1;
            return Err("the secret store is away".to_owned());
        }
        Ok(format!("for {notifier} from {since} to {until}"))
    }
}

fn notice(id: &str, kind: NoticeKind, policy: &str) -> Notice {
    Notice {
        id: id.to_owned(),
        kind,
        at: "2026-03-02T07:00:00Z".parse().unwrap(),
        secret: Some("prod/orders".to_owned()),
        policy: Some(policy.to_owned()),
        rotation: None,
        step: None,
        message: "it happened".to_owned(),
        to: None,
    }
}

struct Scene {
    time: Arc<SetTime>,
    state: MemoryState,
    kept: Arc<Kept>,
}

impl Scene {
    fn new() -> Self {
        Scene { time: SetTime::new(), state: MemoryState::new(), kept: Arc::default() }
    }

    /// A scene whose notifier has begun.
    async fn begun() -> Self {
        let scene = Scene::new();
        assert!(scene.notifier().flush().await.unwrap());
        scene
    }

    async fn tell(&self, notices: &[Notice]) {
        self.state.tell(notices).await.unwrap();
    }

    fn notifier(&self) -> Notifier {
        self.over(Arc::new(self.state.another_holder()))
    }

    fn over(&self, store: Arc<dyn StateStore>) -> Notifier {
        let to = |name: &str, on: &[NoticeKind]| Notify { to: vec![name.to_owned()], on: on.to_vec() };
        let routes = Routes::new(to("secops", &Notify::DEFAULT_ON))
            .with("quiet", "quiet/secret", Notify { to: Vec::new(), on: Notify::DEFAULT_ON.to_vec() })
            .with("loud", "loud/secret", to("secops", &NoticeKind::NAMED))
            .with("others", "others/secret", to("pager", &NoticeKind::NAMED));
        Notifier {
            spec: NotifierSpec {
                name: "secops".to_owned(),
                channel: Spec::Log,
                group_wait: Duration::from_secs(30),
                group_interval: Duration::from_secs(300),
                digest: None,
            },
            channel: Box::new(Keeping(Arc::clone(&self.kept))),
            store,
            routes: Arc::new(routes),
            digests: Arc::new(Written(Mutex::new(0))),
            time: Arc::clone(&self.time) as _,
            sender: Sender { host: "vault-1".to_owned(), version: "0.1.0".to_owned() },
        }
    }
}

#[tokio::test]
async fn what_was_before_it_began_is_not_told() {
    let scene = Scene::new();
    scene.tell(&[notice("before", NoticeKind::Parked, "p")]).await;
    assert!(scene.notifier().flush().await.unwrap());
    scene.tell(&[notice("after", NoticeKind::Parked, "p")]).await;
    assert!(scene.notifier().flush().await.unwrap());
    assert_eq!(scene.kept.told(), [["after"]]);
}

#[tokio::test]
async fn policies_say_who_is_told_of_what() {
    let scene = Scene::begun().await;
    let mut digest = notice("digest", NoticeKind::Digest, "quiet");
    digest.to = Some("secops".to_owned());
    let mut elsewhere = notice("elsewhere", NoticeKind::Parked, "p");
    elsewhere.to = Some("pager".to_owned());
    let all = [
        notice("default", NoticeKind::Parked, "p"),
        notice("no success by default", NoticeKind::Succeeded, "p"),
        notice("success", NoticeKind::Succeeded, "loud"),
        notice("quiet", NoticeKind::Parked, "quiet"),
        notice("pager", NoticeKind::Parked, "others"),
        digest,
        elsewhere,
    ];
    scene.tell(&all).await;
    assert!(scene.notifier().flush().await.unwrap());
    assert_eq!(scene.kept.told(), [["digest", "default", "success"]]);
}

#[tokio::test]
async fn what_happens_close_together_is_one_message() {
    let scene = Scene::begun().await;
    let stopping = CancellationToken::new();
    let (notifier, until) = (scene.notifier(), stopping.clone());
    let daemon = tokio::spawn(async move { notifier.run(&until).await });
    scene.time.until_asleep().await;
    scene.tell(&[notice("1", NoticeKind::Parked, "p")]).await;
    scene.time.advance(2);
    scene.time.until_asleep().await;
    scene.tell(&[notice("2", NoticeKind::Failed, "p")]).await;
    scene.time.advance(27);
    tokio::task::yield_now().await;
    scene.tell(&[notice("3", NoticeKind::Failed, "p")]).await;
    assert_eq!(scene.kept.told(), [[""; 0]; 0]);
    scene.time.advance(1);
    scene.time.until_asleep().await;
    assert_eq!(scene.kept.told(), [["1", "2", "3"]], "30 s after the first");

    // The next one is apart, however much happens.
    scene.tell(&[notice("4", NoticeKind::Parked, "p")]).await;
    for _ in 0..9 {
        scene.time.advance(32);
        scene.time.until_asleep().await;
    }
    assert_eq!(scene.kept.told().len(), 1);
    scene.tell(&[notice("5", NoticeKind::Parked, "p")]).await;
    scene.time.advance(12);
    scene.time.until_asleep().await;
    assert_eq!(scene.kept.told()[1..], [["4", "5"]]);
    stopping.cancel();
    tokio::time::timeout(SOON, daemon).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn what_may_have_been_taken_is_the_same_message_later_and_what_happens_meanwhile_is_the_next() {
    let scene = Scene::begun().await;
    *scene.kept.refusals.lock().unwrap() = vec![SendError::unknown("no answer"); 2];
    scene.tell(&[notice("1", NoticeKind::Parked, "p")]).await;
    assert!(!scene.notifier().flush().await.unwrap());
    for number in 2..1_000 {
        scene.tell(&[notice(&number.to_string(), NoticeKind::Failed, "p")]).await;
    }
    assert!(!scene.notifier().flush().await.unwrap());
    let delivery = scene.state.delivery("secops").await.unwrap().unwrap();
    let sending = delivery.sending.as_ref().unwrap();
    assert_eq!((sending.tries, sending.trouble.as_deref()), (2, Some("no answer")));
    assert!(scene.notifier().flush().await.unwrap());
    let messages = scene.kept.messages.lock().unwrap();
    assert_eq!(messages.iter().map(Message::headline).collect::<Vec<_>>(), ["parked: prod/orders", "998 failed"]);
}

#[tokio::test]
async fn what_nobody_has_is_told_with_what_happened_meanwhile() {
    let scene = Scene::begun().await;
    *scene.kept.refusals.lock().unwrap() = vec![SendError::untaken("connection refused"); 3];
    for round in 1..=3 {
        scene.tell(&[notice(&round.to_string(), NoticeKind::Parked, "p")]).await;
        assert!(!scene.notifier().flush().await.unwrap());
    }
    scene.tell(&[notice("4", NoticeKind::Parked, "p")]).await;
    assert!(scene.notifier().flush().await.unwrap());
    assert_eq!(scene.kept.told(), [["1", "2", "3", "4"]]);
}

#[tokio::test]
async fn what_cannot_be_taken_makes_way_for_the_rest() {
    let scene = Scene::begun().await;
    let refusal = SendError { of_content: true, ..SendError::untaken("552 too long") };
    *scene.kept.refusals.lock().unwrap() = vec![refusal; 4];
    scene.tell(&[notice("1", NoticeKind::Parked, "p")]).await;
    for _ in 0..3 {
        assert!(!scene.notifier().flush().await.unwrap());
    }
    scene.tell(&[notice("2", NoticeKind::Parked, "p")]).await;
    assert!(!scene.notifier().flush().await.unwrap(), "and it is not said that all was told");
    let delivery = scene.state.delivery("secops").await.unwrap().unwrap();
    assert_eq!((delivery.given_up, delivery.trouble.as_deref()), (1, Some("552 too long")));
    assert!(scene.notifier().flush().await.unwrap());
    assert_eq!(scene.kept.told(), [["2"]]);
}

#[tokio::test]
async fn what_is_not_for_it_is_read_once() {
    let scene = Scene::begun().await;
    let others: Vec<_> = (0..2_500).map(|n| notice(&n.to_string(), NoticeKind::Succeeded, "p")).collect();
    scene.tell(&others).await;
    assert!(scene.notifier().flush().await.unwrap());
    let delivery = scene.state.delivery("secops").await.unwrap().unwrap();
    assert_eq!((delivery.done, delivery.sent_at), (2_500, None));
    assert_eq!(scene.kept.told(), [[""; 0]; 0]);
    scene.tell(&[notice("last", NoticeKind::Parked, "p")]).await;
    assert_eq!(scene.notifier().waiting(10).await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_notifier_that_was_away_for_long_begins_with_what_is_news() {
    let scene = Scene::begun().await;
    scene.tell(&[notice("old", NoticeKind::RolledBack, "p"), notice("parked", NoticeKind::Parked, "p")]).await;
    scene.time.advance(31 * 86_400);
    let news = Notice { at: scene.time.now(), ..notice("news", NoticeKind::Parked, "p") };
    scene.tell(&[news]).await;
    assert!(scene.notifier().flush().await.unwrap());
    assert_eq!(scene.kept.told(), [["parked", "news"]]);
}

#[tokio::test]
async fn a_policy_that_was_renamed_is_known_by_its_secret() {
    let scene = Scene::begun().await;
    let secret = |name: &str, id: &str| Notice {
        secret: Some(name.to_owned()),
        ..notice(id, NoticeKind::Parked, "a name of before")
    };
    scene.tell(&[secret("quiet/secret", "quiet"), secret("loud/secret", "loud")]).await;
    assert!(scene.notifier().flush().await.unwrap());
    assert_eq!(scene.kept.told(), [["loud"]]);
}

#[tokio::test]
async fn wherever_it_crashes_each_notice_is_told_and_a_repeated_message_has_the_same_id() {
    // How many calls of the store there are.
    let calls = {
        let scene = Scene::begun().await;
        scene.tell(&[notice("1", NoticeKind::Parked, "p"), notice("2", NoticeKind::Failed, "p")]).await;
        let store = Arc::new(FaultyState::new(Arc::new(scene.state.another_holder())));
        assert!(scene.over(Arc::clone(&store) as _).flush().await.unwrap());
        store.calls()
    };
    assert!(calls.iter().filter(|call| **call == "deliver").count() == 2, "begun, and ended: {calls:?}");
    let mut repeated = 0;
    for call in 1..=calls.len() as u64 {
        for when in [When::Before, When::After] {
            let scene = Scene::begun().await;
            scene.tell(&[notice("1", NoticeKind::Parked, "p"), notice("2", NoticeKind::Failed, "p")]).await;
            let store = Arc::new(FaultyState::new(Arc::new(scene.state.another_holder())).failing(call, when));
            let _ = scene.over(Arc::clone(&store) as _).flush().await;
            // The process is gone, and its lease with it.
            drop(store);
            scene.tell(&[notice("3", NoticeKind::Parked, "p")]).await;
            assert!(scene.notifier().flush().await.unwrap(), "{call} {when:?}");
            let messages = scene.kept.messages.lock().unwrap();
            let mut by_id: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
            for message in messages.iter() {
                by_id.entry(&message.id).or_default().push(message);
            }
            assert!(by_id.values().all(|same| same.iter().all(|one| *one == same[0])), "{call} {when:?}");
            let told: Vec<_> = by_id.values().flat_map(|same| same[0].shown()).map(|one| one.id.as_str()).collect();
            for id in ["1", "2", "3"] {
                assert_eq!(told.iter().filter(|told| **told == id).count(), 1, "{call} {when:?}: {told:?}");
            }
            repeated += messages.len() - by_id.len();
        }
    }
    assert!(repeated > 0, "a lost end repeats a message: otherwise nothing was tried here");
}

#[tokio::test]
async fn two_processes_tell_once() {
    let scene = Scene::begun().await;
    for round in 0..20 {
        scene.tell(&[notice(&round.to_string(), NoticeKind::Parked, "p")]).await;
        let (one, other) = (scene.notifier(), scene.notifier());
        let (one, other) = tokio::join!(one.flush(), other.flush());
        assert!(one.unwrap() || other.unwrap());
    }
    assert_eq!(scene.kept.told().concat(), (0..20).map(|round| round.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_digest_is_sent_at_its_time_and_one_for_all_that_were_missed() {
    let scene = Scene::new();
    let notifier = || {
        let mut notifier = scene.notifier();
        let cron = Cron::parse("0 8 * * *").unwrap();
        let timezone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        notifier.spec.digest = Some(DigestSchedule { cron, timezone });
        notifier
    };
    // 08:00 in Berlin is 07:00 here, and just then the notifier began.
    assert!(notifier().flush().await.unwrap());
    scene.time.advance(86_399);
    assert!(notifier().flush().await.unwrap());
    assert_eq!(scene.kept.told(), [[""; 0]; 0]);
    scene.time.advance(1);
    assert!(notifier().flush().await.unwrap());
    assert!(notifier().flush().await.unwrap());
    assert_eq!(scene.kept.told(), [["digest/secops/2026-03-03T07:00:00Z"]]);
    scene.time.advance(3 * 86_400 + 3_600);
    assert!(notifier().flush().await.unwrap());
    assert_eq!(scene.kept.told()[1..], [["digest/secops/2026-03-06T07:00:00Z"]]);
    let messages = scene.kept.messages.lock().unwrap();
    let text = messages[1].text();
    assert!(text.contains("for secops from 2026-03-03T07:00:00Z to 2026-03-06T08:00:00Z"), "{text}");
}

#[tokio::test]
async fn a_digest_that_cannot_be_made_holds_up_nothing() {
    let scene = Scene::new();
    let mut notifier = scene.notifier();
    let (cron, timezone) = (Cron::parse("* * * * *").unwrap(), jiff::tz::TimeZone::UTC);
    notifier.spec.digest = Some(DigestSchedule { cron, timezone });
    notifier.digests = Arc::new(Written(Mutex::new(2)));
    assert!(notifier.flush().await.unwrap());
    scene.time.advance(60);
    scene.tell(&[notice("parked", NoticeKind::Parked, "p")]).await;
    assert!(!notifier.flush().await.unwrap());
    assert_eq!(scene.kept.told(), [["parked"]]);
    assert!(notifier.flush().await.unwrap());
    assert_eq!(scene.kept.told()[1..], [["digest/secops/2026-03-02T07:01:00Z"]]);
}

#[tokio::test]
async fn a_digest_that_is_wanted_later_is_not_of_the_whole_past() {
    let scene = Scene::begun().await;
    scene.time.advance(300 * 86_400);
    let mut notifier = scene.notifier();
    let (cron, timezone) = (Cron::parse("0 8 * * *").unwrap(), jiff::tz::TimeZone::UTC);
    notifier.spec.digest = Some(DigestSchedule { cron, timezone });
    assert!(notifier.flush().await.unwrap());
    assert_eq!(scene.kept.told(), [[""; 0]; 0]);
    scene.time.advance(3_600);
    assert!(notifier.flush().await.unwrap());
    assert_eq!(scene.kept.messages.lock().unwrap().len(), 1);
}
