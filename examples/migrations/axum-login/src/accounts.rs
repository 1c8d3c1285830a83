//! The users of both applications.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A user.
#[derive(Clone)]
pub struct Account {
    pub(crate) name: String,
    pub(crate) full_name: String,
    pub(crate) password: String,
}

/// The users, in place of a table in a database.
#[derive(Clone, Debug, Default)]
pub struct Accounts(Arc<Mutex<HashMap<String, Account>>>);

/// The form of the sign-in page.
#[derive(serde::Deserialize)]
pub struct Credentials {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl Accounts {
    /// Adds a user, or replaces the one of the same name.
    pub fn put(&self, name: &str, full_name: &str, password: &str) {
        let [name, full_name, password] = [name, full_name, password].map(ToOwned::to_owned);
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(name.clone(), Account { name, full_name, password });
    }

    /// Returns the user of this name.
    pub fn find(&self, name: &str) -> Option<Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Returns the user if the password is right.
    ///
    /// The passwords are stored and compared in clear, to keep the example short. The example
    /// `passwords` of cloakroom has hashes.
    pub(crate) fn check(&self, form: &Credentials) -> Option<Account> {
        self.find(&form.name).filter(|account| account.password == form.password)
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}
