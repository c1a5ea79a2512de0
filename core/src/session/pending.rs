//! What was asked of the server and not answered yet.

use crate::{event::CatalogKind, ids::CallId};

/// What a request was sent for, so that its answer finds its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// `server/discover`, to learn the era.
    Probe,
    /// `initialize`.
    Initialize,
    /// A call of the application.
    Call(CallId),
    /// A page of a list.
    Page(CatalogKind),
    /// `ping` or `server/discover`, to see whether the server answers.
    Health,
    /// `subscriptions/listen`, to hear of changed lists.
    Listen,
}

impl Purpose {
    /// The call of the application, where it is one.
    pub(crate) const fn call(self) -> Option<CallId> {
        match self {
            Self::Call(call) => Some(call),
            Self::Probe | Self::Initialize | Self::Page(_) | Self::Health | Self::Listen => None,
        }
    }
}

/// A request on its way.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Pending {
    pub(crate) purpose: Purpose,
    /// Where its frame begins in the outgoing stream.
    pub(crate) start: u64,
    /// The progress last reported; absent where none was asked for.
    pub(crate) progress: Option<f64>,
}
