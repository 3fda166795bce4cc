//! What the layers of an image add up to.
//!
//! Sources: OCI Image Specification 1.1, "Image Layer Filesystem Changeset" (whiteouts, opaque directories); names that pass through a
//! link go where the link leads, as in containerd.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use pod_contract::config::Setting;

use crate::archive::{Member, MemberKind, Refused};
use crate::plan::safe_path::{self, MAX_PATH};

/// In a layer, what is called this and a name removes that name from the layers below.
const WHITEOUT: &[u8] = b".wh.";
/// What the directory had in the layers below is gone.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// As many links on the way as the kernel follows.
const MAX_LINKS: u32 = 40;
/// Names that are passed on the way to one, with all links.
const MAX_STEPS: usize = 2048;
/// Each name of a path is looked up in all names, so that much deeper ones, which nobody has, would take hours.
const MAX_DEPTH: usize = 256;

/// A path in an image; with a slash behind it, the contents of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImagePath {
    path: PathBuf,
    pub(crate) contents: bool,
}

impl Setting for ImagePath {
    const FORM: &'static str = "a path from the image's root, such as /app/";

    fn parse(text: &str) -> Result<Self, String> {
        let below = text.strip_prefix('/').ok_or("it does not begin with a slash")?;
        let path = match safe_path::relative(below.trim_start_matches('/').as_bytes()) {
            Err(safe_path::Unsafe::Empty) => PathBuf::new(),
            other => other.map_err(|why| why.to_string())?,
        };
        let contents = text.ends_with('/') || text.ends_with("/.");
        Ok(Self { path, contents })
    }
}

impl std::fmt::Display for ImagePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slash = if self.contents && !self.path.as_os_str().is_empty() {
            "/"
        } else {
            ""
        };
        write!(f, "/{}{slash}", self.path.display())
    }
}

impl ImagePath {
    /// The last name; empty for the root.
    pub(crate) fn file_name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }
}

/// One name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Which layer its content is in.
    pub(crate) layer: usize,
    /// Its number there.
    pub(crate) number: u32,
    /// Which layer gave it this name.
    named_in: usize,
    /// It has other names too.
    pub(crate) shared: bool,
    pub(crate) kind: NodeKind,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) modified: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Dir,
    File,
    Link(Box<[u8]>),
    /// Is not unpacked here, and why.
    Unfit(Box<str>),
}

/// All names, by path.
#[derive(Debug, Default)]
pub(crate) struct RootFs {
    nodes: BTreeMap<PathBuf, Node>,
    /// What the layer has hidden so far: a second time, nothing of those below is left there.
    hidden: HashSet<PathBuf>,
    /// That layer.
    layer: usize,
    /// Of all layers, those that hide something too.
    members: usize,
}

impl RootFs {
    /// How many members there were in all layers.
    pub(crate) fn members(&self) -> usize {
        self.members
    }

