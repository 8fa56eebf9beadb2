use baton_core::workflow::plan::ExecGrant;
use expect_test::{Expect, expect};

use super::super::grant::{check, knows};
use super::{Class, command, granted};
use crate::guest::wit::types::{Error, ErrorKind};

fn refusal(result: Result<(), Error>, expected: &Expect) {
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    expected.assert_eq(&error.message);
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn g7_a_refusal_names_the_line_that_would_allow_it() {
    let tool = command(&["systemctl", "restart"], &["api-[12]"], Class::Once);
    refusal(
        knows("try", &[granted()], "rm\n-rf"),
        &expect![[
            r#"step "try" may not run rm\n-rf: add "rm\n-rf" to grants.exec.commands of the step"#
        ]],
    );
    refusal(
        check("try", &[], &tool, &words(&["api-1"])),
        &expect![[
            r#"step "try" may not run tool: add "tool" to grants.exec.commands of the step"#
        ]],
    );
    refusal(
        check("try", &[ExecGrant { only_reads: true, ..granted() }], &tool, &words(&["api-1"])),
        &expect![[
            r#"step "try" may only read, and tool may change something: if it does not, set class = "read" under [exec.tool] in baton.toml; else take `only_reads` out of grants.exec of the step"#
        ]],
    );
    refusal(
        check("try", &[granted()], &tool, &[]),
        &expect![
            "tool takes 1 further arguments, not 0: `args` under [exec.tool] in baton.toml has a pattern for each"
        ],
    );
    refusal(
        check("try", &[granted()], &tool, &words(&["api-3"])),
        &expect![
            "tool may not be given api-3: it does not fit `api-[12]` of `args` under [exec.tool] in baton.toml (what begins with `-` fits only a pattern that does)"
        ],
    );
    assert_eq!(check("try", &[granted()], &tool, &words(&["api-2"])), Ok(()));
}

#[test]
fn g7_arguments_that_are_not_what_they_look_like_are_refused() {
    let any = command(&["ls"], &["(?s).*"], Class::Read);
    let long = "x".repeat(5_000);
    for argument in ["--help", "-rf", "-", "a\0b", &long] {
        let error = check("try", &[granted()], &any, &words(&[argument])).unwrap_err();
        assert!(!error.message.contains('\0') && error.message.len() < 600, "{}", error.message);
    }
    for arguments in [&["a", "b"][..], &[]] {
        assert!(check("try", &[granted()], &any, &words(arguments)).is_err());
    }
    // What a shell would make something of is one argument like any other.
    assert_eq!(check("try", &[granted()], &any, &words(&["$(id); rm -rf / | x"])), Ok(()));
}

#[test]
fn g7_only_reads_lets_a_read_through() {
    let reads = [ExecGrant { only_reads: true, ..granted() }];
    assert_eq!(check("try", &reads, &command(&["df"], &[], Class::Read), &[]), Ok(()));
    assert!(check("try", &reads, &command(&["df"], &[], Class::Idempotent), &[]).is_err());
}
