//! Applications on actix-web.

use std::{fmt, rc::Rc};

use actix_web::{
    App, Error,
    body::{BoxBody, to_bytes},
    dev::{HttpServiceFactory, Service, ServiceResponse},
    http::Method,
    test::{TestRequest, init_service},
};

use crate::{Application, Request, Response};

/// An application on actix-web. A clone is the same application.
pub struct Actix<S>(Rc<S>);

impl<S> Clone for Actix<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Makes an application of its services, middleware included.
pub async fn actix(
    services: impl HttpServiceFactory + 'static,
) -> Actix<impl Service<actix_http::Request, Response = ServiceResponse, Error = Error>> {
    Actix(Rc::new(init_service(App::new().service(services)).await))
}

impl<S> Application for Actix<S>
where
    S: Service<actix_http::Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    async fn call(&self, request: Request) -> Response {
        let method = Method::from_bytes(request.method.as_bytes());
        let method = method.unwrap_or_else(|error| panic!("the method is invalid: {error}"));
        let mut http = TestRequest::with_uri(&request.target).method(method);
        for header in request.headers {
            http = http.append_header(header);
        }
        let response = match self.0.call(http.set_payload(request.body).to_request()).await {
            Ok(response) => response.into_parts().1,
            // The server makes the response in the same way if middleware returns an error.
            Err(error) => error.error_response(),
        };
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        let body = to_bytes(response.into_body()).await;
        let body = body.unwrap_or_else(|error| panic!("the body broke off: {error}"));
        Response { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
    }
}

impl<S> fmt::Debug for Actix<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actix").finish_non_exhaustive()
    }
}
