//! T-SQL itself: text, numbers, flow, queries.

use super::{ask_with, check, instance};
use crate::exchange::Value;

#[tokio::test]
async fn literals_and_names_are_read_as_they_are_quoted() {
    let mut sa = instance().console();
    check(
        &mut sa,
        &[
            ("SELECT N'it''s'", "it's"),
            ("SELECT 'a' + N'b'", "ab"),
            ("SELECT N'🔑', LEN(N'🔑'), DATALENGTH(N'🔑')", "🔑|2|4"),
            ("SELECT 1 AS [a]]b], 2 AS \"c\"\"d\"", "1|2"),
            ("SELECT '--' /* a /* nested */ ' comment */ -- and this", "--"),
            ("SELECT 'a\nb'", "a\nb"),
            ("SELECT '\\'", "\\"),
            ("SELECT 'open", "!105"),
            ("SELECT 'a' 'b' 'c'", "!102"),
            ("SELECT 0x0AfF, 0x", "0x0AFF|0x"),
            ("SET QUOTED_IDENTIFIER OFF", ""),
            ("SELECT \"it's\"", "it's"),
            ("SET QUOTED_IDENTIFIER ON", ""),
            ("SELECT \"it's\"", "!207"),
            ("", ""),
            (";;", ""),
            ("GO", "!2812"),
            ("PRINT 1 GO", "!102"),
            ("SELEC 1", "!2812"),
            ("PRINT 1 SELEC 1", "!102"),
            ("SELECT FROM", "!156"),
            ("SELECT 1 FROM nowhere", "!208"),
            ("SELECT nothing", "!207"),
            ("SELECT NOTHING(1)", "!195"),
            ("SELECT LOGINPROPERTY(NULL, 'IsLocked'), SUSER_SID(NULL), DB_ID(NULL)", "NULL|NULL|NULL"),
            ("SELECT LOGINPROPERTY(name, 'IsLocked') FROM sys.sql_logins WHERE name = 'nobody'", ""),
            ("SELECT @nothing", "!137"),
            ("PRINT 'not even this' SET @nothing = 1", "!137"),
            ("PRINT @late DECLARE @late int", "!137"),
            ("WAITFOR DELAY '00:00:00.001' PRINT 'done'", "\"done\""),
            ("WAITFOR DELAY 'soon'", "!148"),
        ],
    )
    .await;
}

#[tokio::test]
async fn statements_need_no_semicolons() {
    let mut sa = instance().console();
    check(
        &mut sa,
        &[
            ("SELECT 1 SELECT 2; SELECT 3", "1,2,3"),
            ("DECLARE @a int = 2, @b nvarchar(10) = N'x' SET @a = @a * 21 SELECT @a, @b", "42|x"),
            ("DECLARE @a int SELECT @a = principal_id FROM sys.sql_logins WHERE name = N'SA' PRINT @a", "\"1\""),
            ("IF 1 = 1 SELECT 1 ELSE SELECT 2", "1"),
            ("IF 1 = 2 SELECT 1; ELSE SELECT 2", "2"),
            ("IF NULL = NULL SELECT 1", ""),
            ("IF EXISTS (SELECT 1 FROM sys.sql_logins WHERE name = 'sa') BEGIN PRINT 'a' PRINT 'b' END ELSE BEGIN PRINT 'c' END", "\"a\",\"b\""),
            ("IF 1 = 2 BEGIN IF 1 = 1 SELECT 1 END ELSE IF 1 = 1 SELECT 3", "3"),
            ("DECLARE @i int = 0 WHILE @i < 3 BEGIN SET @i = @i + 1 PRINT @i END", "\"1\",\"2\",\"3\""),
            ("SELECT CASE WHEN 1 = 1 THEN 'a' ELSE 'b' END SELECT CASE 2 WHEN 1 THEN 'x' WHEN 2 THEN 'y' END", "a,y"),
            ("EXEC(N'SELECT 1; SELECT ''it''''s''')", "1,it's"),
            ("DECLARE @sql nvarchar(max) = N'SELECT ' + QUOTENAME('a]b', '''') EXEC (@sql)", "a]b"),
            ("DECLARE @sql nvarchar(max) = QUOTENAME(REPLICATE('a', 129)) EXEC(@sql)", ""),
            ("EXEC sp_executesql N'SELECT @a + 1', N'@a int', @a = 41", "42"),
            ("DECLARE @o int EXEC sp_executesql N'SET @a = 7', N'@a int OUTPUT', @a = @o OUTPUT SELECT @o", "7"),
            ("RETURN SELECT 1", ""),
            ("PRINT 'a' RETURN PRINT 'b'", "\"a\""),
            ("IF 1 = 1", "!102"),
            ("BEGIN SELECT 1", "!102"),
        ],
    )
    .await;
}

