//! Makes a plugin of a rotator: [`export_rotator!`] a dynamic library, [`run`] an executable.
//!
//! The same rotator can be both. As a library, in a crate of the type `cdylib`:
//!
//! ```text
//! keywheel_export::export_rotator!(Lamp);
//! ```
//!
//! As an executable:
//!
//! ```text
//! fn main() -> Result<(), keywheel_export::RunError> {
//!     keywheel_export::run(&Lamp::default())
//! }
//! ```

mod executable;
mod library;

pub use executable::{RunError, run};
pub use keywheel_sdk::library::Table;
pub use library::table;

/// Exports a rotator from this library: a type that is a [`keywheel_sdk::Rotator`] and has a [`Default`]. Once in a crate.
///
/// An instance is one value of that type, and the host makes as many as it wants. Each call runs on a runtime of Tokio that belongs to
/// the instance; what a call spawns goes on only while a call of the same instance runs. A panic costs the call.
#[macro_export]
macro_rules! export_rotator {
    ($rotator:ty) => {
        #[cfg(panic = "abort")]
        compile_error!("a panic must cost one call, and not the process: build this library with `panic = \"unwind\"`");

        /// What the host looks for.
        #[unsafe(no_mangle)]
        pub static keywheel_rotator_1: $crate::Table = $crate::table::<$rotator>();
    };
}
