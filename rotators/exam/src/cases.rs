//! The cases of the exam. Each says in its name what must be true, and in the table what it needs of a subject.

mod beside;
mod breaking;
mod claims;
mod ending;
mod killing;
mod leaking;
mod making;
mod rotating;
mod sweeping;
mod undoing;

use std::path::Path;
use std::pin::Pin;

use keywheel_sdk::Shape;

use super::sitting::{Sitting, Verdict};
use super::{Candidate, Outcome};
use killing::Boundary::{After, Before};

/// One case of the table.
pub struct Case {
    /// A word for programs. Stable.
    pub id: &'static str,
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
    OneAccount,
    TwoAccounts,
    TwoStages,
    OddPasswords,
    WrongAdmin,
    Line,
    KeyCount,
    Tags,
    Disable,
    LastUsed,
    SelfManaged,
    Proc,
}

use Need::{
    Disable, EngineMade, KeyCount, LastUsed, Line, OddPasswords, OneAccount, Proc, ProviderMade, SelfManaged, Tags,
    TwoAccounts, TwoStages, WrongAdmin,
};

impl Need {
    /// Why the case does not fit.
    fn is_missing(self, sitting: &Sitting<'_>) -> Option<&'static str> {
        let (subject, stage) = (sitting.subject, sitting.stage);
        let generated = matches!(stage.candidate, Candidate::Generated);
        let in_place = stage.target.strategy.shape() == Shape::InPlace;
        let capabilities = subject.rotator().describe().capabilities;
        let (met, why) = match self {
            Need::EngineMade => (!generated, "the provider makes the value"),
            Need::ProviderMade => (generated, "the engine makes the value"),
            Need::OneAccount => (in_place, "there are two accounts"),
            Need::TwoAccounts => (!in_place, "there is one account only"),
            Need::TwoStages => (subject.stands_apart(), "the next stage takes the place of the one before"),
            Need::OddPasswords => (!stage.odd_passwords.is_empty(), "no odd passwords are given"),
            Need::WrongAdmin => (stage.wrong_admin.is_some(), "the account manages itself"),
            Need::Line => (stage.line.is_some(), "the line cannot be broken"),
            Need::KeyCount => (sitting.counts(), "the keys cannot be counted"),
            Need::Tags => (subject.tags(), "the keys hold no tag"),
            Need::Disable => (capabilities.disable, "it does not claim to disable"),
            Need::LastUsed => (capabilities.last_used, "it does not claim to know the last use"),
            Need::SelfManaged => (capabilities.self_managed, "it does not claim that accounts manage themselves"),
            Need::Proc => (Path::new("/proc/self/environ").exists(), "the system does not show processes as files"),
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
    ($id:literal, $name:literal, $module:ident::$run:ident $(($at:ident))?) => {
        case!($id, $name, $module::$run $(($at))?, [])
    };
    ($id:literal, $name:literal, $module:ident::$run:ident $(($at:ident))?, $needs:expr) => {
        Case {
            id: $id,
            name: $name,
            needs: &$needs,
            run: |sitting| Box::pin($module::$run(sitting $(, $at)?)),
        }
    };
}

/// All cases, in the order in which a reader would ask.
pub const CASES: &[Case] = &[
    case!(
        "preflight",
        "preflight of a sound target finds no error and changes nothing",
        rotating::preflight_finds_no_error
    ),
    case!("rotation", "a rotation from apply to revoke ends with the new credential only", rotating::happy_path),
    case!("two-in-a-row", "two rotations in a row work, back to the first account", rotating::two_in_a_row),
    case!("apply-twice", "apply twice is apply once", rotating::apply_twice),
    case!("all-twice", "a rotation in which each call comes twice ends as one", rotating::each_call_twice),
    case!(
        "verify-refuses",
        "verify changes nothing and refuses a candidate that the target refuses",
        rotating::verify_refuses
    ),
    case!("verify-checks", "verify fails where a check that is asked for cannot pass", rotating::verify_runs_checks),
    case!(
        "probe-true",
        "a probe tells the truth before and after, and changes nothing",
        rotating::probe_tells_the_truth
    ),
    case!("probe-absent", "a probe of an account that does not exist is a no", rotating::probe_of_absent_account),
    case!("probe-silent", "a probe sends no change", rotating::probe_sends_no_change, [Line]),
    case!(
        "odd-passwords",
        "passwords of unicode, quotes and maximal length work",
        rotating::odd_passwords,
        [EngineMade, OddPasswords]
    ),
    case!("two-at-once", "two rotations at once do not harm each other", beside::two_at_once, [EngineMade, TwoStages]),
    case!(
        "made-beside",
        "a made key stands beside the live one, and both are accepted",
        making::beside_the_live_one,
        [ProviderMade]
    ),
    case!(
        "generate-lost",
        "a lost answer to generate is unknown, and sweep deletes the orphan and only it",
        making::lost_answer,
        [ProviderMade, Line, KeyCount]
    ),
    case!(
        "generate-again",
        "after a lost generate and a sweep another is made, and no third is there",
        making::another_after_a_lost_one,
        [ProviderMade, Line]
    ),
    case!(
        "generate-cut",
        "a line cut before generate left is unknown, and sweep finds nothing",
        making::cut_before,
        [ProviderMade, Line]
    ),
    case!(
        "generate-stalled",
        "a stalled generate ends at the deadline as unknown",
        making::stalled,
        [ProviderMade, Line]
    ),
    case!(
        "generate-late",
        "a key that was made and never told of ends at the deadline as unknown, and is swept away",
        making::made_and_late,
        [ProviderMade, Line, KeyCount]
    ),
    case!(
        "generate-killed-before",
        "killed before generate reached the target: nothing was made, and the next one is the only one",
        killing::generate(Before),
        [ProviderMade, Line, KeyCount]
    ),
    case!(
        "generate-killed-after",
        "killed when a key was made: sweep deletes the orphan, and the next one is the only one",
        killing::generate(After),
        [ProviderMade, Line, KeyCount]
    ),
    case!(
        "sweep",
        "sweep deletes what is not kept, and twice is once",
        sweeping::deletes_what_is_not_kept,
        [ProviderMade]
    ),
    case!("sweep-keeps", "sweep keeps what it is told to keep", sweeping::keeps, [ProviderMade]),
    case!(
        "sweep-foreign",
        "sweep touches no key with another tag or none",
        sweeping::touches_no_other,
        [ProviderMade, Tags]
    ),
    case!(
        "sweep-earlier",
        "sweep deletes what the earlier rotations that it is told of left, and is not kept",
        sweeping::what_earlier_ones_left,
        [ProviderMade, Tags]
    ),
    case!(
        "sweep-lost",
        "a lost acknowledgement of sweep is unknown, and sweeping again settles it",
        sweeping::lost_sweep,
        [ProviderMade, Line]
    ),
    case!("restore", "restore after apply leaves current accepted and the candidate refused", undoing::after_apply),
    case!("restore-early", "restore without apply changes nothing for current", undoing::without_apply),
    case!("restore-bare", "restore without a current credential refuses the candidate", undoing::without_current),
    case!("restore-twice", "restore twice is restore once", undoing::twice),
    case!(
        "restore-lost",
        "a lost acknowledgement of restore is unknown, and restoring again settles it",
        undoing::lost_restore,
        [Line]
    ),
    case!(
        "restore-killed-before",
        "killed before restore reached the target: the probe tells the truth, and again is once",
        killing::restore(Before),
        [Line]
    ),
    case!(
        "restore-killed-after",
        "killed when restore had happened: the probe tells the truth, and again is once",
        killing::restore(After),
        [Line]
    ),
    case!("revoke-twice", "revoke twice is revoke once", ending::revoke_twice),
    case!("revoke-absent", "revoke of what is refused already is done, and changes nothing", ending::revoke_of_absent),
    case!(
        "revoke-hard",
        "revoke with disable and end of sessions keeps current accepted",
        ending::revoke_hard,
        [TwoAccounts]
    ),
    case!("revoke-current", "revoke of the live credential itself is refused", ending::revoke_of_current),
    case!(
        "revoke-lost",
        "a lost acknowledgement of revoke is unknown, and revoking again settles it",
        breaking::lost_revoke,
        [TwoAccounts, Line]
    ),
    case!(
        "revoke-killed-before",
        "killed before revoke reached the target: the probe tells the truth, and again is once",
        killing::revoke(Before),
        [TwoAccounts, Line]
    ),
    case!(
        "revoke-killed-after",
        "killed when revoke had happened: the probe tells the truth, and again is once",
        killing::revoke(After),
        [TwoAccounts, Line]
    ),
    case!(
        "disable",
        "disable refuses the previous credential until revoke takes it away, and twice is once",
        ending::disable_previous,
        [Disable]
    ),
    case!("disable-current", "disable of the live credential itself is refused", ending::disable_of_current, [Disable]),
    case!("last-used", "a use is known as the last one", ending::last_used, [LastUsed]),
    case!("wrong-admin", "a wrong admin password changes nothing and says so", breaking::wrong_admin, [WrongAdmin]),
    case!(
        "wrong-admin-probe",
        "a probe with a wrong admin password tells no lie",
        breaking::probe_of_a_wrong_admin,
        [WrongAdmin]
    ),
    case!(
        "wrong-admin-revoke",
        "a revoke with a wrong admin password changes nothing and says so",
        breaking::revoke_of_a_wrong_admin,
        [TwoAccounts, WrongAdmin]
    ),
    case!("after-deadline", "no change begins after the deadline", breaking::after_the_deadline),
    case!(
        "apply-lost",
        "a lost acknowledgement of apply is unknown, and the probe says yes",
        breaking::lost_acknowledgement,
        [EngineMade, Line]
    ),
    case!(
        "apply-cut",
        "a line cut before apply left changes nothing, and the probe says no",
        breaking::cut_before_effect,
        [EngineMade, Line]
    ),
    case!(
        "apply-stalled",
        "a stalled line ends at the deadline, the probe says no, and nothing comes later",
        breaking::stalled_line,
        [EngineMade, Line]
    ),
    case!(
        "apply-late",
        "a change that happened and was never acknowledged ends at the deadline as unknown, and the probe says yes",
        breaking::committed_and_late,
        [EngineMade, Line]
    ),
    case!(
        "apply-killed-before",
        "killed before apply reached the target: the probe says no, and again is once",
        killing::apply(Before),
        [EngineMade, Line]
    ),
    case!(
        "apply-killed-after",
        "killed when apply had happened: the probe says yes, and again is once",
        killing::apply(After),
        [EngineMade, Line]
    ),
    case!("claims", "the descriptor claims what is done, and no more", claims::descriptor),
    case!(
        "self-managed",
        "an account changes its own password, as claimed",
        claims::self_managed,
        [EngineMade, SelfManaged, OneAccount, WrongAdmin]
    ),
    case!(
        "secret-in-process",
        "no process has a secret in its arguments or its environment while a call hangs",
        leaking::processes,
        [Line, Proc]
    ),
    case!("secret-in-words", "no error, reason or finding holds a secret value", leaking::words),
    case!("secret-elsewhere", "no secret had to be taken out of what the rotator wrote elsewhere", leaking::elsewhere),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_case_has_a_word_of_its_own() {
        let ids: BTreeSet<_> = CASES.iter().map(|case| case.id).collect();
        let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!((ids.len(), names.len()), (CASES.len(), CASES.len()));
    }
}
