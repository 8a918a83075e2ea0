//! The transition table, whole: every state against every event, reviewed as a golden file; and the picture in the
//! architecture notes, which is printed from it. `UPDATE_GOLDEN=1` rewrites both.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use keywheel_core::{After, Event, Failure, Hold, Progress, Retry, State, Step, Why, transition};

/// Marks a state in which the target may have seen the candidate.
const TOUCHED: &str = " (target touched)";

fn at() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn hold() -> Option<Hold> {
    Some(Hold { until: at(), why: Why::Backoff })
}

/// Every kind of state, with a short name. `touched`: the target may have seen the candidate.
fn states() -> Vec<(String, State)> {
    let mut all = Vec::new();
    for touched in [false, true] {
        let mark = if touched { TOUCHED } else { "" };
        let mut push = |progress: Progress| {
            let undo = progress_step(&progress).is_some_and(|s| matches!(s, Step::Restore | Step::Discard));
            let state = State {
                progress,
                candidate: 1,
                tries: 1,
                attempts: 4,
                touched,
                undo: undo.then(|| "test".to_owned()),
                promoted_at: None,
                disabled_at: None,
                consumed_at: None,
            };
            all.push((format!("{}{mark}", state.progress), state));
        };
        for step in Step::ALL {
            push(Progress::Ready { step, hold: None });
            push(Progress::Attempting { step });
            push(Progress::Parked { step, reason: "test".to_owned() });
        }
        push(Progress::Done);
        push(Progress::RolledBack);
    }
    all
}

fn progress_step(progress: &Progress) -> Option<Step> {
    match progress {
        Progress::Ready { step, .. } | Progress::Attempting { step } | Progress::Parked { step, .. } => Some(*step),
        Progress::Done | Progress::RolledBack => None,
    }
}

/// Every kind of event for the given step, with a short name.
fn events(step: Step) -> Vec<(&'static str, Event)> {
    let failure = Failure::new("test", "test", Retry::Now);
    let ended = |settled, then| Event::Failed { step, settled, failure: failure.clone(), then };
    let (failed, settled) = (|then| ended(false, then), |then| ended(true, then));
    vec![
        ("began", Event::Began { step, attempt: 5 }),
        ("succeeded", Event::Succeeded { step, settled: false, note: None, hold: None }),
        ("failed: again", failed(After::Again { hold: hold() })),
        ("settled as failed: again", settled(After::Again { hold: None })),
        ("failed: new candidate", failed(After::NewCandidate { hold: None })),
        ("failed: roll back", failed(After::RollBack)),
        ("failed: park", failed(After::Park)),
        ("waited", Event::Waited { step, hold: hold().unwrap() }),
        ("resumed", Event::Resumed { by: "test".to_owned() }),
        ("roll back ordered", Event::RollBackOrdered { by: "test".to_owned() }),
    ]
}

/// `(state, event) -> state` for each legal pair; events are tried with the state's own step.
fn edges() -> Vec<(String, &'static str, String)> {
    let mut edges = Vec::new();
    for (name, state) in states() {
        for (event_name, event) in events(state.step().unwrap_or(Step::Revoke)) {
            let to = match transition(&state, &event, at()) {
                Ok(next) if next.touched => format!("{}{TOUCHED}", next.progress),
                Ok(next) => next.progress.to_string(),
                Err(_) => "-".to_owned(),
            };
            edges.push((name.clone(), event_name, to));
        }
    }
    edges
}

#[expect(clippy::disallowed_methods, reason = "the order to rewrite comes from the environment")]
fn golden(file: &Path, fresh: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, fresh).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(committed == fresh, "{} is stale; review, then rewrite it with UPDATE_GOLDEN=1", file.display());
}

#[test]
fn the_whole_matrix_is_as_reviewed() {
    let mut text =
        String::from("# state | event | next state (- = illegal). Rewrite with UPDATE_GOLDEN=1, then review.\n");
    for (from, event, to) in edges() {
        text.push_str(&format!("{from} | {event} | {to}\n"));
    }
    golden(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix.txt"), &text);
}

#[test]
fn an_event_of_another_step_is_always_illegal() {
    for (name, state) in states() {
        for step in Step::ALL.into_iter().filter(|step| Some(*step) != state.step()) {
            for (event_name, event) in events(step) {
                let names_step = !matches!(event, Event::Resumed { .. } | Event::RollBackOrdered { .. });
                if names_step {
                    assert!(transition(&state, &event, at()).is_err(), "{name} took {event_name} of {step}");
                }
            }
        }
    }
}

#[test]
fn an_attempt_number_is_never_used_twice() {
    let state = State::initial();
    for wrong in [0, 2, 7] {
        assert!(transition(&state, &Event::Began { step: Step::Generate, attempt: wrong }, at()).is_err());
    }
}

#[test]
fn after_promotion_there_is_no_way_back() {
    let mut state = State::initial();
    for step in [Step::Generate, Step::Stage, Step::Apply, Step::Verify, Step::Promote] {
        let attempt = state.attempts + 1;
        state = transition(&state, &Event::Began { step, attempt }, at()).unwrap();
        state = transition(&state, &Event::Succeeded { step, settled: false, note: None, hold: None }, at()).unwrap();
    }
    assert_eq!(state.promoted_at, Some(at()));
    let order = Event::RollBackOrdered { by: "test".to_owned() };
    assert!(transition(&state, &order, at()).is_err());
    let attempt = state.attempts + 1;
    let revoking = transition(&state, &Event::Began { step: Step::Revoke, attempt }, at()).unwrap();
    let failure = Failure::new("test", "test", Retry::Never);
    let turn_back = Event::Failed { step: Step::Revoke, settled: false, failure, then: After::RollBack };
    assert!(transition(&revoking, &turn_back, at()).is_err());
}

#[test]
fn the_picture_in_the_architecture_notes_is_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md");
    let (begin, end) = ("<!-- transitions: begin -->\n", "<!-- transitions: end -->\n");
    let text = std::fs::read_to_string(&file).unwrap();
    let from = text.find(begin).expect("the notes have a place for the picture") + begin.len();
    let to = text.find(end).expect("the notes have a place for the picture");
    golden(&file, &format!("{}{}{}", &text[..from], picture(), &text[to..]));
}

/// A state diagram of steps: what is ready, attempted or waiting at a step is drawn as that step.
fn picture() -> String {
    let short = |state: &str| -> String {
        let word = |n: usize| state.split(' ').nth(n).unwrap_or_default().to_owned();
        match word(0).as_str() {
            "rolled" => "rolled_back".to_owned(),
            "done" | "parked" => word(0),
            // "ready to apply", "attempting to apply", "waiting to apply (backoff)"
            _ => word(2),
        }
    };
    let mut arrows = BTreeSet::new();
    for (from, event, to) in edges().into_iter().filter(|(_, _, to)| to != "-") {
        let (from, to) = (short(&from.replace(TOUCHED, "")), short(&to.replace(TOUCHED, "")));
        if from != to && to != "parked" && from != "parked" {
            arrows.insert(format!("    {from} --> {to}: {}\n", event.replace(':', ",")));
        }
    }
    let arrows: String = arrows.into_iter().collect();
    format!(
        "```mermaid\nstateDiagram-v2\n    [*] --> generate\n{arrows}    done --> [*]\n    rolled_back --> [*]\n```\n"
    )
}
