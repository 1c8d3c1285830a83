//! Opens the file store from its settings.

use cloakroom_core::WithCauses;
use cloakroom_file::FileStore;

use crate::{Durability, FileTable, SettingsError};

impl FileTable {
    /// Opens the store that these settings describe.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    ///
    /// ```no_run
    /// use cloakroom_settings::Settings;
    ///
    /// let store = Settings::load(None)?.file.store()?;
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn store(&self) -> Result<FileStore, SettingsError> {
        let durability = match self.durability {
            Durability::Full => cloakroom_file::Durability::Full,
            Durability::Fast => cloakroom_file::Durability::Fast,
        };
        let opened = FileStore::builder(&self.location).durability(durability).open();
        opened.map_err(|error| {
            SettingsError::settings(format!("`file.location`: {}", WithCauses(&error)))
        })
    }
}
