//! Declarations that are right, and the exact words for those that are not.

use std::fs;
use std::path::Path;

use keywheel_apikey::Provider;

use crate::fake::DECLARATION;

#[test]
fn the_example_is_read() {
    let provider = Provider::parse("keyservice.yaml", DECLARATION).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
    assert_eq!(provider.name(), "keyservice");
    assert_eq!(provider.docs(), Some("https://keyservice.example/docs"));
    assert!(provider.about().ends_with('.'));
}

/// Each `reject/<name>.yaml` has its mistakes beside it, as they are shown. `KEYWHEEL_BLESS=1 cargo test` writes them anew.
#[test]
fn mistakes_are_told_all_at_once_with_place_and_help() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reject");
    #[expect(clippy::disallowed_methods, reason = "asks whoever runs the test, not the program")]
    let bless = std::env::var_os("KEYWHEEL_BLESS").is_some();
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    assert!(files.len() >= 15, "{} files", files.len());
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let mistakes = Provider::parse(name, &text).err().unwrap_or_else(|| panic!("{name} is accepted"));
        let shown = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect::<Vec<_>>().join("\n");
        let beside = file.with_extension("txt");
        if bless {
            fs::write(&beside, &shown).unwrap();
        }
        assert_eq!(shown, fs::read_to_string(&beside).unwrap_or_default(), "{name}");
    }
}

/// Cut off anywhere, or without any one of its lines, it is read or refused with a place.
#[test]
fn half_a_declaration_is_told_like_any_other_mistake() {
    let cuts = DECLARATION.char_indices().map(|(at, _)| DECLARATION[..at].to_owned());
    let lines: Vec<&str> = DECLARATION.lines().collect();
    let gaps = (0..lines.len()).map(|gap| [&lines[..gap], &lines[gap + 1..]].concat().join("\n"));
    for text in cuts.chain(gaps) {
        if let Err(mistakes) = Provider::parse("half.yaml", &text) {
            assert!(
                mistakes.iter().all(|mistake| mistake.line > 0 && !mistake.message.is_empty()),
                "{text}\n{mistakes:?}"
            );
            assert!(!mistakes.is_empty());
        }
    }
}

#[test]
fn a_file_has_a_longest_length_and_a_deepest_depth() {
    let long = format!("{DECLARATION}\n# {}", "x".repeat(256 * 1024));
    let mistakes = Provider::parse("long.yaml", &long).err().unwrap();
    assert_eq!(mistakes[0].to_string().lines().next(), Some("error: the file is longer than 256 KiB"));
    let deep = DECLARATION.replace("count: 1", &format!("count: {}1{}", "[".repeat(200), "]".repeat(200)));
    assert!(Provider::parse("deep.yaml", &deep).is_err());
    let bomb =
        format!("a: &a [{}]\nb: &b [{}]\nc: [{}]\n{DECLARATION}", "x,".repeat(99), "*a,".repeat(99), "*b,".repeat(99));
    assert!(Provider::parse("bomb.yaml", &bomb).is_err());
}
