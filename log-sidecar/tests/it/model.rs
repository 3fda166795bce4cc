//! Whatever happens in whatever order: each line arrives once. Sequences are made from a seed; `MODEL_SEEDS=1000` tries as many, `MODEL_SEED=7` that one.

use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use testbed::process::Running;

use crate::Pod;

const SEEDS: u64 = 48;
/// At a time.
const THREADS: u64 = 6;
const STEPS: usize = 16;
/// More rotated files than are ever made.
const MOST: usize = 3 * STEPS;
/// Twins wait for ten seconds before they are read.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Copy)]
enum Step {
    Write(usize),
    /// `app.log` becomes `app.log.1`, and so on; or a copy does, and it is empty then, as the seed has it.
    Rotate,
    /// Of what was rotated; `gzip` writes the packed file first.
    Gzip,
    /// The oldest rotated file, once all has arrived.
    Delete,
    Pause(u64),
    Refuse(bool),
    Kill,
    Stop,
    Start,
}

fn step(rng: &mut Rng) -> Step {
    match rng.u8(0..16) {
        0..=4 => Step::Write(rng.usize(1..200)),
        5..=7 => Step::Rotate,
        8 | 9 => Step::Gzip,
        10 => Step::Delete,
        11 => Step::Pause(rng.u64(1..300)),
        12 => Step::Refuse(rng.bool()),
        13 => Step::Kill,
        14 => Step::Stop,
        _ => Step::Start,
    }
}

struct Model {
    pod: Pod,
    running: Option<Running>,
    written: usize,
    copies: bool,
    log: Vec<String>,
}

impl Model {
    fn name(index: usize) -> String {
        if index == 0 {
            "app.log".into()
        } else {
            format!("app.log.{index}")
        }
    }

    /// Of a rotated file, plain or packed.
    fn find(&self, index: usize) -> Option<String> {
        let plain = Self::name(index);
        let packed = format!("{plain}.gz");
        [plain, packed].into_iter().find(|name| self.pod.log(name).exists())
    }

    /// Makes room for a new `app.log.1`.
    fn shift(&self) {
        for index in (1..MOST).rev() {
            if let Some(name) = self.find(index) {
                let ending = if name.ends_with(".gz") { ".gz" } else { "" };
                let to = format!("{}{ending}", Self::name(index + 1));
                fs::rename(self.pod.log(&name), self.pod.log(&to)).unwrap();
            }
        }
    }

    fn has_all(&self) -> bool {
        self.pod.store.documents("app").len() >= self.written
    }

    /// False if something is missing for ever.
    fn wait_for_all(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        while !self.has_all() && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        self.has_all()
    }

    fn take(&mut self, step: Step) {
        let is_there = self.pod.log("app.log").exists();
        match step {
            Step::Write(lines) => {
                self.pod.append_lines("app.log", self.written..self.written + lines);
                self.written += lines;
            }
            Step::Rotate if is_there && !self.copies => {
                self.shift();
                fs::rename(self.pod.log("app.log"), self.pod.log("app.log.1")).unwrap();
            }
            Step::Rotate if is_there => {
                self.shift();
                fs::copy(self.pod.log("app.log"), self.pod.log("app.log.1")).unwrap();
                File::options()
                    .write(true)
                    .open(self.pod.log("app.log"))
                    .unwrap()
                    .set_len(0)
                    .unwrap();
            }
            Step::Gzip => {
                let plain = (1..MOST).map(Self::name).find(|name| self.pod.log(name).exists());
                let Some(plain) = plain else { return };
                self.pod.gzip(&plain, &format!("{plain}.gz"));
                fs::remove_file(self.pod.log(&plain)).unwrap();
            }
            Step::Delete if self.running.is_some() && self.has_all() => {
                if let Some(name) = (1..MOST).rev().find_map(|index| self.find(index)) {
                    fs::remove_file(self.pod.log(&name)).unwrap();
                }
            }
            Step::Pause(millis) => thread::sleep(Duration::from_millis(millis)),
            Step::Refuse(refuses) => self.pod.store.refuse_all(refuses.then_some(503)),
            Step::Kill => {
                if let Some(running) = self.running.take() {
                    running.kill();
                }
            }
            Step::Stop => {
                self.pod.store.refuse_all(None);
                if let Some(mut running) = self.running.take() {
                    running.terminate();
                    running.exit();
                }
            }
            Step::Start if self.running.is_none() => {
                let known = fs::read_to_string(self.pod.state("checkpoint.json")).unwrap_or_default();
                self.log.push(known);
                let running = self.pod.start();
                running.wait_for_log("admin listening");
                self.running = Some(running);
            }
            Step::Rotate | Step::Delete | Step::Start => return,
        }
        self.log.push(format!("{step:?}"));
    }
}

/// What was done, and what came of it, if that is wrong.
fn fault(seed: u64) -> Option<String> {
    let mut rng = Rng::with_seed(seed);
    let mut model = Model {
        pod: Pod::new(),
        running: None,
        written: 0,
        copies: seed % 3 == 2,
        log: Vec::new(),
    };
    model.take(Step::Start);
    for _ in 0..STEPS {
        model.take(step(&mut rng));
    }
    model.take(Step::Refuse(false));
    model.take(Step::Start);
    let all = model.wait_for_all();
    let mut found = model.pod.store.messages("app");
    let count = found.len();
    found.sort_unstable();
    found.dedup();
    let running = model.running.take();
    let lines = running.map(|running| running.stderr().join("\n")).unwrap_or_default();
    let is_right = all && count == model.written && found.len() == count;
    let missing = model.written.saturating_sub(found.len());
    (!is_right).then(|| {
        let (steps, written) = (model.log.join(", "), model.written);
        format!(
            "seed {seed}: {missing} of {written} missing, {} twice\n{steps}\n{lines}",
            count - found.len()
        )
    })
}

#[test]
fn each_line_arrives_once_whatever_happens() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MODEL_SEEDS").unwrap_or(SEEDS),
    };
    let workers = (0..THREADS).map(|worker| {
        let seeds = seeds.clone().skip(worker as usize).step_by(THREADS as usize);
        thread::spawn(move || seeds.filter_map(fault).collect::<Vec<_>>())
    });
    let workers: Vec<_> = workers.collect();
    let faults: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
