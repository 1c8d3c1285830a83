//! The programs that the tests run, and how to install them.

use crate::{Failure, commands};

/// Something that the tests run: how to tell that it is there, and Debian's package for it.
struct Tool {
    package: &'static str,
    is_there: fn() -> bool,
}

const TOOLS: [Tool; 11] = [
    Tool { package: "chromium", is_there: || commands::exists("chromium") },
    Tool { package: "chromium-driver", is_there: || commands::exists("chromedriver") },
    Tool { package: "python3-cryptography", is_there: || python().is_some() },
    Tool { package: "redis-server", is_there: || commands::exists("redis-server") },
    Tool { package: "postgresql", is_there: has_postgres },
    Tool { package: "pgbouncer", is_there: || has_in_sbin("pgbouncer") },
    Tool { package: "mariadb-server", is_there: || has_in_sbin("mariadbd") },
    Tool { package: "memcached", is_there: || commands::exists("memcached") },
    Tool { package: "openssl", is_there: || commands::succeeds("openssl", &["version"]) },
    Tool { package: "strace", is_there: || commands::exists("strace") },
    Tool { package: "g++", is_there: || commands::exists("c++") },
];

/// Debian keeps PostgreSQL's programs off the path, in a folder for each version.
fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders = versions.map(|version| version.path().join("bin"));
    commands::exists("psql")
        && (folders.any(|folder| folder.join("initdb").is_file()) || commands::exists("initdb"))
}

/// The path of a user other than root may lack the folders of administrators.
fn has_in_sbin(program: &str) -> bool {
    let folders = ["", "/usr/sbin/", "/usr/local/sbin/"];
    folders.iter().any(|folder| commands::exists(&format!("{folder}{program}")))
}

/// Installs what is missing, where that is possible; otherwise says what to install.
pub(crate) fn install() -> Result<(), Failure> {
    let missing = || TOOLS.iter().filter(|tool| !(tool.is_there)()).map(|tool| tool.package);
    let packages: Vec<_> = missing().collect();
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    let sudo = if is_root() {
        [].as_slice()
    } else if commands::succeeds("sudo", &["-n", "true"]) {
        ["sudo", "-n"].as_slice()
    } else {
        return Err(format!("the tests need more than is here; install it with: {by_hand}"));
    };
    if !commands::exists("apt-get") {
        return Err(format!("the tests need, by Debian's names: {}", packages.join(", ")));
    }
    let apt = |arguments: &[&str]| {
        let words: Vec<_> = sudo.iter().chain(&["apt-get"]).chain(arguments).copied().collect();
        commands::run_with(words[0], &words[1..], &[("DEBIAN_FRONTEND", "noninteractive")])
    };
    apt(&["update", "-q"])?;
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], packages.as_slice()].concat())?;
    match missing().collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        still => Err(format!("installed, and still not found: {}", still.join(", "))),
    }
}

/// Fails if the tool of this package is missing, and says how to install it.
pub(crate) fn require(package: &str) -> Result<(), Failure> {
    if TOOLS.iter().any(|tool| tool.package == package && !(tool.is_there)()) {
        return Err(missing(package));
    }
    Ok(())
}

/// Returns the failure of a task that needs the tool of this package.
pub(crate) fn missing(package: &str) -> Failure {
    format!(
        "{package} is missing; install it with: apt-get install --no-install-recommends {package}"
    )
}

fn is_root() -> bool {
    commands::output("id", &["-u"]).is_ok_and(|id| id.trim() == "0")
}

/// A Python that has the `cryptography` package: the first on the path need not be Debian's.
pub(crate) fn python() -> Option<&'static str> {
    let has_it = |python: &&str| commands::succeeds(python, &["-c", "import cryptography"]);
    ["python3", "/usr/bin/python3"].into_iter().find(has_it)
}
