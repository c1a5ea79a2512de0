//! Where a server is in its life.

use super::waiting::Wait;
use crate::{
    error::{Exit, Failure},
    event::{ServerState, WaitingFor},
    session::Session,
};

/// The state and what belongs to it.
#[derive(Debug)]
pub(super) enum State {
    Stopped,
    /// Nothing runs, and the next call starts it.
    Asleep,
    /// Waits for another server, or for its turn to start.
    Waiting(Wait),
    Starting(Opening),
    Probing(Live),
    Handshaking(Live),
    /// The session is open, and its startup probe has not succeeded.
    Warming(Live),
    Ready(Live),
    Draining(Live, After),
    Closing(Closing),
    Backoff(Failure),
    Failed(Failure),
}

/// How a session begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opening {
    /// With the question for its era, of which a legacy server may die.
    Probe,
    /// With the legacy handshake, because the incarnation before died of the question.
    Respawn,
    /// With the legacy handshake, because it proved to be legacy a while ago.
    Remembered,
}

/// An incarnation that is open.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) session: Session,
    pub(super) opening: Opening,
    pub(super) exit: Option<Exit>,
    pub(super) eof: bool,
    pub(super) rotation: Rotation,
}

/// Whether a server that is ready is given new calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Rotation {
    In,
    /// It is not, because its readiness probe came to this.
    Out(String),
}

/// An incarnation on the close ladder.
#[derive(Debug)]
pub(super) struct Closing {
    /// Absent where it never opened.
    pub(super) live: Option<Live>,
    pub(super) was_ready: bool,
    pub(super) killed: bool,
    pub(super) after: After,
}

/// What comes when nothing is left of an incarnation.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum After {
    /// The server stays stopped.
    Stop,
    /// The server sleeps, unless a call waits for it.
    Sleep,
    /// The server is forgotten.
    Retire,
    /// The next incarnation begins.
    Restart,
    /// The next incarnation begins, with the legacy handshake.
    Respawn,
    /// The server has failed.
    Fail(Cause),
}

/// Why a server failed, as far as known while it still closes.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Cause {
    /// Its process, its output or its input ended.
    Ended,
    /// The session was not open in time.
    StartTimedOut,
    /// It says itself why.
    Known(Failure),
}

impl After {
    /// Why an incarnation is ended for this; `None` where it ended by itself.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::Stop => Some("it was stopped".to_owned()),
            Self::Sleep => Some("it had nothing to do".to_owned()),
            Self::Retire => Some("it was undeployed".to_owned()),
            Self::Restart => Some("it was restarted".to_owned()),
            Self::Respawn | Self::Fail(Cause::Ended | Cause::StartTimedOut) => None,
            Self::Fail(Cause::Known(failure)) => Some(format!("it {failure}")),
        }
    }

    /// Whether calls may wait for what comes.
    pub(super) const fn is_temporary(&self) -> bool {
        match self {
            Self::Sleep | Self::Restart | Self::Respawn => true,
            Self::Stop | Self::Retire | Self::Fail(_) => false,
        }
    }
}

impl State {
    pub(super) const fn word(&self) -> ServerState {
        match self {
            Self::Stopped => ServerState::Stopped,
            Self::Asleep => ServerState::Asleep,
            Self::Waiting(_) => ServerState::Waiting,
            Self::Starting(_) => ServerState::Starting,
            Self::Probing(_) => ServerState::Probing,
            Self::Handshaking(_) => ServerState::Handshaking,
            Self::Warming(_) => ServerState::Warming,
            Self::Ready(live) => match live.rotation {
                Rotation::In => ServerState::Ready,
                Rotation::Out(_) => ServerState::Unready,
            },
            Self::Draining(..) => ServerState::Draining,
            Self::Closing(_) => ServerState::Closing,
            Self::Backoff(_) => ServerState::Backoff,
            Self::Failed(_) => ServerState::Failed,
        }
    }

    /// Whether an incarnation exists, so that signals may come.
    pub(super) const fn has_link(&self) -> bool {
        match self {
            Self::Stopped
            | Self::Asleep
            | Self::Waiting(_)
            | Self::Backoff(_)
            | Self::Failed(_) => false,
            Self::Starting(_)
            | Self::Probing(_)
            | Self::Handshaking(_)
            | Self::Warming(_)
            | Self::Ready(_)
            | Self::Draining(..)
            | Self::Closing(_) => true,
        }
    }

    /// Why the server failed, where it has.
    pub(super) const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Backoff(failure) | Self::Failed(failure) => Some(failure),
            Self::Stopped
            | Self::Asleep
            | Self::Waiting(_)
            | Self::Starting(_)
            | Self::Probing(_)
            | Self::Handshaking(_)
            | Self::Warming(_)
            | Self::Ready(_)
            | Self::Draining(..)
            | Self::Closing(_) => None,
        }
    }

    /// What keeps it from starting, where it is to start.
    pub(super) fn waiting_for(&self) -> Option<WaitingFor> {
        match self {
            Self::Waiting(wait) => Some(wait.waiting_for()),
            Self::Stopped
            | Self::Asleep
            | Self::Starting(_)
            | Self::Probing(_)
            | Self::Handshaking(_)
            | Self::Warming(_)
            | Self::Ready(_)
            | Self::Draining(..)
            | Self::Closing(_)
            | Self::Backoff(_)
            | Self::Failed(_) => None,
        }
    }

    pub(super) const fn live(&self) -> Option<&Live> {
        match self {
            Self::Probing(live)
            | Self::Handshaking(live)
            | Self::Warming(live)
            | Self::Ready(live)
            | Self::Draining(live, _) => Some(live),
            Self::Closing(closing) => closing.live.as_ref(),
            Self::Stopped
            | Self::Asleep
            | Self::Waiting(_)
            | Self::Starting(_)
            | Self::Backoff(_)
            | Self::Failed(_) => None,
        }
    }

    pub(super) const fn live_mut(&mut self) -> Option<&mut Live> {
        match self {
            Self::Probing(live)
            | Self::Handshaking(live)
            | Self::Warming(live)
            | Self::Ready(live)
            | Self::Draining(live, _) => Some(live),
            Self::Closing(closing) => closing.live.as_mut(),
            Self::Stopped
            | Self::Asleep
            | Self::Waiting(_)
            | Self::Starting(_)
            | Self::Backoff(_)
            | Self::Failed(_) => None,
        }
    }
}
