//! What the host makes of plugins: good ones, hostile ones, and files that are none.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod guests;
mod lab;
mod tapes;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use baton_core::run::fault::{Fault, FaultKind};
use baton_core::workflow::plan::WhenInterrupted;
use baton_host::capability::Outside;
use baton_host::{Attempt, Host, Options, Wall};
use guests::{Guest, OUTPUT};
use lab::{LOOP, Lab, Quiet, attempt, host};
use serde_json::{Value, json};

#[tokio::test]
async fn a_guest_describes_itself_and_runs() {
    let lab = Lab::new();
    let plugin = lab.load(&Guest::running(OUTPUT));
    let info = plugin.info();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("test-guest", "1.2.3"));
    assert_eq!(info.redis_commands, ["CONFIG|GET"]);
    assert_eq!(info.when_interrupted, WhenInterrupted::Rerun);
    assert_eq!(info.imports, Vec::<String>::new());
    assert_eq!(lab.run(Guest::running(OUTPUT)).await, Ok(json!({})));
}

/// Asks for HTTP by GET and POST, and traps unless a call that nobody granted is refused.
const ASKING: Guest = Guest {
    imports: r#"(import "baton:plugin/http@1.0.0" "send" (func $send
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#,
    parts: r#"(data (i32.const 4000) "httpgetPOST")
        (data (i32.const 4100) "\a4\0f\00\00\03\00\00\00\a7\0f\00\00\04\00\00\00")
        (data (i32.const 4200) "\a0\0f\00\00\04\00\00\00\04\10\00\00\02\00\00\00")
        (data (i32.const 4300) "\68\10\00\00\01\00\00\00")
        (func (export "asks") (result i32) i32.const 4300)"#,
    ..Guest::running(
        "(call $send (i32.const 4000) (i32.const 4) (i32.const 0) (i32.const 4000) (i32.const 4)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 5000))
        (if (i32.eqz (i32.load8_u (i32.const 5000))) (then unreachable))
        (if (i32.load8_u (i32.const 5004)) (then unreachable))
        i32.const 2048",
    )
};

#[tokio::test]
async fn what_a_plugin_asks_for_is_known_by_its_imports_and_its_own_word() {
    let lab = Lab::new();
    let load = |world: &str| {
        let bytes = guests::of_world(&ASKING.module(), &guests::wit(), world);
        lab.host.load_bytes("guest.wasm", &bytes).unwrap()
    };
    let plugin = load("asking-plugin");
    assert_eq!(plugin.info().imports, ["baton:plugin/http"]);
    assert_eq!(plugin.info().asks.words(), ["HTTP GET", "HTTP POST"]);
    // Built for the world `plugin`, it has no such export, and is a plugin all the same.
    assert_eq!(load("plugin").info().asks.words(), ["HTTP"]);
    let ended = lab.end(attempt(plugin), Arc::new(Quiet::default())).await;
    assert_eq!(ended, Ok(json!({})));
}

#[tokio::test]
async fn g7_a_looping_guest_runs_out_of_fuel() {
    let fault = Lab::new().run(Guest::running(LOOP)).await.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.kind), ("fuel-limit", FaultKind::Permanent));
    assert!(fault.message.contains("100000000"), "{}", fault.message);
    assert!(fault.message.contains("`fuel` under [limits]"), "{}", fault.message);
    assert_eq!(fault.details["backtrace"][0], "run");
}

#[tokio::test]
async fn g7_a_looping_guest_ends_with_its_time_and_lets_others_run() {
    let cache = tempfile::tempdir().unwrap();
    let host = Host::new(Options {
        cache_dir: cache.path().to_owned(),
        lineage_dir: None,
        clusters: Vec::new(),
        outside: Outside::default(),
        memory_bytes_max: 4 << 20,
        fuel_max: u64::MAX,
        attempts_max: 1,
    })
    .unwrap();
    let plugin = host.load_bytes("guest.wasm", &Guest::running(LOOP).build()).unwrap();
    let attempt = Attempt { timeout: Duration::from_millis(150), ..attempt(plugin) };
    let mut ticks = 0;
    let mut run = std::pin::pin!(host.run(attempt, Arc::new(Quiet::default())));
    // One thread: if the guest did not yield, the interval would never tick.
    let mut interval = tokio::time::interval(Duration::from_millis(10));
    let fault = loop {
        tokio::select! {
            ended = &mut run => break ended.end.into_result().unwrap_err(),
            _ = interval.tick() => ticks += 1,
        }
    };
    assert_eq!((fault.code.as_str(), fault.kind), ("timeout", FaultKind::Retryable));
    assert!(fault.message.contains("\"try\" did not end within 150ms"), "{}", fault.message);
    assert!(ticks > 2, "{ticks}");
}

