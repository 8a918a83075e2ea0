//! A plugin that is a dynamic library: loading it, and its functions behind safe ones.
#![expect(unsafe_code, reason = "calls into C; each use says why it holds")]

use std::ffi::c_void;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use keywheel_sdk::library::{ABI, Bytes, DONE, MAGIC, SYMBOL, Table};
use keywheel_sdk::message::LONGEST;
use libloading::os::unix::{RTLD_LOCAL, RTLD_NOW};
use zeroize::Zeroizing;

/// Why a file is no plugin's library. Nothing of it but what a system runs on loading has run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the library does not load: {0}")]
    NotLoaded(#[source] libloading::Error),
    #[error("the library exports no `{SYMBOL}`")]
    NoTable,
    #[error("the library's `{SYMBOL}` is something else")]
    OtherThing,
    #[error(
        "the library has version {abi} of the border (built with `{sdk}`), and this program has version {ABI}: build it anew"
    )]
    OtherVersion { abi: u32, sdk: String },
    #[error("the library's table has {size} bytes, which is too few (built with `{sdk}`)")]
    Short { size: u32, sdk: String },
    #[error("the library (built with `{sdk}`) lacks `{function}` in its table")]
    Lacks { function: &'static str, sdk: String },
}

/// Why a function gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    #[error("the library gave no reply (status {0})")]
    Status(i32),
    #[error("the library gave a reply of {0} bytes, and {LONGEST} are the most")]
    TooLong(usize),
    #[error("the library said that it has a reply, and gave none")]
    Nothing,
}

/// A loaded library. It stays loaded as long as the process lives: its threads may live as long.
#[derive(Clone, Copy)]
pub(crate) struct Library {
    functions: Functions,
}

/// The functions of a table, all of them there.
#[derive(Clone, Copy)]
struct Functions {
    describe: unsafe extern "C" fn(*const u8, usize, *mut Bytes) -> i32,
    create: unsafe extern "C" fn(*mut *mut c_void) -> i32,
    call: unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut Bytes) -> i32,
    give_up: unsafe extern "C" fn(*mut c_void, u64),
    destroy: unsafe extern "C" fn(*mut c_void),
    release: unsafe extern "C" fn(Bytes),
}

impl Library {
    /// Loads a file that the caller trusts as far as this process goes.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(file: &Path) -> Result<Self, LoadError> {
        // SAFETY: whatever it runs on loading runs in this process: that is what was asked for. It is never unloaded.
        let library = unsafe { libloading::os::unix::Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) };
        let library = std::mem::ManuallyDrop::new(library.map_err(LoadError::NotLoaded)?);
        // SAFETY: only the address is taken here.
        let symbol = unsafe { library.get::<*const Table>(SYMBOL.as_bytes()) };
        let table = *symbol.map_err(|_| LoadError::NoTable)?;
        if table.is_null() || !table.is_aligned() {
            return Err(LoadError::NoTable);
        }
        Ok(Library { functions: functions(table)? })
    }

    /// What it answers to the message `hello`.
    pub fn describe(&self, hello: &[u8]) -> Result<Zeroizing<Vec<u8>>, NoReply> {
        let mut reply = Bytes::NONE;
        // SAFETY: the table's contract: `hello` is lent until this returns, and `reply` is a place for one.
        let status = unsafe { (self.functions.describe)(hello.as_ptr(), hello.len(), &raw mut reply) };
        self.taken(status, reply)
    }

    /// An instance of it.
    pub fn create(&self) -> Result<Instance, NoReply> {
        let mut pointer = std::ptr::null_mut();
        // SAFETY: the table's contract: a place for one pointer.
        let status = unsafe { (self.functions.create)(&raw mut pointer) };
        if status != DONE {
            return Err(NoReply::Status(status));
        }
        Ok(Instance { library: *self, pointer, calling: Mutex::new(()) })
    }

    /// Copies a reply and gives it back.
    fn taken(&self, status: i32, reply: Bytes) -> Result<Zeroizing<Vec<u8>>, NoReply> {
        let copied = if status != DONE {
            Err(NoReply::Status(status))
        } else if reply.data.is_null() {
            Err(NoReply::Nothing)
        } else if reply.length > LONGEST {
            Err(NoReply::TooLong(reply.length))
        } else {
            // SAFETY: the table's contract: it gave that many bytes, and keeps them until they are given back.
            Ok(Zeroizing::new(unsafe { std::slice::from_raw_parts(reply.data, reply.length) }.to_vec()))
        };
        if status == DONE && !reply.data.is_null() {
            // SAFETY: the table's contract: once, with what it gave.
            unsafe { (self.functions.release)(reply) };
        }
        copied
    }
}

