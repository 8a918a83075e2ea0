//! What a plugin writes to its standard error, as events of ours: without secrets, and not more than is good for a log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keywheel_sdk::{Bundle, Secret, USERNAME, mask};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// The longest line that is kept whole, in bytes.
const LONGEST: u64 = 4096;
/// So many lines in each second are passed on; of the others, how many they were.
const PER_SECOND: u32 = 20;

/// The secrets that a process was given, all of which it could write.
#[derive(Clone, Default)]
pub(crate) struct Given(Arc<Mutex<Vec<Secret>>>);

impl Given {
    pub fn add<'a>(&self, bundles: impl IntoIterator<Item = &'a Bundle>) {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in bundles.into_iter().flat_map(Bundle::fields) {
            if name != USERNAME && !given.iter().any(|known| known.same_as(value)) {
                given.push(value.duplicate());
            }
        }
    }

    fn mask(&self, text: &str) -> String {
        mask(text, self.0.lock().unwrap_or_else(PoisonError::into_inner).iter())
    }
}

/// Passes lines on until there are no more.
pub(crate) async fn pass_on(plugin: String, stderr: impl AsyncRead + Unpin, given: Given) {
    let mut lines = BufReader::new(stderr);
    let (mut second, mut count, mut left_out) = (Instant::now(), 0, 0u64);
    loop {
        let mut line = Vec::new();
        match (&mut lines).take(LONGEST).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if second.elapsed() >= Duration::from_secs(1) {
            told(&plugin, left_out);
            (second, count, left_out) = (Instant::now(), 0, 0);
        }
        if count == PER_SECOND {
            left_out += 1;
            continue;
        }
        count += 1;
        // A secret that is cut in two by the limit is none any more for whoever looks for it whole: such a line is not shown.
        if line.len() as u64 == LONGEST && line.last() != Some(&b'\n') {
            left_out += 1;
            continue;
        }
        let text: String =
            String::from_utf8_lossy(&line).trim_end().chars().filter(|character| !character.is_control()).collect();
        tracing::warn!(target: "keywheel::plugin", plugin, "{}", given.mask(&text));
    }
    told(&plugin, left_out);
}

fn told(plugin: &str, left_out: u64) {
    if left_out > 0 {
        tracing::warn!(target: "keywheel::plugin", plugin, "{left_out} more lines were left out");
    }
}
