//! A log without line ends takes no memory. A process of its own: what other tests need must not count.

#[path = "../jobs/fixture.rs"]
#[expect(dead_code, reason = "shared with the tests of whole jobs, which use more of it")]
mod fixture;

use windlass_api::Conclusion::Success;
use windlass_runner::MemoryControl;

use fixture::job;

#[tokio::test(flavor = "multi_thread")]
async fn one_line_of_200_megabytes_takes_no_memory() {
    let mut fixture =
        job("steps:\n  - run: head -c 200000000 /dev/zero | tr '\\0' 'x'; echo; echo at the end\n");
    fixture.control = std::sync::Arc::new(MemoryControl::discarding_log());
    let control = fixture.control.clone();
    let folder = fixture.dir.path().join("job/log");
    let before = resident();
    let ran = fixture.run().await;
    let grown = resident_peak().saturating_sub(before);
    assert_eq!(ran.conclusion, Some(Success));
    assert!(control.log_length() > 200_000_000, "{}", control.log_length());
    assert_eq!(control.log_length(), std::fs::metadata(folder).unwrap().len());
    assert!(grown < 64 << 20, "the process grew by {grown} bytes");
}

fn status(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn resident() -> usize {
    status("VmRSS:")
}

fn resident_peak() -> usize {
    status("VmHWM:")
}
