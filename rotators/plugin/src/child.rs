//! One running process of a plugin, and the talk with it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use keywheel_sdk::message::{self, FORMAT, Failure, Greeting, Hello, LONGEST, Malformed, Reply, Request, Verb};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::{Instant as Moment, timeout, timeout_at};
use zeroize::{Zeroize, Zeroizing};

use crate::fault::Fault;
use crate::file::Checked;
use crate::host;
use crate::leaks::Leaks;
use crate::log::Log;
use crate::plugin::Plugin;
use crate::rotator::words;
use crate::work::Work;

/// What the engine calls itself.
pub(crate) const ENGINE: &str = concat!("keywheel ", env!("CARGO_PKG_VERSION"));
/// How long a plugin may take to greet.
pub(crate) const GREETING: Duration = Duration::from_secs(10);
/// The type of the first message of a plugin.
const GREETED: &str = "rotator";
/// So many messages of unknown types may come before an answer.
const STRAY: usize = 64;
/// How long an ended process may take to be seen as ended.
const ENDING: Duration = Duration::from_millis(200);

/// A running process. Dropped, it and all that it started are killed.
pub(crate) struct Child {
    process: tokio::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    log: Log,
    next: u64,
    _work: Work,
}

/// A call that has no answer.
pub(crate) struct Unanswered {
    pub fault: Fault,
    /// Whether the plugin may have read the whole call.
    pub sent: bool,
}

