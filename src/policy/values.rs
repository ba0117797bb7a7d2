//! How the values of the language are read, and how the JSON Schema describes them. Pure.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::domain::{
    Address, Bytes, CivilTime, Compression, EnvText, Instant, Name, Percent, Period, StoreUrl, ZoneName,
};

use super::codes;
use super::decode::{Context, Decode, Told, has_variable};
use super::text::{Kind, Node, Style, shown, similar};

/// A text that says something: not empty, and no number, true or false without quotes.
#[derive(Debug, Clone)]
pub(crate) struct Text(pub String);

impl Decode for Text {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.text(node, "a text")?;
        if text.trim().is_empty() {
            cx.bad_value(node.place, format!("`{}` is empty", cx.key()), "give it a value, or remove the key");
            return None;
        }
        Some(Self(text.to_owned()))
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// Returns a list of texts; an absent one is empty.
pub(super) fn texts(list: Option<&Vec<Text>>) -> Vec<String> {
    list.into_iter().flatten().map(|text| text.0.clone()).collect()
}

impl Decode for Name {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "a name")?.to_owned();
        name(&text, node.place, cx)
    }
}

/// Reads a name, or says what names look like and which one is near.
pub(crate) fn name(text: &str, place: super::text::Place, cx: &mut Context<'_>) -> Option<Name> {
    match text.parse::<Name>() {
        Ok(name) => Some(name),
        Err(_) => {
            // Nothing is guessed where a guess would have to leave letters out.
            let guessable = text.is_ascii() && text.starts_with(|c: char| c.is_ascii_alphabetic());
            let near = text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let near = if guessable { near[..near.len().min(63)].trim_end_matches('-') } else { "" };
            let help = match near {
                "" => "begin with a letter a-z, go on with a-z, 0-9 and `-`, at most 63 characters".to_owned(),
                near => format!("write `{near}`: a letter a-z, then a-z, 0-9 and `-`, at most 63 characters"),
            };
            cx.error(codes::BAD_NAME, place, format!("`{}` is not a name", shown(text)), "this name", help);
            None
        }
    }
}

/// Reads a value that is written as a scalar and parsed by its own rule.
fn parsed<T>(
    node: &Node,
    cx: &mut Context<'_>,
    what: &str,
    help: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = cx.written(node, what)?.to_owned();
    let value = parse(&text);
    if value.is_none() {
        not(node, &text, cx, what, help);
    }
    value
}

/// Adds the finding that a scalar is not what is wanted.
fn not<'c, 'a>(node: &Node, text: &str, cx: &'c mut Context<'a>, what: &str, help: &str) -> Told<'c, 'a> {
    let message = format!("`{}` wants {what}, and `{}` is none", cx.key(), shown(text));
    cx.bad_value(node.place, message, help)
}

impl Decode for Period {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "a duration")?.to_owned();
        let parsed = text.parse::<Self>();
        if parsed.is_err() {
            let key = cx.key().to_owned();
            let number = text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty();
            let month = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len() < text.len()
                && ["M", "mo", "month", "months"].iter().any(|unit| text.ends_with(unit));
            let (message, help) = if number {
                let message = format!("`{key}` is a duration, and {} has no unit", shown(&text));
                let text = shown(&text);
                (message, format!("write {text}s, {text}m, {text}h or {text}d"))
            } else if month {
                (format!("`{key}` is a duration, and a month has no fixed length"), "write days, as in 30d".to_owned())
            } else {
                let help = "write 90s, 15m, 6h, 30d, 2w or 1y, or words such as `30 minutes`".to_owned();
                (format!("`{key}` wants a duration, and `{}` is none", shown(&text)), help)
            };
            cx.bad_value(node.place, message, help);
        }
        parsed.ok()
    }
}

impl Decode for Percent {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        parsed(node, cx, "a percentage", "write a share from 0% to 100%, as in 10%", |text| text.parse().ok())
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percentage".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(100(\\.0{1,2})?|[0-9]{1,2}(\\.[0-9]{1,2})?)\\s*%$", "examples": ["10%", "2.5%"] })
    }
}

impl Decode for Bytes {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let help = "write 512MiB, 2TiB or 500GB: a number with its unit";
        parsed(node, cx, "a size", help, |text| text.parse().ok())
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A number of bytes with its unit: KiB to PiB count by 1024, kB to PB by 1000.",
            "pattern": "^[0-9]{1,18}(\\.[0-9]{1,6})?\\s*(B|[KMGTP]iB|[kKMGTP]B)$",
            "examples": ["512MiB", "2TiB"]
        })
    }
}

impl Decode for Address {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let help = "write a section's singular word and a name, as in schedule.nightly or recovery-plan.full-system";
        parsed(node, cx, "an address", help, |text| text.parse().ok())
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The address of a thing: the singular word of its section, a dot, and its name.",
            "pattern": "^(store|database|class|retention|schedule|recovery-plan|channel)\\.[a-z][a-z0-9-]{0,62}$",
            "examples": ["schedule.nightly", "store.primary"]
        })
    }
}

impl Decode for ZoneName {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.text(node, "a time zone")?.to_owned();
        let zone = Self::try_from(text.clone()).ok();
        if zone.is_none() {
            let names: Vec<String> =
                jiff::tz::TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
            let guess = cx.guesses().then(|| similar(&text, names.iter().map(String::as_str))).flatten();
            let help = match guess {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => {
                    "write an IANA name such as Asia/Seoul or UTC; abbreviations such as KST name no zone".to_owned()
                }
            };
            cx.bad_value(node.place, format!("`{}` is not a time zone", shown(&text)), help);
        }
        zone
    }
}

