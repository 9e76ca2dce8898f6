/*
 * Puts packets on the wire for the benchmarks: first packets of chosen or random
 * sources, by a packet socket that goes around the queueing discipline.
 *
 *   cc -O2 -o flood flood.c
 *   flood -i INTERFACE -m DESTINATION_MAC -d ADDRESS -f FIRST_SOURCE -k syn|icmp|syn6|scan
 *         [-n SOURCES] [-p FIRST_PORT] [-q PORTS] [-r PACKETS_A_SECOND] [-c COUNT] [-t SECONDS]
 *         [-b PACKETS_AT_ONCE] [-l ONE_LARGE_IN] [-s SEED] [-u CPU]
 *
 * Sources are FIRST_SOURCE and those that follow; for syn6 each has a /64 of its
 * own. A source keeps to one of the PORTS, but for `scan`, where ports are random.
 * Without -r as fast as it goes. With -l, one ICMP packet in so many is 1,200 bytes.
 * Prints what was sent as JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 64, FRAME = 1400, SMALL = 64, LARGE = 1200 };
enum { TCP_BYTES = 40 }; /* header and the options of an ordinary SYN */

struct options {
  const char *interface, *kind;
  uint8_t mac[6], destination[16], first[16];
  bool v6;
  uint32_t sources, first_port, ports, large_every;
  uint64_t count;
  double rate, seconds;
  int at_once, cpu;
};

static uint32_t state = 2463534242u;

static inline uint32_t random32(void) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

