//! A rotator behind the border to C.
#![expect(unsafe_code, reason = "C calls it; each use says why it holds")]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use zeroize::Zeroize;

use keywheel_sdk::library::{ABI, Bytes, DONE, FAILED, MAGIC, Table};
use keywheel_sdk::message::{self, Hello, Reply, Request};
use keywheel_sdk::{Rotator, RotatorError};

/// What a library says that it was built with.
const BUILT_WITH: [u8; 32] = padded(concat!("keywheel-export ", env!("CARGO_PKG_VERSION")));

const fn padded(text: &str) -> [u8; 32] {
    let mut padded = [0; 32];
    padded.split_at_mut(text.len()).0.copy_from_slice(text.as_bytes());
    padded
}

/// The table of a rotator that [`Default::default`] makes, once for each instance.
pub const fn table<R: Rotator + Default + 'static>() -> Table {
    Table {
        magic: MAGIC,
        abi: ABI,
        size: size_of::<Table>() as u32,
        sdk: BUILT_WITH,
        describe: Some(describe::<R>),
        create: Some(create::<R>),
        call: Some(call::<R>),
        cancel: Some(give_up::<R>),
        destroy: Some(destroy::<R>),
        release: Some(release),
    }
}

/// A rotator with what runs its calls.
struct Instance<R> {
    rotator: R,
    runtime: Runtime,
    /// The highest number of a call that nobody waits for any longer: numbers grow.
    given_up: watch::Sender<u64>,
    calling: Mutex<()>,
}

impl<R: Rotator + Default> Instance<R> {
    fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Instance { rotator: R::default(), runtime, given_up: watch::Sender::new(0), calling: Mutex::new(()) })
    }

    fn call(&self, line: &[u8]) -> Result<Reply, message::Malformed> {
        // The host makes one at a time. Where it does not, they wait for each other.
        let _one = self.calling.lock().unwrap_or_else(PoisonError::into_inner);
        let request: Request = message::read(line)?;
        let id = request.id;
        let mut given_up = self.given_up.subscribe();
        Ok(self.runtime.block_on(async {
            let answer = message::answer(&self.rotator, request, Instant::now());
            tokio::select! {
                // First: what is cancelled begins nothing more.
                biased;
                _ = given_up.wait_for(|highest| *highest >= id) => {
                    Reply::failed(id, RotatorError::unknown("cancelled", "nobody waits for this call any longer"))
                }
                reply = answer => reply,
            }
        }))
    }
}

unsafe extern "C" fn describe<R: Rotator + Default>(request: *const u8, length: usize, reply: *mut Bytes) -> i32 {
    guarded(|| {
        // SAFETY: the host lends `length` bytes until this returns.
        let line = unsafe { lent(request, length) };
        let hello: Hello = message::read(line).ok()?;
        let greeting = message::greet(&R::default(), &hello)?;
        // SAFETY: the host gives a place for one `Bytes`.
        unsafe { give(&greeting, reply) }
    })
}

unsafe extern "C" fn create<R: Rotator + Default>(instance: *mut *mut c_void) -> i32 {
    guarded(|| {
        let made = Box::into_raw(Box::new(Instance::<R>::new().ok()?));
        // SAFETY: the host gives a place for one pointer.
        unsafe { instance.write(made.cast()) };
        Some(())
    })
}

unsafe extern "C" fn call<R: Rotator + Default>(
    instance: *mut c_void,
    request: *const u8,
    length: usize,
    reply: *mut Bytes,
) -> i32 {
    guarded(|| {
        // SAFETY: it comes from `create` of the same table and was not given to `destroy`. It is only ever shared.
        let instance = unsafe { &*instance.cast::<Instance<R>>() };
        // SAFETY: the host lends `length` bytes until this returns.
        let line = unsafe { lent(request, length) };
        let answered = instance.call(line).ok()?;
        // SAFETY: the host gives a place for one `Bytes`.
        unsafe { give(&answered, reply) }
    })
}

unsafe extern "C" fn give_up<R: Rotator + Default>(instance: *mut c_void, id: u64) {
    guarded(|| {
        // SAFETY: as in `call`; what is touched may be touched from any thread.
        let instance = unsafe { &*instance.cast::<Instance<R>>() };
        instance.given_up.send_modify(|highest| *highest = id.max(*highest));
        Some(())
    });
}

unsafe extern "C" fn destroy<R: Rotator + Default>(instance: *mut c_void) {
    guarded(|| {
        // SAFETY: it comes from `create`, where it was a box, and the host names it no more.
        drop(unsafe { Box::from_raw(instance.cast::<Instance<R>>()) });
        Some(())
    });
}

unsafe extern "C" fn release(reply: Bytes) {
    if reply.data.is_null() {
        return;
    }
    // SAFETY: it comes from `give`, which gave away a boxed slice of this length, and the host gives it back once.
    let mut bytes = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(reply.data, reply.length)) };
    bytes.zeroize();
}

/// The status of a function. A panic stops here: what would come out on the other side is not defined.
fn guarded(run: impl FnOnce() -> Option<()>) -> i32 {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Some(())) => DONE,
        Ok(None) => FAILED,
        Err(what) => {
            // Dropping it can panic once more; whoever does that loses what it held.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(what))) {
                std::mem::forget(again);
            }
            FAILED
        }
    }
}

/// # Safety
/// Who calls lends `length` readable bytes for `'a`; null only with none.
unsafe fn lent<'a>(request: *const u8, length: usize) -> &'a [u8] {
    if request.is_null() {
        return &[];
    }
    // SAFETY: as promised to this function.
    unsafe { std::slice::from_raw_parts(request, length) }
}

/// Gives a message away.
///
/// # Safety
/// `reply` is a place for one `Bytes`.
unsafe fn give(message: &impl Serialize, reply: *mut Bytes) -> Option<()> {
    let mut line = message::write(message).ok()?;
    // It has its exact size from the beginning, so that this copies nothing that would not be zeroed.
    let bytes = std::mem::take(&mut *line).into_boxed_slice();
    let length = bytes.len();
    let data = Box::into_raw(bytes).cast::<u8>();
    // SAFETY: as promised to this function.
    unsafe { reply.write(Bytes { data, length }) };
    Some(())
}