#[tokio::test]
async fn a_sleeping_guest_ends_with_its_time() {
    let lab = Lab::new();
    let plugin = lab.load(&Guest {
        imports: r#"(import "baton:plugin/clock@1.0.0" "sleep" (func $sleep (param i32)))"#,
        ..Guest::running("i32.const 3600000 call $sleep i32.const 2048")
    });
    assert_eq!(plugin.info().imports, ["baton:plugin/clock"]);
    let attempt = Attempt { timeout: Duration::from_millis(50), ..attempt(plugin) };
    let begun = Instant::now();
    let fault = lab.end(attempt, Arc::new(Quiet::default())).await.unwrap_err();
    assert_eq!(fault.code, "timeout");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_sleep_beyond_the_limit_is_refused() {
    let guest = Guest {
        imports: r#"(import "baton:plugin/clock@1.0.0" "sleep" (func $sleep (param i32)))"#,
        ..Guest::running("i32.const 3600001 call $sleep i32.const 2048")
    };
    let fault = Lab::new().run(guest).await.unwrap_err();
    assert_eq!(fault.code, "sleep-limit");
}

#[tokio::test]
async fn dropping_the_future_ends_the_attempt() {
    let lab = Lab::new();
    let sleeper = lab.load(&Guest {
        imports: r#"(import "baton:plugin/clock@1.0.0" "sleep" (func $sleep (param i32)))"#,
        ..Guest::running("i32.const 3600000 call $sleep i32.const 2048")
    });
    // More than there is room for: a place must come back with every drop.
    for _ in 0..10 {
        let run = lab.host.run(attempt(sleeper.clone()), Arc::new(Quiet::default()));
        let cancelled = tokio::time::timeout(Duration::from_millis(5), run).await;
        assert!(cancelled.is_err());
    }
    assert_eq!(lab.run(Guest::running(OUTPUT)).await, Ok(json!({})));
}

#[tokio::test]
async fn a_trap_names_the_guests_functions() {
    let guest = Guest {
        parts: "(func $verify_lineage (result i32) unreachable)",
        ..Guest::running("call $verify_lineage")
    };
    let fault = Lab::new().run(guest).await.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.kind), ("trap", FaultKind::Permanent));
    assert!(fault.message.contains("unreachable"), "{}", fault.message);
    assert_eq!(fault.details["backtrace"], json!(["verify_lineage", "run"]));
}

#[tokio::test]
async fn endless_recursion_is_a_trap_not_a_crash() {
    let guest = Guest {
        parts: "(func $deeper (result i32) call $deeper i32.const 1 i32.add)",
        ..Guest::running("call $deeper")
    };
    let fault = Lab::new().run(guest).await.unwrap_err();
    assert_eq!(fault.code, "trap");
    assert!(fault.message.contains("stack of 512 KiB"), "{}", fault.message);
    assert!(fault.details["backtrace"].as_array().unwrap().len() <= 32);
}

#[tokio::test]
async fn g7_a_guest_that_eats_memory_is_stopped() {
    let run = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let fault = Lab::new().run(Guest::running(run)).await.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.kind), ("memory-limit", FaultKind::Permanent));
    assert!(fault.message.contains("the 4 MiB it may have"), "{}", fault.message);
    assert!(fault.message.contains("`memory_mib` under [limits]"), "{}", fault.message);
}

#[tokio::test]
async fn a_guest_that_begins_with_too_much_memory_is_refused() {
    let lab = Lab::new();
    let refusal = lab.refusal(&Guest { pages: 100, ..Guest::running(OUTPUT) }.build());
    assert!(refusal.contains("memory"), "{refusal}");
}

#[tokio::test]
async fn a_guest_that_lives_with_a_refused_growth_goes_on() {
    let run = "(drop (memory.grow (i32.const 1000))) i32.const 2048";
    assert_eq!(Lab::new().run(Guest::running(run)).await, Ok(json!({})));
}

#[tokio::test]
async fn outputs_are_bounded_json_objects() {
    let lab = Lab::new();
    // `result::ok` of some text at 4096.
    let big = Guest {
        parts: r#"(data (i32.const 4096) "\00\00\00\00\00\00\01\00\01\00\10\00")"#,
        pages: 40,
        ..Guest::running("i32.const 4096")
    };
    assert_eq!(lab.run(big).await.unwrap_err().code, "output-limit");
    let list = Guest {
        parts: r#"(data (i32.const 4096) "\00\00\00\00\00\20\00\00\02\00\00\00") (data (i32.const 8192) "[]")"#,
        ..Guest::running("i32.const 4096")
    };
    let fault = lab.run(list).await.unwrap_err();
    assert_eq!(fault.code, "bad-output");
    assert!(fault.message.contains("it is a list"), "{}", fault.message);
    let rubbish = Guest {
        parts: r#"(data (i32.const 4096) "\00\00\00\00\00\20\00\00\02\00\00\00") (data (i32.const 8192) "{,")"#,
        ..Guest::running("i32.const 4096")
    };
    assert!(lab.run(rubbish).await.unwrap_err().message.contains("it is no JSON"));
    let beyond = Guest {
        parts: r#"(data (i32.const 4096) "\00\00\00\00\00\00\00\7f\02\00\00\00")"#,
        ..Guest::running("i32.const 4096")
    };
    let fault = lab.run(beyond).await.unwrap_err();
    assert_eq!(fault.code, "bad-output", "{}", fault.message);
}

