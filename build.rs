//! Compiles `src/image/libjpeg/shim.c` with the headers of the libjpeg-turbo that `turbojpeg-sys` has built.

use std::env::{self, VarError};

fn main() -> Result<(), VarError> {
    println!("cargo::rerun-if-changed=src/image/libjpeg/shim.c");
    let include = env::var("DEP_TURBOJPEG_INCLUDE")?;
    let mut build = cc::Build::new();
    build.file("src/image/libjpeg/shim.c").includes(env::split_paths(&include)).std("c11");
    build.warnings_into_errors(true).compile("sparkcider_jpeg");
    Ok(())
}
