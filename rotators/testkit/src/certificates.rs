//! A certificate authority and a server certificate for tests of TLS.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// PEM texts: an authority, and a server certificate that it signed. Fresh keys each time, so two of these never trust
/// each other.
pub struct Certificates {
    /// What a client trusts.
    pub authority: String,
    /// What the server shows.
    pub certificate: String,
    /// The server's private key.
    pub key: String,
}

impl Certificates {
    /// For a server that is reached under these names or addresses.
    ///
    /// # Panics
    /// If a name is no DNS name or address.
    pub fn for_names(names: &[impl AsRef<str>]) -> Self {
        let authority_key = KeyPair::generate().expect("a P-256 key can be made");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names, so none is wrong");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.distinguished_name.push(DnType::CommonName, "keywheel test authority");
        let authority_certificate = authority.self_signed(&authority_key).expect("the parameters are complete");
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate().expect("a P-256 key can be made");
        let names: Vec<String> = names.iter().map(|name| name.as_ref().to_owned()).collect();
        let mut server = CertificateParams::new(names).expect("the caller gives valid names");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = server.signed_by(&key, &issuer).expect("the parameters are complete");
        Certificates {
            authority: authority_certificate.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}
