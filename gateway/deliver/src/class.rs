//! What an answer means for what was sent.

use core::time::Duration;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Taken.
    Done,
    /// Not taken now; the same again later.
    Transient {
        /// The server said how long to wait.
        after: Option<Duration>,
    },
    /// Somebody else was at it (409, 412) or the server failed inside (500): again a bounded number of times, then
    /// [`Class::Permanent`].
    Bounded,
    /// Who we are was not accepted: the whole destination waits.
    Unauthorized,
    /// It is set up wrong (403, 404 of the base, 405, 501): the whole destination waits, nothing is lost.
    Misconfigured,
    /// Too large as a whole.
    TooLarge,
    /// Something in it is refused for good.
    Permanent,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: network, name or TLS.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection ended before the answer did; whether it was applied is not known, and the same again is harmless.
    Cut,
}

/// Classifies an answer. The code of an issue says more than the status and overrides it.
pub fn classify<'a>(
    status: u16,
    issue_codes: impl IntoIterator<Item = &'a str>,
    after: Option<Duration>,
) -> Class {
    let by_status = match status {
        200..=299 => Class::Done,
        408 | 425 | 429 | 502..=504 => Class::Transient { after },
        409 | 412 | 500 => Class::Bounded,
        401 | 407 => Class::Unauthorized,
        403 | 404 | 405 | 501 => Class::Misconfigured,
        413 => Class::TooLarge,
        400 | 410 | 415 | 422 => Class::Permanent,
        // A redirect is not followed: what is sent goes where the configuration says.
        300..=399 => Class::Misconfigured,
        500..=599 => Class::Transient { after },
        _ => Class::Permanent,
    };
    if by_status == Class::Done {
        return by_status;
    }
    let by_issue = issue_codes.into_iter().find_map(|code| match code {
        "transient" | "lock-error" | "timeout" | "throttled" | "incomplete" => {
            Some(Class::Transient { after })
        }
        // A 500 with "exception" may be the content that breaks the server: not for ever.
        "exception" if status >= 500 => Some(Class::Bounded),
        "structure" | "required" | "value" | "invariant" | "business-rule" | "code-invalid" | "invalid"
            if !matches!(status, 401 | 403 | 409 | 412) =>
        {
            Some(Class::Permanent)
        }
        _ => None,
    });
    by_issue.unwrap_or(by_status)
}

impl From<Failure> for Class {
    fn from(_: Failure) -> Self {
        Self::Transient { after: None }
    }
}

impl Failure {
    /// Its code in listings.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_class() {
        let transient = Class::Transient { after: None };
        for (statuses, class) in [
            (&[200_u16, 201, 204][..], Class::Done),
            (&[408, 425, 429, 502, 503, 504, 599], transient),
            (&[409, 412, 500], Class::Bounded),
            (&[401], Class::Unauthorized),
            (&[301, 403, 404, 405, 501], Class::Misconfigured),
            (&[413], Class::TooLarge),
            (&[400, 410, 415, 422, 418], Class::Permanent),
        ] {
            for status in statuses {
                assert_eq!(classify(*status, [], None), class, "{status}");
            }
        }
    }

    #[test]
    fn the_issue_code_overrides_the_status() {
        let after = Some(Duration::from_secs(2));
        assert_eq!(classify(422, ["throttled"], after), Class::Transient { after });
        assert_eq!(classify(500, ["invariant"], None), Class::Permanent);
        assert_eq!(classify(403, ["value"], None), Class::Misconfigured);
        assert_eq!(classify(200, ["transient"], None), Class::Done);
    }
}
