//! Each shipped declaration against a double of its vendor, which knows what the vendor's documents say and nothing else.
//!
//! A vendor's file holds its rules (`answer`) and what differs of its keys (`Case`). What is done with them is the same for
//! all: `life` is the whole life of a key, recorded in `golden/`; `trouble` is what goes wrong on the way. The `double`
//! keeps keys, records and breaks lines.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod asked;
mod case;
mod documents;
mod double;
mod life;
mod openai_admin;
mod record;
mod shelf;
mod shipped;
mod trouble;
