//! Whose signature a plugin's file must have. The signatures in `signed` were made with minisign 0.11, by keys that are gone.

#![expect(clippy::expect_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keywheel_plugin::{Confinement, FileError, OpenError, Plugin, PluginRotator, Signature, sha256_of, verify};

fn signed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signed").join(name)
}

fn public_key() -> String {
    let text = std::fs::read_to_string(signed("key.pub")).expect("it is there");
    text.lines().nth(1).expect("minisign writes two lines").to_owned()
}

/// A plugin of this file with this signature, and whether anybody was about to start it.
fn plugin(file: &Path, signature: &Path, public_key: &str) -> (Plugin, Arc<AtomicBool>) {
    let started = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&started);
    let host = move |_: &Path, _: &Path, _: &Confinement| {
        seen.store(true, Ordering::SeqCst);
        (PathBuf::from("/bin/false"), Vec::new())
    };
    let plugin = Plugin {
        name: "lamp".to_owned(),
        file: file.to_owned(),
        sha256: sha256_of(file).expect("it is readable"),
        signature: Some(Signature { file: signature.to_owned(), public_key: public_key.to_owned() }),
        confinement: Confinement::default(),
        host: Arc::new(host),
    };
    (plugin, started)
}

fn refusal(file: &Path, signature: &Path, public_key: &str) -> FileError {
    let (plugin, started) = plugin(file, signature, public_key);
    let error = verify(&plugin).expect_err("it is not signed");
    let Err(OpenError::File(opened)) = PluginRotator::open(plugin) else { panic!("it was opened") };
    assert_eq!(opened.to_string(), error.to_string());
    assert!(!started.load(Ordering::SeqCst), "what is not signed is not started");
    error
}

#[test]
fn a_signed_file_is_started() {
    for signature in ["lamp.minisig", "lamp.legacy.minisig"] {
        let (plugin, started) = plugin(&signed("lamp"), &signed(signature), &public_key());
        verify(&plugin).unwrap_or_else(|error| panic!("{signature}: {error}"));
        // It is no plugin, and that is seen when it runs.
        assert!(matches!(PluginRotator::open(plugin), Err(OpenError::Fault { .. })), "{signature}");
        assert!(started.load(Ordering::SeqCst), "{signature}");
    }
}

#[test]
fn a_file_that_was_changed_with_its_hash_is_not_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lamp");
    let mut bytes = std::fs::read(signed("lamp")).expect("it is there");
    bytes.push(b'\n');
    std::fs::write(&file, bytes).expect("the folder is ours");
    for signature in ["lamp.minisig", "lamp.legacy.minisig"] {
        let said = refusal(&file, &signed(signature), &public_key()).to_string();
        assert!(said.ends_with("the signature is of other bytes, or was changed itself"), "{said}");
    }
}

#[test]
fn a_signature_that_is_another_is_none() {
    let (file, key) = (signed("lamp"), public_key());
    let other = refusal(&file, &signed("lamp.other.minisig"), &key).to_string();
    assert!(other.ends_with("is not signed with this public key: another key signed it"), "{other}");
    // The comment is signed, too: it may say which version this is.
    let comment = refusal(&file, &signed("lamp.comment.minisig"), &key).to_string();
    assert!(comment.ends_with("the signature is of other bytes, or was changed itself"), "{comment}");
    for broken in ["lamp", "key.pub"] {
        let said = refusal(&file, &signed(broken), &key).to_string();
        assert!(said.ends_with("not in minisign's form"), "{said}");
    }
    let missing = refusal(&file, &signed("lamp.none"), &key);
    assert!(matches!(missing, FileError::NoSignature { .. }), "{missing}");
    let said = refusal(&file, &signed("lamp.minisig"), "RW").to_string();
    assert!(said.ends_with("not in minisign's form"), "{said}");
}

#[test]
fn a_hash_that_is_another_is_told_first() {
    let (mut plugin, _) = plugin(&signed("lamp"), &signed("lamp.other.minisig"), &public_key());
    plugin.sha256 = "00".repeat(32);
    assert!(matches!(verify(&plugin), Err(FileError::Changed { .. })));
}
