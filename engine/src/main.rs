//! The `baton` binary.

/// A run is many small values that one thread makes and another drops; the system's own
/// allocator took a quarter of the processor's time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    baton::cli::main()
}
