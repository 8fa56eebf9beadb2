//! A real Prometheus that scrapes itself.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::keeper::{Kept, Order};
use crate::ports::{self, Port};
use crate::wait::wait_until;
use crate::web;

/// It replays its log and loads its rules; on a busy machine that takes a while.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A running Prometheus; killed on drop.
#[derive(Debug)]
pub struct Prometheus {
    port: Port,
    _process: Kept,
    folder: TempDir,
}

impl Prometheus {
    /// Starts one and waits until it has scraped itself once.
    ///
    /// # Errors
    /// When it is not installed or not ready in time; with its log.
    pub fn start() -> Result<Self> {
        let port = ports::claim(1)?.pop().context("one port was asked for")?;
        let folder = tempfile::tempdir()?;
        let address = format!("127.0.0.1:{}", port.number());
        let configuration = format!(
            "global: {{ scrape_interval: 1s }}\n\
             scrape_configs: [{{ job_name: itself, static_configs: [{{ targets: ['{address}'] }}] }}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), configuration)?;
        let process = Kept::start(Order {
            program: "prometheus".into(),
            arguments: ["--config.file=prometheus.yml", "--storage.tsdb.path=data"]
                .map(Into::into)
                .into_iter()
                .chain([format!("--web.listen-address={address}").into()])
                .collect(),
            environment: Vec::new(),
            folder: folder.path().to_owned(),
            log: File::create(folder.path().join("log"))?,
        })?;
        let prometheus = Self { port, _process: process, folder };
        wait_until("Prometheus has scraped itself", READY_WITHIN, || prometheus.has_scraped())
            .with_context(|| prometheus.log())?;
        Ok(prometheus)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    fn has_scraped(&self) -> bool {
        let answer = web::get(self.address(), "/api/v1/query?query=up").and_then(|it| it.json());
        answer.is_ok_and(|answer| answer["data"]["result"][0]["value"][1] == "1")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
