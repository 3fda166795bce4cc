//! Who we are to a server, and that it is the one that knows the shared key too.

use std::io;

use pod_contract::config::Secret;
use pod_contract::net::login::Login;
use pod_contract::units::hex_digits;
use sha2::{Digest as _, Sha512};
use tokio::io::AsyncWriteExt as _;

use super::Connection;
use super::msgpack::{Value, receive};

/// Answers the server's HELO, and proves its PONG.
pub(super) async fn introduce(stream: &mut dyn Connection, key: &Secret, login: Option<&Login>) -> io::Result<()> {
    let read = |secret: &Secret| secret.read().map_err(|failure| io::Error::other(failure.cause));
    let key = read(key)?;
    let hello = receive(stream).await?;
    let (Some("HELO"), Some(options)) = (hello.items().first().and_then(Value::text), hello.items().get(1)) else {
        return Err(io::Error::other(
            "it does not ask who we are; leave --shared-key out, or set one there",
        ));
    };
    let of = |name| options.member(name).and_then(Value::bytes).unwrap_or_default();
    let (nonce, auth) = (of("nonce"), of("auth"));
    // As text, since not all servers take bytes.
    let salt = random()?
        .into_iter()
        .flat_map(hex_digits)
        .map(char::from)
        .collect::<String>();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let (user, password) = match login {
        Some(Login::Basic { username, password }) if !auth.is_empty() => {
            let digest = digest(&[auth, username.as_bytes(), read(password)?.as_bytes()]);
            (username.as_str(), digest)
        }
        // A server may have a salt and no users, so it decides.
        _ => ("", String::new()),
    };
    let ping = ping(
        &host,
        &salt,
        &digest(&[salt.as_bytes(), host.as_bytes(), nonce, key.as_bytes()]),
        user,
        &password,
    )?;
    stream.write_all(&ping).await?;
    stream.flush().await?;
    let pong = receive(stream).await?;
    check(&pong, salt.as_bytes(), nonce, &key).map_err(io::Error::other)
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("no random numbers"))?;
    Ok(bytes)
}

fn ping(host: &str, salt: &str, digest: &str, user: &str, password: &str) -> io::Result<Vec<u8>> {
    let mut ping = Vec::new();
    rmp::encode::write_array_len(&mut ping, 6)?;
    rmp::encode::write_str(&mut ping, "PING")?;
    for text in [host, salt, digest, user, password] {
        rmp::encode::write_str(&mut ping, text)?;
    }
    Ok(ping)
}

/// `[PONG, whether we are known, why not, its host, its proof]`.
fn check(pong: &Value, salt: &[u8], nonce: &[u8], key: &str) -> Result<(), String> {
    let [word, known, reason, host, proof] = pong.items() else {
        return Err("its greeting is not understood".into());
    };
    match (word.text(), known) {
        (Some("PONG"), Value::Flag(true)) => {}
        (Some("PONG"), _) => {
            let reason = reason.text().unwrap_or_default();
            return Err(format!(
                "it does not know us: {reason}; give --shared-key, --username and --password as they are there"
            ));
        }
        _ => return Err("its greeting is not understood".into()),
    }
    let expected = digest(&[salt, host.bytes().unwrap_or_default(), nonce, key.as_bytes()]);
    // The proof is for this connection only, so when it differs tells nobody anything.
    if proof.text() == Some(expected.as_str()) {
        Ok(())
    } else {
        Err("it does not know the shared key itself".into())
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut digest = Sha512::new();
    parts.iter().for_each(|part| digest.update(part));
    let digits = digest.finalize().into_iter().flat_map(hex_digits);
    digits.map(char::from).collect()
}
