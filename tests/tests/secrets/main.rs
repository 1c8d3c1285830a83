//! Nothing secret in what is logged, at the most talkative level. Alone in its process, because the
//! log is the process's.

use cloakroom_tests::{
    browser::Sent,
    log::Log,
    server::{Server, Setup},
    step::{Step, flash, get, increment, put, sleep},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_key_or_value_is_logged() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber(tracing::Level::TRACE)).unwrap();
    let mut secrets = Vec::new();
    for setup in Setup::all() {
        let server = Server::start(setup).await;
        let mut visitor = server.browser();
        let value = "the-secret-value";
        let script = [
            put("user", value),
            flash([("m", value)]),
            Step::CsrfToken,
            Step::FlashAll,
            increment("user"),
        ];
        let reply = visitor.run_with(&script, Sent::form(&format!("field={value}"))).await;
        secrets.extend([value.to_owned(), reply.value(2).as_str().unwrap().to_owned()]);
        let mut slow = visitor.clone();
        let late = [get("user"), sleep(50), put("x", value)];
        let slow = tokio::spawn(async move { slow.run(&late).await });
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        visitor.step(Step::Regenerate).await;
        secrets.push(visitor.token());
        slow.await.unwrap();
        visitor.run([Step::Error]).await;
        let big = put("big", value.repeat(2_000));
        visitor.run([big]).await;
        let forged = Sent::form("_csrf=forged-token-value");
        visitor.send("/csrf-form", forged).await;
        visitor.step(Step::Destroy).await;
    }
    let text = log.text();
    let hits = secrets.iter().filter(|secret| text.contains(secret.as_str())).count();
    assert_eq!(hits, 0, "{text}");
    assert!(text.contains("changes dropped") && text.contains("forged request"), "{text}");
}
