//! A guest that does nothing, written by hand: what is measured is the engine.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Its name.
pub(crate) const NAME: &str = "noop";

/// Texts at 256, `info` at 1024, `result::ok("{}")` at 2048; `run` ignores its input.
const MODULE: &str = r#"(module
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    global.get $next
    global.get $next local.get 3 i32.add i32.const 15 i32.add i32.const -16 i32.and
    global.set $next)
  (func (export "describe") (result i32) i32.const 1024)
  (func (export "run") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    i32.const 2048)
  (data (i32.const 256) "noop0.0.0Does nothing.{}rerun")
  (data (i32.const 1024) "INFO")
  (data (i32.const 2048) "OUTPUT"))"#;

/// Where each text of `info` is: (address, bytes), in the order of the WIT; the fourth
/// and fifth are both `{}`, the sixth is the empty list of commands.
const INFO: [(u32, u32); 7] = [(256, 4), (260, 5), (265, 13), (278, 2), (278, 2), (0, 0), (280, 5)];

/// The component.
///
/// # Errors
/// When it no longer fits the WIT.
pub(crate) fn component() -> Result<Vec<u8>> {
    let info: Vec<u32> = INFO.iter().flat_map(|(at, bytes)| [*at, *bytes]).collect();
    let text =
        MODULE.replace("INFO", &escaped(&info)).replace("OUTPUT", &escaped(&[0, INFO[3].0, 2]));
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
