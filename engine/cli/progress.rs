//! Shows each step to whoever waits: a line that moves on a terminal, plain lines elsewhere. Always on stderr.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use keywheel_core::RotationId;
use keywheel_core::handle::Finish;
use keywheel_runtime::{Observed, Observer};

use crate::output::{instant, printable, talk};

/// The rotations that somebody waits for.
pub struct Progress {
    bars: MultiProgress,
    moving: bool,
    /// Written and read by the workers, one entry per secret at work.
    lines: Mutex<HashMap<String, ProgressBar>>,
    /// The secret of each rotation seen, since a doubt names the rotation only.
    secrets: Mutex<HashMap<RotationId, String>>,
}

impl Progress {
    pub fn new(bars: &MultiProgress) -> Arc<Self> {
        Arc::new(Progress {
            bars: bars.clone(),
            moving: std::io::stderr().is_terminal(),
            lines: Mutex::default(),
            secrets: Mutex::default(),
        })
    }

    /// What the engine tells of its steps.
    pub fn observer(self: &Arc<Self>) -> Observer {
        let progress = Arc::clone(self);
        Arc::new(move |observed| progress.show(observed))
    }

    fn show(&self, observed: &Observed<'_>) {
        match observed {
            Observed::Began { rotation, secret, step } => {
                self.secrets.lock().unwrap_or_else(PoisonError::into_inner).insert(*rotation, (*secret).to_owned());
                self.moved(secret, &format!("{step} …"));
            }
            Observed::Finished { secret, step, how, .. } => match how {
                Finish::Succeeded { note, .. } => {
                    let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
                    self.said(secret, &format!("{step} succeeded{note}"));
                }
                Finish::Failed { failure, .. } => {
                    self.said(secret, &format!("{step} failed: {} ({})", failure.message, failure.code));
                }
                Finish::Waited { hold } => {
                    self.said(secret, &format!("{step} waits until {} ({})", instant(hold.until), hold.why));
                }
            },
            Observed::InDoubt { rotation, step, why } => {
                let secret = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).get(rotation).cloned();
                self.said(&secret.unwrap_or_default(), &format!("{step} is in doubt, looking: {why}"));
            }
        }
    }

    /// Nothing happens for a while.
    pub fn waits(&self, secret: &str, why: &str) {
        self.said(secret, why);
    }

    /// Nobody waits for it any more.
    pub fn ended(&self, secret: &str) {
        if let Some(line) = self.lines.lock().unwrap_or_else(PoisonError::into_inner).remove(secret) {
            line.finish_and_clear();
        }
    }

    /// A change that only a moving line shows.
    fn moved(&self, secret: &str, text: &str) {
        if self.moving {
            self.line(secret).set_message(printable(text));
        }
    }

    fn said(&self, secret: &str, text: &str) {
        if self.moving {
            self.line(secret).set_message(printable(text));
        } else {
            talk(&format!("{secret}: {text}"));
        }
    }

    fn line(&self, secret: &str) -> ProgressBar {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            let style = ProgressStyle::with_template("{spinner} {prefix}  {wide_msg}  {elapsed}")
                .expect("the template is constant");
            let line = self.bars.add(ProgressBar::new_spinner().with_style(style).with_prefix(printable(secret)));
            line.enable_steady_tick(Duration::from_millis(120));
            line
        };
        lines.entry(secret.to_owned()).or_insert_with(fresh).clone()
    }
}
