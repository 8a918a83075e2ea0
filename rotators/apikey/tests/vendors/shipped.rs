//! What holds for all declarations that come with the program.

use keywheel_apikey::{ApiKeyRotator, Provider, shipped};
use keywheel_sdk::{Origin, Rotator, Shape};

/// Those whose values the engine makes.
const ENGINE_MADE: [&str; 2] = ["generic", "webhook-signing"];

#[test]
fn each_is_read_without_mistakes_under_its_name() {
    let names: Vec<_> = shipped().iter().map(|shipped| shipped.name).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted, "in the order of names");
    for shipped in shipped() {
        let provider = match Provider::parse(shipped.file, shipped.text) {
            Ok(provider) => provider,
            Err(mistakes) => {
                let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
                panic!("{}", told.join("\n"));
            }
        };
        assert_eq!(provider.name(), shipped.name);
        assert!(provider.docs().is_some(), "{} names no document", shipped.name);
        let descriptor = ApiKeyRotator::new(provider).describe();
        let expected = if ENGINE_MADE.contains(&shipped.name) {
            (vec![Shape::InPlace, Shape::Alternating], Origin::Engine)
        } else {
            (vec![Shape::Overlapping], Origin::Provider)
        };
        assert_eq!((descriptor.shapes, descriptor.origin), expected);
    }
}

/// Whoever reads a declaration can look its facts up, and a test holds what goes over the wire.
#[test]
fn each_cites_its_vendor_and_has_its_contract() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for shipped in shipped() {
        assert!(shipped.text.matches("# https://").count() >= 2, "{} cites nothing", shipped.name);
        let golden = tests.join("tests/vendors/golden").join(format!("{}.txt", shipped.name));
        assert!(golden.is_file(), "{} has no contract", shipped.name);
    }
    let readme = std::fs::read_to_string(tests.join("README.md")).unwrap();
    for shipped in shipped() {
        assert!(readme.contains(&format!("(providers/{})", shipped.file)), "{} is not in README.md", shipped.name);
    }
    let files = std::fs::read_dir(tests.join("providers")).unwrap().count();
    assert_eq!(files, shipped().len(), "a file in `providers` is not shipped");
}

/// Half of what a worker's thread has is enough to read one, even in a build without optimization.
#[test]
fn each_is_read_on_a_small_stack() {
    let read = || shipped().iter().for_each(|shipped| drop(shipped.provider()));
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(read).unwrap().join().unwrap();
}
