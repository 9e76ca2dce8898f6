"""Measures how long a new TCP connection takes, from `connect` to the SYN-ACK.

usage: connect-probe.py listen ADDRESS PORT
       connect-probe.py connect ADDRESS PORT FIRST_SOURCE SAMPLES SECONDS

Each connection comes from the next of 250 source addresses, so that none of them
stands out, and is closed at once by a reset. Connections are spread over the
seconds given, a little irregularly. Prints one time in microseconds a line.
"""
import ipaddress, socket, struct, sys, time

kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
RESET = struct.pack("ii", 1, 0)

if kind == "listen":
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.listen(1024)
    print("ready", flush=True)
    while True:
        server.accept()[0].close()

first, samples, seconds = int(ipaddress.ip_address(sys.argv[4])), int(sys.argv[5]), float(sys.argv[6])
began = time.monotonic()
for i in range(samples):
    moment = began + (i + (i * 7 % 11) / 22) * seconds / samples
    time.sleep(max(0.0, moment - time.monotonic()))
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.bind((str(ipaddress.ip_address(first + i % 250)), 0))
    sock.settimeout(5)
    before = time.perf_counter_ns()
    sock.connect((address, port))
    print((time.perf_counter_ns() - before) / 1000)
    sock.close()
