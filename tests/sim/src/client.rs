//! The scripted clients: an application that deploys, calls, cancels, changes its mind.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use mcp_fleet_core::{
    CallId, CallOptions, CatalogKind, ClientId, CommandId, Event, Input, InputId, McpCommand,
    Priority, RawJson, Request, RpcError, Time,
};

use crate::{
    dice::{Dice, Fate},
    fault::Fault,
    link::World,
    plan::Plan,
};

/// Ids that one act may use.
const IDS_PER_ACT: u64 = 256;
/// Calls of one burst.
const BURST: u64 = 40;
/// Clients that make calls, beside the one without a name.
const CLIENTS: u64 = 3;
/// The tool that servers list as one that changes nothing, where they list it.
pub(crate) const REPEATABLE: &str = "r\n";
/// Servers of one crowd.
const CROWD: u64 = 40;

/// All applications of one life. What an act does depends on its number and on what is open, so
/// that leaving one out changes the others as little as can be.
#[derive(Debug)]
pub(crate) struct Clients {
    fate: Fate,
    act: u64,
    next_at: Option<Time>,
    skip: BTreeSet<u64>,
    next_id: u64,
    open_calls: BTreeMap<CallId, bool>,
    open_inputs: BTreeSet<InputId>,
    out: VecDeque<Input>,
}

impl Clients {
    pub(crate) fn new(plan: &Plan, fate: &Fate, world: &World<'_>) -> Self {
        let mut clients = Self {
            fate: fate.clone(),
            act: 0,
            next_at: Some(Time::ZERO),
            skip: plan.skip.clone(),
            next_id: 0,
            open_calls: BTreeMap::new(),
            open_inputs: BTreeSet::new(),
            out: VecDeque::new(),
        };
        let dice = &mut fate.dice(0xc1);
        for name in &world.setting.names {
            clients.deploy(name, dice, world);
        }
        clients
    }

    pub(crate) fn handle_input(&mut self, event: &Event) {
        match event {
            Event::CallEnded { call, .. } => {
                self.open_calls.remove(call);
            }
            Event::InputRequested { input, .. } => {
                self.open_inputs.insert(*input);
            }
            Event::InputWithdrawn { input } => {
                self.open_inputs.remove(input);
            }
            _ => {}
        }
    }

