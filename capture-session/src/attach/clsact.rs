//! Filters of the clsact queueing discipline (tc-bpf(8)), for kernels without TCX.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use futures_util::{Stream, StreamExt as _};
use rtnetlink::{
    Error, Handle,
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
        NetlinkMessage, NetlinkPayload,
    },
    packet_route::{
        RouteNetlinkMessage,
        tc::{
            TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
        },
    },
};

use super::{
    AttachError, hook_name,
    owner::{PREFIX, is_leftover},
};
use capture_types::Direction;

/// The numerically lowest priority runs first.
const FIRST_PRIORITY: u16 = 1;

/// `ETH_P_ALL` in network byte order, as the kernel expects it here.
const ALL_PROTOCOLS: u16 = 0x0003_u16.to_be();

/// A filter that is attached.
#[derive(Debug)]
pub(super) struct Filter {
    ifindex: u32,
    direction: Direction,
    priority: u16,
    handle: u32,
    name: String,
}

impl Filter {
    pub(super) async fn add(
        netlink: &Handle,
        name: String,
        ifindex: u32,
        direction: Direction,
        program: BorrowedFd<'_>,
    ) -> Result<Self, AttachError> {
        let failed = |source| AttachError::Clsact {
            ifindex,
            hook: hook_name(direction),
            source,
        };
        add_clsact(netlink, ifindex).await.map_err(failed)?;
        let mut filter = Self {
            ifindex,
            direction,
            priority: FIRST_PRIORITY,
            handle: 1,
            name,
        };
        loop {
            let message = filter.message(Some(program));
            let flags = NLM_F_CREATE | NLM_F_EXCL;
            match request(
                netlink,
                RouteNetlinkMessage::NewTrafficFilter(message),
                flags,
            )
            .await
            {
                Ok(()) => return Ok(filter),
                // The handle is in use: by another capture of ours, or by a filter of somebody else
                // with the same priority, before which ours is placed.
                Err(error) if is(&error, libc::EEXIST) && filter.handle < MOST_HANDLES => {
                    filter.handle += 1;
                }
                // Another kind of filter has this priority.
                Err(error) if is(&error, libc::EINVAL) && filter.priority < LAST_PRIORITY => {
                    filter.priority += 1;
                    filter.handle = 1;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    pub(super) async fn replace(
        &self,
        netlink: &Handle,
        program: BorrowedFd<'_>,
    ) -> Result<(), AttachError> {
        let message = RouteNetlinkMessage::NewTrafficFilter(self.message(Some(program)));
        request(netlink, message, NLM_F_CREATE | NLM_F_REPLACE)
            .await
            .map_err(|source| self.failed(source))
    }

    pub(super) async fn remove(self, netlink: &Handle) -> Result<(), AttachError> {
        let message = RouteNetlinkMessage::DelTrafficFilter(self.message(None));
        match request(netlink, message, 0).await {
            // The filter is gone: with its interface, or somebody removed it.
            Err(error)
                if [libc::ENODEV, libc::ENXIO, libc::ENOENT, libc::EINVAL]
                    .iter()
                    .any(|gone| is(&error, *gone)) =>
            {
                Ok(())
            }
            result => result.map_err(|source| self.failed(source)),
        }
    }

    /// The filter's priority and handle.
    pub(super) const fn key(&self) -> (u16, u32) {
        (self.priority, self.handle)
    }

    fn failed(&self, source: Error) -> AttachError {
        AttachError::Clsact {
            ifindex: self.ifindex,
            hook: hook_name(self.direction),
            source,
        }
    }

    fn message(&self, program: Option<BorrowedFd<'_>>) -> TcMessage {
        let mut message = TcMessage::with_index(self.ifindex.cast_signed());
        message.header.parent = parent(self.direction);
        message.header.handle = TcHandle::from(self.handle);
        message.header.info = (u32::from(self.priority) << 16) | u32::from(ALL_PROTOCOLS);
        message
            .attributes
            .push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
        if let Some(program) = program {
            message.attributes.push(TcAttribute::Options(vec![
                TcOption::Bpf(TcFilterBpfOption::ProgFd(
                    program.as_raw_fd().cast_unsigned(),
                )),
                TcOption::Bpf(TcFilterBpfOption::ProgName(self.name.clone())),
                TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
            ]));
        }
        message
    }
}

/// Handles that are tried on one priority before adding a filter fails.
const MOST_HANDLES: u32 = 4096;
/// The last priority that is tried when others have another kind of filter.
const LAST_PRIORITY: u16 = 64;

/// Removes the filters that recorders which no longer run have left on any interface, and returns how
/// many. Filters of others and of running recorders stay.
///
/// # Errors
///
/// rtnetlink(7) failed.
pub(super) async fn remove_leftovers(netlink: &Handle) -> Result<usize, Error> {
    let mut removed = 0;
    for ifindex in interfaces_with_clsact(netlink).await? {
        for direction in [Direction::In, Direction::Out] {
            let mut dump = TcMessage::with_index(ifindex);
            dump.header.parent = parent(direction);
            let request_dump = RouteNetlinkMessage::GetTrafficFilter(dump);
            let mut filters = Box::pin(responses(netlink, request_dump)?);
            let mut stale = Vec::new();
            while let Some(message) = filters.next().await {
                if let RouteNetlinkMessage::NewTrafficFilter(filter) = message?
                    && filter_name(&filter).is_some_and(is_leftover)
                {
                    stale.push(filter);
                }
            }
            for filter in stale {
                let mut message = TcMessage::with_index(ifindex);
                message.header = filter.header;
                message
                    .attributes
                    .push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
                request(netlink, RouteNetlinkMessage::DelTrafficFilter(message), 0).await?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// The names of the filters of others that run before the filter of this priority and handle; `None` if
/// that one does not exist. The kernel lists filters in the order in which they run.
pub(super) async fn filters_before(
    netlink: &Handle,
    ifindex: u32,
    direction: Direction,
    key: (u16, u32),
) -> Result<Option<Vec<String>>, Error> {
    let mut dump = TcMessage::with_index(ifindex.cast_signed());
    dump.header.parent = parent(direction);
    let mut filters = Box::pin(responses(
        netlink,
        RouteNetlinkMessage::GetTrafficFilter(dump),
    )?);
    let mut before = Vec::new();
    let mut found = false;
    while let Some(message) = filters.next().await {
        let RouteNetlinkMessage::NewTrafficFilter(filter) = message? else {
            continue;
        };
        let handle = u32::from(filter.header.handle);
        let priority = (filter.header.info >> 16) as u16;
        found |= handle == key.1 && priority == key.0;
        // The kernel lists each priority once more without a handle.
        if found || handle == 0 {
            continue;
        }
        match filter_name(&filter) {
            Some(name) if name.starts_with(PREFIX) => {}
            Some(name) => before.push(name.to_owned()),
            None => before.push(format!("filter of priority {priority}")),
        }
    }
    Ok(found.then_some(before))
}

async fn interfaces_with_clsact(netlink: &Handle) -> Result<Vec<i32>, Error> {
    let dump = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
    let mut disciplines = Box::pin(responses(netlink, dump)?);
    let mut interfaces = Vec::new();
    while let Some(message) = disciplines.next().await {
        if let RouteNetlinkMessage::NewQueueDiscipline(discipline) = message?
            && discipline
                .attributes
                .iter()
                .any(|attribute| matches!(attribute, TcAttribute::Kind(kind) if kind == "clsact"))
        {
            interfaces.push(discipline.header.index);
        }
    }
    Ok(interfaces)
}

fn filter_name(filter: &TcMessage) -> Option<&str> {
    filter
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            TcAttribute::Options(options) => options.iter().find_map(|option| match option {
                TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => Some(name.as_str()),
                _ => None,
            }),
            _ => None,
        })
}

async fn add_clsact(netlink: &Handle, ifindex: u32) -> Result<(), Error> {
    let mut message = TcMessage::with_index(ifindex.cast_signed());
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = TcHandle {
        major: u16::MAX,
        minor: 0,
    };
    message
        .attributes
        .push(TcAttribute::Kind("clsact".to_owned()));
    let message = RouteNetlinkMessage::NewQueueDiscipline(message);
    match request(netlink, message, NLM_F_CREATE | NLM_F_EXCL).await {
        Err(error) if is(&error, libc::EEXIST) => Ok(()),
        result => result,
    }
}

const fn parent(direction: Direction) -> TcHandle {
    let minor = match direction {
        Direction::In => TcHandle::MIN_INGRESS,
        Direction::Out => TcHandle::MIN_EGRESS,
    };
    TcHandle {
        major: u16::MAX,
        minor,
    }
}

async fn request(netlink: &Handle, message: RouteNetlinkMessage, flags: u16) -> Result<(), Error> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut responses = netlink.clone().request(message)?;
    while let Some(response) = responses.next().await {
        if let NetlinkPayload::Error(error) = response.payload
            && error.code.is_some()
        {
            return Err(Error::NetlinkError(error));
        }
    }
    Ok(())
}

pub(super) fn responses(
    netlink: &Handle,
    message: RouteNetlinkMessage,
) -> Result<impl Stream<Item = Result<RouteNetlinkMessage, Error>> + use<>, Error> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let responses = netlink.clone().request(message)?;
    Ok(responses.filter_map(|response| async move {
        match response.payload {
            NetlinkPayload::InnerMessage(message) => Some(Ok(message)),
            NetlinkPayload::Error(error) if error.code.is_some() => {
                Some(Err(Error::NetlinkError(error)))
            }
            _ => None,
        }
    }))
}

fn is(error: &Error, errno: i32) -> bool {
    matches!(error, Error::NetlinkError(message) if message.raw_code() == -errno)
}
