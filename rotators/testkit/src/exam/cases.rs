//! The cases of the exam. Each says in its name what must be true, and in the table what it needs of a subject.

mod breaking;
mod claims;
mod ending;
mod making;
mod rotating;
mod sweeping;
mod undoing;

use std::pin::Pin;

use keywheel_sdk::Shape;

use super::sitting::{Sitting, Verdict};
use super::{Candidate, Outcome};

/// One case of the table.
pub struct Case {
    /// What must be true.
    pub name: &'static str,
    needs: &'static [Need],
    run: for<'a> fn(&'a Sitting<'a>) -> Running<'a>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// What a case asks of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    EngineMade,
    ProviderMade,
    TwoAccounts,
    WrongAdmin,
    Line,
    KeyCount,
    Tags,
    Disable,
    LastUsed,
}

use Need::{Disable, EngineMade, KeyCount, LastUsed, Line, ProviderMade, Tags, TwoAccounts, WrongAdmin};

impl Need {
    /// Why the case does not fit.
    fn is_missing(self, sitting: &Sitting<'_>) -> Option<&'static str> {
        let (subject, stage) = (sitting.subject, sitting.stage);
        let generated = matches!(stage.candidate, Candidate::Generated);
        let capabilities = subject.rotator().describe().capabilities;
        let (met, why) = match self {
            Need::EngineMade => (!generated, "the provider makes the value"),
            Need::ProviderMade => (generated, "the engine makes the value"),
            Need::TwoAccounts => (stage.target.strategy.shape() != Shape::InPlace, "there is one account only"),
            Need::WrongAdmin => (stage.wrong_admin.is_some(), "the account manages itself"),
            Need::Line => (stage.line.is_some(), "the line cannot be broken"),
            Need::KeyCount => (sitting.counts(), "the keys cannot be counted"),
            Need::Tags => (subject.tags(), "the keys hold no tag"),
            Need::Disable => (capabilities.disable, "it does not claim to disable"),
            Need::LastUsed => (capabilities.last_used, "it does not claim to know the last use"),
        };
        (!met).then_some(why)
    }
}

impl Case {
    /// Runs the case, if it fits.
    pub(super) async fn sit(&self, sitting: &Sitting<'_>) -> Outcome {
        match self.needs.iter().find_map(|need| need.is_missing(sitting)) {
            Some(why) => Outcome::Skipped(why),
            None => match (self.run)(sitting).await {
                Ok(()) => Outcome::Passed,
                Err(how) => Outcome::Failed(how),
            },
        }
    }
}

macro_rules! case {
    ($name:literal, $module:ident::$run:ident) => {
        case!($name, $module::$run, [])
    };
    ($name:literal, $module:ident::$run:ident, $needs:expr) => {
        Case { name: $name, needs: &$needs, run: |sitting| Box::pin($module::$run(sitting)) }
    };
}

/// All cases, in the order in which a reader would ask.
pub const CASES: &[Case] = &[
    case!("preflight of a sound target finds no error and changes nothing", rotating::preflight_finds_no_error),
    case!("a rotation from apply to revoke ends with the new credential only", rotating::happy_path),
    case!("two rotations in a row work, back to the first account", rotating::two_in_a_row),
    case!("apply twice is apply once", rotating::apply_twice),
    case!("verify changes nothing and refuses a candidate that the target refuses", rotating::verify_refuses),
    case!("a probe tells the truth before and after, and changes nothing", rotating::probe_tells_the_truth),
    case!("a probe of an account that does not exist is a no", rotating::probe_of_absent_account),
    case!("passwords of unicode, quotes and maximal length work", rotating::odd_passwords, [EngineMade]),
    case!("a made key stands beside the live one, and both are accepted", making::beside_the_live_one, [ProviderMade]),
    case!(
        "a lost answer to generate is unknown, and sweep deletes the orphan and only it",
        making::lost_answer,
        [ProviderMade, Line, KeyCount]
    ),
    case!(
        "after a lost generate and a sweep another is made, and no third is there",
        making::another_after_a_lost_one,
        [ProviderMade, Line]
    ),
    case!(
        "a line cut before generate left is unknown, and sweep finds nothing",
        making::cut_before,
        [ProviderMade, Line]
    ),
    case!("a stalled generate ends at the deadline as unknown", making::stalled, [ProviderMade, Line]),
    case!("sweep deletes what is not kept, and twice is once", sweeping::deletes_what_is_not_kept, [ProviderMade]),
    case!("sweep keeps what it is told to keep", sweeping::keeps, [ProviderMade]),
    case!("sweep touches no key with another tag or none", sweeping::touches_no_other, [ProviderMade, Tags]),
    case!(
        "sweep deletes what the earlier rotations that it is told of left, and is not kept",
        sweeping::what_earlier_ones_left,
        [ProviderMade, Tags]
    ),
    case!(
        "a lost acknowledgement of sweep is unknown, and sweeping again settles it",
        sweeping::lost_sweep,
        [ProviderMade, Line]
    ),
    case!("restore after apply leaves current accepted and the candidate refused", undoing::after_apply),
    case!("restore without apply changes nothing for current", undoing::without_apply),
    case!("restore without a current credential refuses the candidate", undoing::without_current),
    case!("restore twice is restore once", undoing::twice),
    case!(
        "a lost acknowledgement of restore is unknown, and restoring again settles it",
        undoing::lost_restore,
        [Line]
    ),
    case!("revoke twice is revoke once", ending::revoke_twice),
    case!("revoke with disable and end of sessions keeps current accepted", ending::revoke_hard, [TwoAccounts]),
    case!("revoke of the live credential itself is refused", ending::revoke_of_current),
    case!(
        "disable refuses the previous credential until revoke takes it away, and twice is once",
        ending::disable_previous,
        [Disable]
    ),
    case!("disable of the live credential itself is refused", ending::disable_of_current, [Disable]),
    case!("a use is known as the last one", ending::last_used, [LastUsed]),
    case!("a wrong admin password changes nothing and says so", breaking::wrong_admin, [WrongAdmin]),
    case!("no change begins after the deadline", breaking::after_the_deadline),
    case!(
        "a lost acknowledgement of apply is unknown, and the probe says yes",
        breaking::lost_acknowledgement,
        [EngineMade, Line]
    ),
    case!(
        "a line cut before apply left changes nothing, and the probe says no",
        breaking::cut_before_effect,
        [EngineMade, Line]
    ),
    case!(
        "a stalled line ends at the deadline, and the probe still answers",
        breaking::stalled_line,
        [EngineMade, Line]
    ),
    case!("the descriptor claims what is done, and no more", claims::descriptor),
    case!("no error or finding holds a secret value", claims::errors_hold_no_secret),
];
