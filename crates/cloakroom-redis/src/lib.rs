//! Sessions in Redis: the store of `cloakroom` for applications on several machines.
//!
//! ```
//! use cloakroom_redis::RedisStore;
//!
//! let store = RedisStore::open("redis://127.0.0.1:6379/0")?;
//! # Ok::<(), cloakroom_redis::ConfigError>(())
//! ```
//!
//! - [`RedisStore`]: the store, and what a fail-over can lose.
//! - [`Servers`]: one server, Sentinel, Cluster; TLS and passwords.
//!
//! # What it costs
//! Round trips by request, counted from `INFO commandstats`: untouched 0, read 1 and 1 more when its
//! touch is due, write 2, regenerate 2, destroy 2. With the
//! [near cache](RedisStoreBuilder::near_cache) a read of what was read before costs 0 and a write 1.
//! In a cluster, where the index of owners lies elsewhere than the record, each write of a session
//! that has an owner costs one more. A sign-in (`set_owner`) costs one more for the limit of the
//! owner's sessions.
//!
//! # What Redis has to allow
//! Where an access control list is in force, the user needs these commands on the keys of the
//! prefix:
//! ```text
//! +get                                              a load
//! +eval +evalsha +set +setrange +pexpire +pttl
//! +del +zadd                                        a commit; all but the first two in its script
//! +zscan +zrange +zrem                              the sessions of an owner
//! +info                                             warnings about the server's settings
//! ```
//! `+scan` for going through all sessions, `+rpush +pexpire +lrange` for the journal of
//! `cloakroom migrate`, `+ping +time` for [`RedisStore::health`], `+wait` for `wait_replicas`,
//! `+client|tracking +ping` for the near cache, and `+cluster|slots +ping +asking` in a cluster.
//!
//! # What the keys give away
//! Whoever can list the keys sees SHA-256 hashes, which sign nobody in, and 16 bits of each token:
//! the tag by which old and new key of a regenerated session come to lie in one slot. 240 random
//! bits remain to be guessed.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod cluster_node;
mod connections;
mod health;
mod log;
mod near_cache;
mod scan;
mod script;
mod servers;
mod steps;
mod store;
mod tracking;
mod wire;

pub use builder::RedisStoreBuilder;
pub use health::Health;
pub use servers::{ConfigError, Servers};
pub use store::RedisStore;
