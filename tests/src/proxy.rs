//! A TCP proxy that misbehaves on demand, between a client and a server.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// The fault of all connections, new and old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it passes everything on.
    None,
    /// Replies come this much later.
    Latency(Duration),
    /// Replies come in pieces of this many bytes.
    Slice(usize),
    /// Every connection is closed after this many bytes of replies, counted from this setting on.
    CutAfter(usize),
    /// The first connection with more than this many bytes of replies is closed after them. Then
    /// everything is passed on.
    CutOnce(usize),
    /// Every connection is closed at once.
    Reset,
    /// Everything is taken and nothing comes back.
    BlackHole,
    /// Requests are taken and never arrive.
    Unheard,
}

/// The state that connections share.
#[derive(Clone, Copy, Debug)]
struct State {
    fault: Fault,
    /// Connections of an earlier generation are closed.
    generation: u64,
}

/// A running proxy. Dropping it closes it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    connections: Arc<AtomicUsize>,
    swallowed: Arc<AtomicUsize>,
    exchanges: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy in front of `upstream`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("{error}"));
        let (state, states) = watch::channel(State { fault: Fault::None, generation: 0 });
        let [connections, swallowed, exchanges] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let (counted, lost, asked) = (connections.clone(), swallowed.clone(), exchanges.clone());
        let changed = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                if let Ok(server) = TcpStream::connect(upstream).await {
                    let shared = Shared {
                        states: states.clone(),
                        state: changed.clone(),
                        swallowed: lost.clone(),
                        exchanges: asked.clone(),
                    };
                    tokio::spawn(join(client, server, shared));
                }
            }
        });
        Self { address, state, connections, swallowed, exchanges, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the Redis behind it.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Misbehaves like this from now on.
    pub fn set(&self, fault: Fault) {
        self.state.send_modify(|state| state.fault = fault);
    }

    /// Closes the connections that are open now, and passes on everything of new ones. Nothing that
    /// an old fault held back gets through in between.
    pub fn start_over(&self) {
        self.state.send_modify(|state| {
            *state = State { fault: Fault::None, generation: state.generation + 1 };
        });
    }

    /// Returns whether [`Fault::CutOnce`] has closed a connection since it was set.
    pub fn has_cut(&self) -> bool {
        self.state.borrow().fault == Fault::None
    }

    /// Returns how often a client has sent something and waited, on all connections together. Right if
    /// each request is smaller than a packet.
    pub fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::SeqCst)
    }

    /// Returns how many bytes of replies [`Fault::BlackHole`], or of questions [`Fault::Unheard`],
    /// kept back until now.
    pub fn swallowed(&self) -> usize {
        self.swallowed.load(Ordering::SeqCst)
    }

    /// How many connections were made until now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The state that the connections share with the proxy.
struct Shared {
    states: watch::Receiver<State>,
    state: watch::Sender<State>,
    swallowed: Arc<AtomicUsize>,
    exchanges: Arc<AtomicUsize>,
}

/// Passes on both ways until one side closes, or the state says so.
async fn join(client: TcpStream, server: TcpStream, shared: Shared) {
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let generation = shared.states.borrow().generation;
    let ends = move |state: &State| state.fault == Fault::Reset || state.generation != generation;
    let mut resets = shared.states.clone();
    tokio::select! {
        () = questions(from_client, to_server, &shared) => (),
        () = answers(from_server, to_client, &shared, generation) => (),
        _ = resets.wait_for(ends) => (),
    }
}

async fn questions(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut buffer = vec![0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        shared.exchanges.fetch_add(1, Ordering::SeqCst);
        let fault = shared.states.borrow().fault;
        if fault == Fault::Unheard {
            shared.swallowed.fetch_add(read, Ordering::SeqCst);
        } else if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    generation: u64,
) {
    let mut states = shared.states.clone();
    let mut buffer = vec![0; 16_384];
    let mut passed = 0;
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if states.has_changed().unwrap_or_default() {
            passed = 0;
        }
        let state = *states.borrow_and_update();
        if state.generation != generation {
            return;
        }
        let bytes = &buffer[..read];
        let sent = match state.fault {
            Fault::Latency(span) => {
                sleep(span).await;
                to.write_all(bytes).await
            }
            Fault::Slice(size) => in_slices(&mut to, bytes, size).await,
            Fault::CutAfter(limit) if passed + read > limit => {
                drop(to.write_all(&bytes[..limit - passed]).await);
                return;
            }
            Fault::CutOnce(limit) if passed + read > limit => {
                drop(to.write_all(&bytes[..limit - passed]).await);
                shared.state.send_modify(|state| state.fault = Fault::None);
                return;
            }
            Fault::None | Fault::CutAfter(_) | Fault::CutOnce(_) | Fault::Unheard => {
                to.write_all(bytes).await
            }
            Fault::Reset => return,
            Fault::BlackHole => {
                shared.swallowed.fetch_add(read, Ordering::SeqCst);
                Ok(())
            }
        };
        passed += read;
        if sent.is_err() {
            return;
        }
    }
}

async fn in_slices(to: &mut OwnedWriteHalf, bytes: &[u8], size: usize) -> std::io::Result<()> {
    for slice in bytes.chunks(size) {
        to.write_all(slice).await?;
        sleep(Duration::from_micros(200)).await;
    }
    Ok(())
}
