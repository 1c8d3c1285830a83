//! The probe as a program: how it starts, and how it refuses to.

use std::process::Command;

use cloakroom::AppKeys;
use cloakroom_tests::{browser::Browser, running::Running, step::sessions_of};
use serde_json::json;

fn probe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe-axum"));
    command.env_clear();
    command
}

#[tokio::test]
async fn it_says_where_it_listens_and_serves_the_benchmark_routes() {
    for driver in ["cookie", "memory"] {
        let mut command = probe();
        command.args(["--listen", "127.0.0.1:0"]);
        command.env("APP_KEY", AppKeys::generate()).env("SESSION_DRIVER", driver);
        let (_running, address) = Running::start(command);
        let mut visitor = Browser::new(address);
        assert_eq!(visitor.get("/none").await.text(), "none");
        assert!(visitor.jar.is_empty());
        visitor.get("/login").await;
        assert!(visitor.jar.get("session").is_some(), "the development cookie");
        assert_eq!(visitor.get("/read").await.text(), "virk");
        assert_eq!(visitor.get("/write").await.text(), "1");
        assert_eq!(visitor.get("/write").await.text(), "2");
        let reply = visitor.run([sessions_of("o")]).await;
        if driver == "cookie" {
            assert_eq!(reply.error(0).code, "unsupported");
        } else {
            assert_eq!(reply.value(0), json!([]));
        }
    }
}

/// Arguments, environment, and what the error has to name.
type Refused<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[test]
fn what_is_wrong_is_one_line_and_exit_code_2() {
    let key = AppKeys::generate();
    let refused: [Refused<'_>; 7] = [
        (&[], &[], "APP_KEY"),
        (&[], &[("APP_KEY", "secret")], "openssl"),
        (&[], &[("APP_KEY", &key), ("SESSION_DRIVER", "disk")], "SESSION_DRIVER"),
        (&[], &[("APP_KEY", &key), ("SESSION_IDLE_TIMEOUT", "500ms")], "at least one second"),
        (&["--config", "/nowhere.toml"], &[("APP_KEY", &key)], "/nowhere.toml"),
        (&["--listen", "8.8.8.8:80"], &[("APP_KEY", &key)], "loopback"),
        (&["--colour", "red"], &[("APP_KEY", &key)], "usage"),
    ];
    for (arguments, environment, named) in refused {
        let output = probe().args(arguments).envs(environment.iter().copied()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(named) && said.lines().count() == 1, "{said}");
        assert!(output.stdout.is_empty());
    }
}
