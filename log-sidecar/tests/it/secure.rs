//! Sinks in TLS, and logins.

use std::fs;
use std::path::PathBuf;

use testbed::process::{Running, run};
use testbed::tls::{Authority, Front};
use testbed::wait;

use crate::{BIN, Pod};

fn to(front: &Front) -> String {
    format!("elasticsearch+https://{}/app", front.address())
}

pub(crate) fn write(pod: &Pod, name: &str, text: &str) -> PathBuf {
    let path = pod.dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

pub(crate) fn flag(name: &str, path: &std::path::Path) -> String {
    format!("--{name}={}", path.display())
}

#[test]
fn a_sink_in_tls_that_is_who_it_says_gets_every_line() {
    let pod = Pod::new();
    let ca = Authority::new();
    let front = Front::start(&pod.store.address(), ca.server("127.0.0.1")).unwrap();
    pod.append_lines("app.log", 0..1000);
    let ca = flag("ca", &write(&pod, "ca.pem", &ca.pem()));
    let running = pod.start_to(&to(&front), &[&ca]);
    pod.wait_for(1000);
    pod.stop(running);
    pod.assert_lines(1000);
}

#[test]
fn a_sink_that_is_another_gets_nothing_and_is_waited_for_with_the_cause() {
    let pod = Pod::new();
    let (ours, other) = (Authority::new(), Authority::new());
    let ours_file = write(&pod, "ca.pem", &ours.pem());
    pod.append_lines("app.log", 0..10);
    let start = |front: &Front, more: &[&str]| pod.start_to(&to(front), more);
    for (front, why) in [
        (other.server("127.0.0.1"), "does not lead to a CA that is trusted"),
        (ours.server("es.example"), "is for another name"),
        (ours.server_for("127.0.0.1", &other), "it wants a client certificate"),
    ] {
        let front = Front::start(&pod.store.address(), front).unwrap();
        let running = start(&front, &[&flag("ca", &ours_file), "--grace=100ms"]);
        let told = running.wait_for_log(why);
        assert!(told.contains("remedy: "), "{told}");
        assert!(pod.store.documents("app").is_empty());
        running.kill();
        // Once there is the right one behind the address, the same process would go on.
    }
    let front = Front::start(&pod.store.address(), other.server("127.0.0.1")).unwrap();
    let running = start(&front, &[&flag("ca", &ours_file)]);
    running.wait_for_log("does not lead to a CA");
    front.change(ours.server("127.0.0.1"));
    pod.wait_for(10);
    pod.stop(running);

    // Believed only when that is asked for, and told.
    let front = Front::start(&pod.store.address(), other.server("es.example")).unwrap();
    pod.append_lines("app.log", 10..20);
    let running = start(&front, &["--tls-insecure"]);
    running.wait_for_log("any server is believed");
    pod.wait_for(20);
    let admin = running.address("admin listening");
    let metrics = testbed::client::get(&admin, "/metrics").unwrap().text();
    assert!(metrics.contains("log_tls_unverified 1"), "{metrics}");
    pod.stop(running);
    pod.assert_lines(20);
}

#[test]
fn a_client_certificate_is_renewed_under_load_and_no_line_is_lost() {
    let pod = Pod::new();
    let (server, first, second) = (Authority::new(), Authority::new(), Authority::new());
    let front = Front::start(&pod.store.address(), server.server_for("127.0.0.1", &first)).unwrap();
    let ca_flag = flag("ca", &write(&pod, "ca.pem", &server.pem()));
    let pair = first.pair("client.example");
    let certificate_file = write(&pod, "tls.crt", &pair.certificate);
    let key_file = write(&pod, "tls.key", &pair.key);
    let (certificate, key) = (
        flag("client-certificate", &certificate_file),
        flag("client-key", &key_file),
    );
    let running = pod.start_to(&to(&front), &[&ca_flag, &certificate, &key]);
    let mut lines = 0;
    let mut more = |pod: &Pod| {
        pod.append_lines("app.log", lines..lines + 100);
        lines += 100;
        lines
    };
    pod.wait_for(more(&pod));

    // The server goes over to clients of another CA, and cuts those that it has; the new pair comes half by half.
    front.change(server.server_for("127.0.0.1", &second));
    pod.store.cut();
    let pair = second.pair("client.example");
    fs::write(&certificate_file, pair.certificate).unwrap();
    let all = more(&pod);
    running.wait_for_log("the changed certificates cannot be used; the ones before are");
    fs::write(&key_file, pair.key).unwrap();
    running.wait_for_log("certificates were read anew");
    pod.wait_for(all);
    pod.wait_for(more(&pod));
    pod.stop(running);
    pod.assert_lines(300);
}

#[test]
fn certificates_that_cannot_be_used_fail_the_start_with_file_and_line() {
    let pod = Pod::new();
    let broken = write(
        &pod,
        "ca.pem",
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
    );
    let output = run(
        BIN,
        &[
            "--include",
            "/nonexistent/*",
            "--to",
            "elasticsearch+https://127.0.0.1:1/app",
            &flag("ca", &broken),
        ],
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("ca.pem:1"), "{said}");
}

/// With these flags the sink has to be shown `authorization`.
fn assert_login(flags: impl Fn(&Pod) -> Vec<String>, authorization: &str) {
    let pod = Pod::new();
    pod.store.require(authorization);
    pod.append_lines("app.log", 0..10);
    let flags = flags(&pod);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let running = pod.start_with(&flags);
    running.wait_for_log("the sink is there");
    pod.wait_for(10);
    pod.stop(running);
}

#[test]
fn the_sink_is_shown_a_login_of_each_kind() {
    let file = |pod: &Pod, text: &str| format!("file:{}", write(pod, "secret", text).display());
    assert_login(
        |pod| {
            vec![
                "--username=elastic".into(),
                format!("--password={}", file(pod, "s3:cret\n")),
            ]
        },
        "Basic ZWxhc3RpYzpzMzpjcmV0",
    );
    assert_login(
        |pod| vec![format!("--api-key={}", file(pod, "id:key"))],
        "ApiKey aWQ6a2V5",
    );
    assert_login(
        |pod| vec![format!("--api-key={}", file(pod, "aWQ6a2V5\n"))],
        "ApiKey aWQ6a2V5",
    );
    assert_login(|pod| vec![format!("--bearer={}", file(pod, "t0ken"))], "Bearer t0ken");
}

#[test]
fn a_login_that_is_refused_is_waited_for_and_read_again() {
    let pod = Pod::new();
    pod.store.require("Bearer new");
    pod.append_lines("app.log", 0..10);
    let secret = write(&pod, "token", "old");
    let bearer = format!("--bearer=file:{}", secret.display());
    let running: Running = pod.start_with(&[&bearer]);
    let told = running.wait_for_log("it does not know us");
    assert!(!told.contains("old"), "{told}");
    running.wait_for_log("did not take everything");
    fs::remove_file(&secret).unwrap();
    running.wait_for_log("cannot read the secret");
    fs::write(&secret, "new").unwrap();
    pod.wait_for(10);
    wait::until("readiness", || {
        let admin = running.address("admin listening");
        (testbed::client::get(&admin, "/readyz").unwrap().status == 200).then_some(())
    });
    pod.stop(running);
    pod.assert_lines(10);
}
