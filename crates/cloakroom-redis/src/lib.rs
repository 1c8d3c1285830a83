//! Stores sessions in Redis or Valkey: for applications on several machines.
//!
//! ```
//! use cloakroom_redis::RedisStore;
//!
//! let store = RedisStore::open("redis://127.0.0.1:6379/0")?;
//! # Ok::<(), cloakroom_redis::ConfigError>(())
//! ```
//!
//! - [`RedisStore`]: the store, lost connections and fail-overs.
//! - [`Servers`]: one server, Sentinel, Cluster, TLS and passwords.
//!
//! # Costs
//! | request | round trips | with the [near cache](RedisStoreBuilder::near_cache), after a first read |
//! |---|---|---|
//! | does not use the session | 0 | 0 |
//! | reads | 1, and 1 more if a touch is due | 0, and 1 more if a touch is due |
//! | writes, regenerates or destroys | 2 | 1 |
//!
//! In a cluster, each write of a session with an owner costs one more, because the index of owners is on
//! another node. A sign-in (`set_owner`) costs one more for the limit of the owner's sessions. The counts
//! come from `INFO commandstats`.
//!
//! # Access control
//! With an access control list, the user needs these commands on the keys of the prefix:
//! ```text
//! +get                                              a load
//! +eval +evalsha +set +setrange +pexpire +pttl
//! +del +zadd                                        a commit; all but the first two in its script
//! +zscan +zrange +zrem                              the sessions of an owner
//! +info                                             warnings about the server's settings
//! +scan                                             listing all sessions
//! +rpush +pexpire +lrange                           the journal of `cloakroom migrate`
//! +ping +time                                       RedisStore::health
//! +wait                                             wait_replicas
//! +client|tracking +ping                            the near cache
//! +client|tracking +ping +getrange                  the push of endings to waiting readers
//! +cluster|slots +ping +asking                      a cluster
//! ```
//!
//! # Security
//! The keys contain SHA-256 hashes of tokens, which cannot be used to sign in, and 16 bits of each token.
//! These bits are the tag that puts the old and the new key of a regenerated session into one slot. An
//! attacker who can list the keys still has to guess 240 random bits.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod cluster_node;
mod connection;
mod connections;
mod connector;
mod delivery;
mod ending_link;
mod error;
mod fault;
mod health;
mod inner;
mod link_attempts;
mod log;
mod near_cache;
mod pause;
mod replicated;
mod scan;
mod script;
mod server_info;
mod servers;
mod steps;
mod store;
mod tracking;
mod wire;

pub use builder::RedisStoreBuilder;
pub use health::Health;
pub use servers::{ConfigError, Servers};
pub use store::RedisStore;
