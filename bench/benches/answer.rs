//! Nanoseconds per request by shape, for `answer` (frame in, frame out) and for `stun::respond` (the STUN
//! message only). Buffers are prepared in batches, outside the measured time.

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use xstun_bench::shapes::{all, destination, served};
use xstun_core::answer::answer;
use xstun_core::stun::{Exchange, Policy, respond};

fn shapes(criterion: &mut Criterion) {
    let served = served();
    let policy = Policy::default();
    let mut group = criterion.benchmark_group("answer");
    for shape in all() {
        group.bench_function(BenchmarkId::from_parameter(shape.name), |bencher| {
            bencher.iter_batched_ref(
                || shape.buffer(),
                |buffer| answer(black_box(buffer), shape.frame.len(), &served, &policy),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("stun::respond");
    for shape in all().into_iter().filter(|shape| shape.name != "not for us") {
        group.bench_function(BenchmarkId::from_parameter(shape.name), |bencher| {
            bencher.iter_batched_ref(
                || shape.message_buffer(),
                |message| {
                    let exchange = Exchange::datagram(&shape.source, destination);
                    respond(black_box(message), shape.message_length(), exchange, &policy)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, shapes);
criterion_main!(benches);
