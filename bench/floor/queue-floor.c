/*
 * The floor for the packet path: what one careful C program does on one NFQUEUE
 * with the same heuristics as Barricata's worker. It shares the way of working
 * (raw netlink, 64 packets with one recvmmsg, runs of equal verdicts merged into
 * one batch verdict, one send for all of them, fail-open, GSO packets whole, 128
 * bytes of each packet copied) and the decisions (a checked parse, one table of
 * fixed size with a seeded hash, SYN and ICMP rates in a sliding window, distinct
 * ports, IPv6 per address and per /64), so that what Barricata needs on top is
 * the price of its language and structure, not of another task.
 *
 *   cc -O2 -o queue-floor queue-floor.c
 *   queue-floor QUEUE accept|heuristics BACKLOG
 *
 * Prints "ready" when the queue is bound. On SIGTERM or SIGINT it prints its
 * counts as JSON and ends. Little-endian, 64-bit Linux.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "heuristics.h"

enum { BATCH = 64, STRIDE = 512, COPY_RANGE = 128, CHARGE = 1024 };
enum { MSG_PACKET = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET };
enum { MSG_CONFIG = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG };
enum { MSG_BATCH_VERDICT = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT_BATCH };

static volatile sig_atomic_t stopping;
static uint64_t packets, drops, batches;

static void on_signal(int signal) {
  (void)signal;
  stopping = 1;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* ---- The queue ------------------------------------------------------------- */

static uint32_t put(uint8_t *message, uint32_t at, int type, const void *value, uint32_t length) {
  struct nlattr *attribute = (void *)(message + at);
  attribute->nla_len = 4 + length;
  attribute->nla_type = type;
  memcpy(message + at + 4, value, length);
  return at + 4 + ((length + 3) & ~3u);
}

static uint32_t begin(uint8_t *message, int type, int flags, int queue) {
  struct nlmsghdr *header = (void *)message;
  struct nfgenmsg *generic = (void *)(message + 16);
  *header = (struct nlmsghdr){.nlmsg_type = type, .nlmsg_flags = flags};
  *generic = (struct nfgenmsg){.res_id = htons(queue)};
  return 20;
}

static int bind_queue(int queue, int backlog) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (fd < 0 || bind(fd, (void *)&address, sizeof address) < 0) die("netlink socket");
  int buffer = backlog * CHARGE / 2, on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0) die("receive buffer");
  setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on);
  uint8_t message[256] = {0}, answer[4096];
  struct nfqnl_msg_config_cmd command = {.command = NFQNL_CFG_CMD_BIND};
  struct nfqnl_msg_config_params params = {.copy_range = htonl(COPY_RANGE), .copy_mode = NFQNL_COPY_PACKET};
  uint32_t longest = htonl(backlog * 4), flags = htonl(NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO);
  uint32_t at = begin(message, MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, queue);
  at = put(message, at, NFQA_CFG_CMD, &command, sizeof command);
  at = put(message, at, NFQA_CFG_PARAMS, &params, 5);
  at = put(message, at, NFQA_CFG_QUEUE_MAXLEN, &longest, 4);
  at = put(message, at, NFQA_CFG_MASK, &flags, 4);
  at = put(message, at, NFQA_CFG_FLAGS, &flags, 4);
  ((struct nlmsghdr *)message)->nlmsg_len = at;
  if (send(fd, message, at, 0) < 0) die("bind queue");
  struct nlmsghdr *header = (void *)answer;
  if (recv(fd, answer, sizeof answer, 0) < 20 || header->nlmsg_type != NLMSG_ERROR) die("bind queue: no answer");
  errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
  if (errno != 0) die("bind queue");
  return fd;
}

/* Walks to the payload, always the last attribute, and asks for the verdict. */
static int verdict_of(const uint8_t *message, uint32_t end, bool heuristics) {
  uint32_t wire_length = 0;
  for (uint32_t at = 32; at + 4 <= end;) {
    const struct nlattr *attribute = (const void *)(message + at);
    uint32_t length = attribute->nla_len;
    if (length < 4 || at + length > end) break;
    int type = attribute->nla_type & NLA_TYPE_MASK;
    if (type == NFQA_CAP_LEN && length >= 8) {
      memcpy(&wire_length, message + at + 4, 4);
      wire_length = ntohl(wire_length);
    } else if (type == NFQA_PAYLOAD) {
      if (!heuristics) return ACCEPT;
      return judge(message + at + 4, length - 4, wire_length ? wire_length : length - 4);
    }
    at += (length + 3) & ~3u;
  }
  return ACCEPT;
}

static uint8_t in[BATCH * STRIDE];
static uint8_t out[BATCH * 32];

static void write_verdict(int run, int verdict, uint32_t id) {
  uint32_t body[2] = {htonl(verdict), id};
  memcpy(out + run * 32 + 24, body, sizeof body);
}

static void run(int fd, int queue, bool heuristics) {
  struct iovec vectors[BATCH];
  struct mmsghdr headers[BATCH] = {0};
  for (int i = 0; i < BATCH; i++) {
    vectors[i] = (struct iovec){.iov_base = in + i * STRIDE, .iov_len = STRIDE};
    headers[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    uint8_t *message = out + i * 32;
    begin(message, MSG_BATCH_VERDICT, NLM_F_REQUEST, queue);
    put(message, 20, NFQA_VERDICT_HDR, (uint32_t[2]){0}, 8);
    ((struct nlmsghdr *)message)->nlmsg_len = 32;
  }
  while (!stopping) {
    int received = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);
    if (received < 0) {
      if (errno == EINTR || errno == ENOBUFS) continue;
      die("receive");
    }
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    now_ms = time.tv_sec * 1000 + time.tv_nsec / 1000000;
    int runs = 0, run_verdict = -1;
    uint32_t run_id = 0;
    for (int i = 0; i < received; i++) {
      const uint8_t *message = in + i * STRIDE;
      uint32_t end = headers[i].msg_len;
      if (((const struct nlmsghdr *)message)->nlmsg_type != MSG_PACKET || end < 32) continue;
      int verdict = verdict_of(message, end, heuristics);
      packets++;
      drops += verdict == DROP;
      if (verdict != run_verdict && run_verdict >= 0) write_verdict(runs++, run_verdict, run_id);
      run_verdict = verdict;
      memcpy(&run_id, message + 24, 4);
    }
    if (run_verdict < 0) continue;
    write_verdict(runs++, run_verdict, run_id);
    batches++;
    if (send(fd, out, runs * 32, 0) < 0 && errno != EINTR) die("send verdicts");
  }
}

int main(int count, char **words) {
  if (count != 4) {
    fprintf(stderr, "usage: queue-floor QUEUE accept|heuristics BACKLOG\n");
    return 2;
  }
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  if (!open_tables()) die("memory");
  int queue = atoi(words[1]);
  int fd = bind_queue(queue, atoi(words[3]));
  printf("ready\n");
  fflush(stdout);
  run(fd, queue, strcmp(words[2], "heuristics") == 0);
  printf("{\"packets\":%lu,\"dropped\":%lu,\"batches\":%lu,\"unparsed\":%lu,\"evictions\":%lu,\"detections\":%lu}\n",
         packets, drops, batches, unparsed, evictions, detections);
  return 0;
}
