//! Follows a run until it is closed: redrawn on a terminal, lines on a pipe.

use std::fmt::Write as _;
use std::time::Duration;

use baton_core::id::RunId;
use baton_core::run::event::Cause;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;
use tokio::time::Instant;

use super::client::{Client, ClientError};
use super::failure::Failure;
use super::out::{Out, Output, now};
use super::render::{Look, live, words};
use super::{Person, Server};
use crate::config::Config;
use crate::runner::Handle;
use crate::runner::view::RunView;

/// Between two looks at a run on a pipe, where every change is a line.
const LOOK: Duration = Duration::from_millis(200);
/// Between two frames on a terminal.
const FRAME: Duration = Duration::from_millis(live::FRAME_MS);
/// A server that is started again answers within this time; a run goes on with it.
const ABSENCE_MAX: Duration = Duration::from_mins(1);

/// Where the run is.
pub(super) enum Source {
    /// In this process.
    Here {
        handle: Handle,
        /// Moves on every change of any run; what it shows was seen at the last look.
        changes: watch::Receiver<u64>,
    },
    /// On a server.
    There {
        /// How it was reached last.
        client: Client,
        /// How it was named, to find it again once it was started anew.
        server: Server,
        /// Its data folder.
        config: Box<Config>,
    },
}

/// How following ended.
pub(super) enum Followed {
    /// The run is over.
    Closed(Box<RunView>),
    /// The person left; the run goes on.
    Left,
}

/// What is seen meanwhile.
enum Screen {
    Frames { bar: ProgressBar, tick: usize },
    Lines { last: Option<Box<RunView>> },
    Nothing,
}

/// Follows `run`. The first Ctrl-C asks to cancel it in the name of `person`, the
/// second leaves.
///
/// # Errors
/// If the run is lost from sight.
pub(super) async fn follow(
    mut source: Source,
    run: &RunId,
    person: &str,
    format: Output,
    out: &Out,
) -> Result<Followed, Failure> {
    let mut screen = Screen::new(format, out);
    let mut asked = false;
    let mut absent: Option<Instant> = None;
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        match source.look(run).await {
            Ok(Some(view)) => {
                absent = None;
                screen.show(&view, out)?;
                if view.closed_at.is_some() {
                    screen.close(&view, out)?;
                    return Ok(Followed::Closed(Box::new(view)));
                }
            }
            Ok(None) => {
                return Err(Failure::new(format!("run {run} is not known any more")).help(
                    "it may have been removed by retention; `baton runs` lists what there is",
                ));
            }
            Err(error) => {
                let since = *absent.get_or_insert_with(|| {
                    screen.aside(|| {
                        out.warn(
                            "the server does not answer; waiting for it, the run is on its disk",
                        );
                    });
                    Instant::now()
                });
                if since.elapsed() > ABSENCE_MAX {
                    return Err(error.into());
                }
                source.find_again().await;
            }
        }
        tokio::select! {
            () = source.wait(screen.pause()) => {}
            _ = &mut interrupt => {
                if asked {
                    screen.aside(|| out.note(&format!("left; `baton show {run}` shows how it goes on")));
                    return Ok(Followed::Left);
                }
                asked = true;
                interrupt.set(tokio::signal::ctrl_c());
                let answer = source.cancel(run, person).await;
                screen.aside(|| match &answer {
                    Ok(()) => out.note("asked to cancel the run; Ctrl-C again leaves it to itself"),
                    Err(why) => out.warn(&format!("cannot cancel the run: {why}; Ctrl-C again leaves")),
                });
            }
        }
    }
}

impl Source {
    /// A run in this process.
    pub(super) fn here(handle: Handle) -> Self {
        let changes = handle.changes();
        Self::Here { handle, changes }
    }

    async fn look(&mut self, run: &RunId) -> Result<Option<RunView>, ClientError> {
        match self {
            Self::Here { handle, changes } => {
                // What changes while we look wakes the wait after it.
                changes.mark_unchanged();
                Ok(handle.run(run.clone()).await)
            }
            Self::There { client, .. } => client.run(run.as_str()).await,
        }
    }

