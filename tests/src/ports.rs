//! Ports that nobody else will take.
//!
//! Asking the kernel for port 0 is not safe here: a server that is down for a
//! while (that is what a laboratory does) can lose its port to any outgoing
//! connection. So ports come from below the ephemeral range, and are claimed
//! among laboratories by locked files, which the kernel unlocks on any death.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process;

use anyhow::{Context, Result, bail};

/// Below Linux's ephemeral range (32768 and up), above the well-known services.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port of ours for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// None where nobody else could take it.
    _claim: Option<File>,
}

impl Port {
    /// A port of a machine of its own.
    pub(crate) fn alone(number: u16) -> Self {
        Self { number, _claim: None }
    }

    /// The port's number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// Claims `count` ports.
pub(crate) fn claim(count: usize) -> Result<Vec<Port>> {
    let folder = folder()?;
    // Different processes begin at different places, so that they seldom meet.
    let width = RANGE.end - RANGE.start;
    let begin =
        u16::try_from(process::id() % u32::from(width)).unwrap_or(0).wrapping_mul(7) % width;
    let mut claimed = Vec::with_capacity(count);
    for step in 0..width {
        if claimed.len() == count {
            return Ok(claimed);
        }
        let number = RANGE.start + (begin + step) % width;
        if let Some(port) = try_claim(&folder, number)? {
            claimed.push(port);
        }
    }
    bail!("no {count} free ports in {RANGE:?}")
}

fn try_claim(folder: &std::path::Path, number: u16) -> Result<Option<Port>> {
    let path = folder.join(number.to_string());
    let claim = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("open the port claim {}", path.display()))?;
    if claim.try_lock().is_err() {
        return Ok(None);
    }
    if TcpListener::bind(("127.0.0.1", number)).is_err() {
        return Ok(None);
    }
    Ok(Some(Port { number, _claim: Some(claim) }))
}

fn folder() -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let folder = env::temp_dir().join(format!("baton-lab-ports-{user}"));
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}
