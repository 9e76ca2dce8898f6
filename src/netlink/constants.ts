/**
 * Numbers of the kernel's user interface that more than one subsystem needs.
 * Sources: linux/netlink.h, linux/netfilter/nfnetlink.h, asm-generic/socket.h,
 * asm-generic/errno.h (x86-64, arm64 and riscv64 share these values).
 */

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const NETLINK_NETFILTER = 12;

export const MSG_DONTWAIT = 0x40;
/** recvmmsg: wait for the first datagram only, then take what is there. */
export const MSG_WAITFORONE = 0x10000;

export const SOL_SOCKET = 1;
export const SO_RCVBUF = 8;
export const SO_RCVTIMEO = 20;
export const SO_ATTACH_FILTER = 26;
export const SO_RCVBUFFORCE = 33;
export const SOL_NETLINK = 270;
export const NETLINK_ADD_MEMBERSHIP = 1;
export const NETLINK_DROP_MEMBERSHIP = 2;
export const NETLINK_NO_ENOBUFS = 5;

export const NLM_F_REQUEST = 0x01;
export const NLM_F_ACK = 0x04;
/** On a request that gets: NLM_F_ROOT | NLM_F_MATCH. */
export const NLM_F_DUMP = 0x300;
/** On a request that makes: fail when it exists. */
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const NLA_F_NESTED = 0x8000;
export const NLA_F_NET_BYTEORDER = 0x4000;

/** `type` of an nfnetlink message is `subsystem << 8 | message`. */
export const NFNL_SUBSYS_CTNETLINK = 1;
export const NFNL_SUBSYS_QUEUE = 3;
export const NFNL_SUBSYS_IPSET = 6;
export const NFNL_SUBSYS_NFTABLES = 10;

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EAGAIN = 11;
export const EBUSY = 16;
export const EEXIST = 17;
export const EINVAL = 22;
export const EPROTONOSUPPORT = 93;
export const EOPNOTSUPP = 95;
export const ENOBUFS = 105;
export const ETIMEDOUT = 110;
