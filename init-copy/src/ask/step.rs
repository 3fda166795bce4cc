//! One step: what to copy, where to, and how.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pod_contract::aws::{self, Place};
use pod_contract::config::{Flag, Secret, Setting, Settings, Word, list, optional, setting, shown, switch};
use pod_contract::net::login::Login;
use pod_contract::units::{Bytes, OrOff};

use crate::archive::{Accept, Leniency, Limits, Unpack};
use crate::attributes::ModeChange;
use crate::attributes::{Attributes, Kept, Owner};
use crate::content::checksum::Expected;
use crate::content::substitute::Substitute;
use crate::fetch::{Credentials, WebUrl};
use crate::oci::{ImagePath, Platform};
use crate::plan::Links;
use crate::publish::Publish;
use crate::receipt::{Existing, Keeping, Proof};
use crate::source::Source;
use crate::source::glob::Glob;
use crate::wait::Condition;

/// Positional arguments; the name is what messages call them.
pub(crate) const PATHS: &str = "SRC... DEST";
/// The name of the one step of a command line.
const DEFAULT_NAME: &str = "default";
/// About 45 MiB of memory.
const MAX_ENTRIES: u32 = 100_000;
const MAX_RATIO: u32 = 200;
const TRIES: u32 = 10;

/// Where the expected digest is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checksum {
    Given(Expected),
    /// A checksum file.
    File(PathBuf),
    Url(WebUrl),
}

impl Setting for Checksum {
    const FORM: &'static str = "sha256:HEX, sha256-BASE64, or the path or URL of a checksum file";

    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return text.parse().map(Self::Url);
        }
        if text.contains('/') || text.contains('.') && !text.contains(':') {
            if let Ok(integrity) = Expected::parse(text) {
                return Ok(Self::Given(integrity));
            }
            return Ok(Self::File(text.into()));
        }
        Expected::parse(text).map(Self::Given)
    }
}

/// A proved step.
#[derive(Debug)]
pub(crate) struct Step {
    /// Who put what: a step prunes only what it put there itself.
    pub(crate) name: Arc<str>,
    /// At least one, unless there is something to wait for.
    pub(crate) sources: Vec<Source>,
    pub(crate) dest: Option<PathBuf>,
    /// DEST and SRC mean what they mean to `cp`.
    pub(crate) as_cp: bool,
    /// DEST is what the one source becomes, also when it is a directory.
    pub(crate) exact: bool,
    /// A link that the user named is copied as a link.
    pub(crate) keep_links: bool,
    pub(crate) exclude: Vec<Glob>,
    /// Of archives, only these; all when there is none.
    pub(crate) members: Vec<Glob>,
    pub(crate) unpack: Unpack,
    pub(crate) strip: u32,
    /// `None`: those of trees are kept, and those of archives refused when they lead outside.
    pub(crate) links: Option<Links>,
    pub(crate) leniency: Leniency,
    /// What is mounted in a tree is not copied.
    pub(crate) one_file_system: bool,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) publish: Publish,
    pub(crate) attributes: Attributes,
    pub(crate) prune: bool,
    pub(crate) existing: Existing,
    pub(crate) receipt: Keeping,
    pub(crate) proof: Proof,
    pub(crate) durable: bool,
    pub(crate) substitute: Substitute,
    pub(crate) max_entries: u32,
    pub(crate) limits: Limits,
    pub(crate) wait_for: Vec<Condition>,
    pub(crate) tries: u32,
    pub(crate) credentials: Credentials,
    pub(crate) registry_config: Option<PathBuf>,
    pub(crate) platform: Platform,
    /// Where the public keys are of which one has to have signed each artifact.
    pub(crate) cosign_key: Option<PathBuf>,
    /// What of an image is copied.
    pub(crate) path: Option<ImagePath>,
    pub(crate) plain_http: bool,
    pub(crate) buckets: Place,
}

