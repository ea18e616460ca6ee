//! Kernels from Debian packages: found by series, fetched, and reduced to what a guest boots with.

use super::apt::Apt;
use crate::run::{exec, output};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The series that a run without arguments boots: those of Debian's stable releases, and the newest, whose
/// virtio_net has zero-copy (since 6.18).
pub(super) const DEFAULT: [&str; 3] = ["6.1", "6.12", NEWEST];
/// Argument for the newest kernel that Debian has.
const NEWEST: &str = "newest";

/// Modules that a guest loads if its kernel has them as modules.
const MODULES: [&str; 10] =
    ["virtio_pci", "virtio_net", "e1000", "e1000e", "igb", "vmxnet3", "veth", "bridge", "xsk_diag", "8021q"];

/// A kernel that a guest can boot.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// As `uname -r` prints it, like `6.12.117+deb12-amd64`.
    pub(super) release: String,
    /// Its image.
    pub(super) image: PathBuf,
    /// Module files in the order in which they are loaded.
    pub(super) modules: Vec<PathBuf>,
}

/// The packages of the chosen kernels.
pub(super) struct KernelChoice<'a> {
    apt: &'a Apt,
    cache: PathBuf,
    packages: Vec<Package>,
}

/// Finds the last kernel of each series.
///
/// # Errors
/// Debian does not have a series.
pub(super) fn choose<'a>(workspace: &Workspace, apt: &'a Apt, series: &[String]) -> Result<KernelChoice<'a>> {
    let all: Vec<Package> =
        apt.names("linux-image-")?.iter().filter_map(|name| Package::parse(name)).collect();
    let mut packages: Vec<Package> = Vec::new();
    for series in series {
        let package = pick(&all, series)?;
        if !packages.contains(package) {
            packages.push(package.clone());
        }
    }
    Ok(KernelChoice { apt, cache: workspace.target.join("vm/kernels"), packages })
}

impl KernelChoice<'_> {
    /// Fetches the kernels that are not in the cache, and returns all.
    ///
    /// # Errors
    /// A download failed, or the disk is full.
    pub(super) fn fetch(&self) -> Result<Vec<Kernel>> {
        self.packages.iter().map(|package| fetch(self.apt, &self.cache, package)).collect()
    }
}

/// A package with a kernel for amd64 and all its drivers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Package {
    release: String,
    /// The numbers in the release, which order it: 6.12.90+deb12.1 comes after 6.12.90+deb12.
    numbers: Vec<u32>,
}

impl Package {
    /// From names like `linux-image-6.1.0-56-amd64`; `None` for `-cloud-`, `-rt-` and metapackages.
    fn parse(name: &str) -> Option<Self> {
        let release = name.strip_prefix("linux-image-")?;
        let version = release.strip_suffix("-amd64")?;
        let plain = |c: char| c.is_ascii_digit() || ".+-".contains(c);
        if !version.replace("deb", "").chars().all(plain) || version.matches('.').count() < 2 {
            return None;
        }
        let numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
        Some(Package { release: release.to_owned(), numbers: numbers.collect() })
    }

    fn series(&self) -> String {
        format!("{}.{}", self.numbers[0], self.numbers[1])
    }
}

/// The last package of a series.
fn pick<'a>(packages: &'a [Package], series: &str) -> Result<&'a Package> {
    let wanted = |package: &&Package| series == NEWEST || package.series() == series;
    let found = packages.iter().filter(wanted).max_by(|one, other| one.numbers.cmp(&other.numbers));
    found.with_context(|| {
        let mut there: Vec<_> =
            packages.iter().map(|package| (&package.numbers[..2], package.series())).collect();
        there.sort();
        there.dedup();
        let there: Vec<_> = there.into_iter().map(|(_, series)| series).collect();
        format!("Debian has no kernel '{series}': ask for {NEWEST}, or one of {}", there.join(", "))
    })
}

/// Returns a kernel from the cache, and fetches it first if it is not there.
fn fetch(apt: &Apt, cache: &Path, package: &Package) -> Result<Kernel> {
    let home = cache.join(&package.release);
    let stamp = MODULES.join("\n");
    if fs::read_to_string(home.join("complete")).is_ok_and(|modules| modules == stamp) {
        return kernel(&home, package);
    }
    println!("vm: fetching Linux {}", package.release);
    let partial = cache.join(format!("{}.partial", package.release));
    for old in [&home, &partial] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    let root = partial.join("root");
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    unpack(apt, package, &root).context("cannot fetch and unpack the kernel's packages")?;
    reduce(package, &partial)?;
    fs::remove_dir_all(&root)?;
    fs::write(partial.join("complete"), stamp)?;
    fs::rename(&partial, &home)?;
    kernel(&home, package)
}

