//! Objects of a store that asks for signatures. Whether a signature is right, `testbed/peers` shows with a store that is not ours.

use std::fs;
use std::process::{Command, Output};

use testbed::http::{Reply, Request};
use testbed::process::code_and_stderr;

use super::{Site, content, full, init_copy, interrupted, rest, start_of_range};
use crate::{Volume, assert_done, assert_refused, text};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
const TOKEN: &str = "session-token/+=";

fn copy(site: &Site, volume: &Volume, flags: &[&str]) -> Command {
    let (endpoint, dest) = (site.url(""), text(&volume.dest("")));
    let mut args = vec![
        "--s3-endpoint",
        &endpoint,
        "--log-level=debug",
        "s3://models/dir/a b+c.bin",
    ];
    args.extend(flags);
    args.push(&dest);
    init_copy(&args)
}

/// Of a role whose keys the service at `tokens` gives.
fn with_role(site: &Site, volume: &Volume, tokens: &str) -> Command {
    let file = volume.dir.path().join("token");
    fs::write(&file, "identity.of.the.pod\n").unwrap();
    let mut command = copy(site, volume, &[]);
    command
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &file)
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader")
        .env("AWS_ENDPOINT_URL_STS", tokens);
    command
}

#[track_caller]
fn assert_tells_no_secret(output: &Output, volume: &Volume) {
    let mut told = code_and_stderr(output).1;
    told += &fs::read_to_string(volume.dest(".init-copy.receipt")).unwrap_or_default();
    for secret in [SECRET, TOKEN, "identity.of.the.pod", "agent-word", "Signature="] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

/// A `Credential` of `authorization`: whose key, the region and the service.
fn scope(request: &Request) -> (String, String, String) {
    let authorization = request.header("authorization").unwrap();
    let (_, rest) = authorization.split_once("Credential=").unwrap();
    let parts: Vec<&str> = rest.split_once(',').unwrap().0.split('/').collect();
    assert_eq!(parts[4], "aws4_request");
    (parts[0].into(), parts[2].into(), parts[3].into())
}

#[test]
fn an_object_is_asked_for_by_a_signed_request() {
    let site = Site::serving("content");
    let volume = Volume::new();
    let output = copy(&site, &volume, &["--s3-region=eu-north-1"])
        .envs(KEYS)
        .output()
        .unwrap();
    assert_done(&output);
    assert_tells_no_secret(&output, &volume);
    assert_eq!(fs::read_to_string(volume.dest("a b+c.bin")).unwrap(), "content");
    let requests = site.requests();
    assert_eq!(requests[0].target, "/models/dir/a%20b%2Bc.bin");
    assert_eq!(
        scope(&requests[0]),
        ("AKIDEXAMPLE".into(), "eu-north-1".into(), "s3".into())
    );
    assert_eq!(requests[0].header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
    assert_eq!(requests[0].header("x-amz-security-token"), None);
}

#[test]
fn variables_of_the_tools_count_and_flags_come_first() {
    let (site, volume) = (Site::serving("content"), Volume::new());
    let dest = text(&volume.dest(""));
    let run = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = init_copy(args);
        let output = command
            .arg("s3://models/a")
            .arg(&dest)
            .envs(KEYS)
            .envs(variables.iter().copied())
            .output();
        assert_done(&output.unwrap());
        scope(site.requests().last().unwrap()).1
    };
    let here = site.url("/below/");
    let nowhere = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let by_variable = ("AWS_ENDPOINT_URL_S3", here.as_str());
    assert_eq!(run(&[], &[nowhere, by_variable]), "us-east-1");
    assert_eq!(
        run(&[], &[("AWS_ENDPOINT_URL", &here), ("AWS_DEFAULT_REGION", "b-1")]),
        "b-1"
    );
    let both = [by_variable, ("AWS_DEFAULT_REGION", "b-1"), ("AWS_REGION", "a-1")];
    assert_eq!(run(&[], &both), "a-1");
    assert_eq!(run(&["--s3-region=f-1"], &both), "f-1");
    assert_eq!(
        run(&["--s3-endpoint", &here], &[("AWS_ENDPOINT_URL_S3", nowhere.1)]),
        "us-east-1"
    );
    assert!(site.targets().iter().all(|target| target == "/below/models/a"));
}

#[test]
fn without_keys_it_is_asked_for_as_anybody() {
    let (site, volume) = (Site::serving("content"), Volume::new());
    assert_done(&copy(&site, &volume, &[]).output().unwrap());
    assert_eq!(site.headers("authorization"), [None]);
    let output = copy(&site, &volume, &[])
        .env("AWS_ACCESS_KEY_ID", "only")
        .output()
        .unwrap();
    assert_refused(&output, 2, &["AWS_SECRET_ACCESS_KEY", "one is not set"]);
}

#[test]
fn keys_of_a_web_identity_are_asked_for_with_the_token_of_the_pod() {
    let answer = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>\
         <SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    let tokens = Site::start(move |_, _| Reply::new(200, "text/xml", answer.clone()));
    let (site, volume) = (Site::serving("content"), Volume::new());
    let output = with_role(&site, &volume, &tokens.url("/")).output().unwrap();
    assert_done(&output);
    assert_tells_no_secret(&output, &volume);
    assert_eq!(
        tokens.targets(),
        [
            "/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader\
          &RoleSessionName=sidecar&WebIdentityToken=identity.of.the.pod"
        ]
    );
    assert_eq!(tokens.headers("authorization"), [None]);
    assert_eq!(scope(&site.requests()[0]).0, "ASIAROLE");
    assert_eq!(site.headers("x-amz-security-token"), [Some(TOKEN.to_owned())]);
}

#[test]
fn keys_of_the_container_are_asked_for_at_the_agent() {
    let answer = format!(
        r#"{{"AccessKeyId":"ASIAPOD","SecretAccessKey":"{SECRET}","Token":"{TOKEN}","Expiration":"2099-01-01T00:00:00Z"}}"#
    );
    let agent = Site::start(move |_, request| match request.header("authorization") {
        Some("agent-word") => Reply::new(200, "application/json", answer.clone()),
        _ => Reply::text(401, ""),
    });
    let (site, volume) = (Site::serving("content"), Volume::new());
    let run = |word: &str| {
        copy(&site, &volume, &[])
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url("/v1/credentials"))
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", word)
            .output()
            .unwrap()
    };
    let output = run("agent-word");
    assert_done(&output);
    assert_tells_no_secret(&output, &volume);
    assert_eq!(scope(&site.requests()[0]).0, "ASIAPOD");
    let output = run("other");
    assert_refused(&output, 13, &["/v1/credentials answers 401", "role"]);
    assert_tells_no_secret(&output, &volume);
    assert_eq!(site.requests().len(), 1);
}

