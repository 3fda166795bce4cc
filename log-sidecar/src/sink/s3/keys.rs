//! Keys of the environment, or of whom it says to ask; those are for a while only.

use std::cell::RefCell;
use std::time::SystemTime;

use pod_contract::aws::{Credentials, Origin};

use super::super::http::{Http, excerpt};

#[derive(Debug, Default)]
pub(super) struct Keys {
    asked: RefCell<Option<Credentials>>,
}

impl Keys {
    /// None where there are none: requests are not signed.
    pub(super) async fn get(&self, http: &Http, origin: &Origin) -> Result<Option<Credentials>, String> {
        let at_hand = origin.at_hand(self.asked.borrow().as_ref(), SystemTime::now());
        if let Some(keys) = at_hand {
            return Ok(keys);
        }
        let keys = ask(http, origin).await?;
        self.asked.replace(keys.clone());
        Ok(keys)
    }

    /// They are refused.
    pub(super) fn forget(&self) {
        self.asked.replace(None);
    }
}

/// An error says whom, but not the query, which may hold a token.
async fn ask(http: &Http, origin: &Origin) -> Result<Option<Credentials>, String> {
    let Some(asked) = origin.ask().map_err(|failure| failure.cause)? else {
        return Ok(None);
    };
    let whom = asked.url.split('?').next().unwrap_or_default();
    let answer = http.ask(&asked.url, asked.authorization.as_deref()).await;
    let (status, _, body) = answer.map_err(|unanswered| format!("no keys of {whom}: {}", unanswered.why))?;
    if !status.is_success() {
        return Err(format!(
            "no keys of {whom}: status {status}: {}",
            excerpt(&body).trim_end()
        ));
    }
    let keys = origin.take(&String::from_utf8_lossy(&body));
    keys.map(Some).map_err(|why| format!("no keys of {whom}: {why}"))
}
