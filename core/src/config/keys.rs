//! Every key of a configuration file, once: what is read, described and suggested.

use std::{fmt::Write, time::Duration};

use super::{FleetLimits, ServerLimits, near::near_miss};

/// A key that a configuration file may hold.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Key {
    /// The object that it stands in.
    pub place: Place,
    /// The key itself.
    pub name: &'static str,
    /// What holds where the key is absent, for people.
    pub default: &'static str,
    /// The kind of its value: a unit (`ms`, `bytes`, `count`) for numbers.
    pub unit: &'static str,
    /// The least and the greatest value of a number.
    pub range: Option<(u64, u64)>,
    /// What it says, in one line.
    pub doc: &'static str,
    pub(super) slot: Slot,
}

/// An object of a configuration file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Place {
    /// The whole file.
    Top,
    /// One server, below `mcpServers` or `servers`.
    Server,
    /// The object `fleet`.
    Fleet,
    /// The object `fleet.client`.
    Client,
    /// An element of the list `fleet.roots`.
    Root,
}

impl Place {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Top => "the file",
            Self::Server => "a server",
            Self::Fleet => "`fleet`",
            Self::Client => "`fleet.client`",
            Self::Root => "a root",
        }
    }

    /// Finds what `name` means in this place.
    pub(super) fn key(self, name: &str) -> Option<&'static Key> {
        KEYS.iter()
            .find(|key| key.place == self && key.name == name)
    }

    /// Finds the key of this place that `name` was probably meant to be.
    pub(super) fn near_miss(self, name: &str) -> Option<&'static str> {
        near_miss(
            name,
            KEYS.iter()
                .filter(|key| key.place == self)
                .map(|key| key.name),
        )
    }
}

/// What the reader does with the value of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Servers,
    FleetObject,
    Inputs,
    Schema,
    Command,
    Args,
    Env,
    EnvFile,
    Cwd,
    Type,
    Url,
    Headers,
    Enabled,
    Disabled,
    Restart,
    Start,
    Scope,
    After,
    Group,
    StartupProbe,
    ReadinessProbe,
    LivenessProbe,
    Retry,
    Replace,
    ServerLimit(Bound<ServerLimits>),
    FleetLimit(Bound<FleetLimits>),
    Defaults,
    Groups,
    Client,
    Roots,
    Name,
    Version,
    Title,
    Uri,
}

/// A number within limits `L`.
#[derive(Debug)]
pub(super) struct Bound<L: 'static> {
    pub(super) set: fn(&mut L, u64),
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "tests hold the table to the defaults")
    )]
    pub(super) of: fn(&L) -> u64,
}

impl<L> Clone for Bound<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Bound<L> {}

/// A value that is written as a whole number; a time in milliseconds.
trait Amount {
    fn from_amount(amount: u64) -> Self;
    fn amount(&self) -> u64;
}

impl Amount for Duration {
    fn from_amount(amount: u64) -> Self {
        Self::from_millis(amount)
    }

