//! What a doubt about who is who means, and what to do about it.

use buffer::Conflict;
use model::Doubt;

/// What to tell about a conflict.
pub(super) struct Advice {
    /// What is in doubt.
    pub(super) about: &'static str,
    /// What somebody may type, the most likely first.
    pub(super) next: Vec<String>,
}

/// The advice for a conflict.
pub(super) fn of(conflict: &Conflict) -> Advice {
    let (id, person) = (conflict.id, conflict.person);
    let command = |words: &str| format!("hospital-gateway persons {words} --reason \"...\"");
    let (accept, dismiss) =
        (command(&format!("resolve {id} --accept")), command(&format!("resolve {id} --dismiss")));
    let other = conflict.other.filter(|other| *other != person);
    let two = |first: &str, second: &str| {
        let Some(other) = other else { return vec![dismiss.clone()] };
        let merge = command(&format!("merge {other} {person}"));
        let all = [
            ("show", command(&format!("show {person}"))),
            ("merge", merge),
            ("link", command(&format!("link {other} {person}"))),
            ("reject", command(&format!("reject {id}"))),
        ];
        let order = |word: &str| usize::from(word != first) + usize::from(word != first && word != second);
        let mut all = Vec::from(all);
        all.sort_by_key(|(word, _)| order(word));
        all.into_iter().map(|(_, command)| command).collect()
    };
    let (about, next) = match Doubt::from_code(&conflict.doubt) {
        Some(Doubt::Malformed) => (
            "the number is no resident ID number: its form, the date in it or its check digit is wrong. Have it corrected where it was typed in",
            vec![dismiss],
        ),
        Some(Doubt::BirthDate) => (
            "the birth date in the number is not that of the person: often a child registered on a parent's number. Have it corrected where it was typed in",
            vec![dismiss],
        ),
        Some(Doubt::Sex) => (
            "the sex in the number is not that of the person. Have the one that is wrong corrected at its source",
            vec![dismiss],
        ),
        Some(Doubt::Name) => (
            "the number is held for somebody of another name: a borrowed card, or a change of name. Look at both",
            two("show", "reject"),
        ),
        Some(Doubt::Holder) => (
            "the number is held for somebody of another birth date or sex. Look at both",
            two("show", "reject"),
        ),
        Some(Doubt::NotAuthoritative) => (
            "the number came first from a feed without authority over identity. It links once an identity feed says it too, or somebody accepts it",
            vec![accept, dismiss],
        ),
        Some(Doubt::OtherNumber) => (
            "the person holds another verified number. One of the two is wrong, or two persons share a record number",
            vec![command(&format!("show {person}")), dismiss],
        ),
        Some(Doubt::TwoPersons) => (
            "one message names numbers of two persons of the index. They are one, or the message mixes two",
            two("show", "merge"),
        ),
        Some(Doubt::Newborn) => (
            "a small child came with a number of somebody so much older that it is probably the mother's. The child has a record of its own; have it registered under a number of its own",
            vec![command(&format!("show {person}")), dismiss],
        ),
        Some(Doubt::UnknownPatient) => (
            "the number came with a name that says that nobody knows the person. It counts once a name comes with it",
            vec![dismiss],
        ),
        Some(Doubt::PossibleDuplicate) => (
            "two persons have the same name, birth date, sex and telephone number. They are never merged by guess",
            two("show", "merge"),
        ),
        None => ("a doubt that this version does not know", vec![dismiss]),
    };
    Advice { about, next }
}

#[cfg(test)]
mod tests {
    use feed::CaptureId;
    use model::PersonId;

    use super::*;

    #[test]
    fn every_doubt_says_what_to_type() {
        for doubt in Doubt::ALL {
            let conflict = Conflict {
                id: 17,
                person: PersonId::from_bytes([1; 16]),
                doubt: doubt.code().to_owned(),
                number: Vec::new(),
                other: Some(PersonId::from_bytes([2; 16])),
                capture: CaptureId::new(1, 1),
                since: jiff::Timestamp::UNIX_EPOCH,
            };
            let advice = of(&conflict);
            assert!(!advice.next.is_empty() && advice.about.len() > 20, "{doubt:?}");
            assert!(advice.next.iter().all(|next| next.starts_with("hospital-gateway persons ")));
            assert_eq!(advice.next.iter().any(|next| next.contains(" merge ")), doubt.is_of_two());
        }
    }
}
