//! What a layer becomes on disk, and what hostile layers do not achieve.

use std::ffi::{CStr, OsString};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use node::Images;
use rustix::io::Errno;
use tar::{EntryType, Header};

use super::{Fixture, why};
use crate::Limits;
use crate::test_archives::{TarBuilder, docker_files, gzip, tar_of};

const OPAQUE: &CStr = c"trusted.overlay.opaque";

fn attribute(path: &Path, name: &CStr) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    match rustix::fs::lgetxattr(path, name, value.as_mut_slice()) {
        Ok(length) => Some(value[..length].to_vec()),
        Err(Errno::NODATA) => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn owners_modes_times_links_and_attributes_are_kept() {
    let mut owned = Header::new_gnu();
    owned.set_path("d/owned").unwrap();
    owned.set_entry_type(EntryType::Regular);
    owned.set_uid(1234);
    owned.set_gid(70_000);
    owned.set_mode(0o4755);
    owned.set_mtime(1_500_000_000);
    owned.set_size(2);
    owned.set_cksum();
    // A value with line ends in it, as capabilities have.
    let capability = b"\x01\0\0\x02\x0a\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice();
    let long = "x".repeat(200);
    let tar = TarBuilder::new()
        .entry(EntryType::Directory, "d/", "", 0o1777, b"")
        .records(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.a", b"b"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("mtime", b"1500000000.5"),
        ])
        .raw(&owned, b"hi")
        .hard_link("d/other", "./d/owned")
        .symlink("link", "../../etc/passwd")
        .hard_link("link2", "/link")
        .entry(EntryType::Fifo, "pipe", "", 0o600, b"")
        .entry(EntryType::Char, "null", "", 0o666, b"")
        .entry(EntryType::Block, "disk", "", 0o666, b"")
        .entry(EntryType::Regular, "old-folder/", "", 0o700, b"")
        .records(&[("path", format!("{long}/{long}/{long}").as_bytes())])
        .file("short", "deep")
        .finish();
    let fixture = Fixture::new();
    let layer = fixture.load_layer(&tar).await.unwrap();
    let file = fs::metadata(layer.join("d/owned")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (1234, 70_000, 0o4755));
    assert_eq!((file.mtime(), file.mtime_nsec()), (1_500_000_000, 500_000_000));
    assert_eq!(file.ino(), fs::metadata(layer.join("d/other")).unwrap().ino());
    let folder = fs::metadata(layer.join("d")).unwrap();
    assert_eq!((folder.mode() & 0o7777, folder.mtime()), (0o1777, 1_600_000_000));
    assert_eq!(fs::read_link(layer.join("link")).unwrap(), Path::new("../../etc/passwd"));
    assert_eq!(fs::read_link(layer.join("link2")).unwrap(), Path::new("../../etc/passwd"));
    assert!(fs::symlink_metadata(layer.join("pipe")).unwrap().file_type().is_fifo());
    assert!(!layer.join("null").exists() && !layer.join("disk").exists());
    assert!(layer.join("old-folder").is_dir());
    assert_eq!(fs::read_to_string(layer.join(&long).join(&long).join(&long)).unwrap(), "deep");
    let owned = layer.join("d/owned");
    assert_eq!(attribute(&owned, c"security.capability").as_deref(), Some(capability));
    assert_eq!(attribute(&owned, c"user.a").as_deref(), Some(b"b".as_slice()));
    assert_eq!(attribute(&owned, c"trusted.overlay.redirect"), None);
    assert_eq!(attribute(&owned, c"user.overlay.opaque"), None);
    let mode = |path: &str| fs::metadata(fixture.dir().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("layers"), 0o700, "nobody else runs the set-user-id programs of an image");
}