#[tokio::test]
async fn a_guests_own_fault_comes_through_bounded() {
    // kind permanent, code "no-candidate", message "two\nlines", details "null".
    let guest = Guest {
        parts: r#"(data (i32.const 4096) "\01\00\00\00\01\00\00\00\00\20\00\00\0c\00\00\00\10\20\00\00\09\00\00\00\20\20\00\00\04\00\00\00")
            (data (i32.const 8192) "no-candidate") (data (i32.const 8208) "two\0alines") (data (i32.const 8224) "null")"#,
        ..Guest::running("i32.const 4096")
    };
    let fault = Lab::new().run(guest).await.unwrap_err();
    assert_eq!(fault, Fault::permanent("no-candidate", "two\nlines"));
}

#[tokio::test]
async fn progress_reaches_the_wall_tamed() {
    let lab = Lab::new();
    let plugin = lab.load(&Guest {
        imports: r#"(import "baton:plugin/progress@1.0.0" "report" (func $report (param i64 i32 i64 i32 i32)))"#,
        parts: r#"(data (i32.const 8192) "half\1b[2J")"#,
        ..Guest::running(
            "i64.const 1 i32.const 1 i64.const 2 i32.const 8192 i32.const 8 call $report i32.const 2048",
        )
    });
    let wall = Arc::new(Quiet::default());
    lab.end(attempt(plugin), Arc::clone(&wall) as Arc<dyn Wall>).await.unwrap();
    assert_eq!(*wall.0.lock().unwrap(), ["1/Some(2) half\\u{1b}[2J"]);
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_cannot_forge_lines() {
    let lab = Lab::new();
    let plugin = lab.load(&Guest {
        imports: r#"(import "baton:plugin/log@1.0.0" "write" (func $write (param i32 i32 i32)))"#,
        parts: r#"(data (i32.const 8192) "half\0aFORGED") (global $left (mut i32) (i32.const 3000))"#,
        ..Guest::running(
            "(loop $more
               (call $write (i32.const 1) (i32.const 8192) (i32.const 11))
               (global.set $left (i32.sub (global.get $left) (i32.const 1)))
               (br_if $more (global.get $left)))
             i32.const 2048",
        )
    });
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_writer(move || writer.clone())
        .finish();
    let logged = tracing::subscriber::set_default(subscriber);
    lab.end(attempt(plugin), Arc::new(Quiet::default())).await.unwrap();
    drop(logged);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["target"] == "baton::plugin")
        .collect();
    assert_eq!(lines.len(), 1_001);
    let fields = &lines[0]["fields"];
    assert_eq!(fields["message"], "half\\nFORGED");
    assert_eq!(
        (&fields["run"], &fields["step"], &fields["attempt"]),
        (&json!("r-1"), &json!("try"), &json!(1))
    );
    let last = lines[1_000]["fields"]["message"].as_str().unwrap();
    assert!(last.contains("cut here: more than 1000 lines"), "{last}");
}

#[tokio::test]
async fn g7_describe_reaches_nothing() {
    let lab = Lab::new();
    let calls = Guest {
        imports: r#"(import "baton:plugin/clock@1.0.0" "now" (func $now (result i64)))"#,
        describe: "(drop (call $now)) i32.const 1024",
        ..Guest::running(OUTPUT)
    };
    let refusal = lab.refusal(&calls.build());
    assert!(refusal.contains("its `describe` failed"), "{refusal}");
}

#[tokio::test]
async fn a_describe_that_loops_is_stopped() {
    let refusal = Lab::new().refusal(&Guest { describe: LOOP, ..Guest::running(OUTPUT) }.build());
    assert!(refusal.contains("its `describe` failed"), "{refusal}");
}

