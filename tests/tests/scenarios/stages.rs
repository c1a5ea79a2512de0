//! The runtimes on which a scenario is played.

use std::thread;

use mcp_fleet_driver::AsyncRuntime;
use mcp_fleet_smol::Smol;
use mcp_fleet_tokio::Tokio;

use crate::world::World;

/// The variable that smol takes the number of its threads from.
pub(crate) const SMOL_THREADS: &str = "SMOL_THREADS";

/// Plays a scenario on every stage at the same time. The answer is what happened on each.
pub(crate) fn on_all(
    on_tokio: impl AsyncFn(&mut World<Tokio>) + Sync,
    on_smol: impl AsyncFn(&mut World<Smol>) + Sync,
) -> [(&'static str, String); 3] {
    thread::scope(|scope| {
        let two = scope.spawn(|| two_workers().block_on(play(Tokio::current, &on_tokio)));
        let one = scope.spawn(|| one_thread().block_on(play(Tokio::current, &on_tokio)));
        let smol = scope.spawn(|| smol::block_on(play(|| Ok::<_, ()>(Smol), &on_smol)));
        [
            ("tokio with two workers", two),
            ("tokio with one thread", one),
            ("smol", smol),
        ]
        .map(|(name, story)| match story.join() {
            Ok(story) => (name, story),
            Err(panic) => {
                let words = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                panic!("on {name}: {}", words.unwrap_or("it panicked"));
            }
        })
    })
}

async fn play<R: AsyncRuntime, E: std::fmt::Debug>(
    runtime: impl FnOnce() -> Result<R, E>,
    scenario: &impl AsyncFn(&mut World<R>),
) -> String {
    let mut world = World::new(runtime().unwrap());
    scenario(&mut world).await;
    world.finish().await
}

pub(crate) fn two_workers() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn one_thread() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}