    fn amount(&self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Amount for u64 {
    fn from_amount(amount: u64) -> Self {
        amount
    }

    fn amount(&self) -> u64 {
        *self
    }
}

impl Amount for u32 {
    fn from_amount(amount: u64) -> Self {
        Self::try_from(amount).unwrap_or(Self::MAX)
    }

    fn amount(&self) -> u64 {
        u64::from(*self)
    }
}

impl Amount for usize {
    fn from_amount(amount: u64) -> Self {
        Self::try_from(amount).unwrap_or(Self::MAX)
    }

    fn amount(&self) -> u64 {
        u64::try_from(*self).unwrap_or(u64::MAX)
    }
}

const fn key(
    place: Place,
    name: &'static str,
    slot: Slot,
    default: &'static str,
    unit: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        place,
        name,
        default,
        unit,
        range: None,
        doc,
        slot,
    }
}

macro_rules! number {
    ($place:ident $name:literal: $slot:ident . $field:ident, $default:literal $unit:literal,
     $least:literal ..= $most:expr, $doc:literal) => {
        Key {
            place: Place::$place,
            name: $name,
            default: $default,
            unit: $unit,
            range: Some(($least, $most)),
            doc: $doc,
            slot: Slot::$slot(Bound {
                set: |limits, amount| limits.$field = Amount::from_amount(amount),
                of: |limits| Amount::amount(&limits.$field),
            }),
        }
    };
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Every key that is read. All others are warned of and have no effect.
///
/// The reader itself looks keys up here, so the table is never out of date. Numbers of
/// [`Place::Server`] may stand in `fleet.defaults` too, for all servers.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key(Place::Top, "mcpServers", Slot::Servers, "none", "object", "the servers, by name"),
    key(Place::Top, "servers", Slot::Servers, "none", "object", "the same, as VS Code writes it"),
    key(Place::Top, "fleet", Slot::FleetObject, "{}", "object", "what concerns all servers"),
    key(Place::Top, "inputs", Slot::Inputs, "none", "list", "prompts of VS Code; never asked here"),
    key(Place::Top, "$schema", Slot::Schema, "none", "string", "for editors; has no effect"),

    key(Place::Server, "command", Slot::Command, "none", "string", "program of a local server: a path, or a name on `PATH`"),
    key(Place::Server, "args", Slot::Args, "[]", "list of strings", "its arguments"),
    key(Place::Server, "env", Slot::Env, "{}", "object of strings", "its variables, beside the few that every server gets"),
    key(Place::Server, "envFile", Slot::EnvFile, "none", "string", "refused: write the variables into `env`"),
    key(Place::Server, "cwd", Slot::Cwd, "the host's own", "string", "its working directory"),
    key(Place::Server, "type", Slot::Type, "by `command` or `url`", "string", "`stdio`, `http`, `streamable-http` or `sse`"),
    key(Place::Server, "url", Slot::Url, "none", "string", "endpoint of a remote server"),
    key(Place::Server, "headers", Slot::Headers, "{}", "object of strings", "headers to send with every request to it"),
    key(Place::Server, "enabled", Slot::Enabled, "true", "true or false", "whether the server is started"),
    key(Place::Server, "disabled", Slot::Disabled, "false", "true or false", "the opposite of `enabled`"),
    key(Place::Server, "restart", Slot::Restart, "always", "string", "`always`, `on_failure` (unless it ends with status 0) or `never`"),
    key(Place::Server, "start", Slot::Start, "eager", "string", "`eager`, or `lazy`: not before a call, or a server that comes after it, needs it"),
    key(Place::Server, "scope", Slot::Scope, "shared", "string", "`shared`, or `per_client`: each client has one of its own"),
    key(Place::Server, "after", Slot::After, "[]", "list of strings", "servers that are to be ready before it starts"),
    key(Place::Server, "group", Slot::Group, "none", "string", "one of `fleet.groups`"),
    key(Place::Server, "startupProbe", Slot::StartupProbe, "none", "string", "whether it has started up: `none`, `ping` or `tool:NAME`"),
    key(Place::Server, "readinessProbe", Slot::ReadinessProbe, "none", "string", "whether it is to be given calls: `none`, `ping` or `tool:NAME`"),
    key(Place::Server, "livenessProbe", Slot::LivenessProbe, "ping", "string", "whether it lives, or is started anew: `none`, `ping` or `tool:NAME`"),
    key(Place::Server, "retry", Slot::Retry, "unsent", "string", "lost calls that are made again: `never`, `unsent`, or `idempotent`, which trusts the annotations of its tools"),
    key(Place::Server, "replace", Slot::Replace, "beside", "string", "how a new configuration takes over: `beside` the old server until it is ready, or `in_turn`, when that is gone"),

    number!(Server "timeoutMs": ServerLimit.timeout, "60000" "ms", 1..=DAY_MS, "how long a call may take; progress, where it was asked for, starts it anew"),
    number!(Server "timeoutMaxMs": ServerLimit.timeout_max, "600000" "ms", 1..=7 * DAY_MS, "how long a call may take in all, whatever its progress, and a question of the server may wait for the application"),
    number!(Server "startTimeoutMs": ServerLimit.start_timeout, "60000" "ms", 1..=HOUR_MS, "from the start of the process to an open session, and a startup probe that succeeds"),
    number!(Server "probeTimeoutMs": ServerLimit.probe_timeout, "5000" "ms", 1..=HOUR_MS, "how long the era probe waits before the handshake"),
    number!(Server "requestTimeoutMs": ServerLimit.request_timeout, "15000" "ms", 1..=HOUR_MS, "how long a probe or one page of a list may take"),
    number!(Server "drainTimeoutMs": ServerLimit.drain_timeout, "10000" "ms", 0..=HOUR_MS, "how long calls may go on when the server is to stop"),
    number!(Server "closeInputWaitMs": ServerLimit.close_input_wait, "2000" "ms", 0..=5 * MINUTE_MS, "from the closing of standard input to SIGTERM"),
    number!(Server "terminateWaitMs": ServerLimit.terminate_wait, "2000" "ms", 0..=5 * MINUTE_MS, "from SIGTERM to SIGKILL"),
    number!(Server "killWaitMs": ServerLimit.kill_wait, "5000" "ms", 1..=5 * MINUTE_MS, "from SIGKILL to giving up a server that still did not end"),
    number!(Server "healthIntervalMs": ServerLimit.health_interval, "30000" "ms", 0..=DAY_MS, "from one health check to the next; none when 0"),
    number!(Server "healthFailures": ServerLimit.health_failures, "3" "count", 1..=1000, "unanswered health checks in a row after which it is started anew"),
    number!(Server "startupIntervalMs": ServerLimit.startup_interval, "1000" "ms", 1..=HOUR_MS, "from one startup probe to the next"),
    number!(Server "readinessIntervalMs": ServerLimit.readiness_interval, "10000" "ms", 1..=DAY_MS, "from one readiness probe to the next"),
    number!(Server "readinessFailures": ServerLimit.readiness_failures, "3" "count", 1..=1000, "failed readiness probes in a row after which it gets no calls"),
    number!(Server "breakerFailures": ServerLimit.breaker_failures, "10" "count", 0..=10_000, "lost calls in a row that open the breaker; any number when 0"),
    number!(Server "breakerPercent": ServerLimit.breaker_percent, "50" "percent", 0..=100, "lost calls of a hundred that open the breaker; any number when 0"),
    number!(Server "breakerCalls": ServerLimit.breaker_calls, "20" "count", 1..=10_000, "calls in one window before `breakerPercent` counts"),
    number!(Server "breakerWindowMs": ServerLimit.breaker_window, "10000" "ms", 1..=HOUR_MS, "the window of `breakerCalls`"),
    number!(Server "breakerOpenMs": ServerLimit.breaker_open, "5000" "ms", 1..=HOUR_MS, "from the opening of the breaker to the one call that tries again"),
    number!(Server "backoffMs": ServerLimit.backoff, "500" "ms", 1..=HOUR_MS, "longest pause before the first restart; each further one doubles it"),
    number!(Server "backoffMaxMs": ServerLimit.backoff_max, "30000" "ms", 1..=DAY_MS, "longest pause before any restart"),
    number!(Server "maxRestarts": ServerLimit.restarts, "5" "count", 0..=10_000, "restarts in one window, failed starts included"),
    number!(Server "restartWindowMs": ServerLimit.restart_window, "60000" "ms", 1..=DAY_MS, "the window of `maxRestarts`"),
    number!(Server "stableMs": ServerLimit.stable, "60000" "ms", 0..=DAY_MS, "how long it must have taken calls for its failures to be forgiven"),
    number!(Server "reviveMs": ServerLimit.revive, "300000" "ms", 1000..=7 * DAY_MS, "from the end of the restarts to one more try"),
    number!(Server "probationMs": ServerLimit.probation, "30000" "ms", 0..=DAY_MS, "how long it may come back when the one that replaced it fails"),
    number!(Server "idleStopMs": ServerLimit.idle_stop, "300000" "ms", 0..=7 * DAY_MS, "how long a `lazy` or `per_client` server lives without a call; for ever when 0"),
    number!(Server "exitWaitMs": ServerLimit.exit_wait, "500" "ms", 0..=5 * MINUTE_MS, "how long output is still read after the process ended"),
    number!(Server "refreshIntervalMs": ServerLimit.refresh_interval, "1000" "ms", 0..=HOUR_MS, "least time between two refreshes of one list"),
    number!(Server "roundPauseMs": ServerLimit.round_pause, "250" "ms", 0..=5 * MINUTE_MS, "pause before an `input_required` round that asks nothing"),
    number!(Server "maxInFlight": ServerLimit.in_flight, "128" "count", 1..=65_536, "calls sent and not answered"),
    number!(Server "maxQueue": ServerLimit.queue, "1024" "count", 0..=1_000_000, "calls waiting to be sent"),
    number!(Server "maxQueuePerClient": ServerLimit.queue_per_client, "0" "count", 0..=1_000_000, "calls of one client waiting to be sent; as many as `maxQueue` when 0"),
    number!(Server "retryPercent": ServerLimit.retry_percent, "20" "percent", 0..=20, "retries of a hundred calls"),
    number!(Server "replicas": ServerLimit.replicas, "1" "count", 1..=256, "processes or connections that serve the name"),
    number!(Server "maxReplicas": ServerLimit.replicas_max, "0" "count", 0..=256, "as many at most when calls queue up; no more than `replicas` when 0"),
    number!(Server "scaleQueue": ServerLimit.scale_queue, "8" "count", 1..=1_000_000, "calls waiting for each replica that call for one more"),
    number!(Server "scaleDownMs": ServerLimit.scale_down, "60000" "ms", 1..=DAY_MS, "how long one replica too many has nothing to do before it is stopped"),
    number!(Server "maxEjectedPercent": ServerLimit.ejected_percent, "50" "percent", 0..=100, "read, and without effect yet: replicas of a hundred that may be kept from calls for their health"),
    number!(Server "maxClients": ServerLimit.clients, "64" "count", 1..=65_536, "clients with a server of their own, where `scope` is `per_client`"),
    number!(Server "maxWaiting": ServerLimit.waiting, "256" "count", 1..=65_536, "commands waiting for the server"),
    number!(Server "maxLineBytes": ServerLimit.line_bytes, "16777216" "bytes", 1024..=GIB, "length of one message from the server"),
    number!(Server "maxWriteBytes": ServerLimit.write_bytes, "4194304" "bytes", 1024..=GIB, "bytes under way to the server; one frame may exceed it"),
    number!(Server "maxNoiseLines": ServerLimit.noise_lines, "1000" "count", 0..=1_000_000, "lines in a row on standard output that are no messages"),
    number!(Server "logBytes": ServerLimit.log_bytes, "16384" "bytes", 0..=64 * MIB, "bytes kept of standard error and of noise"),
    number!(Server "maxPages": ServerLimit.pages, "1000" "count", 1..=100_000, "pages of one list"),
    number!(Server "maxEntries": ServerLimit.entries, "10000" "count", 1..=1_000_000, "entries of one list"),
    number!(Server "maxInputs": ServerLimit.inputs, "64" "count", 0..=65_536, "questions of the server that wait for the application"),
    number!(Server "maxRounds": ServerLimit.rounds, "10" "count", 0..=1000, "rounds of `input_required` in one call"),

    number!(Fleet "maxServers": FleetLimit.servers, "1024" "count", 1..=65_536, "servers deployed at once"),
    number!(Fleet "maxCalls": FleetLimit.calls, "65536" "count", 1..=16_777_216, "calls accepted and not yet ended, over all servers"),
    number!(Fleet "maxStarting": FleetLimit.starting, "8" "count", 1..=65_536, "servers that start at the same time; others wait their turn"),
    number!(Fleet "maxCallsPerClient": FleetLimit.calls_per_client, "0" "count", 0..=16_777_216, "calls of one client accepted and not yet ended; as many as `maxCalls` when 0"),
    key(Place::Fleet, "groups", Slot::Groups, "{}", "object of strings", "groups of servers by name: `one_for_one`, `one_for_all` (all are started anew with one) or `rest_for_one` (those after it)"),
    key(Place::Fleet, "defaults", Slot::Defaults, "{}", "object", "numbers for all servers that do not say otherwise"),
    key(Place::Fleet, "client", Slot::Client, "mcp-fleet itself", "object", "who we say we are to servers"),
    key(Place::Fleet, "roots", Slot::Roots, "not offered", "list of objects", "directories that servers may work in"),

    key(Place::Client, "name", Slot::Name, "mcp-fleet", "string", "name of the program"),
    key(Place::Client, "version", Slot::Version, "that of mcp-fleet", "string", "its version"),
    key(Place::Client, "title", Slot::Title, "none", "string", "a name for people"),

    key(Place::Root, "uri", Slot::Uri, "none", "string", "a `file://` URI; must be given"),
    key(Place::Root, "name", Slot::Name, "none", "string", "a name for people"),
];

/// Writes [`KEYS`] as a table in Markdown.
pub fn keys_table() -> String {
    let mut table =
        String::from("| in | key | value | default | meaning |\n|---|---|---|---|---|\n");
    for Key {
        place,
        name,
        default,
        unit,
        range,
        doc,
        ..
    } in KEYS
    {
        let place = place.as_str();
        let range = range
            .map(|(least, most)| format!(", {least} to {most}"))
            .unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {place} | `{name}` | {unit}{range} | {default} | {doc} |"
        );
    }
    table
}

