//! The messages between the engine and a rotator that lives in a process of its own: an executable in any language, or a library
//! behind a host.
//!
//! Each message is one line: a JSON object in UTF-8 with a `type`, no longer than [`LONGEST`] bytes, ended by a line feed. The
//! engine writes to the rotator's standard input and reads its standard output; what the rotator writes to its standard error
//! is logged. One call is answered before the next one comes; where calls are to run beside each other, the engine starts the
//! rotator more than once. At the end of its input the rotator ends.
//!
//! ```text
//! > {"type":"hello","formats":[1],"engine":"keywheel 0.1.0"}
//! < {"type":"rotator","format":1,"descriptor":{"kind":"lamp","version":"1.0.0","shapes":["in_place"],"origin":"engine"}}
//! > {"type":"call","id":1,"call":"apply","left_ms":29000,"rotation":"…","fence":3,"target":{…},"candidate":{…},"current":{…}}
//! < {"type":"reply","id":1}
//! > {"type":"call","id":2,"call":"probe","left_ms":29000,"rotation":"…","fence":3,"target":{…},"credential":{…},"others":[]}
//! < {"type":"reply","id":2,"answer":"no","reason":"wrong password"}
//! > {"type":"call","id":3,"call":"revoke",…}
//! < {"type":"reply","id":3,"error":{"effect":"unknown","retry":"now","code":"cut","message":"the line was cut"}}
//! ```
//!
//! A rotator that cannot begin writes `{"type":"failure","message":"…"}` instead, which says why, and ends.
//!
//! Whoever reads ignores members that it does not know, and messages whose `type` it does not know: that is how the protocol
//! grows. The engine sends one such message on purpose after each greeting, so that no rotator comes to rely on its absence. A
//! `call` that a rotator does not know is answered with an error of code `unsupported`, as [`crate::Rotator`] does for what it
//! does not implement.

mod fields;
mod line;
mod reply;
mod request;
mod serve;

pub use line::{LONGEST, Malformed, kind_of, read, write};
pub use reply::{Failure, Greeting, Refusal, Reply, RetryWord};
pub use request::{Hello, OnTarget, Request, Verb};
pub use serve::{answer, greet};

/// The format of messages that this version speaks.
pub const FORMAT: u32 = 1;