#[tokio::test]
async fn errors_are_caught() {
    let mut sa = instance().console();
    check(
        &mut sa,
        &[
            ("BEGIN TRY ALTER LOGIN nobody DISABLE END TRY BEGIN CATCH SELECT ERROR_NUMBER(), ERROR_SEVERITY() END CATCH", "15151|16"),
            ("BEGIN TRY SELECT 1/0 END TRY BEGIN CATCH PRINT ERROR_MESSAGE(); THROW END CATCH", "\"Divide by zero error encountered.\",!8134"),
            ("BEGIN TRY SELECT 1 END TRY BEGIN CATCH SELECT 2 END CATCH SELECT 3", "1,3"),
            ("RAISERROR(N'a %s %d', 16, 1, 'b', 3) PRINT 'on'", "!50000,\"on\""),
            ("RAISERROR('note', 10, 1)", ""),
            ("THROW 51000, 'x', 1 PRINT 'on'", "!51000"),
            ("ALTER LOGIN nobody DISABLE SELECT @@ERROR SELECT @@ERROR", "!15151,15151,0"),
            ("SELECT 1/0 SELECT 2", "!8134,2"),
            ("EXEC('BEGIN TRY ALTER LOGIN nobody DISABLE END TRY BEGIN CATCH PRINT 1 END CATCH') SELECT ERROR_NUMBER()", "\"1\",NULL"),
        ],
    )
    .await;
}