/// Reads the table, the first members first: they are the same in all versions.
fn functions(table: *const Table) -> Result<Functions, LoadError> {
    // SAFETY: the symbol is there and aligned; who exports it promises a table of which at least the magic number can be read.
    let magic = unsafe { (&raw const (*table).magic).read() };
    if magic != MAGIC {
        return Err(LoadError::OtherThing);
    }
    // SAFETY: with that number these members are there, whatever the version.
    let (abi, size, sdk) = unsafe {
        ((&raw const (*table).abi).read(), (&raw const (*table).size).read(), (&raw const (*table).sdk).read())
    };
    let length = sdk.iter().position(|byte| *byte == 0).unwrap_or(sdk.len());
    let sdk = String::from_utf8_lossy(&sdk[..length]).into_owned();
    if abi != ABI {
        return Err(LoadError::OtherVersion { abi, sdk });
    }
    if usize::try_from(size).is_ok_and(|size| size < size_of::<Table>()) {
        return Err(LoadError::Short { size, sdk });
    }
    // SAFETY: this version's table has all members, and it is constant.
    let table = unsafe { &*table };
    let lacks = |function| LoadError::Lacks { function, sdk: sdk.clone() };
    Ok(Functions {
        describe: table.describe.ok_or_else(|| lacks("describe"))?,
        create: table.create.ok_or_else(|| lacks("create"))?,
        call: table.call.ok_or_else(|| lacks("call"))?,
        give_up: table.cancel.ok_or_else(|| lacks("cancel"))?,
        destroy: table.destroy.ok_or_else(|| lacks("destroy"))?,
        release: table.release.ok_or_else(|| lacks("release"))?,
    })
}

/// One instance of a library's rotator.
pub(crate) struct Instance {
    library: Library,
    pointer: *mut c_void,
    calling: Mutex<()>,
}

// SAFETY: the table's contract: all functions may come from any thread; calls of an instance one at a time, which `calling` sees to;
// `cancel` beside them; `destroy` when nobody has the instance any longer.
unsafe impl Send for Instance {}
// SAFETY: as above.
unsafe impl Sync for Instance {}

impl Instance {
    /// Makes one call, and waits for what it answers, as long as that takes.
    pub fn call(&self, request: &[u8]) -> Result<Zeroizing<Vec<u8>>, NoReply> {
        let _one = self.calling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reply = Bytes::NONE;
        let call = self.library.functions.call;
        // SAFETY: the table's contract: the instance is alive, no other call of it runs, `request` is lent until this returns.
        let status = unsafe { call(self.pointer, request.as_ptr(), request.len(), &raw mut reply) };
        self.library.taken(status, reply)
    }

