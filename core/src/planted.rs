//! Bugs that a build can plant on purpose, to show that the simulator finds them.
//!
//! None is there unless the compiler is told `--cfg mcp_fleet_planted="name"`, which no feature
//! and no profile does; `tests/sim/planted.sh` builds with each of them in turn.

/// A bug that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// Signals of an older incarnation are taken for the current one's.
    StaleReply,
    /// A queued call cannot be cancelled.
    LostCancel,
    /// A call that fails has its outcome told twice.
    DoubleReply,
    /// A call that leaves the queue keeps its place in it.
    QueueSlotLeak,
    /// A call whose pause ends keeps its place in flight.
    InFlightLeak,
    /// The queue takes one call too many.
    QueueOffByOne,
    /// One call too many is sent.
    InFlightOffByOne,
    /// A frame that was written in part is said never to have been sent.
    SentNoAfterWrite,
    /// Calls between two rounds outlive their server.
    ForgottenRound,
    /// Progress does not move the deadline.
    DeadlineNotMoved,
    /// The server is not told that a call was given up.
    SilentCancel,
    /// The group is not swept while a grandchild holds the output open.
    KillForgotten,
    /// What SIGKILL does not end is waited for, for ever.
    KillWaitForgotten,
    /// The id of a request that was given up is used again.
    IdReuse,
    /// Deadlines of an incarnation outlive it.
    TimerLeftArmed,
    /// A line that arrives in pieces loses a byte.
    SplitLosesByte,
    /// Progress that does not grow is told.
    ProgressNotGrowing,
    /// Calls are sent to a server that does not read.
    CreditIgnored,
    /// The questions of a call outlive it.
    QuestionLeak,
    /// A command waits for a stop that a restart has undone.
    EndlessWait,
    /// One restart too many is granted.
    BudgetOffByOne,
    /// A call that may have run is made again though its tool is not said to bear it.
    RetryOfSent,
    /// One retry too many is granted.
    RetryOffByOne,
    /// A class of calls never has its turn while a higher one has calls.
    Starvation,
    /// One client has all the turns.
    UnfairTurns,
    /// The longest line gives way to whoever comes.
    WrongOneGivesWay,
    /// A call that has ended still counts as one of its client's.
    ClientSlotLeak,
    /// A server that has started keeps its place among those that start.
    StartSlotLeak,
    /// Calls that wait for a server that leaves are refused though others could take them.
    ReliefForgotten,
    /// A server that was replaced goes on beside its successor.
    OldMembersKept,
    /// Newcomers outlive the replacement that failed.
    NewcomersKept,
    /// A replacement takes over before all of its replicas are ready.
    EarlySwitch,
    /// One replica too many is started.
    ScaleOffByOne,
    /// A server is stopped for want of work though it has calls.
    ReapedMidCall,
    /// A call does not wake the server that sleeps.
    WakeForgotten,
    /// A server that sleeps is started though nobody needs it.
    NeedlessStart,
    /// A call goes to the server of another client.
    ForeignMember,
    /// One client too many has a server of its own.
    ClientsOffByOne,
    /// While one call tries whether the breaker may close, others are let through.
    TwoTrials,
    /// The breaker stays half-open though a call came through.
    BreakerStuck,
    /// A server that says it is not ready gets calls.
    UnreadySends,
    /// The startup probe is not waited for.
    StartupSkipped,
    /// A server starts before those that it comes after are ready.
    StartsTooEarly,
    /// Nobody tells a server that the one it waits for is ready.
    WaiterForgotten,
    /// A server that was started anew with its group is taken to have failed itself.
    GroupEchoes,
    /// The server before the one that failed is started anew with those after it.
    OneTooMany,
    /// A fleet stops all servers at once.
    StopsTooEarly,
}

