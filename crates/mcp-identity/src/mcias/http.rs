//! One request, one answer, within limits: no redirect, no retry, no proxy, no more than fits.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use zeroize::Zeroizing;

use super::ServiceError;
use crate::client::{CaSource, ClientTlsError, web_config};

/// Longest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The way to one service.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client,
    url: String,
    limit: Duration,
}

/// What the service said.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Http {
    pub(super) fn new(
        url: &str,
        ca: Option<&CaSource>,
        limit: Duration,
    ) -> Result<Self, ClientTlsError> {
        let client = Client::builder()
            .tls_backend_preconfigured(web_config(ca)?)
            .https_only(true)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            // Whatever the environment says: it is meant for the runtime and for scripts.
            .no_proxy()
            // A verdict is asked for every 30 s: a connection that waits so long has often been
            // closed at the other end, which is found out by a request that fails.
            .pool_max_idle_per_host(0)
            .build()
            .expect("these settings fit together");
        Ok(Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            limit,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a POST and reads the whole answer.
    pub(super) async fn post(
        &self,
        path: &str,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, ServiceError> {
        let request = fill(self.client.post(format!("{}{path}", self.url)));
        let exchange = async {
            let response = request.send().await.map_err(|e| self.unreachable(e))?;
            if response.status().is_redirection() {
                return Err(ServiceError::Redirected {
                    url: self.url.clone(),
                });
            }
            self.read(response).await
        };
        let answer = tokio::time::timeout(self.limit, exchange).await;
        answer.unwrap_or_else(|_| Err(self.slow()))
    }

    /// The error for an answer that did not come in time.
    pub(super) fn slow(&self) -> ServiceError {
        ServiceError::Slow {
            url: self.url.clone(),
            limit: self.limit,
        }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    async fn read(&self, mut response: Response) -> Result<Answer, ServiceError> {
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(e))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(ServiceError::TooLong {
                    url: self.url.clone(),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }

    fn unreachable(&self, error: reqwest::Error) -> ServiceError {
        ServiceError::Unreachable {
            url: self.url.clone(),
            source: error.without_url().into(),
        }
    }
}
