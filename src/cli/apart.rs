use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::cli::failure::Failure;

/// Does work that may block for ever on a thread of its own: a device that hangs then holds up neither the runtime nor
/// the end of the process.
pub(in crate::cli) async fn apart<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce(&Handle) -> T + Send + 'static,
) -> Result<T, Failure> {
    let (tell, told) = oneshot::channel();
    let runtime = Handle::current();
    let thread = thread::Builder::new().name(name.into()).spawn(move || {
        let _inside = runtime.enter();
        // Whoever asked may have gone.
        let _ = tell.send(work(&runtime));
    });
    thread.map_err(|e| Failure::software(format!("the system gives no thread: {e}")))?;
    told.await.map_err(|_| Failure::software(format!("the thread {name} broke off")))
}
