//! Every dependency's license, against the list of those that go with ours.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Failure, commands};

const ACCEPTED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Checks the licenses of everything in the lock file.
pub(crate) fn check() -> Result<(), Failure> {
    let metadata = commands::output(
        "cargo",
        &["metadata", "--format-version", "1", "--all-features", "--locked"],
    )?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let refused: BTreeSet<_> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_accepted))
        .map(|package| format!("{} ({})", package["name"], package["license"]))
        .collect();
    if !refused.is_empty() {
        return Err(format!("licenses to look at: {}", Vec::from_iter(refused).join(", ")));
    }
    println!("licenses of {} packages accepted", packages.len());
    Ok(())
}

/// Whether an SPDX expression can be met with accepted licenses. Parentheses are only ever around
/// alternatives; without them `AND` binds closer than `OR`.
fn is_accepted(expression: &str) -> bool {
    let accepted = |license: &str| ACCEPTED.contains(&license.trim());
    let expression = expression.replace('/', " OR ");
    if expression.contains('(') {
        let flat = expression.replace(['(', ')'], " ");
        flat.split(" AND ").all(|part| part.split(" OR ").any(accepted))
    } else {
        expression.split(" OR ").any(|part| part.split(" AND ").all(accepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_accepted_where_one_alternative_is() {
        for good in
            ["MIT", "MIT OR GPL-3.0", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"]
        {
            assert!(is_accepted(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", ""] {
            assert!(!is_accepted(bad), "{bad}");
        }
    }
}