    /// Tells it that nobody waits for this call any longer.
    pub fn give_up(&self, id: u64) {
        // SAFETY: the table's contract: from any thread, while the instance is alive.
        unsafe { (self.library.functions.give_up)(self.pointer, id) };
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: nobody has it any longer, so no call of it runs and none comes.
        unsafe { (self.library.functions.destroy)(self.pointer) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use async_trait::async_trait;
    use keywheel_export::table;
    use keywheel_sdk::message::{self, Greeting, Hello, Reply, Request, Verb};
    use keywheel_sdk::{
        Admin, Answer, Bundle, Call, Check, Descriptor, Effect, Finding, Origin, RevokeHow, Rotator, RotatorError,
        Secret, Shape, Strategy, Target, Usage,
    };

    use super::*;

    /// How many instances live. Only one test makes them.
    static LIVING: AtomicUsize = AtomicUsize::new(0);

    /// Answers what the password says: `panic`, `hang`, `wait` or anything else.
    struct Lamp;

    impl Default for Lamp {
        fn default() -> Self {
            LIVING.fetch_add(1, Ordering::SeqCst);
            Lamp
        }
    }

    impl Drop for Lamp {
        fn drop(&mut self) {
            LIVING.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[async_trait]
    impl Rotator for Lamp {
        fn describe(&self) -> Descriptor {
            Descriptor {
                kind: "lamp".to_owned(),
                version: "1.0.0".to_owned(),
                shapes: vec![Shape::InPlace],
                origin: Origin::Engine,
                settings: Vec::new(),
                capabilities: keywheel_sdk::Capabilities::default(),
                derived_fields: Vec::new(),
            }
        }
        async fn preflight(&self, _: &Call<'_>, _: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
            Ok(Vec::new())
        }
        async fn probe(&self, _: &Call<'_>, _: &Bundle, _: &[&Bundle]) -> Answer {
            Answer::Yes
        }
        async fn apply(&self, _: &Call<'_>, candidate: &Bundle, _: Option<&Bundle>) -> Result<(), RotatorError> {
            let word = candidate.password()?.expose(str::to_owned);
            match word.as_str() {
                "panic" => panic!("on purpose"),
                "hang" => std::future::pending().await,
                "wait" => {
                    let never = std::future::pending::<()>();
                    assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
                }
                _ => {}
            }
            Ok(())
        }
        async fn verify(&self, _: &Call<'_>, _: &Bundle, _: Option<&Bundle>, _: &[Check]) -> Result<(), RotatorError> {
            Ok(())
        }
        async fn restore(&self, _: &Call<'_>, _: &Bundle, _: Option<&Bundle>) -> Result<(), RotatorError> {
            Ok(())
        }
        async fn usage(&self, _: &Call<'_>, _: &Bundle) -> Result<Usage, RotatorError> {
            Ok(Usage { sessions: 0 })
        }
        async fn revoke(&self, _: &Call<'_>, _: &Bundle, _: &Bundle, _: RevokeHow) -> Result<(), RotatorError> {
            Ok(())
        }
    }

    fn request(id: u64, password: &str) -> Zeroizing<Vec<u8>> {
        let target = Target {
            settings: serde_json::Map::new(),
            strategy: Strategy::InPlace { user: "app".to_owned() },
            admin: Admin::Own,
            generates: None,
        };
        let now = Instant::now();
        let call = Call { target: &target, rotation: "r-1", fence: 1, until: now + Duration::from_secs(60) };
        let candidate = Bundle::login("app", Secret::new(password.to_owned()));
        message::write(&Request::of(id, Verb::Apply, &call, now).candidate(&candidate)).expect("it is short")
    }

    fn asked(instance: &Instance, id: u64, password: &str) -> Result<Result<(), RotatorError>, NoReply> {
        let line = instance.call(&request(id, password))?;
        let reply: Reply = message::read(&line).expect("it is a reply");
        assert_eq!(reply.id, id);
        Ok(reply.into_done().map(drop))
    }

    /// Both sides of the border in one process, so that tools which watch memory can watch this.
    #[test]
    fn a_rotator_behind_the_border() {
        static TABLE: Table = table::<Lamp>();
        let library = Library { functions: functions(&raw const TABLE).expect("it has all functions") };
        let hello = message::write(&Hello::new("test")).expect("it is short");
        let greeting: Greeting =
            message::read(&library.describe(&hello).expect("it greets")).expect("it is a greeting");
        assert_eq!(greeting.descriptor.kind, "lamp");
        assert!(matches!(library.describe(b"no message"), Err(NoReply::Status(1))));

        let instance = library.create().expect("there is memory");
        assert_eq!(LIVING.load(Ordering::SeqCst), 1);
        assert_eq!(asked(&instance, 1, "well").expect("it answers"), Ok(()));
        assert_eq!(asked(&instance, 2, "wait").expect("it answers"), Ok(()));
        // What panics gives no reply, and lives.
        assert!(matches!(asked(&instance, 3, "panic"), Err(NoReply::Status(1))));
        assert_eq!(asked(&instance, 4, "well").expect("it answers"), Ok(()));
        assert!(matches!(instance.call(b"{}"), Err(NoReply::Status(1))));

        // Cancelled from another thread, and before it begins.
        let error = std::thread::scope(|scope| {
            scope.spawn(|| instance.give_up(5));
            asked(&instance, 5, "hang").expect("it answers").expect_err("it is cancelled")
        });
        assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "cancelled"));
        instance.give_up(4);
        assert_eq!(asked(&instance, 6, "well").expect("it answers"), Ok(()));
        drop(instance);
        assert_eq!(LIVING.load(Ordering::SeqCst), 0);
    }
}
