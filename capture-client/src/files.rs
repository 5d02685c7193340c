//! Calls on files.

use bytes::Bytes;
use capture_proto::v1::{self, file_service_client::FileServiceClient};
use futures_util::{Stream, StreamExt as _};
use tonic::{Request, transport::Channel};

use crate::model::{File, Listing, Removed};
use crate::{Client, ClientError, client::LARGEST_MESSAGE, convert, error};

/// A message while a file is read.
#[derive(Debug, Clone)]
pub enum Piece {
    /// The file's properties; sent first.
    Header(Box<File>),
    /// Bytes whose checksum was verified.
    Chunk {
        /// Offset of the first byte in the file.
        offset: u64,
        /// The bytes.
        data: Bytes,
    },
    /// Sent last.
    End {
        /// The file's size.
        file_bytes: u64,
    },
}

/// Files requested per page.
const PAGE: u32 = 500;

impl Client {
    fn file_service(&self) -> FileServiceClient<Channel> {
        FileServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// All files of a capture, the oldest first.
    pub async fn files(&self, capture: &str) -> Result<Listing, ClientError> {
        let mut files = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListFilesRequest {
                capture: capture.to_owned(),
                page_size: PAGE,
                page_token: page_token.clone(),
            };
            let answer = self.file_service().list_files(self.request(request)).await;
            let answer = answer.map_err(|status| self.error(&status))?.into_inner();
            files.extend(answer.files.into_iter().map(convert::file));
            if answer.next_page_token == page_token && !page_token.is_empty() {
                return Err(ClientError::Damaged(
                    "the node answers a list of files with the same page for ever".to_owned(),
                ));
            }
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                let removed = Removed {
                    files: answer.removed_files,
                    packets: answer.removed_packets,
                    bytes: answer.removed_bytes,
                };
                return Ok(Listing { files, removed });
            }
        }
    }

    /// A file's bytes from an offset on, with the checksum of each chunk verified. Has no deadline.
    pub async fn read_file(
        &self,
        capture: &str,
        file: &str,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<Piece, ClientError>> + Send + use<>, ClientError> {
        let request = v1::ReadFileRequest {
            capture: capture.to_owned(),
            file: file.to_owned(),
            offset,
            length: None,
            reason: self.reason(),
        };
        let answer = self.file_service().read_file(Request::new(request)).await;
        let stream = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(stream.filter_map(async |piece| match piece {
            Ok(response) => response.piece.map(read_piece),
            Err(status) => Some(Err(error::from_status(&status, None))),
        }))
    }

    /// Removes a finished file.
    pub async fn delete_file(&self, capture: &str, file: &str) -> Result<File, ClientError> {
        let request = v1::DeleteFileRequest {
            capture: capture.to_owned(),
            file: file.to_owned(),
            reason: self.reason(),
        };
        let answer = self.file_service().delete_file(self.request(request)).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(convert::file(answer.file.unwrap_or_default()))
    }
}

pub(crate) fn read_piece(piece: v1::read_file_response::Piece) -> Result<Piece, ClientError> {
    use v1::read_file_response::Piece as Proto;
    match piece {
        Proto::Header(file) => Ok(Piece::Header(Box::new(convert::file(file)))),
        Proto::Chunk(chunk) => {
            // Treated like a broken connection: a repeated request may deliver it intact.
            if crc32c::crc32c(&chunk.data) != chunk.crc32c {
                return Err(ClientError::Broken(format!(
                    "bytes from {} on arrived damaged",
                    chunk.offset
                )));
            }
            Ok(Piece::Chunk {
                offset: chunk.offset,
                data: chunk.data,
            })
        }
        Proto::End(end) => Ok(Piece::End {
            file_bytes: end.file_bytes,
        }),
    }
}
