//! The points at which a test may kill the engine are not in what is delivered.

use std::fs;
use std::process::Command;

use crate::cli::binary;

/// What of the crash points a build with these arguments has, as cargo resolves it.
fn features(selection: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal,features", "--invert", "baton-crash"])
        .args(selection)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_build_of_baton_alone_has_no_crash_points_and_the_tests_build_has() {
    let armed = "baton-crash feature \"armed\"";
    let alone = features(&["--package", "baton"]);
    assert!(alone.contains("baton-crash") && !alone.contains(armed), "{alone}");
    assert!(features(&["--workspace"]).contains(armed));
}

#[test]
fn the_binary_under_test_is_armed() {
    let order = b"BATON_CRASH_AT";
    let bytes = fs::read(binary()).unwrap();
    assert!(bytes.windows(order.len()).any(|window| window == order), "build the whole workspace");
}
