//! The one place where compiled code is taken from bytes.
#![allow(
    unsafe_code,
    reason = "wasmtime cannot check machine code; we check that it is what we wrote"
)]

use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::Artifact;

/// Makes a component of an artifact from our own cache.
pub(super) fn deserialize(engine: &Engine, artifact: &Artifact<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must come from `Component::serialize` unchanged. An
    // `Artifact` is only made by `cache::open`, from a file in the cache folder,
    // which is ours alone (mode 0700), after the SHA-256 that was written with the
    // bytes was found to be theirs; they are in memory, so nobody can exchange
    // them between that check and this call. wasmtime itself checks its version
    // and every compile setting.
    unsafe { Component::deserialize(engine, artifact.code()) }
}
