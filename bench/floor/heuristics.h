/*
 * The decisions of the floor, the same as Barricata's: a checked parse, SYN and
 * ICMP rates per source in a sliding window, distinct ports within a minute and
 * within an hour, SYN rate per service, ICMP size; an IPv6 source counts as its
 * address and as its /64.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { DROP = 0, ACCEPT = 1 };

/* The thresholds of config/barricata.yaml. */
enum { SYN_LIMIT = 200 * 3, ICMP_LIMIT = 50 * 3, RATE_WINDOW_MS = 3000 };
enum { ICMP_LARGEST = 1024, MOST_PORTS = 30, PORT_WINDOW_MS = 60000, BAN_MS = 600000 };
enum { SLOW_PORTS = 60, SLOW_WINDOW_MS = 3600000, FLOOD_LIMIT = 2000 * 3 };
/* A scan is dropped for so long after it was reported. */
enum { REPORTED_MS = 1000 };

static uint64_t unparsed, evictions, detections, floods;

/* ---- Sources ---------------------------------------------------------------
 * 65,536 records in sets of eight. A set is one cache line of tags and times, so
 * that looking for a source and choosing the one that has to go costs one miss,
 * and its record a second one. */

enum { RECORDS = 65536, WAYS = 8, SETS = RECORDS / WAYS, PARTS = 8, KEPT_PORTS = SLOW_PORTS + 1 };

struct set {
  uint32_t tag[WAYS];
  uint32_t seen[WAYS]; /* milliseconds of the last packet; 0 = free */
};

/* Events of the last RATE_WINDOW_MS, in parts of an eighth. */
struct rate {
  uint32_t began;
  uint16_t sum;
  uint8_t part;
  uint16_t count[PARTS];
};

struct touched {
  uint32_t at;
  uint16_t port;
};

/* The first cache line holds all that a source with one packet needs. */
struct record {
  uint32_t key[4];
  struct rate syn;
  uint16_t used;
  uint16_t lead;
  uint32_t voted; /* front runner of a /64, for the majority vote */
  uint32_t over_until;
  struct touched ports[KEPT_PORTS];
  struct rate icmp;
} __attribute__((aligned(64)));

static struct set *sets;
static struct record *records;
static uint32_t seed;
static uint32_t now_ms;

static bool open_tables(void) {
  sets = aligned_alloc(64, SETS * sizeof *sets);
  records = aligned_alloc(64, RECORDS * sizeof *records);
  if (sets == NULL || records == NULL || getrandom(&seed, sizeof seed, 0) != sizeof seed) return false;
  memset(sets, 0, SETS * sizeof *sets);
  memset(records, 0, RECORDS * sizeof *records);
  return true;
}

static inline uint32_t mix(uint32_t h, uint32_t k, uint32_t multiplier, int shift) {
  return ((h ^ (h >> shift)) ^ k) * multiplier;
}

static inline uint32_t hash(const uint32_t key[4]) {
  uint32_t h = (seed ^ key[0]) * 0x85ebca6bu;
  h = mix(h, key[1], 0xc2b2ae35u, 15);
  h = mix(h, key[2], 0x85ebca6bu, 13);
  h = mix(h, key[3], 0xc2b2ae35u, 15);
  return h ^ (h >> 16);
}

/* The record of a source; the one that was quiet longest makes room when it has none. */
static struct record *find(const uint32_t key[4]) {
  uint32_t h = hash(key);
  uint32_t home = h % SETS;
  struct set *set = &sets[home];
  int oldest = 0;
  for (int way = 0; way < WAYS; way++) {
    struct record *record = &records[home * WAYS + way];
    if (set->tag[way] == h && set->seen[way] != 0 && memcmp(record->key, key, sizeof record->key) == 0) {
      set->seen[way] = now_ms;
      return record;
    }
    if (set->seen[way] < set->seen[oldest]) oldest = way;
  }
  struct record *record = &records[home * WAYS + oldest];
  if (set->seen[oldest] != 0 && now_ms - set->seen[oldest] < PORT_WINDOW_MS) evictions++;
  set->tag[oldest] = h;
  set->seen[oldest] = now_ms;
  memcpy(record->key, key, sizeof record->key);
  memset(&record->syn, 0, sizeof record->syn);
  record->syn.began = now_ms;
  record->used = record->lead = 0;
  record->over_until = 0;
  record->icmp.began = 0;
  return record;
}

