//! A Redis cluster of three masters with a replica each.

use std::{
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use super::RedisServer;

const TIMEOUT: Duration = Duration::from_mins(1);

/// A running cluster. Dropping it ends its servers.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one and waits until all nodes agree on it.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start() -> Self {
        let arguments = [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            "{bus}",
            "--cluster-node-timeout",
            "1500",
            "--cluster-allow-replica-migration",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let nodes: Vec<_> = (0..6).map(|_| RedisServer::start_with(&arguments)).collect();
        let addresses = nodes.iter().map(|node| node.address().to_string());
        let output = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .unwrap_or_else(|error| panic!("redis-cli: {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { nodes };
        cluster.wait_until_it_agrees();
        cluster
    }

    /// Waits until all nodes agree on the cluster, and each replica has its master's keys.
    ///
    /// # Panics
    /// When they do not agree in time.
    pub fn wait_until_it_agrees(&self) {
        let started = Instant::now();
        while !self.agrees() {
            assert!(started.elapsed() < TIMEOUT, "the nodes of the cluster do not agree");
            sleep(Duration::from_millis(100));
        }
    }

    fn agrees(&self) -> bool {
        self.nodes.iter().all(|node| {
            let nodes = node.cli(&["CLUSTER", "NODES"]);
            let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
            let link = node.cli(&["INFO", "replication"]);
            let linked = link.contains("role:master") || link.contains("master_link_status:up");
            node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok") && replicas >= 3 && linked
        })
    }

    /// `host:port` of every node.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address().to_string()).collect()
    }

    /// The nodes.
    pub fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    /// The number of the master that has a slot.
    ///
    /// # Panics
    /// When none has.
    pub fn master_of(&self, slot: u16) -> usize {
        let is_owner = |node: &RedisServer| {
            let nodes = node.cli(&["CLUSTER", "NODES"]);
            let Some(myself) = nodes.lines().find(|line| line.contains("myself")) else {
                return false;
            };
            myself.contains("master") && myself.split(' ').skip(8).any(|range| has(range, slot))
        };
        self.nodes.iter().position(is_owner).unwrap_or_else(|| panic!("nobody has slot {slot}"))
    }

    /// Moves a slot to another master, a key at a time, while it is in use.
    pub fn migrate(&self, slot: u16, to: usize) {
        let (from, to) = (&self.nodes[self.master_of(slot)], &self.nodes[to]);
        let number = slot.to_string();
        let (from_id, to_id) = (from.cli(&["CLUSTER", "MYID"]), to.cli(&["CLUSTER", "MYID"]));
        to.cli(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &from_id]);
        from.cli(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &to_id]);
        let port = to.address().port().to_string();
        loop {
            let keys = from.cli(&["CLUSTER", "GETKEYSINSLOT", &number, "1"]);
            let Some(key) = keys.lines().next().filter(|key| !key.is_empty()) else { break };
            from.cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "2000"]);
            sleep(Duration::from_millis(2));
        }
        for node in [to, from] {
            node.cli(&["CLUSTER", "SETSLOT", &number, "NODE", &to_id]);
        }
    }
}

/// Whether a range of `CLUSTER NODES`, `0-5460` or `7`, has a slot.
fn has(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).contains(&slot),
        _ => false,
    }
}
