# The demo's cluster: one node, four pods and an outside client, each a network namespace. To be sourced.

prefix=penstock-demo
node=$prefix-node
client=$prefix-client
node_address=192.168.50.2
pids=()

in_ns() { ip netns exec "$@"; }

make_world() {
  unmake_world
  local ns
  for ns in "$node" "$client" "$prefix"-pod{1..4}; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
  done
  # node <-> client; the client has an address that checkout lets in and one that it does not
  ip link add eth0 netns "$node" type veth peer name eth0 netns "$client"
  ip -n "$node" addr add $node_address/24 dev eth0
  ip -n "$node" link set eth0 up
  ip -n "$node" route add default via 192.168.50.1
  ip -n "$client" addr add 192.168.50.1/24 dev eth0
  ip -n "$client" addr add 203.0.113.5/32 dev lo
  ip -n "$client" addr add 203.0.113.99/32 dev lo
  ip -n "$client" link set eth0 up
  ip -n "$client" route add default via $node_address
  # node <-> pods
  ip -n "$node" link add pods type bridge
  ip -n "$node" addr add 10.244.0.1/24 dev pods
  ip -n "$node" link set pods up
  in_ns "$node" sysctl -qw net.ipv4.ip_forward=1
  local n
  for n in 1 2 3 4; do
    ip link add eth0 netns "$prefix-pod$n" type veth peer name "pod$n" netns "$node"
    ip -n "$node" link set "pod$n" master pods up
    ip -n "$node" link set "pod$n" type bridge_slave hairpin on
    ip -n "$prefix-pod$n" addr add "10.244.0.1$n/24" dev eth0
    ip -n "$prefix-pod$n" link set eth0 up
    ip -n "$prefix-pod$n" route add default via 10.244.0.1
    start_pod "$n"
  done
}

start_pod() {
  # Not through in_ns: the process to stop must be the one started here.
  ip netns exec "$prefix-pod$1" node scripts/lib/pod.mjs "pod$1" >"$work/pod$1.log" 2>&1 9>&- &
  pids+=($!)
  printf '%s' $! >"$work/pod$1.pid"
}

stop_pod() { kill "$(cat "$work/pod$1.pid")"; }

# Ends only what the demo started.
unmake_world() {
  local pid ns
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  pids=()
  for ns in $(ip netns list | awk '{print $1}' | grep "^$prefix-" || true); do ip netns del "$ns"; done
}

# connect NAMESPACE ADDRESS PORT COUNT [SOURCE]: one line per connection, what was answered or why not.
connect() {
  in_ns "$1" node scripts/lib/client.mjs "$2" "$3" "$4" "${5:-}"
}

# Waits until the command succeeds; says what was waited for when it does not.
eventually() {
  local what=$1 i
  shift
  for ((i = 0; i < 100; i++)); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "$what"
}