/// What is meant by a key of another tool, where ours has another name or no such thing.
pub(super) fn foreign(place: Place, name: &str) -> Option<&'static str> {
    let hint = match (place, name) {
        (Place::Server, "timeout" | "toolTimeout" | "tool_timeout_sec") => {
            "for the time of a call write `timeoutMs`, in milliseconds"
        }
        (Place::Server, "connectionTimeout" | "initTimeout" | "startup_timeout_sec") => {
            "for the time of a start write `startTimeoutMs`, in milliseconds"
        }
        (Place::Server, "requestTimeout") => "write `requestTimeoutMs`, in milliseconds",
        (Place::Server, "restartOnExit") => "write `restart`: `always`, `on_failure` or `never`",
        (Place::Server, "restartDelay") => "write `backoffMs`, in milliseconds",
        (Place::Server, "serverUrl" | "httpUrl" | "endpoint" | "uri") => "write `url`",
        (Place::Server, "transport" | "transportType") => "write `type`",
        (Place::Server, "environment") => "write `env`",
        (Place::Server, "workingDirectory" | "working_directory") => "write `cwd`",
        (Place::Top, "mcp_servers" | "context_servers" | "mcp") => "write `mcpServers`",
        (Place::Top, "defaults" | "client" | "roots" | "maxServers" | "maxCalls") => {
            "move it into the object `fleet`"
        }
        (Place::Top | Place::Server | Place::Fleet | Place::Client | Place::Root, _) => {
            return None;
        }
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_the_true_defaults_within_their_ranges() {
        let mut numbers = 0;
        for key in KEYS {
            let default = if let Slot::ServerLimit(bound) = key.slot {
                (bound.of)(&ServerLimits::default())
            } else if let Slot::FleetLimit(bound) = key.slot {
                (bound.of)(&FleetLimits::default())
            } else {
                assert_eq!(key.range, None, "{}", key.name);
                continue;
            };
            let (least, most) = key.range.unwrap();
            assert_eq!(key.default, default.to_string(), "{}", key.name);
            assert!((least..=most).contains(&default), "{}", key.name);
            numbers += 1;
        }
        // A field of either struct without a key would make its debug output longer than this.
        let fields = |debug: String| debug.matches(": ").count();
        let all = fields(format!("{:?}", ServerLimits::default()))
            + fields(format!("{:?}", FleetLimits::default()));
        assert_eq!(numbers, all);
    }

    #[test]
    fn each_number_sets_its_own_field() {
        for key in KEYS {
            if let Slot::ServerLimit(bound) = key.slot {
                let mut limits = ServerLimits::default();
                (bound.set)(&mut limits, 4321);
                assert_eq!((bound.of)(&limits), 4321, "{}", key.name);
                let reached = |other: &&Key| matches!(other.slot, Slot::ServerLimit(bound) if (bound.of)(&limits) == 4321);
                assert_eq!(KEYS.iter().filter(reached).count(), 1, "{}", key.name);
            }
        }
    }

    #[test]
    fn no_place_has_a_key_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            let same = |other: &Key| other.place == key.place && other.name == key.name;
            assert!(!KEYS[..index].iter().any(same), "{}", key.name);
            assert!(foreign(key.place, key.name).is_none(), "{}", key.name);
        }
    }

    #[test]
    fn the_documentation_holds_this_very_table() {
        assert_eq!(include_str!("keys.md"), keys_table());
    }
}
