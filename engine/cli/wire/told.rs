//! Notifiers, with what they need of the engine.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_notify::{Credentials, Digests, Notifier, Routes, Sender, Time, Version, channel_of, consume};
use keywheel_policies::{AdminSource, ConsumerSpec, Policy, Reference, Resting};
use keywheel_runtime::{Clock, Consumers, Engine, Environment, Occasion, admin, text_of};
use keywheel_sdk::{Admin, Secret};
use keywheel_secrets::SecretStore;

use super::Wired;

/// All notifiers of the settings.
pub fn notifiers(wired: &Wired) -> Vec<Notifier> {
    let engine = &wired.engine;
    let credentials: Arc<dyn Credentials> =
        Arc::new(Purse { secrets: Arc::clone(&engine.secrets), environment: Arc::clone(&engine.environment) });
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
        .settings
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
fn routes(wired: &Wired) -> Routes {
    let usable = wired.policies.usable.iter().map(|policy| (&policy.name, &policy.secret.name, &policy.notify));
    let resting = wired.policies.resting.iter().map(|resting| (&resting.policy, &resting.secret, &resting.notify));
    let all = usable.chain(resting).filter_map(|(policy, secret, notify)| Some((policy, secret, notify.as_ref()?)));
    all.fold(Routes::new(wired.settings.notify.clone()), |routes, (policy, secret, notify)| {
        routes.with(policy, secret, notify.clone())
    })
}

/// Credentials as policies' are read.
struct Purse {
    secrets: Arc<dyn SecretStore>,
    environment: Environment,
}

#[async_trait]
impl Credentials for Purse {
    async fn text(&self, reference: &Reference) -> Result<Secret, String> {
        text_of(reference, &*self.secrets, &self.environment).await.map_err(|error| error.to_string())
    }

    async fn login(&self, source: &AdminSource) -> Result<(String, Secret), String> {
        let found = admin(source, &*self.secrets, &self.environment).await.map_err(|error| error.to_string())?;
        let Admin::Credential(bundle) = found else { return Err("`self` is no login".to_owned()) };
        let name = bundle.username().map_err(|error| error.to_string())?;
        let password = bundle.password().map_err(|error| error.to_string())?;
        Ok((name, password.duplicate()))
    }
}

/// The consumers of the settings.
pub fn consumers(
    specs: &[ConsumerSpec],
    secrets: Arc<dyn SecretStore>,
    environment: Environment,
    clock: Arc<dyn Clock>,
) -> Arc<dyn Consumers> {
    Arc::new(Declared { specs: specs.to_vec(), purse: Purse { secrets, environment }, clock })
}

struct Declared {
    specs: Vec<ConsumerSpec>,
    purse: Purse,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Consumers for Declared {
    async fn tell(&self, consumer: &str, occasion: &Occasion<'_>) -> Result<(), String> {
        let Some(spec) = self.specs.iter().find(|spec| spec.name == consumer) else {
            return Err("it is not declared in the settings".to_owned());
        };
        let Occasion { moment, rotation, secret, policy, version, current } = *occasion;
        let version = Version { moment: moment.word(), rotation, secret, policy, version, fields: current };
        consume(spec, &version, &self.purse, self.clock.now()).await
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
