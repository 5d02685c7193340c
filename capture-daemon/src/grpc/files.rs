//! FileService.

use std::{fs::File, os::unix::fs::FileExt as _, sync::Arc};

use capture_proto::v1::{self, file_service_server::FileService, read_file_response::Piece};
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::{
    Context, bounds,
    captures::page_size,
    convert, peer,
    status::{Violations, invalid},
    stream::{Answers, Gone, STREAM_MEMORY, Sink, answer},
};
use crate::{
    audit,
    manager::{Capture, ManagerError, StoredFile},
};

/// Bytes of a chunk.
const CHUNK: usize = 128 << 10;

pub(super) struct Files(pub(super) Context);

impl Files {
    fn capture(&self, name: &str) -> Result<Arc<Capture>, Status> {
        super::capture(&self.0.manager, "capture", name)
    }

    async fn file(&self, capture: &str, file: &str, reason: &str) -> Result<StoredFile, Status> {
        let mut wrong = Violations::default();
        wrong.at_most("reason", reason, bounds::REASON);
        wrong.at_most("file", file, bounds::FILE_NAME);
        if file.is_empty() {
            wrong.add(
                "file",
                "it is empty: give the name of a file of the capture",
            );
        }
        wrong.check()?;
        let capture = self.capture(capture)?;
        Ok(self.0.manager.file(&capture, file).await?)
    }
}

#[tonic::async_trait]
impl FileService for Files {
    type ReadFileStream = Answers<v1::ReadFileResponse>;

    async fn list_files(
        &self,
        request: Request<v1::ListFilesRequest>,
    ) -> Result<Response<v1::ListFilesResponse>, Status> {
        let request = request.into_inner();
        let capture = self.capture(&request.capture)?;
        // A token is the number of the last file on the previous page.
        let digits = |token: &str| token.bytes().all(|byte| byte.is_ascii_digit());
        let after = match request.page_token.as_str() {
            "" => 0,
            token => token
                .parse()
                .ok()
                .filter(|_| digits(token))
                .ok_or_else(|| invalid("page_token", "it is not from a response of this call"))?,
        };
        let files = self.0.manager.files(&capture).await?;
        let mut rest = files
            .files
            .iter()
            .filter(|file| file.entry.sequence > after);
        let page: Vec<&StoredFile> = rest.by_ref().take(page_size(request.page_size)).collect();
        let next_page_token = match page.last() {
            Some(last) if rest.next().is_some() => last.entry.sequence.to_string(),
            _ => String::new(),
        };
        Ok(Response::new(v1::ListFilesResponse {
            files: page
                .into_iter()
                .map(|file| convert::file(&request.capture, file))
                .collect(),
            next_page_token,
            removed_files: files.removed.files,
            removed_packets: files.removed.packets,
            removed_bytes: files.removed.bytes,
        }))
    }

    async fn read_file(
        &self,
        request: Request<v1::ReadFileRequest>,
    ) -> Result<Response<Self::ReadFileStream>, Status> {
        let who = peer::of(&request).identity;
        let request = request.into_inner();
        let object = format!("{}/{}", request.capture, request.file);
        let result = async {
            let stored = self
                .file(&request.capture, &request.file, &request.reason)
                .await?;
            let capture = self.capture(&request.capture)?;
            let (file, size) = self.0.manager.open_file(&capture, &stored).await?;
            let memory = self.0.memory.reserve(&who, STREAM_MEMORY)?;
            if request.offset > size {
                return Err(Status::out_of_range(format!(
                    "offset {}: the file has {size} bytes",
                    request.offset
                )));
            }
            Ok((file, stored, size, memory))
        }
        .await;
        let outcome = result.as_ref().map(|_| ()).map_err(Status::message);
        audit::done(&who, "ReadFile", &object, &request.reason, outcome);
        let (file, mut stored, size, memory) = result?;
        stored.entry.bytes = size;
        let header = convert::file(&request.capture, &stored);
        let end = request
            .length
            .map_or(u64::MAX, |length| request.offset.saturating_add(length));
        Ok(answer(&self.0.manager, memory, |sink| {
            read(file, header, request.offset..end, sink)
        }))
    }

    async fn delete_file(
        &self,
        request: Request<v1::DeleteFileRequest>,
    ) -> Result<Response<v1::DeleteFileResponse>, Status> {
        let who = peer::of(&request).identity;
        let request = request.into_inner();
        let object = format!("{}/{}", request.capture, request.file);
        let result = async {
            let mut wrong = Violations::default();
            wrong.at_most("reason", &request.reason, bounds::REASON);
            wrong.at_most("file", &request.file, bounds::FILE_NAME);
            wrong.check()?;
            let capture = self.capture(&request.capture)?;
            Ok(self.0.manager.delete_file(&capture, &request.file).await?)
        }
        .await;
        let outcome = result
            .as_ref()
            .map(|_| ())
            .map_err(|status: &Status| status.message());
        audit::done(&who, "DeleteFile", &object, &request.reason, outcome);
        let mut file = convert::file(&request.capture, &result?);
        file.set_state(v1::FileState::Removed);
        Ok(Response::new(v1::DeleteFileResponse { file: Some(file) }))
    }
}

async fn read(
    file: File,
    header: v1::File,
    range: std::ops::Range<u64>,
    sink: Sink<v1::ReadFileResponse>,
) -> Result<(), Gone> {
    let piece = |piece| Ok(v1::ReadFileResponse { piece: Some(piece) });
    let name = header.name.clone();
    sink.send(piece(Piece::Header(header))).await?;
    let file = Arc::new(file);
    let mut digest = Sha256::new();
    let mut at = range.start;
    while at < range.end {
        let most = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
        let reader = Arc::clone(&file);
        let read = tokio::task::spawn_blocking(move || chunk(&reader, at, most));
        let data = match read.await {
            Ok(Ok(data)) => data,
            Ok(Err(error)) => {
                let status = Status::data_loss(format!("file {name:?} at {at}: {error}"));
                return Ok(sink.send(Err(status)).await?);
            }
            Err(_) => return Ok(sink.send(Err(ManagerError::Internal.into())).await?),
        };
        if data.is_empty() {
            break;
        }
        digest.update(&data);
        let (offset, crc32c) = (at, crc32c::crc32c(&data));
        at += data.len() as u64;
        let chunk = v1::FileChunk {
            offset,
            data: data.into(),
            crc32c,
        };
        sink.send(piece(Piece::Chunk(chunk))).await?;
    }
    let end = v1::FileEnd {
        file_bytes: file.metadata().map_or(at, |metadata| metadata.len()),
        sent_bytes: at - range.start,
        sent_sha256: capture_file::hex(&digest.finalize()),
    };
    Ok(sink.send(piece(Piece::End(end))).await?)
}

fn chunk(file: &File, at: u64, most: usize) -> std::io::Result<Vec<u8>> {
    let mut data = vec![0; most];
    let mut filled = 0;
    while filled < most {
        match file.read_at(&mut data[filled..], at + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    data.truncate(filled);
    Ok(data)
}
