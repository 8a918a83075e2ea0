//! What differs from vendor to vendor.

use serde_json::Value;

use crate::asked::{Asked, Odd};
use crate::shelf::{Key, Shelf};

/// One vendor's kind of key.
pub struct Case {
    /// The declaration's name.
    pub provider: &'static str,
    /// What a policy says of the target, where the double is at this address.
    pub settings: fn(&str) -> Value,
    /// The admin's credential.
    pub admin: &'static [(&'static str, &'static str)],
    /// In each of its fields, a value that the vendor refuses.
    pub wrong_admin: &'static str,
    /// The field of the secret that applications send.
    pub field: &'static str,
    /// A rotation's tag as the vendor keeps it.
    pub tag: fn(&str) -> String,
    /// Its keys can hold no tag, so that all of the target are ours.
    pub exclusive: bool,
    /// A key is disabled before it is deleted.
    pub disables: bool,
    /// The code of the error where no further key is allowed.
    pub full: &'static str,
    /// So many keys and no more.
    pub limit: usize,
    /// So many keys on a page of the list.
    pub page: usize,
    /// Makes a key as if by hand.
    pub make: fn(&mut Shelf, &str) -> Key,
    /// What a request is, by its method and path alone; `None` if the vendor has no such address.
    pub name: fn(&Asked) -> Option<&'static str>,
    /// What the vendor does and answers. An error: it was asked what its documents do not know.
    pub answer: fn(&mut Shelf, &'static str, &Asked) -> Result<Reply, Odd>,
}

/// A double's answer.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Reply::raw(status, &[("content-type", "application/json")], &body.to_string())
    }

    pub fn empty(status: u16) -> Self {
        Reply::raw(status, &[], "")
    }

    pub fn raw(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Reply { status, headers, body: body.to_owned() }
    }
}
