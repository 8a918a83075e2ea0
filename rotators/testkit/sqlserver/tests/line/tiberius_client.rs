//! tiberius, as tests use it.

use keywheel_sqlserver_double::SqlServer;
use tiberius::error::Error;
use tiberius::{AuthMethod, Client, EncryptionLevel, Row};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

pub type Connected = Client<Compat<TcpStream>>;

/// Settings for a server on this machine, without encryption.
pub fn settings(server: &SqlServer, user: &str, password: &str) -> tiberius::Config {
    let mut settings = tiberius::Config::new();
    settings.host("localhost");
    settings.port(server.port());
    settings.authentication(AuthMethod::sql_server(user, password));
    settings.encryption(EncryptionLevel::NotSupported);
    settings
}

pub async fn connect(settings: tiberius::Config) -> Result<Connected, Error> {
    let stream = TcpStream::connect(("127.0.0.1", settings.get_addr().rsplit_once(':').unwrap().1.parse().unwrap()))
        .await
        .unwrap();
    Client::connect(settings, stream.compat_write()).await
}

/// `sa`, logged in without encryption.
pub async fn sa(server: &SqlServer) -> Connected {
    connect(settings(server, "sa", &crate::sa_password())).await.unwrap()
}

/// Runs a batch and reads all of its answer.
pub async fn batch(client: &mut Connected, text: &str) -> Result<Vec<Vec<Row>>, Error> {
    client.simple_query(text).await?.into_results().await
}

/// The number of the server's error.
///
/// # Panics
/// If there is no error, or it is not the server's.
pub fn number<T>(outcome: Result<T, Error>) -> u32 {
    match outcome {
        Err(Error::Server(error)) => error.code(),
        Err(other) => panic!("no error of the server: {other}"),
        Ok(_) => panic!("no error at all"),
    }
}