#[test]
fn answers_without_keys_are_refused_and_not_repeated() {
    for body in ["", "{}", r#"{"AccessKeyId":"A","SecretAccessKey":"agent-word"}"#] {
        let agent = Site::serving(body);
        let (site, volume) = (Site::serving("content"), Volume::new());
        let output = copy(&site, &volume, &[])
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url("/keys"))
            .output()
            .unwrap();
        assert_refused(&output, 13, &["/keys answers no keys"]);
        assert_tells_no_secret(&output, &volume);
        assert!(site.requests().is_empty());
    }
}

#[test]
fn what_the_store_says_is_told() {
    let error = |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
    let plain: &[_] = &[];
    let region: &[_] = &[("x-amz-bucket-region", "eu-west-3")];
    for (status, headers, code, exit, told) in [
        (403, plain, "SignatureDoesNotMatch", 13, "AWS_SECRET_ACCESS_KEY"),
        (403, plain, "AccessDenied", 13, "answers 403 Forbidden (AccessDenied)"),
        (404, plain, "NoSuchKey", 10, "(NoSuchKey)"),
        (404, plain, "NoSuchBucket", 10, "(NoSuchBucket)"),
        (301, region, "PermanentRedirect", 10, "--s3-region"),
        (400, region, "AuthorizationHeaderMalformed", 10, "region eu-west-3"),
    ] {
        let body = error(code);
        let site = Site::start(move |_, _| full(status, headers, body.as_bytes()));
        let volume = Volume::new();
        let output = copy(&site, &volume, &[]).envs(KEYS).output().unwrap();
        assert_refused(&output, exit, &[code, told]);
        assert_tells_no_secret(&output, &volume);
        assert_eq!(site.requests().len(), 1, "{code}");
        assert!(volume.names().is_empty());
    }
    // Slow down is a matter of time.
    let body = error("SlowDown");
    let site = Site::start(move |before, _| match before {
        0 => full(503, &[], body.as_bytes()),
        _ => Reply::text(200, "content"),
    });
    assert_done(&copy(&site, &Volume::new(), &[]).envs(KEYS).output().unwrap());
}

