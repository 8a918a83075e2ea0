//! Settings by derive: what is declared, what is read, how mistakes are told, and what does not compile.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use keywheel_sdk::{Effect, Retry, RotatorError, Setting, SettingKind, Settings};
use serde_json::{Value, json};

#[derive(Debug, PartialEq, Settings)]
struct Lamp {
    /// Where the lamp is.
    #[setting(names_target)]
    host: String,
    /// port, 7000
    /// unless given
    ///
    /// This is for who reads the source.
    #[setting(min = 1, max = 65535, default = 7000)]
    port: u16,
    /** Whether the line is encrypted. */
    secure: Option<bool>,
    #[doc = "what it shows"]
    texts: Vec<String>,
    /// how bright
    #[setting(choice = ["dim", "bright"], default = "dim")]
    light: String,
    /// which colour
    #[setting(choice = ["red" => Colour::Red, "green" => Colour::Green])]
    colour: Option<Colour>,
    /// how long it shines
    #[setting(duration)]
    wait: Option<Duration>,
    /// how long it rests
    #[setting(default = Duration::from_secs(5))]
    rest: Duration,
    /// what belongs to each room
    #[setting(json)]
    rooms: Option<BTreeMap<String, u8>>,
    /// its certificate
    ca_file: Option<PathBuf>,
    /// a word of the language
    r#type: Option<i8>,
    /// how often
    #[setting(min = -3)]
    times: Option<i64>,
    /// how much
    much: Option<u64>,
}

#[derive(Debug, PartialEq, Clone, Copy)]
enum Colour {
    Red,
    Green,
}

#[derive(Debug, PartialEq, Settings)]
struct Nothing {}

fn read(given: Value) -> Result<Lamp, RotatorError> {
    Lamp::read(given.as_object().unwrap())
}

#[test]
fn the_schema_is_that_of_the_fields() {
    let setting = |name: &str, kind, required, help: &str| Setting {
        name: name.to_owned(),
        kind,
        required,
        help: help.to_owned(),
        names_target: name == "host",
    };
    let words = |words: [&str; 2]| SettingKind::Choice(words.map(str::to_owned).to_vec());
    let number = |min, max| SettingKind::Integer { min, max };
    assert_eq!(
        Lamp::schema(),
        [
            setting("host", SettingKind::Text, true, "Where the lamp is"),
            setting("port", number(1, 65_535), false, "port, 7000 unless given"),
            setting("secure", SettingKind::Boolean, false, "Whether the line is encrypted"),
            setting("texts", SettingKind::Texts, true, "what it shows"),
            setting("light", words(["dim", "bright"]), false, "how bright"),
            setting("colour", words(["red", "green"]), false, "which colour"),
            setting("wait", SettingKind::Duration, false, "how long it shines"),
            setting("rest", SettingKind::Duration, false, "how long it rests"),
            setting("rooms", SettingKind::Json, false, "what belongs to each room"),
            setting("ca_file", SettingKind::Text, false, "its certificate"),
            setting("type", number(-128, 127), false, "a word of the language"),
            setting("times", number(-3, i64::MAX), false, "how often"),
            setting("much", number(0, i64::MAX), false, "how much"),
        ]
    );
    assert_eq!(Nothing::schema(), []);
}

#[test]
fn all_that_is_given_is_read() {
    let all = read(json!({
        "host": "lamp-1", "port": 65535, "secure": true, "texts": ["a", "b"], "light": "bright", "colour": "green",
        "wait": "1d12h", "rest": "2w", "rooms": { "hall": 3 }, "ca_file": "own.pem", "type": -128, "times": -3,
        "much": i64::MAX,
    }));
    let expected = Lamp {
        host: "lamp-1".to_owned(),
        port: 65_535,
        secure: Some(true),
        texts: vec!["a".to_owned(), "b".to_owned()],
        light: "bright".to_owned(),
        colour: Some(Colour::Green),
        wait: Some(Duration::from_secs(129_600)),
        rest: Duration::from_secs(1_209_600),
        rooms: Some(BTreeMap::from([("hall".to_owned(), 3)])),
        ca_file: Some(PathBuf::from("own.pem")),
        r#type: Some(-128),
        times: Some(-3),
        much: Some(9_223_372_036_854_775_807),
    };
    assert_eq!(all, Ok(expected));
}

