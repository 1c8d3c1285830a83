//! `cloakroom schema`: the statements that make the tables of a database.

use cloakroom::settings::DriverKind;
use serde_json::json;

use crate::{
    arguments::{CommonOptions, Schema, SqlDriver},
    database,
    failure::Failure,
    output::Output,
    setup,
};

pub(crate) fn run(options: &Schema, common: &CommonOptions, output: Output) -> Result<(), Failure> {
    let settings = setup::settings(common)?;
    let driver = match (options.driver, settings.driver) {
        (Some(driver), _) => driver,
        (None, DriverKind::Postgres) => SqlDriver::Postgres,
        (None, DriverKind::MySql) => SqlDriver::MySql,
        (None, DriverKind::Sqlite) => SqlDriver::Sqlite,
        (None, other) => {
            return Err(Failure::unusable(format!(
                "the driver `{}` has no tables; name a database with --driver",
                other.name()
            )));
        }
    };
    let statements = database::schema(driver, &settings.database)?;
    output.result(&json!({ "statements": statements }), statements.join(";\n\n") + ";");
    Ok(())
}
