//! The lists of a server.

use std::time::Duration;

use mcp_fleet_core::{CatalogKind, Event};
use mcp_fleet_driver::AsyncRuntime;
use serde_json::json;

use crate::world::World;

/// Long enough for a storm to be over, short enough to wait for.
const INTERVAL: Duration = Duration::from_millis(400);

async fn names<R: AsyncRuntime>(world: &mut World<R>, server: &str, kind: CatalogKind) {
    match world.manager.list_catalog(server, kind).await {
        Ok(entries) => {
            let names: Vec<String> = entries.iter().map(|entry| name(entry.as_str())).collect();
            world.log(format!("{kind:?} of {server}: {}", names.join(" ")));
        }
        Err(error) => world.log(format!("{kind:?} of {server}: {error}")),
    }
}

fn name(entry: &str) -> String {
    let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
    entry["name"].as_str().unwrap().to_owned()
}

/// Waits for a list to be read again.
async fn changed<R: AsyncRuntime>(world: &mut World<R>, wanted: usize) {
    world
        .until("another list of tools", |event| match event {
            Event::CatalogChanged {
                kind: CatalogKind::Tools,
                entries,
                ..
            } if *entries == wanted => Some(()),
            _ => None,
        })
        .await;
}

pub(crate) async fn all_lists_are_read<R: AsyncRuntime>(world: &mut World<R>) {
    for era in ["modern", "legacy"] {
        world.up(era, &["--era", era, "--resources", "3"]).await;
        for kind in [
            CatalogKind::Tools,
            CatalogKind::Resources,
            CatalogKind::Templates,
            CatalogKind::Prompts,
        ] {
            names(world, era, kind).await;
        }
    }
    world.servers().await;
}

pub(crate) async fn pages_are_read_to_the_last<R: AsyncRuntime>(world: &mut World<R>) {
    // One list of many pages a server: the pages of two lists have no order among them.
    for era in ["modern", "legacy"] {
        let tools = format!("{era}-tools");
        world
            .up(&tools, &["--era", era, "--page-size", "9", "--tools", "7"])
            .await;
        names(world, &tools, CatalogKind::Tools).await;
        let resources = format!("{era}-resources");
        let flags = ["--era", era, "--page-size", "9", "--resources", "20"];
        let flags: Vec<&str> = flags
            .into_iter()
            .chain(["--capabilities", "[\"resources\"]"])
            .collect();
        world.up(&resources, &flags).await;
        names(world, &resources, CatalogKind::Resources).await;
    }
}

pub(crate) async fn an_empty_cursor_is_a_cursor<R: AsyncRuntime>(world: &mut World<R>) {
    world
        .up("empty", &["--page-size", "10", "--cursors", "empty"])
        .await;
    names(world, "empty", CatalogKind::Tools).await;
}

pub(crate) async fn cursors_in_a_circle_degrade_the_list<R: AsyncRuntime>(world: &mut World<R>) {
    for cursors in ["loop", "stuck"] {
        let flags = [
            "--page-size",
            "10",
            "--capabilities",
            "[\"tools\"]",
            "--cursors",
            cursors,
        ];
        world.up(cursors, &flags).await;
        names(world, cursors, CatalogKind::Tools).await;
        world.tool(cursors, "echo", json!({})).await;
    }
    world.servers().await;
}

pub(crate) async fn endless_pages_are_bounded<R: AsyncRuntime>(world: &mut World<R>) {
    let flags = [
        "--page-size",
        "30",
        "--cursors",
        "endless",
        "--capabilities",
        "[\"tools\"]",
    ];
    let pages = world.limited("pages", &flags, |limits| limits.pages = 4);
    world.deploy(pages).await;
    names(world, "pages", CatalogKind::Tools).await;
    let entries = world.limited("entries", &flags, |limits| limits.entries = 100);
    world.deploy(entries).await;
    names(world, "entries", CatalogKind::Tools).await;
    world.tool("entries", "echo", json!({})).await;
}

pub(crate) async fn a_list_that_fails_leaves_the_server_usable<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.up("listless", &["--list-error", "-32603"]).await;
    names(world, "listless", CatalogKind::Tools).await;
    world.tool("listless", "echo", json!({})).await;
    world.servers().await;
}

pub(crate) async fn only_what_is_offered_is_asked_for<R: AsyncRuntime>(world: &mut World<R>) {
    for (name, capabilities) in [("none", "[]"), ("prompts", "[\"prompts\"]")] {
        world.up(name, &["--capabilities", capabilities]).await;
        names(world, name, CatalogKind::Tools).await;
        names(world, name, CatalogKind::Prompts).await;
    }
}

pub(crate) async fn a_storm_of_changes_is_read_once<R: AsyncRuntime>(world: &mut World<R>) {
    storm(world, "legacy").await;
}

pub(crate) async fn a_storm_of_changes_of_a_modern_server_is_read_once<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    storm(world, "modern").await;
}

/// A storm between two calls, and another one after its reading.
async fn storm<R: AsyncRuntime>(world: &mut World<R>, era: &str) {
    let stormy = world.limited("stormy", &["--era", era], |limits| {
        limits.refresh_interval = INTERVAL;
    });
    world.deploy(stormy).await;
    let before = world.manager.list_tools("stormy").await.unwrap().len();
    for storms in 1..=2 {
        world.tool("stormy", "change", json!({"times": 200})).await;
        changed(world, before + 200 * storms).await;
    }
}

pub(crate) async fn changes_while_a_list_is_read_are_read_after_it<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let flags = [
        "--era",
        "legacy",
        "--changes-at-start",
        "5",
        "--capabilities",
        "[\"tools\"]",
    ];
    let early = world.limited("early", &flags, |limits| limits.refresh_interval = INTERVAL);
    world.deploy(early).await;
    // Announced before the first answer, read in it, and read once more to be sure.
    let again = |frame: &serde_json::Value| {
        frame["method"] == "tools/list" && frame["id"].as_u64() > Some(3)
    };
    world.received("early", again).await;
    world.settled("early").await;
    world.tool("early", "added-4", json!({})).await;
}

pub(crate) async fn resources_prompts_and_completions_are_passed_on<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let reference = json!({"type": "ref/prompt", "name": "greet"});
    let argument = json!({"name": "who", "value": "o"});
    for era in ["modern", "legacy"] {
        world.up(era, &["--era", era]).await;
        for (method, params) in [
            ("resources/read", json!({"uri": "fake://resource/0"})),
            ("resources/read", json!({"uri": "fake://item/7"})),
            ("resources/read", json!({"uri": "fake://nowhere"})),
            (
                "prompts/get",
                json!({"name": "greet", "arguments": {"who": "you"}}),
            ),
            ("prompts/get", json!({"name": "no such prompt"})),
            (
                "completion/complete",
                json!({"ref": reference, "argument": argument}),
            ),
            ("no/such/method", json!(null)),
        ] {
            world.call(era, method, params).await;
        }
    }
}