static uint32_t count_event(struct rate *rate) {
  const uint32_t width = RATE_WINDOW_MS / PARTS;
  uint32_t passed = (now_ms - rate->began) / width;
  if (rate->began == 0 || passed >= PARTS) {
    memset(rate, 0, sizeof *rate);
    rate->began = now_ms;
    passed = 0;
  }
  rate->began += passed * width;
  while (passed-- > 0) {
    rate->part = (rate->part + 1) % PARTS;
    rate->sum -= rate->count[rate->part];
    rate->count[rate->part] = 0;
  }
  /* A full counter stays full: far above any limit already. */
  if (rate->sum < UINT16_MAX) {
    rate->count[rate->part]++;
    rate->sum++;
  }
  return rate->sum;
}

/* Distinct ports within the two windows, exact up to KEPT_PORTS. */
struct touches {
  uint32_t fast;
  uint32_t slow;
};

static struct touches count_port(struct record *record, uint16_t port) {
  int at = -1, oldest = 0;
  struct touches live = {1, 1};
  for (int i = 0; i < record->used; i++) {
    uint32_t age = now_ms - record->ports[i].at;
    if (record->ports[i].port == port) at = i;
    else {
      live.fast += age < PORT_WINDOW_MS;
      live.slow += age < SLOW_WINDOW_MS;
    }
    if (record->ports[i].at < record->ports[oldest].at) oldest = i;
  }
  if (at < 0 && record->used < KEPT_PORTS) at = record->used++;
  else if (at < 0) {
    at = oldest;
    live.fast -= now_ms - record->ports[at].at < PORT_WINDOW_MS;
    live.slow -= now_ms - record->ports[at].at < SLOW_WINDOW_MS;
  }
  record->ports[at] = (struct touched){.at = now_ms, .port = port};
  return live;
}

/* One vote for an address of a /64; gives the lead of the front runner (Boyer and Moore). */
static uint32_t vote(struct record *net, uint32_t address, bool restart) {
  if (restart) net->lead = 0;
  if (net->lead == 0) {
    net->voted = address;
    net->lead = 1;
  } else if (net->voted != address) net->lead--;
  else if (net->lead < UINT16_MAX) net->lead++;
  return net->lead;
}

/* ---- Packets --------------------------------------------------------------- */

struct packet {
  int family;
  int protocol;
  uint32_t source[4];
  uint32_t target[4];
  uint32_t length; /* as the header says; the copy may be cut */
  uint16_t target_port;
  uint8_t flags;
  uint8_t type;
};

static inline uint16_t u16(const uint8_t *p) { return p[0] << 8 | p[1]; }

/* The fields behind the IP headers; false when the bytes do not hold them. */
static bool parse_transport(struct packet *packet, const uint8_t *p, uint32_t at, uint32_t captured) {
  if (packet->protocol == IPPROTO_TCP) {
    if (at + 20 > captured) return false;
    uint32_t header = (p[at + 12] >> 4) * 4;
    if (header < 20 || at + header > packet->length) return false;
    packet->target_port = u16(p + at + 2);
    packet->flags = p[at + 13];
  } else if (packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6) {
    if (at + 4 > captured) return false;
    packet->type = p[at];
  }
  return true;
}

static bool is_extension(int next) {
  return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_FRAGMENT || next == IPPROTO_AH ||
         next == IPPROTO_DSTOPTS;
}

