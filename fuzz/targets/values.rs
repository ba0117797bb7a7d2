//! Texts to values: durations, percentages, times of day, zones, compressions, URLs, names. Nothing panics or
//! overflows, and what is read is written so that it reads as the same.
#![no_main]

use bkup_fuzz::domain::{
    Bytes, CivilTime, Compression, EnvText, Instant, Name, Percent, Period, StoreUrl, ZoneName,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    same(text.parse::<Period>().ok(), |text| text.parse().ok());
    same(text.parse::<Percent>().ok(), |text| text.parse().ok());
    same(text.parse::<Name>().ok(), |text| text.parse().ok());
    same(CivilTime::try_from(text.to_owned()).ok(), |text| CivilTime::try_from(text).ok());
    same(ZoneName::try_from(text.to_owned()).ok(), |text| ZoneName::try_from(text).ok());
    same(Compression::try_from(text.to_owned()).ok(), |text| Compression::try_from(text).ok());
    same(StoreUrl::try_from(text.to_owned()).ok(), |text| StoreUrl::try_from(text).ok());

    if let Ok(period) = text.parse::<Period>() {
        assert!(period.as_seconds() >= 0);
        for instant in [Instant::MIN, Instant::UNIX_EPOCH, Instant::MAX] {
            assert!(period.after(instant) >= instant && period.before(instant) <= instant);
        }
    }
    if let Ok(percent) = text.parse::<Percent>() {
        assert!(!percent.is_exceeded_by(0, u64::MAX));
        let _ = percent.is_exceeded_by(u64::MAX, u64::MAX);
    }
    let number = text.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(257).wrapping_add(byte.into()));
    assert!(Bytes(number).to_string().len() <= "1023.99 EiB".len());
    // A password never survives being shown; what comes after the host is none.
    if text.contains("heim") {
        return;
    }
    let shown = EnvText::Literal(format!("postgres://u:geh{}heim@h/{text}", "x".repeat(text.len() % 3))).shown();
    assert!(!shown.contains("heim@"), "{shown}");
});

/// Asserts that a value is written as a text that reads as the same value.
fn same<T: Clone + PartialEq + std::fmt::Debug>(value: Option<T>, read: impl Fn(String) -> Option<T>)
where
    String: From<T>,
{
    if let Some(value) = value {
        let written = String::from(value.clone());
        assert_eq!(read(written.clone()), Some(value), "{written:?}");
    }
}
