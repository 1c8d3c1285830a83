//! Coverage-guided fuzzing on the stable toolchain: libFuzzer is linked by the targets, and the
//! compiler's own coverage pass, which stable hides behind an environment variable, feeds it.

use std::time::Duration;

use crate::{Failure, commands};

/// The flags of cargo-fuzz without the sanitizers, because there is no unsafe code to watch.
const FLAGS: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Builds the targets and runs each for so long.
pub(crate) fn run(each: Duration) -> Result<(), Failure> {
    let host = host()?;
    let build = [
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target",
        &host,
        "--target-dir",
        "target/fuzz",
    ];
    commands::run_with("cargo", &build, &[("RUSTFLAGS", FLAGS), ("RUSTC_BOOTSTRAP", "1")])?;
    for target in targets()? {
        let corpus = format!("fuzz/corpus/{target}");
        let artifacts = format!("fuzz/artifacts/{target}/");
        for folder in [&corpus, &artifacts] {
            let made = std::fs::create_dir_all(commands::root().join(folder));
            made.map_err(|error| format!("{folder}: {error}"))?;
        }
        println!("fuzzing {target} for {each:?}");
        let program = format!("target/fuzz/{host}/release/{target}");
        let time = format!("-max_total_time={}", each.as_secs());
        let artifacts = format!("-artifact_prefix={artifacts}");
        commands::run(
            &program,
            &[&time, &artifacts, "-verbosity=0", "-print_final_stats=1", "-timeout=10", &corpus],
        )?;
    }
    Ok(())
}

/// One target a file.
fn targets() -> Result<Vec<String>, Failure> {
    let folder = commands::root().join("fuzz/targets");
    let entries =
        std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let stem = |entry: std::fs::DirEntry| Some(entry.path().file_stem()?.to_str()?.to_owned());
    let mut targets: Vec<_> = entries.flatten().filter_map(stem).collect();
    targets.sort();
    if targets.is_empty() { Err("there is no fuzz target".to_owned()) } else { Ok(targets) }
}

fn host() -> Result<String, Failure> {
    let version = commands::output("rustc", &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(ToOwned::to_owned).ok_or_else(|| "rustc does not say its host".to_owned())
}