#[test]
fn files_that_are_no_plugins_are_refused_in_words() {
    let lab = Lab::new();
    let good = Guest::running(OUTPUT).build();
    assert!(lab.refusal(&good[..good.len() / 2]).contains("damaged or truncated"));
    assert!(lab.refusal(b"").contains("only 0 bytes"));
    assert!(lab.refusal(b"#!/bin/sh\necho hello\n").contains("not WebAssembly"));
    let module = lab.refusal(&wat::parse_str("(module)").unwrap());
    assert!(module.contains("a core WebAssembly module, not a component"), "{module}");
    assert!(module.starts_with("guest.wasm: "), "{module}");
    let missing = lab.host.load(&lab.cache.path().join("no.wasm")).unwrap_err().to_string();
    assert!(missing.contains("no such plugin file"), "{missing}");
}

#[test]
fn foreign_imports_and_missing_exports_are_named() {
    let lab = Lab::new();
    let module = |import: &str, function: &str| {
        format!(
            r#"(module (import "{import}" "{function}" (func)) (memory (export "memory") 1)
               (func (export "describe")) (func (export "run"))
               (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 8))"#
        )
    };
    let world =
        "package t:t; world plugin { import IMPORT; export describe: func(); export run: func(); }";
    let with = |package: &str, import: &str, function: &str| {
        let wit = format!(
            "{}\npackage {package} {{ interface {} {{ {function}: func(); }} }}",
            world.replace("IMPORT", import),
            import.split(['/', '@']).nth(1).unwrap()
        );
        lab.refusal(&guests::component(&module(import, function), &wit))
    };
    let wasi = with("wasi:cli@0.2.0", "wasi:cli/environment@0.2.0", "get");
    assert!(wasi.contains("wasi:cli/environment@0.2.0") && wasi.contains("no WASI"), "{wasi}");
    let kafka = with("baton:plugin@1.0.0", "baton:plugin/kafka@1.0.0", "send");
    assert!(kafka.contains("this host gives baton:plugin 1.x with clock, exec"), "{kafka}");
    let newer = with("baton:plugin@1.9.0", "baton:plugin/clock@1.9.0", "leap");
    assert!(newer.contains("`leap` of baton:plugin/clock@1.9.0"), "{newer}");
    let major = with("baton:plugin@2.0.0", "baton:plugin/clock@2.0.0", "now");
    assert!(major.contains("baton:plugin/clock@2.0.0, which this host does not have"), "{major}");
    let types = with("baton:plugin@1.0.0", "baton:plugin/clock@1.0.0", "now");
    assert!(types.contains("other types than baton:plugin 1.x"), "{types}");

    let bare = r#"(module (memory (export "memory") 1) (func (export "describe")))"#;
    let lacks = lab.refusal(&guests::component(
        bare,
        "package t:t; world plugin { export describe: func(); }",
    ));
    assert!(lacks.contains("exports no function `run`"), "{lacks}");
}

#[tokio::test]
async fn a_plugin_of_a_later_minor_version_links() {
    let wit =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/wit/baton.wit"))
            .unwrap();
    let guest = Guest::running(OUTPUT);
    let later = guests::component(&guest.module(), &wit.replace("@1.0.0", "@1.7.0"));
    let lab = Lab::new();
    let plugin = lab.host.load_bytes("later.wasm", &later).unwrap();
    assert!(lab.end(attempt(plugin), Arc::new(Quiet::default())).await.is_ok());
}

#[test]
fn compiled_plugins_are_cached_and_a_damaged_entry_is_made_anew() {
    let lab = Lab::new();
    let bytes = Guest::running(OUTPUT).build();
    lab.host.load_bytes("guest.wasm", &bytes).unwrap();
    let entries = || -> Vec<_> {
        fs::read_dir(lab.cache.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let [entry] = entries().try_into().unwrap();
    let sound = fs::read(&entry).unwrap();
    for at in [0, 20, sound.len() / 2, sound.len() - 1] {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x40;
        fs::write(&entry, &damaged).unwrap();
        host(&lab.cache).load_bytes("guest.wasm", &bytes).unwrap();
        assert_ne!(fs::read(&entry).unwrap(), damaged, "byte {at}");
    }
    fs::write(&entry, &sound[..10]).unwrap();
    host(&lab.cache).load_bytes("guest.wasm", &bytes).unwrap();
    // A sound entry is used, not written again.
    let written = fs::metadata(&entry).unwrap().modified().unwrap();
    host(&lab.cache).load_bytes("guest.wasm", &bytes).unwrap();
    assert_eq!(fs::metadata(&entry).unwrap().modified().unwrap(), written);
    assert_eq!(entries().len(), 1);
}

#[test]
fn a_cache_folder_that_is_a_file_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    fs::write(&path, "").unwrap();
    let error = Host::new(Options {
        cache_dir: path,
        lineage_dir: None,
        clusters: Vec::new(),
        outside: Outside::default(),
        memory_bytes_max: 1 << 20,
        fuel_max: 1,
        attempts_max: 1,
    })
    .err()
    .unwrap();
    assert!(error.to_string().contains("compiled plugins cannot be kept here"), "{error}");
}
