//! In-process servers below a manager, on whatever runtime.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_channel::{Receiver, Sender};
use futures::{
    FutureExt,
    future::{BoxFuture, join_all, poll_immediate},
};
use mcp_fleet_core::{CallError, Implementation, RpcError, config::FleetConfig};
use mcp_fleet_driver::{
    AsyncRuntime, ExecuteError, InProcessServer, McpManagerV2, RuntimeOptions, Tool, ToolCall,
    ToolOutput,
};
use serde_json::{Value, json};

/// `echo` answers its arguments, `hang` says that it begins and is never done, `panic` panics.
struct Rust {
    lives: Arc<AtomicU32>,
    begun: Sender<()>,
    dropped: Sender<()>,
}

/// Tells that a call was dropped.
struct Life(Sender<()>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.try_send(()).ok();
    }
}

impl InProcessServer for Rust {
    fn implementation(&self) -> Implementation {
        Implementation {
            name: "rust".to_owned(),
            version: "1".to_owned(),
            title: None,
        }
    }

    fn tools(&self) -> Vec<Tool> {
        let life = self.lives.fetch_add(1, Ordering::SeqCst);
        assert!(!(2..4).contains(&life), "not in the mood");
        ["echo", "hang", "panic"].map(Tool::new).into()
    }

    fn call_tool<'a>(&'a self, call: ToolCall) -> BoxFuture<'a, Result<ToolOutput, RpcError>> {
        async move {
            match call.name.as_str() {
                "echo" => Ok(ToolOutput::json(call.arguments.read::<Value>().unwrap())),
                "hang" => {
                    let _life = Life(self.dropped.clone());
                    self.begun.send(()).await.unwrap();
                    std::future::pending().await
                }
                _ => panic!("as told"),
            }
        }
        .boxed()
    }
}

struct Deployed<R: AsyncRuntime> {
    manager: McpManagerV2<R>,
    begun: Receiver<()>,
    dropped: Receiver<()>,
}

async fn deployed<R: AsyncRuntime>(runtime: R) -> Deployed<R> {
    let options = RuntimeOptions::default();
    let manager = McpManagerV2::on(runtime, FleetConfig::default(), options);
    let (begin, begun) = async_channel::unbounded();
    let (drops, dropped) = async_channel::unbounded();
    let server = Rust {
        lives: Arc::default(),
        begun: begin,
        dropped: drops,
    };
    manager.deploy_in_process("rust", server).await.unwrap();
    Deployed {
        manager,
        begun,
        dropped,
    }
}

async fn echo<R: AsyncRuntime>(manager: &McpManagerV2<R>, number: usize) {
    let result = manager.execute_tool("rust", "echo", json!({"n": number}));
    let given: Value = result.await.unwrap().structured().unwrap().read().unwrap();
    assert_eq!(given, json!({"n": number}));
}

pub async fn five_hundred_calls_of_an_in_process_server_are_told_apart<R: AsyncRuntime>(
    runtime: R,
) {
    let Deployed { manager, .. } = deployed(runtime).await;
    join_all((0..500).map(|number| echo(&manager, number))).await;
    manager.restart_server("rust").await.unwrap();
    join_all((0..500).map(|number| echo(&manager, number))).await;
    let total = manager.get_metrics(None).await.unwrap().total;
    assert_eq!((total.succeeded, total.in_flight), (1000, 0));
    manager.shutdown().await.unwrap();
}

pub async fn a_cancelled_call_of_an_in_process_server_is_dropped<R: AsyncRuntime>(runtime: R) {
    let Deployed {
        manager,
        begun,
        dropped,
    } = deployed(runtime).await;
    let mut hanging = Box::pin(manager.execute_tool("rust", "hang", ()));
    assert!(poll_immediate(&mut hanging).await.is_none());
    begun.recv().await.unwrap();
    drop(hanging);
    dropped.recv().await.unwrap();
    echo(&manager, 1).await;
    // One that is still in flight does not hold up the end for ever.
    let mut hanging = Box::pin(manager.execute_tool("rust", "hang", ()));
    assert!(poll_immediate(&mut hanging).await.is_none());
    begun.recv().await.unwrap();
    let shut = manager.runtime().shutdown(Some(std::time::Duration::ZERO));
    shut.await.unwrap();
    hanging.await.unwrap_err();
    dropped.recv().await.unwrap();
}

pub async fn a_panic_of_an_in_process_server_ends_no_more_than_it_must<R: AsyncRuntime>(
    runtime: R,
) {
    let Deployed { manager, .. } = deployed(runtime).await;
    let error = manager.execute_tool("rust", "panic", ()).await.unwrap_err();
    assert!(
        matches!(error, ExecuteError::Call(CallError::Rpc(_))),
        "{error:?}"
    );
    echo(&manager, 1).await;
    manager.restart_server("rust").await.unwrap();
    // Now the server itself panics, as often as it is tried.
    let error = manager.restart_server("rust").await.unwrap_err();
    assert!(error.to_string().contains("not in the mood"), "{error}");
    // It starts again by itself, and the call waits for that.
    echo(&manager, 2).await;
    manager.undeploy_server("rust").await.unwrap();
    manager.shutdown().await.unwrap();
}
