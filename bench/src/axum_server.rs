//! The runtime of the servers on axum, the same for all.

use std::{convert::Infallible, process::ExitCode};

use axum::{Router, ServiceExt, extract::Request, response::Response};
use tokio::{net::TcpListener, runtime::Builder};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Failure,
    options::{Options, finish},
};

/// Serves `routes` inside the layer that `make_layer` returns, until the process is ended.
///
/// The layer is around the router and not inside of it: `Router::layer` boxes every request once
/// more, which is a cost of the router and the same for every layer.
pub fn run<L>(
    routes: Router,
    make_layer: impl AsyncFnOnce(&Options) -> Result<L, Failure>,
) -> ExitCode
where
    L: Layer<Router>,
    L::Service: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    <L::Service as Service<Request>>::Future: Send,
{
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string());
    let serve = async {
        let options = Options::read()?;
        let app = make_layer(&options).await?.layer(routes);
        let listener = options.listen()?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        let listener = TcpListener::from_std(listener).map_err(|error| error.to_string())?;
        let app = ServiceExt::<Request>::into_make_service(app);
        axum::serve(listener, app).await.map_err(|error| error.to_string())
    };
    finish(runtime.and_then(|runtime| runtime.block_on(serve)))
}
