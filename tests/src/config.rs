//! Configuration files for the product.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{Launch, Result, Scratch};

/// Writes an `mcpServers` file with these servers; `extras` are set beside every `command`.
///
/// # Errors
/// What the file system says.
pub fn write_config(
    scratch: &Scratch,
    servers: &[(&str, &Launch)],
    extras: &Value,
) -> Result<PathBuf> {
    let mut entries = serde_json::Map::new();
    for (name, launch) in servers {
        let mut entry = launch.entry();
        if let (Value::Object(entry), Value::Object(extras)) = (&mut entry, extras) {
            entry.extend(extras.clone());
        }
        entries.insert((*name).to_owned(), entry);
    }
    let path = scratch.path().join("mcp.json");
    fs::write(&path, json!({"mcpServers": entries}).to_string())?;
    Ok(path)
}
