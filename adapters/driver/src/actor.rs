//! The task that owns the machine.

use std::{
    collections::HashSet,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_channel::Receiver;
use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, Either, select},
};
use mcp_fleet_core::{
    CallId, ClientId, CommandId, Event, Fleet, Input, McpCommand, ServerName, Signal, Time,
    config::FleetConfig, journal::Entry,
};

use crate::{
    call::Progress,
    events::Subscriber,
    journal::{Journal, Recorder},
    links::{Links, Signals, give_way},
    log,
    message::{Brought, Control, Execute, Message},
    runtime::AsyncRuntime,
    waiters::{CommandWaiter, Waiters},
};

/// Inputs that one wake-up serves before other tasks get their turn.
const INPUTS_PER_WAKE: u32 = 256;
/// Cancellations remembered that overtook their call, or came after its end; and as many clients
/// that were gone before their calls were found. A call that was dropped is known by its waiter
/// beyond that, one that was cancelled by its handle, or whose client is gone, runs on.
const CANCELLED_EARLY_MAX: usize = 4096;
/// Messages in a row before signals get their turn.
const MESSAGES_IN_A_ROW: u32 = 32;
/// The actor's own shutdown; handles count from 1.
const OWN_SHUTDOWN: CommandId = CommandId(0);

/// Owns a [`Fleet`] and everything it acts on; the only one to touch it.
///
/// It never waits for a server: each input is one [turn](Fleet), and whatever takes time is a task
/// of a link. Nothing that it holds grows without bound: the inbox, the signals and the queue of each
/// subscriber are bounded, waiters by what the machine accepts and by who waits for a shutdown that
/// takes bounded time, frames by the machine's write credit, what overtook its call by a constant,
/// and the control lane by what its senders hold. When the last handle is dropped without a shutdown, it shuts the fleet down itself.
pub struct RuntimeActor<R: AsyncRuntime> {
    runtime: R,
    epoch: Instant,
    fleet: Fleet,
    links: Links<R>,
    inbox: Lane<Message>,
    control: Lane<Control>,
    signals: Signals,
    waiters: Waiters,
    subscribers: Vec<Subscriber>,
    recorder: Option<Recorder>,
    /// What is to be told once the journal is written.
    parting: Vec<Event>,
    alarm: Option<Alarm>,
    /// Calls cancelled, and clients gone, before all of their messages were found in the inbox.
    cancelled_early: HashSet<CallId>,
    gone_early: HashSet<ClientId>,
    messages_in_a_row: u32,
    /// All handles are gone, and the actor acts on its own.
    deserted: bool,
}

/// The receiving end of a channel that is emptied when it is dropped: a message that stays in it
/// would be kept by the handles, and so would everybody who waits for its outcome.
struct Lane<T>(Pin<Box<Receiver<T>>>);

impl<T> Drop for Lane<T> {
    fn drop(&mut self) {
        self.0.close();
        while self.0.try_recv().is_ok() {}
    }
}

/// A sleep until the machine wants to act, or a little before that.
struct Alarm {
    at: Time,
    sleep: BoxFuture<'static, ()>,
}

/// Why the actor woke up.
enum Wake {
    Control(Control),
    Message(Message),
    Deserted,
    Signal(Signal),
    Alarm,
}

impl<R: AsyncRuntime> RuntimeActor<R> {
    pub(crate) fn new(
        runtime: R,
        config: FleetConfig,
        seed: u64,
        journal: Option<Journal>,
        inbox: Receiver<Message>,
        control: Receiver<Control>,
    ) -> Self {
        let (links, signals) = Links::new(runtime.clone());
        let recorder = journal.and_then(|journal| Recorder::start(journal, &config, seed));
        Self {
            epoch: runtime.now(),
            runtime,
            fleet: Fleet::new(config, seed),
            links,
            inbox: Lane(Box::pin(inbox)),
            control: Lane(Box::pin(control)),
            signals,
            waiters: Waiters::default(),
            subscribers: Vec::new(),
            recorder,
            parting: Vec::new(),
            alarm: None,
            cancelled_early: HashSet::new(),
            gone_early: HashSet::new(),
            messages_in_a_row: 0,
            deserted: false,
        }
    }

    /// Runs until the fleet has shut down and every process is gone.
    pub async fn run(mut self) {
        let mut inputs = 0;
        while !self.fleet.is_shut_down() {
            let wake = poll_fn(|context| self.poll_wake(context)).await;
            self.handle(wake);
            inputs += 1;
            if inputs == INPUTS_PER_WAKE {
                inputs = 0;
                self.check_deadline();
                give_way().await;
            }
        }
        if let Some(recorder) = self.recorder.take() {
            let runtime = self.runtime.clone();
            finish_journal(runtime, recorder).await;
        }
        for event in std::mem::take(&mut self.parting) {
            self.tell(event);
        }
    }