#[tokio::test]
async fn deletions_become_what_overlayfs_understands() {
    let lower = TarBuilder::new()
        .folder("gone-folder")
        .file("gone-folder/x", "")
        .file("gone", "")
        .folder("opaque")
        .file("opaque/old", "")
        .folder("renewed")
        .file("renewed/old", "")
        .folder("renewed2")
        .file("renewed2/old", "")
        .folder("kept")
        .file("kept/old", "kept")
        .finish();
    let upper = TarBuilder::new()
        .file(".wh.gone", "")
        .file(".wh.gone-folder", "")
        .folder("opaque")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/new", "")
        .file(".wh.renewed", "")
        .folder("renewed")
        .file("renewed/new", "")
        .folder("renewed2")
        .file("renewed2/new", "")
        .file(".wh.renewed2", "")
        .file(".wh..wh.plnk", "")
        .folder("kept")
        .file("kept/new", "")
        .finish();
    let fixture = Fixture::new();
    fixture.load(&tar_of(&docker_files(&["app"], &[lower, upper])), None).await.unwrap();
    let image = fixture.pull("app").await;
    for name in ["gone", "gone-folder"] {
        let found = fs::symlink_metadata(image.layers[0].join(name)).unwrap();
        assert!(found.file_type().is_char_device() && found.rdev() == 0, "{name}");
    }
    for name in ["opaque", "renewed", "renewed2"] {
        assert_eq!(attribute(&image.layers[0].join(name), OPAQUE).as_deref(), Some(b"y".as_slice()), "{name}");
    }
    assert_eq!(attribute(&image.layers[0].join("kept"), OPAQUE), None);

    // And what the kernel makes of it, in a mount namespace that ends with the command.
    let mut lowerdir = OsString::from("lowerdir=");
    lowerdir.push(&image.layers[0]);
    lowerdir.push(":");
    lowerdir.push(&image.layers[1]);
    let target = fixture.folder.path().join("merged");
    fs::create_dir(&target).unwrap();
    let script = r#"mount -t overlay overlay -o "$1" "$2" && cd "$2" && find . | sort"#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&lowerdir)
        .arg(&target)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let merged = String::from_utf8(output.stdout).unwrap();
    let expected = [
        ".",
        "./kept",
        "./kept/new",
        "./kept/old",
        "./opaque",
        "./opaque/new",
        "./renewed",
        "./renewed/new",
        "./renewed2",
        "./renewed2/new",
    ];
    assert_eq!(merged.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_later_entry_replaces_an_earlier_one() {
    let tar = TarBuilder::new()
        .folder("a")
        .folder("a/b")
        .file("a/b/c", "")
        .file("a", "file now")
        .file("b", "first")
        .file("b", "second")
        .symlink("c", "b")
        .file("c", "no longer a link")
        .file("d", "x")
        .folder("d")
        .file("d/e", "y")
        .finish();
    let layer = Fixture::new();
    let path = layer.load_layer(&tar).await.unwrap();
    for (name, expected) in [("a", "file now"), ("b", "second"), ("c", "no longer a link"), ("d/e", "y")] {
        assert_eq!(fs::read_to_string(path.join(name)).unwrap(), expected, "{name}");
    }
}

#[tokio::test]
async fn no_layer_reaches_outside_of_its_folder() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let folder = outside.path().to_str().unwrap();
    let file = victim.to_str().unwrap();
    let up = format!("{}{}", "../".repeat(12), &folder[1..]);
    let long = "x".repeat(90);
    let tar = TarBuilder::new;
    let rows: Vec<(&str, TarBuilder)> = vec![
        ("parent", tar().file("../victim", "bad")),
        ("parent inside", tar().folder("a").file("a/../../victim", "bad")),
        ("parent at the end", tar().folder("a").folder("a/..")),
        ("link out, then write", tar().symlink("l", folder).file("l/victim", "bad")),
        ("relative link out, then write", tar().symlink("l", &up).file("l/victim", "bad")),
        ("link out, then folder", tar().symlink("l", folder).folder("l/new")),
        ("link out, then whiteout", tar().symlink("l", folder).file("l/.wh.victim", "")),
        ("link out, then opaque", tar().symlink("l", folder).file("l/.wh..wh..opq", "")),
        ("link by link", tar().symlink("m", "l").symlink("l", folder).file("m/victim", "bad")),
        ("hard link out", tar().hard_link("h", file)),
        ("hard link up", tar().hard_link("h", &format!("{up}/victim"))),
        ("hard link through a link", tar().symlink("l", folder).hard_link("h", "l/victim")),
        ("hard link to itself", tar().hard_link("h", "h")),
        ("hard link to nothing", tar().hard_link("h", "")),
        ("hard link to a folder", tar().folder("a").hard_link("h", "a")),
        ("hard link to the root", tar().hard_link("h", "/")),
        ("link to nothing", tar().symlink("l", "")),
        ("circle of links", tar().symlink("a", "b").symlink("b", "a").file("a/x", "")),
        ("a file as a folder", tar().file("a", "").file("a/x", "")),
        ("the root as a file", tar().file("./", "").entry(EntryType::Symlink, "/", "x", 0o777, b"")),
        ("whiteout of the parent", tar().folder("a").file("a/.wh...", "")),
        ("whiteout of the folder", tar().folder("a").file("a/.wh..", "")),
        ("whiteout of nothing", tar().file(".wh.", "")),
        ("zero in the name", tar().records(&[("path", b"a\0b")]).file("x", "")),
        ("long name", tar().records(&[("path", "n".repeat(256).as_bytes())]).file("x", "")),
        ("long path", tar().records(&[("path", format!("{long}/").repeat(60).as_bytes())]).file("x", "")),
    ];
    for (case, archive) in rows {
        let fixture = Fixture::new();
        why(fixture.load_layer(&archive.finish()).await.map_err(|error| match error {
            error @ node::ImageError::InvalidArchive { .. } => error,
            other => panic!("{case}: {other:?}"),
        }));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched", "{case}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "{case}");
        assert_eq!(fixture.counts(), (0, 0, 0), "{case}");
    }
}

