//! keywheel as a library: the crates under one roof, for programs that rotate credentials without the command line.
//!
//! Data flows from [`policies`] (what should happen) through [`core`] (what next), [`state`] (what has happened) and
//! [`secrets`] (where secrets live) into [`runtime`] (making it happen), which drives rotators: those of [`postgres`],
//! [`sqlserver`] and [`apikey`], or your own over [`sdk`]. Start at [`runtime::Engine`].

pub use keywheel_apikey as apikey;
pub use keywheel_core as core;
pub use keywheel_policies as policies;
pub use keywheel_postgres as postgres;
pub use keywheel_runtime as runtime;
pub use keywheel_sdk as sdk;
pub use keywheel_secrets as secrets;
pub use keywheel_sqlserver as sqlserver;
pub use keywheel_state as state;
