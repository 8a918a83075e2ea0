//! What a plugin writes to its standard error, as events of ours: without secrets, and not more than is good for a log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keywheel_sdk::{Bundle, Secret, USERNAME, mask};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::leaks::Leaks;

/// The longest line that is shown, in bytes.
const LONGEST: usize = 4096;
/// So many lines in each second are passed on; of the others, how many they were.
const PER_SECOND: u32 = 20;
/// So many lines are held while a value is being made.
const HELD: usize = 64;
/// How long a killed process's last lines are waited for. Whoever holds its standard error for longer is not heard.
const LAST: Duration = Duration::from_secs(1);
/// A part of a value is hidden from so many characters on. Less is found everywhere.
const PART: usize = 4;

/// The standard error of one process.
pub(crate) struct Log {
    given: Given,
    making: watch::Sender<bool>,
    passing: JoinHandle<()>,
}

impl Log {
    pub fn of(plugin: String, leaks: Leaks, stderr: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (making, watched) = watch::channel(false);
        let given = Given::default();
        let lines = Lines {
            plugin,
            leaks,
            given: given.clone(),
            making: watched,
            line: Zeroizing::default(),
            cut: false,
            held: Vec::new(),
            second: Instant::now(),
            count: 0,
            left_out: 0,
        };
        Log { given, making, passing: tokio::spawn(lines.pass_on(BufReader::new(stderr))) }
    }

    /// It may write these from now on.
    pub fn given<'a>(&self, bundles: impl IntoIterator<Item = &'a Bundle>) {
        let fields = bundles.into_iter().flat_map(Bundle::fields).filter(|(name, _)| *name != USERNAME);
        fields.for_each(|(_, value)| self.given.add(value));
    }

    /// Whether it makes a value that we do not know yet. What it writes meanwhile is held; it is shown when that ends, and not at all
    /// if the value never comes.
    pub fn making(&self, making: bool) {
        self.making.send_replace(making);
    }

    /// Waits for the last lines of a process that was killed, for so long.
    pub async fn last(&mut self, patience: Duration) {
        let _ = timeout(patience, &mut self.passing).await;
    }
}

/// The secrets that a process was given, in all forms in which they are looked for.
#[derive(Clone, Default)]
struct Given(Arc<Mutex<Vec<Secret>>>);

impl Given {
    fn add(&self, value: &Secret) {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if given.iter().any(|known| known.same_as(value)) {
            return;
        }
        for form in value.expose(forms) {
            if !given.iter().any(|known| known.same_as(&form)) {
                given.push(form);
            }
        }
    }

    fn mask(&self, text: &str) -> String {
        mask(text, self.0.lock().unwrap_or_else(PoisonError::into_inner).iter())
    }
}

/// The value, each of its lines, and both as they stand in JSON and as a log shows them.
fn forms(value: &str) -> Vec<Secret> {
    let mut forms = vec![Secret::new(value.to_owned())];
    for part in std::iter::once(value).chain(value.lines()) {
        for form in [part.to_owned(), shown(part).trim().to_owned(), json(part), ascii(json(part))] {
            if form.chars().count() >= PART {
                forms.push(Secret::new(form));
            }
        }
    }
    forms
}

fn shown(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.chars().filter(|character| !character.is_control()).collect())
}

fn json(text: &str) -> String {
    // A text is always written.
    let quoted = Zeroizing::new(serde_json::to_string(text).unwrap_or_default());
    quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
}

/// JSON as some write it: with nothing but ASCII.
fn ascii(text: String) -> String {
    let text = Zeroizing::new(text);
    let mut plain = String::with_capacity(text.len() * 6);
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            plain.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                plain.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    plain
}

/// The lines that come from one process.
struct Lines {
    plugin: String,
    leaks: Leaks,
    given: Given,
    making: watch::Receiver<bool>,
    /// What has come of the line that has not ended.
    line: Zeroizing<Vec<u8>>,
    /// It is too long, and goes by unseen until it ends: any piece of it may begin or end inside a secret.
    cut: bool,
    held: Vec<Zeroizing<Vec<u8>>>,
    second: Instant,
    count: u32,
    left_out: u64,
}

impl Lines {
    /// Passes lines on until there are no more, or nobody talks with the process any more.
    async fn pass_on(mut self, mut stderr: impl AsyncBufRead + Unpin) {
        let mut making = self.making.clone();
        loop {
            tokio::select! {
                more = self.take(&mut stderr) => if !more { break },
                changed = making.changed() => match changed {
                    Ok(()) => self.release(),
                    Err(_) => {
                        let _ = timeout(LAST, async { while self.take(&mut stderr).await {} }).await;
                        break;
                    }
                },
            }
        }
        // What a call made that has no answer may stand in what is held, and what was not ended may be half a secret.
        self.release();
        self.left_out += self.held.len() as u64 + u64::from(self.cut || !self.line.is_empty());
        self.told();
    }

    /// Takes what has come; false at the end. May be dropped while it waits.
    async fn take(&mut self, stderr: &mut (impl AsyncBufRead + Unpin)) -> bool {
        let Ok(chunk) = stderr.fill_buf().await else { return false };
        let taken = chunk.len();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            // All of it at once, so that none stays behind in memory that is not zeroed.
            let room = LONGEST - self.line.len();
            self.line.reserve_exact(room);
            if self.line.len() + text.len() > LONGEST {
                self.cut = true;
            } else {
                self.line.extend_from_slice(text);
            }
            if ends {
                self.end();
            }
        }
        stderr.consume(taken);
        taken > 0
    }

    fn end(&mut self) {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.cut) {
            self.left_out += 1;
        } else if !*self.making.borrow() {
            self.release();
            self.show(&line);
        } else if self.held.len() < HELD {
            self.held.push(line);
        } else {
            self.left_out += 1;
        }
    }

    /// Shows what was held, if nothing is being made.
    fn release(&mut self) {
        if !*self.making.borrow() {
            std::mem::take(&mut self.held).iter().for_each(|line| self.show(line));
        }
    }

    fn show(&mut self, line: &[u8]) {
        // Masked as it came, and once more when what hides a secret from a search is gone.
        let text = Zeroizing::new(String::from_utf8_lossy(line).into_owned());
        let once = self.given.mask(&text);
        self.leaks.note(&text, &once);
        let plain = shown(&once);
        let text = self.given.mask(&plain);
        self.leaks.note(&plain, &text);
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.told();
            (self.second, self.count) = (Instant::now(), 0);
        }
        if self.count == PER_SECOND {
            self.left_out += 1;
            return;
        }
        self.count += 1;
        tracing::warn!(target: "keywheel::plugin", plugin = self.plugin, "{}", text.trim_end());
    }

    fn told(&mut self) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            tracing::warn!(target: "keywheel::plugin", plugin = self.plugin, "{left_out} more lines were left out");
        }
    }
}