#[test]
fn what_is_absent_is_none_or_its_default() {
    let least = read(json!({ "host": "lamp-1", "texts": ["a"] })).unwrap();
    let expected = Lamp {
        host: "lamp-1".to_owned(),
        port: 7000,
        secure: None,
        texts: vec!["a".to_owned()],
        light: "dim".to_owned(),
        colour: None,
        wait: None,
        rest: Duration::from_secs(5),
        rooms: None,
        ca_file: None,
        r#type: None,
        times: None,
        much: None,
    };
    assert_eq!(least, expected);
    assert_eq!(Nothing::read(&serde_json::Map::new()), Ok(Nothing {}));
}

#[test]
fn mistakes_name_the_setting_and_what_it_must_be() {
    for (name, value, message) in [
        ("hots", json!("x"), "`target.hots` is not a setting of this rotator"),
        ("host", json!(""), "`target.host` must be a text that is not empty"),
        ("host", json!("a\0b"), "`target.host` must be a text that is not empty"),
        ("host", Value::Null, "`target.host` must be a text that is not empty"),
        ("port", json!(0), "`target.port` must be a whole number from 1 to 65535"),
        ("port", json!(65_536), "`target.port` must be a whole number from 1 to 65535"),
        ("port", json!("7000"), "`target.port` must be a whole number from 1 to 65535"),
        ("port", json!(1.5), "`target.port` must be a whole number from 1 to 65535"),
        ("type", json!(-129), "`target.type` must be a whole number from -128 to 127"),
        ("times", json!(-4), "`target.times` must be a whole number from -3 to 9223372036854775807"),
        ("much", json!(-1), "`target.much` must be a whole number from 0 to 9223372036854775807"),
        ("much", json!(u64::MAX), "`target.much` must be a whole number from 0 to 9223372036854775807"),
        ("secure", json!("yes"), "`target.secure` must be true or false"),
        ("texts", json!([]), "`target.texts` must be a list of texts, at least one, and none of them empty"),
        ("texts", json!("a"), "`target.texts` must be a list of texts, at least one, and none of them empty"),
        ("texts", json!(["a", ""]), "`target.texts` must be a list of texts, at least one, and none of them empty"),
        ("texts", json!(["a", 1]), "`target.texts` must be a list of texts, at least one, and none of them empty"),
        ("light", json!("off"), "`target.light` must be one of dim, bright"),
        ("colour", json!("Red"), "`target.colour` must be one of red, green"),
        ("colour", json!(3), "`target.colour` must be a text that is not empty"),
        ("wait", json!("30"), "`target.wait` must be a duration such as `90s` or `1d12h`: the last number has no unit"),
        ("wait", json!(30), "`target.wait` must be a text that is not empty"),
        (
            "rest",
            json!("1h1d"),
            "`target.rest` must be a duration such as `90s` or `1d12h`: the longest unit comes first, and each once",
        ),
        (
            "rooms",
            json!({ "hall": 300 }),
            "`target.rooms` is not of the right form: a member is missing or of another kind",
        ),
        ("ca_file", json!(["own.pem"]), "`target.ca_file` must be a text that is not empty"),
    ] {
        let mut given = json!({ "host": "lamp-1", "texts": ["a"] });
        given[name] = value;
        let error = read(given.clone()).unwrap_err();
        assert_eq!(error, RotatorError::not_done(Retry::Never, "settings", message), "{given}");
        assert_eq!(error.effect, Effect::None);
    }
    for (given, message) in [
        (json!({ "texts": ["a"] }), "`target.host` is missing"),
        (json!({ "host": "lamp-1" }), "`target.texts` is missing"),
        (json!({ "port": 0 }), "`target.host` is missing"),
    ] {
        assert_eq!(read(given).unwrap_err().message, message);
    }
}