#[tokio::test]
async fn paths_from_the_top_and_links_inside_stay_inside() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().to_str().unwrap();
    let tar = TarBuilder::new()
        .file(&format!("{folder}/file"), "inside")
        .symlink("l", folder)
        .file("l/second", "inside too")
        .symlink("usr-lib", "/lib")
        .folder("lib")
        .file("usr-lib/x", "through a link")
        .finish();
    let fixture = Fixture::new();
    let layer = fixture.load_layer(&tar).await.unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    let inside = layer.join(&folder[1..]);
    assert_eq!(fs::read_to_string(inside.join("file")).unwrap(), "inside");
    assert_eq!(fs::read_to_string(inside.join("second")).unwrap(), "inside too");
    assert_eq!(fs::read_to_string(layer.join("lib/x")).unwrap(), "through a link");
}

#[tokio::test]
async fn a_bomb_is_stopped_at_its_bound() {
    const MIB: usize = 1 << 20;
    let zeros = TarBuilder::new().entry(EntryType::Regular, "zeros", "", 0o644, &vec![0; 8 * MIB]).finish();
    let limits = Limits { unpacked_bytes_max: MIB as u64, ..Limits::default() };
    let bomb = tar_of(&docker_files(&["app"], std::slice::from_ref(&zeros)));
    let message = why(Fixture::with(limits.clone()).load(&bomb, None).await);
    assert!(message.contains("more than 1048576 bytes"), "{message}");
    let message = why(Fixture::with(limits.clone()).load_layer(&gzip(&zeros)).await);
    assert!(message.contains("more than the 1048576 bytes"), "{message}");

    // A sparse file says with a few bytes that it is a terabyte.
    let mut sparse = Header::new_gnu();
    sparse.set_path("sparse").unwrap();
    sparse.set_entry_type(EntryType::GNUSparse);
    sparse.set_size(0);
    sparse.set_uid(0);
    sparse.set_gid(0);
    sparse.set_mode(0o644);
    sparse.set_mtime(0);
    sparse.as_gnu_mut().unwrap().set_real_size(1 << 40);
    sparse.as_gnu_mut().unwrap().sparse[0].set_offset(1 << 40);
    sparse.as_gnu_mut().unwrap().sparse[0].set_length(0);
    sparse.set_cksum();
    let message = why(Fixture::with(limits.clone()).load_layer(&TarBuilder::new().raw(&sparse, b"").finish()).await);
    assert!(message.contains("more than 1048576 bytes"), "{message}");

    let many = Limits { layer_entries_max: 2, ..Limits::default() };
    let tar = TarBuilder::new().file("a", "").file("b", "").file("c", "").finish();
    assert!(why(Fixture::with(many).load_layer(&tar).await).contains("more than 2 entries"));

    let long = TarBuilder::new().records(&[("comment", &vec![b'x'; 2 * MIB])]).file("a", "").finish();
    assert!(why(Fixture::new().load_layer(&long).await).contains("the headers of an entry are longer"));
}

