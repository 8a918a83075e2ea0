//! A double of Microsoft SQL Server, for tests of what logs in and manages logins.
//!
//! It speaks TDS 7.4 and 8.0 with TLS, checks passwords, policies and permissions as the server does, runs the T-SQL that
//! logins, users and sessions are managed with, and fails on demand at the moments that matter.
//!
//! ```
//! use keywheel_sqlserver_double::{Effect, Fault, SqlServer};
//!
//! let server = SqlServer::start()?;
//! server.execute("CREATE LOGIN app WITH PASSWORD = N'C0rrect-horse'").unwrap();
//! assert!(server.accepts("app", "C0rrect-horse", None));
//! // The next ALTER LOGIN takes effect, and its client never learns it.
//! server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::ApplyThenClose));
//! // Clients connect to 127.0.0.1 here:
//! let port = server.port();
//! # assert_ne!(port, 0);
//! # std::io::Result::Ok(())
//! ```

mod exchange;
mod fault;
mod instance;
mod listener;
mod server;
mod tsql;
mod wire;

pub use exchange::*;
pub use fault::{Effect, Fault, Faults, Strikes};
pub use instance::{AvailabilityGroup, Options, PasswordPolicy, Secondaries, Version};
pub use listener::Listener;
pub use server::{Encryption, Heard, HeardLogin, ServerOptions, SqlServer, TlsIdentity};
