//! Whose signature a plugin's file must have. The signatures in `signed` were made with minisign 0.11, by keys that are gone.

#![expect(clippy::expect_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keywheel_plugin::{Confinement, FileError, Form, OpenError, Plugin, PluginRotator, Signature, sha256_of, verify};

fn signed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signed").join(name)
}

fn public_key() -> String {
    let text = std::fs::read_to_string(signed("key.pub")).expect("it is there");
    text.lines().nth(1).expect("minisign writes two lines").to_owned()
}

/// A plugin of this file with this signature, and a file that is there when somebody has started it.
fn plugin(folder: &Path, file: &Path, signature: &Path, public_key: &str) -> (Plugin, PathBuf) {
    let (host, started) = (folder.join("host"), folder.join("started"));
    std::fs::write(&host, format!("#!/bin/sh\n: > '{}'\n", started.display())).expect("the folder is ours");
    std::fs::set_permissions(&host, PermissionsExt::from_mode(0o755)).expect("the folder is ours");
    let plugin = Plugin {
        name: "lamp".to_owned(),
        form: Form::Executable,
        file: file.to_owned(),
        sha256: sha256_of(file).expect("it is readable"),
        signature: Some(Signature { file: signature.to_owned(), public_key: public_key.to_owned() }),
        confinement: Confinement::default(),
        host,
    };
    (plugin, started)
}

fn refusal(file: &Path, signature: &Path, public_key: &str) -> FileError {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut plugin, started) = plugin(folder.path(), file, signature, public_key);
    let error = verify(&plugin).expect_err("it is not signed");
    for form in [Form::Executable, Form::Library, Form::InProcess] {
        plugin.form = form;
        let Err(OpenError::File(opened)) = PluginRotator::open(plugin.clone()) else { panic!("{form:?} was opened") };
        assert_eq!(opened.to_string(), error.to_string());
        assert!(!started.exists(), "what is not signed is not started");
    }
    error
}

#[test]
fn a_signed_file_is_started() {
    for signature in ["lamp.minisig", "lamp.legacy.minisig"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (plugin, started) = plugin(folder.path(), &signed("lamp"), &signed(signature), &public_key());
        verify(&plugin).unwrap_or_else(|error| panic!("{signature}: {error}"));
        // It is no plugin, and that is seen when it runs.
        assert!(matches!(PluginRotator::open(plugin), Err(OpenError::Fault { .. })), "{signature}");
        assert!(started.exists(), "{signature}");
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
    let folder = tempfile::tempdir().expect("a folder");
    let (mut plugin, _) = plugin(folder.path(), &signed("lamp"), &signed("lamp.other.minisig"), &public_key());
    plugin.sha256 = "00".repeat(32);
    let Err(FileError::Changed { found, .. }) = verify(&plugin) else { panic!("it is another file") };
    assert_eq!(found, sha256_of(&plugin.file).expect("it is readable"));
    // Whoever put a file there that he may not read is not told its hash by a log.
    let error = PluginRotator::open(plugin).err().expect("it is another file").to_string();
    assert!(!error.contains(&found), "{error}");
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pipe, long) = (folder.path().join("pipe"), folder.path().join("long"));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    // Sparse: copied, it would fill the disk.
    std::fs::File::create(&long).expect("the folder is ours").set_len(1 << 40).expect("the folder is ours");
    let (signed_one, _) = plugin(folder.path(), &signed("lamp"), &signed("lamp.minisig"), &public_key());
    for (bad, said) in [(&pipe, "it is no regular file"), (&long, "it is longer than ")] {
        let hashed = sha256_of(bad).expect_err("it is no plugin").to_string();
        assert!(hashed.contains(said), "{hashed}");
        let as_plugin = Plugin { file: bad.clone(), ..signed_one.clone() };
        let as_signature =
            Plugin { signature: Some(Signature { file: bad.clone(), public_key: public_key() }), ..signed_one.clone() };
        for plugin in [as_plugin, as_signature] {
            let verified = verify(&plugin).expect_err("it is no plugin").to_string();
            assert!(verified.contains(said), "{verified}");
            let opened = PluginRotator::open(plugin).err().expect("it is no plugin").to_string();
            assert!(opened.contains(said), "{opened}");
        }
    }
}
