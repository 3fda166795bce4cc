//! What would be sent of a sample: the way of every line, from the reader to the encoder.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::SystemTime;

use pod_contract::start::exit::Failure;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::batch::Batch;
use crate::config::Reading;
use crate::ledger::Ledger;
use crate::parse::Shape;
use crate::reader::segments_of;
use crate::sink::Encoder;

/// Reads standard input to its end, and writes documents.
pub(crate) fn run(reading: &Reading, shape: &Shape, ledger: &Ledger) -> Result<(), Failure> {
    match show(reading, shape, ledger) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => shown
            .map_err(|error| Failure::failed(format!("cannot read the sample, or show what becomes of it: {error}"))),
    }
}

fn show(reading: &Reading, shape: &Shape, ledger: &Ledger) -> io::Result<()> {
    let mut sample = File::from(memfd_create("sample", MemfdFlags::CLOEXEC)?);
    io::copy(&mut io::stdin().lock(), &mut sample)?;
    let encoder = Encoder::new(shape);
    let (mut out, mut stdout) = (Vec::new(), io::stdout().lock());
    for segment in segments_of(sample, reading)? {
        let mut segment = segment?;
        reading.transform.apply(&mut segment, ledger);
        let batch = Batch::new(vec![segment], SystemTime::now());
        let mut documents = encoder.documents(batch.read_at);
        out.clear();
        batch.records().for_each(|record| documents.add(&mut out, &record));
        stdout.write_all(&out)?;
    }
    stdout.flush()
}
