//! What happens to the programs of servers while they run.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use mcp_fleet_core::{CommandError, Failure, ServerState, config::Kind};
use mcp_fleet_driver::{AsyncRuntime, ManageError};
use mcp_fleet_tests::fake_server;

use crate::host::{Host, send};

/// A program that is the fake server by another name.
fn program(path: &Path, name: &str) {
    let server = fake_server().unwrap();
    let script = format!("#!/bin/sh\nexec {} --name {name}\n", server.display());
    let draft = path.with_extension("draft");
    fs::write(&draft, script).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(draft, path).unwrap();
}

async fn implementation<R: AsyncRuntime>(host: &Host<R>) -> String {
    host.info("server").await.implementation.unwrap().name
}

pub(crate) async fn f66_a_replaced_program_is_used_by_the_next_start<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let path = host.scratch.path().join("server");
    program(&path, "old");
    let server = host.server("server", path.to_str().unwrap(), &[]);
    host.deploy(server).await;
    assert_eq!(implementation(&host).await, "old");
    program(&path, "new");
    // The running life knows nothing of it.
    host.manager
        .execute_tool("server", "echo", ())
        .await
        .unwrap();
    assert_eq!(implementation(&host).await, "old");
    send(host.pid("server").await, "KILL");
    host.until_state("server", ServerState::Backoff).await;
    host.until_state("server", ServerState::Ready).await;
    assert_eq!(implementation(&host).await, "new");
    host.finish().await;
}

pub(crate) async fn f66_a_deleted_program_is_not_tried_again<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let path = host.scratch.path().join("server");
    program(&path, "old");
    let server = host.server("server", path.to_str().unwrap(), &[]);
    host.deploy(server).await;
    fs::remove_file(&path).unwrap();
    host.manager
        .execute_tool("server", "echo", ())
        .await
        .unwrap();
    send(host.pid("server").await, "KILL");
    let failure = host.until_state("server", ServerState::Failed).await;
    let Some(Failure::CannotStart { message, transient }) = failure else {
        panic!("{failure:?}");
    };
    assert!(
        message.contains("does not exist; check `command`"),
        "{message}"
    );
    assert!(!transient);
    // Whoever mends it starts it again.
    program(&path, "new");
    host.manager.restart_server("server").await.unwrap();
    assert_eq!(implementation(&host).await, "new");
    host.finish().await;
}

pub(crate) async fn f66_a_vanished_directory_is_named<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let directory = host.scratch.directory("home").unwrap();
    let mut config = host.fake("server", &[]);
    if let Kind::Stdio(stdio) = &mut config.kind {
        stdio.cwd = Some(directory.to_str().unwrap().to_owned());
    }
    host.deploy(config).await;
    fs::remove_dir(&directory).unwrap();
    host.manager
        .execute_tool("server", "echo", ())
        .await
        .unwrap();
    send(host.pid("server").await, "KILL");
    let failure = host.until_state("server", ServerState::Failed).await;
    let Some(Failure::CannotStart { message, transient }) = failure else {
        panic!("{failure:?}");
    };
    assert!(message.contains("working directory"), "{message}");
    assert!(message.contains(directory.to_str().unwrap()), "{message}");
    assert!(!transient);
    host.finish().await;
}

pub(crate) async fn f1_what_cannot_be_executed_is_not_tried_again<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let plain = host.scratch.file("plain", "#!/bin/sh\n").unwrap();
    let headless = host.scratch.file("headless", "#!/no/such/shell\n").unwrap();
    fs::set_permissions(&headless, fs::Permissions::from_mode(0o755)).unwrap();
    let server = host.fake("other", &[]);
    host.deploy(server).await;
    for (name, path, words) in [
        ("plain", plain.to_str().unwrap(), "chmod +x"),
        (
            "headless",
            headless.to_str().unwrap(),
            "interpreter in its first line",
        ),
        ("missing", "no-such-program", "was not found on PATH"),
    ] {
        match host
            .manager
            .deploy_server(host.server(name, path, &[]))
            .await
        {
            Err(ManageError::Command(CommandError::Failed {
                failure: Failure::CannotStart { message, transient },
                ..
            })) => {
                assert!(message.contains(words), "{message}");
                assert!(!transient);
            }
            other => panic!("{name}: {other:?}"),
        }
        let info = host.info(name).await;
        assert_eq!((info.state, info.stats.starts), (ServerState::Failed, 1));
        host.manager
            .execute_tool("other", "echo", ())
            .await
            .unwrap();
    }
    host.finish().await;
}
