//! Certainty as types: what may be done with a rotation depends on what is durable.
//!
//! ```text
//! Ready<S> --begin--> Intent<S> --durable(receipt)--> Attempt<S> --finish--> event
//! ```
//! Only a durable write yields a [`Receipt`], only a receipt mints an [`Attempt`], effects demand `&Attempt<S>`, and what a
//! crash left behind loads as [`InDoubt`], which cannot begin. So an effect before its intent, one step's intent for
//! another's effect, and a repeat without looking do not compile.

use std::marker::PhantomData;

use jiff::Timestamp;

use crate::{After, Event, Failure, Hold, Progress, Rotation, RotationId, State, Step};

mod sealed {
    pub trait Sealed {}
}

/// A step as a type.
pub trait StepKind: sealed::Sealed {
    const STEP: Step;
}

/// The step may begin: nothing of it has been written or done.
#[must_use]
pub struct Ready<S> {
    rotation: RotationId,
    candidate: u32,
    attempt: u32,
    step: PhantomData<S>,
}

/// The step's intent, not yet durable.
#[must_use]
pub struct Intent<S>(Ready<S>);

/// The step's intent is durable: its effect may run, once.
#[must_use]
pub struct Attempt<S> {
    rotation: RotationId,
    candidate: u32,
    number: u32,
    step: PhantomData<S>,
}

/// An intent whose outcome is unknown. It is settled by looking, never by repeating.
#[must_use]
#[derive(Debug)]
pub struct InDoubt {
    step: Step,
}

/// Proof of a durable write. Only implementations of the state store make it, after their commit.
#[must_use]
#[derive(Debug)]
pub struct Receipt {
    rotation: RotationId,
    state: State,
    seq: u64,
}

/// The receipt does not prove this intent durable: a bug.
#[derive(Debug, thiserror::Error)]
#[error("the receipt proves another write than the intent to {step}")]
pub struct NotDurable {
    pub step: Step,
}

/// How an attempt ended. An unknown outcome is not among them: it writes nothing.
#[derive(Debug)]
pub enum Finish {
    /// The effect is there. `hold` delays the next step.
    Succeeded { note: Option<String>, hold: Option<Hold> },
    /// The effect is certainly not there.
    Failed { failure: Failure, then: After },
    /// Not yet; costs no try.
    Waited { hold: Hold },
}

impl Receipt {
    /// For state stores only: `state` and `seq` are what was just committed for `rotation`.
    pub fn of_commit(rotation: RotationId, state: State, seq: u64) -> Self {
        Receipt { rotation, state, seq }
    }

    /// The state that is now durable.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The number of the last event that is now durable.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

impl<S: StepKind> Ready<S> {
    /// States the intent. Append its event; the receipt makes it an attempt.
    pub fn begin(self) -> Intent<S> {
        Intent(self)
    }
}

impl<S: StepKind> Intent<S> {
    /// The event to append.
    pub fn event(&self) -> Event {
        Event::Began { step: S::STEP, attempt: self.0.attempt }
    }

    /// The intent is durable: the effect may run.
    pub fn durable(self, receipt: &Receipt) -> Result<Attempt<S>, NotDurable> {
        let Ready { rotation, candidate, attempt, step } = self.0;
        let proven = receipt.rotation == rotation
            && receipt.state.attempts == attempt
            && receipt.state.progress == Progress::Attempting { step: S::STEP };
        if proven {
            Ok(Attempt { rotation, candidate, number: attempt, step })
        } else {
            Err(NotDurable { step: S::STEP })
        }
    }
}

impl<S: StepKind> Attempt<S> {
    pub fn rotation(&self) -> RotationId {
        self.rotation
    }

    /// Which candidate it works on, from 1.
    pub fn candidate(&self) -> u32 {
        self.candidate
    }

    /// The attempt's number within the rotation, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The outcome, as the event to append.
    pub fn finish(self, how: Finish) -> Event {
        how.into_event(S::STEP, false)
    }

