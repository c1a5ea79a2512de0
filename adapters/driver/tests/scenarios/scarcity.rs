//! What happens when the system has no more to give: programs of their own, because limits and
//! descriptors belong to the whole process.

use std::{fs::File, time::Duration};

use mcp_fleet_core::{CommandError, Failure, config::FleetConfig};
use mcp_fleet_driver::{AsyncRuntime, ManageError, McpManagerV2, RuntimeOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    bench::{is_alive, patiently},
    servers::shell_server,
};

/// All descriptors that the process may have, but `spare`, until it is dropped.
struct Hoard {
    before: Rlimit,
    _files: Vec<File>,
}

impl Hoard {
    fn begin(spare: usize) -> Self {
        let before = getrlimit(Resource::Nofile);
        let limit = Rlimit {
            current: Some(256),
            ..before
        };
        setrlimit(Resource::Nofile, limit).unwrap();
        let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        files.truncate(files.len() - spare);
        Self {
            before,
            _files: files,
        }
    }
}

impl Drop for Hoard {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).unwrap();
    }
}

/// Lets a launch run out of descriptors at every step it takes.
/// F2, F64
pub async fn a_launch_without_descriptors_fails_alone<R: AsyncRuntime>(runtime: R) {
    let options = RuntimeOptions::default();
    let manager = McpManagerV2::on(runtime.clone(), FleetConfig::default(), options);
    manager.deploy_server(shell_server("first")).await.unwrap();
    let mut refused = 0;
    for spare in 0..16 {
        let hoard = Hoard::begin(spare);
        let outcome = manager.deploy_server(shell_server("next")).await;
        drop(hoard);
        match outcome {
            Ok(()) => {}
            Err(ManageError::Command(CommandError::Failed {
                failure: Failure::CannotStart { message, transient },
                ..
            })) => {
                assert!(transient, "{message}");
                assert!(message.contains("out of resources"), "{message}");
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
        manager.execute_tool("first", "echo", ()).await.unwrap();
        manager.undeploy_server("next").await.unwrap();
    }
    assert!((1..16).contains(&refused), "{refused}");
    // None of the attempts left a child behind: there are the first server and the guard.
    let children = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let children = tasks
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).ok());
        children
            .map(|line| line.split_whitespace().count())
            .sum::<usize>()
    };
    let settled = async {
        while children() != 2 {
            let soon = runtime.now() + Duration::from_millis(5);
            runtime.sleep_until(soon).await;
        }
    };
    patiently(&runtime, "end of what was refused", settled).await;
    let pid = manager.list_servers().await.unwrap()[0].pid.unwrap();
    manager.shutdown().await.unwrap();
    assert!(!is_alive(pid));
}
