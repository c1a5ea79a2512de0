//! What an input makes certain.

use std::collections::BTreeSet;

use mcp_fleet_core::{
    CallError, CallId, CommandError, CommandId, Event, InputId, LinkId, McpCommand, Request,
    ServerState, Signal,
    config::{FleetConfig, ServerConfig},
};

use super::{
    Command, ReferenceState,
    calls::{Call, Fate, Stage},
    pools::is_per_client,
};
use crate::{
    client::REPEATABLE,
    link::Heard,
    server::{Answer, Meaning, VOUCHER},
    violation::Violation,
};

impl ReferenceState {
    pub(super) fn on_command(
        &mut self,
        command: &McpCommand,
        events: &[Event],
    ) -> Result<(), Violation> {
        match command {
            McpCommand::Deploy { id, config } => {
                self.begin(*id, Command::Other);
                self.judge_place(*id, config, events)?;
                if !refused(*id, events) {
                    self.order.place(config);
                    self.servers.add(config);
                }
            }
            McpCommand::UpdateConfig { id, config } => {
                let refused = refused(*id, events);
                let beside = !refused && self.reconfigure(config);
                let command = if beside {
                    Command::Replace(config.name.as_str().to_owned())
                } else {
                    Command::Other
                };
                self.begin(*id, command);
                self.judge_place(*id, config, events)?;
                if !refused {
                    self.order.place(config);
                }
            }
            McpCommand::Undeploy { id, server } => {
                self.begin(*id, Command::Other);
                if !refused(*id, events)
                    && let Some(pool) = self.servers.get_mut(server)
                {
                    pool.undeploy();
                }
            }
            McpCommand::Reload { id, config } => {
                self.begin(*id, Command::Other);
                if !refused(*id, events) {
                    self.on_reload(config);
                }
            }
            McpCommand::Shutdown { id, .. } => {
                self.begin(*id, Command::Other);
                self.shut_down = true;
                for (_, pool) in self.servers.iter_mut() {
                    pool.shut_down();
                }
            }
            McpCommand::Answer { id, input, answer } => {
                let known = self.inputs.contains_key(input);
                self.begin(*id, Command::Answer { known });
                self.on_answer(*input, answer.is_ok());
            }
            McpCommand::Restart { id, server } => {
                self.begin(*id, Command::Restart(server.clone()));
                self.reset_breaker(*id, server, events);
                if let Some(pool) = self.servers.get_mut(server) {
                    pool.forgive();
                    pool.restarts.insert(*id);
                }
            }
            McpCommand::HealthCheck { id, .. }
            | McpCommand::ListServers { id }
            | McpCommand::ListCatalog { id, .. }
            | McpCommand::GetMetrics { id, .. } => self.begin(*id, Command::Other),
            McpCommand::Cancel { call, .. } => self.on_cancel(*call),
            McpCommand::ClientGone { client } => {
                let open = self.calls.open.iter();
                let theirs = open.filter(|(_, call)| call.client == Some(*client));
                for call in theirs.map(|(id, _)| *id).collect::<Vec<_>>() {
                    self.on_cancel(call);
                }
            }
            McpCommand::Execute {
                call,
                server,
                request,
                options,
            } => {
                let verdict = self.judge(server, request, options);
                self.joins_line(server, options.priority, options.client);
                self.verdict = Some((*call, verdict));
                let (limits, now) = (
                    self.servers.get(server).map(|pool| &pool.config.limits),
                    self.now,
                );
                let (timeout, timeout_max) = limits.map_or_else(Default::default, |limits| {
                    (
                        options.timeout.unwrap_or(limits.timeout),
                        limits.timeout_max,
                    )
                });
                // Newcomers have deadlines of their own.
                let pool = self.servers.get(server);
                let coming = pool.filter(|pool| !pool.takes_calls() || pool.may_spare());
                let coming = coming.and_then(|pool| pool.coming.as_ref());
                let other = coming.map(|config| &config.limits);
                let vague = other.is_some();
                let (timeout, timeout_max) = other.map_or((timeout, timeout_max), |limits| {
                    let own = options.timeout.unwrap_or(limits.timeout);
                    (timeout.min(own), timeout_max.min(limits.timeout_max))
                });
                let owned = pool.is_some_and(|pool| is_per_client(&pool.config));
                let ticket = self.calls.ticket();
                let call_book = Call {
                    server: server.clone(),
                    client: options.client,
                    priority: options.priority,
                    owned,
                    repeatable: matches!(request, Request::Tool { name, .. } if name == REPEATABLE),
                    ticket,
                    vague,
                    timeout,
                    due: now.after(timeout),
                    due_max: now.after(timeout_max.max(timeout)),
                    wants_progress: options.progress,
                    progress: None,
                    told: None,
                    stage: Stage::Parked,
                    frames: Vec::new(),
                    tried: false,
                    lost: false,
                    rounds: 0,
                    period: 0,
                    incarnation: None,
                };
                self.calls.open.insert(*call, call_book);
                if !turned_away(*call, events)
                    && let Some(pool) = self.servers.get_mut(server)
                    && let Some(only) = pool.holder_mut(None)
                {
                    only.breaker.on_taken(now, *call);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What the operator wants anew is judged anew.
    fn reset_breaker(&mut self, id: CommandId, server: &str, events: &[Event]) {
        if !refused(id, events)
            && let Some(pool) = self.servers.get_mut(server)
            && let Some(only) = pool.holder_mut(None)
        {
            only.breaker.reset();
        }
    }

    fn begin(&mut self, id: CommandId, command: Command) {
        self.commands.insert(id, command);
    }

    /// Whether newcomers start beside the others by that.
    fn reconfigure(&mut self, config: &ServerConfig) -> bool {
        let Some(pool) = self.servers.get_mut(config.name.as_str()) else {
            return false;
        };
        let moved = pool.config.scope != config.scope;
        let beside = pool.reconfigure(config);
        if moved {
            // Calls that were accepted wait where they are.
            let open = self.calls.open.values_mut();
            for call in open.filter(|call| call.server == config.name.as_str()) {
                call.owned = false;
            }
        }
        beside
    }

    /// Each server of the configuration is added or changed, those that left it are undeployed.
    fn on_reload(&mut self, config: &FleetConfig) {
        let named = |name: &str| {
            let mut servers = config.servers.iter();
            servers.any(|server| server.name.as_str() == name)
        };
        for (name, pool) in self.servers.iter_mut() {
            if self.declared.contains(name) && !named(name) {
                pool.undeploy();
            }
        }
        for server in &config.servers {
            let name = server.name.as_str();
            match self.servers.get(name) {
                Some(pool) if !pool.leaving => drop(self.reconfigure(server)),
                Some(_) => self.servers.add(server),
                None => {
                    self.servers.add(server);
                    self.doubtful.insert(name.to_owned());
                }
            }
        }
        self.order.reload(config);
        let names = config.servers.iter().map(|server| server.name.as_str());
        self.declared = names.map(str::to_owned).collect();
    }

    fn on_cancel(&mut self, id: CallId) {
        if self.calls.open.contains_key(&id) {
            self.fates.insert(id, Fate::Cancelled);
        }
    }

    fn on_answer(&mut self, input: InputId, kindly: bool) {
        let Some(asked) = self.inputs.remove(&input) else {
            return;
        };
        let Some(id) = asked.call else { return };
        let Some(call) = self.calls.open.get_mut(&id) else {
            return;
        };
        if !kindly {
            self.fates.insert(id, Fate::Refused);
            return;
        }
        if let Stage::Asking(open) = &mut call.stage {
            open.remove(&input);
            if open.is_empty() {
                self.calls.move_to(id, Stage::Parked);
                self.fates.insert(id, Fate::Resumed);
            }
        }
    }

    /// Rounds that asked nothing are due again.
    pub(super) fn end_pauses(&mut self) {
        let now = self.now;
        let due: Vec<_> = self
            .calls
            .open
            .iter()
            .filter(|(_, call)| matches!(call.stage, Stage::Pausing(at) if at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.calls.move_to(id, Stage::Parked);
        }
    }

    pub(super) fn on_signal(&mut self, signal: &Signal, heard: &[Heard], events: &[Event]) {
        let link = signal.link();
        let Some(book) = self.links.live(link) else {
            self.stale_signals += 1;
            return;
        };
        book.on_signal(self.now, signal);
        if matches!(signal, Signal::Closed { .. }) {
            self.count_loss(link, events);
        }
        let ended = matches!(signal, Signal::Eof { .. });
        for line in heard {
            self.hear(link, line, ended);
        }
    }

    /// The breaker hears of the calls that were lost with a link that ended by its own doing.
    pub(super) fn count_loss(&mut self, link: LinkId, events: &[Event]) {
        let Some(book) = self.links.get(link) else {
            return;
        };
        let own = events.iter().any(|event| match event {
            Event::ServerChanged {
                server,
                replica,
                state,
                ..
            } => {
                let failed = matches!(state, ServerState::Backoff | ServerState::Failed);
                failed && server.as_str() == book.server && *replica == book.replica
            }
            _ => false,
        });
        if !own {
            return;
        }
        let pool = self.servers.get_mut(&book.server);
        let Some(server) = pool.and_then(|pool| pool.of_slot_mut(link.server)) else {
            return;
        };
        for (id, call) in self.calls.of(&book.server) {
            let written = call
                .frames
                .last()
                .is_some_and(|(_, start)| book.wrote > *start);
            let begun = matches!(call.stage, Stage::Sent(..)) && written || call.rounds > 0;
            if begun && call.slot() == Some(link.server) {
                let sent = (call.period, call.incarnation);
                server.breaker.on_lost(self.now, *id, sent, &server.limits);
            }
        }
    }

    /// `ended`: the line had no line break when the output ended.
    fn hear(&mut self, link: LinkId, line: &Heard, ended: bool) {
        let Some(book) = self.links.get_mut(link) else {
            return;
        };
        let line_bytes = self
            .servers
            .get(&book.server)
            .map_or(0, |pool| pool.config.limits.line_bytes);
        if book.unreadable {
            return;
        }
        if line.length > line_bytes {
            book.unreadable = true;
            book.broke_protocol = true;
            return;
        }
        match &line.meaning {
            // Of what breaks off in the middle only a whole, sound message counts.
            Meaning::Answer {
                answer: Answer::Broken,
                ..
            } if ended => {}
            Meaning::Answer { request, answer } => {
                book.vouches |= matches!(answer, Answer::Result(text) if text.contains(VOUCHER));
                book.botched |= book.is_greeting(*request);
                let pool = self.servers.get_mut(&book.server);
                if let Some(server) = pool.and_then(|pool| pool.of_slot_mut(link.server)) {
                    server.probes.on_answer(link, *request, answer);
                }
                if let Some(call) = self.calls.in_flight.get(&(link, *request)).copied() {
                    self.on_answered(call, answer);
                }
            }
            Meaning::Progress { request, progress } => {
                if let Some(call) = self.calls.in_flight.get(&(link, *request)).copied() {
                    self.on_progress(call, *progress);
                }
            }
            Meaning::Asks(ids) => {
                for id in ids {
                    book.ask(id);
                }
            }
            Meaning::Noise => book.broke_protocol = true,
            Meaning::Other => {}
        }
    }

    fn on_answered(&mut self, id: CallId, answer: &Answer) {
        self.fates.insert(id, Fate::Answered(answer.clone()));
        let Some(call) = self.calls.open.get_mut(&id) else {
            return;
        };
        let slot = call.slot();
        let pool = self.servers.get(&call.server);
        let member = pool.zip(slot).and_then(|(pool, slot)| pool.of_slot(slot));
        let pause = member.map_or_else(Default::default, |member| member.limits.round_pause);
        let again = self.now.after(pause);
        let stage = match answer {
            Answer::Round {
                asks: 0,
                settled: true,
            } => Stage::Parked,
            Answer::Round { asks: 0, .. } => Stage::Pausing(again),
            Answer::Round { .. } => Stage::Asking(BTreeSet::new()),
            // It ends in this turn, and its id is free.
            Answer::Result(_) | Answer::Error(_) | Answer::Broken | Answer::Vain => {
                if let Stage::Sent(link, request) = call.stage {
                    self.calls.in_flight.remove(&(link, request));
                }
                return;
            }
        };
        call.rounds += 1;
        call.due = call.due_max;
        self.calls.move_to(id, stage);
    }

    fn on_progress(&mut self, id: CallId, progress: f64) {
        let now = self.now;
        let Some(call) = self.calls.open.get_mut(&id) else {
            return;
        };
        if call.wants_progress && call.progress.is_none_or(|last| progress > last) {
            call.progress = Some(progress);
            call.start_anew(now);
            if call.told.is_none_or(|last| progress > last) {
                call.told = Some(progress);
                self.progress.push((id, progress));
            }
        }
    }
}

/// Whether a call was refused at once.
fn turned_away(call: CallId, events: &[Event]) -> bool {
    events.iter().any(|event| match event {
        Event::CallEnded {
            call: ended,
            outcome: Err(error),
        } if *ended == call => matches!(
            error,
            CallError::NotFound { .. }
                | CallError::ShuttingDown
                | CallError::InvalidRequest { .. }
                | CallError::Overloaded { .. }
                | CallError::BreakerOpen { .. }
                | CallError::Unavailable { .. }
        ),
        _ => false,
    })
}

/// Whether a command that adds or changes a server was turned away at once.
fn refused(id: CommandId, events: &[Event]) -> bool {
    events.iter().any(|event| match event {
        Event::CommandEnded {
            id: ended,
            outcome: Err(error),
        } if *ended == id => matches!(
            error,
            CommandError::ShuttingDown
                | CommandError::NotFound { .. }
                | CommandError::AlreadyDeployed { .. }
                | CommandError::FleetFull { .. }
                | CommandError::Overloaded { .. }
                | CommandError::Superseded { .. }
                | CommandError::TooManyReloads { .. }
                | CommandError::Invalid { .. }
        ),
        _ => false,
    })
}
