//! From a file to a plugin: verify in words, compile once, let it describe itself.

pub(crate) mod cache;
mod deserialize;
mod verify;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use baton_core::Json;
use baton_core::id::Digest;
use baton_core::workflow::Asks;
use baton_core::workflow::plan::WhenInterrupted;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::guest::{self, Data, Exports, ExportsPre, Limiter, wit};
use crate::host::Info;
use crate::{call, limits};

pub(crate) use cache::Cache;

/// A verified, compiled component. Cheap to clone.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    info: Info,
    exports: ExportsPre<Data>,
}

impl Plugin {
    /// What it says of itself.
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// Ready to be instantiated.
    pub(crate) fn exports(&self) -> &ExportsPre<Data> {
        &self.0.exports
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plugin").field(&self.0.info).finish()
    }
}

/// Makes a plugin of `bytes`. Blocks: compiling takes 0.1 s for a Rust guest,
/// seconds for an interpreter, unless the cache has it.
///
/// # Errors
/// What is wrong with it, for an operator.
pub(crate) fn load(
    engine: &Engine,
    cache: &Cache,
    describing: &Mutex<()>,
    memory_bytes_max: usize,
    bytes: &[u8],
) -> Result<Plugin, String> {
    let digest = Digest::of(bytes);
    let component = match cache.get(engine, digest) {
        Some(component) => component,
        None => compile(engine, cache, digest, bytes)?,
    };
    let imports = verify::imports(&component)?;
    verify::exports(&component)?;
    let mut linker = Linker::new(engine);
    guest::link(&mut linker).map_err(|error| error.to_string())?;
    let exports = linker
        .instantiate_pre(&component)
        .and_then(ExportsPre::new)
        .map_err(|error| verify::other_version(&error))?;
    let turn = describing.lock().unwrap_or_else(PoisonError::into_inner);
    let (said, asked) = describe(engine, &component, memory_bytes_max)?;
    drop(turn);
    let asks = asks(&asked, &imports)?;
    let info = info(said, asks, imports, digest, bytes.len() as u64)?;
    Ok(Plugin(Arc::new(Loaded { info, exports })))
}

fn compile(
    engine: &Engine,
    cache: &Cache,
    digest: Digest,
    bytes: &[u8],
) -> Result<Component, String> {
    verify::is_component(bytes)?;
    let component = Component::from_binary(engine, bytes).map_err(|error| {
        format!("it is damaged or truncated ({error:#}): build or copy it again")
    })?;
    cache.put(digest, &component);
    Ok(component)
}

/// What a component says of itself.
type Said = (wit::types::Info, Vec<wit::types::Ask>);

/// Asks the component what it is; nothing is within its reach meanwhile.
fn describe(
    engine: &Engine,
    component: &Component,
    memory_bytes_max: usize,
) -> Result<Said, String> {
    let asked = || -> wasmtime::Result<Said> {
        let mut linker: Linker<Limiter> = Linker::new(engine);
        linker.define_unknown_imports_as_traps(component)?;
        let ready = linker.instantiate_pre(component)?;
        let mut store = Store::new(engine, Limiter::new(memory_bytes_max));
        store.limiter(|limiter| limiter);
        let deadline = Instant::now() + limits::DESCRIBE_TIMEOUT;
        call::bound(&mut store, limits::DESCRIBE_FUEL_MAX, deadline, || {
            UpdateDeadline::Continue(1)
        })?;
        // The guest can wait for nothing, so this thread is never parked.
        futures::executor::block_on(async {
            let instance = ready.instantiate_async(&mut store).await?;
            let info = Exports::new(&mut store, &instance)?.call_describe(&mut store).await?;
            // Built for the world `plugin`, it has no such export.
            let Some(asks) = instance.get_func(&mut store, "asks") else {
                return Ok((info, Vec::new()));
            };
            let asks = asks.typed::<(), (Vec<wit::types::Ask>,)>(&store)?;
            let (asks,) = asks.call_async(&mut store, ()).await?;
            Ok((info, asks))
        })
    };
    asked().map_err(|error| {
        format!("its `describe` failed ({}): a fault of the plugin", error.root_cause())
    })
}

/// What it asks for besides Redis: its imports say that it does, and `asks` says more.
fn asks(asked: &[wit::types::Ask], imports: &[String]) -> Result<Asks, String> {
    let imported = |door: &str| imports.iter().any(|it| it.ends_with(&format!("/{door}")));
    let said = asked.iter().filter(|ask| ask.door == "http").flat_map(|ask| &ask.what);
    let methods: Vec<String> = said.map(|method| spelt(method)).collect();
    if asked.len() + methods.len() > limits::ASKED_COMMANDS_MAX {
        return Err(format!("its `asks` lists more than {}", limits::ASKED_COMMANDS_MAX));
    }
    Ok(Asks {
        http: imported("http").then_some(methods),
        exec: imported("exec"),
        probe: imported("probe"),
    })
}

fn info(
    said: wit::types::Info,
    asks: Asks,
    imports: Vec<String>,
    digest: Digest,
    bytes: u64,
) -> Result<Info, String> {
    let texts = [&said.name, &said.version, &said.summary, &said.input_schema, &said.output_schema];
    if texts.iter().any(|text| text.len() > limits::DESCRIBE_BYTES_MAX) {
        return Err(format!(
            "its `describe` gives a text of more than {} bytes",
            limits::DESCRIBE_BYTES_MAX
        ));
    }
    if !is_name(&said.name) {
        return Err(format!(
            "its `describe` gives the name {:?}: expected 1 to 64 characters of a-z, 0-9 and `-`",
            crate::text::tame(&said.name, limits::PROGRESS_BYTES_MAX)
        ));
    }
    if said.redis_commands.len() > limits::ASKED_COMMANDS_MAX {
        return Err(format!(
            "its `describe` asks for {} Redis commands, more than {}",
            said.redis_commands.len(),
            limits::ASKED_COMMANDS_MAX
        ));
    }
    let when_interrupted = match said.when_interrupted.as_str() {
        "replay" => WhenInterrupted::Replay,
        "rerun" => WhenInterrupted::Rerun,
        "ask" => WhenInterrupted::Ask,
        other => {
            return Err(format!(
                "its `describe` gives when-interrupted = {:?}: expected \"replay\", \"rerun\" or \"ask\"",
                crate::text::tame(other, limits::PROGRESS_BYTES_MAX)
            ));
        }
    };
    Ok(Info {
        input_schema: schema("input-schema", &said.input_schema)?,
        output_schema: schema("output-schema", &said.output_schema)?,
        redis_commands: said.redis_commands.iter().map(|command| spelt(command)).collect(),
        asks,
        version: crate::text::tame(&said.version, limits::PROGRESS_BYTES_MAX),
        summary: crate::text::tame(&said.summary, limits::LOG_LINE_BYTES_MAX),
        name: said.name,
        when_interrupted,
        imports,
        digest,
        bytes,
    })
}

fn schema(field: &str, text: &str) -> Result<Json, String> {
    match serde_json::from_str(text) {
        Ok(schema @ (Json::Object(_) | Json::Bool(_))) => Ok(schema),
        Ok(_) => Err(format!("its {field} is no JSON Schema: expected an object")),
        Err(error) => Err(format!("its {field} is no JSON: {error}")),
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Commands are compared in upper case, groups (`@read`) in lower case.
fn spelt(command: &str) -> String {
    let command = crate::text::tame(command, limits::PROGRESS_BYTES_MAX);
    if command.starts_with('@') { command.to_lowercase() } else { command.to_uppercase() }
}
