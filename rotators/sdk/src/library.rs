//! The border to a rotator in a dynamic library: one constant table of functions in C, through which the messages of
//! [`crate::message`] go. Authors in C read `include/keywheel_plugin.h`, which is this border once more.

use std::ffi::c_void;

/// The name of the symbol, a [`Table`]. Another layout gets another name.
pub const SYMBOL: &str = "keywheel_rotator_1";

/// The first eight bytes of each table: "KEYWHEEL" in ASCII, the first letter in the highest byte.
pub const MAGIC: u64 = 0x4b45_5957_4845_454c;

/// The version of the table that this SDK writes and reads.
pub const ABI: u32 = 1;

/// The status of a function that did what it was asked.
pub const DONE: i32 = 0;

/// The status of one that did not, for a reason that no message can tell: no memory, or a panic.
pub const FAILED: i32 = 1;

/// Bytes that the library owns, and takes back by [`Table::release`].
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Bytes {
    /// Null where there are none.
    pub data: *mut u8,
    pub length: usize,
}

impl Bytes {
    /// No bytes.
    pub const NONE: Bytes = Bytes { data: std::ptr::null_mut(), length: 0 };
}

/// What a library exports under [`SYMBOL`]. Constant.
///
/// Messages are those of [`crate::message`], with or without the line feed at their end. A request is the host's and may be read
/// until the function returns; a reply is the library's, and the host gives it back once. No function lets a panic or an exception
/// out.
///
/// The host calls `create` for each instance that it wants. It makes one call of an instance at a time, not always from the same
/// thread, and calls of several instances beside each other. All other functions may come from any thread and beside each other:
/// `cancel` at any moment between `create` and `destroy`, also about a call that has ended already.
#[repr(C)]
pub struct Table {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`ABI`] of what the library was built with. Another table has another number, and another symbol.
    pub abi: u32,
    /// The size of this table in bytes.
    pub size: u32,
    /// What the library was built with, for people: text in UTF-8, and zeros after it.
    pub sdk: [u8; 32],
    /// Takes the message `hello` and gives the message `rotator`. Opens nothing. May be called before `create`.
    pub describe: Option<unsafe extern "C" fn(request: *const u8, length: usize, reply: *mut Bytes) -> i32>,
    /// Makes an instance.
    pub create: Option<unsafe extern "C" fn(instance: *mut *mut c_void) -> i32>,
    /// Takes a message `call` and gives the message `reply`. Where it gives none, the outcome of the call is unknown.
    pub call: Option<
        unsafe extern "C" fn(instance: *mut c_void, request: *const u8, length: usize, reply: *mut Bytes) -> i32,
    >,
    /// Nobody waits for the call with this `id` any longer: its time is over, or the engine stops. It begins no change from now on
    /// and returns soon, and this does not wait for it; its outcome is unknown to the engine whatever it answers. In a process of its own, a library is killed
    /// at about the same moment.
    pub cancel: Option<unsafe extern "C" fn(instance: *mut c_void, id: u64)>,
    /// Ends an instance. No call of it runs, and none comes.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// Takes back what `describe` or `call` gave. A reply may hold a secret: overwrite it before its memory is used again.
    pub release: Option<unsafe extern "C" fn(reply: Bytes)>,
}
