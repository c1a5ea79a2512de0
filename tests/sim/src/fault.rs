//! The faults that can be injected, each under its own name.

/// Where in the simulated world a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The driver's end of a link: processes, pipes, pumps.
    Link,
    /// The scripted server.
    Server,
    /// The scripted clients.
    Client,
    /// The clock.
    Clock,
}

impl Place {
    /// The word for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Server => "server",
            Self::Client => "client",
            Self::Clock => "clock",
        }
    }
}

macro_rules! faults {
    ($($name:ident, $number:literal, $place:ident, $what:literal, $outcome:literal;)*) => {
        /// One kind of fault. The numbers are those of the fault list of the project.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Fault {
            $(#[doc = concat!($number, ": ", $what, ".")] $name,)*
        }

        impl Fault {
            /// All of them, in order of their numbers.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];

            /// The name by which options speak of it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Its number, or `I6` for what the invariant of that number is about.
            pub const fn number(self) -> &'static str {
                match self { $(Self::$name => $number,)* }
            }

            /// Where it strikes.
            pub const fn place(self) -> Place {
                match self { $(Self::$name => Place::$place,)* }
            }

            /// What happens.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }

            /// What must come of it, which the model and the invariants check.
            pub const fn outcome(self) -> &'static str {
                match self { $(Self::$name => $outcome,)* }
            }
        }
    };
}

faults! {
    NoSuchProgram, "F1", Link, "the program cannot be started, for good", "the server fails as `CannotStart`; others go on";
    NoResources, "F2", Link, "the program cannot be started for want of processes or files", "the server fails as `CannotStart`, transient";
    EarlyExit, "F3", Server, "exits with 0 before the handshake is answered", "one respawn without the probe, then `EndedEarly`";
    EarlyCrash, "F4", Server, "crashes at once, every time", "one respawn without the probe, then `EndedEarly`; calls end";
    MuteStart, "F5", Server, "never answers a handshake", "the start deadline, the ladder, `StartTimedOut`";
    StrangeRevision, "F6", Server, "offers only unknown revisions", "`Incompatible`";
    OddHandshake, "F7", Server, "answers the handshake with an error, garbage or another id", "a fall-back or a failed start that says why";
    Unwell, "F8", Server, "its probes say that it is not ready", "calls wait until they say otherwise; the process lives";
    SlowStart, "F8", Server, "takes long to answer the handshake", "calls wait within the queue, each until its own deadline";
    ListFails, "F9", Server, "answers a list with an error, or never", "the list is degraded, and is tried again";
    EndlessPages, "F10", Server, "the pages of a list never end, or go round in a circle", "pages are capped, the list is degraded";
    Crowd, "F11", Client, "many servers are deployed in one moment", "all come up";
    Blocked, "F12", Client, "comes after one that never gets ready, or in a circle", "it waits and says for whom; a circle is refused";
    Crash, "F13", Server, "crashes with calls in flight", "each call ends once as `ServerGone`, or is made again where its policy allows";
    Orphan, "F15", Server, "exits while a grandchild holds its pipes", "the exit counts; the group is swept after a wait";
    StdoutClosed, "F16", Server, "closes standard output and lives on", "the ladder";
    StdinClosed, "F17", Server, "closes standard input and goes on writing", "the ladder; calls not written say so";
    Hang, "F18", Server, "stops, perhaps to go on later", "calls end by their deadlines; the rest of the fleet goes on";
    LateAnswer, "F19", Server, "answers after the deadline", "the late answer is dropped; ids do not come twice";
    DoubleAnswer, "F20", Server, "answers twice", "the first counts";
    StrangeAnswer, "F21", Server, "answers ids that are unknown, of another type, or null", "ignored";
    BothOutcomes, "F22", Server, "answers with result and error, or neither", "that call ends as a protocol violation";
    Noise, "F23", Server, "writes lines that are no messages", "tolerated up to a limit";
    LongLine, "F24", Server, "writes a line beyond the limit", "the incarnation ends as a protocol failure";
    SplitBytes, "F25", Link, "bytes arrive in the smallest parts", "the same messages";
    JoinedLines, "F26", Link, "many lines arrive in one part", "the same messages";
    BadText, "F27", Server, "writes text that is not UTF-8, marks, zeros, half surrogates", "that line is noise, the session goes on";
    DeepNesting, "F28", Server, "nests beyond all measure", "no overflow; that line is ignored";
    OddNumbers, "F29", Server, "uses ids at the edge of numbers", "ids are echoed exactly or not at all";
    Batch, "F30", Server, "writes batches", "read in the one revision that has them, ignored elsewhere";
    Flood, "F33", Server, "floods with notifications", "answers still find their calls";
    DeafInput, "F34", Server, "does not read standard input", "what is on its way is bounded; deadlines fire";
    PartialWrite, "F35", Link, "writes are taken in part, and late", "`sent` tells written from unwritten to the byte";
    Question, "F36", Server, "asks what was not declared, or at a bad time", "refused, or asked within bounds";
    BadProgress, "F37", Server, "reports progress without end, out of order, or for others", "only growth is told; the longest deadline stands";
    ListStorm, "F38", Server, "reports changed lists without pause", "one reading an interval";
    ListChanges, "F39", Server, "its tools change while calls run", "calls in flight finish";
    Cancel, "F41", Client, "gives up a call at any stage", "one outcome; a notice only where it was sent and unanswered";
    Desertion, "F42", Client, "gives up all its calls at once", "all slots are free";
    OddDeadline, "F43", Client, "asks for deadlines of zero and of forever", "at once, or never; no overflow";
    TimeJump, "F44", Clock, "time leaps by an hour", "deadlines fire once";
    SameInstant, "F45", Client, "many calls share one deadline", "all end in that moment, in order";
    Burst, "F46", Client, "more calls than queues hold", "the newest are refused at once";
    Relapse, "F48", Server, "loses all calls for a while, the one that tries again too", "the breaker opens, lets one call try, opens again; it closes when a call comes through";
    RetryStorm, "F47", Server, "dies of every call", "retries stay within their share of the calls, at every moment";
    StopStorm, "F51", Server, "ignores the end of its input, or SIGTERM", "the next rung, until nothing is left";
    Stuck, "F52", Link, "a start that does not come to an end, or a process that SIGKILL does not end", "given up after a wait, and said so";
    CommandStorm, "F56", Client, "restarts and stops without pause", "one life at a time; the last word counts";
    Reconfigure, "F57", Client, "changes limits and kinds of running servers", "limits change in place, kinds by a new life";
    Reload, "F57", Client, "brings the fleet to another configuration", "each server gets what its change asks for; no call is refused while a replica takes it";
    ShortDrain, "F60", Client, "drains with calls that never end", "they end as `ServerGone` at the drain deadline";
    StaleSignal, "I6", Link, "signals of lives that are over", "counted and dropped";
    TimeBack, "I6", Clock, "time goes backwards", "no panic; nothing fires early";
}
