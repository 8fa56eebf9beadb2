//! Real commands.

use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

use super::{Attempt, Class, command, script};
use crate::capability::exec::{Command, SEARCHED, Secret};
use crate::guest::wit::exec::Output;
use crate::guest::wit::types::ErrorKind;

/// For what would otherwise never end; far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(15);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn run(command: Command) -> Output {
    Attempt::new(command).run(&[]).await.unwrap()
}

/// Waits until the process is gone.
async fn gone(pid: &str) {
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let begun = Instant::now();
    while test_kill_process(pid).is_ok() {
        assert!(begun.elapsed() < SOON, "{pid:?} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_command_gives_its_output_and_its_exit() {
    let output = run(script("echo out; echo err >&2; exit 3")).await;
    assert_eq!((output.exit, output.signal, output.left_out), (Some(3), None, 0));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out\n".into(), "err\n".into()));
    let output = run(script("kill -9 $$")).await;
    assert_eq!((output.exit, output.signal), (None, Some(9)));
}

#[tokio::test]
async fn g7_there_is_no_shell_no_environment_and_no_input() {
    let output = Attempt::new(command(&["printf", "%s"], &[".*"], Class::Read))
        .run(&["$(id) `id` ; id | id > /tmp/x"])
        .await
        .unwrap();
    assert_eq!(text(&output.stdout), "$(id) `id` ; id | id > /tmp/x");
    let output = run(command(&["env"], &[], Class::Read)).await;
    assert_eq!(text(&output.stdout), format!("PATH={SEARCHED}\n"));
    let output = run(command(&["cat"], &[], Class::Read)).await;
    assert_eq!((output.exit, output.stdout), (Some(0), Vec::new()));
    let output = run(Command { cwd: "/usr".into(), ..command(&["pwd"], &[], Class::Read) }).await;
    assert_eq!(text(&output.stdout), "/usr\n");
}

#[tokio::test]
async fn only_named_variables_pass_and_a_secret_does_not_come_back() {
    let own = std::env::var("CARGO_PKG_NAME").or_else(|_| std::env::var("HOME"));
    let name = if std::env::var("CARGO_PKG_NAME").is_ok() { "CARGO_PKG_NAME" } else { "HOME" };
    let named = Command { env: vec![name.into(), "BATON_UNSET".into()], ..script("env") };
    let output = text(&run(named).await.stdout);
    assert!(output.contains(&format!("{name}={}\n", own.unwrap())), "{output}");
    assert_eq!(
        output
            .lines()
            .filter(|line| !line.starts_with("PWD=")
                && !line.starts_with("_=")
                && !line.starts_with("SHLVL=")
                && !line.starts_with("OLDPWD="))
            .count(),
        2,
        "{output}"
    );
    let secrets = vec![("TOKEN".to_owned(), Secret::new("hunter2"))];
    let mut attempt = Attempt::new(Command { secrets, ..script("echo $TOKEN; echo $TOKEN >&2") });
    let output = attempt.run(&[]).await.unwrap();
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("(redacted)\n".into(), "(redacted)\n".into())
    );
    attempt.run(&[]).await.unwrap();
    assert!(!attempt.journal.text().contains("hunter2"));
}

#[tokio::test]
async fn g7_a_flood_is_cut_and_counted() {
    let output = run(script("head -c 5000000 /dev/zero; head -c 3000 /dev/zero >&2")).await;
    assert_eq!((output.stdout.len(), output.stderr.len()), (1_000, 1_000));
    assert_eq!(output.left_out, 5_003_000 - 2_000);
}

#[tokio::test]
async fn g7_a_flood_without_end_ends_with_its_time() {
    let begun = Instant::now();
    let mut attempt = Attempt::new(command(&["yes"], &[], Class::Once));
    let error = attempt.call(&[], 200).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.message.ends_with("; exec> tool is in doubt"), "{}", error.message);
    assert_eq!(attempt.journal.told(), ["intend 0 Once exec> tool"], "no outcome is known");
    assert!(begun.elapsed() < SOON);
}

#[tokio::test]
async fn g7_all_that_a_command_began_ends_with_its_time_though_it_ignores_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    // Both the leader and its child ignore SIGTERM, as does the child's own child.
    let text = format!(
        "trap '' TERM; sleep 600 & echo $! > {0}; (trap '' TERM; sleep 600) & echo $! >> {0}; echo $$ >> {0}; wait; sleep 600",
        file.display()
    );
    let begun = Instant::now();
    let mut attempt = Attempt::new(script(&text));
    let error = attempt.call(&[], 1_500).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(begun.elapsed() < SOON);
    let pids = std::fs::read_to_string(&file).unwrap();
    assert_eq!(pids.lines().count(), 3, "{pids}");
    for pid in pids.lines() {
        gone(pid).await;
    }
}

#[tokio::test]
async fn a_command_may_put_its_things_in_order_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidy");
    let text = format!("trap 'echo tidy > {}; exit 0' TERM; sleep 600 & wait", file.display());
    let begun = Instant::now();
    let error = Attempt::new(script(&text)).call(&[], 1_500).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "tidy\n");
    assert!(begun.elapsed() < Duration::from_millis(3_400), "it was not waited for in vain");
}

#[tokio::test]
async fn who_is_left_behind_with_the_output_open_holds_nothing_up_and_lives_on() {
    let begun = Instant::now();
    let output = run(script("sleep 600 & echo $!")).await;
    assert!(begun.elapsed() < SOON);
    let pid = text(&output.stdout);
    let left = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    assert_eq!(test_kill_process(left), Ok(()), "a service that it started must live");
    rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn whoever_drops_the_attempt_ends_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let text = format!("echo $$ > {}; sleep 600", file.display());
    let mut attempt = Attempt::new(script(&text));
    let pid = async {
        loop {
            match std::fs::read_to_string(&file) {
                Ok(pid) if pid.ends_with('\n') => break pid,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let pid = tokio::select! {
        ended = attempt.call(&[], 20_000) => panic!("{ended:?}"),
        pid = pid => pid,
    };
    // It is dropped, and killed; tokio reaps it when it next looks.
    drop(attempt);
    gone_or_dead(pid.trim()).await;
}

/// Waits until the process has ended, reaped or not.
async fn gone_or_dead(pid: &str) {
    let begun = Instant::now();
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    while !(state().is_empty() || state().contains(") Z ")) {
        assert!(begun.elapsed() < SOON, "{pid} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_started_leaves_no_doubt() {
    for program in ["no-such-program", "/nowhere/x", "/etc/passwd", "/etc"] {
        let mut attempt = Attempt::new(command(&[program], &[], Class::Once));
        let error = attempt.run(&[]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{program}");
        assert!(error.message.contains("[exec.tool]"), "{}", error.message);
        assert_eq!(attempt.journal.told(), Vec::<String>::new());
    }
    let nowhere = Command { cwd: "/nowhere".into(), ..script("true") };
    let mut attempt = Attempt::new(nowhere);
    assert_eq!(attempt.run(&[]).await.unwrap_err().kind, ErrorKind::Internal);
    assert!(attempt.journal.told()[1].starts_with("outcome 0 not started: "));
}
