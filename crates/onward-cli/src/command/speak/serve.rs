//! `serve`: a language model for programs that ask in OpenAI's way.

use super::Speaker;
use super::engine;
use super::http::{Answerer, REQUESTS, now};
use crate::args::Serve;
use crate::interrupt;
use crate::progress::Voice;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use onward::threads::Threads;
use onward::{Error, ErrorKind, Result};
use serde_json::json;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// How long a request's head may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long requests have to hear that they end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// `onward serve`.
pub fn serve(args: &Serve) -> Result<()> {
    let voice = Voice::new(&args.how);
    let address = address(&args.address, args.allow_remote)?;
    let speaker = Arc::new(Speaker::open(&args.model, &args.how)?);
    let threads = Threads::new(args.how.threads())?;
    let listener = TcpListener::bind(address).and_then(|own| {
        own.set_nonblocking(true)?;
        Ok((own.local_addr()?, own))
    });
    let (address, listener) = listener.map_err(|e| failed(format!("cannot listen at {address}: {e}")))?;
    let (jobs, asked) = channel();
    let halt = Arc::new(AtomicBool::new(false));
    let name = args.name.clone().unwrap_or_else(|| called(&args.model));
    let answerer = Arc::new(Answerer {
        template: speaker.folder.chat_template(),
        speaker: Arc::clone(&speaker),
        name: name.clone(),
        jobs,
        remote: args.allow_remote,
        room: Arc::new(Semaphore::new(REQUESTS)),
        began: now(),
        count: AtomicU64::new(0),
    });
    let (stop, stops) = mpsc::unbounded_channel();
    // Once nobody listens any more all is over anyway.
    let over = stop.clone();
    interrupt::listen(move |request| {
        let _ = stop.send(request);
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| failed(format!("cannot wait for requests: {e}")))?;
    let words = format!("{name} answers at http://{address}/v1 (Ctrl-C ends it)");
    std::thread::scope(|scope| {
        let rows = usize::from(args.rows);
        let (speaker, halts) = (&*speaker, &*halt);
        let computes = scope.spawn(move || {
            let computed = engine::answer(speaker, &asked, rows, &threads, halts);
            // Where it failed there is nothing more to serve.
            let _ = over.send(interrupt::Request::End);
            computed
        });
        voice.say(&words, &json!({"event": "serving", "address": address, "model": name}));
        let told = runtime.block_on(attend(listener, answerer, stops, (&halt, voice)));
        // What still waits for a client goes with the runtime, and with it the last who could ask.
        drop(runtime);
        let computed =
            computes.join().unwrap_or_else(|_| Err(failed("the computing thread has ended".into())));
        told.and(computed)
    })
}

fn failed(why: String) -> Error {
    Error::new(ErrorKind::Io, why)
}

/// The last part of a folder's name.
fn called(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned())
}

/// The address to listen at.
fn address(text: &str, remote: bool) -> Result<SocketAddr> {
    let wrong = |found: String| {
        Err(Error::expected(ErrorKind::Spec, "--address", "HOST:PORT, such as 127.0.0.1:8000", found))
    };
    let found = match text.to_socket_addrs() {
        Ok(mut all) => all.next(),
        Err(e) => return wrong(format!("{text:?}: {e}")),
    };
    match found {
        None => wrong(format!("{text:?}")),
        Some(address) if !remote && !address.ip().is_loopback() => {
            let expected =
                "an address of this machine alone, or --allow-remote, with which whoever can connect may ask";
            Err(Error::expected(ErrorKind::Spec, "--address", expected, text))
        }
        Some(address) => Ok(address),
    }
}

/// Answers whoever connects until it is to stop, then those who asked before.
async fn attend(
    listener: TcpListener,
    answerer: Arc<Answerer>,
    mut stops: mpsc::UnboundedReceiver<interrupt::Request>,
    (halt, voice): (&Arc<AtomicBool>, Voice),
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|e| failed(e.to_string()))?;
    let room = Arc::clone(&answerer.room);
    let connections = Arc::new(GracefulShutdown::new());
    let watched = Arc::clone(&connections);
    let accepts = tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => connect(stream, &answerer, &watched),
                // Too many open files, or a client that has gone already.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    stops.recv().await;
    accepts.abort();
    let _ = accepts.await;
    let going = REQUESTS - room.available_permits();
    if going > 0 {
        voice.warn(&format!("{going} requests are being answered; Ctrl-C once more ends them"));
    }
    let (ends, mut end) = mpsc::unbounded_channel();
    let (again, late) = (Arc::clone(halt), ends.clone());
    tokio::spawn(async move {
        stops.recv().await;
        again.store(true, Ordering::Relaxed);
        tokio::time::sleep(LAST_WORDS).await;
        let _ = late.send(());
    });
    let Some(connections) = Arc::into_inner(connections) else { return Ok(()) };
    tokio::spawn(async move {
        connections.shutdown().await;
        let _ = ends.send(());
    });
    end.recv().await;
    Ok(())
}

/// Answers what comes over one connection.
fn connect(stream: tokio::net::TcpStream, answerer: &Arc<Answerer>, connections: &GracefulShutdown) {
    let answerer = Arc::clone(answerer);
    let service = service_fn(move |request| {
        let answered = Arc::clone(&answerer).answer(request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    // Small pieces of a stream are not to wait for each other.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever ends a connection early is its client's matter.
    let watched = connections.watch(connection);
    tokio::spawn(async move { drop(watched.await) });
}
