//! `plugin exam` of rotators whose values are made by their target: the example, its liars, and targets that do not fit.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use keywheel_keyservice::{KeyService, Options};
use serde_json::Value;
use tempfile::TempDir;

use super::example;
use super::own_target::examined;

/// A copy of the example with a service of its own.
struct Keys {
    folder: TempDir,
    _service: KeyService,
}

impl Keys {
    async fn begun() -> Self {
        let service = KeyService::start(Options::default()).await.expect("a free port");
        let keys = Keys { folder: TempDir::new().expect("a temporary folder"), _service: service };
        for name in ["keys.py", "exam.yaml", "service.py"] {
            let text = std::fs::read_to_string(example("keys").join(name)).expect("the example is there");
            keys.write(name, &text.replace("8099", &keys._service.port().to_string()));
        }
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the folder is writable");
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o755)).expect("it is ours");
    }

    fn change(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).expect("it is there");
        assert!(text.contains(from), "{name} has no `{from}`");
        self.write(name, &text.replace(from, to));
    }

    fn examined(&self) -> (Option<i32>, Value, String) {
        examined(&self.path("keys.py"), Some(&self.path("exam.yaml")))
    }
}

/// The cases that ended so.
fn ended(exam: &Value, outcome: &str) -> Vec<String> {
    let cases = exam["exams"].as_array().into_iter().flatten().flat_map(|exam| exam["cases"].as_array()).flatten();
    let ended = cases.filter(|case| case["outcome"] == outcome);
    ended.map(|case| case["id"].as_str().expect("a word").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_passes() {
    let (code, exam, said) = Keys::begun().await.examined();
    assert_eq!((code, ended(&exam, "failed")), (Some(0), Vec::new()), "{exam:#}\n{said}");
    let skipped = exam["exams"][0]["cases"].as_array().expect("cases").iter();
    let reasons: Vec<_> = skipped.filter(|case| case["outcome"] == "skipped").map(|case| &case["why"]).collect();
    for why in reasons {
        let allowed = ["the provider makes the value", "it does not claim to know the last use"];
        assert!(allowed.iter().any(|allowed| why == allowed), "{why}: {exam:#}");
    }
    assert_eq!(exam["passed"], exam["fit"]);
    assert!(exam["fit"].as_u64() > Some(40), "{exam:#}");
}

/// These cases fail; beside them at most those that hang on who is faster.
async fn found_out(changes: &[(&str, &str)], cases: &[&str], perhaps: &[&str]) {
    let keys = Keys::begun().await;
    for (honest, liar) in changes {
        keys.change("keys.py", honest, liar);
    }
    let (code, exam, said) = keys.examined();
    let mut failed = ended(&exam, "failed");
    failed.retain(|case| !perhaps.contains(&case.as_str()));
    assert_eq!((code, failed.iter().map(String::as_str).collect()), (Some(7), cases.to_vec()), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sweeps_what_others_made() {
    found_out(&[("if name in tags and", "if")], &["sweep-foreign"], &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_orphans() {
    found_out(
        &[("for key_id in left():", "for key_id in []:")],
        &[
            "generate-lost",
            "generate-again",
            "generate-late",
            "generate-killed-after",
            "sweep",
            "sweep-foreign",
            "sweep-earlier",
            "sweep-lost",
            "wrong-admin",
        ],
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_probe_says_yes() {
    found_out(
        &[("if self.accepted(self.message[\"credential\"]):", "if True:")],
        &[
            "probe-true",
            "probe-absent",
            "probe-silent",
            "restore-killed-after",
            "revoke-killed-after",
            "wrong-admin-probe",
        ],
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_none_after_a_change() {
    found_out(
        &[("self.effect = \"unknown\"", "self.effect = \"none\"")],
        &["generate-lost", "generate-cut", "sweep-lost", "restore-lost", "revoke-lost"],
        // Its answer and the deadline come at about the same time.
        &["generate-stalled", "generate-late"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_says_that_it_disables() {
    let honest = "        self.change(\"POST\", self.path(urllib.parse.quote(previous[\"key_id\"], safe=\"\"), \"disable\"), [200, 404])\n        self.see(previous, False)\n";
    found_out(&[(honest, "")], &["disable"], &[]).await;
}

/// What the author's commands do wrong is said of them, and not of the plugin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_errs_is_named() {
    let keys = Keys::begun().await;
    let honest = std::fs::read_to_string(keys.path("service.py")).expect("it is there");
    for (from, to, words) in [
        (
            "        status, _ = ask(\"DELETE\"",
            "        status = 204 or ask(\"DELETE\"",
            "has 2 keys after it, and there must be one",
        ),
        (
            "print(json.dumps(stage()))",
            "print(stage())",
            "it did not print the fields of a key as a JSON object of texts",
        ),
        (
            "return {\"key_id\": made[\"id\"], \"key\"",
            "return {\"id\": made[\"id\"], \"key\"",
            "it printed the field `id`, and the plugin says that a key has",
        ),
        ("print(json.dumps(keys()))", "print(len(keys()))", "it did not print a JSON list of texts, one for each key"),
        ("print(json.dumps(keys()))", "print(json.dumps(keys() * 2))", "it printed one text twice"),
    ] {
        keys.change("service.py", from, to);
        let (code, exam, said) = keys.examined();
        let cases = exam["exams"][0]["cases"].as_array().expect("cases");
        let failed: Vec<_> = cases.iter().filter(|case| case["outcome"] == "failed").collect();
        assert_eq!((code, failed.len()), (Some(7), 1), "{exam:#}\n{said}");
        let why = failed[0]["why"].as_str().unwrap_or_default();
        assert!(why.contains("service.py") && why.contains(words), "{why}");
        // A key begins with these letters: what a command printed is not shown.
        assert!(!format!("{exam}{said}").contains("ks_"), "{exam:#}\n{said}");
        keys.write("service.py", &honest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_of_another_shape_is_bad_input() {
    let keys = Keys::begun().await;
    let refused = |words: &str| {
        let (code, printed, said) = keys.examined();
        assert!(code == Some(2) && printed.is_null() && said.contains(words), "{code:?}\n{said}");
    };
    keys.change("exam.yaml", "strategy: overlapping", "strategy: { in_place: { user: a } }");
    refused("`keys` and `tags` are for `strategy: overlapping`");
    keys.change("exam.yaml", "keys: [./service.py, keys]\n", "");
    refused("the plugin does not claim the shape `in_place`");
    keys.change("keys.py", "[\"overlapping\"]", "[\"overlapping\", \"in_place\"]");
    refused("which is for `overlapping` alone");
    keys.change("keys.py", "\"provider\"", "\"engine\"");
    keys.change("exam.yaml", "strategy: { in_place: { user: a } }", "keys: [a]\nstrategy: overlapping");
    refused("the exam of `overlapping` is for those that the target makes");
}