impl Step {
    /// The settings of a step, also those of a section of the file.
    pub(crate) fn flags() -> Vec<Flag> {
        let mut all = vec![
            list::<Source>("source", "SRC", "The same as SRC, for variables and files"),
            setting::<PathBuf>("dest", "DEST", "The same as DEST, for variables and files"),
            setting::<String>(
                "name",
                "NAME",
                "Who put what, where several init containers share one DEST [default: default]",
            ),
            list::<Glob>(
                "exclude",
                "GLOB",
                "Leave out: *.md anywhere, docs/** below the source; a comma separates two",
            ),
            list::<Glob>(
                "member",
                "GLOB",
                "Of an archive, only these, with all that is below them: WEB-INF/lib/*.jar; each has to be there [default: all]",
            ),
            optional::<Unpack>(
                "unpack",
                "FORMAT",
                "auto",
                "Unpack: auto, zip (also war, jar), tar, tar.gz, tar.zst, tar.xz, tar.bz2; one file: gz, zst, xz, bz2 [default: off]",
            ),
            setting::<u32>(
                "strip-components",
                "N",
                "Drop so many leading names of archive members [default: 0]",
            ),
            setting::<Links>(
                "links",
                "WHAT",
                "Symbolic links: keep, follow (trees only), relative (absolute ones start at DEST), refuse those that lead outside \
                 [default: keep those of trees, refuse in archives]",
            ),
            list::<Accept>(
                "accept",
                "WHAT",
                "Of archives: no-end (a tar without its end mark), backslashes (as separators in names)",
            ),
            setting::<Sha256>("sha256", "HEX", "The digest that the one file has to have"),
            setting::<Checksum>(
                "checksum",
                "WHAT",
                "The same as sha256:HEX, sha512:HEX, sha256-BASE64, or the path or URL of a checksum file",
            ),
            list::<Glob>(
                "substitute",
                "GLOB",
                "Put variables into these text files: ${NAME}, ${NAME:-default}; $${ for a plain ${",
            ),
            list::<Condition>(
                "wait-for",
                "CONDITION",
                "Before anything else: tcp://HOST:PORT, http(s)://…, dns://NAME, file:PATH; all of them",
            ),
        ];
        all.extend(Self::target_flags());
        all.extend(Self::limit_flags());
        all.extend(Self::credential_flags());
        all.extend(aws::flags());
        all.push(switch("plain-http", "Talk to the registry without TLS"));
        all
    }

    fn target_flags() -> Vec<Flag> {
        vec![
            setting::<Publish>(
                "publish",
                "WAY",
                "auto, rename (each file), exchange (the directory as a whole), symlink (a link to it) [default: auto]",
            ),
            setting::<ModeChange>(
                "mode",
                "MODE",
                "Bits of files, such as u=rwX,g=rX,o= [default: those of the source, less the umask]",
            ),
            setting::<ModeChange>(
                "dir-mode",
                "MODE",
                "Bits of new directories [default: rwxrwxrwx, less the umask]",
            ),
            setting::<Owner>(
                "owner",
                "UID[:GID]",
                "Give everything to this user [default: the one that runs this]",
            ),
            list::<Kept>(
                "preserve",
                "WHAT",
                "Keep mode, owner, times, xattrs or all as in the source [default: none; times are now]",
            ),
            switch(
                "prune",
                "Remove what an earlier run put there and the sources no longer have",
            ),
            setting::<Existing>(
                "existing",
                "WHAT",
                "What stands there and was not put there or was changed since: replace, keep, fail; or seed, which writes only \
                 what was never put there [default: replace]",
            ),
            receipt_flag(),
            setting::<Proof>(
                "proof",
                "HOW",
                "What a second run believes: stat (inode, size, times) or digest (reads everything) [default: stat]",
            ),
            setting::<Durability>(
                "durability",
                "LEVEL",
                "full (synced before it is visible) or none (as cp) [default: full]",
            ),
        ]
    }

    fn limit_flags() -> Vec<Flag> {
        vec![
            setting::<OrOff<Bytes>>(
                "max-bytes",
                "SIZE",
                "Of what is copied, downloaded or unpacked [default: off; the free space counts]",
            ),
            setting::<u32>("max-entries", "N", "Of files, directories and links [default: 100000]"),
            setting::<u32>(
                "max-ratio",
                "N",
                "Of unpacked to packed bytes, above 16 MiB [default: 200]",
            ),
            setting::<u32>(
                "tries",
                "N",
                "Of a download in a row without progress, with growing pauses [default: 10]",
            ),
        ]
    }

