//! Guests written by hand as core modules, made components in memory.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a test guest is made of; the rest is the same for all.
pub(crate) struct Guest {
    /// Imports of the core module.
    pub(crate) imports: &'static str,
    /// Globals and functions beside `run`.
    pub(crate) parts: &'static str,
    /// The body of `run`; leaves a pointer to the result.
    pub(crate) run: &'static str,
    /// The body of `describe`; leaves a pointer to the result.
    pub(crate) describe: &'static str,
    /// Pages of memory to begin with.
    pub(crate) pages: u32,
}

/// Returns the info at 1024.
const DESCRIBE: &str = "i32.const 1024";
/// Returns the output `{}`.
pub(crate) const OUTPUT: &str = "i32.const 2048";

impl Guest {
    pub(crate) const fn running(run: &'static str) -> Self {
        Self { imports: "", parts: "", run, describe: DESCRIBE, pages: 2 }
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        component(&self.module(), &wit())
    }

    /// The core module, as text.
    pub(crate) fn module(&self) -> String {
        let Self { imports, parts, run, describe, pages } = self;
        format!(
            r#"(module $guest
  {imports}
  (memory (export "memory") {pages})
  (global $next (mut i32) (i32.const 65536))
  {parts}
  (func $cabi_realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    global.get $next
    global.get $next local.get 3 i32.add i32.const 15 i32.add i32.const -16 i32.and
    global.set $next)
  (func $describe (export "describe") (result i32) {describe})
  (func $run (export "run") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    {run})
  {data})"#,
            data = data()
        )
    }
}

/// Texts at 256, `info` at 1024, `result::ok("{{}}")` at 2048.
fn data() -> String {
    let mut text = String::new();
    let mut info = Vec::new();
    let mut put = |words: &str| {
        let at = 256 + u32::try_from(text.len()).unwrap();
        text.push_str(words);
        [at, u32::try_from(words.len()).unwrap()]
    };
    for words in ["test-guest", "1.2.3", "A guest of the tests.", "{}", "{}"] {
        info.extend(put(words));
    }
    let command = put("config|get");
    info.extend([1200, 1]);
    info.extend(put("rerun"));
    let output = put("{}");
    let words = |words: &[u32]| {
        words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .fold(String::new(), |text, byte| format!("{text}\\{byte:02x}"))
    };
    format!(
        r#"(data (i32.const 256) "{}") (data (i32.const 1024) "{}") (data (i32.const 1200) "{}") (data (i32.const 2048) "{}")"#,
        text,
        words(&info),
        words(&command),
        words(&[0, output[0], output[1]])
    )
}

/// The contract as it stands.
pub(crate) fn wit() -> String {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/wit");
    std::fs::read_to_string(wit.join("baton.wit")).unwrap()
}

/// A component of a core module in text form and the WIT of its world `plugin`.
pub(crate) fn component(module: &str, wit: &str) -> Vec<u8> {
    of_world(module, wit, "plugin")
}

/// The same of another world.
pub(crate) fn of_world(module: &str, wit: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("guest.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}
