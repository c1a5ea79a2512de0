//! MCP servers that are Rust values: tools without a process.
//!
//! Implement [`InProcessServer`], then let [`serve`] speak the protocol for it over frames, or
//! [`serve_streams`] over any pair of byte streams, such as the standard input and output of a
//! program that is to be an MCP server.
//!
//! ```
//! use std::sync::Arc;
//!
//! use futures::{FutureExt, future::BoxFuture, io::Cursor};
//! use mcp_fleet_core::{Implementation, RpcError};
//! use mcp_fleet_driver::{InProcessServer, Tool, ToolCall, ToolOutput, serve_streams};
//!
//! struct Greeter;
//!
//! impl InProcessServer for Greeter {
//!     fn implementation(&self) -> Implementation {
//!         Implementation { name: "greeter".into(), version: "1.0.0".into(), title: None }
//!     }
//!
//!     fn tools(&self) -> Vec<Tool> {
//!         vec![Tool::new("greet").description("Says hello")]
//!     }
//!
//!     fn call_tool<'a>(&'a self, _: ToolCall) -> BoxFuture<'a, Result<ToolOutput, RpcError>> {
//!         async { Ok(ToolOutput::text("hello")) }.boxed()
//!     }
//! }
//!
//! # futures::executor::block_on(async {
//! let input = concat!(
//!     r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"greet","_meta":{"#,
//!     r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
//!     r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#,
//!     "\n",
//! );
//! let mut output = Vec::new();
//! serve_streams(Arc::new(Greeter), input.as_bytes(), Cursor::new(&mut output)).await;
//! assert!(String::from_utf8(output).unwrap().contains(r#""text":"hello""#));
//! # });
//! ```

mod call;
mod face;
mod incoming;
mod session;
mod streams;
#[cfg(test)]
mod tests;
mod tool;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use mcp_fleet_core::{Implementation, RpcError};

pub use self::{
    call::{ToolCall, ToolOutput},
    streams::serve_streams,
    tool::{Tool, ToolAnnotations},
};
use self::{face::Face, session::Session};

/// An MCP server that is a Rust value.
///
/// It is asked for its tools once per link, so a list that changes is seen after a restart.
pub trait InProcessServer: Send + Sync + 'static {
    /// The name and version the server gives itself.
    fn implementation(&self) -> Implementation;

    /// What a model should know about the use of the server.
    fn instructions(&self) -> Option<String> {
        None
    }

    /// The tools, in the order in which they are listed. A server without any declares none, and
    /// answers `tools/list` as an unknown method.
    fn tools(&self) -> Vec<Tool>;

    /// Runs one of [`InProcessServer::tools`]; others are refused before they get here.
    ///
    /// Many calls run at once. The future is dropped when the caller gives up; work that it handed
    /// to other tasks should watch [`ToolCall::cancelled`]. A panic is answered as an internal
    /// error and ends nothing else. It must not block its thread: the other calls of the server
    /// wait for it, and on a runtime with one thread the whole fleet.
    ///
    /// # Errors
    /// An [`RpcError`] fails the request itself. What the tool could not do, or arguments it
    /// cannot use, belong into [`ToolOutput::error`], where a model sees them.
    fn call_tool<'a>(&'a self, call: ToolCall) -> BoxFuture<'a, Result<ToolOutput, RpcError>>;
}

/// Speaks the protocol for `server` until `frames` ends and every call is answered.
///
/// Frames hold whole lines, each with its line feed, one or several together, in both directions.
/// Up to 256 calls run at once and 4096 more wait; beyond that calls are refused. Nothing is read
/// while `out` is full. Ends at once when `out` is closed or dropped.
///
/// Modern requests (2026-07-28) are served whatever came before; `initialize` opens a legacy
/// session on the same frames.
///
/// # Panics
/// Where the server itself panics while it says who it is and which tools it has.
pub async fn serve(
    server: Arc<dyn InProcessServer>,
    frames: async_channel::Receiver<Bytes>,
    out: async_channel::Sender<Bytes>,
) {
    let face = Face::of(&*server);
    Session::new(server, face, out).run(frames).await;
}