    fn credential_flags() -> Vec<Flag> {
        vec![
            setting::<String>("username", "NAME", "For http(s) and oci sources, with --password"),
            setting::<Secret>("password", "SECRET", "Where the password is: env:NAME or file:PATH"),
            setting::<Secret>(
                "bearer",
                "SECRET",
                "Where a token for http(s) sources is: env:NAME or file:PATH",
            ),
            setting::<PathBuf>("netrc", "FILE", "Logins by host"),
            setting::<PathBuf>(
                "registry-config",
                "FILE",
                "A docker config.json or the directory of such a Secret [default: $REGISTRY_AUTH_FILE, $DOCKER_CONFIG, ~/.docker]",
            ),
            setting::<Platform>(
                "platform",
                "OS/ARCH",
                "Of an index, the manifest for it [default: this machine's]",
            ),
            setting::<PathBuf>(
                "cosign-key",
                "FILE",
                "Public keys (PEM); one of them has to have signed what is pulled, by cosign sign --key",
            ),
            setting::<ImagePath>(
                "path",
                "PATH",
                "Of an image, what to copy: /app under its name, /app/ its contents",
            ),
        ]
    }

    /// Who begins downloads beside DEST, or in it: steps of one name may have several destinations side by side.
    pub(crate) fn parts_owner(&self) -> String {
        let dest = self.dest.as_deref().and_then(Path::file_name).unwrap_or_default();
        format!("{} {}", self.name, dest.display())
    }

    /// Reads the settings of a step and sees that they go together; `None` after a mistake was noted.
    pub(crate) fn prove(settings: &mut Settings<'_>, section: Option<&str>) -> Option<Self> {
        Self::read(settings, section)?.consistent(settings)
    }

    /// Is a directory copied from there? A link to one is, unless links that the user named are kept.
    pub(crate) fn is_tree(&self, path: &Path) -> bool {
        is_tree(path, self.keep_links)
    }

    /// Reads the settings of a step; `None` after a mistake was noted.
    pub(crate) fn read(settings: &mut Settings<'_>, section: Option<&str>) -> Option<Self> {
        let wait_for = settings.values::<Condition>("wait-for");
        let paths = sources_and_dest(settings, section.is_none());
        let name = settings.optional::<String>("name");
        let exclude = settings.list::<Glob>("exclude");
        let members = settings.list::<Glob>("member");
        let unpack = settings.or("unpack", Unpack::Off);
        let strip = settings.or("strip-components", 0);
        let links = settings.optional::<Links>("links");
        let accept = settings.list::<Accept>("accept");
        let checksum = checksum(settings);
        let publish = settings.or("publish", Publish::Auto);
        let attributes = attributes(settings);
        let prune = settings.or("prune", false);
        let existing = settings.or("existing", Existing::Replace);
        let receipt = settings.or("receipt", Keeping::Inside);
        let proof = settings.or("proof", Proof::Stat);
        let durable = settings.or("durability", Durability(true));
        let substitute = settings.list::<Glob>("substitute");
        let limits = limits(settings);
        let tries = settings.or("tries", TRIES);
        let credentials = credentials(settings);
        let registry_config = settings.optional::<PathBuf>("registry-config");
        let platform = settings.or("platform", Platform::own());
        let cosign_key = settings.optional::<PathBuf>("cosign-key");
        let path = settings.optional::<ImagePath>("path");
        let plain_http = settings.or("plain-http", false);
        let buckets = Place::prove(settings);
        let wait_for = wait_for?;
        let (sources, dest) = paths?;
        let (max_entries, limits) = limits?;
        Some(Self {
            name: name?
                .or(section.map(str::to_owned))
                .unwrap_or_else(|| DEFAULT_NAME.into())
                .into(),
            sources,
            dest,
            as_cp: false,
            exact: false,
            keep_links: false,
            exclude: exclude?,
            members: members?,
            unpack: unpack?,
            strip: strip?,
            links: links?,
            leniency: Leniency::of(&accept?, matches!(path, Some(Some(_)))),
            one_file_system: false,
            checksum: checksum?,
            publish: publish?,
            attributes: attributes?,
            prune: prune?,
            existing: existing?,
            receipt: receipt?,
            proof: proof?,
            durable: durable?.0,
            substitute: Substitute::from_environment(substitute?),
            max_entries,
            limits,
            wait_for,
            tries: tries?,
            credentials: credentials?,
            registry_config: registry_config?,
            platform: platform?,
            cosign_key: cosign_key?,
            path: path?,
            plain_http: plain_http?,
            buckets: buckets?,
        })
    }