/// Fetches and unpacks the package, and those that later kernels are split into.
fn unpack(apt: &Apt, package: &Package, root: &Path) -> Result<()> {
    let name = format!("linux-image-{}", package.release);
    let mut names = vec![name.clone()];
    let part = |name: &String| name.starts_with("linux-") && name.ends_with(&package.release);
    names.extend(apt.depends(&name)?.into_iter().filter(part));
    apt.unpack(&names, root)
}

/// Keeps the image, and the modules, uncompressed and numbered in the order in which they are loaded.
fn reduce(package: &Package, partial: &Path) -> Result<()> {
    let root = partial.join("root");
    // Packages that have everything below /usr rely on these links.
    for old in ["lib", "boot"] {
        if !root.join(old).exists() && root.join("usr").join(old).exists() {
            std::os::unix::fs::symlink(format!("usr/{old}"), root.join(old))?;
        }
    }
    let release = &package.release;
    let images = [format!("boot/vmlinuz-{release}"), format!("lib/modules/{release}/vmlinuz")];
    let image = images.iter().map(|image| root.join(image)).find(|image| image.exists());
    let image = image.with_context(|| format!("the packages of Linux {release} have no kernel image"))?;
    fs::copy(image, partial.join("vmlinuz"))?;

    exec(Command::new("depmod").arg("--basedir").arg(&root).arg(release))?;
    let files = module_files(&root, release);
    if files.is_empty() {
        bail!("none of the modules {} is in Linux {release}", MODULES.join(", "));
    }
    let modules = partial.join("modules");
    fs::create_dir(&modules)?;
    for (number, file) in files.iter().enumerate() {
        copy_module(number, file, &modules)?;
    }
    Ok(())
}

/// The files of [`MODULES`] and of those that they depend on, in the order in which they are loaded.
fn module_files(root: &Path, release: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for module in MODULES {
        let mut modprobe = Command::new("modprobe");
        modprobe.arg("--dirname").arg(root).args(["--set-version", release, "--show-depends", module]);
        // Fails for a module that the kernel does not have or has built in.
        let Ok(printed) = output(&mut modprobe) else { continue };
        for file in printed.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let file = PathBuf::from(file.trim());
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files
}

/// Copies a module's file to `<number>-<name>` in the directory, uncompressed.
fn copy_module(number: usize, file: &Path, modules: &Path) -> Result<()> {
    let name = file.file_name().context("a module's path has no name")?.to_string_lossy();
    let (plain, tool) = match name.rsplit_once('.') {
        Some((plain, "xz")) => (plain, Some("xz")),
        Some((plain, "zst")) => (plain, Some("zstd")),
        _ => (&*name, None),
    };
    let to = modules.join(format!("{number:02}-{plain}"));
    match tool {
        None => fs::copy(file, &to).map(drop).with_context(|| format!("cannot copy {}", file.display())),
        Some(tool) => {
            let unpacked = fs::File::create(&to)?;
            exec(Command::new(tool).args(["-d", "-c", "-q"]).arg(file).stdout(unpacked))
        }
    }
}

fn kernel(home: &Path, package: &Package) -> Result<Kernel> {
    let mut modules =
        fs::read_dir(home.join("modules"))?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    modules.sort();
    Ok(Kernel { release: package.release.clone(), image: home.join("vmlinuz"), modules })
}

#[cfg(test)]
mod tests {
    use super::{Package, pick};

    fn packages() -> Vec<Package> {
        let names = [
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-57-rt-amd64",
            "linux-image-6.12-amd64",
            "linux-image-6.12.90+deb12-amd64",
            "linux-image-6.12.90+deb12.1-amd64",
            "linux-image-6.12.9+deb12-amd64",
            "linux-image-7.2.12+deb13-amd64",
            "linux-image-7.2.12+deb13-amd64-dbg",
            "linux-image-7.3.1-amd64-unsigned",
            "linux-image-amd64",
        ];
        names.iter().filter_map(|name| Package::parse(name)).collect()
    }

    #[test]
    fn a_series_gives_its_last_full_kernel() {
        for (series, release) in [
            ("6.1", "6.1.0-56-amd64"),
            ("6.12", "6.12.90+deb12.1-amd64"),
            ("7.2", "7.2.12+deb13-amd64"),
            ("newest", "7.2.12+deb13-amd64"),
        ] {
            assert_eq!(pick(&packages(), series).unwrap().release, release, "{series}");
        }
    }

    #[test]
    fn an_unknown_series_is_refused_with_those_that_exist() {
        let error = pick(&packages(), "5.4").unwrap_err().to_string();
        assert_eq!(error, "Debian has no kernel '5.4': ask for newest, or one of 6.1, 6.12, 7.2");
        assert!(pick(&packages(), "6").is_err(), "6 is no series");
        assert!(pick(&packages(), "").is_err());
    }
}