#[tokio::test]
async fn blank_fields_are_zero_and_others_that_are_no_numbers_are_refused() {
    let mut blank = Header::new_gnu();
    blank.set_path("blank").unwrap();
    blank.set_entry_type(EntryType::Regular);
    blank.set_size(0);
    blank.set_mode(0o644);
    let fields = blank.as_old_mut();
    (fields.uid, fields.gid, fields.mtime) = ([0; 8], [b' '; 8], [0; 12]);
    blank.set_cksum();
    let layer = Fixture::new();
    let found = layer.load_layer(&TarBuilder::new().raw(&blank, b"").finish()).await.unwrap();
    let found = fs::metadata(found.join("blank")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mtime()), (0, 0, 0));
    blank.as_old_mut().uid = *b"nobody\0\0";
    blank.set_cksum();
    let message = why(Fixture::new().load_layer(&TarBuilder::new().raw(&blank, b"").finish()).await);
    assert!(message.contains("entry `blank`"), "{message}");
}

#[tokio::test]
async fn a_folder_becomes_a_layer_that_is_like_it() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path().join("rootfs");
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::write(folder.join("bin/tool"), "tool").unwrap();
    fs::hard_link(folder.join("bin/tool"), folder.join("bin/alias")).unwrap();
    let long = format!("./{}", "deep/".repeat(40));
    for (name, target) in [("dot", "."), ("abs", "/bin/tool"), ("long", long.as_str())] {
        std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
    }
    fs::write(folder.join("n".repeat(180)), "long name").unwrap();
    std::os::unix::fs::chown(folder.join("bin"), Some(5), Some(6)).unwrap();
    fs::set_permissions(folder.join("bin"), fs::Permissions::from_mode(0o2750)).unwrap();
    rustix::fs::setxattr(folder.join("bin/tool"), c"user.note", b"a\nb", rustix::fs::XattrFlags::empty()).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    let first = fixture.store.load(&folder, Some("a")).await.unwrap();
    let second = fixture.store.load(&folder, Some("b")).await.unwrap();
    assert_eq!(first[0].digest, second[0].digest);
    let layer = fixture.pull("a").await.layers[0].clone();
    let inode = |name: &str| fs::metadata(layer.join(name)).unwrap().ino();
    assert_eq!(inode("bin/tool"), inode("bin/alias"));
    for (name, target) in [("dot", "."), ("abs", "/bin/tool"), ("long", long.as_str())] {
        assert_eq!(fs::read_link(layer.join(name)).unwrap(), Path::new(target));
    }
    assert_eq!(fs::read_to_string(layer.join("n".repeat(180))).unwrap(), "long name");
    let bin = fs::metadata(layer.join("bin")).unwrap();
    assert_eq!((bin.uid(), bin.gid(), bin.mode() & 0o7777), (5, 6, 0o2750));
    assert_eq!(attribute(&layer.join("bin/tool"), c"user.note").as_deref(), Some(b"a\nb".as_slice()));
    assert!(!layer.join("socket").exists());
}
