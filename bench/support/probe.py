"""Measures the time from an action to the moment an attacker's packets are dropped.

Run in the attacker's namespace. For each sample a fresh source address sends
UDP datagrams to a closed port of the server, whose kernel answers each with
ICMP port-unreachable. Then the action happens (an alert line is appended to the
file that Barricata follows, or a line is written to a waiting `ipset -`), and
the send time of the first of three datagrams in a row that stay unanswered is
the moment of the drop.

usage: probe.py SERVER FIRST_SOURCE SAMPLES eve PATH | ipset NAMESPACE
Prints one latency in milliseconds a line.
"""
import ipaddress, json, select, socket, subprocess, sys, time
from datetime import datetime, timezone

server, first, samples, kind, where = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
base = int(ipaddress.ip_address(first))
TIMEOUT_MS = 3


def alert(source):
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
    flow = {"pkts_toserver": 4, "pkts_toclient": 3, "bytes_toserver": 366, "bytes_toclient": 331, "start": now,
            "src_ip": source, "dest_ip": server, "src_port": 40000, "dest_port": 80}
    return json.dumps({
        "timestamp": now, "flow_id": 1831173727644671, "in_iface": "v0", "event_type": "alert", "src_ip": source,
        "src_port": 40000, "dest_ip": server, "dest_port": 80, "proto": "TCP", "pkt_src": "wire/pcap",
        "alert": {"action": "allowed", "gid": 1, "signature_id": 9000001, "rev": 1, "signature": "BENCH web attack",
                  "category": "Web Application Attack", "severity": 1},
        "http": {"hostname": server, "url": "/etc/passwd", "http_method": "GET"},
        "app_proto": "http", "direction": "to_server", "flow": flow}, separators=(",", ":")).encode() + b"\n"


if kind == "eve":
    out = open(where, "ab", buffering=0)
    act = lambda source: out.write(alert(source))
else:
    child = subprocess.Popen(["ip", "netns", "exec", where, "ipset", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    def act(source):
        child.stdin.write(f"add probe {source}\n".encode())
        child.stdin.flush()


def answered(sock, poller):
    """Sends one datagram; gives its send time and whether an answer came."""
    sent = time.monotonic()
    try:
        sock.send(b"x")
    except ConnectionRefusedError:
        try:
            sock.send(b"x")
        except ConnectionRefusedError:
            pass
    if not poller.poll(TIMEOUT_MS):
        return sent, False
    try:
        sock.recv(16)
    except ConnectionRefusedError:
        pass
    return sent, True


for i in range(samples):
    source = str(ipaddress.ip_address(base + i))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((source, 0))
    sock.connect((server, 9))
    sock.setblocking(False)
    poller = select.poll()
    poller.register(sock, select.POLLIN | select.POLLERR)
    for _ in range(3):
        _, ok = answered(sock, poller)
    if not ok:
        print(f"{source}: no answer before the action", file=sys.stderr)
        continue
    began = time.monotonic()
    act(source)
    lost, hit, deadline = 0, 0.0, began + 20
    while lost < 3 and time.monotonic() < deadline:
        sent, ok = answered(sock, poller)
        if ok:
            lost = 0
            time.sleep(0.0001)
        else:
            hit = hit if lost else sent
            lost += 1
    print(f"{(hit - began) * 1000:.3f}" if lost == 3 else "never", flush=True)
    sock.close()
    time.sleep(0.003 + (i % 7) * 0.0007)
