//! wasmtime as Baton wants it: deterministic, interruptible, bounded, pooled.

use std::thread;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits;

/// An engine with room for `attempts_max` guests at a time, and its ticker.
pub(crate) fn start(attempts_max: u32) -> wasmtime::Result<Engine> {
    let engine = Engine::new(&config(attempts_max))?;
    tick(&engine)?;
    Ok(engine)
}

fn config(attempts_max: u32) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .max_wasm_stack(limits::STACK_BYTES_MAX)
        .async_stack_size(limits::FIBER_STACK_BYTES_MAX)
        .epoch_interruption(true)
        .consume_fuel(true)
        // A guest is deterministic: everything it learns comes through host calls.
        // Threads are not compiled into this wasmtime at all.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        // Names of functions are enough for a backtrace; guests are stripped.
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(limits::BACKTRACE_FRAMES_MAX))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(attempts_max)));
    config
}

/// One place more than attempts: `describe` of a plugin that is being loaded.
fn pool(attempts_max: u32) -> PoolingAllocationConfig {
    let places = attempts_max.saturating_add(1);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(places)
        .total_stacks(places)
        .total_core_instances(places.saturating_mul(limits::CORE_INSTANCES_MAX))
        .total_memories(places.saturating_mul(limits::MEMORIES_MAX))
        .total_tables(places.saturating_mul(limits::TABLES_MAX))
        .max_core_instances_per_component(limits::CORE_INSTANCES_MAX)
        .max_memories_per_component(limits::MEMORIES_MAX)
        .max_tables_per_component(limits::TABLES_MAX)
        .max_tables_per_module(limits::TABLES_MAX)
        .table_elements(limits::TABLE_ELEMENTS_MAX)
        .max_core_instance_size(limits::INSTANCE_BYTES_MAX)
        .max_component_instance_size(limits::INSTANCE_BYTES_MAX);
    pool
}

/// Moves the epoch on until the engine is gone.
fn tick(engine: &Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    thread::Builder::new().name("wasm-ticker".to_owned()).spawn(move || {
        loop {
            thread::sleep(limits::TICK);
            let Some(engine) = engine.upgrade() else { break };
            engine.increment_epoch();
        }
    })?;
    Ok(())
}
