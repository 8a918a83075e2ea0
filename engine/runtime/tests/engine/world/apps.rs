//! Applications that take over new versions, or fail to.

use std::sync::Mutex;

use async_trait::async_trait;
use keywheel_runtime::{Consumers, Occasion};

/// What is said of a password.
type Said = fn(&str) -> String;

/// What each was told, and how often each fails first.
#[derive(Default)]
pub struct Apps {
    told: Mutex<Vec<String>>,
    failures: Mutex<Vec<String>>,
    /// What is said of a password, if it is no usual thing.
    said: Mutex<Option<Said>>,
}

impl Apps {
    /// The next calls of this one fail, so many times.
    pub fn fail(&self, name: &str, times: usize) {
        self.failures.lock().expect("no panic").extend(std::iter::repeat_n(name.to_owned(), times));
    }

    /// What is said of a password by one that fails.
    pub fn repeat(&self, said: Said) {
        *self.said.lock().expect("no panic") = Some(said);
    }

    /// What was told, in its order: moment, name, version and the password that came with it.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl Consumers for Apps {
    async fn tell(&self, consumer: &str, occasion: &Occasion<'_>) -> Result<(), String> {
        let password = occasion.current.password().expect("a login").expose(str::to_owned);
        {
            let mut failures = self.failures.lock().expect("no panic");
            if let Some(place) = failures.iter().position(|name| name == consumer) {
                failures.remove(place);
                let said = *self.said.lock().expect("no panic");
                return Err(said.map_or_else(|| format!("it does not like {password}"), |said| said(&password)));
            }
        }
        let moment = occasion.moment.word();
        self.told.lock().expect("no panic").push(format!("{moment} {consumer} {} {password}", occasion.version));
        Ok(())
    }
}
