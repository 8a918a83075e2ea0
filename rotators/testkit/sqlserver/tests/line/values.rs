//! Parameters and rows of all kinds, short and long, through small packets and great ones.

use keywheel_sqlserver_double::{SqlServer, Value};
use tiberius::Command;

use super::sa_password;
use super::tiberius_client::{batch, connect, number, sa, settings};

#[tokio::test]
async fn what_a_client_sends_comes_back() {
    let server = SqlServer::start().unwrap();
    let mut client = sa(&server).await;
    let text = "O'Neil ]] grüße 🗝";
    let (nothing, none): (Option<&str>, Option<i32>) = (None, None);
    let rows = client
        .query(
            "SELECT @P1 AS a, @P2, @P3, @P4, @P5, @P6, @P7",
            &[&-7_i32, &(1_i64 << 40), &true, &text, &nothing, &none, &[1_u8, 2].as_slice()],
        )
        .await
        .unwrap();
    let row = rows.into_row().await.unwrap().unwrap();
    assert_eq!(row.columns()[0].name(), "a");
    assert_eq!(
        (row.get::<i32, _>(0), row.get::<i64, _>(1), row.get::<bool, _>(2)),
        (Some(-7), Some(1 << 40), Some(true))
    );
    assert_eq!((row.get::<&str, _>(3), row.get::<&str, _>(4)), (Some(text), None));
    assert_eq!(row.get::<&[u8], _>(6), Some(&[1_u8, 2][..]));
    let heard = server.heard().pop().unwrap();
    let values: Vec<Value> = heard.parameters.into_iter().map(|parameter| parameter.value).collect();
    let expected = [
        Value::Int(-7),
        Value::BigInt(1 << 40),
        Value::Bit(true),
        Value::Text(text.to_owned()),
        Value::Null,
        Value::Null,
        Value::Binary(vec![1, 2]),
    ];
    assert_eq!(values, expected);
}

#[tokio::test]
async fn long_texts_go_through_small_packets_and_great_ones() {
    let server = SqlServer::start().unwrap();
    for size in [512, 4096, 32_767] {
        let mut settings = settings(&server, "sa", &sa_password());
        settings.packet_size(size);
        let mut client = connect(settings).await.unwrap();
        for length in [3999, 4000, 4001, 100_000] {
            let text = "ä".repeat(length);
            let row = client.query("SELECT @P1", &[&text.as_str()]).await.unwrap().into_row().await.unwrap().unwrap();
            assert!(row.get::<&str, _>(0) == Some(text.as_str()), "{length} in packets of {size}");
        }
    }
}

#[tokio::test]
async fn an_error_after_rows_arrives_with_its_number() {
    let server = SqlServer::start().unwrap();
    let mut client = sa(&server).await;
    assert_eq!(number(batch(&mut client, "SELECT 1; SELECT * FROM nothing_of_this_name").await), 208);
    assert_eq!(number(batch(&mut client, "ALTER LOGIN").await), 102);
    // And the line is as good as before.
    assert_eq!(batch(&mut client, "SELECT 1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn several_results_come_one_after_the_other() {
    let server = SqlServer::start().unwrap();
    let mut client = sa(&server).await;
    let results = batch(&mut client, "SELECT 1 AS a; SELECT 2 AS b, N'x' AS c").await.unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!((results[0][0].get::<i32, _>("a"), results[1][0].get::<&str, _>("c")), (Some(1), Some("x")));
}

#[tokio::test]
async fn a_procedure_by_name_returns_its_status() {
    let server = SqlServer::start().unwrap();
    let (mut first, mut second) = (sa(&server).await, sa(&server).await);
    let lock = || {
        let mut command = Command::new("sp_getapplock");
        command.bind_param("@Resource", "one");
        command.bind_param("@LockMode", "Exclusive");
        command.bind_param("@LockOwner", "Session");
        command.bind_param("@LockTimeout", 0_i32);
        command
    };
    assert_eq!(lock().exec(&mut first).await.unwrap().into_command_result().await.unwrap().return_code(), 0);
    assert_eq!(
        lock().exec(&mut second).await.unwrap().into_command_result().await.unwrap().return_code(),
        -1_i32 as u32
    );
}

#[tokio::test]
async fn a_transaction_manager_begins_and_rolls_back() {
    let server = SqlServer::start().unwrap();
    let mut client = sa(&server).await;
    client.begin_transaction().await.unwrap();
    batch(&mut client, "CREATE LOGIN app WITH PASSWORD = N'C0rrect-horse'").await.unwrap();
    client.rollback_transaction().await.unwrap();
    assert!(!server.accepts("app", "C0rrect-horse", None));
    client.begin_transaction().await.unwrap();
    batch(&mut client, "CREATE LOGIN app WITH PASSWORD = N'C0rrect-horse'").await.unwrap();
    client.commit_transaction().await.unwrap();
    assert!(server.accepts("app", "C0rrect-horse", None));
    assert_eq!(number(client.commit_transaction().await), 3902);
}
