//! Rotators that others wrote, as executables in any language or as dynamic libraries: each runs in a confined process of its own, and
//! whatever it does there costs the engine no more than the one call.
//!
//! The engine's side of [`keywheel_sdk::message`] and [`keywheel_sdk::library`]. [`Plugin`] says which file, with what hash, and what it
//! may reach; [`PluginRotator`] is the [`keywheel_sdk::Rotator`] that it becomes; [`enter`] is what its process does to itself before it
//! becomes the plugin, and [`serve`] the same for a library; [`host`] is the whole of a program that does either. A call that ends without an answer has an unknown outcome, so the engine
//! probes before it does anything else; [`Fault`] names what went wrong.

mod child;
mod confine;
mod fault;
mod file;
mod guest;
mod host;
mod instance;
mod leaks;
mod library;
mod log;
mod plugin;
mod resident;
mod rotator;
mod work;

pub use confine::{Confinement, EnterError, enter};
pub use fault::Fault;
pub use file::{FileError, Signature, copy, sha256_of, verify};
pub use guest::{ServeError, serve};
pub use host::{HOST, HostError, host};
pub use library::{LoadError, NoReply};
pub use plugin::{Form, Plugin};
pub use rotator::{OpenError, PluginRotator, introduce};
