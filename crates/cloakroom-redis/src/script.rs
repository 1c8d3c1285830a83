//! The steps that Redis carries out in one piece.

use redis::{Cmd, Pipeline};

/// A script, and the hash that servers know it by once they have seen it.
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

/// Keys and arguments of one call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<Vec<u8>>,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// The call by hash, for servers that know the script.
    pub(crate) fn by_hash(&self, call: &Call) -> Cmd {
        command("EVALSHA", &self.hash, call)
    }

    /// The call with the script, for servers that have forgotten it: they know it from then on.
    pub(crate) fn in_full(&self, call: &Call) -> Cmd {
        command("EVAL", self.code, call)
    }

    /// The call, and then the wait until so many replicas have what it wrote.
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
