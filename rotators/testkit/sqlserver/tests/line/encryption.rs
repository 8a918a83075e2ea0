//! Who encrypts what: each wish of a client meets each kind of server.

use keywheel_sqlserver_double::{Encryption, ServerOptions, SqlServer, TlsIdentity, Version};
use tiberius::EncryptionLevel;

use super::tiberius_client::{batch, connect, settings};
use super::{encrypting, sa_password};

/// Whether the login and what follows it went through TLS; `None` if the client did not get so far.
async fn encrypted(server: &SqlServer, identity: &TlsIdentity, level: EncryptionLevel) -> Option<(bool, bool)> {
    let mut settings = settings(server, "sa", &sa_password());
    settings.encryption(level);
    settings.trust_cert_ca_bundle(identity.certificate_pem.as_bytes());
    let mut client = connect(settings).await.ok()?;
    batch(&mut client, "SELECT 1").await.unwrap();
    let (login, heard) = (server.logins_heard().pop().unwrap(), server.heard().pop().unwrap());
    assert_eq!((login.login.as_str(), login.password), ("sa", sa_password()));
    assert_eq!(heard.text, "SELECT 1");
    Some((login.encrypted, heard.encrypted))
}

#[tokio::test]
async fn each_wish_meets_each_server() {
    use EncryptionLevel::{NotSupported, Off, On, Required, Strict};
    let (plain, login_only, all) = (Some((false, false)), Some((true, false)), Some((true, true)));
    for (encryption, expected) in [
        (Encryption::Offer, [(NotSupported, plain), (Off, login_only), (On, all), (Required, all), (Strict, all)]),
        (Encryption::Require, [(NotSupported, all), (Off, all), (On, all), (Required, all), (Strict, all)]),
        (Encryption::Strict, [(NotSupported, None), (Off, None), (On, None), (Required, None), (Strict, all)]),
    ] {
        for (level, outcome) in expected {
            let (server, identity) = encrypting(encryption, Version::V2022);
            assert_eq!(encrypted(&server, &identity, level).await, outcome, "{encryption:?} {level:?}");
        }
    }
}

#[tokio::test]
async fn a_server_without_a_certificate_encrypts_nothing() {
    use EncryptionLevel::{NotSupported, Off, On, Required, Strict};
    let (_, identity) = encrypting(Encryption::Offer, Version::V2022);
    // tiberius takes `Off` against a server that cannot encrypt for a wish to encrypt all, and fails.
    for (level, outcome) in
        [(NotSupported, Some((false, false))), (Off, None), (On, None), (Required, None), (Strict, None)]
    {
        let server = SqlServer::start().unwrap();
        assert_eq!(encrypted(&server, &identity, level).await, outcome, "{level:?}");
        assert_eq!(server.logins_heard().len(), usize::from(outcome.is_some()), "{level:?}");
    }
}

#[tokio::test]
async fn releases_before_2022_know_no_strict_encryption() {
    let (server, identity) = encrypting(Encryption::Offer, Version::V2019);
    assert_eq!(encrypted(&server, &identity, EncryptionLevel::Strict).await, None);
    assert_eq!(encrypted(&server, &identity, EncryptionLevel::Required).await, Some((true, true)));
}

#[tokio::test]
async fn a_client_that_trusts_another_certificate_tells_no_password() {
    for level in [EncryptionLevel::Required, EncryptionLevel::Strict, EncryptionLevel::Off] {
        let (server, _) = encrypting(Encryption::Offer, Version::V2022);
        assert_eq!(encrypted(&server, &super::identity(), level).await, None);
        assert!(server.logins_heard().is_empty());
    }
}

#[test]
fn a_key_that_is_none_is_refused_at_the_start() {
    let tls = TlsIdentity { key_pem: "none".to_owned(), ..super::identity() };
    assert!(SqlServer::start_with(ServerOptions { tls: Some(tls), ..ServerOptions::default() }).is_err());
}