#[test]
fn nothing_signed_leaves_for_another_origin() {
    let other = Site::serving("content");
    let elsewhere = other.url("/blob");
    let site = Site::start(move |_, _| full(307, &[("Location", &elsewhere)], b""));
    let volume = Volume::new();
    let token = ("AWS_SESSION_TOKEN", TOKEN);
    assert_done(&copy(&site, &volume, &[]).envs(KEYS).envs([token]).output().unwrap());
    for name in ["authorization", "x-amz-security-token", "x-amz-date"] {
        assert!(site.headers(name)[0].is_some(), "{name}");
        assert_eq!(other.headers(name), [None], "{name}");
    }
}

#[test]
fn what_was_interrupted_goes_on_and_what_is_there_is_not_sent_again() {
    let tag = [("ETag", "\"v1\"")];
    let site = Site::start(move |_, request| {
        if request.header("if-none-match") == Some("\"v1\"") {
            return full(304, &tag, b"");
        }
        match start_of_range(request) {
            Some(_) => rest(request, &content(), &tag),
            None => interrupted(&content(), &tag),
        }
    });
    let volume = Volume::new();
    assert_done(&copy(&site, &volume, &[]).envs(KEYS).output().unwrap());
    assert_eq!(fs::read(volume.dest("a b+c.bin")).unwrap(), content());
    let again = copy(&site, &volume, &[]).envs(KEYS).output().unwrap();
    assert_done(&again);
    assert!(code_and_stderr(&again).1.contains("nothing to do"));
    let requests = site.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.header("authorization").is_some()));
}

#[test]
fn addresses_that_name_no_object_are_refused() {
    let dest = "/tmp";
    for (source, told) in [
        ("s3://Models/a", "bucket"),
        ("s3://models", "names no object"),
        ("s3://models/dir/", "prefix"),
        ("s3:///key", "bucket"),
    ] {
        assert_refused(&init_copy(&[source, dest]).output().unwrap(), 2, &[source, told]);
    }
    let output = init_copy(&["--s3-region=x", "http://127.0.0.1:9/a", dest])
        .output()
        .unwrap();
    assert_refused(&output, 2, &["s3-region", "no source is an s3:// one"]);
    let output = init_copy(&["--s3-endpoint=127.0.0.1:9", "s3://models/a", dest])
        .output()
        .unwrap();
    assert_refused(&output, 2, &["s3-endpoint"]);
}

#[test]
fn who_gives_keys_is_asked_directly_and_told_nothing_else() {
    let elsewhere = Site::serving("content");
    let location = elsewhere.url("/keys");
    let agent = Site::start(move |_, _| full(302, &[("Location", &location)], b""));
    let proxy = Site::serving("not for you");
    let (site, volume) = (Site::serving("content"), Volume::new());
    let netrc = volume.dir.path().join("netrc");
    fs::write(&netrc, "default login user password netrc-word\n").unwrap();
    let output = copy(&site, &volume, &["--netrc", &text(&netrc)])
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url("/keys"))
        .env("HTTP_PROXY", proxy.url(""))
        .output()
        .unwrap();
    assert_refused(&output, 13, &["answers 302", "instead of keys"]);
    assert_eq!(agent.headers("authorization"), [None]);
    for silent in [&elsewhere, &proxy, &site] {
        assert!(silent.requests().is_empty());
    }
}

#[test]
fn refused_tokens_are_a_matter_of_credentials() {
    let xml = |code: &str| format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>").into_bytes();
    let tokens = Site::start(move |_, _| full(400, &[], &xml("InvalidIdentityToken")));
    let (site, volume) = (Site::serving("content"), Volume::new());
    let output = with_role(&site, &volume, &tokens.url("")).output().unwrap();
    assert_refused(&output, 13, &["answers 400 (InvalidIdentityToken)", "role"]);
    assert_tells_no_secret(&output, &volume);

    let site = Site::start(|_, _| full(400, &[], b"<Error><Code>ExpiredToken</Code></Error>"));
    let output = copy(&site, &volume, &[]).envs(KEYS).output().unwrap();
    assert_refused(&output, 13, &["(ExpiredToken)", "AWS_ACCESS_KEY_ID"]);
}

#[test]
fn line_ends_behind_keys_are_none_of_them() {
    let (site, volume) = (Site::serving("content"), Volume::new());
    let keys = KEYS.map(|(name, value)| (name, format!("{value}\n")));
    assert_done(&copy(&site, &volume, &[]).envs(keys).output().unwrap());
    assert_eq!(scope(&site.requests()[0]).0, "AKIDEXAMPLE");
}