    fn consistent(self, settings: &mut Settings<'_>) -> Option<Self> {
        if self.sources.is_empty() && self.wait_for.is_empty() {
            return settings.refuse("give at least one SRC and a DEST: init-copy SRC... DEST");
        }
        if self.checksum.is_some() && self.sources.len() > 1 {
            return settings.refuse_together(
                &["sha256", "checksum"],
                "a digest is for one source, and there are several: copy each in a step of its own",
            );
        }
        if self.checksum.is_some() && !self.substitute.is_empty() {
            return settings.refuse_together(
                &["sha256", "checksum", "substitute"],
                "a digest says nothing about a file whose variables are put in",
            );
        }
        let is_local = self.sources.iter().all(|source| matches!(source, Source::Path(_)));
        if !self.substitute.is_empty() && (!is_local || self.unpack != Unpack::Off) {
            return settings.refuse_together(
                &["substitute"],
                "substitute is for files and trees, not for downloads, artifacts and archives",
            );
        }
        if self.tries == 0 || self.max_entries == 0 {
            return settings.refuse_together(&["tries", "max-entries"], "tries and max-entries have to be at least 1");
        }
        if self.links == Some(Links::Follow) && self.unpack != Unpack::Off {
            return settings.refuse_together(&["links", "unpack"], "the links of an archive cannot be followed");
        }
        if self.path.is_some() && self.unpack != Unpack::Off {
            return settings.refuse_together(
                &["path", "unpack"],
                "what is copied out of an image is not unpacked: do that in a second step",
            );
        }
        if self.path.is_some() && matches!(self.links, Some(Links::Relative | Links::Follow)) {
            return settings.refuse_together(
                &["path", "links"],
                "the links in an image start at its root, which is not DEST: keep or refuse them",
            );
        }
        self.refuse_pointless(settings);
        Some(self)
    }

    /// What does nothing in this step was meant for another one.
    fn refuse_pointless(&self, settings: &mut Settings<'_>) {
        let mut none = |names: &[&str], why: &str| names.iter().for_each(|name| settings.pointless(name, why));
        if self.sources.is_empty() {
            let flags = Self::flags();
            let names = flags
                .iter()
                .map(Flag::name)
                .filter(|name| !matches!(*name, "name" | "wait-for"));
            return none(&names.collect::<Vec<_>>(), "this step waits and copies nothing");
        }
        let has = |is: fn(&Source) -> bool| self.sources.iter().any(is);
        let has_artifact = has(|source| matches!(source, Source::Oci(_)));
        let has_object = has(|source| matches!(source, Source::S3(_)));
        let has_download = has(|source| matches!(source, Source::Url(_)));
        if self.unpack == Unpack::Off && !has_artifact {
            none(
                &["strip-components", "max-ratio", "accept", "member"],
                "nothing is unpacked; give --unpack too",
            );
        }
        if self.path.is_some() {
            none(
                &["strip-components", "member"],
                "they are for archives; name what is wanted of the image by --path",
            );
        }
        if self.receipt == Keeping::Off {
            none(
                &["prune", "proof"],
                "without a receipt, nothing is known of earlier runs",
            );
            if matches!(self.existing, Existing::Seed | Existing::Fail) {
                none(&["existing"], "without a receipt, nothing is known of earlier runs");
            }
        }
        if !has_artifact {
            none(
                &["registry-config", "platform", "cosign-key", "path", "plain-http"],
                "no source is an oci:// one",
            );
        }
        if !has_object {
            none(&aws::SETTINGS, "no source is an s3:// one");
        }
        if !has_artifact && !has_download && !has_object {
            none(
                &["username", "password", "bearer", "netrc", "tries"],
                "every source is a path, and no server is asked",
            );
        } else if !has_artifact && !has_download {
            none(
                &["username", "password", "bearer"],
                "the keys of a store are in variables: see the README",
            );
        }
    }
}

