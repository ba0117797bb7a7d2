//! Reads a file of prices: what a store charges, as somebody copied it from their provider. bkup brings none of its own.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::{CliError, reason};
use crate::diag::{Code, Diagnostic};
use crate::domain::Prices;

/// The largest file.
const LARGEST: u64 = 1 << 20;

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    currency: String,
    #[serde(default)]
    storage: BTreeMap<String, f64>,
    #[serde(default)]
    requests: BTreeMap<String, f64>,
}

/// The kinds of requests that have a price.
const REQUESTS: [&str; 4] = ["put", "get", "list", "delete"];

/// Reads it.
///
/// # Errors
/// Where it cannot be read or is no list of prices.
pub fn read(context: &Context, path: &Path) -> Result<Prices, CliError> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| CliError::Unreadable { path: name.clone(), why: reason(&error) };
    let file = std::fs::File::open(context.cwd.join(path)).map_err(unreadable)?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, LARGEST), &mut text).map_err(unreadable)?;
    parse(&text).map_err(|why| {
        let finding = Diagnostic::error(Code("BK967"), format!("{name} is no list of prices: {why}")).help(
            "write `currency: USD`, `storage: { standard: 0.023 }` (for a GiB and month, by storage class) and \
             `requests: { put: 0.005, get: 0.0004 }` (for a thousand)",
        );
        CliError::Failed { finding: Box::new(finding), exit: Exit::Failed }
    })
}

fn parse(text: &str) -> Result<Prices, String> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| first_line(&error.to_string()))?;
    if let Some(other) = file.requests.keys().find(|kind| !REQUESTS.contains(&kind.as_str())) {
        return Err(format!("requests are {}, and not {other:?}", REQUESTS.join(", ")));
    }
    let billionths = |prices: BTreeMap<String, f64>| {
        let one = |(key, price): (String, f64)| {
            if (0.0..=1e6).contains(&price) {
                // Not negative and below 1e15: the conversion is exact to the billionth.
                Ok((key, (price * 1e9).round() as u64))
            } else {
                Err(format!("{price} is no price"))
            }
        };
        prices.into_iter().map(one).collect::<Result<BTreeMap<String, u64>, String>>()
    };
    Ok(Prices { currency: file.currency, storage: billionths(file.storage)?, requests: billionths(file.requests)? })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn prices_are_read_to_the_billionth() {
        let prices =
            parse("currency: EUR\nstorage: { standard: 0.023, glacier_ir: 0.004 }\nrequests: { put: 0.005 }").unwrap();
        assert_eq!(prices.currency, "EUR");
        assert_eq!(prices.storage["standard"], 23_000_000);
        assert_eq!(prices.requests["put"], 5_000_000);
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in [
            "storage: {}",
            "currency: EUR\nstorage: { standard: -1 }",
            "currency: EUR\nrequests: { post: 1 }",
            "[]",
            "currency: EUR\nstorrage: {}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
