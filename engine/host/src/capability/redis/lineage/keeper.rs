//! Samples on disk: two files a cluster, by turns.
//!
//! A sample is a line: the CRC-32 of the rest in hexadecimal, a blank, and JSON. Lines
//! are appended by a thread of their own, so that a slow disk holds up nobody. When
//! `<cluster>.log` is full it becomes `<cluster>.old`, and the `.old` before it goes.
//!
//! What it survives: the death of the engine at any instant (a line that was cut off is
//! passed over). What it does not promise: the last second, since steady progress is
//! written once a second; and after a power failure of the engine's own machine what
//! the system had not written back yet. A disk that is full or fails costs samples.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;

use baton_core::Json;
use serde_json::json;

use crate::guest::wit::redis::Sample;
use crate::limits;

/// Where samples go; all clusters share one.
#[derive(Clone)]
pub(crate) struct Keeper(Option<Arc<Inner>>);

struct Inner {
    folder: PathBuf,
    /// None once it is being ended.
    lines: Option<SyncSender<Line>>,
    /// Ends with the thread.
    ended: std::sync::Mutex<Receiver<()>>,
    /// A sample was lost because the thread did not keep up; said once.
    behind: AtomicBool,
}

struct Line {
    file: PathBuf,
    text: String,
}

impl Keeper {
    /// Keeps samples below `folder`, which is made when the first one comes; without a
    /// folder they are kept in memory only.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        let Some(folder) = folder else { return Self(None) };
        let (lines, taken) = sync_channel(limits::LINEAGE_QUEUE_MAX);
        let (ends, ended) = sync_channel::<()>(0);
        let spawned = thread::Builder::new().name("baton-lineage".to_owned()).spawn(move || {
            let _ends = ends;
            write_all(&taken);
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "samples of Redis are kept in memory only: no thread for the disk");
            return Self(None);
        }
        Self(Some(Arc::new(Inner {
            folder,
            lines: Some(lines),
            ended: std::sync::Mutex::new(ended),
            behind: AtomicBool::new(false),
        })))
    }

    /// Puts a sample on its way to the disk.
    pub(super) fn keep(&self, cluster: &str, sample: &Sample) {
        let Some(inner) = &self.0 else { return };
        let Some(lines) = &inner.lines else { return };
        let line = Line { file: inner.folder.join(format!("{cluster}.log")), text: write(sample) };
        let lost = lines.try_send(line).is_err();
        if lost && !inner.behind.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                cluster,
                "the disk is too slow for the samples of Redis: some are not kept"
            );
        }
    }

    /// All samples of a cluster that can be read, oldest first.
    pub(super) fn load(&self, cluster: &str) -> Vec<Sample> {
        let Some(inner) = &self.0 else { return Vec::new() };
        let mut samples = Vec::new();
        for name in [format!("{cluster}.old"), format!("{cluster}.log")] {
            let path = inner.folder.join(name);
            match tail(&path) {
                Ok(bytes) => samples.extend(read_all(&path, &bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let file = path.display();
                    tracing::warn!(%file, %error, "samples of Redis cannot be read: what was seen before the start is not known");
                }
            }
        }
        samples
    }
}

impl Drop for Inner {
    /// What is on its way is written, for a second at most.
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Ok(ended) = self.ended.get_mut()
            && ended.recv_timeout(limits::LINEAGE_END_TIMEOUT) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("the disk is too slow for the last samples of Redis: they are not kept");
        }
    }
}

/// The thread: appends what comes until nobody is left who sends.
fn write_all(lines: &Receiver<Line>) {
    let mut ill = false;
    for line in lines {
        match append(&line) {
            Ok(()) if ill => {
                tracing::info!("samples of Redis are kept on disk again");
                ill = false;
            }
            Ok(()) => {}
            // Said once, not four times a second.
            Err(_) if ill => {}
            Err(error) => {
                let file = line.file.display();
                tracing::warn!(%file, %error, "samples of Redis are not kept on disk: free some room, or mend the folder");
                ill = true;
            }
        }
    }
}

/// Opened for each line: there are few (one a node and second), and a file that was
/// taken away or turned over meanwhile needs no special care.
fn append(line: &Line) -> io::Result<()> {
    if let Some(folder) = line.file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(&line.file)?;
    let bytes = file.metadata()?.len();
    if bytes >= limits::LINEAGE_FILE_BYTES_MAX {
        fs::rename(&line.file, line.file.with_extension("old"))?;
        file = OpenOptions::new().create_new(true).append(true).read(true).open(&line.file)?;
    } else if bytes > 0 && !ends_a_line(&mut file)? {
        // Cut off while it was written: what follows is another line.
        file.write_all(b"\n")?;
    }
    file.write_all(line.text.as_bytes())
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The end of a file, as much as one of ours can hold.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let most = limits::LINEAGE_FILE_BYTES_MAX + limits::LINEAGE_LINE_BYTES_MAX;
    let skipped = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_all(path: &Path, bytes: &[u8]) -> Vec<Sample> {
    let mut damaged = 0_u32;
    let samples = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .filter_map(|line| {
            let sample = read(line);
            damaged += u32::from(sample.is_none());
            sample
        })
        .collect();
    if damaged > 0 {
        let file = path.display();
        tracing::warn!(%file, damaged, "lines that are no samples of Redis were passed over");
    }
    samples
}

pub(super) fn write(sample: &Sample) -> String {
    let json = json!({
        "at": sample.at_ms, "node": sample.address, "run": sample.run_id,
        "master": sample.master, "replid": sample.replid, "replid2": sample.replid2,
        "second": sample.second_offset, "offset": sample.offset, "keys": sample.keys,
    });
    let json = json.to_string();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

pub(super) fn read(line: &[u8]) -> Option<Sample> {
    let (sum, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    if sum != crc32fast::hash(json) {
        return None;
    }
    let json: Json = serde_json::from_slice(json).ok()?;
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    Some(Sample {
        address: text("node")?,
        at_ms: json["at"].as_u64()?,
        run_id: text("run")?,
        master: json["master"].as_bool()?,
        replid: text("replid")?,
        replid2: text("replid2")?,
        second_offset: json["second"].as_i64()?,
        offset: json["offset"].as_i64()?,
        keys: json["keys"].as_u64(),
    })
}
