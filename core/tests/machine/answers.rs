//! Answers that come more often than they were asked for.

use mcp_fleet_core::{CallOptions, Effect, Event, Failure, ServerState};
use serde_json::json;

use crate::world::{World, answer, discovered, error, initialized, server};

#[test]
fn f20_the_first_of_two_answers_counts_and_the_second_is_a_violation() {
    for legacy in [false, true] {
        let mut world = World::new();
        let link = if legacy {
            world.legacy(server("a"), "2025-11-25")
        } else {
            world.modern(server("a"))
        };
        let (first, second) = (world.call("a", "t"), world.call("a", "t"));
        let frames = world.sent(link);
        world.say(link, answer(&frames[0], json!({"n": 1})));
        world.say(link, answer(&frames[0], json!({"n": 2})));
        world.say(link, error(&frames[0], -32000, "and again"));
        assert_eq!(world.outcome(first).unwrap().unwrap()["n"], 1);
        assert!(world.outcome(second).is_none(), "nothing was said of it");
        assert_eq!(world.fleet.stats().total.violations, 2);
        world.say(link, answer(&frames[1], json!({"n": 3})));
        assert_eq!(world.outcome(second).unwrap().unwrap()["n"], 3);
        assert_eq!(world.state("a"), ServerState::Ready);
    }
}

#[test]
fn f19_ids_of_calls_that_timed_out_are_not_used_again() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.breaker_percent = 0;
    let link = world.modern(config);
    let mut ids = std::collections::BTreeSet::new();
    for round in 0..50 {
        let options = CallOptions {
            timeout: Some(std::time::Duration::from_millis(1)),
            ..CallOptions::default()
        };
        let late = world.call_with("a", "t", options);
        let frame = world.sent(link).remove(0);
        world.pass(std::time::Duration::from_millis(2));
        assert!(world.outcome(late).unwrap().is_err());
        let next = world.call("a", "t");
        let asked: Vec<_> = world
            .sent(link)
            .into_iter()
            .filter(|frame| frame["method"] == "tools/call")
            .collect();
        world.say(link, answer(&frame, json!({"late": true})));
        assert!(
            world.outcome(next).is_none(),
            "a late answer is nobody else's"
        );
        world.say(link, answer(&asked[0], json!({"late": false})));
        assert_eq!(world.outcome(next).unwrap().unwrap()["late"], false);
        assert!(ids.insert(frame["id"].as_u64()) && ids.insert(asked[0]["id"].as_u64()));
        assert_eq!(world.fleet.stats().total.late_answers, round + 1);
    }
}

/// What a server says of a handshake, and what must be told of it.
#[test]
fn f7_a_handshake_that_is_no_handshake_fails_with_what_was_wrong() {
    let garbled = [
        (json!({"result": "yes"}), "initialize"),
        (json!({"result": {"protocolVersion": 7}}), "initialize"),
        (
            json!({"error": {"code": -32603, "message": "no memory"}}),
            "no memory",
        ),
    ];
    for (members, told) in garbled {
        let mut world = World::new();
        let (link, _) = world.deploy("a");
        let probe = world.sent(link).remove(0);
        world.say(link, error(&probe, -32601, "what?"));
        let initialize = world.sent(link).remove(0);
        // An answer to somebody else is none.
        world.say(
            link,
            json!({"jsonrpc": "2.0", "id": 4711, "result": initialized("2025-11-25", json!({}))}),
        );
        world.say(
            link,
            json!({"jsonrpc": "2.0", "id": "2 ", "result": discovered(json!({}))}),
        );
        assert_eq!(world.state("a"), ServerState::Handshaking);
        let mut answer = json!({"jsonrpc": "2.0", "id": initialize["id"]});
        for (name, value) in members.as_object().unwrap() {
            answer[name] = value.clone();
        }
        world.say(link, answer);
        let closes = |effect: &Effect| matches!(effect, Effect::CloseInput { .. });
        assert!(world.effects.iter().any(closes), "it is ended in order");
        world.exit(link, mcp_fleet_core::Exit::Code(0));
        let failure = world.events.iter().rev().find_map(|event| match event {
            Event::ServerChanged { failure, .. } => failure.clone(),
            _ => None,
        });
        let Some(Failure::Handshake { message }) = failure else {
            panic!("{members}: {failure:?}")
        };
        assert!(message.contains(told), "{members}: {message}");
    }
}