    fn poll_wake(&mut self, context: &mut Context<'_>) -> Poll<Wake> {
        if let Poll::Ready(Some(control)) = self.control.0.as_mut().poll_next(context) {
            return Poll::Ready(Wake::Control(control));
        }
        let signals_first = self.messages_in_a_row >= MESSAGES_IN_A_ROW;
        if signals_first && let Poll::Ready(signal) = self.poll_signal(context) {
            return Poll::Ready(signal);
        }
        if !self.deserted {
            match self.inbox.0.as_mut().poll_next(context) {
                Poll::Ready(Some(message)) => {
                    self.messages_in_a_row = self.messages_in_a_row.saturating_add(1);
                    return Poll::Ready(Wake::Message(message));
                }
                Poll::Ready(None) => return Poll::Ready(Wake::Deserted),
                // Every call that was cancelled so far was found by now.
                Poll::Pending => {
                    self.cancelled_early.clear();
                    self.gone_early.clear();
                }
            }
        }
        if !signals_first && let Poll::Ready(signal) = self.poll_signal(context) {
            return Poll::Ready(signal);
        }
        if let Some(alarm) = &mut self.alarm
            && alarm.sleep.poll_unpin(context).is_ready()
        {
            return Poll::Ready(Wake::Alarm);
        }
        Poll::Pending
    }

