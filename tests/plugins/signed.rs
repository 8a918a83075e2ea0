//! A plugin whose author signs it, from the key to the rotation; and what another key has signed.

use std::io::Cursor;
use std::path::Path;

use keywheel_plugin::sha256_of;
use minisign::KeyPair;

use super::newcomer::{Practice, Project, is_rotated};
use crate::house::House;

/// An author with a key of their own.
struct Author(KeyPair);

impl Author {
    fn new() -> Self {
        Author(KeyPair::generate_unencrypted_keypair().expect("there is chance to make a key of"))
    }

    fn public_key(&self) -> String {
        self.0.pk.to_base64()
    }

    /// Writes the signature of a file, as `minisign -S` does.
    fn sign(&self, file: &Path, signature: &Path) {
        let bytes = Cursor::new(std::fs::read(file).expect("it is readable"));
        let signed = minisign::sign(Some(&self.0.pk), &self.0.sk, bytes, None, None).expect("it is signed");
        std::fs::write(signature, signed.into_string()).expect("the folder is writable");
    }
}

/// All files beside the settings, with what stands in them.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in folder.read_dir().expect("it is readable") {
        let path = entry.expect("it is readable").path();
        if path.is_dir() {
            found.push((path.display().to_string(), Vec::new()));
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).expect("it is readable")));
        }
    }
    found.sort();
    found
}

#[test]
fn what_its_author_signed_is_installed_and_rotates() {
    let (author, other) = (Author::new(), Author::new());
    let project = Project::begun("lamp-signed", &["python"]);
    let (file, signature, forged) =
        (project.path("lamp-signed.py"), project.path("lamp.minisig"), project.path("forged.minisig"));
    author.sign(&file, &signature);
    other.sign(&file, &forged);

    let practice = Practice::start();
    let house = House::new();
    let install = |signature: &Path, key: &str| {
        let port = practice.port.to_string();
        let mut install = house.keywheel(&["plugin", "install", "--connect", &port, "--public-key", key]);
        let output = install.arg("--signature").arg(signature).arg(&file).output().expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let before = files(house.root());
    for (signature, key, words) in [
        (&forged, author.public_key(), "another key signed it"),
        (&signature, other.public_key(), "another key signed it"),
        (&file, author.public_key(), "not in minisign's form"),
    ] {
        let (code, said) = install(signature, &key);
        assert!(code == Some(2) && said.contains(words) && said.contains("nothing was changed"), "{code:?} {said}");
        assert_eq!(files(house.root()), before, "{said}");
    }

    let (code, said) = install(&signature, &author.public_key());
    assert_eq!(code, Some(0), "{said}");
    let copy = house.path("plugins/lamp-signed-0.1.0");
    let settings = std::fs::read_to_string(house.path("keywheel.yaml")).expect("they are there");
    for line in [
        format!("sha256: \"{}\"", sha256_of(&copy).expect("it is there")),
        "signature: \"plugins/lamp-signed-0.1.0.minisig\"".to_owned(),
        format!("public_key: \"{}\"", author.public_key()),
    ] {
        assert!(settings.contains(&line), "{line}\n{settings}");
    }
    // What is listed with a key is not replaced by what another one has signed.
    let before = files(house.root());
    let (code, said) = install(&forged, &other.public_key());
    assert!(code == Some(2) && said.contains("lists this file already, and not with this key"), "{code:?} {said}");
    assert_eq!(files(house.root()), before);

    is_rotated(&house, &project, practice);
}
