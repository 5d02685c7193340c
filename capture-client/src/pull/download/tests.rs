use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use capture_file::digest;
use futures_util::stream;

use super::*;

/// A node with one file, whose connections break after the given number of bytes each; the last one
/// does not.
struct Breaking {
    contents: Vec<u8>,
    breaks: RefCell<Vec<usize>>,
    offsets: RefCell<Vec<u64>>,
}

impl Breaking {
    fn new(contents: &[u8], breaks: &[usize]) -> Self {
        Self {
            contents: contents.to_vec(),
            breaks: RefCell::new(breaks.iter().rev().copied().collect()),
            offsets: RefCell::default(),
        }
    }
}

impl Fetch for Breaking {
    async fn read(
        &self,
        _file: &str,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<Piece, ClientError>> + Send, ClientError> {
        self.offsets.borrow_mut().push(offset);
        let rest = &self.contents[offset as usize..];
        let until_break = self.breaks.borrow_mut().pop();
        let sent = until_break.map_or(rest.len(), |bytes| bytes.min(rest.len()));
        let mut pieces: Vec<_> = rest[..sent]
            .chunks(100)
            .enumerate()
            .map(|(number, chunk)| {
                Ok(Piece::Chunk {
                    offset: offset + number as u64 * 100,
                    data: Bytes::copy_from_slice(chunk),
                })
            })
            .collect();
        pieces.push(match until_break {
            Some(_) => Err(ClientError::Broken("on purpose".to_owned())),
            None => Ok(Piece::End {
                file_bytes: self.contents.len() as u64,
            }),
        });
        Ok(stream::iter(pieces))
    }
}

#[derive(Default)]
struct Observed {
    bytes: u64,
    broke: usize,
}

impl Report for Observed {
    fn bytes(&mut self, here: u64) {
        self.bytes = here;
    }

    fn broke(&mut self, _error: &ClientError) {
        self.broke += 1;
    }
}

fn contents() -> Vec<u8> {
    (0..5000_u32).flat_map(u32::to_le_bytes).collect()
}

fn wanted(contents: &[u8]) -> Wanted {
    Wanted {
        name: "a-20260101-000000-000001.pcapng".to_owned(),
        bytes: contents.len() as u64,
        digest: Some(digest(contents, DigestAlgorithm::Xxh128).unwrap()),
        growing: false,
    }
}

const AT_ONCE: Retry = Retry {
    attempts: 3,
    first_wait: Duration::from_millis(1),
    longest_wait: Duration::from_millis(1),
};

async fn run(
    source: &Breaking,
    file: &Wanted,
    directory: &Path,
) -> (Result<PathBuf, DownloadError>, Observed) {
    let mut observed = Observed::default();
    let result = download(source, file, directory, AT_ONCE, &mut observed).await;
    (result, observed)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_connection_that_breaks_five_times_gives_the_same_bytes_and_sends_none_twice() {
    let directory = tempfile::tempdir().unwrap();
    let contents = contents();
    let source = Breaking::new(&contents, &[1000, 0, 2500, 7000, 3300]);
    let (path, observed) = run(&source, &wanted(&contents), directory.path()).await;
    assert_eq!(fs::read(path.unwrap()).unwrap(), contents);
    assert_eq!(observed.broke, 5);
    assert_eq!(observed.bytes, contents.len() as u64);
    assert_eq!(
        *source.offsets.borrow(),
        [0, 1000, 1000, 3500, 10_500, 13_800]
    );
    assert_eq!(
        names(directory.path()).len(),
        1,
        "the part has become the file"
    );
}

#[tokio::test]
async fn a_later_call_takes_up_the_part_that_an_earlier_one_left() {
    let directory = tempfile::tempdir().unwrap();
    let contents = contents();
    let source = Breaking::new(&contents, &[4000, 0, 0, 0]);
    let (failed, _) = run(&source, &wanted(&contents), directory.path()).await;
    assert!(matches!(failed, Err(DownloadError::Node { .. })));
    assert_eq!(
        names(directory.path()),
        ["a-20260101-000000-000001.pcapng.part"]
    );

    let source = Breaking::new(&contents, &[]);
    let (path, _) = run(&source, &wanted(&contents), directory.path()).await;
    assert_eq!(fs::read(path.unwrap()).unwrap(), contents);
    assert_eq!(*source.offsets.borrow(), [4000]);

    let source = Breaking::new(&contents, &[]);
    let (path, _) = run(&source, &wanted(&contents), directory.path()).await;
    assert!(path.is_ok());
    assert!(
        source.offsets.borrow().is_empty(),
        "a file that is here is not sent again"
    );
}

#[tokio::test]
async fn a_part_of_another_file_is_not_made_into_this_one() {
    let directory = tempfile::tempdir().unwrap();
    let contents = contents();
    let part = directory
        .path()
        .join("a-20260101-000000-000001.pcapng.part");
    fs::write(&part, [0xff; 3000]).unwrap();
    let source = Breaking::new(&contents, &[]);
    let (path, _) = run(&source, &wanted(&contents), directory.path()).await;
    assert_eq!(fs::read(path.unwrap()).unwrap(), contents);
    assert_eq!(*source.offsets.borrow(), [3000, 0]);

    fs::write(&part, vec![0xff; contents.len() + 5]).unwrap();
    fs::write(
        directory.path().join("a-20260101-000000-000001.pcapng"),
        "x",
    )
    .unwrap();
    let source = Breaking::new(&contents, &[]);
    let (path, _) = run(&source, &wanted(&contents), directory.path()).await;
    assert_eq!(fs::read(path.unwrap()).unwrap(), contents);
}

#[tokio::test]
async fn a_file_that_is_damaged_on_the_node_never_gets_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let contents = contents();
    let mut damaged = contents.clone();
    damaged[9999] ^= 1;
    let source = Breaking::new(&damaged, &[]);
    let (failed, _) = run(&source, &wanted(&contents), directory.path()).await;
    assert!(matches!(failed, Err(DownloadError::Digest { .. })));
    let path = directory.path().join("a-20260101-000000-000001.pcapng");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_growing_file_is_read_to_where_it_has_come() {
    let directory = tempfile::tempdir().unwrap();
    let contents = contents();
    let file = Wanted {
        bytes: 100,
        digest: None,
        growing: true,
        ..wanted(&contents)
    };
    let source = Breaking::new(&contents, &[1000]);
    let (path, _) = run(&source, &file, directory.path()).await;
    assert_eq!(fs::read(path.unwrap()).unwrap(), contents);
}

#[tokio::test]
async fn a_name_with_a_path_in_it_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["../x", "/etc/x", "a/b", "..", ""] {
        let file = Wanted {
            name: name.to_owned(),
            ..wanted(b"")
        };
        let (refused, _) = run(&Breaking::new(b"", &[]), &file, directory.path()).await;
        assert!(matches!(refused, Err(DownloadError::Name(_))), "{name:?}");
    }
}
