/*
 * Real TCP connections at a steady rate, for the benchmarks: each is opened by the
 * next of many source addresses, completed, and closed by a reset a moment later.
 *
 *   cc -O2 -o connections connections.c
 *   connections serve ADDRESS PORT PORTS
 *   connections open ADDRESS PORT PORTS FIRST_SOURCE SOURCES RATE SECONDS
 *
 * `serve` prints "ready" and accepts and closes, with a process for each of the PORTS
 * from PORT on, until it is ended. `open` keeps each source to one port and prints as
 * JSON how many connections were begun and how many of them were completed in time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Connections under way at once: at 10,000 a second each has 25 ms to be completed. */
enum { UNDER_WAY = 256 };

static struct sockaddr_in address(const char *text, const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, text, &address.sin_addr) == 1) return address;
  fprintf(stderr, "connections: not an address: %s\n", text);
  exit(2);
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static void close_by_reset(int fd) {
  struct linger linger = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close(fd);
}

static void accept_all(int fd) {
  for (;;) {
    int taken = accept4(fd, NULL, NULL, 0);
    if (taken >= 0) close_by_reset(taken);
  }
}

static void serve(struct sockaddr_in here, int ports) {
  uint16_t first = ntohs(here.sin_port);
  int on = 1;
  for (int i = 0; i < ports; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    here.sin_port = htons(first + i);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (void *)&here, sizeof here) < 0 || listen(fd, 4096) < 0) die("listen");
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    accept_all(fd);
  }
  printf("ready\n");
  fflush(stdout);
  for (;;) pause();
}

/* Begins a connection from an address that only has to be routed here. */
static int begin(const struct sockaddr_in *there, uint32_t source) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
  if (fd < 0) die("socket");
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, (void *)&from, sizeof from) < 0) die("bind");
  if (connect(fd, (const void *)there, sizeof *there) < 0 && errno != EINPROGRESS) die("connect");
  return fd;
}

/* Whether the handshake came to its end; the server may have closed it since. */
static bool end(int fd) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  bool completed = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state != TCP_SYN_SENT;
  close_by_reset(fd);
  return completed;
}

static void open_all(struct sockaddr_in there, char **words) {
  uint16_t first_port = ntohs(there.sin_port);
  uint32_t ports = strtoul(words[0], NULL, 10);
  uint32_t first = ntohl(address(words[1], "0").sin_addr.s_addr), sources = strtoul(words[2], NULL, 10);
  double rate = atof(words[3]), seconds = atof(words[4]), began = now();
  int under_way[UNDER_WAY];
  uint64_t begun = 0, completed = 0;
  prctl(PR_SET_TIMERSLACK, 1);
  while (now() - began < seconds) {
    double left = began + begun / rate - now();
    if (left > 20e-6) {
      struct timespec pause = {.tv_nsec = left * 1e9};
      nanosleep(&pause, NULL);
    }
    int slot = begun % UNDER_WAY;
    if (begun >= UNDER_WAY) completed += end(under_way[slot]);
    uint32_t source = begun % sources;
    there.sin_port = htons(first_port + source % ports);
    under_way[slot] = begin(&there, first + source);
    begun++;
  }
  for (int slot = 0; slot < UNDER_WAY && (uint64_t)slot < begun; slot++) completed += end(under_way[slot]);
  printf("{\"sent\":%lu,\"completed\":%lu,\"seconds\":%.3f}\n", begun, completed, now() - began);
}

int main(int count, char **words) {
  if (count == 5 && strcmp(words[1], "serve") == 0) serve(address(words[2], words[3]), atoi(words[4]));
  if (count == 9 && strcmp(words[1], "open") == 0) {
    open_all(address(words[2], words[3]), words + 4);
    return 0;
  }
  fprintf(stderr, "usage: see the head of connections.c\n");
  return 2;
}
