use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use testbed::http::Reply;

use super::{Content, guarded, pull};
use crate::web::{Site, full};
use crate::{Volume, assert_done, assert_refused, text};

/// `user:secret-word`.
const ENCODED: &str = "dXNlcjpzZWNyZXQtd29yZA==";
const BASIC: &str = "Basic dXNlcjpzZWNyZXQtd29yZA==";

fn artifact() -> Content {
    let content = Content::default();
    content.manifest("v1", &[content.file("a", b"a"), content.file("b", b"b")]);
    content
}

/// A docker config.json beside the volume.
fn config(volume: &Volume, config: &Value) -> PathBuf {
    let path = volume.dir.path().join("config.json");
    fs::write(&path, config.to_string()).unwrap();
    path
}

fn with_config(volume: &Volume, registry: &Site, json: &Value) -> Output {
    let flag = format!("--registry-config={}", text(&config(volume, json)));
    pull(volume, &registry.host(), &[&flag, "--log-level=debug"], ":v1")
}

#[track_caller]
fn assert_tells_no_secret(output: &Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    for secret in ["secret-word", ENCODED, "issued-token"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn a_password_is_shown_when_it_is_asked_for() {
    let registry = guarded(&artifact(), "Basic realm=\"registry\"".into(), BASIC);
    let volume = Volume::new();
    let output = with_config(
        &volume,
        &registry,
        &json!({"auths": {registry.host(): {"auth": ENCODED}}}),
    );
    assert_done(&output);
    assert_tells_no_secret(&output);
    assert_eq!(volume.names(), ["a", "b"]);
    assert_eq!(registry.headers("authorization")[0], None, "not before it is asked for");
}

#[test]
fn a_token_is_fetched_with_the_scope_that_was_asked_for() {
    let tokens = Site::start(|_, request| match request.header("authorization") {
        Some(BASIC) => Reply::new(
            200,
            "application/json",
            "{\"token\":\"issued-token\",\"expires_in\":60}",
        ),
        _ => Reply::text(401, ""),
    });
    let challenge = format!(
        "Bearer realm=\"{}\",service=\"registry.example\",scope=\"repository:team/app:pull\"",
        tokens.url("/token")
    );
    let registry = guarded(&artifact(), challenge, "Bearer issued-token");
    let volume = Volume::new();
    let auth = json!({"auths": {registry.host(): {"username": "user", "password": "secret-word"}}});
    let output = with_config(&volume, &registry, &auth);
    assert_done(&output);
    assert_tells_no_secret(&output);
    assert_eq!(volume.names(), ["a", "b"]);
    assert_eq!(
        tokens.targets(),
        ["/token?scope=repository%3Ateam%2Fapp%3Apull&service=registry%2Eexample"]
    );
    assert!(
        !registry.headers("authorization").contains(&Some(BASIC.to_owned())),
        "the password is for the token server"
    );
}

#[test]
fn a_token_is_fetched_without_credentials_when_there_are_none() {
    let tokens = Site::start(|_, request| match request.header("authorization") {
        None => Reply::new(200, "application/json", "{\"access_token\":\"issued-token\"}"),
        Some(_) => Reply::text(400, ""),
    });
    let challenge = format!("Bearer realm=\"{}\"", tokens.url("/token?account=none"));
    let registry = guarded(&artifact(), challenge, "Bearer issued-token");
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &[], ":v1"));
    assert_eq!(
        tokens.targets(),
        ["/token?account=none&scope=repository%3Ateam%2Fapp%3Apull"]
    );
}

#[test]
fn a_token_that_expired_is_renewed() {
    let content = artifact();
    let registry_tokens = Site::start(|before, _| Reply::text(200, format!("{{\"token\":\"token-{before}\"}}")));
    let challenge = format!("Bearer realm=\"{}\"", registry_tokens.url("/token"));
    let second = content.file("b", b"b")["digest"].as_str().unwrap().to_owned();
    let registry = Site::start(move |_, request| {
        let expired = request.target.ends_with(&second) && request.header("authorization") == Some("Bearer token-0");
        match request.header("authorization") {
            Some(_) if !expired => content.answer(request),
            _ => full(401, &[("WWW-Authenticate", &challenge)], b""),
        }
    });
    let volume = Volume::new();
    assert_done(&pull(&volume, &registry.host(), &[], ":v1"));
    assert_eq!(volume.names(), ["a", "b"]);
    assert_eq!(registry_tokens.requests().len(), 2);
}

