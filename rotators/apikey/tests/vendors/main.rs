//! Each shipped declaration against a double of its vendor, which knows what the vendor's documents say and nothing else.
//!
//! A vendor's file holds its rules (`answer`) and what differs of its keys (`Case`). What is done with them is the same for
//! all (`contract!`): `life` is the whole life of a key, recorded in `golden/`; `trouble` is what goes wrong on the way;
//! `exam` is what all rotators sit. The `double` keeps keys, records and breaks lines. Where the engine makes the value, there is
//! no vendor, and `engine_made` is the contract.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

/// What holds for each declaration: of its case, and of how many cases of the exam fit it.
macro_rules! contract {
    ($case:expr, $fitting:literal) => {
        #[tokio::test]
        async fn whole_life() {
            crate::life::whole(&$case).await;
        }

        #[tokio::test]
        async fn trouble() {
            crate::trouble::all(&$case).await;
        }

        #[tokio::test]
        async fn exam() {
            crate::exam::sits(&$case, $fitting).await;
        }
    };
}

mod asked;
mod aws_iam;
mod azure_application;
mod case;
mod cloudflare;
mod datadog;
mod datadog_api_key;
mod datadog_application_key;
mod documents;
mod double;
mod engine_made;
mod exam;
mod gitlab;
mod gitlab_project;
mod gitlab_user;
mod grafana;
mod life;
mod openai;
mod openai_admin;
mod openai_project;
mod record;
mod sendgrid;
mod shelf;
mod shipped;
mod sigv4;
mod trouble;
