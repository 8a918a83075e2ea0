//! Serves a double of SQL Server until standard input ends, for a look at it with any client.

use std::io::{self, Read, Write};

use keywheel_sqlserver_double::{Options, ServerOptions, SqlServer, TlsIdentity};

fn main() -> io::Result<()> {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .map_err(io::Error::other)?;
    let instance = Options::default();
    let password = instance.sa_password.clone();
    let tls = TlsIdentity { certificate_pem: signed.cert.pem(), key_pem: signed.signing_key.serialize_pem() };
    let server = SqlServer::start_with(ServerOptions { instance, tls: Some(tls), ..ServerOptions::default() })?;
    writeln!(io::stdout(), "127.0.0.1:{} user sa password {password}", server.port())?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
