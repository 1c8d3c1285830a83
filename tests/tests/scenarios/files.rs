//! Session files that are linked, swapped, or whose folder others may write into.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use cloakroom_tests::{
    server::{Backend, Server},
    step::{Step, get, put},
};
use serde_json::Value;

on_drivers! { File;
    a_backup_of_hard_links_keeps_visitors_signed_in
    files_that_swap_their_names_sign_nobody_in_as_another
    a_folder_that_others_may_write_into_takes_no_sign_in
}

fn user() -> Step {
    get("user")
}

fn location(server: &Server) -> PathBuf {
    let Backend::File(folder) = &server.backend else { panic!("the file driver") };
    folder.path().join("sessions")
}

fn records(server: &Server) -> Vec<PathBuf> {
    let shards = fs::read_dir(location(server)).unwrap().map(|entry| entry.unwrap().path());
    let files = shards.filter(|path| path.is_dir()).flat_map(|shard| fs::read_dir(shard).unwrap());
    let paths = files.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().is_some_and(|name| name.len() == 64)).collect()
}

async fn a_backup_of_hard_links_keeps_visitors_signed_in(server: Server) {
    let mut visitor = server.browser_with([put("user", "virk")]).await;
    let backup = tempfile::tempdir_in(location(&server).parent().unwrap()).unwrap();
    for record in records(&server) {
        fs::hard_link(&record, backup.path().join(record.file_name().unwrap())).unwrap();
    }
    assert_eq!(visitor.step(user()).await, "virk");
    visitor.step(put("user", "romain")).await;
    assert_eq!(visitor.step(user()).await, "romain");
}

async fn files_that_swap_their_names_sign_nobody_in_as_another(server: Server) {
    let (mut one, mut other) = (server.browser(), server.browser());
    one.step(put("user", "one")).await;
    other.step(put("user", "other")).await;
    let records = records(&server);
    let [first, second] = records.as_slice() else { panic!("{records:?}") };
    let aside = location(&server).join("aside");
    fs::rename(first, &aside).unwrap();
    fs::rename(second, first).unwrap();
    fs::rename(&aside, second).unwrap();
    for visitor in [&mut one, &mut other] {
        assert_eq!(visitor.step(user()).await, Value::Null);
    }
}

async fn a_folder_that_others_may_write_into_takes_no_sign_in(server: Server) {
    let mut visitor = server.browser_with([put("user", "virk")]).await;
    let location = location(&server);
    fs::set_permissions(&location, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(visitor.run([put("user", "romain")]).await.status, 500);
    let reply = server.browser().run([put("user", "new")]).await;
    assert_eq!((reply.status.as_u16(), reply.set_cookies().len()), (500, 0));
    fs::set_permissions(&location, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(visitor.step(user()).await, "virk");
}
