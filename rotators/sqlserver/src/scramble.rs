//! Passwords that nobody holds. SQL Server knows no account without one.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywheel_sdk::{Bundle, Secret};
use zeroize::Zeroizing;

/// A credential of `account` with 256 random bits, of all four classes that the Windows password policy may ask for.
pub(crate) fn nobodys(account: &str) -> Bundle {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut()).expect("the system's generator does not fail once the process runs");
    Bundle::login(account, Secret::new(format!("{}-aZ9", URL_SAFE_NO_PAD.encode(bytes.as_ref()))))
}
