//! What S3 servers say when they refuse, turned into errors a person can act on. Pure.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::StoreError;

/// What was asked, for the words of the error.
pub(super) struct Asked<'a> {
    pub(super) place: &'a str,
    pub(super) bucket: &'a str,
    pub(super) action: &'static str,
    pub(super) key: &'a str,
}

/// The answer to a condition, which is no failure.
pub(super) enum Answer {
    /// The key is taken.
    Exists,
    /// It failed.
    Failed(StoreError),
}

impl Asked<'_> {
    fn doing(&self) -> String {
        if self.key.is_empty() { self.action.to_owned() } else { format!("{} {}", self.action, self.key) }
    }

    /// Reads a failure where a taken key is none.
    pub(super) fn answer<E>(&self, error: SdkError<E, HttpResponse>) -> Answer
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        match (error.as_service_error().and_then(ProvideErrorMetadata::code), status) {
            (Some("PreconditionFailed"), _) | (_, Some(412)) => Answer::Exists,
            _ => Answer::Failed(self.failed(error)),
        }
    }

    /// Reads a failure.
    pub(super) fn failed<E>(&self, error: SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let place = self.place.to_owned();
        match &error {
            SdkError::ServiceError(service) => {
                let (code, status) = (service.err().code().unwrap_or(""), service.raw().status().as_u16());
                let words = service.err().message().unwrap_or("").trim();
                let detail = match (code, words) {
                    ("", "") => format!("HTTP status {status}: {}", innermost(&error)),
                    (code, "") => format!("{code} (HTTP status {status})"),
                    ("", words) => format!("{words} (HTTP status {status})"),
                    (code, words) => format!("{code}: {words}"),
                };
                self.by_code(code, status, detail)
            }
            SdkError::TimeoutError(_) => {
                StoreError::Busy { place, action: self.doing(), detail: "no answer in time".to_owned() }
            }
            SdkError::DispatchFailure(failure) => {
                let detail = innermost(&error);
                let connecting = failure.as_connector_error().is_some_and(|e| e.is_io() || e.is_timeout());
                if is_about_credentials(&error) {
                    StoreError::NoCredentials { place, detail }
                } else if connecting || failure.is_other() || failure.is_io() || failure.is_timeout() {
                    StoreError::Unreachable { place, detail }
                } else {
                    StoreError::Refused { place, action: self.doing(), detail }
                }
            }
            SdkError::ResponseError(_) => StoreError::Busy { place, action: self.doing(), detail: innermost(&error) },
            _ if is_about_credentials(&error) => StoreError::NoCredentials { place, detail: innermost(&error) },
            _ => StoreError::Refused { place, action: self.doing(), detail: innermost(&error) },
        }
    }

    /// Reads what an answer whose status is 200 says of one object among many.
    pub(super) fn of_one(&self, error: &aws_sdk_s3::types::Error) -> StoreError {
        let code = error.code().unwrap_or_default();
        self.by_code(code, 200, format!("{code}: {}", error.message().unwrap_or_default()))
    }

    /// Reads a failure from the server's own code, or from the HTTP status where the answer has no body.
    fn by_code(&self, code: &str, status: u16, detail: String) -> StoreError {
        let (place, key, action) = (self.place.to_owned(), self.key.to_owned(), self.doing());
        match (code, status) {
            ("NoSuchBucket", _) => StoreError::NoStore { place, what: format!("there is no bucket {:?}", self.bucket) },
            ("NoSuchKey" | "NoSuchVersion" | "NotFound", _) => StoreError::NotFound { place, key },
            ("NoSuchUpload", _) => StoreError::NoUpload { place, key },
            (
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired"
                | "ExpiredTokenException"
                | "UnrecognizedClientException"
                | "InvalidClientTokenId"
                | "NotSignedUp",
                _,
            ) => StoreError::BadCredentials { place, detail },
            ("RequestTimeTooSkewed" | "RequestInTheFuture" | "RequestExpired", _) => {
                StoreError::ClockSkew { place, detail }
            }
            ("BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch", _)
            | ("IncompleteBody", _) => StoreError::DamagedInTransit { place, key, detail },
            ("SlowDown" | "ConditionalRequestConflict" | "OperationAborted" | "RequestTimeout" | "Throttling", _)
            // Of one object among many, in an answer whose status is 200.
            | ("InternalError" | "ServiceUnavailable", _) => StoreError::Busy { place, action, detail },
            ("XMinioStorageFull" | "InsufficientStorage" | "QuotaExceeded" | "EntityTooLarge", _) | (_, 507) => {
                StoreError::Full { place, detail }
            }
            ("AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidObjectState", _) | (_, 401 | 403) => {
                StoreError::Denied { place, action, detail }
            }
            (_, 404) => StoreError::NotFound { place, key },
            // What a server does not have at all it will not have in a moment either.
            ("NotImplemented" | "MethodNotAllowed", _) | (_, 405 | 501) => {
                StoreError::Refused { place, action, detail }
            }
            (_, 408 | 409 | 425 | 429 | 500..=599) => StoreError::Busy { place, action, detail },
            _ => StoreError::Refused { place, action, detail },
        }
    }
}

fn is_about_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<aws_credential_types::provider::error::CredentialsError>().is_some() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Returns the words of the deepest cause: the SDK's outer ones say only that something failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    let mut words = Vec::new();
    while let Some(source) = deepest.source() {
        deepest = source;
        let text = deepest.to_string();
        if !text.is_empty() && words.last() != Some(&text) {
            words.push(text);
        }
    }
    if words.is_empty() {
        DisplayErrorContext(error).to_string()
    } else {
        words.split_off(words.len().saturating_sub(2)).join(": ")
    }
}
