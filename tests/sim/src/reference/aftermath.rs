//! What may follow what: the one place that knows what becomes of a server after a start, a crash
//! or an order. Policies of supervision are to be added here.

use mcp_fleet_core::{Exit, Failure, ServerState, Timer, config::Restart};

/// Whether a server may go from one state to the other.
pub(super) const fn may_follow(before: ServerState, after: ServerState) -> bool {
    use ServerState::{
        Asleep, Backoff, Closing, Draining, Failed, Handshaking, Probing, Ready, Starting, Stopped,
        Unready, Waiting, Warming,
    };
    match after {
        Asleep => matches!(before, Stopped | Failed | Closing | Backoff | Waiting),
        Waiting => matches!(
            before,
            Stopped | Asleep | Failed | Closing | Backoff | Waiting
        ),
        Starting => matches!(
            before,
            Stopped | Asleep | Failed | Closing | Backoff | Waiting
        ),
        Probing => matches!(before, Starting | Handshaking),
        Handshaking => matches!(before, Starting | Probing),
        Warming => matches!(before, Probing | Handshaking),
        Ready => matches!(before, Probing | Handshaking | Warming | Unready),
        Unready => matches!(before, Ready),
        Draining => matches!(before, Ready | Unready),
        Closing => matches!(
            before,
            Starting | Probing | Handshaking | Warming | Ready | Unready | Draining
        ),
        Stopped => matches!(
            before,
            Closing | Failed | Stopped | Asleep | Backoff | Waiting
        ),
        // What cannot be opened goes there at once.
        Backoff | Failed => matches!(before, Closing | Starting),
        _ => false,
    }
}

/// Whether a server may be started again by itself: its policy wants it, and it could help.
pub(super) fn may_restart(failure: &Failure, policy: Restart) -> bool {
    let curable = !matches!(
        failure,
        Failure::CannotStart {
            transient: false,
            ..
        } | Failure::Incompatible { .. }
    );
    let orderly = matches!(
        failure,
        Failure::Crashed {
            exit: Some(Exit::Code(0)),
            ..
        } | Failure::EndedEarly {
            exit: Some(Exit::Code(0)),
            ..
        }
    );
    let wanted = match policy {
        Restart::Always => true,
        Restart::OnFailure => !orderly,
        Restart::Never => false,
    };
    curable && wanted
}

/// Whether the session is open, and calls were taken.
pub(super) const fn is_up(state: ServerState) -> bool {
    matches!(state, ServerState::Ready | ServerState::Unready)
}

/// Whether the server has one of the places for servers that start.
pub(super) const fn is_starting(state: ServerState) -> bool {
    matches!(
        state,
        ServerState::Starting
            | ServerState::Probing
            | ServerState::Handshaking
            | ServerState::Warming
    )
}

/// Whether the handshake is over, and the session is not.
pub(super) const fn is_open(state: ServerState) -> bool {
    matches!(
        state,
        ServerState::Warming | ServerState::Ready | ServerState::Unready | ServerState::Draining
    )
}

/// Whether the server has come to an end, good or bad, until something else is wanted of it.
const fn is_at_rest(state: ServerState) -> bool {
    matches!(state, ServerState::Stopped | ServerState::Failed)
}

/// Whether no call may be open: nothing will ever come that could serve it.
pub(super) const fn holds_no_calls(state: ServerState) -> bool {
    is_at_rest(state) || matches!(state, ServerState::Asleep)
}

/// Whether a server may stay so when nothing goes wrong any more.
pub(super) const fn is_settled(state: ServerState) -> bool {
    is_at_rest(state) || matches!(state, ServerState::Ready | ServerState::Asleep)
}

/// Whether a new call is certain to be taken, but for want of room.
pub(super) const fn takes_calls(state: ServerState) -> bool {
    matches!(
        state,
        ServerState::Asleep
            | ServerState::Waiting
            | ServerState::Backoff
            | ServerState::Starting
            | ServerState::Probing
            | ServerState::Handshaking
            | ServerState::Warming
            | ServerState::Ready
            | ServerState::Unready
    )
}

/// Whether a new call is certain to be refused.
pub(super) const fn refuses_calls(state: ServerState) -> bool {
    is_at_rest(state)
}

/// Whether a server in this state may wait for this.
pub(super) const fn may_wait_for(state: ServerState, timer: Timer) -> bool {
    use ServerState::{
        Backoff, Closing, Draining, Failed, Handshaking, Probing, Ready, Starting, Unready,
        Waiting, Warming,
    };
    match timer {
        Timer::Start => matches!(state, Starting | Probing | Handshaking | Warming),
        Timer::Startup => matches!(state, Warming),
        Timer::Probe => matches!(state, Probing),
        Timer::Drain => matches!(state, Draining),
        Timer::CloseInput | Timer::Terminate | Timer::ExitWait | Timer::KillWait => {
            matches!(state, Closing)
        }
        Timer::Listen => matches!(state, Warming | Ready | Unready),
        Timer::Refresh | Timer::Health | Timer::Readiness | Timer::Page | Timer::Idle => {
            matches!(state, Ready | Unready)
        }
        Timer::Request => matches!(state, Warming | Ready | Unready | Draining | Closing),
        Timer::Round => matches!(state, Ready | Unready | Draining | Closing),
        Timer::Input => matches!(
            state,
            Probing | Handshaking | Warming | Ready | Unready | Draining | Closing
        ),
        Timer::Backoff => matches!(state, Backoff),
        Timer::Revive => matches!(state, Failed),
        Timer::Dependency => matches!(state, Waiting),
        Timer::Turn => true,
        Timer::Call => !holds_no_calls(state),
        _ => false,
    }
}
