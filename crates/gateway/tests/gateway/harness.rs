//! A gateway on a free port, servers that do exactly what a test says, and a client that sees every byte.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use windlass_gateway::{
    AdminClient, BackendSpec, GatewayConfig, Label, Limits, Route, RouteTable, run_limited,
};
use windlass_kernel::SystemClock;

/// Longer than anything takes that works; a test that waits so long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) admin: AdminClient,
    pub(crate) dir: tempfile::TempDir,
    version: AtomicU64,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<std::io::Result<()>>>,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::limited(Limits::default()).await
    }

    pub(crate) async fn limited(limits: Limits) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), limits).await
    }

    pub(crate) async fn in_dir(dir: tempfile::TempDir, limits: Limits) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let admin_socket = dir.path().join("gateway.sock");
        let config = GatewayConfig {
            listener,
            admin_socket: admin_socket.clone(),
            table_file: dir.path().join("routes.json"),
            access_log: dir.path().join("access.log"),
            clock: Arc::new(SystemClock),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(run_limited(config, limits, async move { drop(stopped.await) }));
        let admin = AdminClient::new(&admin_socket);
        while admin.pid().await.is_err() {
            assert!(!task.is_finished(), "the gateway starts");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Self { address, admin, dir, version: AtomicU64::new(1), stop: Some(stop), task: Some(task) }
    }

    /// Puts a table in force: one route at `a.test/` to these.
    pub(crate) async fn route_to(&self, servers: &[&Server]) {
        let specs: Vec<BackendSpec> = servers.iter().map(|s| s.spec()).collect();
        self.put(vec![route("a.test", "/", specs)]).await;
    }

    pub(crate) async fn put(&self, routes: Vec<Route>) {
        let version = self.version.fetch_add(1, Ordering::SeqCst);
        self.admin.put_table(&RouteTable { version, routes }).await.unwrap();
    }

    pub(crate) async fn load(&self, id: &str) -> usize {
        let loads = self.admin.loads().await.unwrap();
        loads.into_iter().find(|l| l.id == id).map_or(0, |l| l.in_flight)
    }

    pub(crate) async fn until_load(&self, id: &str, wanted: usize) {
        let reached = async {
            while self.load(id).await != wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, reached)
            .await
            .unwrap_or_else(|_| panic!("{id} never has {wanted} in flight"));
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request, given whole, on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let mut client = self.client().await;
        client.write(request.as_bytes()).await;
        let head_only = request.starts_with("HEAD ");
        client.read_answer(head_only).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await
    }

    /// Tells the gateway to stop, and does not wait.
    pub(crate) fn begin_stop(&mut self) -> JoinHandle<std::io::Result<()>> {
        drop(self.stop.take());
        self.task.take().unwrap()
    }

    /// Stops the gateway and returns its folder.
    pub(crate) async fn stop(mut self) -> tempfile::TempDir {
        tokio::time::timeout(LONG, self.begin_stop()).await.expect("the gateway ends").unwrap().unwrap();
        self.dir
    }

    pub(crate) fn access_log(&self) -> PathBuf {
        self.dir.path().join("access.log")
    }
}

pub(crate) fn route(host: &str, path: &str, backends: Vec<BackendSpec>) -> Route {
    let label = Label { project: "p".into(), environment: "e".into(), service: format!("{host}{path}") };
    Route { host: host.into(), path: path.into(), label, backends, timeout_ms: 10_000 }
}

/// What a server read: a request's head and its body as sent (chunks and all).
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// All values of a field.
    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        fields(&self.head, name)
    }
}

fn fields(head: &str, name: &str) -> Vec<String> {
    let pairs = head.lines().skip(1).filter_map(|l| l.split_once(':'));
    pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned()).collect()
}

type Reply = Arc<dyn Fn(&Heard) -> Vec<u8> + Send + Sync>;

