//! What a test chooses about an instance: its version, its password policy, its group.

use std::collections::BTreeMap;
use std::time::Duration;

use super::group::AvailabilityGroup;
use super::hash::Format;

/// How an instance begins. [`Default`] is SQL Server 2022 with the password policy of a fresh Windows domain.
#[derive(Debug, Clone)]
pub struct Options {
    pub version: Version,
    pub password_policy: PasswordPolicy,
    pub sa_password: String,
    /// What `@@SERVERNAME` says; replicas of a group are told apart by it.
    pub server_name: String,
    /// The availability group of which this instance is a replica. The first that joins is primary.
    pub group: Option<AvailabilityGroup>,
    /// Rounds of PBKDF2 in the hashes of SQL Server 2025. The real server takes 100,000; fewer is faster in tests.
    pub hash_rounds: u32,
    /// Federated tokens with the login that each is of, for servers that take some: Azure SQL Database, and SQL Server from 2022
    /// on. This double has no directory, so a token is whatever a test says, and its login is one that has a password too.
    pub tokens: BTreeMap<String, String>,
    /// What `ProductVersion` says instead of what is usual for the version: `13.0.5026.0`, say.
    pub product_version: Option<String>,
    /// `IsIntegratedSecurityOnly`, as a server set to Windows authentication has it. Passwords do not get in then, and so only
    /// tokens and [`crate::SqlServer::execute`] do.
    pub integrated_security_only: bool,
    /// `contained database authentication`, which is off on a fresh server, and on in Azure.
    pub contained_authentication: bool,
}

impl Options {
    /// `ProductVersion`.
    pub(crate) fn product(&self) -> &str {
        self.product_version.as_deref().unwrap_or(self.version.product())
    }

    pub(crate) fn hash_format(&self) -> Format {
        if self.version == Version::V2025 { Format::Pbkdf2 { rounds: self.hash_rounds } } else { Format::Sha512 }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: Version::V2022,
            password_policy: PasswordPolicy::default(),
            sa_password: "Sa-Passw0rd!".to_owned(),
            server_name: "DOUBLE".to_owned(),
            group: None,
            hash_rounds: 1_000,
            tokens: BTreeMap::new(),
            product_version: None,
            integrated_security_only: false,
            contained_authentication: false,
        }
    }
}

/// Which server is doubled: what `SERVERPROPERTY` says, the format of hashes, and the statements that it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V2016,
    V2017,
    V2019,
    V2022,
    V2025,
    AzureSqlDatabase,
}

impl Version {
    /// Azure SQL Database, with its own statements and errors.
    #[must_use]
    pub fn is_azure(self) -> bool {
        self == Self::AzureSqlDatabase
    }

    /// `ProductVersion`, where nothing else is said.
    fn product(self) -> &'static str {
        match self {
            Self::V2016 => "13.0.6300.2",
            Self::V2017 => "14.0.3456.2",
            Self::V2019 => "15.0.4375.4",
            Self::V2022 => "16.0.4135.4",
            Self::V2025 => "17.0.1000.7",
            Self::AzureSqlDatabase => "12.0.2000.8",
        }
    }

    /// The name of the release, as in `@@VERSION`.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::V2016 => "Microsoft SQL Server 2016 (SP3)",
            Self::V2017 => "Microsoft SQL Server 2017 (RTM-CU31)",
            Self::V2019 => "Microsoft SQL Server 2019 (RTM-CU27)",
            Self::V2022 => "Microsoft SQL Server 2022 (RTM-CU14)",
            Self::V2025 => "Microsoft SQL Server 2025 (RTM)",
            Self::AzureSqlDatabase => "Microsoft SQL Azure (RTM)",
        }
    }
}

/// What the server asks of passwords where CHECK_POLICY is on, and when it locks a login out.
///
/// The server asks Windows (NetValidatePasswordPolicy), which knows a *change*, of who gives the present password
/// (`OLD_PASSWORD`, or a change at the login), and a *reset*. A change is refused while the login is locked out (15113), where
/// the present password is too young (15114), where it is or was among the last ones (15115), and for length and complexity
/// (15116 to 15118): [MS-SAMR] 3.1.5.13.7.2. A reset is asked for length and complexity only (3.1.5.13.7.3).
#[derive(Debug, Clone)]
pub struct PasswordPolicy {
    /// In UTF-16 units.
    pub min_length: usize,
    /// Three of the four: upper case, lower case, digits, others; and not the name of the login.
    pub complexity: bool,
    /// With more UTF-16 units than this Windows finds it too long (15117). None: only the server's own limit of 128 (15156).
    pub max_length: Option<usize>,
    /// How many passwords, with the present one, may not be taken again.
    pub history: usize,
    /// Whether a reset may not take a former password either. That `ALTER LOGIN` without `OLD_PASSWORD` is Windows' reset, and
    /// so leaves history out, is an inference from [MS-SAMR], which no page of SQL Server confirms: a rotator has to work with
    /// both. A change never takes one.
    pub history_on_reset: bool,
    /// A password younger than this is not changed. It is reset all the same.
    pub min_age: Duration,
    /// So many bad passwords within the window lock the login. 0: never.
    pub lockout_threshold: u32,
    pub lockout_duration: Duration,
    pub lockout_window: Duration,
    /// With CHECK_EXPIRATION on, a password older than this has expired. None: never.
    pub max_age: Option<Duration>,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_length: 8,
            complexity: true,
            max_length: None,
            history: 24,
            history_on_reset: true,
            min_age: Duration::ZERO,
            lockout_threshold: 5,
            lockout_duration: Duration::from_secs(1800),
            lockout_window: Duration::from_secs(1800),
            max_age: Some(Duration::from_secs(42 * 24 * 3600)),
        }
    }
}