    /// Takes up a member of a layer; those of one layer come in their order, after those of the layers below.
    pub(crate) fn apply(&mut self, layer: usize, number: u32, member: Member) -> Result<(), Refused> {
        let Member {
            path,
            kind,
            size,
            mode,
            modified,
            ..
        } = member;
        let (parent, name) = (path.parent().unwrap_or(Path::new("")), path.file_name());
        let name = name.ok_or_else(|| Refused::Unsafe(format!("the member {path:?} has no name")))?;
        if path.components().count() > MAX_DEPTH {
            return Err(Refused::Unsafe(format!("{path:?} is deeper than {MAX_DEPTH}")));
        }
        let parent = self.resolve(parent)?;
        self.members += 1;
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return self.hide(layer, &parent, name, OsStr::from_bytes(hidden));
        }
        if let Some(above) = parent.ancestors().find(|above| self.is_leaf(above)) {
            let why = format!("{path:?} lies below {above:?}, which is no directory");
            return Err(Refused::Damaged(why));
        }
        let path = parent.join(name);
        let kind = match kind {
            MemberKind::Dir => NodeKind::Dir,
            MemberKind::File => NodeKind::File,
            MemberKind::Link(to) => NodeKind::Link(to.into()),
            MemberKind::Unfit(why) => NodeKind::Unfit(why.into()),
            MemberKind::Hard(to) => return self.link(layer, path, &to),
        };
        let node = Node {
            layer,
            number,
            named_in: layer,
            shared: false,
            kind,
            mode,
            size,
            modified,
        };
        self.put(path, node);
        Ok(())
    }

    /// A whiteout in `parent`, which removes from the layers below only, wherever in its own it stands.
    fn hide(&mut self, layer: usize, parent: &Path, name: &OsStr, hidden: &OsStr) -> Result<(), Refused> {
        if layer != self.layer {
            self.hidden.clear();
            self.layer = layer;
        }
        let is_opaque = name.as_bytes() == OPAQUE;
        // What aufs kept for itself.
        if !is_opaque && hidden.as_bytes().starts_with(WHITEOUT) {
            return Ok(());
        }
        if matches!(hidden.as_bytes(), b"" | b"." | b"..") {
            return Err(Refused::Unsafe(format!(
                "the whiteout {name:?} in {parent:?} names nothing"
            )));
        }
        let top = if is_opaque {
            parent.to_owned()
        } else {
            parent.join(hidden)
        };
        if self.hidden.insert(parent.join(name)) {
            self.remove(&top, |at, node| node.named_in != layer && !(is_opaque && at == top));
        }
        Ok(())
    }

    /// Can nothing be below it? What is not unpacked may be a directory.
    fn is_leaf(&self, path: &Path) -> bool {
        let kind = self.get(path).map(|node| &node.kind);
        matches!(kind, Some(NodeKind::File | NodeKind::Link(_)))
    }

    /// Another name of a file or link, perhaps one of a layer below.
    fn link(&mut self, layer: usize, path: PathBuf, to: &Path) -> Result<(), Refused> {
        let parent = self.resolve(to.parent().unwrap_or(Path::new("")))?;
        let found = self.nodes.get_mut(&parent.join(to.file_name().unwrap_or_default()));
        let Some(node) = found.filter(|node| node.kind != NodeKind::Dir) else {
            let why = format!("the hard link {path:?} leads to {to:?}, which is no file that is there");
            return Err(Refused::Damaged(why));
        };
        node.shared = true;
        let node = Node {
            named_in: layer,
            ..node.clone()
        };
        self.put(path, node);
        Ok(())
    }

    /// A directory stays what it is for what is below it; all else makes room.
    fn put(&mut self, path: PathBuf, node: Node) {
        if node.kind != NodeKind::Dir {
            self.remove(&path, |_, _| true);
        }
        self.nodes.insert(path, node);
    }

    /// Of `top` and what is below it, what `is_gone`.
    fn remove(&mut self, top: &Path, is_gone: impl Fn(&Path, &Node) -> bool) {
        let gone: Vec<PathBuf> = self
            .below(top)
            .filter(|(path, node)| is_gone(path, node))
            .map(|(path, _)| path.to_owned())
            .collect();
        for path in gone {
            self.nodes.remove(&path);
        }
    }

    /// `top` and all below it, in the order of their paths.
    pub(crate) fn below<'s>(&'s self, top: &'s Path) -> impl Iterator<Item = (&'s Path, &'s Node)> {
        let from = self.nodes.range::<Path, _>((Bound::Included(top), Bound::Unbounded));
        from.take_while(move |(path, _)| path.starts_with(top))
            .map(|(path, node)| (path.as_path(), node))
    }

    /// Where `wanted` is, links on its way and at its end followed; `None` when there is nothing.
    pub(crate) fn find(&self, wanted: &ImagePath) -> Result<Option<PathBuf>, Refused> {
        let path = self.resolve(&wanted.path)?;
        let is_there = self.below(&path).next().is_some();
        Ok(is_there.then_some(path))
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The path without links; `..` never leads above the root.
    fn resolve(&self, path: &Path) -> Result<PathBuf, Refused> {
        let mut done = PathBuf::new();
        let mut left: Vec<OsString> = Vec::new();
        let push = |left: &mut Vec<OsString>, path: &Path| {
            let names = path.components().rev().filter_map(|component| match component {
                Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
                _ => None,
            });
            left.extend(names);
        };
        push(&mut left, path);
        let (mut links, mut steps) = (0, 0);
        while let Some(name) = left.pop() {
            steps += 1;
            if steps > MAX_STEPS || done.as_os_str().len() > MAX_PATH {
                return Err(Refused::Unsafe(format!(
                    "{path:?} leads through more than any path has"
                )));
            }
            if name == ".." {
                done.pop();
                continue;
            }
            done.push(name);
            if let Some(NodeKind::Link(to)) = self.nodes.get(&done).map(|node| &node.kind) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Refused::Unsafe(format!("{path:?} passes through links in a circle")));
                }
                match to.first() {
                    Some(b'/') => done.clear(),
                    _ => drop(done.pop()),
                }
                push(&mut left, Path::new(OsStr::from_bytes(to)));
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(path: &str, kind: MemberKind) -> Member {
        Member {
            kind,
            ..Member::file(path.into(), 1)
        }
    }

    fn file(path: &str) -> Member {
        member(path, MemberKind::File)
    }

    fn dir(path: &str) -> Member {
        member(path, MemberKind::Dir)
    }

    fn link(path: &str, to: &str) -> Member {
        member(path, MemberKind::Link(to.into()))
    }

    fn hard(path: &str, to: &str) -> Member {
        member(path, MemberKind::Hard(to.into()))
    }

    fn merged(layers: &[&[Member]]) -> Result<RootFs, Refused> {
        let mut all = RootFs::default();
        for (layer, members) in layers.iter().enumerate() {
            for (number, member) in members.iter().enumerate() {
                all.apply(layer, number as u32, member.clone())?;
            }
        }
        Ok(all)
    }

    fn names(all: &RootFs) -> Vec<String> {
        let name = |(path, node): (&Path, &Node)| format!("{}:{}", path.display(), node.layer);
        all.below(Path::new("")).map(name).collect()
    }

    #[test]
    fn a_layer_adds_replaces_and_removes() {
        let below: &[_] = &[
            dir("a"),
            file("a/old"),
            file("a/both"),
            dir("d"),
            file("d/x"),
            file("da"),
        ];
        for (above, left) in [
            (
                &[file("a/new"), file("a/both")][..],
                &["a:0", "a/both:1", "a/new:1", "a/old:0", "d:0", "d/x:0", "da:0"][..],
            ),
            (&[file("a/.wh.old"), file(".wh.d")], &["a:0", "a/both:0", "da:0"]),
            // Only of the layers below, in whatever order.
            (
                &[
                    dir("a"),
                    file("a/own"),
                    file("a/.wh..wh..opq"),
                    file(".wh.da"),
                    file("da"),
                ],
                &["a:1", "a/own:1", "d:0", "d/x:0", "da:1"],
            ),
            (
                &[file(".wh.a"), dir("a"), file("a/own")],
                &["a:1", "a/own:1", "d:0", "d/x:0", "da:0"],
            ),
            // One kind in the place of another.
            (&[file("a"), dir("da")], &["a:1", "d:0", "d/x:0", "da:1"]),
            // A name of this layer for what one below has.
            (
                &[hard("a/link", "da"), file("a/.wh..wh..opq"), file(".wh.da")],
                &["a:0", "a/link:0", "d:0", "d/x:0"],
            ),
            (
                &[link("d", "a"), file(".wh..wh.plnk"), file(".wh.none")],
                &["a:0", "a/both:0", "a/old:0", "d:1", "da:0"],
            ),
        ] {
            assert_eq!(names(&merged(&[below, above]).unwrap()), left);
        }
    }

    #[test]
    fn names_go_where_links_lead() {
        let all = merged(&[
            &[dir("usr/lib"), link("lib", "usr/lib"), link("usr/abs", "/usr/lib")],
            &[file("lib/new"), file("usr/abs/other"), file("usr/abs/.wh.none")],
            &[hard("lib/again", "lib/new"), file("usr/lib/.wh.other")],
        ])
        .unwrap();
        assert_eq!(
            names(&all),
            ["lib:0", "usr/abs:0", "usr/lib:0", "usr/lib/again:1", "usr/lib/new:1"]
        );
        let wanted = |text: &str| all.find(&ImagePath::parse(text).unwrap()).unwrap();
        for (text, path) in [
            ("/lib", Some("usr/lib")),
            ("/lib/new", Some("usr/lib/new")),
            ("/usr/abs/", Some("usr/lib")),
            ("/usr", Some("usr")),
            ("/", Some("")),
            ("/none", None),
            ("/us", None),
        ] {
            assert_eq!(wanted(text), path.map(PathBuf::from), "{text}");
        }
        for name in ["usr/lib/again", "usr/lib/new"] {
            assert!(all.get(Path::new(name)).unwrap().shared, "{name}");
        }
    }

    #[test]
    fn circles_and_links_to_nothing_are_refused() {
        assert!(merged(&[&[link("a", "b"), link("b", "/a"), file("a/x")]]).is_err());
        for bad in [
            &[hard("a", "b")][..],
            &[dir("b"), hard("a", "b")],
            &[dir("b"), file("b/.wh.")],
            &[dir("b"), file("b/.wh..")],
            &[dir("b"), file("b/.wh...")],
            &[file("b"), file("b/x")],
        ] {
            assert!(merged(&[bad]).is_err(), "{bad:?}");
        }
        let up = merged(&[&[link("a", "../../.."), file("x")]]).unwrap();
        let root = up.find(&ImagePath::parse("/a/x").unwrap()).unwrap();
        assert_eq!(root, Some(PathBuf::from("x")));
        let chain = |links: u32| {
            let mut members: Vec<_> = (0..links)
                .map(|n| link(&format!("l{n}"), &format!("l{}", n + 1)))
                .collect();
            members.push(dir(&format!("l{links}")));
            members.push(file("l0/x"));
            merged(&[&members])
        };
        // Links that are followed by links with long names.
        let long = ["d"; 1000].join("/");
        let nested: Vec<_> = [
            link("l0", &long),
            link("l1", &format!("l0/{long}/{long}")),
            file("l1/x"),
        ]
        .into();
        assert!(merged(&[&nested]).is_err());
        assert!(chain(MAX_LINKS).is_ok());
        assert!(chain(MAX_LINKS + 1).is_err());
    }

    #[test]
    fn paths_have_a_limit_of_depth() {
        for (depth, good) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
            assert_eq!(merged(&[&[file(&vec!["d"; depth].join("/"))]]).is_ok(), good, "{depth}");
        }
    }

    #[test]
    fn paths_begin_at_the_root() {
        for (text, shown, contents) in [
            ("/app", "/app", false),
            ("/app/", "/app/", true),
            ("//a//b/.", "/a/b/", true),
            ("/", "/", true),
        ] {
            let path = ImagePath::parse(text).unwrap();
            assert_eq!((path.to_string().as_str(), path.contents), (shown, contents), "{text}");
        }
        for bad in ["", "app", "/../x", "/a/../b", "/a\\b"] {
            assert!(ImagePath::parse(bad).is_err(), "{bad}");
        }
    }
}