/// See [`Step::is_tree`]. A slash behind a link names what it leads to.
pub(crate) fn is_tree(path: &Path, keep_links: bool) -> bool {
    let meta = if keep_links {
        path.symlink_metadata()
    } else {
        path.metadata()
    };
    meta.is_ok_and(|meta| meta.is_dir())
}

#[derive(Clone, Copy)]
struct Durability(bool);

impl Word for Durability {
    const FORM: &'static str = "full or none";
    const WORDS: &'static [(&'static str, Self)] = &[("full", Self(true)), ("none", Self(false))];
}

pub(crate) fn sources_and_dest(
    settings: &mut Settings<'_>,
    positional: bool,
) -> Option<(Vec<Source>, Option<PathBuf>)> {
    let words = if positional {
        settings.values::<String>(PATHS)
    } else {
        Some(Vec::new())
    };
    let sources = settings.values::<Source>("source");
    let dest = settings.optional::<PathBuf>("dest");
    match (words?, sources?, dest?) {
        (mut words, sources, None) if sources.is_empty() && words.len() > 1 => {
            let dest = words.pop().map(PathBuf::from);
            let parsed: Vec<_> = words
                .iter()
                .map(|word| {
                    Source::parse(word)
                        .map_err(|why| {
                            settings.refuse::<()>(format!(
                                "SRC {} is not valid: {why}; expected {}",
                                shown(word),
                                Source::FORM
                            ))
                        })
                        .ok()
                })
                .collect();
            Some((parsed.into_iter().collect::<Option<_>>()?, dest))
        }
        (words, sources, Some(dest)) if words.is_empty() && !sources.is_empty() => Some((sources, Some(dest))),
        (words, sources, None) if words.is_empty() && sources.is_empty() => Some((sources, None)),
        (words, sources, dest) if words.is_empty() || sources.is_empty() && dest.is_none() => {
            settings.refuse("give at least one SRC and a DEST: init-copy SRC... DEST")
        }
        _ => settings.refuse("give SRC... DEST or --source and --dest, not both"),
    }
}

/// Outer `None` after a mistake.
fn checksum(settings: &mut Settings<'_>) -> Option<Option<Checksum>> {
    let sha256 = settings.optional::<Sha256>("sha256");
    let checksum = settings.optional::<Checksum>("checksum");
    match (sha256?, checksum?) {
        (Some(_), Some(_)) => settings.refuse("give --sha256 or --checksum, not both"),
        (Some(Sha256(expected)), None) => Some(Some(Checksum::Given(expected))),
        (None, checksum) => Some(checksum),
    }
}

/// Shared by all that read or write a receipt.
pub(crate) fn receipt_flag() -> Flag {
    setting::<Keeping>(
        "receipt",
        "FILE",
        "Where the list of what was copied is kept, or off [default: .init-copy.receipt in DEST]",
    )
}

struct Sha256(Expected);

impl Setting for Sha256 {
    const FORM: &'static str = "64 hexadecimal digits";

    fn parse(text: &str) -> Result<Self, String> {
        Expected::parse(&format!("sha256:{text}")).map(Self)
    }
}

fn attributes(settings: &mut Settings<'_>) -> Option<Attributes> {
    let mode = settings.optional::<ModeChange>("mode");
    let dir_mode = settings.optional::<ModeChange>("dir-mode");
    let owner = settings.optional::<Owner>("owner");
    let kept = settings.list::<Kept>("preserve");
    Some(Attributes::new(mode?, dir_mode?, owner?, kept?))
}

fn limits(settings: &mut Settings<'_>) -> Option<(u32, Limits)> {
    let bytes = settings.or("max-bytes", OrOff::<Bytes>(None));
    let entries = settings.or("max-entries", MAX_ENTRIES);
    let ratio = settings.or("max-ratio", MAX_RATIO);
    let limits = Limits {
        bytes: bytes?.0.map_or(u64::MAX, |bytes| bytes.0),
        ratio: ratio?,
    };
    Some((entries?, limits))
}

fn credentials(settings: &mut Settings<'_>) -> Option<Credentials> {
    let login = Login::prove(settings, &[("bearer", "Bearer")]);
    let netrc = settings.optional::<PathBuf>("netrc");
    Some(Credentials {
        login: login?,
        netrc: netrc?,
    })
}
