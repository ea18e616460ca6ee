//! The load generator in the client's namespace.

use super::contenders::{Contender, Programs};
use super::network::{BenchNetwork, Cores, GENERATOR, SERVER, list};
use crate::children::capture;
use crate::interrupt::Interrupt;
use crate::run::shown;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::time::Duration;

/// Time that it may take after it has sent the last request: it waits for replies.
const GRACE: Duration = Duration::from_secs(30);
/// Number of parts of a load. The result is the median part, so that a moment in which the machine takes
/// a core away costs one part.
const SLICES: u32 = 9;
/// Source ports: enough to spread the flows over the queues.
const PORTS: &str = "64";

/// The result of one load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Requests sent per second.
    pub(super) sent: f64,
    /// Correct replies per second.
    pub(super) replies: f64,
    /// Share of the requests without a correct reply.
    pub(super) loss: f64,
    /// Microseconds from the intended time of sending: p50, p99, p99.9. `None` for the limit, which sends
    /// no replies.
    pub(super) latency: Option<[f64; 3]>,
}

/// The load generator. For one queue that is `flood`, which can offer several times a server's capacity;
/// for several it is `xstun load` over AF_XDP, since frames made in the kernel all go to the queue of the
/// core that makes them. `--find-max` is not used: every row is searched in the same way, the limit too.
pub(super) struct Generator<'a> {
    programs: &'a Programs,
    network: &'a BenchNetwork,
    cores: &'a Cores,
    answers: bool,
    kernel: bool,
}

impl<'a> Generator<'a> {
    pub(super) fn new(
        programs: &'a Programs,
        network: &'a BenchNetwork,
        cores: &'a Cores,
        contender: &Contender,
    ) -> Self {
        Generator { programs, network, cores, answers: contender.answers(), kernel: contender.width == 1 }
    }

    /// Sends `rate` requests per second for `duration`, or as many of them as it can.
    ///
    /// # Errors
    /// It failed, or received wrong replies.
    pub(super) fn run(&self, rate: f64, duration: Duration, interrupt: &Interrupt) -> Result<Sample> {
        interrupt.check()?;
        let cores = list(&self.cores.generator);
        let mut command = self.network.client.command("taskset");
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
        command.args(["--interface", &self.network.peer, "--ports", PORTS]);
        command.args(["--duration", &duration.as_secs_f64().to_string()]);
        command.args(["--rate", &format!("{:.0}", rate.max(1.0))]);
        let captured = capture(&mut command, duration + GRACE, interrupt)?;
        let json: Value = serde_json::from_str(&captured.stdout).with_context(|| {
            format!(
                "`{}` exited with {} and printed: {}",
                shown(&command),
                captured.status,
                captured.printed()
            )
        })?;
        sample(&json)
    }
}

/// The result that the generator printed.
fn sample(json: &Value) -> Result<Sample> {
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
    use super::{Sample, sample};
    use serde_json::json;

    #[test]
    fn a_load_is_read() {
        let printed = json!({
            "sent": 1000, "received": 990, "wrong": 0, "lost": 10, "loss": 0.01, "duration_s": 2.0,
            "replies_per_second": 480.0, "latency_us": {"p50": 10.0, "p99": 20.0, "p999": 30.0}
        });
        let expected = Sample { sent: 500.0, replies: 480.0, loss: 0.01, latency: Some([10.0, 20.0, 30.0]) };
        assert_eq!(sample(&printed).unwrap(), expected);
        let mut wrong = printed;
        wrong["wrong"] = json!(1);
        assert_eq!(sample(&wrong).unwrap_err().to_string(), "1 wrong replies");
        sample(&json!({})).unwrap_err();
    }
}
