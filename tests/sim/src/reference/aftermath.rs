//! What may follow what: the one place that knows what becomes of a server after a start, a crash
//! or an order. Policies of supervision are to be added here.

use mcp_fleet_core::{ServerState, Timer};

/// Whether a server may go from one state to the other.
pub(super) const fn may_follow(before: ServerState, after: ServerState) -> bool {
    use ServerState::{Closing, Draining, Failed, Handshaking, Probing, Ready, Starting, Stopped};
    match after {
        Starting => matches!(before, Stopped | Failed | Closing),
        Probing => matches!(before, Starting | Handshaking),
        Handshaking => matches!(before, Starting | Probing),
        Ready => matches!(before, Probing | Handshaking),
        Draining => matches!(before, Ready),
        Closing => matches!(before, Starting | Probing | Handshaking | Ready | Draining),
        Stopped => matches!(before, Closing | Failed | Stopped),
        Failed => matches!(before, Closing | Starting),
        _ => false,
    }
}

/// Whether nothing of the server runs.
pub(super) const fn is_at_rest(state: ServerState) -> bool {
    matches!(state, ServerState::Stopped | ServerState::Failed)
}

/// Whether no call may be open: nothing will ever come that could serve it.
pub(super) const fn holds_no_calls(state: ServerState) -> bool {
    is_at_rest(state)
}

/// Whether a server may stay so when nothing goes wrong any more.
pub(super) const fn is_settled(state: ServerState) -> bool {
    is_at_rest(state) || matches!(state, ServerState::Ready)
}

/// Whether a new call is certain to be taken, but for want of room.
pub(super) const fn takes_calls(state: ServerState) -> bool {
    matches!(
        state,
        ServerState::Starting
            | ServerState::Probing
            | ServerState::Handshaking
            | ServerState::Ready
    )
}

/// Whether a new call is certain to be refused.
pub(super) const fn refuses_calls(state: ServerState) -> bool {
    is_at_rest(state)
}

/// Whether a server in this state may wait for this.
pub(super) const fn may_wait_for(state: ServerState, timer: Timer) -> bool {
    use ServerState::{Closing, Draining, Handshaking, Probing, Ready, Starting};
    match timer {
        Timer::Start => matches!(state, Starting | Probing | Handshaking),
        Timer::Probe => matches!(state, Probing),
        Timer::Drain => matches!(state, Draining),
        Timer::CloseInput | Timer::Terminate | Timer::ExitWait => matches!(state, Closing),
        Timer::Listen | Timer::Refresh => matches!(state, Ready),
        Timer::Request | Timer::Round => matches!(state, Ready | Draining | Closing),
        Timer::Call => !holds_no_calls(state),
        _ => false,
    }
}
