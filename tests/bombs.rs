//! Hostile and large files: each is decoded in a process of its own, with no more address space than the limits promise.
//!
//! The promise: decoding takes at most the file's own bytes, four times the bytes of the RGB image and 64 MB.
#![cfg(target_os = "linux")] // reads /proc and sets a limit of address space
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // tests: shared functions, and a child that reports

#[path = "bombs/files.rs"]
mod files;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sparkcider::image::decode::{DecodeLimits, DecodeOptions, decode};

/// Memory beside the multiple of the RGB image.
const SLACK: u64 = 64 << 20;

/// Far above the slowest accepted file here (0.5 s); a file whose work is not bounded would take minutes.
const SLOW: Duration = Duration::from_secs(20);

/// What became of a file: `Ok` with the bytes of its RGB image, or the reason for its refusal.
type Outcome = Result<u64, String>;

/// Decodes the file `path` in a child of this process that may allocate `allowed` bytes.
fn decode_within(path: &Path, max_pixels: u64, allowed: u64) -> Outcome {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env("BOMB", path)
        .env("BOMB_MAX_PIXELS", max_pixels.to_string())
        .env("BOMB_ALLOWED", allowed.to_string())
        .env("MALLOC_ARENA_MAX", "1") // the arenas of further threads take address space for nothing
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stdout);
    let line = printed.lines().find_map(|line| line.split_once("outcome: ")).map(|(_, outcome)| outcome.to_owned());
    let Some(line) = line else {
        panic!("{}: the process ended without an outcome\n{}", path.display(), String::from_utf8_lossy(&child.stderr))
    };
    let (peak, outcome) = line.split_once(' ').unwrap();
    let outcome = match outcome.split_once(' ').unwrap() {
        ("ok", bytes) => Ok(bytes.parse().unwrap()),
        (_, reason) => Err(reason.to_owned()),
    };
    let (peak, bytes): (u64, u64) = (peak.parse().unwrap(), *outcome.as_ref().unwrap_or(&(allowed - SLACK)));
    assert!(peak <= 4 * bytes + SLACK, "{}: {peak} bytes for an image of {bytes}", path.display());
    outcome
}

#[test]
#[ignore = "the child of the other tests: decodes the file that BOMB names"]
fn child() {
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let bytes = std::fs::read(std::env::var_os("BOMB").unwrap()).unwrap();
    let limits = DecodeLimits { max_pixels: number("BOMB_MAX_PIXELS") };
    let options = DecodeOptions { limits, ..DecodeOptions::default() };
    let _ = decode(b"", &options); // so that what is allocated once does not count
    let before = memory("VmRSS");
    let space = memory("VmSize") + number("BOMB_ALLOWED");
    rlimit::setrlimit(rlimit::Resource::AS, space, space).unwrap();
    let decoded = decode(&bytes, &options);
    let peak = memory("VmHWM").saturating_sub(before);
    match decoded {
        Ok(image) => println!("outcome: {peak} ok {}", image.pixels().len()),
        Err(error) => println!("outcome: {peak} refused {}", error.to_string().replace('\n', " ")),
    }
}

/// A number of bytes from `/proc/self/status`.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// A folder for the files of one test, removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sparkcider-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_bomb_is_refused_or_decoded_within_its_memory() {
    let folder = Folder::new("bombs");
    for files::Bomb { name, bytes, max_pixels, pixels, expected } in files::bombs() {
        let path = folder.file(name, &bytes);
        drop(bytes);
        let start = Instant::now();
        let outcome = decode_within(&path, max_pixels, 12 * pixels + SLACK);
        assert!(start.elapsed() < SLOW, "{name}: took {:?}", start.elapsed());
        match (expected, &outcome) {
            (Some(expected), Err(reason)) => assert!(reason.contains(expected), "{name}: {reason}"),
            (None, Ok(_)) => {}
            _ => panic!("{name}: {outcome:?}, expected {expected:?}"),
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_large_image_of_every_format_is_decoded_within_its_memory() {
    let folder = Folder::new("large");
    for (name, bytes) in files::large() {
        let path = folder.file(name, &bytes);
        drop(bytes);
        let rgb = u64::from(files::HEIGHT) * u64::from(files::WIDTH) * 3;
        assert_eq!(decode_within(&path, u64::MAX, 4 * rgb + SLACK), Ok(rgb), "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn odd_files_are_decoded_within_their_memory() {
    let root = std::env::var_os("SPARKCIDER_TEST_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let folder = root.join("odd-images");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: no test data at {} (SPARKCIDER_TEST_DATA)", folder.display());
        return;
    };
    for file in files {
        // the largest of them has 13 million pixels by its header
        let _ = decode_within(&file.unwrap().path(), 1 << 24, 12 * (1 << 24) + SLACK);
    }
}
