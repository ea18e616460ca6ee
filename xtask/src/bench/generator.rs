//! Whoever asks on the other end of the pair.

use super::contenders::{Contender, Programs};
use super::stage::{Cores, GENERATOR, SERVER, Stage, list};
use crate::children::capture;
use crate::interrupt::Interrupt;
use crate::run::shown;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::time::Duration;

/// Time that it may take beyond what it sends for: it waits for the last replies.
const GRACE: Duration = Duration::from_secs(30);
/// A load is asked and counted in as many parts, and the median part is what counts: a moment in which the
/// machine took a core away costs one of them.
const SLICES: u32 = 9;
/// Source ports: enough that the flows spread over the queues.
const PORTS: &str = "64";

/// One load and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Requests a second that left.
    pub(super) sent: f64,
    /// Right replies a second.
    pub(super) replies: f64,
    /// Requests without a right reply, of all.
    pub(super) loss: f64,
    /// Microseconds from the intended time of sending: p50, p99, p99.9. Nothing for the limit, whose
    /// replies are none.
    pub(super) latency: Option<[f64; 3]>,
}

/// Who asks. For one queue that is `flood`, which can offer several times what a server bears; for
/// several `xstun load` over AF_XDP, since frames made in the kernel all go to the queue of the core
/// that makes them. `--find-max` is not used: every row is to be searched alike, the limit too.
pub(super) struct Generator<'a> {
    programs: &'a Programs,
    stage: &'a Stage,
    cores: &'a Cores,
    answers: bool,
    kernel: bool,
}

impl<'a> Generator<'a> {
    pub(super) fn new(
        programs: &'a Programs,
        stage: &'a Stage,
        cores: &'a Cores,
        contender: &Contender,
    ) -> Self {
        Generator { programs, stage, cores, answers: contender.answers(), kernel: contender.width == 1 }
    }

    /// Sends for `duration`, `rate` requests a second or as many of these as leave.
    ///
    /// # Errors
    /// It failed, or got replies that were wrong.
    pub(super) fn run(&self, rate: f64, duration: Duration, interrupt: &Interrupt) -> Result<Sample> {
        interrupt.check()?;
        let cores = list(&self.cores.generator);
        let mut command = self.stage.client.command("taskset");
        command.args(["-c", &cores]);
        if self.kernel {
            command.args(["chrt", "-f", &GENERATOR.to_string()]);
            command.arg(&self.programs.flood).arg(format!("{SERVER}:3478")).arg("--object");
            command.arg(&self.programs.generator).args(["--slices", &SLICES.to_string()]);
            if !self.answers {
                command.arg("--reflected");
            }
        } else {
            command.arg(&self.programs.xstun).args([
                "load",
                &SERVER.to_string(),
                "--json",
                "--cores",
                &cores,
            ]);
        }
        command.args(["--interface", &self.stage.peer, "--ports", PORTS]);
        command.args(["--duration", &duration.as_secs_f64().to_string()]);
        command.args(["--rate", &format!("{:.0}", rate.max(1.0))]);
        let captured = capture(&mut command, duration + GRACE, interrupt)?;
        let json: Value = serde_json::from_str(&captured.stdout).with_context(|| {
            format!("`{}` ended with {} and printed: {}", shown(&command), captured.status, captured.told())
        })?;
        answered(&json)
    }
}

/// What the generator counted.
fn answered(json: &Value) -> Result<Sample> {
    let number = |key: &str| json[key].as_f64().with_context(|| format!("no number '{key}' in {json}"));
    if number("wrong")? > 0.0 {
        bail!("{} wrong replies", number("wrong")?);
    }
    let quantile = |key: &str| json["latency_us"][key].as_f64();
    let latency = (|| Some([quantile("p50")?, quantile("p99")?, quantile("p999")?]))();
    Ok(Sample {
        sent: number("sent")? / number("duration_s")?,
        replies: number("replies_per_second")?,
        loss: number("loss")?,
        latency,
    })
}

#[cfg(test)]
mod tests {
    use super::{Sample, answered};
    use serde_json::json;

    #[test]
    fn a_load_is_read() {
        let told = json!({
            "sent": 1000, "received": 990, "wrong": 0, "lost": 10, "loss": 0.01, "duration_s": 2.0,
            "replies_per_second": 480.0, "latency_us": {"p50": 10.0, "p99": 20.0, "p999": 30.0}
        });
        let sample = Sample { sent: 500.0, replies: 480.0, loss: 0.01, latency: Some([10.0, 20.0, 30.0]) };
        assert_eq!(answered(&told).unwrap(), sample);
        let mut wrong = told;
        wrong["wrong"] = json!(1);
        assert_eq!(answered(&wrong).unwrap_err().to_string(), "1 wrong replies");
        answered(&json!({})).unwrap_err();
    }
}