/// A server that answers each request as a function says. An answer that is empty closes the connection without one.
pub(crate) struct Server {
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(id: &str, reply: impl Fn(&Heard) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, id, Arc::new(reply))
    }

    pub(crate) fn on(listener: TcpListener, id: &str, reply: Reply) -> Self {
        let address = listener.local_addr().unwrap();
        let (heard, connections) = (Arc::<Mutex<Vec<Heard>>>::default(), Arc::<AtomicUsize>::default());
        let (list, count) = (heard.clone(), connections.clone());
        let task = tokio::spawn(async move {
            // Dropped with the task: then every connection is cut hard.
            let mut all = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                all.spawn(converse(stream, list.clone(), reply.clone()));
            }
        });
        Self { id: id.into(), address, heard, connections, task }
    }

    /// Answers 200 with its own id.
    pub(crate) async fn named(id: &'static str) -> Self {
        Self::start(id, move |_| ok(id)).await
    }

    pub(crate) fn spec(&self) -> BackendSpec {
        BackendSpec { id: self.id.clone(), address: self.address }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn kill(self) {
        self.task.abort();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn converse(stream: TcpStream, heard: Arc<Mutex<Vec<Heard>>>, reply: Reply) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = hear(&mut stream).await {
        heard.lock().unwrap().push(request.clone());
        let answer = reply(&request);
        if answer.is_empty() || stream.write_all(&answer).await.is_err() {
            return;
        }
        if fields(&String::from_utf8_lossy(&answer), "connection").iter().any(|v| v == "close") {
            return;
        }
    }
}

/// Reads a request by the letter; whatever does not belong to it would begin the next one.
pub(crate) async fn hear(stream: &mut BufReader<TcpStream>) -> Option<Heard> {
    let head = read_head(stream).await?;
    let mut body = Vec::new();
    if let [length] = fields(&head, "content-length").as_slice() {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).await.ok()?;
    } else if fields(&head, "transfer-encoding") == ["chunked"] {
        read_chunks(stream, &mut body).await?;
    }
    Some(Heard { head, body })
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Reads chunks as they are, trailers included.
async fn read_chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let start = body.len();
        stream.read_until(b'\n', body).await.ok()?;
        let line = String::from_utf8_lossy(&body[start..]).trim().to_owned();
        let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let at = body.len();
        body.resize(at + size + 2, 0);
        stream.read_exact(&mut body[at..]).await.ok()?;
    }
    loop {
        let start = body.len();
        if stream.read_until(b'\n', body).await.ok()? == 0 {
            return None;
        }
        if &body[start..] == b"\r\n" {
            return Some(());
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// Without the chunks' framing.
    pub(crate) body: Vec<u8>,
    /// Whether it came whole.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        fields(&self.head, name).into_iter().next()
    }
}

pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next answer; none if the connection ends before one begins.
    pub(crate) async fn read_answer(&mut self, head_only: bool) -> Option<Answer> {
        tokio::time::timeout(LONG, self.read(head_only)).await.expect("an answer in time")
    }

    async fn read(&mut self, head_only: bool) -> Option<Answer> {
        let head = read_head(&mut self.0).await?;
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new(), whole: true };
        if head_only || status == 304 || status == 204 || status < 200 {
            return Some(answer);
        }
        if let Some(length) = answer.field("content-length") {
            let length: u64 = length.parse().unwrap();
            let read = (&mut self.0).take(length).read_to_end(&mut answer.body).await;
            answer.whole = read.is_ok_and(|n| n as u64 == length);
        } else if answer.field("transfer-encoding").is_some() {
            let mut raw = Vec::new();
            answer.whole = read_chunks(&mut self.0, &mut raw).await.is_some();
            answer.body = raw;
        } else {
            answer.whole = self.0.read_to_end(&mut answer.body).await.is_ok();
        }
        Some(answer)
    }

    /// Whether the other side closes without a further byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LONG, self.0.read_to_end(&mut rest)).await;
        // A reset closes, too.
        read.is_ok() && rest.is_empty()
    }
}
