//! Keys of one server that say nothing beside its others, or contradict them.

use super::{
    Probe, Probes, Restart, Retry, Scope, ServerLimits, Start, path::Path, values::Reader,
};

/// What a server is, as far as its keys depend on each other.
pub(super) struct Sight<'a> {
    pub(super) restart: Restart,
    pub(super) start: Start,
    pub(super) scope: Scope,
    pub(super) retry: Retry,
    pub(super) probes: &'a Probes,
    pub(super) limits: &'a ServerLimits,
}

/// Keys that have no effect on some servers.
struct Idle {
    keys: &'static [&'static str],
    on: fn(&Sight<'_>) -> bool,
    why: &'static str,
    remedy: &'static str,
}

/// The first rule that holds for a key is told.
const IDLE: &[Idle] = &[
    Idle {
        keys: &[
            "backoffMs",
            "backoffMaxMs",
            "maxRestarts",
            "restartWindowMs",
            "stableMs",
            "reviveMs",
        ],
        on: |server| server.restart == Restart::Never,
        why: "`restart` is `never`",
        remedy: "remove it, or write `always` or `on_failure` as `restart`",
    },
    Idle {
        keys: &["idleStopMs"],
        on: |server| server.start == Start::Eager && server.scope == Scope::Shared,
        why: "only servers that are `lazy` or `per_client` stop when they are idle",
        remedy: "remove it, or add `\"start\": \"lazy\"`",
    },
    Idle {
        keys: &["maxClients"],
        on: |server| server.scope == Scope::Shared,
        why: "all clients share the server",
        remedy: "remove it, or add `\"scope\": \"per_client\"`",
    },
    Idle {
        keys: &["replicas", "maxReplicas"],
        on: |server| server.scope == Scope::PerClient && is_pooled(server.limits),
        why: "`scope` is `per_client`, so each client has one of its own",
        remedy: "remove it, or write `shared` as `scope`",
    },
    Idle {
        keys: &["scaleQueue", "scaleDownMs"],
        on: |server| server.limits.replicas_max <= server.limits.replicas,
        why: "there are never more replicas than `replicas`",
        remedy: "remove it, or add `maxReplicas`",
    },
    Idle {
        keys: &["maxEjectedPercent"],
        on: |server| !is_pooled(server.limits),
        why: "there is one replica, which is kept from calls or is not",
        remedy: "remove it, or add `replicas`",
    },
    Idle {
        keys: &["startupIntervalMs"],
        on: |server| server.probes.startup == Probe::None,
        why: "there is no `startupProbe`",
        remedy: "remove it, or add `\"startupProbe\": \"ping\"`",
    },
    Idle {
        keys: &["readinessIntervalMs", "readinessFailures"],
        on: |server| server.probes.readiness == Probe::None,
        why: "there is no `readinessProbe`",
        remedy: "remove it, or add `\"readinessProbe\": \"ping\"`",
    },
    Idle {
        keys: &["healthIntervalMs", "healthFailures"],
        on: |server| server.probes.liveness == Probe::None,
        why: "`livenessProbe` is `none`",
        remedy: "remove it, or remove `livenessProbe`",
    },
    Idle {
        keys: &["healthFailures", "livenessProbe"],
        on: |server| {
            server.probes.liveness != Probe::None && server.limits.health_interval.is_zero()
        },
        why: "`healthIntervalMs` is 0, so its health is not checked",
        remedy: "remove it, or raise `healthIntervalMs`",
    },
    Idle {
        keys: &["breakerOpenMs"],
        on: |server| server.limits.breaker_percent == 0 && server.limits.breaker_failures == 0,
        why: "`breakerFailures` and `breakerPercent` are 0, so the breaker never opens",
        remedy: "remove it, or raise one of the two",
    },
    Idle {
        keys: &["breakerCalls", "breakerWindowMs"],
        on: |server| server.limits.breaker_percent == 0,
        why: "`breakerPercent` is 0",
        remedy: "remove it, or raise `breakerPercent`",
    },
    Idle {
        keys: &["retryPercent"],
        on: |server| server.retry == Retry::Never,
        why: "`retry` is `never`",
        remedy: "remove it, or write `unsent` or `idempotent` as `retry`",
    },
    Idle {
        keys: &["retry"],
        on: |server| server.retry != Retry::Never && server.limits.retry_percent == 0,
        why: "`retryPercent` is 0",
        remedy: "remove it, or raise `retryPercent`",
    },
];

const fn is_pooled(limits: &ServerLimits) -> bool {
    limits.replicas > 1 || limits.replicas_max > 1
}

impl Reader<'_> {
    /// Warns of keys that say nothing beside the others.
    pub(super) fn warn_of_idle(
        &mut self,
        path: &Path<'_>,
        given: &[(usize, &'static str)],
        server: &Sight<'_>,
    ) {
        for (offset, key) in given {
            let rule = IDLE
                .iter()
                .find(|rule| rule.keys.contains(key) && (rule.on)(server));
            if let Some(rule) = rule {
                let message = format!("has no effect: {}", rule.why);
                self.report
                    .warning(*offset, &path.key(key), message, rule.remedy);
            }
        }
    }

    /// Checks numbers against each other, where at least one of a pair is given here.
    pub(super) fn check_pairs(
        &mut self,
        path: &Path<'_>,
        given: &[(usize, &'static str)],
        limits: &ServerLimits,
    ) {
        let last = |keys: [&str; 2]| given.iter().rfind(|(_, key)| keys.contains(key)).copied();
        let (least, most) = (limits.replicas, limits.replicas_max);
        if let Some((offset, key)) = last(["replicas", "maxReplicas"])
            && most != 0
            && most < least
        {
            let message = format!("`replicas` is {least}, but `maxReplicas` is only {most}");
            let remedy = "raise `maxReplicas`, or lower `replicas`";
            self.report.error(offset, &path.key(key), message, remedy);
        }
        if let Some((offset, key)) = last(["backoffMs", "backoffMaxMs"])
            && limits.backoff > limits.backoff_max
        {
            let (first, most) = (limits.backoff.as_millis(), limits.backoff_max.as_millis());
            let message = format!(
                "`backoffMs` is {first}, but no pause is longer than `backoffMaxMs`, which is {most}"
            );
            let remedy = "raise `backoffMaxMs`, or lower `backoffMs`";
            self.report.warning(offset, &path.key(key), message, remedy);
        }
    }
}
