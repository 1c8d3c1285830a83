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
    let packages = commands::packages(&["--all-features"])?;
    judge(&packages)?;
    println!("licenses of {} packages accepted", packages.len());
    Ok(())
}

/// Fails if a package has no accepted license, or there is no package.
fn judge(packages: &[Value]) -> Result<(), Failure> {
    if packages.is_empty() {
        return Err("there is no package with a license".to_owned());
    }
    let refused: BTreeSet<_> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_accepted))
        .map(|package| format!("{} ({})", package["name"], package["license"]))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(format!("licenses to look at: {}", Vec::from_iter(refused).join(", ")))
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
    use serde_json::json;

    use super::*;

    #[test]
    fn no_package_is_no_success() {
        assert!(judge(&[]).is_err());
        assert!(judge(&[json!({ "name": "a" })]).is_err());
        assert!(judge(&[json!({ "name": "a", "license": "MIT" })]).is_ok());
    }

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