impl JsonSchema for ZoneName {
    fn schema_name() -> Cow<'static, str> {
        "TimeZone".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "An IANA time zone.", "examples": ["UTC", "Asia/Seoul", "Europe/Berlin"] })
    }
}

impl Decode for CivilTime {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let help = "write it with quotes and two digits each, as in \"02:00\"";
        let what = "a time of day";
        let text = cx.written(node, what)?.to_owned();
        let time = Self::try_from(text.clone()).ok();
        if time.is_none() {
            let padded = format!("0{text}");
            let told = not(node, &text, cx, what, help);
            if Self::try_from(padded.clone()).is_ok() {
                told.fix(format!("write \"{padded}\""), &[(node.place, &format!("\"{padded}\""))]);
            }
        }
        time
    }
}

impl JsonSchema for CivilTime {
    fn schema_name() -> Cow<'static, str> {
        "TimeOfDay".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A time of day to the minute.", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9](:00)?$", "examples": ["02:00"] })
    }
}

impl Decode for Compression {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let help = "write none, lz4, or zstd:1 to zstd:19";
        parsed(node, cx, "a compression", help, |text| Self::try_from(text.to_owned()).ok())
    }
}

impl JsonSchema for Compression {
    fn schema_name() -> Cow<'static, str> {
        "Compression".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(none|lz4|zstd(:([1-9]|1[0-9]))?)$", "examples": ["zstd:3", "lz4", "none"] })
    }
}

impl Decode for StoreUrl {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.text(node, "a store's URL")?.to_owned();
        let url = Self::try_from(text.clone()).ok();
        if url.is_none() {
            let help = if text.starts_with("file://") || text.starts_with('/') {
                "write file:///absolute/dir, with three slashes and without `..`"
            } else if text.starts_with("s3://") {
                "write s3://bucket/prefix: a bucket has 3 to 63 of a-z, 0-9, `-` and `.`"
            } else {
                "write s3://bucket/prefix or file:///absolute/dir"
            };
            // The text is not repeated: a URL of another scheme can hold a password.
            cx.bad_value(node.place, format!("`{}` is no URL of a store", cx.key()), help);
        }
        url
    }
}

impl JsonSchema for StoreUrl {
    fn schema_name() -> Cow<'static, str> {
        "StoreUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(s3://[a-z0-9.-]{3,63}(/.*)?|file:///.+)$",
            "examples": ["s3://bucket/prefix", "file:///srv/backups"]
        })
    }
}

impl Decode for EnvText {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let (text, style) = match &node.kind {
            Kind::Scalar { text, style } if has_variable(text) => (text, *style),
            _ => return Text::decode(node, cx).map(|text| Self::Literal(text.0)),
        };
        let variable = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let well_formed = |name: &&str| {
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        let Some(variable) = variable.filter(well_formed) else {
            let message =
                format!("`{}` mixes a variable with other text, or its variable is not well formed", cx.key());
            let help = "put the whole value into one variable and write \"${NAME}\"; a name has letters, digits and _";
            cx.error(codes::PARTIAL_VARIABLE, node.place, message, "not just one variable", help);
            return None;
        };
        if style == Style::Plain {
            let seen = shown(text);
            let message = format!("`{seen}` is not in quotes");
            let help = format!("write \"{seen}\": inside {{ }} YAML would read the braces as a mapping");
            let quoted = format!("\"{text}\"");
            cx.error(codes::QUOTE_VARIABLE, node.place, message, "quotes are missing", help)
                .fix("quote the variable", &[(node.place, &quoted)]);
            return None;
        }
        Some(Self::Variable(variable.to_owned()))
    }
}

impl JsonSchema for EnvText {
    fn schema_name() -> Cow<'static, str> {
        "EnvText".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "A text, or the name of one environment variable that holds it, as \"${NAME}\".",
            "examples": ["${APP_URL}"]
        })
    }
}

/// A date or an instant, as written and as the instant it begins.
#[derive(Debug, Clone)]
pub(crate) struct DateOrInstant {
    /// As written.
    pub written: String,
    /// A date: its begin in UTC.
    pub instant: Instant,
}

impl Decode for DateOrInstant {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let help = "write 2026-01-15 or 2026-01-15T09:30:00Z";
        parsed(node, cx, "a date or an instant", help, |text| {
            instant_of(text).map(|instant| Self { written: text.to_owned(), instant })
        })
    }
}

/// Reads an instant, or a date as its begin in UTC.
pub(super) fn instant_of(text: &str) -> Option<Instant> {
    let date = || {
        let date: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == "2026-01-15".len())?;
        date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|begin| begin.timestamp())
    };
    text.parse::<Instant>().ok().or_else(date)
}

impl JsonSchema for DateOrInstant {
    fn schema_name() -> Cow<'static, str> {
        "DateOrInstant".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A date, which means its begin in UTC, or an instant with its offset.",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$",
            "examples": ["2026-01-15", "2026-01-15T09:30:00Z"]
        })
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged, inline)]
pub(crate) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// Returns them as a list.
    pub fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl<T: Decode> Decode for OneOrMany<T> {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        if matches!(node.kind, Kind::List(_)) {
            Vec::decode(node, cx).map(Self::Many)
        } else {
            T::decode(node, cx).map(Self::One)
        }
    }
}
