//! Which accounts an author's target is to have rotated, and how: `strategy` in their file.

use std::fmt;

use keywheel_sdk::{GrantParity, Shape, Strategy};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What may stand there.
const EITHER: &str = "`strategy` is either `in_place: { user }`, or `alternating: { users: [first, second] }`, or the word `overlapping`";

pub enum Accounts {
    InPlace {
        user: String,
    },
    Alternating {
        users: [String; 2],
        create_missing: bool,
    },
    /// Keys that the target makes, of the account that the settings name.
    Overlapping,
}

impl Accounts {
    pub fn shape(&self) -> Shape {
        match self {
            Accounts::InPlace { .. } => Shape::InPlace,
            Accounts::Alternating { .. } => Shape::Alternating,
            Accounts::Overlapping => Shape::Overlapping,
        }
    }

    /// As a policy's.
    pub fn strategy(&self) -> Strategy {
        match self {
            Accounts::InPlace { user } => Strategy::InPlace { user: user.clone() },
            Accounts::Alternating { users, create_missing } => Strategy::Alternating {
                users: users.clone(),
                grant_parity: GrantParity::Ignore,
                create_missing: *create_missing,
            },
            Accounts::Overlapping => Strategy::Overlapping,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(default)]
    in_place: Option<One>,
    #[serde(default)]
    alternating: Option<Two>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    user: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Two {
    users: [String; 2],
    #[serde(default)]
    create_missing: bool,
}

impl<'de> Deserialize<'de> for Accounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrNamed)
    }
}

struct WordOrNamed;

impl<'de> Visitor<'de> for WordOrNamed {
    type Value = Accounts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EITHER)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Accounts, E> {
        if word == Shape::Overlapping.word() { Ok(Accounts::Overlapping) } else { Err(E::custom(EITHER)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Accounts, A::Error> {
        match Named::deserialize(MapAccessDeserializer::new(map))? {
            Named { in_place: Some(One { user }), alternating: None } => Ok(Accounts::InPlace { user }),
            Named { in_place: None, alternating: Some(Two { users, create_missing }) } => {
                Ok(Accounts::Alternating { users, create_missing })
            }
            Named { .. } => Err(A::Error::custom(EITHER)),
        }
    }
}
