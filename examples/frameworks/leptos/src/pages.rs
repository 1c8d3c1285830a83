//! The pages.
#![expect(unreachable_pub, reason = "the macro repeats a component as a public function")]

use leptos::prelude::*;
use leptos_router::{
    SsrMode,
    components::{Route, Router, Routes},
    path,
};

use crate::functions::{Contents, SaveNote, SignIn, SignOut, account, overview};

/// Returns the document around the pages.
pub(crate) fn shell() -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <title>"A note"</title>
            </head>
            <body>
                <Pages/>
            </body>
        </html>
    }
}

#[component]
pub(crate) fn Pages() -> impl IntoView {
    view! {
        <Router>
            <Routes fallback=|| "There is no such page.">
                <Route path=path!("/") view=Home/>
                <Route path=path!("/account") view=Account ssr=SsrMode::Async/>
            </Routes>
        </Router>
    }
}

/// Shows the note. The page is streamed: the result of `overview` follows after the head of the response.
#[component]
fn Home() -> impl IntoView {
    let shown = Resource::new(|| (), |()| overview());
    let (save_note, sign_in) = (ServerAction::<SaveNote>::new(), ServerAction::<SignIn>::new());
    view! {
        <Suspense fallback=|| view! { <p>"Loading"</p> }>
            {move || Suspend::new(async move {
                match shown.await {
                    Ok(shown) => view! { <Shown shown/> }.into_any(),
                    Err(failure) => view! { <p>{failure.to_string()}</p> }.into_any(),
                }
            })}
        </Suspense>
        <ActionForm action=save_note>
            <input name="text"/>
            <button>"Save"</button>
        </ActionForm>
        <ActionForm action=sign_in>
            <input name="user"/>
            <input name="password" type="password"/>
            <button>"Sign in"</button>
        </ActionForm>
    }
}

#[component]
fn Shown(shown: Contents) -> impl IntoView {
    let Contents { user, note, notice } = shown;
    view! {
        <p class="notice">{notice}</p>
        <p class="note">{note}</p>
        <p class="user">{user.unwrap_or_else(|| "guest".to_owned())}</p>
    }
}

/// Shows who is signed in. Leptos renders the page before it sends the head of the response, so that the
/// page can redirect other visitors.
#[component]
fn Account() -> impl IntoView {
    let user = Resource::new_blocking(|| (), |()| account());
    let sign_out = ServerAction::<SignOut>::new();
    view! {
        <Suspense>
            {move || Suspend::new(async move {
                match user.await {
                    Ok(user) => view! { <p class="user">{user}</p> }.into_any(),
                    Err(failure) => view! { <p>{failure.to_string()}</p> }.into_any(),
                }
            })}
        </Suspense>
        <ActionForm action=sign_out>
            <button>"Sign out"</button>
        </ActionForm>
    }
}