impl Child {
    /// Starts a process and exchanges greetings.
    ///
    /// It ends with the thread that starts it: what the kernel tells of a parent's death it tells of that thread's. So who starts one
    /// must be a thread that lives as long as the child is used: one of the runtime's, which end with it, and none that the runtime
    /// gives up in between, as it does with one that blocks in place.
    pub async fn start(plugin: &Plugin, file: &Checked, leaks: &Leaks) -> Result<(Self, Greeting), Fault> {
        let file = file.path(plugin).map_err(|error| Fault::NotStarted(std::io::Error::other(error)))?;
        let work = Work::new().map_err(Fault::NotStarted)?;
        let mut process = Command::new(&plugin.host)
            .args(host::arguments(plugin, &file, work.path()))
            .env_clear()
            .current_dir(work.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Fault::NotStarted)?;
        let (Some(input), Some(output), Some(errors)) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take())
        else {
            return Err(Fault::Closed);
        };
        let log = Log::of(plugin.name.clone(), leaks.clone(), errors);
        let mut child = Child { process, input, output: BufReader::new(output), log, next: 1, _work: work };
        match timeout(GREETING, child.greet()).await.unwrap_or(Err(Fault::NoGreeting(GREETING))) {
            Ok(greeting) => Ok((child, greeting)),
            Err(fault) => {
                // Why may stand in what it wrote last.
                child.kill();
                child.log.last(ENDING).await;
                Err(fault)
            }
        }
    }

    async fn greet(&mut self) -> Result<Greeting, Fault> {
        let hello = Hello::new(ENGINE);
        self.write(&message::write(&hello)?).await?;
        let line = self.message(GREETED).await?;
        let greeting: Greeting = message::read(&line)?;
        if greeting.format != FORMAT {
            return Err(Fault::Format(greeting.format));
        }
        self.write(&stray()).await?;
        Ok(greeting)
    }

    /// The number of the next call.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Asks one call and waits for its answer.
    pub async fn ask(&mut self, request: &Request, until: Instant) -> Result<Reply, Unanswered> {
        self.next = request.id + 1;
        self.log.given(request.bundles());
        let line = message::write(request).map_err(|malformed| Unanswered { fault: malformed.into(), sent: false })?;
        if matches!(request.call, Verb::Generate | Verb::DeriveField) {
            self.log.making(true);
        }
        let mut sent = false;
        let talk = async {
            // All but its end first: what is not ended was not asked.
            let (body, end) = line.split_at(line.len() - 1);
            self.write(body).await?;
            sent = true;
            self.write(end).await?;
            let answer = self.message("reply").await?;
            let reply: Reply = message::read(&answer)?;
            if reply.id != request.id {
                return Err(Fault::OtherCall { got: reply.id, expected: request.id });
            }
            Ok(reply)
        };
        let answered = timeout_at(Moment::from_std(until), talk).await.unwrap_or(Err(Fault::Late));
        let reply = answered.map_err(|fault| Unanswered { fault, sent })?;
        self.log.given(&reply.made);
        self.log.making(false);
        Ok(reply)
    }

    /// Whether it waits for the next call, as far as can be seen: it runs, and has written nothing that nobody asked for.
    pub fn is_quiet(&mut self) -> bool {
        let Some(process) = self.group() else { return false };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        matches!(waitid(WaitId::Pid(process), look), Ok(None)) && self.output.buffer().is_empty() && self.is_silent()
    }

    /// Whether nothing is in the pipe, which the kernel knows before the runtime does.
    fn is_silent(&self) -> bool {
        let mut polled = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
        matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = async {
            self.input.write_all(bytes).await?;
            self.input.flush().await
        };
        match written.await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(self.ended().await),
            Err(error) => Err(Fault::Pipe(error)),
        }
    }

    /// The next message of this type.
    async fn message(&mut self, kind: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
        for _ in 0..STRAY {
            let line = self.line().await?;
            match message::kind_of(&line)?.as_str() {
                found if found == kind => return Ok(line),
                // Only while it begins: later it holds secrets, and this would be shown.
                "failure" if kind == GREETED => {
                    return Err(Fault::Said(words(&message::read::<Failure>(&line)?.message)));
                }
                _ => {}
            }
        }
        Err(Fault::Flood(STRAY))
    }

    /// The next line, without its end. Of a line that is too long no more is kept than tells that.
    async fn line(&mut self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut line = Zeroizing::new(Vec::new());
        loop {
            let chunk = self.output.fill_buf().await.map_err(Fault::Pipe)?;
            if chunk.is_empty() {
                return Err(self.ended().await);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let (taken, rest) = end.map_or((chunk.len(), false), |at| (at, true));
            if line.len() + taken > LONGEST {
                return Err(Malformed::TooLong.into());
            }
            grow(&mut line, &chunk[..taken]);
            self.output.consume(taken + usize::from(rest));
            if rest {
                return Ok(line);
            }
        }
    }

    /// How it ended, if it did. Whatever it started ends with it.
    async fn ended(&mut self) -> Fault {
        let Some(group) = self.group() else { return Fault::Closed };
        // Seen, and not yet taken away: as long as it is there, its group has its number.
        let see = move || waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).is_ok();
        let has_ended = matches!(timeout(ENDING, tokio::task::spawn_blocking(see)).await, Ok(Ok(true)));
        kill(group);
        match self.process.wait().await {
            Ok(status) if has_ended => Fault::Ended(status),
            Ok(_) => Fault::Closed,
            Err(error) => Fault::Pipe(error),
        }
    }

    /// Kills it and all that it started.
    fn kill(&self) {
        if let Some(group) = self.group() {
            kill(group);
        }
    }

    /// The number of its process, which is that of its group; none if it ended and that was seen.
    fn group(&self) -> Option<Pid> {
        self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kill(group: Pid) {
    // All of it may be gone already.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
}

/// Appends without leaving what was there in memory that is not zeroed.
fn grow(line: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    if line.capacity() - line.len() < more.len() {
        let mut larger = Vec::with_capacity((line.len() + more.len()).next_power_of_two());
        larger.extend_from_slice(line);
        line.zeroize();
        **line = larger;
    }
    line.extend_from_slice(more);
}

/// A message of a type that no version has. It is sent on purpose, so that nobody comes to rely on knowing all types.
fn stray() -> Vec<u8> {
    let mut random = [0u8; 4];
    // Without chance it is the same one each time, which serves as well.
    let _ = aws_lc_rs::rand::fill(&mut random);
    format!("{{\"type\":\"x-{}\",\"to\":\"be ignored\"}}\n", u32::from_le_bytes(random)).into_bytes()
}
