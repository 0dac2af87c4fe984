# The demo's cluster: one node, four pods and an outside client, each a network namespace. To be sourced; needs $work, a
# folder for logs, and fail.

prefix=penstock-demo
node_address=192.168.50.2
outside_address=192.168.50.1
pod_gateway=10.244.0.1

# in_ns NAME COMMAND...: NAME is node, outside or pod1 to pod4.
in_ns() { ip netns exec "$prefix-$1" "${@:2}"; }

make_world() {
  local name n
  for name in node outside pod{1..4}; do
    ip netns add "$prefix-$name" || fail "no network namespaces here; a container needs --privileged for them"
    ip -n "$prefix-$name" link set lo up
  done
  connect_outside
  connect_pods
  for n in 1 2 3 4; do start_pod "$n"; done
}

# node <-> outside, which has one address that checkout lets in and one that it does not.
connect_outside() {
  ip link add eth0 netns "$prefix-node" type veth peer name eth0 netns "$prefix-outside"
  ip -n "$prefix-node" addr add $node_address/24 dev eth0
  ip -n "$prefix-node" link set eth0 up
  ip -n "$prefix-node" route add default via $outside_address
  ip -n "$prefix-outside" addr add $outside_address/24 dev eth0
  ip -n "$prefix-outside" addr add 203.0.113.5/32 dev lo
  ip -n "$prefix-outside" addr add 203.0.113.99/32 dev lo
  ip -n "$prefix-outside" link set eth0 up
  ip -n "$prefix-outside" route add default via $node_address
}

# node <-> pods. Pods know nobody but the node: with a common subnet they would answer each other over the bridge, past
# the connection tracking that turns the answer's address back.
connect_pods() {
  local n pod
  ip -n "$prefix-node" link add pods type bridge
  ip -n "$prefix-node" addr add $pod_gateway/32 dev pods
  ip -n "$prefix-node" link set pods up
  in_ns node sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.{all,default,pods,eth0}.rp_filter=0 \
    net.ipv4.conf.{all,pods}.send_redirects=0
  for n in 1 2 3 4; do
    pod=$prefix-pod$n
    ip link add eth0 netns "$pod" type veth peer name "pod$n" netns "$prefix-node"
    ip -n "$prefix-node" link set "pod$n" master pods up
    ip -n "$prefix-node" link set "pod$n" type bridge_slave hairpin on
    ip -n "$prefix-node" route add "$(address_of "$n")/32" dev pods
    ip -n "$pod" addr add "$(address_of "$n")/32" dev eth0
    ip -n "$pod" link set eth0 up
    ip -n "$pod" route add $pod_gateway dev eth0
    ip -n "$pod" route add default via $pod_gateway dev eth0
  done
}

# address_of N: the address of pod N.
address_of() { echo "10.244.0.1$1"; }

start_pod() {
  # Not through in_ns: $! must be the server itself, for stop_pod.
  ip netns exec "$prefix-pod$1" node scripts/lib/pod.mjs "pod$1" >"$work/pod$1.log" 2>&1 8>&- &
  echo $! >"$work/pod$1.pid"
  eventually "pod$1's server did not start" grep listening "$work/pod$1.log"
}

stop_pod() { kill "$(cat "$work/pod$1.pid")"; }

# Ends what runs in the demo's namespaces and removes them, also those of a demo that could not clean up.
unmake_world() {
  local ns all
  mapfile -t all < <(ip netns list | awk -v prefix="$prefix-" 'index($1, prefix) == 1 { print $1 }')
  {
    for ns in "${all[@]}"; do ip netns pids "$ns" | xargs -r kill -KILL || true; done
    wait
  } 2>/dev/null # bash would report each of them
  for ns in "${all[@]}"; do ip netns del "$ns"; done
}

# eventually FAILURE COMMAND...: waits until the command succeeds, half a minute at most.
eventually() {
  local deadline=$((SECONDS + 30))
  until "${@:2}" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$1"
    sleep 0.1
  done
}