    /// The next act.
    pub(crate) fn handle_timeout(&mut self, now: Time, world: &mut World<'_>) {
        if self.next_at.is_none_or(|at| at > now) {
            return;
        }
        self.act += 1;
        self.next_id = self.act * IDS_PER_ACT;
        let mut dice = self.fate.dice((self.act << 8) | 0xac);
        self.next_at = Some(now.after(dice.micros(world.setting.pause)));
        if !self.skip.contains(&self.act) {
            self.perform(&mut dice, world);
        }
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Input> {
        self.out.pop_front()
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Time> {
        self.next_at
    }

    /// How many acts there were.
    pub(crate) const fn acts(&self) -> u64 {
        self.act
    }

    /// Asks for nothing any more, gives up what would never end, answers what is open.
    pub(crate) fn calm_down(&mut self) {
        self.next_at = None;
        self.next_id = u64::MAX / 2;
        let endless: Vec<_> = self
            .open_calls
            .iter()
            .filter(|(_, endless)| **endless)
            .collect();
        for call in endless
            .into_iter()
            .map(|(call, _)| *call)
            .collect::<Vec<_>>()
        {
            self.cancel(call, None);
        }
        for input in std::mem::take(&mut self.open_inputs) {
            self.answer(input, true);
        }
    }

    /// Answers what was asked after it calmed down.
    pub(crate) fn answer_all(&mut self) {
        for input in std::mem::take(&mut self.open_inputs) {
            self.answer(input, true);
        }
    }

    /// The application leaves.
    pub(crate) fn shut_down(&mut self, grace: Option<Duration>) {
        self.command(|id| McpCommand::Shutdown { id, grace });
    }

    fn perform(&mut self, dice: &mut Dice, world: &mut World<'_>) {
        self.faults(dice, world);
        let server = self.some_server(dice, world);
        match dice.below(40) {
            0..=1 => self.deploy(&server, dice, world),
            2 => self.command(|id| McpCommand::GetMetrics {
                id,
                server: Some(server),
            }),
            3 if dice.one_in(3) => self.command(|id| McpCommand::Undeploy { id, server }),
            4 => self.command(|id| McpCommand::ListServers { id }),
            5 => self.command(|id| McpCommand::Restart { id, server }),
            6..=8 => {
                let server = (!dice.one_in(4)).then_some(server);
                self.command(|id| McpCommand::HealthCheck { id, server });
            }
            9..=11 => {
                let kind = dice.pick(&CatalogKind::VALUES);
                self.command(|id| McpCommand::ListCatalog { id, server, kind });
            }
            12..=15 => {
                if let Some(input) = self.open_inputs.pop_first() {
                    self.answer(input, !dice.one_in(5));
                } else if dice.one_in(4) {
                    self.answer(InputId(dice.below(50)), true);
                }
            }
            16 if dice.one_in(100) => {
                let grace = dice.one_in(2).then(|| Duration::from_millis(20));
                self.shut_down(grace);
            }
            _ => self.call(&server, None, dice),
        }
    }

    fn faults(&mut self, dice: &mut Dice, world: &mut World<'_>) {
        let server = self.some_server(dice, world);
        if world.faults.strikes(Fault::Cancel, dice) {
            let back = dice.below(4);
            let reason = dice.one_in(2).then(|| "no \"more\"\n".to_owned());
            let open = self
                .open_calls
                .keys()
                .rev()
                .nth(usize::try_from(back).unwrap_or(0));
            let id = self.next_id.saturating_sub(IDS_PER_ACT * dice.below(8));
            let call = open.copied().unwrap_or(CallId(id));
            self.cancel(call, reason);
        }
        if dice.one_in(8) && world.faults.strikes(Fault::Desertion, dice) {
            for call in self.open_calls.keys().copied().collect::<Vec<_>>() {
                self.cancel(call, None);
            }
        }
        if dice.one_in(4) && world.faults.strikes(Fault::Desertion, dice) {
            let client = ClientId(1 + dice.below(CLIENTS));
            self.out.push_back(McpCommand::ClientGone { client }.into());
        }
        if world.faults.strikes(Fault::OddDeadline, dice) {
            let timeout = dice.pick(&[Duration::ZERO, Duration::MAX, Duration::from_nanos(1)]);
            self.call(&server, Some(timeout), dice);
        }
        if world.faults.strikes(Fault::SameInstant, dice) {
            let timeout = Duration::from_micros(world.setting.unit * dice.pick(&[1, 40]));
            for _ in 0..1 + dice.below(BURST) {
                self.call(&server, Some(timeout), dice);
            }
        }
        if world.faults.strikes(Fault::Burst, dice) {
            for _ in 0..1 + dice.below(BURST) {
                self.call(&server, None, dice);
            }
        }
        if world.faults.strikes(Fault::Reconfigure, dice) {
            let config = Box::new(world.setting.config(&server, dice));
            self.command(|id| McpCommand::UpdateConfig { id, config });
        }
        if world.faults.strikes(Fault::Reload, dice) {
            let mut fleet = world.setting.fleet.clone();
            for name in &world.setting.names {
                if !dice.one_in(4) {
                    fleet.servers.push(world.setting.config(name, dice));
                }
            }
            let config = Box::new(fleet);
            self.command(|id| McpCommand::Reload { id, config });
        }
        if world.faults.strikes(Fault::Blocked, dice) {
            let config = Box::new(world.setting.blocked_config(&server, dice));
            if dice.one_in(2) {
                self.command(|id| McpCommand::UpdateConfig { id, config });
            } else {
                self.command(|id| McpCommand::Deploy { id, config });
            }
        }
        if world.faults.strikes(Fault::ShortDrain, dice) {
            let mut config = Box::new(world.setting.config(&server, dice));
            config.limits.drain_timeout = Duration::ZERO;
            self.command(|id| McpCommand::UpdateConfig { id, config });
            self.call(&server, None, dice);
            let server = server.clone();
            self.command(|id| McpCommand::Restart { id, server });
        }
        if world.faults.strikes(Fault::CommandStorm, dice) {
            for _ in 0..1 + dice.below(6) {
                let server = server.clone();
                match dice.below(5) {
                    0 => self.command(|id| McpCommand::Undeploy { id, server }),
                    1 => self.deploy(&server, dice, world),
                    _ => self.command(|id| McpCommand::Restart { id, server }),
                }
            }
        }
        if dice.one_in(400) && world.faults.strikes(Fault::Crowd, dice) {
            for number in 0..CROWD {
                self.deploy(&format!("crowd{number}"), dice, world);
            }
        }
    }

    fn some_server(&self, dice: &mut Dice, world: &World<'_>) -> String {
        if dice.one_in(60) {
            return "nobody".to_owned();
        }
        let place = dice.index(world.setting.names.len());
        world.setting.names[place].clone()
    }

    fn deploy(&mut self, name: &str, dice: &mut Dice, world: &World<'_>) {
        let config = Box::new(world.setting.config(name, dice));
        self.command(|id| McpCommand::Deploy { id, config });
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn command(&mut self, make: impl FnOnce(CommandId) -> McpCommand) {
        let id = CommandId(self.id());
        self.out.push_back(make(id).into());
    }

    fn call(&mut self, server: &str, timeout: Option<Duration>, dice: &mut Dice) {
        let call = CallId(self.id());
        let arguments = RawJson::parse(format!("{{\n\"n\": {} }}", call.0)).ok();
        let request = match dice.below(4) {
            0 => Request::Method {
                method: dice
                    .pick(&["prompts/get", "x/y", "x/y", "", "initialize"])
                    .into(),
                params: arguments,
            },
            1 => Request::Tool {
                name: "t\n".to_owned(),
                arguments,
            },
            _ => Request::Tool {
                name: REPEATABLE.to_owned(),
                arguments,
            },
        };
        let client = dice.below(CLIENTS + 1);
        let options = CallOptions {
            timeout,
            progress: dice.one_in(2),
            client: (client > 0).then_some(ClientId(client)),
            priority: dice.pick(&[
                Priority::High,
                Priority::Normal,
                Priority::Normal,
                Priority::Low,
            ]),
        };
        self.open_calls.insert(call, timeout == Some(Duration::MAX));
        let server = server.to_owned();
        let command = McpCommand::Execute {
            call,
            server,
            request,
            options,
        };
        self.out.push_back(command.into());
    }

    fn cancel(&mut self, call: CallId, reason: Option<String>) {
        self.out
            .push_back(McpCommand::Cancel { call, reason }.into());
    }

    fn answer(&mut self, input: InputId, kindly: bool) {
        let refusal = RpcError {
            code: -1,
            message: "no".to_owned(),
            data: None,
        };
        let accepted = RawJson::parse(r#"{"action":"accept"}"#).ok();
        let answer = accepted.filter(|_| kindly).ok_or(refusal);
        self.open_inputs.remove(&input);
        self.command(|id| McpCommand::Answer { id, input, answer });
    }
}
