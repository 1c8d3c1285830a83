//! Routes for signed-in visitors only.

use std::{fmt, ops::Deref, time::Duration};

use crate::{
    adapter::{context::RequestContext, error::AdapterError},
    error::Error,
    form::wants_json,
    http::{
        fetch_metadata::{FetchMetadata, Method},
        headers::Headers,
        redirect::{Back, local_path},
    },
    record::{owner::Owner as Entry, sign_in::SignIn},
    session::{Session, current_user::CurrentUser, sessions::TokenTransport},
};

/// The owner of the request's session: the user who is signed in. As an argument of a handler, it refuses
/// requests without one.
///
/// A client that wants JSON gets status 401. A browser is redirected to the
/// [sign-in page](crate::SessionsBuilder::sign_in_page), and
/// [`Session::redirect_intended`](crate::Session::redirect_intended) leads back. Without a sign-in page, a
/// browser gets 401 as well. Take `Option<Owner>` where signing in is optional.
///
/// If the application has [`Users`](crate::Users), and the session has an
/// [owner stamp](crate::Session::set_owner_stamp), the stamp is checked.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::Owner;
///
/// async fn account(owner: Owner) -> String {
///     format!("signed in as {owner}")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(Box<str>);

impl Deref for Owner {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Signs the same owner in again, after another proof of their identity.
impl From<Owner> for SignIn {
    fn from(owner: Owner) -> Self {
        Self::of(owner)
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.0.into()
    }
}

/// A layer for routes that only signed-in visitors may use. Put it inside the session layer.
///
/// A request without an owner is refused as by the extractor [`Owner`].
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use std::time::Duration;
/// use cloakroom::RequireOwner;
///
/// let signed_in = RequireOwner::new().or_redirect("/sign-in");
/// let just_signed_in = signed_in.clone().within(Duration::from_secs(600));
/// let with_second_factor = signed_in.level(2);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "put it around routes as a layer"]
pub struct RequireOwner {
    page: Option<Box<str>>,
    within: Option<Duration>,
    level: u8,
}

impl RequireOwner {
    /// Requires that a user is signed in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the path of the sign-in page, to which browsers are redirected. Default:
    /// [`SessionsBuilder::sign_in_page`](crate::SessionsBuilder::sign_in_page).
    ///
    /// # Panics
    /// If `page` is not a path of this site, such as `/sign-in`. The setting `sign_in_page` is an error then.
    pub fn or_redirect(mut self, page: impl Into<String>) -> Self {
        let page = page.into();
        assert!(
            local_path(&page).is_some(),
            "RequireOwner::or_redirect: a path of this site is accepted, such as \"/sign-in\", and not {page:?}"
        );
        self.page = Some(page.into());
        self
    }

    /// Requires that the owner has proved their identity within this span
    /// ([`Session::authenticated_within`](crate::Session::authenticated_within)), before a sensitive
    /// operation (OWASP ASVS 5.0, 7.5.1).
    pub fn within(mut self, span: Duration) -> Self {
        self.within = Some(span);
        self
    }

    /// Requires at least this [level](crate::SignIn::level) of the sign-in.
    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// Checks a request. An adapter's layer and its extractor [`Owner`] call it.
    ///
    /// # Errors
    /// [`AdapterError::SignInRequired`], [`AdapterError::NotLoaded`], or an [`AdapterError::Operation`] as
    /// [`Session::authenticated_within`](crate::Session::authenticated_within).
    pub async fn check(
        &self,
        context: &RequestContext,
        request: RequestHead<'_, impl Headers + ?Sized>,
    ) -> Result<Owner, AdapterError> {
        let session = context.session(request.headers).await.map_err(AdapterError::NotLoaded)?;
        let owner = session.verified_owner().await?;
        match (self.missing(owner.as_ref(), &session)?, owner) {
            (None, Some(owner)) => Ok(Owner(owner.name)),
            (reason, _) => {
                Err(self.refuse(reason.unwrap_or(Reason::NotSignedIn), context, &request).into())
            }
        }
    }

    /// Returns the user of a request. The extractor [`CurrentUser`] of an adapter calls it.
    ///
    /// # Errors
    /// As [`check`](Self::check), and if the application has no [`Users`](crate::Users) with the type `T`.
    pub async fn user_of<T: Send + Sync + 'static>(
        context: &RequestContext,
        request: RequestHead<'_, impl Headers + ?Sized>,
    ) -> Result<CurrentUser<T>, AdapterError> {
        let session = context.session(request.headers).await.map_err(AdapterError::NotLoaded)?;
        let user = session.current_user().await?;
        user.ok_or_else(|| Self::new().refuse(Reason::NotSignedIn, context, &request).into())
    }

    fn refuse(
        &self,
        reason: Reason,
        context: &RequestContext,
        request: &RequestHead<'_, impl Headers + ?Sized>,
    ) -> SignInRequired {
        let page = self.page.as_deref().or_else(|| context.sessions().sign_in_page());
        let page = page.filter(|page| request.can_be_redirected_to(page)).map(ToOwned::to_owned);
        let intended = page.as_ref().and_then(|_| request.intended_url(context));
        let transport = context.sessions().token_transport();
        SignInRequired { reason, page, intended, transport }
    }