#[tokio::test]
async fn queries() {
    let mut sa = instance().console();
    check(
        &mut sa,
        &[
            ("CREATE TABLE t (a int NOT NULL, b nvarchar(10) DEFAULT (N'x, y'), CONSTRAINT pk PRIMARY KEY (a, b))", ""),
            ("CREATE TABLE t (a int)", "!2714"),
            ("CREATE TABLE u (a nothing)", "!243"),
            ("INSERT INTO t (a, b) VALUES (1, N'x'), (2, N'Y'), (3, NULL)", ""),
            ("SELECT @@ROWCOUNT", "3"),
            ("SELECT * FROM t WHERE b = 'X '", "1|x"),
            ("SELECT a FROM dbo.t WHERE b IN ('y', 'z') OR b IS NULL ORDER BY a DESC", "3,2"),
            ("SELECT a FROM t WHERE b NOT IN ('y', NULL)", ""),
            ("SELECT TOP 1 a FROM t ORDER BY b DESC", "2"),
            ("SELECT TOP (2) x = a FROM t ORDER BY x DESC", "3,2"),
            ("SELECT COUNT(*), COUNT(b), MAX(a), MIN(a), SUM(a) FROM t", "3|2|3|1|6"),
            ("SELECT COUNT(*) FROM t WHERE 1 = 2", "0"),
            ("SELECT b, COUNT(*) AS n FROM t GROUP BY b HAVING COUNT(*) > 0 ORDER BY b", "NULL|1,x|1,Y|1"),
            ("SELECT STRING_AGG(CAST(a AS nvarchar(10)), N',') FROM t", "1,2,3"),
            ("SELECT l.a, r.a FROM t AS l LEFT JOIN t r ON r.a = l.a + 1 ORDER BY l.a", "1|2,2|3,3|NULL"),
            (
                "SELECT l.a FROM t l CROSS JOIN t r WHERE l.a = r.a AND EXISTS (SELECT 1 FROM t x WHERE x.a = l.a + 1)",
                "1,2",
            ),
            ("SELECT t.a, d.n FROM t CROSS APPLY (SELECT COUNT(*) AS n FROM t u WHERE u.a < t.a) AS d", "1|0,2|1,3|2"),
            ("SELECT 1 UNION SELECT 1 UNION ALL SELECT 2", "1,2"),
            ("SELECT a FROM t EXCEPT SELECT 2", "1,3"),
            ("SELECT a FROM t INTERSECT SELECT 2", "2"),
            ("WITH c AS (SELECT a FROM t WHERE a > 1) SELECT COUNT(*) FROM c", "2"),
            ("SELECT (SELECT MAX(a) FROM t), DISTINCT_", "!207"),
            ("SELECT DISTINCT CASE WHEN a > 1 THEN 'big' ELSE 'small' END FROM t", "small,big"),
            ("SELECT a FROM t WHERE a BETWEEN 2 AND 3 AND b LIKE '[x-z]'", "2"),
            ("SELECT a FROM t, t AS u", "!209"),
            ("SELECT u.a FROM t", "!4104"),
            ("SELECT t.z FROM t", "!207"),
            ("SELECT (SELECT a FROM t)", "!512"),
            ("SELECT TOP 1 name FROM master.sys.databases ORDER BY name", "master"),
            ("SELECT name FROM sys.databases WITH (NOLOCK) WHERE database_id = 2", "tempdb"),
            ("DELETE FROM t WHERE a > 1 SELECT a FROM t", "1"),
            ("DROP TABLE t SELECT 1 FROM t", "!208"),
            ("DROP TABLE IF EXISTS t", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn functions() {
    let mut sa = instance().console();
    check(
        &mut sa,
        &[
            ("SELECT LEFT(N'abc', 2), RIGHT('abc', 2), SUBSTRING('abc', 2, 1), UPPER('a'), LOWER('A')", "ab|bc|b|A|a"),
            ("SELECT REPLACE('aXbx', 'x', '-'), CHARINDEX('B', 'abc'), LEN('a  '), CONCAT('a', NULL, 1)", "a-b-|2|1|a1"),
            ("SELECT QUOTENAME('a]b'), QUOTENAME('a''b', ''''), QUOTENAME(REPLICATE('x', 129))", "[a]]b]|'a''b'|NULL"),
            ("SELECT ISNULL(NULL, 'x'), COALESCE(NULL, NULL, 2), NULLIF(1, 1), IIF(1 = 1, 'y', 'n')", "x|2|NULL|y"),
            ("SELECT CONVERT(nvarchar(10), 0x0AFF, 1), CONVERT(varbinary(2), '0x0AFF', 1), CAST('12' AS int) + 1", "0x0AFF|0x0AFF|13"),
            ("SELECT CAST('x' AS int)", "!245"),
            ("SELECT CONVERT(nvarchar(30), DATEADD(day, 1, CAST('2024-02-28T10:00:00' AS datetime)), 126)", "2024-02-29T10:00:00.000"),
            ("SELECT DATEDIFF(second, '20240101', '2024-01-01 00:01:00'), DATEDIFF(day, '20240101', '20240301')", "60|60"),
            ("SELECT DATEADD(month, 1, '20240131'), CAST('20240229' AS datetime)", "@3918153600000|@3918153600000"),
            ("SELECT LEFT(CONVERT(nvarchar(100), HASHBYTES('SHA2_256', N'a'), 2), 16)", "FFE9AAEAA2A2D504"),
            ("SELECT DB_NAME(), DB_ID('tempdb'), SUSER_SNAME(), ORIGINAL_LOGIN(), SYSTEM_USER, USER_NAME(), CURRENT_USER", "master|2|sa|sa|sa|dbo|dbo"),
            ("SELECT SUSER_SNAME(0x01), SUSER_SID('sa'), SUSER_ID('sa'), SUSER_ID('nobody')", "sa|0x01|1|NULL"),
            ("SELECT IS_SRVROLEMEMBER('sysadmin'), IS_SRVROLEMEMBER('nothing'), IS_MEMBER('db_owner')", "1|NULL|1"),
            ("SELECT @@SERVERNAME, SERVERPROPERTY('ProductMajorVersion'), SERVERPROPERTY('EngineEdition')", "DOUBLE|16|3"),
            ("SELECT SERVERPROPERTY('Edition'), SERVERPROPERTY('IsHadrEnabled'), SERVERPROPERTY('Nothing')", "Developer Edition (64-bit)|0|NULL"),
            ("SELECT DATABASEPROPERTYEX('master', 'Updateability'), DATABASEPROPERTYEX('nothing', 'Status')", "READ_WRITE|NULL"),
            ("SELECT PWDCOMPARE(N'Sa-Passw0rd!', password_hash), PWDCOMPARE(N'sa-passw0rd!', password_hash) FROM sys.sql_logins", "1|0"),
            ("SELECT OBJECT_ID('nothing'), SCHEMA_NAME(1), HAS_DBACCESS('msdb'), HAS_DBACCESS('nothing')", "NULL|dbo|1|NULL"),
            ("SELECT LEN(@@VERSION) - LEN(@@VERSION), @@TRANCOUNT", "0|0"),
        ],
    )
    .await;
}

#[tokio::test]
async fn parameters_are_values() {
    let mut sa = instance().console();
    let hostile = "'; DROP LOGIN sa; --";
    let text = Value::Text(hostile.to_owned());
    assert_eq!(ask_with(&mut sa, "SELECT @P1", &[("@P1", text.clone())]).await, hostile);
    let probe = "SELECT PWDCOMPARE(@P1, password_hash) FROM sys.sql_logins WHERE name = @p2";
    let parameters = [("@P1", Value::Text("Sa-Passw0rd!".to_owned())), ("@P2", Value::Text("SA".to_owned()))];
    assert_eq!(ask_with(&mut sa, probe, &parameters).await, "1");
    assert_eq!(ask_with(&mut sa, probe, &[("@P1", text), ("@P2", Value::Null)]).await, "");
}

#[tokio::test]
async fn what_is_too_deep_is_refused() {
    let mut sa = instance().console();
    let deep =
        |open: &str, inside: &str, close: &str, times| format!("{}{inside}{}", open.repeat(times), close.repeat(times));
    for (statement, expected) in [
        (format!("SELECT {}", deep("(", "1", ")", 12)), "1"),
        (format!("SELECT {}", deep("(", "1", ")", 5000)), "!191"),
        (format!("SELECT {}", deep("(SELECT ", "1", ")", 600)), "!191"),
        (format!("SELECT 1{}", "+1".repeat(300)), "301"),
        (format!("SELECT 1{}", "+1".repeat(100_000)), "!191"),
        (format!("IF 1=1{} SELECT 1", " AND 1=1".repeat(150)), "1"),
        (format!("SELECT {}1", "- ".repeat(1500)), "!191"),
        (format!("IF {} 1=1 SELECT 1", "NOT ".repeat(1500)), "!191"),
        (format!("SELECT {}", deep("CASE WHEN 1=1 THEN ", "1", " END", 190)), "!191"),
        (deep("BEGIN ", "SELECT 1", " END", 50), "1"),
        (deep("BEGIN ", "SELECT 1", " END", 100_000), "!191"),
        ("IF 1=1 ".repeat(100_000), "!191"),
        (format!("DECLARE @s nvarchar(max) = N'{}' EXEC(@s)", "x".repeat(100_000)), "!103"),
        ("DECLARE @s nvarchar(max) = N'EXEC(@s)' EXEC(@s)".to_owned(), "!137"),
    ] {
        let start: String = statement.chars().take(40).collect();
        assert_eq!(super::ask(&mut sa, &statement).await, expected, "{start}");
    }
    // Whatever the answer at the border, there is one.
    for depth in 1..40 {
        for (open, close) in
            [("(SELECT ", ")"), ("(", ")"), ("CASE WHEN 1=1 THEN ", " END"), ("ISNULL(NULL, ", ")"), ("- ", "")]
        {
            let answer = super::ask(&mut sa, &format!("SELECT {}", deep(open, "1", close, depth))).await;
            assert!(["1", "-1", "!191", "!102"].contains(&answer.as_str()), "{open} {depth}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_clients_send_first_is_understood() {
    let mut sa = instance().console();
    let all = "SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; SET ANSI_NULLS ON; SET ANSI_NULL_DFLT_ON ON; SET ANSI_PADDING ON;
        SET ANSI_WARNINGS ON; SET CURSOR_CLOSE_ON_COMMIT ON; SET QUOTED_IDENTIFIER ON; SET TEXTSIZE 2147483647;
        SET LANGUAGE us_english SET DATEFORMAT mdy SET LOCK_TIMEOUT -1 SET TRANSACTION ISOLATION LEVEL READ COMMITTED
        SET ANSI_NULLS, ANSI_PADDING ON SET NOCOUNT ON SET XACT_ABORT ON SET IMPLICIT_TRANSACTIONS OFF SET ROWCOUNT 0";
    check(&mut sa, &[(all, ""), ("SET NOTHING ON", "!195"), ("SET LOCK_TIMEOUT 250 SELECT @@LOCK_TIMEOUT", "250")])
        .await;
}
