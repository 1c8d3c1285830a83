//! Nothing secret in what is logged, at the most talkative level. Alone in its process, because the
//! log is the process's.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use cloakroom_tests::{
    client::Sent,
    server::{Server, Setup},
};
use serde_json::json;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// Requirement 63.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_key_or_value_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let mut secrets = Vec::new();
    for setup in Setup::all() {
        let server = Server::start(setup).await;
        let mut visitor = server.client();
        let value = "the-secret-value";
        let script = json!([
            {"do": "put", "key": "user", "value": value}, {"do": "flash", "values": {"m": value}},
            {"do": "csrf_token"}, {"do": "flash_all"}, {"do": "increment", "key": "user"},
        ]);
        let reply = visitor.script_with(&script, Sent::form(&format!("field={value}"))).await;
        secrets.extend([value.to_owned(), reply.result(2).as_str().unwrap().to_owned()]);
        let mut slow = visitor.clone();
        let late = json!([{"do": "get", "key": "user"}, {"do": "sleep", "ms": 50}, {"do": "put", "key": "x", "value": value}]);
        let slow = tokio::spawn(async move { slow.script(&late).await });
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        visitor.step(json!({"do": "regenerate"})).await;
        secrets.push(visitor.jar.get("session").unwrap().to_owned());
        slow.await.unwrap();
        visitor.script(&json!([{"do": "error"}])).await;
        let big = json!({"do": "put", "key": "big", "value": value.repeat(2_000)});
        visitor.script(&json!([big])).await;
        let forged = Sent::form("_csrf=forged-token-value");
        visitor.send("/csrf-form", &serde_json::Value::Null, forged).await;
        visitor.step(json!({"do": "destroy"})).await;
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let hits = secrets.iter().filter(|secret| text.contains(secret.as_str())).count();
    assert_eq!(hits, 0, "{text}");
    assert!(text.contains("changes dropped") && text.contains("forged request"), "{text}");
    println!("log lines {}, secrets {}, hits {hits}", text.lines().count(), secrets.len());
}
