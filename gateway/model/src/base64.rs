//! Base64 (RFC 4648, section 4).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const NONE: u8 = 0xff;
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut n = 0;
    while n < 64 {
        values[ALPHABET[n] as usize] = n as u8;
        n += 1;
    }
    values
};

/// `bytes` in base64, without line breaks.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    let digit = |bits: u32| char::from(ALPHABET[(bits & 63) as usize]);
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        out.push(digit(bits >> 18));
        out.push(digit(bits >> 12));
        out.push(if chunk.len() > 1 { digit(bits >> 6) } else { '=' });
        out.push(if chunk.len() > 2 { digit(bits) } else { '=' });
    }
    out
}

/// The bytes that `text` stands for; line breaks and blanks in it are skipped. None where it is cut off, has no or a wrong
/// end, or holds anything else: what is broken is not repaired.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut digits, mut padding) = (0_u32, 0_u32, 0_u32);
    for byte in text.bytes() {
        match (byte, VALUES[usize::from(byte)]) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => {}
            (b'=', _) if digits >= 2 && digits + padding < 4 => padding += 1,
            (_, NONE) => return None,
            _ if padding > 0 => return None,
            (_, value) => {
                bits = bits << 6 | u32::from(value);
                digits += 1;
                if digits == 4 {
                    out.extend_from_slice(&bits.to_be_bytes()[1..]);
                    (bits, digits) = (0, 0);
                }
            }
        }
    }
    match (digits, padding) {
        (0, 0) => {}
        // Bits behind the last byte are nothing's.
        (2, 2) if bits & 0xf == 0 => out.push((bits >> 4) as u8),
        (3, 1) if bits & 0x3 == 0 => out.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vectors_of_the_standard() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(decode("Zm9v\r\nYm Fy").as_deref(), Some(&b"foobar"[..]));
    }

    #[test]
    fn what_is_broken_is_not_repaired() {
        for broken in
            ["Z", "Zg", "Zg=", "Zg===", "=", "Zg==Zg==", "Zh==", "Zm9=", "Zm9v!", "Zm\u{4e00}v", "Z=g="]
        {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_decoded_to_itself_or_not_at_all(text in "[A-Za-z0-9+/=]{0,12}|.{0,12}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text.split_ascii_whitespace().collect::<String>());
            }
        }
    }
}
