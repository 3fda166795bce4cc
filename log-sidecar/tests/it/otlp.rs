//! OpenTelemetry logs: what a collector gets, and what it may say.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use testbed::http::{Reply, Server};
use testbed::process::Running;
use testbed::wait;

use crate::Pod;

/// A collector that answers as it is told, and otherwise takes everything.
struct Collector {
    server: Server,
    messages: Arc<Mutex<Vec<String>>>,
}

const PROTOBUF: &str = "application/x-protobuf";

fn messages(request: &ExportLogsServiceRequest) -> Vec<String> {
    let records = request
        .resource_logs
        .iter()
        .flat_map(|logs| &logs.scope_logs)
        .flat_map(|logs| &logs.log_records);
    let text = records.map(|record| match &record.body.as_ref().unwrap().value {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    });
    text.collect()
}

impl Collector {
    fn start(mut judge: impl FnMut(&[String]) -> Option<Reply> + Send + 'static) -> Self {
        let all = Arc::new(Mutex::new(Vec::new()));
        let (shared, judge) = (Arc::clone(&all), Mutex::new(move |messages: &[String]| judge(messages)));
        let server = Server::start("127.0.0.1:0", move |request| {
            if request.method == "HEAD" {
                return Reply::text(404, "");
            }
            assert_eq!(request.target, "/v1/logs");
            let body = request.body.as_slice();
            let request: ExportLogsServiceRequest = match request.header("content-type") {
                Some(PROTOBUF) => prost::Message::decode(body).unwrap(),
                Some("application/json") => serde_json::from_slice(body).unwrap(),
                other => panic!("{other:?}"),
            };
            let messages = messages(&request);
            if let Some(reply) = judge.lock().unwrap()(&messages) {
                return reply;
            }
            shared.lock().unwrap().extend(messages);
            Reply::new(200, PROTOBUF, Vec::new())
        });
        Self {
            server: server.unwrap(),
            messages: all,
        }
    }

    fn ship(&self, pod: &Pod, more: &[&str]) -> Running {
        pod.start_to(&format!("otlp+http://{}", self.server.address()), more)
    }

    #[track_caller]
    fn wait_for(&self, count: usize) {
        wait::until("the records", || {
            (self.messages.lock().unwrap().len() >= count).then_some(())
        });
    }

    #[track_caller]
    fn assert_lines(&self, lines: impl Iterator<Item = usize>) {
        let mut found = self.messages.lock().unwrap().clone();
        let mut expected: Vec<_> = lines.map(|n| format!("line {n}")).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}

#[test]
fn lines_arrive_as_records() {
    for query in ["", "?encoding=json"] {
        let pod = Pod::new();
        let collector = Collector::start(|_| None);
        pod.append_lines("app.log", 0..10_000);
        let running = pod.start_to(&format!("otlp+http://{}{query}", collector.server.address()), &[]);
        collector.wait_for(10_000);
        pod.append_lines("app.log", 10_000..10_100);
        collector.wait_for(10_100);
        pod.stop(running);
        collector.assert_lines(0..10_100);
    }
}

#[test]
fn a_collector_that_is_busy_or_too_small_gets_all_in_the_end() {
    let pod = Pod::new();
    let mut busy = [401, 404, 429, 502, 503].into_iter();
    let collector = Collector::start(move |messages| {
        let too_many = (messages.len() > 300).then_some(413);
        busy.next().or(too_many).map(|status| Reply::text(status, "not now\n"))
    });
    pod.append_lines("app.log", 0..2000);
    let running = collector.ship(&pod, &[]);
    collector.wait_for(2000);
    pod.stop(running);
    collector.assert_lines(0..2000);
}

#[test]
fn what_is_refused_without_saying_which_is_lost_and_told() {
    let pod = Pod::new();
    let mut is_first = true;
    let collector = Collector::start(move |_| {
        let partial = ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: 3,
                error_message: "too old".into(),
            }),
        };
        std::mem::take(&mut is_first).then(|| Reply::new(200, PROTOBUF, partial.encode_to_vec()))
    });
    pod.append_lines("app.log", 0..100);
    let mut running = collector.ship(&pod, &[]);
    let told = running.wait_for_log("without saying which");
    assert!(told.contains("too old") && told.contains("\"rejected\":3"), "{told}");
    pod.append_lines("app.log", 100..200);
    collector.wait_for(100);
    running.terminate();
    assert_eq!(running.exit().code(), Some(1), "something was lost");
    running.wait_for_log("read 200, acked 197, rejected 0, lost 3, in flight 0");
    collector.assert_lines(100..200);
}

#[test]
fn a_record_at_fault_is_found_and_kept() {
    let pod = Pod::new();
    let collector = Collector::start(|messages| {
        let is_bad = messages.iter().any(|message| message == "line 77");
        is_bad.then(|| Reply::text(400, "no such thing\n"))
    });
    pod.append_lines("app.log", 0..200);
    let running = collector.ship(&pod, &[]);
    wait::until("the dead letter", || (pod.dead_letters_so_far() == 1).then_some(()));
    pod.stop(running);
    collector.assert_lines((0..200).filter(|n| *n != 77));
    assert_eq!(pod.dead_letters()[0]["message"], "line 77");
}
