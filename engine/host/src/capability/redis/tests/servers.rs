//! Real servers and false ones, on free loopback ports, ended with the test.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A redis-server of our own.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
    _folder: TempDir,
}

/// A port that nobody listens on now.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// A data node with further settings.
    pub(super) fn start(settings: &[&str]) -> Self {
        let port = free_port();
        let plain = port.to_string();
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
            .arg(folder.path())
            .args(["--port", if settings.contains(&"--tls-port") { "0" } else { plain.as_str() }])
            .args(settings.iter().map(|setting| setting.replace("PORT", &plain)))
            .stdout(Stdio::null())
            .spawn()
            .expect("these tests need redis-server on PATH: apt-get install redis-server");
        Self::ready(child, port, folder)
    }

    /// A Sentinel that watches nobody yet.
    pub(super) fn sentinel(settings: &str) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, format!("bind 127.0.0.1\nport {port}\n{settings}\n")).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .expect("these tests need redis-server on PATH: apt-get install redis-server");
        Self::ready(child, port, folder)
    }

    fn ready(child: Child, port: u16, folder: TempDir) -> Self {
        let address = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen on {address}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, address, _folder: folder }
    }

    /// SIGSTOP: the kernel still accepts for it.
    pub(super) fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT.
    pub(super) fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// SIGKILL, and gone when this returns.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Accepts, and answers every read with the same bytes; none: hangs up at once.
pub(super) async fn answering(answer: Option<&'static [u8]>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 1024];
                while stream.read(&mut asked).await.is_ok_and(|count| count > 0) {
                    let Some(answer) = answer else { break };
                    if stream.write_all(answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Listens, accepts nobody, and has no room to let anybody wait: the handshake of
/// a further connection gets no answer, as behind a firewall that drops.
pub(super) async fn full() -> (String, (tokio::net::TcpListener, Vec<tokio::net::TcpStream>)) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let patience = Duration::from_millis(200);
    while let Ok(stream) =
        tokio::time::timeout(patience, tokio::net::TcpStream::connect(address)).await
    {
        held.push(stream.unwrap());
    }
    (address.to_string(), (listener, held))
}