    /// The outcome is unknown: nothing is written, and it is in doubt exactly as after a crash.
    pub fn leave_in_doubt(self) -> InDoubt {
        InDoubt { step: S::STEP }
    }
}

impl InDoubt {
    pub fn step(&self) -> Step {
        self.step
    }

    /// What looking showed, as the event to append.
    pub fn settle(self, how: Finish) -> Event {
        how.into_event(self.step, true)
    }
}

impl Finish {
    fn into_event(self, step: Step, settled: bool) -> Event {
        match self {
            Finish::Succeeded { note, hold } => Event::Succeeded { step, settled, note, hold },
            Finish::Failed { failure, then } => Event::Failed { step, settled, failure, then },
            Finish::Waited { hold } => Event::Waited { step, hold },
        }
    }
}

/// Where a loaded rotation stands, at `now`.
pub enum Standing {
    Ready(AnyReady),
    /// Nothing to do before this.
    Held(Hold),
    InDoubt(InDoubt),
    Parked {
        step: Step,
        reason: String,
    },
    Ended,
}

impl Standing {
    /// Reads a stored rotation. An attempt that somebody else began is in doubt.
    pub fn of(rotation: &Rotation, now: Timestamp) -> Standing {
        Self::of_state(rotation.fixed.id, &rotation.state, now)
    }

    /// The same for a state that is about to be written.
    pub fn of_state(id: RotationId, state: &State, now: Timestamp) -> Standing {
        match &state.progress {
            Progress::Ready { hold: Some(hold), .. } if hold.until > now => Standing::Held(*hold),
            Progress::Ready { step, .. } => Standing::Ready(AnyReady::new(*step, id, state)),
            Progress::Attempting { step } => Standing::InDoubt(InDoubt { step: *step }),
            Progress::Parked { step, reason } => Standing::Parked { step: *step, reason: reason.clone() },
            Progress::Done | Progress::RolledBack => Standing::Ended,
        }
    }
}

/// Makes the marker types and the enums over them: one line per step.
macro_rules! steps {
    ($($step:ident),*) => {
        $(
            #[doc = concat!("[`Step::", stringify!($step), "`] as a type.")]
            pub enum $step {}
            impl sealed::Sealed for $step {}
            impl StepKind for $step {
                const STEP: Step = Step::$step;
            }
        )*

        /// [`Ready`] for whichever step it is.
        #[must_use]
        pub enum AnyReady { $($step(Ready<$step>)),* }

        /// [`Intent`] for whichever step it is.
        #[must_use]
        pub enum AnyIntent { $($step(Intent<$step>)),* }

        /// [`Attempt`] for whichever step it is: what the driver matches on.
        #[must_use]
        pub enum AnyAttempt { $($step(Attempt<$step>)),* }

        impl AnyReady {
            fn new(step: Step, rotation: RotationId, state: &State) -> Self {
                let (candidate, attempt) = (state.candidate, state.attempts + 1);
                match step {
                    $(Step::$step => AnyReady::$step(Ready { rotation, candidate, attempt, step: PhantomData })),*
                }
            }

            /// Which step it is.
            pub fn step(&self) -> Step {
                match self { $(AnyReady::$step(_) => Step::$step),* }
            }

            /// States the intent.
            pub fn begin(self) -> AnyIntent {
                match self { $(AnyReady::$step(ready) => AnyIntent::$step(ready.begin())),* }
            }
        }

        impl AnyIntent {
            /// The event to append.
            pub fn event(&self) -> Event {
                match self { $(AnyIntent::$step(intent) => intent.event()),* }
            }

            /// The intent is durable: the effect may run.
            pub fn durable(self, receipt: &Receipt) -> Result<AnyAttempt, NotDurable> {
                match self { $(AnyIntent::$step(intent) => intent.durable(receipt).map(AnyAttempt::$step)),* }
            }
        }

        impl AnyAttempt {
            /// Which step it is.
            pub fn step(&self) -> Step {
                match self { $(AnyAttempt::$step(_) => Step::$step),* }
            }
        }
    };
}

steps!(Generate, Stage, Apply, Verify, Promote, Revoke, Restore, Discard);
