//! What servers and proxies in this process stand on: a loopback port, and a thread that serves who comes.

use std::error::Error;
use std::net::SocketAddr;

use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The port, closed with the value. Its thread is none of a test's runtime, so that programs under test are served while a
/// test waits for them.
pub struct Serving {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
}

impl Serving {
    /// Serves every connection.
    pub fn each<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let (ready, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let client = tokio::select! {
                        accepted = listener.accept() => accepted.unwrap().0,
                        _ = &mut stopped => break,
                    };
                    tokio::spawn(serve(client));
                }
            });
        });
        Self { address: address.recv().unwrap(), stop: Some(stop) }
    }

    /// Answers every HTTP request.
    pub fn http<F, B, E>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        Self::each(move |client| {
            let handler = hyper::service::service_fn(answer.clone());
            async move {
                let mut http = hyper::server::conn::http1::Builder::new();
                // A connection that a fault cuts, or that a killed program leaves behind, ends with an error here.
                let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(client), handler).await;
            }
        })
    }

    /// Returns where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}