    fn poll_signal(&mut self, context: &mut Context<'_>) -> Poll<Wake> {
        match self.signals.poll_next_unpin(context) {
            Poll::Ready(Some(signal)) => {
                self.messages_in_a_row = 0;
                Poll::Ready(Wake::Signal(signal))
            }
            // The links hold the other end, so it is never closed.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn handle(&mut self, wake: Wake) {
        if let Wake::Message(_) = &wake {
            // What was said on the control lane before the command counts before it, also where the
            // lane was still empty when it was looked at.
            for _ in 0..self.control.0.len() {
                if let Ok(control) = self.control.0.try_recv() {
                    self.take_control(control);
                }
            }
        }
        match wake {
            Wake::Control(control) => self.take_control(control),
            Wake::Message(Message::Execute(execute)) => self.execute(*execute),
            Wake::Message(Message::Command {
                id,
                command,
                waiter,
                brought,
            }) => {
                let undeploys = if let McpCommand::Undeploy { server, .. } = &command {
                    Some(server.clone())
                } else {
                    None
                };
                let waiter = CommandWaiter {
                    outcome: waiter,
                    undeploys,
                };
                self.waiters.await_command(id, waiter);
                self.turn(Some(command.into()), brought);
            }
            Wake::Deserted => {
                self.deserted = true;
                let shutdown = McpCommand::Shutdown {
                    id: OWN_SHUTDOWN,
                    grace: None,
                };
                self.turn(Some(shutdown.into()), None);
            }
            Wake::Signal(signal) => {
                log::signal(&signal);
                self.turn(Some(signal.into()), None);
            }
            Wake::Alarm => {
                self.alarm = None;
                self.turn(None, None);
            }
        }
    }

    fn take_control(&mut self, control: Control) {
        match control {
            Control::Cancel { call, reason } => {
                if self.waiters.has_call(call) {
                    self.turn(Some(McpCommand::Cancel { call, reason }.into()), None);
                } else if self.cancelled_early.len() < CANCELLED_EARLY_MAX {
                    self.cancelled_early.insert(call);
                }
            }
            Control::ClientGone { client } => {
                self.turn(Some(McpCommand::ClientGone { client }.into()), None);
                if !self.inbox.0.is_empty() && self.gone_early.len() < CANCELLED_EARLY_MAX {
                    self.gone_early.insert(client);
                }
            }
            Control::Subscribe(subscriber) => {
                // Where nothing happens, nobody else would notice those that left.
                self.subscribers.retain(Subscriber::is_heard);
                self.subscribers.push(subscriber);
            }
        }
    }

    fn execute(&mut self, execute: Execute) {
        let Execute {
            call,
            server,
            request,
            options,
            waiter,
        } = execute;
        let gone = |client| self.gone_early.contains(&client);
        let cancelled = options.client.is_some_and(gone) || self.cancelled_early.remove(&call);
        if waiter.outcome.is_canceled() {
            return;
        }
        self.waiters.await_call(call, waiter);
        self.turn(
            Some(
                McpCommand::Execute {
                    call,
                    server,
                    request,
                    options,
                }
                .into(),
            ),
            None,
        );
        if cancelled && self.waiters.has_call(call) {
            self.turn(Some(McpCommand::Cancel { call, reason: None }.into()), None);
        }
    }

    /// Under a flood of inputs the alarm is not polled.
    fn check_deadline(&mut self) {
        if self
            .fleet
            .poll_timeout()
            .is_some_and(|deadline| deadline.at <= self.now())
        {
            self.turn(None, None);
        }
    }

    /// The one place that touches the machine: one input, or a deadline that passed, and then
    /// everything that comes of it.
    fn turn(&mut self, input: Option<Input>, brought: Option<Brought>) {
        let at = self.now();
        let told = if self.recorder.is_some() {
            input.clone()
        } else {
            None
        };
        let deploys = match &input {
            Some(Input::Command(McpCommand::Deploy { id, config })) => {
                Some((*id, config.name.clone()))
            }
            Some(_) | None => None,
        };
        match input {
            Some(input) => self.fleet.handle_input(at, input),
            None => self.fleet.handle_timeout(at),
        }
        let events: Vec<Event> = std::iter::from_fn(|| self.fleet.poll_event()).collect();
        if let (Some((id, server)), Some(brought)) = (deploys, brought)
            && !has_failed(id, &events)
        {
            self.register(server, brought);
        }
        let mut effects = Vec::new();
        while let Some(effect) = self.fleet.poll_effect() {
            if self.recorder.is_some() {
                effects.push(effect.clone());
            }
            self.links.perform(effect);
        }
        let entry = Entry {
            at,
            input: told,
            effects,
        };
        if let Some(recorder) = &self.recorder
            && !recorder.record(entry)
        {
            self.recorder = None;
        }
        // Whoever asked for the shutdown may read the journal once it is told.
        let parts = self.recorder.is_some() && self.fleet.is_shut_down();
        for event in events {
            if parts {
                self.parting.push(event);
            } else {
                self.tell(event);
            }
        }
        self.arm();
    }

    fn register(&mut self, server: ServerName, brought: Brought) {
        let registry = self.links.registry_mut();
        match brought {
            Brought::Server(value) => registry.register(server, value),
            Brought::Streams(streams) => registry.attach(server, streams.reader, streams.writer),
        }
    }

    fn tell(&mut self, event: Event) {
        log::event(&event);
        match event {
            Event::CallEnded { call, outcome } => self.waiters.end_call(call, outcome),
            Event::CommandEnded { id, outcome } => {
                for gone in self.waiters.end_command(id, outcome) {
                    // One of the same name may have come in its place.
                    if !self.fleet.has_server(&gone) {
                        self.links.registry_mut().forget(&gone);
                    }
                }
            }
            Event::CallProgress {
                call,
                progress,
                total,
                message,
            } => {
                self.waiters.report_progress(
                    call,
                    Progress {
                        progress,
                        total,
                        message,
                    },
                );
            }
            event @ (Event::ServerChanged { .. }
            | Event::RolledBack { .. }
            | Event::Abandoned { .. }
            | Event::CatalogChanged { .. }
            | Event::InputRequested { .. }
            | Event::InputWithdrawn { .. }
            | Event::Notified { .. }
            | Event::Violation { .. }
            | _) => self
                .subscribers
                .retain_mut(|subscriber| subscriber.tell(&event)),
        }
    }

    /// Sets the alarm to the machine's deadline. One that is set earlier stays: waking up early is
    /// harmless, and deadlines move back with every answer.
    fn arm(&mut self) {
        let Some(deadline) = self.fleet.poll_timeout() else {
            return;
        };
        if self
            .alarm
            .as_ref()
            .is_some_and(|alarm| alarm.at <= deadline.at)
        {
            return;
        }
        let Some(at) = self
            .epoch
            .checked_add(Duration::from_nanos(deadline.at.as_nanos()))
        else {
            return;
        };
        let sleep = self.runtime.sleep_until(at).boxed();
        self.alarm = Some(Alarm {
            at: deadline.at,
            sleep,
        });
    }

    fn now(&self) -> Time {
        Time::ZERO.after(self.runtime.now().saturating_duration_since(self.epoch))
    }
}

impl<R: AsyncRuntime> fmt::Debug for RuntimeActor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeActor")
            .field("fleet", &self.fleet)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

/// Whether a command that was just given has failed already.
fn has_failed(command: CommandId, events: &[Event]) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Event::CommandEnded { id, outcome: Err(_) } if *id == command))
}

/// Waits until the journal is written, as long as that gets on.
async fn finish_journal(runtime: impl AsyncRuntime, recorder: Recorder) {
    let (backlog, patience) = (recorder.backlog(), recorder.patience());
    let mut left = backlog.bytes();
    let mut written = pin!(recorder.finish());
    loop {
        let now = runtime.now();
        let enough = now.checked_add(patience).unwrap_or(now);
        match select(written.as_mut(), pin!(runtime.sleep_until(enough))).await {
            Either::Left(_) => return,
            Either::Right(_) if backlog.bytes() < left => left = backlog.bytes(),
            Either::Right(_) => {
                tracing::warn!("the journal takes nothing more; its end may be missing");
                return;
            }
        }
    }
}
