//! The load generator: one thread, keep-alive connections, one request under way on each.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use cloakroom_bench::Failure;
use mio::{Events, Interest, Poll, Registry, Token, net::TcpStream};

use crate::http::{BUFFER, Reply};

/// How long the replies to the last requests may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A load on servers.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    /// Where connections go, each to the next of these.
    pub(crate) servers: &'a [SocketAddr],
    /// How many connections there are.
    pub(crate) connections: usize,
    /// The requests, which are sent in turn, again and again.
    pub(crate) requests: &'a [Vec<u8>],
    /// How long requests are sent.
    pub(crate) span: Duration,
}

/// The result of a load.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Replies with a status of 2xx, late ones included.
    pub(crate) answered: u64,
    /// Replies with another status, and requests without a reply.
    pub(crate) failed: u64,
    /// Replies in time for each second of the span.
    pub(crate) per_second: f64,
    /// How long each reply took, in microseconds.
    pub(crate) latencies: Vec<u32>,
}

impl Load<'_> {
    /// Puts the load on the servers, and waits for the last replies.
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        self.drive().map_err(|error| format!("{:?}: {error}", self.servers))
    }

    fn drive(&self) -> std::io::Result<Outcome> {
        let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(self.connections));
        let mut connections = Vec::with_capacity(self.connections);
        for number in 0..self.connections {
            let server = self.servers[number % self.servers.len()];
            connections.push(Connection::open(server, poll.registry(), number)?);
        }
        let mut run = Run::new(self);
        for connection in &mut connections {
            run.send(connection, poll.registry())?;
        }
        while run.under_way > 0 && run.now < run.end + TIMEOUT {
            poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            run.now = Instant::now();
            for event in &events {
                run.now = Instant::now();
                run.receive(&mut connections[event.token().0], poll.registry())?;
            }
        }
        Ok(run.finish())
    }
}

/// The state of a load that is under way.
struct Run<'a> {
    load: &'a Load<'a>,
    started: Instant,
    end: Instant,
    now: Instant,
    next: usize,
    under_way: u64,
    in_time: u32,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn new(load: &'a Load<'a>) -> Self {
        let now = Instant::now();
        let outcome = Outcome::default();
        let end = now + load.span;
        Self { load, started: now, end, now, next: 0, under_way: 0, in_time: 0, outcome }
    }

    /// Sends the next request, unless the time is over.
    fn send(&mut self, connection: &mut Connection, to: &Registry) -> std::io::Result<()> {
        if self.now >= self.end {
            return Ok(());
        }
        let request = &self.load.requests[self.next % self.load.requests.len()];
        self.next += 1;
        self.under_way += 1;
        connection.sent = Some(self.now);
        match connection.stream.write(request) {
            Ok(written) if written == request.len() => Ok(()),
            // The send buffer is empty and a thousand times as large as a request.
            _ => self.fail(connection, to),
        }
    }

    /// Reads what has arrived. Sends the next request if the reply is complete.
    fn receive(&mut self, connection: &mut Connection, to: &Registry) -> std::io::Result<()> {
        loop {
            match connection.stream.read(&mut connection.buffer[connection.filled..]) {
                Ok(read) if read > 0 => connection.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                _ => return self.fail(connection, to),
            }
            if let Some(reply) = Reply::parse(&connection.buffer[..connection.filled]) {
                connection.filled = 0;
                self.count(connection.sent.take(), reply.succeeded);
                return self.send(connection, to);
            }
        }
    }

    fn count(&mut self, sent: Option<Instant>, succeeded: bool) {
        self.under_way -= 1;
        let took = sent.map_or(0, |sent| (self.now - sent).as_micros());
        self.outcome.latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
        if succeeded {
            self.outcome.answered += 1;
        } else {
            self.outcome.failed += 1;
        }
        self.in_time += u32::from(self.now < self.end);
    }

    /// Counts a request that gets no reply, and connects again.
    fn fail(&mut self, connection: &mut Connection, to: &Registry) -> std::io::Result<()> {
        // A server may close a connection that waits for nothing.
        if connection.sent.take().is_none() {
            return Ok(());
        }
        self.under_way -= 1;
        self.outcome.failed += 1;
        connection.reopen(to)?;
        self.send(connection, to)
    }

    fn finish(mut self) -> Outcome {
        self.outcome.failed += self.under_way;
        let span = (self.end - self.started).as_secs_f64();
        self.outcome.per_second = f64::from(self.in_time) / span;
        self.outcome
    }
}

/// A connection, and the reply that is on its way.
struct Connection {
    server: SocketAddr,
    number: usize,
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    /// When the request was sent that has no reply yet.
    sent: Option<Instant>,
}

impl Connection {
    fn open(server: SocketAddr, registry: &Registry, number: usize) -> std::io::Result<Self> {
        let stream = connect(server, registry, number)?;
        Ok(Self { server, number, stream, buffer: vec![0; BUFFER], filled: 0, sent: None })
    }

    fn reopen(&mut self, registry: &Registry) -> std::io::Result<()> {
        self.stream = connect(self.server, registry, self.number)?;
        self.filled = 0;
        Ok(())
    }
}

/// Connects before it returns, so that the first request is measured like the others.
fn connect(server: SocketAddr, registry: &Registry, number: usize) -> std::io::Result<TcpStream> {
    let stream = std::net::TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    registry.register(&mut stream, Token(number), Interest::READABLE)?;
    Ok(stream)
}
