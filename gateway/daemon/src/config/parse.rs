//! Reading single values: durations, sizes, codes.

use std::time::Duration;

use buffer::MaxSize;
use jiff::SignedDuration;

/// Reads `500ms`, `30s`, `15m`, `12h`, `7d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is a number with ms, s, m, h or d: 500ms, 30s, 15m, 7d".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let millis = number.checked_mul(millis).filter(|millis| *millis <= 86_400_000 * 36_500);
    millis.map(Duration::from_millis).ok_or_else(|| "longer than a hundred years".to_owned())
}

/// A duration, or `off`.
pub(super) fn maybe_duration(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" { Ok(None) } else { duration(text).map(Some) }
}

/// A duration to keep something for.
pub(super) fn span(text: &str) -> Result<SignedDuration, String> {
    duration(text).and_then(|d| SignedDuration::try_from(d).map_err(|_| "too long".to_owned()))
}

/// Reads `16MiB`, `40GiB`, `512KiB`, `100B`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a number with KiB, MiB, GiB or B: 16MiB".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(|| "larger than any disk".to_owned())
}

/// A size, or a share of the partition: `60%`.
pub(super) fn max_size(text: &str) -> Result<MaxSize, String> {
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.parse().ok().filter(|percent| (1..=95).contains(percent));
            percent.map(MaxSize::Percent).ok_or_else(|| "a share of the partition is 1% to 95%".to_owned())
        }
        None => size(text).map(MaxSize::Bytes),
    }
}

/// The unified social credit code (GB 32100-2015): 18 characters, the last a check character (MOD 31-3).
pub(super) fn organization(text: &str) -> Result<String, String> {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let value = |b: u8| ALPHABET.iter().position(|c| *c == b);
    let values: Option<Vec<usize>> = text.bytes().map(value).collect();
    let values = values.filter(|values| values.len() == 18).ok_or_else(|| {
        "the unified social credit code has 18 characters of 0-9 and A-Z without I, O, S, V and Z (GB 32100)".to_owned()
    })?;
    let mut weight = 1;
    let mut sum = 0;
    for value in &values[..17] {
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    if (31 - sum % 31) % 31 != values[17] {
        return Err("the check character of the unified social credit code is wrong (GB 32100)".to_owned());
    }
    Ok(text.to_owned())
}

/// A division code (GB/T 2260): six digits.
pub(super) fn region(text: &str) -> Result<String, String> {
    let ok = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit());
    if ok { Ok(text.to_owned()) } else { Err("a division code has six digits (GB/T 2260)".to_owned()) }
}

/// A device name: it becomes an MQTT topic level and a certificate's name.
pub(super) fn device(text: &str) -> Result<String, String> {
    let ok = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"/+#\"".contains(&b));
    if ok {
        Ok(text.to_owned())
    } else {
        Err("a device name has 1 to 64 visible ASCII characters without / + # \"".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_with_their_units_only() {
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(maybe_duration("off"), Ok(None));
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!(max_size("60%"), Ok(MaxSize::Percent(60)));
        for wrong in ["", "5", "5 m", "m", "-1s", "1y", "99999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(size("16MB").is_err() && max_size("0%").is_err() && max_size("100%").is_err());
    }

    #[test]
    fn the_check_character_of_the_organization_is_verified() {
        // Published examples of GB 32100 codes.
        for code in ["91350100M000100Y43", "12330100470000000A"] {
            assert!(organization(code).is_ok(), "{code}");
        }
        assert!(organization("91350100M000100Y44").is_err());
        assert!(organization("91350100M000100Y4").is_err());
        assert!(organization("91350100I000100Y43").is_err());
    }
}
