//! The service's REST interface: paths, messages and what its statuses mean. All of it is here.

use std::collections::BTreeSet;

use mcp_model::Stamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ServiceError;
use super::http::{Answer, Http};
use crate::caller::{Account, Role, Subject};
use crate::client::{CaSource, ClientTlsError};
use crate::token::Token;

const LOGIN: &str = "/v1/auth/login";
const VALIDATE: &str = "/v1/token/validate";

/// What is sent to [`LOGIN`].
#[derive(Serialize)]
struct LoginRequest<'a> {
    username: &'a str,
    password: &'a str,
    service_name: &'a str,
    tags: &'a [String],
}

/// What it answers. Fields that are not named here may be there.
#[derive(Deserialize)]
struct LoginAnswer {
    token: Zeroized,
    expires_at: String,
}

/// What [`VALIDATE`] answers. Empty fields may be left out, `valid` may not.
#[derive(Deserialize)]
struct ValidateAnswer {
    valid: bool,
    subject: Option<String>,
    username: Option<String>,
    account_type: Option<String>,
    roles: Option<Vec<String>>,
    expires_at: Option<String>,
}

/// A string that is zeroed when it is dropped.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Zeroized(Zeroizing<String>);

impl From<String> for Zeroized {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// An identity service.
#[derive(Debug, Clone)]
pub struct Mcias {
    http: Http,
}

/// Who logs in, and where.
pub struct Login<'a> {
    /// The account's name.
    pub username: &'a str,
    /// Its password.
    pub password: &'a str,
    /// What the program that logs in is called at the service.
    pub service_name: &'a str,
    /// What else its policy may go by.
    pub tags: &'a [String],
}

/// What a login brings.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: Token,
    /// From when on it is refused.
    pub expires: Stamp,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Wrong name or wrong password; which of them is not told.
    #[error("the identity service at {url} does not know this username and password")]
    BadCredentials {
        /// Its base URL.
        url: String,
    },
    /// The account is right, and the service's policy does not let it log in here.
    #[error("the identity service at {url} does not let this account log in to {service_name}")]
    Policy {
        /// Its base URL.
        url: String,
        /// What it was to log in to.
        service_name: String,
    },
    /// No usable answer.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// What the service says of a token.
#[derive(Debug)]
pub(super) enum Validation {
    /// It vouches for it.
    Valid {
        subject: Subject,
        account: Option<Account>,
        roles: BTreeSet<Role>,
        expires: Stamp,
    },
    /// It does not.
    Invalid,
}

impl Mcias {
    /// The service at a base URL, whose certificate comes from `ca`, else from an authority that the
    /// system trusts. An answer may take as long as `limit`, see [`super::ANSWER_LIMIT`].
    pub fn new(
        url: &str,
        ca: Option<&CaSource>,
        limit: std::time::Duration,
    ) -> Result<Self, ClientTlsError> {
        let http = Http::new(url, ca, limit)?;
        Ok(Self { http })
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Trades a password for a token.
    pub async fn login(&self, login: &Login<'_>) -> Result<Issued, LoginError> {
        let message = LoginRequest {
            username: login.username,
            password: login.password,
            service_name: login.service_name,
            tags: login.tags,
        };
        let body = serde_json::to_vec(&message).expect("strings make JSON");
        let json = HeaderValue::from_static("application/json");
        let answer = self
            .http
            .post(LOGIN, |request| {
                request.header(CONTENT_TYPE, json).body(body)
            })
            .await?;
        let url = || self.http.url().to_owned();
        match answer.status {
            200 => Ok(self.issued(&answer)?),
            401 => Err(LoginError::BadCredentials { url: url() }),
            403 => Err(LoginError::Policy {
                url: url(),
                service_name: login.service_name.to_owned(),
            }),
            status => Err(self.status(status).into()),
        }
    }

    fn issued(&self, answer: &Answer) -> Result<Issued, ServiceError> {
        let answer: LoginAnswer = self.json(answer)?;
        let token = answer.token.0.parse();
        Ok(Issued {
            token: token.map_err(|_| self.malformed("the token is not one"))?,
            expires: self.stamp(&answer.expires_at)?,
        })
    }

    /// Asks whose token it is.
    pub(super) async fn validate(&self, token: &str) -> Result<Validation, ServiceError> {
        let header = Zeroizing::new(format!("Bearer {token}"));
        let mut header = HeaderValue::from_str(&header)
            .map_err(|_| self.malformed("the token does not fit into a header"))?;
        header.set_sensitive(true);
        let answer = self
            .http
            .post(VALIDATE, |request| request.header(AUTHORIZATION, header))
            .await?;
        match answer.status {
            200 => self.validation(&answer),
            401 => Ok(Validation::Invalid),
            status => Err(self.status(status)),
        }
    }

    fn validation(&self, answer: &Answer) -> Result<Validation, ServiceError> {
        let answer: ValidateAnswer = self.json(answer)?;
        if !answer.valid {
            return Ok(Validation::Invalid);
        }
        let expires = answer.expires_at.as_deref();
        let expires = expires.ok_or_else(|| self.malformed("expires_at is missing"))?;
        let names = [&answer.username, &answer.subject];
        let subject = names
            .into_iter()
            .flatten()
            .find_map(|name| name.parse::<Subject>().ok())
            .ok_or_else(|| self.malformed("it names nobody"))?;
        // A role that cannot be one gives no right; the others do.
        let roles = answer.roles.iter().flatten();
        Ok(Validation::Valid {
            subject,
            account: answer.account_type.as_deref().and_then(account),
            roles: roles.filter_map(|role| role.parse().ok()).collect(),
            expires: self.stamp(expires)?,
        })
    }

    /// Where it cannot be read, serde's words are left out: they quote the answer.
    fn json<'a, T: Deserialize<'a>>(&self, answer: &'a Answer) -> Result<T, ServiceError> {
        serde_json::from_slice(&answer.body).map_err(|error| {
            self.malformed(match error.classify() {
                serde_json::error::Category::Data => "a field is missing or of another type",
                _ => "it is not JSON",
            })
        })
    }

    fn stamp(&self, text: &str) -> Result<Stamp, ServiceError> {
        let time = text.parse::<jiff::Timestamp>();
        time.map(Stamp::new)
            .map_err(|_| self.malformed("expires_at is not a time"))
    }

    fn malformed(&self, why: &'static str) -> ServiceError {
        ServiceError::Malformed {
            url: self.http.url().to_owned(),
            why,
        }
    }

    fn status(&self, status: u16) -> ServiceError {
        ServiceError::Status {
            url: self.http.url().to_owned(),
            status,
        }
    }
}

fn account(word: &str) -> Option<Account> {
    [Account::Human, Account::System]
        .into_iter()
        .find(|account| account.as_str() == word)
}
