//! One instance of a plugin, wherever it lives.

use std::time::Instant;

use keywheel_sdk::message::{Greeting, Reply, Request};

use crate::child::{Child, Unanswered};
use crate::fault::Fault;
use crate::file::Checked;
use crate::leaks::Leaks;
use crate::plugin::Plugin;
use crate::resident::{Loaded, Resident};

/// Where a plugin's instances come from.
pub(crate) enum Source {
    /// A file that processes are started from.
    File(Checked),
    /// What is loaded into this process.
    Loaded(Loaded),
}

/// One that waits for calls, and is asked one at a time.
pub(crate) enum Instance {
    Process(Box<Child>),
    Resident(Resident),
}

impl Source {
    /// Starts an instance; with what it says of itself.
    pub async fn start(&self, plugin: &Plugin, leaks: &Leaks) -> Result<(Instance, Greeting), Fault> {
        match self {
            Source::File(file) => {
                let (child, greeting) = Child::start(plugin, file, leaks).await?;
                Ok((Instance::Process(Box::new(child)), greeting))
            }
            Source::Loaded(loaded) => Ok((Instance::Resident(loaded.start()?), loaded.greeting().clone())),
        }
    }
}

impl Instance {
    /// The number of the next call.
    pub fn next(&self) -> u64 {
        match self {
            Instance::Process(child) => child.next(),
            Instance::Resident(resident) => resident.next(),
        }
    }

    /// Asks one call and waits for its answer. Dropped, the call is ended as far as that can be done.
    pub async fn ask(&mut self, request: &Request, until: Instant) -> Result<Reply, Unanswered> {
        match self {
            Instance::Process(child) => child.ask(request, until).await,
            Instance::Resident(resident) => resident.ask(request, until).await,
        }
    }

    /// Whether it waits for the next call, as far as can be seen.
    pub fn is_quiet(&mut self) -> bool {
        match self {
            Instance::Process(child) => child.is_quiet(),
            Instance::Resident(_) => true,
        }
    }
}
