//! The control sockets: HTTP on Unix sockets, the rights of a caller given by the socket it came in on.

mod advice;
mod answer;
mod codes;
mod import;
mod listen;
mod metrics;
mod operate;
mod persons;
mod privacy;
mod view;

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use tokio::net::{UnixListener, UnixStream};

use crate::run::Shown;
use crate::supervise::{Place, Supervisor};

/// The name of the socket beside the buffer.
pub(crate) const SOCKET: &str = "control.sock";
/// Where systemd's socket units put theirs.
pub(crate) const INSTALLED: &str = "/run/hospital-gateway";

/// What a socket may be used for. Each right includes the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rights {
    /// Look, without any person in it.
    View,
    /// Replay, release, discard.
    Operate,
    /// See persons.
    Privacy,
}

/// Who called.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) String);

impl Caller {
    fn of(stream: &UnixStream) -> Self {
        let uid = stream.peer_cred().map(|cred| cred.uid().to_string());
        Self(format!("uid:{}", uid.unwrap_or_else(|_| "unknown".to_owned())))
    }
}

/// What handlers work with.
pub(crate) type Held = Arc<Shown>;

/// Serves the sockets that systemd handed over, or one beside the buffer.
pub(crate) fn serve(shown: Held, supervisor: &mut Supervisor) -> io::Result<()> {
    let mut sockets = handed_over()?;
    if sockets.is_empty() {
        sockets.push((Rights::Privacy, beside(shown.buffer.directory())?));
    }
    for (rights, listener) in sockets {
        listener.set_nonblocking(true)?;
        let (shown, name) = (shown.clone(), format!("control {rights:?}"));
        supervisor.start(&name, Place::Work, move |hand| {
            let router = router(rights, shown.clone());
            let listener = listener.try_clone();
            async move {
                let listener =
                    listener.and_then(UnixListener::from_std).map_err(|error| error.to_string())?;
                listen::serve(listener, router, hand.stop).await;
                Ok(())
            }
        });
    }
    Ok(())
}

fn router(rights: Rights, shown: Held) -> Router {
    let mut router = view::routes().merge(codes::looking());
    if rights >= Rights::Operate {
        router = router.merge(operate::routes()).merge(codes::operating());
    }
    if rights >= Rights::Privacy {
        router = router.merge(privacy::routes()).merge(persons::routes()).merge(import::routes());
        router = router.merge(codes::privacy());
    }
    router.fallback(answer::not_here).with_state(shown)
}

/// A socket of mode 0600 beside the buffer. One that a dead process left behind is replaced: the buffer's lock says that
/// nobody else has it.
fn beside(directory: &Path) -> io::Result<StdListener> {
    let path = socket_path(directory);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = StdListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Where the socket of a buffer is.
pub(crate) fn socket_path(directory: &Path) -> PathBuf {
    directory.join(SOCKET)
}

/// The sockets of systemd's socket units, by their names.
fn handed_over() -> io::Result<Vec<(Rights, StdListener)>> {
    let ours = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    if !ours {
        return Ok(Vec::new());
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut sockets = Vec::new();
    for (n, name) in names.split(':').enumerate() {
        let rights = match name.trim_end_matches(".socket").rsplit('-').next() {
            Some("view") => Rights::View,
            Some("operate") => Rights::Operate,
            Some("privacy") => Rights::Privacy,
            _ => continue,
        };
        let number = i32::try_from(n).map_err(io::Error::other)? + FIRST;
        sockets.push((rights, StdListener::from(take(number))));
    }
    Ok(sockets)
}

/// The first descriptor that systemd hands over (sd_listen_fds(3)).
const FIRST: i32 = 3;

/// Takes a descriptor that systemd handed over.
#[expect(
    unsafe_code,
    reason = "sd_listen_fds(3): the descriptors are ours alone from here on, there is no safe way to say so"
)]
fn take(number: i32) -> OwnedFd {
    // SAFETY: LISTEN_PID names this process, so descriptor `number` was opened for it, and nothing else takes it: this runs
    // once, before any other code opens files of such numbers.
    unsafe { OwnedFd::from_raw_fd(number) }
}
