//! Sees that a daemon's settings or policies have changed: by a signal, or by the files themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keywheel_policies::Settings;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Files that are changed together are seen together: it is quiet for so long first.
const QUIET: Duration = Duration::from_millis(500);
/// What Kubernetes replaces when it changes the files of a mounted ConfigMap.
const DATA: &str = "..data";

/// What has changed, and who waits for it.
pub struct Changes {
    hangups: Signal,
    seen: UnboundedReceiver<()>,
    see: UnboundedSender<()>,
    watcher: Option<RecommendedWatcher>,
}

impl Changes {
    /// From here on SIGHUP ends this process no more.
    pub fn new() -> std::io::Result<Self> {
        let (see, seen) = unbounded_channel();
        Ok(Changes { hangups: signal(SignalKind::hangup())?, seen, see, watcher: None })
    }

    /// Watches what these settings name, and the settings themselves. What changes while one watch follows another is seen by the first.
    pub fn watch(&mut self, settings_file: &Path, settings: &Settings) {
        match self.watcher(settings_file, settings) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => tracing::warn!(
                %error,
                "changes of files are not seen by themselves here; SIGHUP has them read"
            ),
        }
    }

    fn watcher(&self, settings_file: &Path, settings: &Settings) -> notify::Result<RecommendedWatcher> {
        let see = self.see.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // What cannot be told is looked at.
            if event.map_or(true, |event| concerns(&event)) {
                let _ = see.send(());
            }
        })?;
        watcher.watch(&folder_of(settings_file), RecursiveMode::NonRecursive)?;
        for path in settings.policies.iter().chain(&settings.providers) {
            if path.is_dir() {
                watcher.watch(path, RecursiveMode::Recursive)?;
            } else {
                watcher.watch(&folder_of(path), RecursiveMode::NonRecursive)?;
            }
        }
        Ok(watcher)
    }

    /// Returns once something has changed and it is quiet, or a SIGHUP came.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.hangups.recv() => tracing::info!("told to read settings and policies again"),
            _ = self.seen.recv() => {}
        }
        while let Ok(Some(())) = tokio::time::timeout(QUIET, self.seen.recv()).await {}
    }
}

/// Whether settings or policies may be other ones now. Reading them changes nothing, and stores are no YAML.
fn concerns(event: &Event) -> bool {
    let of_ours = |path: &Path| {
        path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") || path.ends_with(DATA)
    };
    !event.kind.is_access() && event.paths.iter().any(|path| of_ours(path))
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}