static uint32_t add(const uint8_t *bytes, int length, uint32_t sum) {
  for (int i = 0; i + 1 < length; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  return sum;
}

static uint16_t checksum(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(~sum);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static void write_tcp(uint8_t *tcp, const uint8_t *addresses, int address_bytes, uint16_t port) {
  static const uint8_t syn_options[20] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 1, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7};
  struct tcphdr header = {.source = htons(1024 + random32() % 60000), .dest = htons(port), .seq = random32(),
                          .doff = TCP_BYTES / 4, .syn = 1, .window = htons(64240)};
  memcpy(tcp, &header, sizeof header);
  memcpy(tcp + sizeof header, syn_options, sizeof syn_options);
  uint32_t pseudo = add(addresses, address_bytes, IPPROTO_TCP + TCP_BYTES);
  header.check = checksum(add(tcp, TCP_BYTES, pseudo));
  memcpy(tcp + 16, &header.check, 2);
}

static int write_ipv4(uint8_t *p, const struct options *o, uint32_t source, uint16_t port) {
  bool icmp = strcmp(o->kind, "icmp") == 0;
  bool large = icmp && o->large_every != 0 && random32() % o->large_every == 0;
  int payload = icmp ? (large ? LARGE : SMALL) : TCP_BYTES;
  uint32_t first;
  memcpy(&first, o->first, 4);
  struct iphdr header = {.version = 4, .ihl = 5, .ttl = 64, .protocol = icmp ? IPPROTO_ICMP : IPPROTO_TCP,
                         .tot_len = htons(20 + payload), .id = random32(), .saddr = htonl(ntohl(first) + source)};
  memcpy(&header.daddr, o->destination, 4);
  memcpy(p, &header, 20);
  header.check = checksum(add(p, 20, 0));
  memcpy(p + 10, &header.check, 2);
  if (icmp) {
    struct icmphdr echo = {.type = ICMP_ECHO, .un.echo.id = random32()};
    memset(p + 20, 0, payload);
    memcpy(p + 20, &echo, sizeof echo);
    uint16_t check = checksum(add(p + 20, payload, 0));
    memcpy(p + 22, &check, 2);
  } else write_tcp(p + 20, p + 12, 8, port);
  return 20 + payload;
}

static int write_ipv6(uint8_t *p, const struct options *o, uint32_t source, uint16_t port) {
  struct ip6_hdr header = {.ip6_flow = htonl(6u << 28), .ip6_plen = htons(TCP_BYTES), .ip6_nxt = IPPROTO_TCP,
                           .ip6_hlim = 64};
  uint32_t net = htonl(source), host = htonl(source * 2654435761u);
  memcpy(&header.ip6_src, o->first, 16);
  memcpy((uint8_t *)&header.ip6_src + 4, &net, 4);
  memcpy((uint8_t *)&header.ip6_src + 12, &host, 4);
  memcpy(&header.ip6_dst, o->destination, 16);
  memcpy(p, &header, 40);
  write_tcp(p + 40, p + 8, 32, port);
  return 40 + TCP_BYTES;
}

static int write_packet(uint8_t *frame, const struct options *o) {
  uint32_t source = o->sources == 0 ? random32() & 0xffffff : random32() % o->sources;
  uint16_t port = o->first_port + source % o->ports;
  if (strcmp(o->kind, "scan") == 0) port = 1 + random32() % 65535;
  memcpy(frame, o->mac, 6);
  frame[6] = 2; /* a locally administered sender */
  frame[12] = o->v6 ? 0x86 : 0x08;
  frame[13] = o->v6 ? 0xdd : 0x00;
  return 14 + (o->v6 ? write_ipv6 : write_ipv4)(frame + 14, o, source, port);
}

/* Waits for the moment of the next batch: asleep where there is time, else turning. */
static void wait_until(double moment) {
  while (now() < moment) {
    double left = moment - now();
    if (left < 60e-6) continue;
    struct timespec pause = {.tv_nsec = (left - 50e-6) * 1e9};
    if (left > 0.5) pause.tv_nsec = 400000000;
    nanosleep(&pause, NULL);
  }
}

static void address(const char *text, uint8_t *bytes, bool v6) {
  if (inet_pton(v6 ? AF_INET6 : AF_INET, text, bytes) == 1) return;
  fprintf(stderr, "flood: not an address: %s\n", text);
  exit(2);
}

static struct options read_options(int count, char **words) {
  struct options o = {.kind = "syn", .first_port = 80, .ports = 1, .at_once = MOST_AT_ONCE, .cpu = -1};
  const char *destination = "", *first = "";
  for (int option; (option = getopt(count, words, "i:m:d:f:k:n:p:q:r:c:t:b:l:s:u:")) != -1;) {
    switch (option) {
      case 'i': o.interface = optarg; break;
      case 'm':
        sscanf(optarg, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", o.mac, o.mac + 1, o.mac + 2, o.mac + 3, o.mac + 4, o.mac + 5);
        break;
      case 'd': destination = optarg; break;
      case 'f': first = optarg; break;
      case 'k': o.kind = optarg; break;
      case 'n': o.sources = strtoul(optarg, NULL, 10); break;
      case 'p': o.first_port = strtoul(optarg, NULL, 10); break;
      case 'q': o.ports = strtoul(optarg, NULL, 10); break;
      case 'r': o.rate = atof(optarg); break;
      case 'c': o.count = strtoull(optarg, NULL, 10); break;
      case 't': o.seconds = atof(optarg); break;
      case 'b': o.at_once = atoi(optarg); break;
      case 'l': o.large_every = strtoul(optarg, NULL, 10); break;
      case 's': state = strtoul(optarg, NULL, 10) * 2654435761u | 1; break;
      case 'u': o.cpu = atoi(optarg); break;
      default: exit(2);
    }
  }
  o.v6 = strcmp(o.kind, "syn6") == 0;
  if (o.interface == NULL || o.ports == 0 || o.at_once < 1 || o.at_once > MOST_AT_ONCE ||
      (o.count == 0 && o.seconds == 0)) {
    fprintf(stderr, "usage: see the head of flood.c\n");
    exit(2);
  }
  address(destination, o.destination, o.v6);
  address(first, o.first, o.v6);
  return o;
}

static int open_wire(const struct options *o) {
  int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
  struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(o->interface)};
  if (fd < 0 || bind(fd, (void *)&here, sizeof here) < 0) {
    perror("flood: packet socket");
    exit(1);
  }
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  return fd;
}

int main(int count, char **words) {
  struct options o = read_options(count, words);
  int fd = open_wire(&o);
  prctl(PR_SET_TIMERSLACK, 1);
  if (o.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(o.cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
  }
  static uint8_t frames[MOST_AT_ONCE][FRAME];
  struct iovec vectors[MOST_AT_ONCE];
  struct mmsghdr messages[MOST_AT_ONCE] = {0};
  for (int i = 0; i < MOST_AT_ONCE; i++) {
    vectors[i].iov_base = frames[i];
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
  }
  double began = now();
  uint64_t sent = 0, failed = 0;
  while ((o.count == 0 || sent < o.count) && (o.seconds == 0 || now() - began < o.seconds)) {
    int batch = o.at_once;
    if (o.count != 0 && o.count - sent < (uint64_t)batch) batch = o.count - sent;
    for (int i = 0; i < batch; i++) vectors[i].iov_len = write_packet(frames[i], &o);
    if (o.rate > 0) wait_until(began + (sent + failed) / o.rate);
    int done = sendmmsg(fd, messages, batch, 0);
    if (done > 0) sent += done;
    else failed += batch;
    if (failed > 1000000) break;
  }
  double seconds = now() - began;
  printf("{\"sent\":%lu,\"failed\":%lu,\"seconds\":%.6f}\n", sent, failed, seconds);
  return 0;
}
