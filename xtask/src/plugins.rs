//! Builds the guests of `plugins/` into components: `target/plugins/<name>.wasm`, and
//! those of `plugins/tests/`, which are not shipped, into `target/plugins-test/`.
//!
//! The toolchain is rustup's wasm target where it is there or can be added; else
//! Debian's own compiler, which builds the standard library from its source
//! package. Cargo decides what is stale; a component is written only if changed.
#![allow(clippy::print_stderr, reason = "a task of xtask talks to the person who runs it")]

use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TARGET: &str = "wasm32-unknown-unknown";

/// Where components go, below `target`: what is shipped, and what only tests use.
const SHIPPED: &str = "plugins";
const FOR_TESTS: &str = "plugins-test";

/// `rustup target add` downloads some 30 MB; where there is no way to Rust's
/// server it may hang rather than fail.
const RUSTUP_ADD_LIMIT: Duration = Duration::from_mins(1);

/// Debian 12's newest compiler, its cargo, the standard library's source, a linker.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A compiler that can build guests.
#[derive(Debug)]
enum Toolchain {
    /// The default one has the target.
    Rustup,
    /// Debian's, with a linker found elsewhere.
    Debian { linker: PathBuf },
}

/// Builds every guest and writes its component.
///
/// # Errors
/// No toolchain and none can be installed; a guest does not compile; a module that
/// is no component of ours.
pub(crate) fn build(root: &Path) -> Result<()> {
    let toolchain = toolchain(root)?;
    let modules = compile(root, &toolchain)?;
    ensure!(!modules.is_empty(), "plugins/ holds no guest (no cdylib was built)");
    for folder in [SHIPPED, FOR_TESTS].map(|folder| root.join("target").join(folder)) {
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    for module in modules {
        let path = root.join("target").join(module.folder).join(format!("{}.wasm", module.name));
        let component = componentize(&module.path)
            .with_context(|| format!("cannot make a component of {}", module.path.display()))?;
        if write_if_changed(&path, &component)? {
            eprintln!("plugin {} ({} kB)", module.name, component.len() / 1000);
        }
    }
    Ok(())
}

/// Makes sure that guests can be built: installs what is missing where it may.
///
/// # Errors
/// Says exactly what to install by hand.
pub(crate) fn ensure_toolchain() -> Result<()> {
    toolchain(Path::new(".")).map(drop)
}

/// Installed ways first, so that a warm machine never waits for a download.
fn toolchain(root: &Path) -> Result<Toolchain> {
    if default_has_target(root) {
        return Ok(Toolchain::Rustup);
    }
    if let Some(found) = debian(root) {
        return Ok(found);
    }
    eprintln!("no compiler for {TARGET} here; trying `rustup target add {TARGET}`");
    let mut rustup = clean(Command::new("rustup"));
    rustup.args(["target", "add", TARGET]).current_dir(root);
    if run_for(&mut rustup, RUSTUP_ADD_LIMIT) && default_has_target(root) {
        return Ok(Toolchain::Rustup);
    }
    if is_root() {
        eprintln!("installing {} with apt-get", DEBIAN_PACKAGES.join(" "));
        apt_install()?;
        if let Some(found) = debian(root) {
            return Ok(found);
        }
    }
    bail!(
        "cannot build the plugins: no compiler for {TARGET}.\n\
         Install one of these, then run this again:\n\
         - rustup target add {TARGET}\n\
         - on Debian, as root: apt-get install {}",
        DEBIAN_PACKAGES.join(" ")
    )
}

/// The default toolchain's own folder of compiled libraries.
fn sysroot(root: &Path) -> Option<PathBuf> {
    let mut rustc = clean(Command::new("rustc"));
    let output = rustc.args(["--print", "sysroot"]).current_dir(root).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

fn default_has_target(root: &Path) -> bool {
    let Some(sysroot) = sysroot(root) else { return false };
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    fs::read_dir(libraries).is_ok_and(|mut entries| entries.next().is_some())
}

/// Debian's compiler, if it is whole: compiler, cargo, std's source and a linker.
fn debian(root: &Path) -> Option<Toolchain> {
    if !Path::new(DEBIAN_CARGO).exists() {
        return None;
    }
    let output = clean(Command::new(DEBIAN_RUSTC)).args(["--print", "sysroot"]).output().ok()?;
    let own = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let source = own.join("lib/rustlib/src/rust/library/std/Cargo.toml");
    source.exists().then_some(())?;
    Some(Toolchain::Debian { linker: linker(root)? })
}

/// A linker for WebAssembly: the default toolchain's own, or LLVM's.
fn linker(root: &Path) -> Option<PathBuf> {
    let bundled = sysroot(root).map(|sysroot| {
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        sysroot.join("lib/rustlib").join(host).join("bin/rust-lld")
    });
    let llvm = ["/usr/bin/wasm-ld-19", "/usr/lib/llvm-19/bin/wasm-ld", "/usr/bin/wasm-ld"];
    bundled.into_iter().chain(llvm.map(PathBuf::from)).find(|path| path.exists())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn apt_install() -> Result<()> {
    let apt = |arguments: &[&str]| -> Result<bool> {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        Ok(command.status().context("cannot run apt-get")?.success())
    };
    let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
    install.extend(DEBIAN_PACKAGES);
    // An old list of packages is the usual reason for a failure: renew it only then.
    if apt(&install)? || (apt(&["update", "-q"])? && apt(&install)?) {
        return Ok(());
    }
    bail!("`apt-get install {}` failed; see above", DEBIAN_PACKAGES.join(" "))
}

/// A guest's core module.
struct Module {
    name: String,
    /// Below `target`: where its component goes.
    folder: &'static str,
    path: PathBuf,
}

fn compile(root: &Path, toolchain: &Toolchain) -> Result<Vec<Module>> {
    let mut cargo = match toolchain {
        Toolchain::Rustup => clean(Command::new("cargo")),
        Toolchain::Debian { linker } => {
            let mut cargo = clean(Command::new(DEBIAN_CARGO));
            // Building std is a nightly switch; this compiler is complete but stable.
            cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC", DEBIAN_RUSTC)
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            cargo
        }
    };
    cargo
        .args(["build", "--release", "--locked", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_TARGET_DIR", root.join("target/guests"))
        .current_dir(root.join("plugins"))
        .stdout(Stdio::piped());
    if matches!(toolchain, Toolchain::Debian { .. }) {
        cargo.args(["-Z", "build-std=std,panic_abort"]);
    }
    let mut child = cargo.spawn().context("cannot run cargo for the plugins")?;
    let mut messages = String::new();
    child
        .stdout
        .take()
        .context("cargo has no output")?
        .read_to_string(&mut messages)
        .context("cannot read cargo's messages")?;
    ensure!(child.wait()?.success(), "the plugins do not build; see above");
    messages.lines().filter_map(|line| module(line).transpose()).collect()
}

/// The module that a line of cargo's messages tells of, if it does.
fn module(line: &str) -> Result<Option<Module>> {
    let message: serde_json::Value =
        serde_json::from_str(line).context("cargo wrote a line that is no JSON")?;
    let is_guest = message["reason"] == "compiler-artifact"
        && message["target"]["crate_types"]
            .as_array()
            .is_some_and(|it| it.contains(&"cdylib".into()));
    let wasm = message["filenames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it.as_str())
        .find(|it| Path::new(it).extension().is_some_and(|end| end == "wasm"));
    Ok(match (is_guest, wasm, message["target"]["name"].as_str()) {
        (true, Some(path), Some(name)) => {
            let manifest = message["manifest_path"].as_str().unwrap_or_default();
            let for_tests = manifest.contains("/plugins/tests/");
            let folder = if for_tests { FOR_TESTS } else { SHIPPED };
            Some(Module { name: name.replace('_', "-"), folder, path: path.into() })
        }
        _ => None,
    })
}

fn componentize(module: &Path) -> Result<Vec<u8>> {
    let module = fs::read(module)?;
    wit_component::ComponentEncoder::default().validate(true).module(&module)?.encode()
}

/// Writes beside and renames, so that a running engine never sees half a plugin.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let beside = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&beside, bytes).with_context(|| format!("cannot write {}", beside.display()))?;
    fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// Without what the cargo that runs xtask has set for its own children: its
/// compiler, flags, target folder and libraries would leak into another toolchain.
fn clean(mut command: Command) -> Command {
    const KEPT: [&str; 5] =
        ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_TERM_"];
    const DROPPED: [&str; 6] =
        ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"];
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let starts_with = |prefixes: &[&str]| prefixes.iter().any(|it| text.starts_with(it));
        if starts_with(&DROPPED) && !starts_with(&KEPT) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs quietly for a while; false where it fails, is missing or takes too long.
fn run_for(command: &mut Command, limit: Duration) -> bool {
    let Ok(mut child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        return false;
    };
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if begun.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
            Ok(None) | Err(_) => {
                // Already gone is as good as ended.
                drop(child.kill());
                drop(child.wait());
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_found_in_cargos_messages_and_a_library_is_not() {
        let guest = r#"{"reason":"compiler-artifact","target":{"name":"redis_ping","crate_types":["cdylib","rlib"]},"filenames":["/t/redis_ping.wasm","/t/libredis_ping.rlib"]}"#;
        let library = r#"{"reason":"compiler-artifact","target":{"name":"baton_plugin","crate_types":["lib"]},"filenames":["/t/libbaton_plugin.rlib"]}"#;
        let found = module(guest).unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.path), ("redis-ping", "/t/redis_ping.wasm".into()));
        assert!(module(library).unwrap().is_none());
    }

    #[test]
    fn a_guest_of_the_tests_is_not_shipped() {
        let guest = |place: &str| {
            let line = serde_json::json!({
                "reason": "compiler-artifact",
                "manifest_path": format!("/b/plugins/{place}/Cargo.toml"),
                "target": { "name": "g", "crate_types": ["cdylib"] },
                "filenames": ["/t/g.wasm"],
            });
            module(&line.to_string()).unwrap().unwrap().folder
        };
        assert_eq!((guest("redis-ping"), guest("tests/torture")), ("plugins", "plugins-test"));
    }

    #[test]
    fn a_component_is_written_only_if_it_changed() {
        let folder = std::env::temp_dir().join(format!("xtask-plugins-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("x.wasm");
        assert!(write_if_changed(&path, b"a").unwrap());
        assert!(!write_if_changed(&path, b"a").unwrap());
        assert!(write_if_changed(&path, b"b").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"b");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
