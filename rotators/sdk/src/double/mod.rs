//! A target in memory and its rotator, which tells the truth: for tests of what stands around a rotator.
//!
//! [`DoubleTarget`] keeps accounts, or keys that it makes itself, and says without any rotator what it accepts.
//! [`DoubleRotator`] rotates them in all three shapes. Its target can be told to break the line at the next change, before the
//! change arrives or after it. It passes the exam that each rotator sits.
//!
//! For a rotator that hangs or lies, put a decorator around it: `keywheel-testkit` has `LyingRotator`.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! use keywheel_sdk::double::{DoubleRotator, DoubleTarget, Fault};
//! use keywheel_sdk::{Admin, Bundle, Call, Effect, Origin, Rotator, Secret, Strategy, Target};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let login = |password: &str| Bundle::login("app", Secret::new(password.to_owned()));
//! let double = Arc::new(DoubleTarget::new().with(&login("first")));
//! let rotator = DoubleRotator::new(Arc::clone(&double), Origin::Engine, Instant::now);
//!
//! let target = Target {
//!     settings: Default::default(),
//!     strategy: Strategy::InPlace { user: "app".to_owned() },
//!     admin: Admin::Own,
//!     generates: None,
//! };
//! let until = Instant::now() + Duration::from_secs(5);
//! let call = Call { target: &target, rotation: "r-1", fence: 1, until };
//!
//! // The change happens and its answer is lost: whoever called cannot know.
//! double.break_at_next_change(Fault::After);
//! let error = rotator.apply(&call, &login("second"), Some(&login("first"))).await.expect_err("the line broke");
//! assert_eq!(error.effect, Effect::Unknown);
//! assert!(double.accepts(&login("second")));
//! # }
//! ```

mod rotator;
mod target;

pub use rotator::DoubleRotator;
pub use target::{DoubleTarget, Fault};
