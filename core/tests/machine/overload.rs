//! More calls than a server takes: whose turn it is, who is refused, who gives way.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CallId, CallOptions, ClientId, Limit, LinkId, McpCommand, Priority, Sent,
    config::{FleetConfig, ServerConfig},
};
use serde_json::{Value, json};

use crate::world::{World, answer, server};

/// A server that takes one call at a time.
fn narrow() -> ServerConfig {
    let mut config = server("a");
    config.limits.in_flight = 1;
    config
}

fn by(client: u64, priority: Priority) -> CallOptions {
    CallOptions {
        client: Some(ClientId(client)),
        priority,
        ..CallOptions::default()
    }
}

fn call_of(world: &mut World, client: u64) -> CallId {
    world.call_with("a", "t", by(client, Priority::Normal))
}

/// Answers all that was sent, and what is sent after that, and says which calls those were.
fn serve(world: &mut World, link: LinkId) -> Vec<CallId> {
    let mut served = Vec::new();
    loop {
        let frames = world.sent(link);
        if frames.is_empty() {
            return served;
        }
        for frame in frames {
            served.extend(number(&frame));
            world.say(link, answer(&frame, json!({"resultType": "complete"})));
        }
    }
}

fn number(frame: &Value) -> Option<CallId> {
    frame["params"]["arguments"]["n"].as_u64().map(CallId)
}

