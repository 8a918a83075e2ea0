//! Journals that visit every kind of event and state there is.

use std::collections::BTreeSet;
use std::time::Duration;

use keywheel_core::{After, Event, Failure, Hold, Progress, Retry, State, Step, Why, transition};

use super::{Failed, at};

/// The words that [`note`] can say: all kinds of everything.
const KINDS: usize = 6 + 2 + 4 + 4 + 6 + 5 + 8;

/// Writes a legal journal by following the state.
struct Script {
    state: State,
    events: Vec<Event>,
    seen: BTreeSet<&'static str>,
}

/// Some journals, each a list of events from the initial state on. Together they hold every kind of event and state.
pub(super) fn journals() -> Result<Vec<Vec<Event>>, Failed> {
    let mut seen = BTreeSet::new();
    let mut journals = Vec::new();
    for write in [forward, back, parked] {
        let mut script = Script { state: State::initial(), events: Vec::new(), seen };
        write(&mut script)?;
        seen = script.seen;
        journals.push(script.events);
    }
    if seen.len() != KINDS {
        return Err(Failed(format!("the exam itself is wrong: it saw only {seen:?}")));
    }
    Ok(journals)
}

fn forward(script: &mut Script) -> Result<(), Failed> {
    script.succeed(false, Some("made 40 characters; naïve „quotes“ \" \\ 🔑\n\u{0}"), None)?;
    script.fail(false, Retry::Now, After::Again { hold: None })?;
    script.fail(true, Retry::Now, After::Again { hold: hold(Why::Backoff) })?;
    script.succeed(true, Some(""), None)?;
    script.fail(false, Retry::NewCandidate, After::NewCandidate { hold: None })?;
    script.succeed(false, None, None)?;
    script.succeed(false, None, None)?;
    script.fail(false, Retry::NewCandidate, After::NewCandidate { hold: hold(Why::Backoff) })?;
    while script.step() != Some(Step::Promote) {
        script.succeed(false, None, None)?;
    }
    script.succeed(false, None, hold(Why::Grace))?;
    script.wait(Why::Drain)?;
    script.wait(Why::Grace)?;
    script.wait(Why::InDoubt)?;
    script.wait(Why::Disabled)?;
    script.wait(Why::Consumed)?;
    script.fail(false, Retry::After(Duration::new(u64::MAX, 999_999_999)), After::Again { hold: None })?;
    script.succeed(false, None, None)
}

fn back(script: &mut Script) -> Result<(), Failed> {
    while script.step() != Some(Step::Verify) {
        script.succeed(false, None, None)?;
    }
    script.fail(false, Retry::Never, After::RollBack)?;
    script.fail(false, Retry::After(Duration::from_nanos(1)), After::Again { hold: hold(Why::Backoff) })?;
    script.succeed(true, None, None)?;
    script.succeed(false, None, None)
}

fn parked(script: &mut Script) -> Result<(), Failed> {
    script.succeed(false, None, None)?;
    script.fail(false, Retry::Never, After::Park)?;
    script.add(Event::Resumed { by: "app_a".to_owned() })?;
    script.fail(false, Retry::Never, After::Park)?;
    script.add(Event::RollBackOrdered { by: "Ünal".to_owned() })?;
    script.begin()
}

fn hold(why: Why) -> Option<Hold> {
    Some(Hold { until: at(3600), why })
}

impl Script {
    fn step(&self) -> Option<Step> {
        self.state.step()
    }

    fn here(&self) -> Result<Step, Failed> {
        self.step().ok_or_else(|| Failed("the exam itself is wrong: the rotation has ended".to_owned()))
    }

    fn add(&mut self, event: Event) -> Result<(), Failed> {
        self.state = transition(&self.state, &event, at(1))?;
        note(&event, &self.state, &mut self.seen);
        self.events.push(event);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failed> {
        self.add(Event::Began { step: self.here()?, attempt: self.state.attempts + 1 })
    }

    fn succeed(&mut self, settled: bool, note: Option<&str>, hold: Option<Hold>) -> Result<(), Failed> {
        self.begin()?;
        self.add(Event::Succeeded { step: self.here()?, settled, note: note.map(str::to_owned), hold })
    }

    fn fail(&mut self, settled: bool, retry: Retry, then: After) -> Result<(), Failed> {
        self.begin()?;
        let failure = Failure::new("28P01", "refused: «why?»", retry);
        self.add(Event::Failed { step: self.here()?, settled, failure, then })
    }

    fn wait(&mut self, why: Why) -> Result<(), Failed> {
        self.begin()?;
        self.add(Event::Waited { step: self.here()?, hold: Hold { until: at(7200), why } })
    }
}

/// Notes what kinds of things these hold. Exhaustive, so that a new kind does not compile before it is thought of here.
fn note(event: &Event, state: &State, seen: &mut BTreeSet<&'static str>) {
    seen.insert(event.name());
    match event {
        Event::Began { step, .. } => {
            seen.insert(step.name());
        }
        Event::Succeeded { settled, hold, .. } => {
            seen.insert(if *settled { "settled" } else { "not settled" });
            seen.extend(hold.map(|hold| why(hold.why)));
        }
        Event::Failed { failure, then, .. } => {
            seen.insert(match failure.retry {
                Retry::Now => "retry now",
                Retry::After(_) => "retry after",
                Retry::NewCandidate => "retry with a new candidate",
                Retry::Never => "retry never",
            });
            seen.insert(match then {
                After::Again { .. } => "then again",
                After::NewCandidate { .. } => "then a new candidate",
                After::RollBack => "then roll back",
                After::Park => "then park",
            });
        }
        Event::Waited { hold, .. } => {
            seen.insert(why(hold.why));
        }
        Event::Resumed { .. } | Event::RollBackOrdered { .. } => {}
    }
    let progress = match &state.progress {
        Progress::Ready { hold, .. } => {
            seen.extend(hold.map(|hold| why(hold.why)));
            "is ready"
        }
        Progress::Attempting { .. } => "is attempting",
        Progress::Parked { .. } => "is parked",
        Progress::Done => "is done",
        Progress::RolledBack => "is rolled back",
    };
    seen.insert(progress);
}

fn why(why: Why) -> &'static str {
    match why {
        Why::Backoff => "for backoff",
        Why::Grace => "for grace",
        Why::Drain => "for drain",
        Why::Disabled => "while disabled",
        Why::InDoubt => "in doubt",
        Why::Consumed => "consumed",
    }
}