    /// A server that was started again may listen elsewhere.
    async fn find_again(&mut self) {
        if let Self::There { client, server, config } = self
            && let Ok(Some(found)) = Client::find(server, config).await
        {
            *client = found;
        }
    }

    async fn cancel(&self, run: &RunId, person: &str) -> Result<(), String> {
        let (who, reason) = (person.to_owned(), "Ctrl-C at the command line".to_owned());
        match self {
            Self::Here { handle, .. } => handle
                .cancel(run.clone(), Cause::Person { who, reason })
                .await
                .map_err(|error| error.to_string()),
            Self::There { client, .. } => client
                .cancel(run.as_str(), &Person { who, reason })
                .await
                .map_err(|error| Failure::from(error).what),
        }
    }

    /// Until it is worth looking again.
    async fn wait(&mut self, pause: Pause) {
        match (self, pause) {
            (Self::Here { changes, .. }, Pause::Change) => {
                // One that is closed means that the engine ended; the next look tells.
                let _ = tokio::time::timeout(LOOK, changes.changed()).await;
            }
            (Self::There { .. }, Pause::Change) => tokio::time::sleep(LOOK).await,
            (_, Pause::Frame) => tokio::time::sleep(FRAME).await,
        }
    }
}

/// What the next look waits for.
#[derive(Clone, Copy)]
enum Pause {
    /// Something may have changed.
    Change,
    /// The next frame is due.
    Frame,
}

impl Screen {
    fn new(format: Output, out: &Out) -> Self {
        match format {
            Output::Json => Self::Nothing,
            Output::Text if out.is_live() => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
                let style = ProgressStyle::with_template("{msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                Self::Frames { bar, tick: 0 }
            }
            Output::Text => Self::Lines { last: None },
        }
    }

    fn pause(&self) -> Pause {
        match self {
            Self::Frames { .. } => Pause::Frame,
            Self::Lines { .. } | Self::Nothing => Pause::Change,
        }
    }

    fn show(&mut self, view: &RunView, out: &Out) -> Result<(), Failure> {
        match self {
            Self::Nothing => Ok(()),
            Self::Lines { last } => {
                let lines = live::changes(last.as_deref(), view);
                *last = Some(Box::new(view.clone()));
                if lines.is_empty() { Ok(()) } else { out.print(&(lines.join("\n") + "\n")) }
            }
            Self::Frames { bar, tick } => {
                *tick += 1;
                let (rows, look) = size(out);
                let frame = live::frame(view, *tick, rows, look);
                bar.set_message(frame.join("\n"));
                bar.tick();
                Ok(())
            }
        }
    }

    /// What stays when the run is over.
    fn close(&mut self, view: &RunView, out: &Out) -> Result<(), Failure> {
        match self {
            Self::Nothing => Ok(()),
            Self::Lines { .. } if view.output.is_null() => Ok(()),
            Self::Lines { .. } => out.print(&format!(
                "{} output {}\n",
                words::clock(now()),
                words::pairs(&view.output)
            )),
            Self::Frames { bar, .. } => {
                bar.finish_and_clear();
                let (_, look) = size(out);
                let mut last = live::frame(view, 0, usize::MAX, look).join("\n");
                last.push('\n');
                last.push_str(&live::faults(view, look));
                if !view.output.is_null() {
                    let _ = writeln!(last, "  output {}", words::pairs(&view.output));
                }
                out.print(&last)
            }
        }
    }

    /// Says something without tearing a frame apart.
    fn aside(&self, say: impl FnOnce()) {
        match self {
            Self::Frames { bar, .. } => bar.suspend(say),
            Self::Lines { .. } | Self::Nothing => say(),
        }
    }
}

/// Rows and look of the terminal as it is now: terminals are resized. One row and
/// one column stay free, so that nothing scrolls or wraps.
fn size(out: &Out) -> (usize, Look) {
    let (rows, columns) = Term::stdout().size();
    let width = Some(usize::from(columns).saturating_sub(1));
    (usize::from(rows).saturating_sub(1), Look { width, ..out.look() })
}
