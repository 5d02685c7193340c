//! A file of a capture as it comes from its node. Each piece was checked against its checksum by the client.

use std::pin::pin;

use bytes::Bytes;
use capture_client::{ClientError, Piece, Target, cluster::ClusterClient, pull::Fetch};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::{nodes, problem};
use crate::api::Problem;

/// Pieces of 256 KiB on their way to the client.
const PIECES: usize = 8;

/// A file that is being read.
pub struct Download {
    /// Its size; absent while it grows.
    pub bytes: Option<u64>,
    /// Its bytes from the offset on.
    pub pieces: mpsc::Receiver<Result<Bytes, Box<Problem>>>,
}

impl Download {
    pub(super) async fn of_node(
        target: Target,
        who: &str,
        capture: &str,
        file: &str,
        offset: u64,
    ) -> Result<Self, Box<Problem>> {
        let client = nodes::client(&target, who, "download").await;
        let client = client.map_err(|error| problem::of(&error))?;
        let stream = client.read_file(capture, file, offset).await;
        let stream = stream.map_err(|error| problem::of(&error))?;
        let (sender, pieces) = mpsc::channel(PIECES);
        tokio::spawn(hand_on(stream, sender));
        Self::begin(pieces).await
    }

    pub(super) async fn of_cluster(
        client: ClusterClient,
        node: &str,
        capture: &str,
        file: &str,
        offset: u64,
    ) -> Result<Self, Box<Problem>> {
        let (sender, pieces) = mpsc::channel(PIECES);
        let [node, capture, file] = [node, capture, file].map(str::to_owned);
        tokio::spawn(async move {
            let source = (&client, &*node, &*capture);
            let stream = source.read(&file, offset).await;
            match stream {
                Ok(stream) => hand_on(stream, sender).await,
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                }
            }
        });
        Self::begin(pieces).await
    }

    /// Waits for the head of the file, which says its size.
    async fn begin(
        mut pieces: mpsc::Receiver<Result<Piece, ClientError>>,
    ) -> Result<Self, Box<Problem>> {
        let broken = || ClientError::Broken("the node sent nothing".to_owned());
        let head = pieces.recv().await.unwrap_or_else(|| Err(broken()));
        let bytes = match head.map_err(|error| problem::of(&error))? {
            Piece::Header(file) => file.is_whole().then_some(file.bytes),
            Piece::Chunk { .. } | Piece::End { .. } => {
                return Err(problem::of(&broken()));
            }
        };
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(piece) = pieces.recv().await {
                let piece = match piece {
                    Ok(Piece::Chunk { data, .. }) => Ok(data),
                    Ok(Piece::Header(_)) => continue,
                    Ok(Piece::End { .. }) => return,
                    Err(error) => Err(problem::of(&error)),
                };
                let is_end = piece.is_err();
                if sender.send(piece).await.is_err() || is_end {
                    return;
                }
            }
            let _ = sender.send(Err(problem::of(&broken()))).await;
        });
        Ok(Self {
            bytes,
            pieces: receiver,
        })
    }
}

async fn hand_on(
    stream: impl Stream<Item = Result<Piece, ClientError>>,
    sender: mpsc::Sender<Result<Piece, ClientError>>,
) {
    let mut stream = pin!(stream);
    while let Some(piece) = stream.next().await {
        if sender.send(piece).await.is_err() {
            return;
        }
    }
}
