//! The Debian packages that demo and tests need, and what for.
//!
//! Installs what is missing where it may; else stops with the command to type.
//! Nothing is ever skipped because a program is missing.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::shell::{installed, run};

/// A program, the Debian package that brings it, and what needs it.
struct Need {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const NEEDS: [Need; 8] = [
    Need {
        program: "redis-server",
        package: "redis-server",
        purpose: "demo and tests run real Redis nodes",
    },
    Need {
        program: "redis-sentinel",
        package: "redis-sentinel",
        purpose: "demo and tests run real Sentinels",
    },
    Need {
        program: "setpriv",
        package: "util-linux",
        purpose: "servers are started so that they die with the test that started them",
    },
    Need { program: "prometheus", package: "prometheus", purpose: "tests ask a real Prometheus" },
    Need {
        program: "haproxy",
        package: "haproxy",
        purpose: "a test sends clients through a real HAProxy",
    },
    Need {
        program: "openssl",
        package: "openssl",
        purpose: "a test makes an authority and a certificate of its own",
    },
    Need {
        program: "strace",
        package: "strace",
        purpose: "a test sees what is synced before it is acknowledged",
    },
    Need {
        program: "ip",
        package: "iproute2",
        purpose: "partitions cut links between network namespaces",
    },
];

/// Makes sure that Redis and Sentinel are here.
///
/// # Errors
/// When something is missing and cannot be installed; with the command to type.
pub(crate) fn redis() -> Result<()> {
    let missing: Vec<_> = NEEDS.iter().filter(|need| !installed(need.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("  {} is missing ({})", need.program, need.purpose);
    }
    let packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    let command = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if !installed("apt-get") || !is_root() {
        bail!("install what is missing, then try again; on Debian, as root: {command}");
    }
    println!("  {command}");
    run(apt().args(["update", "-qq"]))?;
    run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(&packages))?;
    match missing.iter().find(|need| !installed(need.program)) {
        None => Ok(()),
        Some(need) => bail!("{} is installed, but there is no {}", need.package, need.program),
    }
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    // Where systemd runs, the package starts a server on the standard port. Nobody
    // here uses that port, and whether it should run is not ours to decide.
    apt.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    apt
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