/// The limit at which the call was refused.
fn refused(world: &mut World, call: CallId) -> Option<Limit> {
    match world.outcome(call)? {
        Err(CallError::Overloaded {
            limit, retry_after, ..
        }) => {
            assert!(retry_after > Duration::ZERO);
            Some(limit)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn clients_take_turns_whoever_floods() {
    let mut world = World::new();
    let link = world.modern(narrow());
    let flood: Vec<CallId> = (0..100).map(|_| call_of(&mut world, 1)).collect();
    let single: Vec<CallId> = (0..3).map(|_| call_of(&mut world, 2)).collect();
    let nobodys = world.call("a", "t");
    let served = serve(&mut world, link);
    let want = [
        flood[0], flood[1], single[0], nobodys, flood[2], single[1], flood[3], single[2], flood[4],
    ];
    assert_eq!(served[..9], want);
    assert_eq!(served.len(), 104);
    assert!(
        served[9..].is_sorted(),
        "one client's calls keep their order"
    );
}

#[test]
fn higher_classes_go_first_and_lower_ones_are_not_starved() {
    let mut world = World::new();
    let link = world.modern(narrow());
    let first = world.call("a", "t");
    let mut make = |priority| {
        let options = by(1, priority);
        world.call_with("a", "t", options)
    };
    let low = make(Priority::Low);
    let normal = make(Priority::Normal);
    let high: Vec<CallId> = (0..20).map(|_| make(Priority::High)).collect();
    let served = serve(&mut world, link);
    let at = |call| served.iter().position(|served| *served == call);
    assert_eq!(served[0], first);
    assert_eq!(served[1..9], high[..8]);
    assert_eq!((at(normal), at(low)), (Some(9), Some(10)));
    assert_eq!(served[11..], high[8..]);
}

#[test]
fn each_limit_refuses_the_newest_at_once_and_is_named() {
    let mut fleet = FleetConfig::default();
    fleet.limits.calls = 5;
    fleet.limits.calls_per_client = 3;
    let mut world = World::with(fleet);
    let mut config = narrow();
    config.limits.queue = 2;
    config.limits.queue_per_client = 1;
    world.modern(config);
    let taken: Vec<CallId> = (0..2).map(|_| call_of(&mut world, 1)).collect();
    let next = call_of(&mut world, 1);
    assert_eq!(refused(&mut world, next), Some(Limit::ClientQueue));
    let third = call_of(&mut world, 2);
    let fourth = call_of(&mut world, 3);
    assert_eq!(
        refused(&mut world, fourth),
        Some(Limit::Queue),
        "nobody has two calls more than it"
    );
    world.modern({
        let mut other = server("b");
        other.limits.in_flight = 10;
        other
    });
    let elsewhere = world.call_with("b", "t", by(1, Priority::High));
    let fifth = world.call_with("b", "t", by(1, Priority::High));
    assert_eq!(refused(&mut world, fifth), Some(Limit::Client));
    let last = world.call("b", "t");
    let beyond = world.call("b", "t");
    assert_eq!(refused(&mut world, beyond), Some(Limit::Fleet));
    for call in taken.into_iter().chain([third, elsewhere, last]) {
        assert_eq!(world.outcome(call), None);
    }
    let text = CallError::Overloaded {
        server: mcp_fleet_core::ServerName::new("b").unwrap(),
        limit: Limit::Client,
        retry_after: Duration::from_millis(80),
    };
    assert_eq!(
        text.to_string(),
        "b is overloaded: the client has too many calls (`fleet.maxCallsPerClient`); try again in 80ms"
    );
}

#[test]
fn a_client_has_as_many_calls_waiting_as_the_queue_holds_unless_told_otherwise() {
    let mut world = World::new();
    let mut config = narrow();
    config.limits.queue = 5000;
    world.modern(config);
    let calls: Vec<CallId> = (0..5002).map(|_| call_of(&mut world, 1)).collect();
    assert_eq!(refused(&mut world, calls[5001]), Some(Limit::Queue));
    assert_eq!(world.outcome(calls[5000]), None);
}

#[test]
fn in_a_full_queue_the_youngest_of_the_longest_line_gives_way() {
    let mut world = World::new();
    let mut config = narrow();
    config.limits.queue = 4;
    config.limits.queue_per_client = 4;
    let link = world.modern(config);
    let flood: Vec<CallId> = (0..5).map(|_| call_of(&mut world, 1)).collect();
    let other = call_of(&mut world, 2);
    assert_eq!(refused(&mut world, flood[4]), Some(Limit::Queue));
    let second = call_of(&mut world, 2);
    assert_eq!(refused(&mut world, flood[3]), Some(Limit::Queue));
    let third = call_of(&mut world, 2);
    assert_eq!(refused(&mut world, third), Some(Limit::Queue));
    assert_eq!(
        serve(&mut world, link),
        [flood[0], flood[1], other, flood[2], second]
    );
    assert_eq!(world.fleet.stats().total.errors.overloaded, 3);
}

#[test]
fn in_a_full_queue_lower_classes_give_way_to_higher_ones() {
    let mut world = World::new();
    let mut config = narrow();
    config.limits.queue = 2;
    let link = world.modern(config);
    let running = world.call("a", "t");
    let make = |world: &mut World, priority| {
        let options = CallOptions {
            priority,
            ..CallOptions::default()
        };
        world.call_with("a", "t", options)
    };
    let low = make(&mut world, Priority::Low);
    let normal = make(&mut world, Priority::Normal);
    let second_low = make(&mut world, Priority::Low);
    assert_eq!(refused(&mut world, second_low), Some(Limit::Queue));
    let options = by(7, Priority::High);
    let high = world.call_with("a", "t", options.clone());
    assert_eq!(refused(&mut world, low), Some(Limit::Queue));
    let second = world.call_with("a", "t", options);
    assert_eq!(refused(&mut world, normal), Some(Limit::Queue));
    let third = world.call_with("a", "t", by(8, Priority::Normal));
    assert_eq!(refused(&mut world, third), Some(Limit::Queue));
    assert_eq!(serve(&mut world, link), [running, high, second]);
}

#[test]
fn a_client_that_is_gone_leaves_nothing_behind() {
    let mut fleet = FleetConfig::default();
    fleet.limits.calls_per_client = 3;
    let mut world = World::with(fleet);
    let link = world.modern(narrow());
    let other = world.modern(server("b"));
    let gone = [call_of(&mut world, 1), call_of(&mut world, 1)];
    let elsewhere = world.call_with("b", "t", by(1, Priority::Low));
    let stays = call_of(&mut world, 2);
    let refuse = call_of(&mut world, 1);
    assert_eq!(refused(&mut world, refuse), Some(Limit::Client));
    let (sent, beside) = (world.sent(link).remove(0), world.sent(other).remove(0));
    for _ in 0..2 {
        let client = ClientId(1);
        world.feed(McpCommand::ClientGone { client });
    }
    for (call, sent) in [
        (gone[0], Sent::Unknown),
        (gone[1], Sent::No),
        (elsewhere, Sent::Unknown),
    ] {
        let cancelled = CallError::Cancelled { sent };
        assert_eq!(world.outcome(call), Some(Err(cancelled)));
    }
    let told = world.sent(link);
    assert_eq!(told[0]["method"], "notifications/cancelled");
    assert_eq!(told[0]["params"]["requestId"], sent["id"]);
    assert_eq!(number(&told[1]), Some(stays), "its place is free");
    assert_eq!(told.len(), 2, "none of its calls takes the place");
    assert_eq!(world.sent(other)[0]["params"]["requestId"], beside["id"]);
    let again = call_of(&mut world, 1);
    assert_eq!(world.outcome(again), None, "its room is free");
}

#[test]
fn progress_of_a_call_grows_over_its_rounds() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.round_pause = Duration::ZERO;
    let link = world.modern(config);
    let options = CallOptions {
        progress: true,
        ..CallOptions::default()
    };
    let call = world.call_with("a", "t", options);
    let report = |frame: &Value, progress: u32| {
        let token = &frame["params"]["_meta"]["progressToken"];
        json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": progress}})
    };
    let first = world.sent(link).remove(0);
    for progress in [1, 5] {
        world.say(link, report(&first, progress));
    }
    let round = json!({"resultType": "input_required", "requestState": "s"});
    world.say(link, answer(&first, round));
    world.pass(Duration::ZERO);
    let second = world.sent(link).remove(0);
    for progress in [1, 5, 6] {
        world.say(link, report(&second, progress));
    }
    let told: Vec<f64> = world
        .events
        .iter()
        .filter_map(|event| match event {
            mcp_fleet_core::Event::CallProgress { progress, .. } => Some(*progress),
            _ => None,
        })
        .collect();
    assert_eq!(told, [1.0, 5.0, 6.0]);
    assert_eq!(world.fleet.stats().total.violations, 0);
    world.say(link, answer(&second, json!({"resultType": "complete"})));
    assert!(world.outcome(call).unwrap().is_ok());
}
