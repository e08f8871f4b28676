#![allow(clippy::print_stdout)] // says what is left out

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use local_vault::http::socket::{LONGEST_PATH, Listener, SocketError};
use local_vault::ingest::Rules;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use super::client::{Client, event};
use super::server::{IMPATIENT, Server, own_uid, wait_until};

const GET: &[u8] = b"GET /v1/events/s/r HTTP/1.1\r\nHost: x\r\n\r\n";

fn bind(path: &Path, mode: u32) -> Result<Listener, SocketError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    Listener::bind(path, mode)
}

#[test]
fn a_socket_has_its_mode_and_is_gone_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/in.sock");
    let listener = bind(&path, 0o620).unwrap();
    let meta = fs::metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o620);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(listener.path(), path);
    drop(listener);
    assert!(!path.exists());
    assert!(matches!(bind(&folder.path().join("a/b/in.sock"), 0o600), Err(SocketError::Io { .. })));
}

#[test]
fn a_socket_of_a_dead_process_is_taken_over_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind");
    let listener = bind(&path, 0o600).unwrap();
    assert!(matches!(bind(&path, 0o600), Err(SocketError::Busy(busy)) if busy == path));
    assert!(path.exists());
    drop(listener);
    // Another program's, which has no role of ours.
    let _other = UnixListener::bind(&path).unwrap();
    assert!(matches!(bind(&path, 0o600), Err(SocketError::Busy(_))));
    assert!(path.exists());
}

#[test]
fn a_socket_of_another_kind_is_left_to_its_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let other = UnixDatagram::bind(&path).unwrap();
    assert!(matches!(bind(&path, 0o600), Err(SocketError::Busy(_))));
    UnixDatagram::unbound().unwrap().send_to(b"still here", &path).unwrap();
    drop(other);
    bind(&path, 0o600).unwrap();
}

#[test]
fn a_program_that_takes_no_more_connections_has_its_socket_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    // One may wait, and one does.
    rustix::net::listen(&socket, 0).unwrap();
    let _waits = UnixStream::connect(&path).unwrap();
    assert!(matches!(bind(&path, 0o600), Err(SocketError::Busy(_))));
    assert!(path.exists());
}

#[test]
fn a_folder_that_others_may_write_to_is_refused_and_a_sticky_one_of_ours_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let listen = |mode| {
        fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        [folder.path().join("in.sock"), inner.join("in.sock")].map(|path| bind(&path, 0o600).map(drop))
    };
    for refused in listen(0o707) {
        let error = refused.unwrap_err().to_string();
        let folder = folder.path().canonicalize().unwrap();
        assert_eq!(error, format!("the socket must not lie in {}: anybody may write to it", folder.display()));
    }
    assert!(listen(0o1707).iter().all(Result::is_ok));
    assert!(listen(0o700).iter().all(Result::is_ok));
}

#[test]
fn a_sticky_folder_of_somebody_else_is_refused() {
    if own_uid() != 0 {
        println!("not run: root alone gives a folder to somebody else");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
    let error = bind(&folder.path().join("in.sock"), 0o600).unwrap_err().to_string();
    assert!(error.ends_with("it belongs to uid 12345, not to root or uid 0"), "{error}");
}

#[test]
fn what_is_no_socket_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(&path, 0o600), Err(SocketError::NotASocket(_))));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let target = folder.path().join("target");
    fs::rename(&path, &target).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(matches!(bind(&path, 0o600), Err(SocketError::NotASocket(_))));
    assert_eq!(fs::read(&target).unwrap(), b"precious");
}

#[test]
fn a_path_that_no_socket_can_have_is_refused_by_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let room = LONGEST_PATH - folder.path().as_os_str().len() - 1;
    let error = bind(&folder.path().join("x".repeat(room + 1)), 0o600).unwrap_err();
    assert!(error.to_string().ends_with("is longer than 107 bytes, which a socket's path must not be"), "{error}");
    assert!(bind(&folder.path().join("x".repeat(room)), 0o600).is_ok());
}

#[test]
fn whoever_sends_a_head_too_slowly_is_let_go_and_others_are_served() {
    let server = Server::with(Rules::of_owner(own_uid(), None), IMPATIENT);
    let mut slow: Vec<_> = (0..64).map(|_| server.client()).collect();
    for client in &mut slow {
        // It may have been let go already.
        let _ = client.try_send(b"POST /v1/events HTTP/1.1\r\nHost: ");
    }
    assert_eq!(server.client().payload("s", "r", "{}").status, 201);
    for client in &mut slow {
        assert!(client.read().is_none());
    }
}

#[test]
fn one_user_has_half_of_the_places_and_gets_them_back() {
    let server = Server::start();
    let found = |client: &mut Client| client.try_send(GET).ok().and_then(|()| client.read()).is_some();
    let mut clients: Vec<_> = (0..200).map(|_| server.client()).collect();
    let served: Vec<_> = clients.iter_mut().map(found).collect();
    assert_eq!(served.iter().filter(|served| **served).count(), 128);
    assert!(served[..128].iter().all(|served| *served));
    drop(clients);
    // The server sees that they have gone, in its own time.
    wait_until(|| found(&mut server.client()));
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let server = Server::with(Rules::of_owner(own_uid(), None), IMPATIENT);
    let mut client = server.client();
    client.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{");
    client.read().unwrap().is(408, "body_timeout");
}

#[test]
fn long_bodies_that_do_not_come_keep_no_short_one_waiting() {
    let server = Server::with(Rules::of_owner(own_uid(), None), IMPATIENT);
    let mut slow: Vec<_> = (0..20).map(|_| server.client()).collect();
    for client in &mut slow {
        client.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
        client.send(b"Content-Length: 16000000\r\n\r\n{");
    }
    assert_eq!(server.client().payload("s", "r", "{}").status, 201);
    // Who had a place was waited for; who had none was refused for now, and not for being late.
    let answers: Vec<_> = slow.iter_mut().map(|client| client.read().unwrap()).collect();
    let refused = answers.iter().filter(|answer| answer.status == 503);
    assert!(refused.clone().all(|answer| answer.header("retry-after") == Some("1")));
    let late = answers.iter().filter(|answer| answer.status == 408).count();
    assert!(late > 0 && refused.clone().count() > 0 && late + refused.count() == 20, "{late}");
}

#[test]
fn at_the_end_what_is_under_way_is_answered_and_nobody_is_let_in() {
    let mut server = Server::start();
    let (mut idle, mut fresh, mut busy) = (server.client(), server.client(), server.client());
    assert_eq!(idle.payload("s", "r1", "{}").status, 201);
    let body = event("s", "r2", "{}");
    busy.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    busy.send(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    // Answered, so that the one before it was let in.
    assert_eq!(idle.get("/v1/events/s/r1").status, 200);
    server.ask_to_stop();
    assert!(idle.read().is_none());
    assert!(fresh.read().is_none());
    busy.send(body.as_bytes());
    let answer = busy.read().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    server.wait();
    assert!(!server.socket().exists());
}
