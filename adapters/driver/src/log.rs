//! What happens in a fleet, for whoever reads its logs. Arguments and results of tools are in none
//! of it.

use mcp_fleet_core::{Event, Signal};

/// Logs an event of the machine.
pub(crate) fn event(event: &Event) {
    match event {
        Event::ServerChanged {
            server,
            replica,
            incarnation,
            state,
            failure,
            waiting,
        } => match (failure, waiting) {
            (Some(failure), _) => {
                tracing::info!(%server, replica, incarnation, %state, %failure, "server changed");
            }
            (None, Some(waiting)) => {
                tracing::info!(%server, replica, incarnation, %state, %waiting, "server changed");
            }
            (None, None) => {
                tracing::info!(%server, replica, incarnation, %state, "server changed");
            }
        },
        Event::RolledBack { server, error } => {
            tracing::warn!(%server, %error, "new configuration given up, the one before it is back");
        }
        Event::Abandoned {
            server,
            replica,
            incarnation,
            pid,
        } => tracing::warn!(
            %server,
            replica,
            incarnation,
            pid,
            "a server did not end by SIGKILL and is left to the system"
        ),
        Event::CatalogChanged {
            server,
            kind,
            entries,
        } => tracing::debug!(%server, ?kind, entries, "list read"),
        Event::InputRequested {
            input,
            server,
            method,
            ..
        } => tracing::debug!(%server, input = input.0, method, "server asks"),
        Event::InputWithdrawn { input } => tracing::debug!(input = input.0, "question withdrawn"),
        Event::Notified { server, method, .. } => tracing::debug!(%server, method, "notified"),
        Event::Violation { server, message } => {
            tracing::debug!(%server, message, "protocol violation");
        }
        Event::CallEnded { call, outcome } => match outcome {
            Ok(_) => tracing::trace!(call = call.0, "call ended"),
            Err(error) => tracing::trace!(call = call.0, %error, "call ended"),
        },
        Event::CallProgress { call, progress, .. } => {
            tracing::trace!(call = call.0, progress, "progress");
        }
        Event::CommandEnded { .. } | _ => {}
    }
}

/// Logs what a server wrote to its standard error.
pub(crate) fn signal(signal: &Signal) {
    if let Signal::Stderr {
        link,
        bytes,
        dropped,
    } = signal
        && tracing::enabled!(tracing::Level::DEBUG)
    {
        let text = String::from_utf8_lossy(bytes);
        tracing::debug!(%link, dropped, "stderr: {}", text.trim_end());
    }
}
