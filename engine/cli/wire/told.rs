//! Notifiers, with what they need of the engine.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_notify::{Credentials, Digests, Notifier, Routes, Sender, Time, channel_of};
use keywheel_policies::{AdminSource, Policy, Reference, Resting};
use keywheel_runtime::{Clock, Engine, admin, text_of};
use keywheel_sdk::{Admin, Secret};

use super::Wired;

/// All notifiers of the settings.
pub fn notifiers(wired: &Wired) -> Vec<Notifier> {
    let engine = &wired.engine;
    let credentials: Arc<dyn Credentials> = Arc::new(Purse(Arc::clone(engine)));
    let routes = Arc::new(routes(wired));
    let digests: Arc<dyn Digests> = Arc::new(Writer {
        engine: Arc::clone(engine),
        policies: wired.policies.usable.clone(),
        resting: wired.policies.resting.clone(),
        routes: Arc::clone(&routes),
    });
    let time: Arc<dyn Time> = Arc::new(Watch(Arc::clone(&engine.clock)));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let sender = Sender { host, version: env!("CARGO_PKG_VERSION").to_owned() };
    wired
        .notifiers
        .iter()
        .map(|spec| Notifier {
            channel: channel_of(&spec.channel, Arc::clone(&credentials)),
            spec: spec.clone(),
            store: Arc::clone(&engine.state),
            routes: Arc::clone(&routes),
            digests: Arc::clone(&digests),
            time: Arc::clone(&time),
            sender: sender.clone(),
        })
        .collect()
}

/// Who hears of what.
pub fn routes(wired: &Wired) -> Routes {
    let usable = wired.policies.usable.iter().map(|policy| (&policy.name, &policy.notify));
    let resting = wired.policies.resting.iter().map(|resting| (&resting.policy, &resting.notify));
    usable.chain(resting).fold(Routes::new(wired.notify.clone()), |routes, (policy, notify)| match notify {
        Some(notify) => routes.with(policy, notify.clone()),
        None => routes,
    })
}

/// Credentials as policies' are read.
struct Purse(Arc<Engine>);

#[async_trait]
impl Credentials for Purse {
    async fn text(&self, reference: &Reference) -> Result<Secret, String> {
        text_of(reference, &*self.0.secrets, &self.0.environment).await.map_err(|error| error.to_string())
    }

    async fn login(&self, source: &AdminSource) -> Result<(String, Secret), String> {
        let found = admin(source, &*self.0.secrets, &self.0.environment).await.map_err(|error| error.to_string())?;
        let Admin::Credential(bundle) = found else { return Err("`self` is no login".to_owned()) };
        let name = bundle.username().map_err(|error| error.to_string())?;
        let password = bundle.password().map_err(|error| error.to_string())?;
        Ok((name, password.duplicate()))
    }
}

/// The engine's clock.
struct Watch(Arc<dyn Clock>);

#[async_trait]
impl Time for Watch {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.0.sleep_until(until).await;
    }
}

/// Writes each notifier a digest of those policies of which it is told.
struct Writer {
    engine: Arc<Engine>,
    policies: Vec<Arc<Policy>>,
    resting: Vec<Resting>,
    routes: Arc<Routes>,
}

#[async_trait]
impl Digests for Writer {
    async fn digest(&self, notifier: &str, since: Timestamp, until: Timestamp) -> Result<String, String> {
        let usable = self.policies.iter().filter(|policy| self.routes.reaches(&policy.name, notifier));
        let resting = self.resting.iter().filter(|resting| self.routes.reaches(&resting.policy, notifier));
        let (usable, resting): (Vec<_>, Vec<_>) = (usable.cloned().collect(), resting.cloned().collect());
        self.engine.digest(&usable, &resting, since, until).await.map_err(|error| error.to_string())
    }
}
