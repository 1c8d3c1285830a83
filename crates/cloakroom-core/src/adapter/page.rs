//! The page of a request, which later requests lead back to.

use super::context::RequestContext;
#[cfg(any(feature = "actix", feature = "axum"))]
use crate::http::headers::Headers;
use crate::{http::redirect::Back, session::Session};

impl RequestContext {
    /// Notes that the response is a page, if it is the HTML of a `GET`. Call it before
    /// [`finish`](Self::finish). `target` is the path and query of the request, and `content_type` that of the
    /// response. Does nothing unless the setting
    /// [`previous_url`](crate::SessionsBuilder::previous_url) is on.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions, adapter::RequestContext};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    /// let sessions = sessions.previous_url(true).build()?;
    /// let context = RequestContext::new(&sessions);
    /// # let no_headers: &[(&str, &str)] = &[];
    /// let session = context.session(no_headers).await?;
    /// session.put("cart", 1)?;
    /// context.note_page("GET", "/products?page=2", Some("text/html; charset=utf-8"));
    /// let _headers = context.finish(200).await?;
    /// assert_eq!(session.previous_url()?.as_deref(), Some("/products?page=2"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn note_page(&self, method: &str, target: &str, content_type: Option<&str>) {
        let is_html = content_type
            .and_then(|text| text.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"));
        if self.sessions().context().keeps_previous_url() {
            self.progress().page = (method == "GET" && is_html).then(|| target.into());
        }
    }
}

impl Back {
    /// Prefers the page that the session remembers, unless the request itself is a `GET` of it: a redirect to it
    /// would not end. The pair is the method and the target of the request. Loads the session, if the setting
    /// `previous_url` is on.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(super) async fn or_remembered(
        self,
        context: &RequestContext,
        headers: &(impl Headers + ?Sized),
        (method, target): (&str, &str),
    ) -> Self {
        if !context.sessions().context().keeps_previous_url() {
            return self;
        }
        // A handler that needs the session gets the error of its load.
        match context.session(headers).await {
            Ok(session) if method != "GET" || !session.remembers(target) => {
                self.remembered_by(&session)
            }
            Ok(_) | Err(_) => self,
        }
    }

    /// Prefers the page that `session` remembers.
    pub(super) fn remembered_by(self, session: &Session) -> Self {
        if !session.sessions().context().keeps_previous_url() {
            return self;
        }
        match session.previous_url() {
            Ok(Some(page)) => Self::to_page(page),
            Ok(None) | Err(_) => self,
        }
    }
}