    /// Returns what the sign-in is missing, if it does not suffice.
    fn missing(&self, owner: Option<&Entry>, session: &Session) -> Result<Option<Reason>, Error> {
        let Some(owner) = owner else { return Ok(Some(Reason::NotSignedIn)) };
        if (self.within.is_some() || self.level > 0) && session.lacks_device() {
            return Ok(Some(Reason::DeviceMissing));
        }
        if let Some(within) = self.within
            && !session.authenticated_within(within)?
        {
            return Ok(Some(Reason::TooLongAgo { within }));
        }
        let is_weak = owner.level < self.level;
        Ok(is_weak.then_some(Reason::LevelTooLow { needed: self.level }))
    }
}

/// The head of a request that asks for a page of a signed-in visitor.
#[derive(Debug)]
pub struct RequestHead<'r, H: ?Sized> {
    /// The method in capital letters.
    pub method: &'r str,
    /// Path and query as the client asked for them, before a router has stripped a prefix.
    pub target: &'r str,
    /// The authority of the request's URI, which takes the place of `Host` in HTTP/2.
    pub authority: Option<&'r str>,
    /// The headers.
    pub headers: &'r H,
}

impl<H: Headers + ?Sized> RequestHead<'_, H> {
    /// Returns whether a browser that follows the redirect gets to a page, and not into a loop.
    fn can_be_redirected_to(&self, page: &str) -> bool {
        let path = |target: &str| target.split(['?', '#']).next().map(ToOwned::to_owned);
        !wants_json(self.headers) && path(self.target) != path(page)
    }

    /// Returns the page that the visitor wants to see after signing in. For another method than `GET`,
    /// that is the page that the form was on. Requests of scripts and prefetches want none.
    fn intended_url(&self, context: &RequestContext) -> Option<String> {
        let fetch = FetchMetadata::of(Method::of(self.method), self.headers);
        let is_page = fetch.navigation && !fetch.speculative;
        is_page.then(|| match self.method {
            "GET" => self.target.to_owned(),
            _ => Back::of(self.headers, self.authority, context.sessions().origins()).target("/"),
        })
    }
}

/// A request that needs a sign-in, or a better one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignInRequired {
    /// The reason.
    pub reason: Reason,
    /// The path of the sign-in page, if the response is a redirect.
    pub page: Option<String>,
    /// The page that the visitor wants to see after signing in. The session layer stores it as the
    /// [intended URL](crate::Session::set_intended_url) when the redirect leaves.
    pub intended: Option<String>,
    transport: TokenTransport,
}

/// The reason why a sign-in does not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No user is signed in.
    NotSignedIn,
    /// The owner has proved their identity too long ago.
    TooLongAgo {
        /// How recent the proof has to be.
        within: Duration,
    },
    /// The sign-in has a lower level.
    LevelTooLow {
        /// The level that is needed.
        needed: u8,
    },
    /// The session is bound to a device, and the request does not prove that it comes from there. By the
    /// policies [`Sensitive`](crate::DeviceBinding::Sensitive) and
    /// [`Require`](crate::DeviceBinding::Require).
    DeviceMissing,
}

impl SignInRequired {
    /// Returns the `WWW-Authenticate` of a client that sends its token by itself. There is no scheme for
    /// sessions in cookies.
    pub(super) fn challenge(&self) -> Option<String> {
        const STRONGER: &str = "Bearer error=\"insufficient_user_authentication\"";
        (self.transport == TokenTransport::Bearer).then(|| match self.reason {
            Reason::NotSignedIn => "Bearer".to_owned(),
            Reason::TooLongAgo { within } => format!("{STRONGER}, max_age={}", within.as_secs()),
            Reason::LevelTooLow { .. } | Reason::DeviceMissing => STRONGER.to_owned(),
        })
    }

    pub(super) fn code(&self) -> &'static str {
        match self.reason {
            Reason::NotSignedIn => "not_signed_in",
            Reason::TooLongAgo { .. } => "signed_in_too_long_ago",
            Reason::LevelTooLow { .. } => "level_too_low",
            Reason::DeviceMissing => "device_missing",
        }
    }
}

impl fmt::Display for SignInRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::NotSignedIn => {
                f.write_str("this address is for signed-in users; sign in first")
            }
            Reason::TooLongAgo { within } => {
                let within = humantime::format_duration(within);
                write!(f, "this needs a sign-in within the last {within}; sign in again")
            }
            Reason::DeviceMissing => f.write_str(
                "this needs the device on which the session began, and the request does not prove that it \
                 comes from there; sign in again",
            ),
            Reason::LevelTooLow { .. } => f.write_str(
                "this needs a stronger sign-in, such as one with a second factor; sign in again",
            ),
        }
    }
}

impl From<SignInRequired> for AdapterError {
    fn from(required: SignInRequired) -> Self {
        Self::SignInRequired(required)
    }
}
