//! Codes and numbers.

use model::{Coded, Number};

use super::segment::{components, escaped};

/// A coded element: the first coding, an alternate one, and the text of the whole (CWE.9).
pub(super) fn coded(coded: &Coded) -> String {
    let mut parts = vec![String::new(); 9];
    for (n, coding) in coded.codings.iter().take(2).enumerate() {
        parts[n * 3] = escaped(&coding.code);
        parts[n * 3 + 1] = coding.display.as_deref().map(escaped).unwrap_or_default();
        parts[n * 3 + 2] = coding.system.as_deref().map(escaped).unwrap_or_default();
    }
    match &coded.text {
        // Words alone stand where every receiver reads them.
        Some(text) if coded.codings.is_empty() => parts[1] = escaped(text),
        Some(text) => parts[8] = escaped(text),
        None => {}
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    components(&parts)
}

/// A business number (EI): its value, and its space as the authority.
pub(super) fn number(number: &Number) -> String {
    components(&[&escaped(&number.value), &escaped(&number.space)])
}
