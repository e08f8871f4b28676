//! The local socket: where it lies, and who is at the other end.

mod place;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hyper::body::Incoming;
use hyper::{Request, Response};
use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::watch;

use super::serve::{Door, Guest, serve};
use super::users::Users;
use super::{Body, Patience};
use crate::store::{RoleLock, StoreError};

/// The longest path of a socket, in bytes (`sun_path` of unix(7), less the zero at its end).
pub const LONGEST_PATH: usize = 107;

/// Who may use the socket where nobody says otherwise: its owner and its group.
pub const MODE: u32 = 0o660;

/// Connections that wait to be taken. The system allows fewer where it was told so.
const BACKLOG: u32 = 1024;

/// Whoever is at the other end, as the kernel noted it when they connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Their user.
    pub uid: u32,
}

/// A socket that is listened on. When it is dropped, the socket is gone.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    place: Place,
}

/// The socket's file, and the role of listening there.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    _role: RoleLock,
}

impl Listener {
    /// Listens at `path`. Its folder is made where it is missing, and no folder above it; one that others may write to
    /// is refused. A socket that a process left behind when it died is taken over; one that another process has is not.
    ///
    /// `mode` is the file's from the first moment on at which anybody could connect. To be called within a runtime;
    /// blocks shortly on the disk.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, SocketError> {
        if path.as_os_str().as_bytes().len() > LONGEST_PATH {
            return Err(SocketError::TooLong(path.to_owned()));
        }
        place::prepare_folder(path)?;
        let role = take_role(path)?;
        place::clear(path)?;
        let failed = |source| SocketError::Io { path: path.to_owned(), source };
        let socket = UnixSocket::new_stream().map_err(failed)?;
        socket.bind(path).map_err(failed)?;
        let place = Place { path: path.to_owned(), _role: role };
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
        let listener = socket.listen(BACKLOG).map_err(failed)?;
        Ok(Self { listener, place })
    }

    /// Answers requests by `handler`, of few who are not known, until `stop` holds true, or its sender is gone. Then nobody
    /// is let in any more, connections that wait for a next request are closed, and it returns once what is under way is
    /// answered.
    ///
    /// Every connection is a task of its own; those that are left end when this is dropped.
    pub async fn serve<K, H, F>(self, patience: Patience, knows: K, handler: H, stop: watch::Receiver<bool>)
    where
        K: Fn(u32) -> bool + Send + Sync + 'static,
        H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send,
    {
        let Self { listener, place } = self;
        let own_uid = geteuid().as_raw();
        // Whoever runs the service looks at it.
        let users = Users::new(move |uid| uid == 0 || uid == own_uid || knows(uid));
        let greet = |stream: UnixStream| {
            // The kernel knows whose it is, or it is nobody's.
            let peer = stream.peer_cred().ok().map(|credentials| Peer { uid: credentials.uid() });
            let guest = peer.and_then(|peer| Some(Guest { stream, peer, let_in: users.let_in(peer.uid)? }));
            async { guest }
        };
        serve(listener, greet, patience, handler, stop).await;
        drop(place);
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.place.path
    }
}

impl Door for UnixListener {
    type Connection = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(Self::accept(self).await?.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Ours, since the role still is. Where it cannot be removed, the next process takes it over.
        let _ = fs::remove_file(&self.path);
    }
}

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process listens there.
    #[error("{} is in use by another process", .0.display())]
    Busy(PathBuf),
    /// The disk or the file system refuses.
    #[error("cannot listen on {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something else lies there. It was not touched.
    #[error("{} is there and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// No system can hold a path of that length.
    #[error("{} is longer than {LONGEST_PATH} bytes, which a socket's path must not be", .0.display())]
    TooLong(PathBuf),
    /// Others could put a socket of their own in its place.
    #[error("the socket must not lie in {}: {why}", folder.display())]
    Unsafe {
        /// The folder, or one above it.
        folder: PathBuf,
        /// Who could.
        why: String,
    },
}

fn take_role(path: &Path) -> Result<RoleLock, SocketError> {
    RoleLock::take(path, "ingest").map_err(|error| match error {
        StoreError::Busy(_) => SocketError::Busy(path.to_owned()),
        other => SocketError::Io { path: path.to_owned(), source: io::Error::other(other.to_string()) },
    })
}
