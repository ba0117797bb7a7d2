//! How long a judgement takes: 1,000 files with 10,000 schedules, read and proven on one core. Pure code only.
//!
//! `BKUP_BENCH_WRITE=DIR` writes the files into a folder instead, for measuring whole processes.

mod sets;

use std::hint::black_box;

use bkup::diag::Severity;
use bkup::domain::Instant;
use bkup::policy::{Facts, judge};
use criterion::{Criterion, criterion_group, criterion_main};

fn judgement(criterion: &mut Criterion) {
    let files = sets::thousand();
    #[expect(clippy::disallowed_methods, reason = "a bench is told by its environment where to write")]
    let folder = std::env::var_os("BKUP_BENCH_WRITE");
    if let Some(folder) = folder {
        for file in &files {
            let path = std::path::Path::new(&folder).join(&file.name);
            let written = std::fs::create_dir_all(path.parent().unwrap_or(&path))
                .and_then(|()| std::fs::write(&path, &file.bytes));
            assert!(written.is_ok(), "cannot write {}: {written:?}", path.display());
        }
        return;
    }
    let facts = Facts::at(Instant::constant(1_795_000_000, 0));
    let judged = judge(&files, &facts);
    let error = judged.findings.iter().find(|finding| finding.severity == Severity::Error);
    assert!(error.is_none(), "a set with errors is not proven: {error:?}");
    let mut group = criterion.benchmark_group("validate");
    group.sample_size(10);
    group.bench_function("1,000 files with 10,000 schedules", |bencher| {
        bencher.iter(|| judge(black_box(&files), black_box(&facts)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default();
    targets = judgement
}
criterion_main!(benches);
