//! A server that runs only while it is needed.

use super::{
    Context, Server,
    state::{After, State},
};
use crate::{
    config::{Kind, Scope, ServerConfig, Start},
    event::CatalogKind,
    ids::CallId,
    input::Request,
    planted::{Bug, planted},
    session::ListState,
    time::Time,
    wire::RawJson,
};

/// Subscriptions of one incarnation that are told apart. Where there are more, those that came later
/// do not keep the server awake by themselves.
const SUBSCRIPTIONS_MAX: usize = 1024;

impl Server {
    /// Starts a server that was deployed; one that is started when it is needed sleeps until then.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>) {
        if self.lazy && self.is_at_rest() && self.calls.is_empty() {
            cx.starts.give_back(self.id);
            self.stop_waiting(cx);
            self.fall_asleep(cx);
        } else {
            self.start(cx);
        }
    }

    /// Stops a server that has nothing to do. Calls that come until nothing is left of the
    /// incarnation wait for the next.
    pub(crate) fn sleep(&mut self, cx: &mut Context<'_>) {
        if matches!(self.state, State::Ready(_)) {
            self.leave(cx, After::Sleep, None);
        }
    }

    /// Starts a server that sleeps.
    pub(crate) fn wake(&mut self, cx: &mut Context<'_>) {
        if matches!(self.state, State::Asleep) {
            self.start(cx);
        }
    }

    /// A call is enough to wake it.
    pub(super) fn wake_for_calls(&mut self, cx: &mut Context<'_>) {
        if !self.calls.is_empty() && !planted(Bug::WakeForgotten) {
            self.wake(cx);
        }
    }

    /// What a server does that had nothing to do, or whose pause after a failure is over.
    pub(super) fn rest_or_start(&mut self, cx: &mut Context<'_>) {
        if self.lazy && self.calls.is_empty() {
            self.fall_asleep(cx);
        } else {
            self.start(cx);
        }
    }

    /// A call was answered well: notes what it subscribed the application to.
    pub(super) fn note_subscription(&mut self, id: CallId) {
        let Some(Request::Method { method, params }) = self.calls.get(id).map(|call| &call.request)
        else {
            return;
        };
        let params = params.as_ref().map_or("", RawJson::as_str).to_owned();
        match method.as_str() {
            "resources/subscribe" if self.subscriptions.len() < SUBSCRIPTIONS_MAX => {
                self.subscriptions.insert(params);
            }
            "resources/unsubscribe" => drop(self.subscriptions.take(&params)),
            _ => {}
        }
    }

    /// Whether it sleeps.
    pub(crate) const fn is_asleep(&self) -> bool {
        matches!(self.state, State::Asleep)
    }

    /// Whether a list was read by some incarnation, or the server does not offer it.
    pub(super) fn knows(&self, kind: CatalogKind) -> bool {
        *self.catalog.state(kind) != ListState::Unread
    }

    /// Since when it is ready and has nothing to do: no call, no open question, and no subscription
    /// that was asked for.
    pub(super) fn idle_since(&self) -> Option<Time> {
        let idle = matches!(self.state, State::Ready(_)) && self.has_nothing_to_do();
        idle.then_some(self.idle.last_busy)
    }

    pub(super) fn has_nothing_to_do(&self) -> bool {
        let calls = self.calls.is_empty() || planted(Bug::ReapedMidCall);
        calls && self.questions.is_empty() && self.subscriptions.is_empty()
    }

    fn fall_asleep(&mut self, cx: &mut Context<'_>) {
        if !self.is_asleep() {
            self.enter(cx, State::Asleep);
        }
    }
}

/// Whether a server of this configuration is started when it is needed, and stopped when it is not.
pub(crate) const fn is_lazy(config: &ServerConfig) -> bool {
    // A pair of streams is used once.
    config.enabled
        && !matches!(config.kind, Kind::Attached)
        && (matches!(config.start, Start::Lazy) || matches!(config.scope, Scope::PerClient))
}
