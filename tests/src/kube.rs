//! A small, strict API server of Kubernetes: ConfigMaps and Deployments of one namespace,
//! merge patches (RFC 7386) with `resourceVersion` and 409, a bearer token, and behind a
//! real HAProxy with TLS, since an API server speaks nothing else. No package registry
//! that we use has the real one. What it does not know it refuses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::haproxy;
use crate::keeper::Kept;
use crate::ports::{self, Port};
use crate::receiver::{Received, read};
use crate::wait::wait_until;

const READY_WITHIN: Duration = Duration::from_secs(20);
/// Its own, in `[secrets]` named `kubernetes-token`.
pub const TOKEN: &str = "hunter3";
/// Looks at a Deployment from its change until all its pods are new.
const LOOKS_UNTIL_NEW: u32 = 3;

/// Objects by their path, and what was done to them.
#[derive(Debug, Default)]
struct World {
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Patches that were taken, as `path: patch`.
    taken: Vec<String>,
    refused: Vec<u16>,
    /// Somebody else's change that comes before the next patch of this path.
    meanwhile: Option<(String, Value)>,
    /// Looks that are left until a rollout is over, by path.
    rolling: BTreeMap<String, u32>,
}

/// A running API server.
#[derive(Debug)]
pub struct Kube {
    world: Arc<Mutex<World>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    plain: SocketAddr,
    tls: Port,
    _process: Kept,
    folder: TempDir,
}

impl Kube {
    /// Starts one without objects.
    ///
    /// # Errors
    /// When HAProxy or openssl is missing, or it is not ready in time.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        certificate(folder.path())?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let plain = listener.local_addr()?;
        let (world, is_over) = (Arc::<Mutex<World>>::default(), Arc::new(AtomicBool::new(false)));
        let (shared, over) = (Arc::clone(&world), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    serve(stream, &shared);
                }
            }
        });
        let tls = ports::claim(1)?.pop().context("one port")?;
        let mut text = String::from("defaults\n    mode tcp\n    timeout connect 1s\n");
        let _infallible = write!(
            text,
            "    timeout client 1m\n    timeout server 1m\nlisten tls\n\
             \x20   bind 127.0.0.1:{} ssl crt server.pem\n    server plain {plain}\n",
            tls.number()
        );
        fs::write(folder.path().join("haproxy.cfg"), text)?;
        let process = haproxy::start("haproxy.cfg", folder.path())?;
        let kube =
            Self { world, is_over, thread: Some(thread), plain, tls, _process: process, folder };
        wait_until("the API server takes connections", READY_WITHIN, || {
            TcpStream::connect(("127.0.0.1", kube.tls.number())).is_ok()
        })?;
        Ok(kube)
    }

    /// `[http.kubernetes]` of a baton.toml.
    pub fn toml(&self) -> String {
        format!(
            "[http.kubernetes]\nurl = \"https://127.0.0.1:{}\"\nbearer = \"kubernetes-token\"\n\
             tls = {{ ca = {:?} }}\nidempotent = [\"/api/**\", \"/apis/**\"]\n",
            self.tls.number(),
            self.authority().display().to_string()
        )
    }

    /// Who has signed its certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Puts an object there, as an operator would.
    pub fn put(&self, path: &str, mut object: Value) {
        let mut world = lock(&self.world);
        world.version += 1;
        object["metadata"]["resourceVersion"] = json!(world.version.to_string());
        object["metadata"]["generation"] = json!(1);
        if path.contains("/deployments/") {
            settle(&mut object);
        }
        world.objects.insert(path.to_owned(), object);
    }

    /// An object as it is.
    pub fn object(&self, path: &str) -> Value {
        lock(&self.world).objects.get(path).cloned().unwrap_or_default()
    }

    /// Somebody else changes an object between the next look at it and the next patch.
    pub fn meanwhile(&self, path: &str, change: Value) {
        lock(&self.world).meanwhile = Some((path.to_owned(), change));
    }

    /// Patches that were taken, as `path: patch`.
    pub fn taken(&self) -> Vec<String> {
        lock(&self.world).taken.clone()
    }

    /// Statuses of refusals.
    pub fn refused(&self) -> Vec<u16> {
        lock(&self.world).refused.clone()
    }
}

