//! The scripts, each of which Redis runs atomically.

use redis::{Cmd, Pipeline};

/// A script, and the hash under which servers cache it.
#[derive(Debug)]
pub(crate) struct Script {
    code: &'static str,
    hash: String,
}

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(
            include_str!("scripts/prelude.lua"),
            include_str!(concat!("scripts/", $name, ".lua"))
        ))
    };
}

/// All scripts.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) create: Script,
    pub(crate) replace: Script,
    pub(crate) touch: Script,
    pub(crate) rotate: Script,
    pub(crate) destroy: Script,
    pub(crate) index: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            create: script!("create"),
            replace: script!("replace"),
            touch: script!("touch"),
            rotate: script!("rotate"),
            destroy: script!("destroy"),
            index: script!("index"),
        }
    }
}

/// The keys and arguments of one call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<Vec<u8>>,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// Returns the call by hash, for servers that have cached the script.
    pub(crate) fn by_hash(&self, call: &Call) -> Cmd {
        command("EVALSHA", &self.hash, call)
    }

    /// Returns the call with the script's text, which the server then caches.
    pub(crate) fn in_full(&self, call: &Call) -> Cmd {
        command("EVAL", self.code, call)
    }

    /// Returns the call, followed by a wait until this number of replicas have its writes.
    pub(crate) fn then_wait(&self, call: &Call, replicas: u32, millis: u64) -> Pipeline {
        let mut pipeline = redis::pipe();
        pipeline.add_command(self.in_full(call));
        pipeline.cmd("WAIT").arg(replicas).arg(millis);
        pipeline
    }
}

fn command(name: &str, script: &str, call: &Call) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(call.keys.len()).arg(&call.keys).arg(&call.arguments);
    command
}
