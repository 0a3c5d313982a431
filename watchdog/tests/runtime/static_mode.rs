//! Static mode: files from a folder.

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::harness::{Watchdog, folder};

#[test]
fn files_folders_ranges_and_dates() {
    let folder = folder();
    let root = folder.path().join("public");
    std::fs::create_dir_all(root.join("with")).unwrap();
    std::fs::create_dir_all(root.join("list")).unwrap();
    std::fs::write(root.join("a.css"), "0123456789").unwrap();
    std::fs::write(root.join("with/index.html"), "<html>index").unwrap();
    std::fs::write(root.join("list/<x>&.txt"), "").unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    let root = root.to_str().unwrap().to_owned();
    let watchdog = Watchdog::start(folder, &[("mode", "static"), ("static_path", &root)]);

    let file = watchdog.get("/a.css");
    assert_eq!((file.status, file.text().as_str()), (200, "0123456789"));
    assert_eq!(file.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(watchdog.post("/a.css", b"").text(), "0123456789");
    let head = watchdog.send(b"HEAD /a.css HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, "10"));

    let part = watchdog.call("GET", "/a.css", "Range: bytes=2-4\r\n", b"");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert_eq!(watchdog.call("GET", "/a.css", "Range: bytes=99-\r\n", b"").status, 416);
    let date = format!("If-Modified-Since: {}\r\n", file.header("last-modified"));
    assert_eq!(watchdog.call("GET", "/a.css", &date, b"").status, 304);

    assert_eq!(watchdog.get("/with").status, 301);
    assert_eq!(watchdog.get("/with/").text(), "<html>index");
    assert_eq!(watchdog.get("/with/index.html").header("location"), "./");
    let listing = watchdog.get("/list/").text();
    assert!(listing.contains("<a href=\"./%3Cx%3E%26.txt\">&lt;x&gt;&amp;.txt</a>"), "{listing}");

    let missing = watchdog.get("/none");
    assert_eq!((missing.status, missing.header("x-content-type-options")), (404, "nosniff"));
    for path in ["/../secret", "/%2e%2e/secret", "/with/..%2f..%2fsecret"] {
        assert_eq!(watchdog.get(path).status, 400, "{path}");
    }
}

#[test]
fn large_files_come_whole_and_kinds_are_told_whatever_part_is_wanted() {
    let folder = folder();
    let large: Vec<u8> = (0..300_001_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(folder.path().join("large.bin"), &large).unwrap();
    let picture = [b"GIF89a".as_slice(), &[b'.'; 70_000]].concat();
    std::fs::write(folder.path().join("picture"), &picture).unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    let root = folder.path().to_str().unwrap().to_owned();
    let watchdog = Watchdog::start(folder, &[("mode", "static"), ("static_path", &root)]);

    let whole = watchdog.get("/large.bin");
    assert!(whole.whole && whole.body == large);
    for (from, to) in [(0, 65_535), (1, 65_537), (65_535, 200_000), (299_999, 300_000)] {
        let part =
            watchdog.call("GET", "/large.bin", &format!("Range: bytes={from}-{to}\r\n"), b"");
        assert!(part.whole && part.body == large[from..=to], "{from}-{to}");
    }
    for headers in ["", "Range: bytes=0-2\r\n", "Range: bytes=60000-\r\n"] {
        let answer = watchdog.call("GET", "/picture", headers, b"");
        assert_eq!(answer.header("content-type"), "image/gif", "{headers}");
    }
    let head = watchdog.send(b"HEAD /picture HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(
        (head.header("content-type"), head.header("content-length")),
        ("image/gif", "70006")
    );
    let empty = watchdog.get("/empty");
    assert_eq!((empty.status, empty.header("content-length")), (200, "0"));
}

#[test]
fn what_is_no_file_is_not_there_and_nobody_waits_for_it() {
    let folder = folder();
    mkfifoat(CWD, folder.path().join("pipe"), Mode::RWXU).unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let root = folder.path().to_str().unwrap().to_owned();
    let watchdog = Watchdog::start(folder, &[("mode", "static"), ("static_path", &root)]);
    for path in ["/pipe", "/pipe/", "/file/", "/file/x"] {
        assert_eq!(watchdog.get(path).status, 404, "{path}");
    }
}