#[test]
fn the_configuration_is_found_where_it_is_mounted() {
    let registry = guarded(&artifact(), "Basic".into(), BASIC);
    let auth = json!({"auths": {registry.host(): {"auth": ENCODED}}}).to_string();
    let place = Volume::new();
    let dir = place.dir.path();
    for name in [
        "secret/.dockerconfigjson",
        "docker/config.json",
        "home/.docker/config.json",
        "auth.json",
    ] {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), &auth).unwrap();
    }
    for (variable, value) in [
        ("INIT_COPY_REGISTRY_CONFIG", "secret"),
        ("INIT_COPY_REGISTRY_CONFIG", "secret/.dockerconfigjson"),
        ("REGISTRY_AUTH_FILE", "auth.json"),
        ("DOCKER_CONFIG", "docker"),
        ("HOME", "home"),
    ] {
        let volume = Volume::new();
        let (reference, dest) = (format!("oci://{}/team/app:v1", registry.host()), text(&volume.dest("")));
        let mut command = crate::web::init_copy(&["--plain-http", &reference, &dest]);
        assert_done(&command.env(variable, dir.join(value)).output().unwrap());
        assert_eq!(volume.names(), ["a", "b"], "{variable}={value}");
    }
}

#[test]
fn a_helper_is_named_and_not_run() {
    let registry = guarded(&artifact(), "Basic".into(), BASIC);
    for json in [
        json!({"credHelpers": {registry.host(): "pass"}}),
        json!({"auths": {registry.host(): {}}, "credsStore": "pass"}),
    ] {
        let output = with_config(&Volume::new(), &registry, &json);
        assert_refused(&output, 13, &["docker-credential-pass", "not run here", "--username"]);
    }
}

#[test]
fn missing_and_wrong_credentials_are_refused() {
    let registry = guarded(&artifact(), "Basic".into(), BASIC);
    assert_refused(
        &pull(&Volume::new(), &registry.host(), &[], ":v1"),
        13,
        &["a user and a password", "--registry-config"],
    );
    let wrong = json!({"auths": {registry.host(): {"username": "user", "password": "wrong-word"}}});
    let output = with_config(&Volume::new(), &registry, &wrong);
    assert_refused(&output, 13, &["answers 401"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("wrong-word"));
    let others = json!({"auths": {"registry.example": {"auth": ENCODED}}});
    assert_refused(
        &with_config(&Volume::new(), &registry, &others),
        13,
        &["a user and a password"],
    );
    assert!(!registry.headers("authorization").contains(&Some(BASIC.to_owned())));

    let odd = guarded(&artifact(), "Negotiate".into(), "");
    assert_refused(
        &pull(&Volume::new(), &odd.host(), &[], ":v1"),
        13,
        &["not known", "Negotiate"],
    );
    let silent = Site::start(|_, _| Reply::text(403, ""));
    assert_refused(&pull(&Volume::new(), &silent.host(), &[], ":v1"), 13, &["answers 403"]);
}

#[test]
fn a_token_server_that_fails_is_named() {
    for (status, body, code) in [(401, "", 13), (404, "", 10), (200, "{}", 13), (200, "no token", 13)] {
        let tokens = Site::start(move |_, _| Reply::text(status, body));
        let registry = guarded(&artifact(), format!("Bearer realm=\"{}\"", tokens.url("/token")), "");
        let output = pull(&Volume::new(), &registry.host(), &["--tries=1"], ":v1");
        assert_refused(&output, code, &[&tokens.url("/token")]);
    }
    let registry = guarded(&artifact(), "Bearer realm=\"file:///etc/passwd\"".into(), "");
    assert_refused(&pull(&Volume::new(), &registry.host(), &[], ":v1"), 13, &["is refused"]);
}

#[test]
fn a_broken_configuration_is_a_mistake_that_tells_no_secret() {
    let registry = guarded(&artifact(), "Basic".into(), BASIC);
    let volume = Volume::new();
    let path = volume.dir.path().join("config.json");
    for broken in ["{\"auths\": \"secret-word\"}", "secret-word", "{\"auths\": {"] {
        fs::write(&path, broken).unwrap();
        let output = pull(
            &volume,
            &registry.host(),
            &[&format!("--registry-config={}", text(&path))],
            ":v1",
        );
        assert_refused(&output, 2, &["config.json"]);
        assert_tells_no_secret(&output);
    }
    let output = pull(&volume, &registry.host(), &["--registry-config=/nonexistent"], ":v1");
    assert_refused(&output, 2, &["/nonexistent"]);
}
