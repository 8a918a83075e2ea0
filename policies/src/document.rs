//! What people write, as types: only the JSON Schema is made from them, and it is what editors read.
//!
//! Policies are read by walking a tree, because serde stops at the first mistake. `schema` proves in its tests that the walk
//! and these types know the same keys and the same words. The comments here are what editors show.

#![expect(dead_code, reason = "the schema is derived from the fields; no value is ever made")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

/// A duration with its unit: `90s`, `30m`, `24h`, `30d`, `2w`, or several from the longest to the shortest, `1d12h`.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct Duration(#[schemars(regex(pattern = r"^([0-9]+[wdhms])+$|\$\{"))] String);

/// The only version of the language.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct Version(#[schemars(range(min = 1, max = 1))] u8);

/// What must be rotated, when, and how carefully.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "keywheel policy")]
pub(crate) struct PolicyDocument {
    /// Always 1.
    version: Version,
    /// The policy's name, unique among all policies: letters, digits, `.`, `_` and `-`.
    policy: String,
    /// Who to ask about it.
    owner: Option<String>,
    /// Free words to select policies by.
    labels: Option<BTreeMap<String, String>>,
    /// The kind of rotator, such as `postgres`; with a version to ask for, such as `lamp@^1.4`.
    rotator: String,
    /// Where the account is. The rotator says what belongs here.
    target: BTreeMap<String, Value>,
    /// Who may change the account: a reference to a credential, never the credential itself.
    admin: Admin,
    /// How old and new live side by side.
    strategy: Strategy,
    /// The secret that readers read.
    secret: Secret,
    /// What to do with a secret that has no live value yet: `keep` (default) waits until a person puts it, `rotate` makes
    /// the first one within the window.
    adopt: Option<Adopt>,
    /// When a rotation is due.
    schedule: Schedule,
    /// No credential may be accepted for longer than this. Refused where the other durations cannot keep it.
    max_age: Option<Duration>,
    /// How a password is made.
    generate: Option<Generate>,
    /// What must work before the new credential is promoted. Logging in is always tried. Default: `[login]`.
    verify: Option<Vec<Check>>,
    /// How the old credential ends.
    revoke: Option<Revoke>,
    /// How failures are met.
    on_failure: Option<OnFailure>,
    /// One policy for each entry, with `${name}` filled in from its variables. All entries have the same variables.
    for_each: Option<Vec<BTreeMap<String, Variable>>>,
    /// Names of consumers in keywheel.yaml that take over the new version once it is live, in this order. Until each has, the
    /// previous one is not revoked.
    #[schemars(length(max = 50))]
    after_promote: Option<Vec<String>>,
    /// Names of consumers in keywheel.yaml that are told before the previous version is revoked, in this order. It waits until
    /// each was.
    #[schemars(length(max = 50))]
    before_revoke: Option<Vec<String>>,
    /// Ask the target between rotations whether it accepts the live value. Default: not.
    heartbeat: Option<Heartbeat>,
    /// Who is told of what. Default: whoever keywheel.yaml says.
    notify: Option<Notify>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Notify {
    /// Names of notifiers in keywheel.yaml. None (`[]`): nobody is told.
    to: Vec<String>,
    /// What they are told. Default: `[parked, overdue, drift, failed, rolled-back]`.
    #[schemars(length(min = 1))]
    on: Option<Vec<NoticeWord>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum NoticeWord {
    /// A rotation waits for a person.
    Parked,
    /// A live credential is older than `max_age`.
    Overdue,
    /// A heartbeat found that the target refuses the live credential.
    Drift,
    /// A step fails again and again, or makes no progress. It will be tried again.
    Failed,
    /// A rotation was undone: the target is as before.
    RolledBack,
    /// A rotation is done: the previous credential is refused.
    Succeeded,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Variable {
    Text(String),
    Number(i64),
    Boolean(bool),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Admin {
    Own(Own),
    Reference(Reference),
}

#[derive(JsonSchema)]
enum Own {
    /// The account changes itself. With `in_place` only.
    #[schemars(rename = "self")]
    Own,
}

/// One of `secret`, `env` and `file`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Reference {
    /// Another secret in the store.
    secret: Option<String>,
    /// The name of an environment variable: a password where `username` is given, else a JSON object of fields.
    env: Option<String>,
    /// A file with the same content. Relative paths begin at the policy's folder.
    file: Option<String>,
    /// The account that `env` or `file` hold the password of.
    username: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Strategy {
    Word(StrategyWord),
    Shape(StrategyMap),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum StrategyWord {
    /// A second key beside the first.
    Overlapping,
}

/// One of `in_place` and `alternating`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct StrategyMap {
    /// One account. Readers are refused from apply to promote.
    in_place: Option<InPlace>,
    /// Two accounts that take turns. No reader is ever refused.
    alternating: Option<Alternating>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct InPlace {
    /// The account.
    user: String,
    /// Must be `true`: the gap for readers is accepted.
    accept_gap: bool,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Alternating {
    /// The two accounts.
    #[schemars(length(equal = 2))]
    users: Vec<String>,
    /// How strictly the rights of both must match. Default: `require`.
    grant_parity: Option<GrantParity>,
    /// Make an account that does not exist yet, like the other one. Default: false.
    create_missing: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum GrantParity {
    /// A difference fails the rotation.
    Require,
    /// A difference is reported.
    Warn,
    /// Not compared.
    Ignore,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Secret {
    /// Its name in the store, unique: letters, digits, `.`, `_`, `-`, with `/` between parts.
    name: String,
    /// Its fields. Default: `[username, password]`; the rotator may add others, such as `dsn`.
    fields: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum Adopt {
    /// Wait until a person puts the live value.
    Keep,
    /// Make the first value at once, within the window.
    Rotate,
}

/// One of `every`, `cron` and `manual`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Schedule {
    /// This long after the last promotion, in elapsed time.
    every: Option<Duration>,
    /// Five-field cron: minute, hour, day of month, month, day of week (0 and 7 are Sunday). Either day is enough where both
    /// are restricted.
    cron: Option<String>,
    /// `true`: only when a person asks.
    manual: Option<bool>,
    /// A name such as `Europe/Berlin`. Required with `window` and `cron`.
    timezone: Option<String>,
    /// The hours in which a rotation may start.
    window: Option<Window>,
    /// Each secret is delayed by a share of this, always the same one. Default: none.
    jitter: Option<Duration>,
    /// Names of freezes in keywheel.yaml during which nothing starts.
    freezes: Option<Vec<String>>,
    /// Also due this long before the credential ends by itself, where its provider says when. Default: not.
    before_expiry: Option<Duration>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Window {
    /// The days on which it opens. Default: all.
    days: Option<Vec<Day>>,
    /// `HH:MM`, in quotes.
    from: String,
    /// `HH:MM`, excluded, in quotes. Earlier than `from`: the window closes on the next day. `24:00` is the day's end.
    to: String,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Generate {
    /// In characters, 12 to 256. Default: 40.
    #[schemars(range(min = 12, max = 256))]
    length: Option<u16>,
    /// What it is made of. Default: `uri-safe`.
    charset: Option<Charset>,
    /// Classes of which at least one character occurs. Default: none.
    require: Option<Vec<Class>>,
    /// Characters never used. Default: none.
    exclude: Option<String>,
    /// What it begins with. Default: `any`.
    first: Option<First>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Charset {
    Word(CharsetWord),
    Custom(CustomCharset),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum CharsetWord {
    /// Letters, digits and `-._~`: no URI needs to escape them.
    UriSafe,
    /// Letters and digits.
    Alphanumeric,
    /// All printable ASCII characters but the space.
    Ascii,
    /// `0-9a-f`.
    Hex,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct CustomCharset {
    /// The characters: printable ASCII, each once, at least ten.
    custom: String,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum Class {
    Lower,
    Upper,
    Digit,
    Symbol,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum First {
    Any,
    Letter,
    Alphanumeric,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Check {
    Word(CheckWord),
    Sql(SqlCheck),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum CheckWord {
    /// Log in as the application would. Always done.
    Login,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct SqlCheck {
    /// A statement that must succeed as the new credential, read-only.
    sql: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Revoke {
    /// The grace period after promotion. Default: `24h`; none in place.
    after: Option<Duration>,
    /// What must be true before. Default: `always`.
    when: Option<When>,
    /// How long `when` may hold it up after the grace period. Default: `72h`.
    deadline: Option<Duration>,
    /// What to do then. Default: `revoke`.
    on_deadline: Option<OnDeadline>,
    /// Refuse the old credential for this long in a way that can be undone at the target, before it ends for good.
    disable_first: Option<Duration>,
    /// Forbid login beside taking the password away. Default: false.
    disable: Option<bool>,
    /// End sessions that still run as the old credential. Default: false.
    terminate_sessions: Option<bool>,
}

/// A word, or how long nobody may have used it.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum When {
    Word(WhenWord),
    /// Nobody has used it for this long, as far as the target knows: `unused-24h`.
    Unused(#[schemars(regex(pattern = r"^unused-([0-9]+[wdhms])+$"))] String),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum WhenWord {
    /// The grace period alone decides.
    Always,
    /// Nobody is logged in with it.
    NoSessions,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum OnDeadline {
    /// End it all the same.
    Revoke,
    /// Wait for a person.
    Park,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct OnFailure {
    /// Tries of one step, 1 to 100. Default: 5.
    #[schemars(range(min = 1, max = 100))]
    attempts: Option<u8>,
    /// The shortest and the longest wait between tries. Default: `30s..15m`.
    backoff: Option<String>,
    /// What follows when tries run out before promotion. Default: `roll-back`.
    then: Option<Exhausted>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum Exhausted {
    /// Undo to where it began.
    RollBack,
    /// Wait for a person.
    Park,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Heartbeat {
    /// How long after the last answer it is asked again, `1m` to `30d`.
    every: Duration,
    /// What to do where the live value is refused. People are told in any case. Default: `alert`.
    on_drift: Option<OnDrift>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum OnDrift {
    /// Only tell people.
    Alert,
    /// Begin a rotation, within the window: once for each version.
    Rotate,
}

/// Where keywheel keeps what it knows, and where its policies are. Paths begin at the folder of this file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "keywheel.yaml")]
pub(crate) struct SettingsDocument {
    /// Always 1.
    version: Version,
    /// Where the journal is.
    state: State,
    /// Where secrets are.
    secrets: Secrets,
    /// Files, folders with all that is in them, and patterns such as `policies/**/*.yaml`.
    policies: Vec<String>,
    /// Declarations of providers of API keys: files, folders with all that is in them, and patterns.
    providers: Option<Vec<String>>,
    /// Rotators that others wrote, by the word after `rotator:`.
    plugins: Option<BTreeMap<String, Versions>>,
    /// Times in which no scheduled rotation starts, by name.
    freezes: Option<BTreeMap<String, Freeze>>,
    /// How much happens at once.
    limits: Option<Limits>,
    /// How long things may take.
    deadlines: Option<Deadlines>,
    /// What policies can name under `after_promote` and `before_revoke`, by name.
    #[schemars(extend("maxProperties" = 1000))]
    consumers: Option<BTreeMap<String, Consumer>>,
    /// The ways to tell people, by name.
    #[schemars(extend("maxProperties" = 50))]
    notifiers: Option<BTreeMap<String, Notifier>>,
    /// Who is told of policies that have no `notify` of their own. Default: all notifiers.
    notify: Option<Notify>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct State {
    /// The path of a SQLite database.
    sqlite: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Secrets {
    /// An encrypted store on this machine.
    local: Local,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Local {
    /// The path of the store.
    path: String,
    /// The key that encrypts it.
    master_key: MasterKey,
}

/// One of `file` and `env`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct MasterKey {
    /// The path of a file that holds it.
    file: Option<String>,
    /// The name of an environment variable that holds it.
    env: Option<String>,
}

/// One file, or several of different versions.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Versions {
    One(Plugin),
    Several(#[schemars(length(min = 1))] Vec<Plugin>),
}

/// Has one of `file` and `library`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Plugin {
    /// An executable.
    file: Option<String>,
    /// A dynamic library.
    library: Option<String>,
    /// Load the library into the daemon itself, where nothing confines it. Default: `false`.
    in_process: Option<bool>,
    /// What `sha256sum` prints of the file: another one is not started.
    #[schemars(regex(pattern = "^[0-9A-Fa-f]{64}$"))]
    sha256: String,
    /// The signature of the file, as `minisign` wrote it: another file is not started.
    signature: Option<String>,
    /// Whose signature it must be: the line of `minisign.pub` that begins with `RW`.
    #[schemars(regex(pattern = "^RW[0-9A-Za-z+/]{54}$"))]
    public_key: Option<String>,
    /// MiB of memory for each of its processes. Default: 1024.
    #[schemars(range(min = 64, max = 65536))]
    memory_mib: Option<u32>,
    /// Processor time for each of its processes, `1s` to `1h`. Default: `60s`.
    cpu: Option<Duration>,
    /// Files and folders that it may read, beside the system's programs and libraries. Default: none.
    read: Option<Vec<String>>,
    /// TCP ports that it may connect to. Default: none, and no network at all.
    #[schemars(inner(range(min = 1, max = 65535)))]
    connect: Option<Vec<u16>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Freeze {
    /// The first day, `2026-12-20`, or a clock time on it, `2026-12-20T18:00`.
    from: String,
    /// The last day, included; or a clock time, excluded.
    to: String,
    /// A name such as `Europe/Berlin`.
    timezone: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Limits {
    /// Rotations in all. Default: 16.
    #[schemars(range(min = 1, max = 1000))]
    rotations: Option<u16>,
    /// Rotations at one target. Default: 4.
    #[schemars(range(min = 1, max = 1000))]
    per_target: Option<u16>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Deadlines {
    /// One call to a target or a store, `1s` to `10m`. Default: `30s`.
    step: Option<Duration>,
    /// After this long without renewal another process may take a rotation over, `5s` to `10m`.
    /// `step` is less than two thirds of it. Default: `60s`.
    lease: Option<Duration>,
}

/// Has one of `exec`, `file` and `webhook`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Consumer {
    /// A program that is run, without a shell.
    exec: Option<Exec>,
    /// A file that is written.
    file: Option<File>,
    /// A signed POST, as Standard Webhooks has it, without the secret.
    webhook: Option<Webhook>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Exec {
    /// The path of an executable file, and its arguments. No secret belongs in those: everybody on the machine can see them.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// What it reads on its standard input. Default: `nothing`.
    input: Option<ExecInput>,
    /// How long it may take, `1s` to `5m`. Default: `20s`.
    timeout: Option<Duration>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum ExecInput {
    /// Nothing.
    Nothing,
    /// The secret's fields, as one JSON object.
    Fields,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct File {
    /// Its path, in a folder that exists.
    path: String,
    /// What it holds, with `${name}` for each field of the secret. Default: all fields, as one JSON object.
    template: Option<String>,
    /// Who may use it, as octal digits in quotes: nothing for others, and the group may not write. Default: `"0600"`.
    #[schemars(regex(pattern = "^0?[0-7][0145]0$"))]
    mode: Option<String>,
    /// The name of the account that owns it. Default: that of keywheel.
    owner: Option<String>,
    /// The name of its group. Default: that of keywheel.
    group: Option<String>,
    /// What to send once it is written.
    signal: Option<FileSignal>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct FileSignal {
    /// The file that holds the number of the process.
    pid_file: String,
    /// Default: `hup`.
    signal: Option<Signal>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Signal {
    Hup,
    Usr1,
    Usr2,
}

/// Has one of `email`, `webhook`, `slack`, `teams` and `log`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Notifier {
    /// Mail, through one server.
    email: Option<Email>,
    /// A signed POST, as Standard Webhooks has it.
    webhook: Option<Webhook>,
    /// An incoming webhook of Slack, or of what understands its form.
    slack: Option<Chat>,
    /// A workflow of Microsoft Teams.
    teams: Option<Chat>,
    /// The program's own log: `log: {}`.
    log: Option<Log>,
    /// How long further notices are waited for after the first, so that they are one message: `0s` to `1h`. Default: `30s`.
    group_wait: Option<Duration>,
    /// The shortest time between two messages, `0s` to `1d`. Default: `5m`.
    group_interval: Option<Duration>,
    /// When to send what was rotated, what is due and what is late. Default: never.
    digest: Option<Digest>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Log {}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Digest {
    /// Five-field cron: minute, hour, day of month, month, day of week.
    cron: String,
    /// A name such as `Europe/Berlin`.
    timezone: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Email {
    /// The mail server.
    host: String,
    /// Default: 587 with `starttls`, 465 with `implicit`, 25 with `disable`.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// How the line is protected. Default: `starttls`.
    tls: Option<MailTls>,
    /// `true`: `tls: disable` is accepted for another machine, too.
    insecure: Option<bool>,
    /// Authorities to trust beside the system's, as PEM.
    ca_file: Option<String>,
    /// Whom to log in as: a reference to a credential, never the credential itself. Default: no login.
    login: Option<Login>,
    /// A mailbox, such as `keywheel <keywheel@example.com>`.
    from: String,
    /// Mailboxes.
    #[schemars(length(min = 1, max = 50))]
    to: Vec<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum MailTls {
    /// Begins in clear, and must change to TLS before anything is said.
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// In clear: to this machine only, unless `insecure: true` says otherwise.
    Disable,
}

/// One of `secret`, `env` and `file`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Login {
    /// A secret in the store.
    secret: Option<String>,
    /// The name of an environment variable: a password where `username` is given, else a JSON object of fields.
    env: Option<String>,
    /// A file with the same content.
    file: Option<String>,
    /// The account that `env` or `file` hold the password of.
    username: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Webhook {
    /// `https`; or `http` to this machine.
    url: String,
    /// Where the key of the signature is; up to three while it changes.
    signed_with: SigningKeys,
    /// `true`: `http` is accepted to another machine, too.
    insecure: Option<bool>,
    /// Authorities to trust beside the system's, as PEM.
    ca_file: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum SigningKeys {
    One(TextReference),
    Several(#[schemars(length(min = 1, max = 3))] Vec<TextReference>),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Chat {
    /// Where the address is: it is itself a secret.
    url: TextReference,
    /// Authorities to trust beside the system's, as PEM.
    ca_file: Option<String>,
}

/// One of `secret`, `env` and `file`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct TextReference {
    /// A secret in the store.
    secret: Option<String>,
    /// Its field. Default: `password`.
    field: Option<String>,
    /// The name of an environment variable.
    env: Option<String>,
    /// A file, without the line break at its end.
    file: Option<String>,
}