impl Drop for Kube {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // So that it looks up once more.
        drop(TcpStream::connect(self.plain));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, world: &Mutex<World>) {
    // Whoever breaks off has asked nothing.
    let Some(request) = read(&mut stream) else { return };
    let mut world = lock(world);
    let (status, body) = world.answer(&request).unwrap_or_else(|(status, why)| {
        world.refused.push(status);
        (status, json!({ "kind": "Status", "status": "Failure", "code": status, "message": why }))
    });
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    drop(stream.write_all(answer.as_bytes()));
}

type Answer = std::result::Result<(u16, Value), (u16, String)>;

impl World {
    fn answer(&mut self, request: &Received) -> Answer {
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return Err((401, "Unauthorized".to_owned()));
        }
        let mut words = request.line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !self.objects.contains_key(path) {
            return Err((404, format!("{path} not found")));
        }
        match method {
            "GET" => Ok((200, self.look(path))),
            "PATCH" => self.patch(path, request),
            other => Err((405, format!("{other} is not known here"))),
        }
    }

    /// With each look at it a rollout goes on.
    fn look(&mut self, path: &str) -> Value {
        let left = self.rolling.get_mut(path).map(|left| {
            *left -= 1;
            *left
        });
        let object = self.objects.get_mut(path).expect("it was looked for");
        if left == Some(0) {
            self.rolling.remove(path);
            settle(object);
        }
        object.clone()
    }

    fn patch(&mut self, path: &str, request: &Received) -> Answer {
        let kind = request.header("content-type").unwrap_or_default();
        if kind != "application/merge-patch+json" {
            return Err((415, format!("a patch of type {kind}")));
        }
        let wanted: Value =
            serde_json::from_str(&request.body).map_err(|error| (400, error.to_string()))?;
        if let Some((_, change)) = self.meanwhile.take_if(|(of, _)| of == path) {
            self.apply(path, &change);
        }
        let now = &self.objects[path]["metadata"]["resourceVersion"];
        let meant = &wanted["metadata"]["resourceVersion"];
        if !meant.is_null() && meant != now {
            return Err((409, format!("the object has been modified: it is {now}, not {meant}")));
        }
        if self.objects[path]["immutable"] == true {
            return Err((422, "data: Forbidden: field is immutable".to_owned()));
        }
        self.apply(path, &wanted);
        self.taken.push(format!("{path}: {wanted}"));
        Ok((200, self.objects[path].clone()))
    }

    fn apply(&mut self, path: &str, change: &Value) {
        self.version += 1;
        let object = self.objects.get_mut(path).expect("it was looked for");
        let before = object["spec"].clone();
        merge(object, change);
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object["spec"] != before {
            let generation = object["metadata"]["generation"].as_u64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
            self.rolling.insert(path.to_owned(), LOOKS_UNTIL_NEW);
        }
    }
}

/// RFC 7386: null takes away, a table is merged, anything else is put there.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().expect("a table").remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// The controller has done all: every pod is of the newest template.
fn settle(deployment: &mut Value) {
    let replicas = deployment["spec"]["replicas"].clone();
    deployment["status"] = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas,
    });
}

/// An authority of its own and a certificate for 127.0.0.1.
fn certificate(folder: &Path) -> Result<()> {
    let openssl = |line: &str| -> Result<()> {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output()?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "openssl {line}: {why}");
        Ok(())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=laboratory"))?;
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=kube"))?;
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")?;
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile names",
    )?;
    let both = ["server.crt", "server.key"].map(|name| fs::read_to_string(folder.join(name)));
    let [certificate, key] = both;
    fs::write(folder.join("server.pem"), certificate? + &key?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_merges_replaces_and_takes_away() {
        let mut target = json!({ "a": { "b": 1, "c": 2 }, "d": [1, 2] });
        merge(&mut target, &json!({ "a": { "b": null, "e": 3 }, "d": [3] }));
        assert_eq!(target, json!({ "a": { "c": 2, "e": 3 }, "d": [3] }));
    }
}
