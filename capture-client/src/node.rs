//! Calls on the node itself.

use capture_proto::v1::{self, node_service_client::NodeServiceClient};
use tonic::transport::Channel;

use crate::model::{NetworkInterface, Node};
use crate::{Client, ClientError, client::LARGEST_MESSAGE, convert};

impl Client {
    fn node_service(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// The properties of the node.
    pub async fn node(&self) -> Result<Node, ClientError> {
        let request = self.request(v1::GetNodeRequest {});
        let answer = self.node_service().get_node(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(convert::node(answer.node.unwrap_or_default()))
    }

    /// The node's interfaces, by index.
    pub async fn interfaces(&self) -> Result<Vec<NetworkInterface>, ClientError> {
        let request = self.request(v1::ListInterfacesRequest {});
        let answer = self.node_service().list_interfaces(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(answer
            .interfaces
            .into_iter()
            .map(convert::interface)
            .collect())
    }

    /// Changes the daemon's log level until it ends; returns the previous level.
    pub async fn set_log_level(&self, level: &str) -> Result<String, ClientError> {
        let request = self.request(v1::SetLogLevelRequest {
            log_level: level.to_owned(),
            reason: self.reason(),
        });
        let answer = self.node_service().set_log_level(request).await;
        let answer = answer.map_err(|status| self.error(&status))?.into_inner();
        Ok(answer.previous_log_level)
    }
}
