//! What a pool wants done when it has seen how its members fare.

use super::{Pool, Role, Seen, Task, bounds, is_per_client};
use crate::{
    event::ServerState,
    ids::ServerId,
    planted::{Bug, planted},
    time::Time,
};

/// One thing to be done. The next is asked for when it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// All newcomers are ready: they take over.
    Switch,
    /// This newcomer failed: all of them are given up.
    RollBack(ServerId),
    /// All that took over have failed, this one among them: what they replaced comes back.
    GoBack(ServerId),
    /// This member starts anew.
    Renew(ServerId),
    /// Those before these members are gone: they start.
    Start(Vec<ServerId>),
    /// One more member starts.
    ScaleUp,
    /// These members wake with the others.
    Wake(Vec<ServerId>),
    /// Their clients left these members alone: they are forgotten.
    Drop(Vec<ServerId>),
    /// What was under way is over. It came to nothing where a member is named, whose failure
    /// tells why.
    Finish(Option<ServerId>),
}

impl Pool {
    pub(crate) fn next_order(&mut self, now: Time, seen: &[Seen]) -> Option<Order> {
        self.note_risen(seen);
        if self
            .probation
            .as_ref()
            .is_some_and(|probation| now >= probation.until)
        {
            self.probation = None;
        }
        let serving = || seen.iter().filter(|seen| seen.role == Role::Serving);
        if let Some(order) = self.go_back(seen) {
            return Some(order);
        }
        match &mut self.task {
            Task::None => {
                let (wake, forget) = self.sleepers(seen);
                if !wake.is_empty() {
                    return Some(Order::Wake(wake));
                }
                if !forget.is_empty() {
                    return Some(Order::Drop(forget));
                }
                self.scale_up(seen).then_some(Order::ScaleUp)
            }
            Task::Beside(_) => next_of_newcomers(seen),
            Task::Rise => {
                let mut members = self.members.iter();
                if !members.all(|member| member.risen || member.role != Role::Serving) {
                    return None;
                }
                let failed = serving().find(|seen| seen.load.in_trouble);
                if serving().any(|seen| seen.load.up || seen.is_asleep()) {
                    Some(Order::Finish(None))
                } else {
                    failed.map(|seen| Order::Finish(Some(seen.id)))
                }
            }
            Task::Hold => {
                let left = seen.iter().any(|seen| seen.role == Role::Leaving);
                let held = serving().map(|seen| seen.id).collect();
                (!left).then(|| {
                    self.task = Task::Rise;
                    Order::Start(held)
                })
            }
            Task::Roll { current, todo } => {
                let now = current.and_then(|id| serving().find(|seen| seen.id == id));
                match now {
                    Some(seen) if seen.load.in_trouble => Some(Order::Finish(Some(seen.id))),
                    Some(seen) if !seen.load.up => None,
                    Some(_) | None => {
                        // Who left meanwhile has its place taken by others.
                        todo.retain(|id| serving().any(|seen| seen.id == *id));
                        *current = todo.pop();
                        Some(current.map_or(Order::Finish(None), Order::Renew))
                    }
                }
            }
            Task::Stop => {
                let rests = |state| {
                    use ServerState::{Backoff, Failed, Stopped};
                    matches!(state, Backoff | Failed | Stopped)
                };
                let all = serving().all(|seen| rests(seen.load.state));
                all.then_some(Order::Finish(None))
            }
        }
    }

    /// Whether this member, which has had nothing to do for a while, is one too many.
    pub(crate) fn can_spare(&self, id: ServerId, seen: &[Seen]) -> bool {
        let (least, _) = bounds(&self.config);
        let idle = |seen: &Seen| seen.id == id && seen.load.idle;
        self.task == Task::None
            && !is_per_client(&self.config)
            && seen.iter().filter(|seen| seen.serves()).count() > least
            && seen.iter().any(|seen| seen.serves() && idle(seen))
    }

    /// Members that are too many even for a busy pool, and how many are missing even for an idle
    /// one.
    pub(crate) fn misfit(&self, seen: &[Seen]) -> (Vec<ServerId>, usize) {
        let (least, most) = bounds(&self.config);
        let mut serving: Vec<&Seen> = seen
            .iter()
            .filter(|seen| seen.role == Role::Serving && seen.client.is_none())
            .collect();
        serving.sort_by_key(|seen| (!seen.load.up, seen.replica));
        let missing = least.saturating_sub(serving.len());
        let mut surplus: Vec<ServerId> = serving.iter().skip(most).map(|seen| seen.id).collect();
        let owned = |seen: &&Seen| seen.role == Role::Serving && seen.client.is_some();
        let mut owned: Vec<&Seen> = seen.iter().filter(owned).collect();
        owned.sort_by_key(|seen| (seen.load.unneeded, seen.replica));
        let clients = self.config.limits.clients;
        surplus.extend(owned.iter().skip(clients).map(|seen| seen.id));
        (surplus, missing)
    }

    /// Whether the pool returns to the configuration before when its members fail.
    pub(crate) fn is_on_probation(&self, now: Time) -> bool {
        self.probation
            .as_ref()
            .is_some_and(|probation| now < probation.until)
    }

    fn note_risen(&mut self, seen: &[Seen]) {
        for member in &mut self.members {
            let state = seen.iter().find(|seen| seen.id == member.id);
            member.risen |=
                state.is_some_and(|seen| seen.load.in_trouble || seen.load.up || seen.is_asleep());
        }
    }

    fn go_back(&self, seen: &[Seen]) -> Option<Order> {
        let serving = || seen.iter().filter(|seen| seen.role == Role::Serving);
        let steady = !matches!(self.task, Task::Beside(_) | Task::Stop);
        let failed = |seen: &Seen| seen.load.state == ServerState::Failed;
        if !steady || self.probation.is_none() || !serving().all(failed) {
            return None;
        }
        serving().next().map(|seen| Order::GoBack(seen.id))
    }

    /// Whether all members that take calls have their hands full, no other is on its way, and there
    /// may be one more.
    fn scale_up(&self, seen: &[Seen]) -> bool {
        let (_, most) = bounds(&self.config);
        if is_per_client(&self.config) {
            return false;
        }
        let most = most + usize::from(planted(Bug::ScaleOffByOne) && most > 1);
        let serving = || seen.iter().filter(|seen| seen.role == Role::Serving);
        let ready = || seen.iter().filter(|seen| seen.serves());
        let under_way = |seen: &Seen| !seen.load.up && seen.load.state != ServerState::Failed;
        if serving().count() >= most || ready().count() == 0 || serving().any(under_way) {
            return false;
        }
        let queued: usize = serving().map(|seen| seen.load.queued).sum();
        let bound = self.config.limits.scale_queue.max(1);
        ready().all(|seen| seen.load.full) || queued >= bound.saturating_mul(ready().count())
    }
}

fn next_of_newcomers(seen: &[Seen]) -> Option<Order> {
    let newcomers = || seen.iter().filter(|seen| seen.role == Role::Coming);
    let failed = newcomers().find(|seen| seen.load.in_trouble);
    if let Some(failed) = failed {
        return Some(Order::RollBack(failed.id));
    }
    let ready = |seen: &Seen| seen.load.is_ready();
    let up = |seen: &Seen| seen.load.up;
    let enough = newcomers().all(up) && newcomers().any(ready)
        || planted(Bug::EarlySwitch) && newcomers().any(ready);
    enough.then_some(Order::Switch)
}