/* False for what is let through unjudged: cut, contradictory, or a fragment without transport header. */
static bool parse(struct packet *packet, const uint8_t *p, uint32_t captured, uint32_t wire_length) {
  if (captured < 20) return false;
  memset(packet->source, 0, sizeof packet->source);
  memset(packet->target, 0, sizeof packet->target);
  if (p[0] >> 4 == 4) {
    uint32_t header = (p[0] & 15) * 4;
    packet->length = u16(p + 2) ? u16(p + 2) : wire_length;
    if (header < 20 || packet->length < header) return false;
    if (captured > packet->length) captured = packet->length;
    if (captured < header || (u16(p + 6) & 0x1fff) != 0) return false;
    packet->family = 4;
    packet->protocol = p[9];
    memcpy(packet->source, p + 12, 4);
    memcpy(packet->target, p + 16, 4);
    return parse_transport(packet, p, header, captured);
  }
  if (p[0] >> 4 != 6 || captured < 40) return false;
  packet->length = u16(p + 4) ? 40u + u16(p + 4) : wire_length;
  if (captured > packet->length) captured = packet->length;
  packet->family = 6;
  memcpy(packet->source, p + 8, 16);
  memcpy(packet->target, p + 24, 16);
  int next = p[6];
  uint32_t at = 40;
  for (int headers = 0; is_extension(next); headers++) {
    if (headers == 12 || at + 8 > captured) return false;
    uint32_t bytes = (p[at + 1] + 1u) * 8;
    if (next == IPPROTO_FRAGMENT) {
      if ((u16(p + at + 2) & 0xfff8) != 0) return false;
      bytes = 8;
    } else if (next == IPPROTO_AH) bytes = (p[at + 1] + 2u) * 4;
    next = p[at];
    at += bytes;
  }
  packet->protocol = next;
  return parse_transport(packet, p, at, captured);
}

/* ---- Verdicts -------------------------------------------------------------- */

static int over(struct record *record) {
  if (now_ms >= record->over_until) {
    record->over_until = now_ms + BAN_MS;
    detections++;
  }
  return DROP;
}

/* A scan is dropped until it can be banned, and no longer. */
static int scanned(struct record *record) {
  over(record);
  return record->over_until - now_ms > BAN_MS - REPORTED_MS ? DROP : ACCEPT;
}

/* ---- Services --------------------------------------------------------------- */

enum { SERVICES = 1024 };

static struct service {
  uint32_t target[4];
  uint16_t port;
  struct rate rate;
} services[SERVICES];

static void count_service(const struct packet *packet) {
  struct service *service = &services[(hash(packet->target) ^ packet->target_port * 40503u) % SERVICES];
  if (service->port != packet->target_port || memcmp(service->target, packet->target, sizeof packet->target) != 0) {
    memset(service, 0, sizeof *service);
    service->port = packet->target_port;
    memcpy(service->target, packet->target, sizeof packet->target);
  }
  floods += count_event(&service->rate) > FLOOD_LIMIT;
}

static int judge_source(const struct packet *packet, struct record *record, bool net) {
  if (packet->protocol != IPPROTO_TCP) {
    uint32_t count = count_event(&record->icmp);
    if (count <= ICMP_LIMIT) return ACCEPT;
    if (net && vote(record, packet->source[2] ^ packet->source[3], false) * 2u > count) return ACCEPT;
    return over(record);
  }
  enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };
  int verdict = ACCEPT;
  uint32_t lead = 0;
  if ((packet->flags & (SYN | ACK)) == SYN) {
    uint32_t count = count_event(&record->syn);
    if (net) lead = vote(record, packet->source[2] ^ packet->source[3], count == 1);
    if (count > SYN_LIMIT && lead * 2 <= count) verdict = over(record);
  }
  bool probe = (packet->flags & RST) == 0 && ((packet->flags & ACK) == 0 || packet->target_port < 1024);
  if (!probe) return verdict;
  struct touches ports = count_port(record, packet->target_port);
  if (lead >= 2) return verdict;
  if (ports.fast > MOST_PORTS) return scanned(record) == DROP ? DROP : verdict;
  if (ports.slow > SLOW_PORTS) over(record);
  return verdict;
}

static int judge(const uint8_t *p, uint32_t captured, uint32_t wire_length) {
  struct packet packet;
  if (!parse(&packet, p, captured, wire_length)) {
    unparsed++;
    return ACCEPT;
  }
  bool icmp = packet.protocol == (packet.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  if (packet.protocol != IPPROTO_TCP && !icmp) return ACCEPT;
  int verdict = icmp && packet.length > ICMP_LARGEST ? DROP : ACCEPT;
  if (!icmp && (packet.flags & 0x12) == 0x02) count_service(&packet);
  if (judge_source(&packet, find(packet.source), false) == DROP) return DROP;
  if (packet.family == 6) {
    uint32_t net[4] = {packet.source[0], packet.source[1], 0, 1};
    if (judge_source(&packet, find(net), true) == DROP) return DROP;
  }
  return verdict;
}
