//! Guests that do nothing, written by hand: what is measured is the engine.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The guest that ends at once.
pub(crate) const NAME: &str = "noop";
/// What the other one says before it sleeps for an hour.
#[allow(dead_code, reason = "only one of the benches needs it")]
pub(crate) const UP: &str = "it is up";

/// Texts at 256, `info` at 1024, `result::ok("{}")` at 2048; `run` ignores its input.
const MODULE: &str = r#"(module
  IMPORTS
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    global.get $next
    global.get $next local.get 3 i32.add i32.const 15 i32.add i32.const -16 i32.and
    global.set $next)
  (func (export "describe") (result i32) i32.const 1024)
  (func (export "run") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    DOES
    i32.const 2048)
  (data (i32.const 128) "it is up")
  (data (i32.const 256) "noop0.0.0Does nothing.{}rerun")
  (data (i32.const 1024) "INFO")
  (data (i32.const 2048) "OUTPUT"))"#;

/// Where each text of `info` is: (address, bytes), in the order of the WIT; the fourth
/// and fifth are both `{}`, the sixth is the empty list of commands.
const INFO: [(u32, u32); 7] = [(256, 4), (260, 5), (265, 13), (278, 2), (278, 2), (0, 0), (280, 5)];

/// What the sleeper imports, and what it does with it.
const SLEEPS: [&str; 2] = [
    r#"(import "baton:plugin/log@1.0.0" "write" (func $write (param i32 i32 i32)))
  (import "baton:plugin/clock@1.0.0" "sleep" (func $sleep (param i32)))"#,
    "(call $write (i32.const 1) (i32.const 128) (i32.const 8))
    (call $sleep (i32.const 3600000))",
];

/// What a guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Nothing.
    Nothing,
    /// Says that it is up, then sleeps.
    #[allow(dead_code, reason = "only one of the benches needs it")]
    Sleep,
}

/// The component.
///
/// # Errors
/// When it no longer fits the WIT.
pub(crate) fn component(does: Does) -> Result<Vec<u8>> {
    let [imports, body] = if does == Does::Sleep { SLEEPS } else { ["", ""] };
    let info: Vec<u32> = INFO.iter().flat_map(|(at, bytes)| [*at, *bytes]).collect();
    let text =
        MODULE.replace("INFO", &escaped(&info)).replace("OUTPUT", &escaped(&[0, INFO[3].0, 2]));
    let text = text.replace("IMPORTS", imports).replace("DOES", body);
    let mut module = wat::parse_str(text)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/wit/baton.wit");
    let wit = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str("baton.wit", &wit)?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    let component = ComponentEncoder::default().module(&module)?.validate(true).encode()?;
    ensure!(!component.is_empty(), "the component is empty");
    Ok(component)
}

fn escaped(words: &[u32]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    bytes.fold(String::new(), |text, byte| format!("{text}\\{byte:02x}"))
}