/// Whether this build has the bug.
pub(crate) const fn planted(bug: Bug) -> bool {
    match bug {
        Bug::StaleReply => cfg!(mcp_fleet_planted = "stale_reply"),
        Bug::LostCancel => cfg!(mcp_fleet_planted = "lost_cancel"),
        Bug::DoubleReply => cfg!(mcp_fleet_planted = "double_reply"),
        Bug::QueueSlotLeak => cfg!(mcp_fleet_planted = "queue_slot_leak"),
        Bug::InFlightLeak => cfg!(mcp_fleet_planted = "in_flight_leak"),
        Bug::QueueOffByOne => cfg!(mcp_fleet_planted = "queue_off_by_one"),
        Bug::InFlightOffByOne => cfg!(mcp_fleet_planted = "in_flight_off_by_one"),
        Bug::SentNoAfterWrite => cfg!(mcp_fleet_planted = "sent_no_after_write"),
        Bug::ForgottenRound => cfg!(mcp_fleet_planted = "forgotten_round"),
        Bug::DeadlineNotMoved => cfg!(mcp_fleet_planted = "deadline_not_moved"),
        Bug::SilentCancel => cfg!(mcp_fleet_planted = "silent_cancel"),
        Bug::KillForgotten => cfg!(mcp_fleet_planted = "kill_forgotten"),
        Bug::KillWaitForgotten => cfg!(mcp_fleet_planted = "kill_wait_forgotten"),
        Bug::IdReuse => cfg!(mcp_fleet_planted = "id_reuse"),
        Bug::TimerLeftArmed => cfg!(mcp_fleet_planted = "timer_left_armed"),
        Bug::SplitLosesByte => cfg!(mcp_fleet_planted = "split_loses_byte"),
        Bug::ProgressNotGrowing => cfg!(mcp_fleet_planted = "progress_not_growing"),
        Bug::CreditIgnored => cfg!(mcp_fleet_planted = "credit_ignored"),
        Bug::EndlessWait => cfg!(mcp_fleet_planted = "endless_wait"),
        Bug::BudgetOffByOne => cfg!(mcp_fleet_planted = "budget_off_by_one"),
        Bug::StartSlotLeak => cfg!(mcp_fleet_planted = "start_slot_leak"),
        Bug::ReliefForgotten => cfg!(mcp_fleet_planted = "relief_forgotten"),
        Bug::OldMembersKept => cfg!(mcp_fleet_planted = "old_members_kept"),
        Bug::NewcomersKept => cfg!(mcp_fleet_planted = "newcomers_kept"),
        Bug::EarlySwitch => cfg!(mcp_fleet_planted = "early_switch"),
        Bug::ScaleOffByOne => cfg!(mcp_fleet_planted = "scale_off_by_one"),
        Bug::ReapedMidCall => cfg!(mcp_fleet_planted = "reaped_mid_call"),
        Bug::WakeForgotten => cfg!(mcp_fleet_planted = "wake_forgotten"),
        Bug::NeedlessStart => cfg!(mcp_fleet_planted = "needless_start"),
        Bug::ForeignMember => cfg!(mcp_fleet_planted = "foreign_member"),
        Bug::ClientsOffByOne => cfg!(mcp_fleet_planted = "clients_off_by_one"),
        Bug::TwoTrials => cfg!(mcp_fleet_planted = "two_trials"),
        Bug::BreakerStuck => cfg!(mcp_fleet_planted = "breaker_stuck"),
        Bug::UnreadySends => cfg!(mcp_fleet_planted = "unready_sends"),
        Bug::StartupSkipped => cfg!(mcp_fleet_planted = "startup_skipped"),
        Bug::RetryOfSent => cfg!(mcp_fleet_planted = "retry_of_sent"),
        Bug::RetryOffByOne => cfg!(mcp_fleet_planted = "retry_off_by_one"),
        Bug::Starvation => cfg!(mcp_fleet_planted = "starvation"),
        Bug::UnfairTurns => cfg!(mcp_fleet_planted = "unfair_turns"),
        Bug::WrongOneGivesWay => cfg!(mcp_fleet_planted = "wrong_one_gives_way"),
        Bug::ClientSlotLeak => cfg!(mcp_fleet_planted = "client_slot_leak"),
        Bug::StartsTooEarly => cfg!(mcp_fleet_planted = "starts_too_early"),
        Bug::WaiterForgotten => cfg!(mcp_fleet_planted = "waiter_forgotten"),
        Bug::GroupEchoes => cfg!(mcp_fleet_planted = "group_echoes"),
        Bug::OneTooMany => cfg!(mcp_fleet_planted = "one_too_many"),
        Bug::StopsTooEarly => cfg!(mcp_fleet_planted = "stops_too_early"),
        Bug::QuestionLeak => cfg!(mcp_fleet_planted = "question_leak"),
    }
}
