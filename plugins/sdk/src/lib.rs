//! What an author of a Baton plugin uses.
//!
//! A plugin is a type that implements [`Plugin`]: a typed input, a typed output,
//! what it says of itself, and one function. [`export!`] turns it into a
//! WebAssembly component when built for `wasm32`; natively the same code runs
//! against [`testing::FakeCluster`], so a unit test needs neither Redis nor wasm; and
//! against [`testing::Tape`], a real attempt that `baton tape export` took out.
//!
//! Everything a plugin learns or does goes through [`Host`]. There is no other
//! clock, network or randomness. `run` is generic over the host, so that a
//! component imports only the doors that its code really uses.

pub mod exec;
mod fault;
mod host;
pub mod http;
mod plugin;
pub mod probe;
pub mod redis;
mod table;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod wasm;

pub use fault::{Fault, FaultKind};
pub use host::{Cluster, Context, Done, Host, Level, Member, MemberKind, Mode, Sample};
pub use plugin::{About, Asks, Plugin, input_schema, output_schema, run_json};
/// Why a call gave nothing: the same for every door.
pub use redis::{ErrorKind, RedisError as CallError};
pub use schemars::JsonSchema;
pub use serde_json::json;
pub use table::Table;

/// Makes a component of a type that implements [`Plugin`]. Does nothing unless
/// built for `wasm32`.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the component's entry points are C functions")]
        const _: () = {
            struct Component;
            impl $crate::wasm::Guest for Component {
                fn describe() -> $crate::wasm::Info {
                    $crate::wasm::describe::<$plugin>()
                }
                fn asks() -> Vec<$crate::wasm::Ask> {
                    $crate::wasm::asks::<$plugin>()
                }
                fn run(
                    context: $crate::wasm::Context,
                    input: String,
                ) -> Result<String, $crate::wasm::WitFault> {
                    $crate::wasm::run::<$plugin>(context, &input)
                }
            }
    $crate::wasm::export_plugin!(Component with_types_in $crate::wasm::bindings);
        };
    };
}
