# The demo's load balancer: three nodes on a LAN, a router, a client behind it, each a network namespace. To be sourced after
# demo-world.sh, whose words it uses.

vip=192.0.2.100
client_address=203.0.113.5

make_lan() {
  local name n
  for name in lan router client node{1..3}; do
    ip netns add "$prefix-$name" || fail "no network namespaces here; a container needs --privileged for them"
    ip -n "$prefix-$name" link set lo up
  done
  ip -n "$prefix-lan" link add lan type bridge
  ip -n "$prefix-lan" link set lan up
  for n in 1 2 3; do plug_in "node$n" "192.0.2.$n"; done
  plug_in router 192.0.2.254
  ip link add eth1 netns "$prefix-router" type veth peer name eth0 netns "$prefix-client"
  ip -n "$prefix-router" addr add 203.0.113.1/24 dev eth1
  ip -n "$prefix-router" link set eth1 up
  ip -n "$prefix-client" addr add $client_address/24 dev eth0
  ip -n "$prefix-client" link set eth0 up
  ip -n "$prefix-client" route add default via 203.0.113.1
  in_ns router sysctl -qw net.ipv4.ip_forward=1
  for n in 1 2 3; do
    ip -n "$prefix-node$n" route add default via 192.0.2.254
    in_ns "node$n" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.{all,default,eth0}.rp_filter=0
  done
}

# plug_in NAME ADDRESS: its eth0 to the LAN.
plug_in() {
  ip link add eth0 netns "$prefix-$1" type veth peer name "$1" netns "$prefix-lan"
  ip -n "$prefix-lan" link set "$1" master lan up
  ip -n "$prefix-$1" addr add "$2/24" dev eth0
  ip -n "$prefix-$1" link set eth0 up
}

# cable NAME up|down
cable() { ip -n "$prefix-lan" link set "$1" "$2"; }

# lb_manifests [NODE]: pool, advertisement and Service; NODE announces it first.
lb_manifests() {
  cat >"$work/lb.new" <<EOF
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [192.0.2.96/28]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
---
apiVersion: v1
kind: Service
metadata:
  name: shop
  annotations: {penstock.io/load-balancer-ips: $vip${1:+, penstock.io/announce-from: $1}}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
  - {addresses: [192.0.2.2], nodeName: node2}
  - {addresses: [192.0.2.3], nodeName: node3}
EOF
  mkdir -p "$work/lb"
  mv "$work/lb.new" "$work/lb/shop.yaml"
}

# lan_config N MODE [LINE]: of a node that announces; LINE belongs to kube-proxy's part.
lan_config() {
  cat >"$work/node$1.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: $2
hostnameOverride: node$1
${3:-}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
penstock:
  manifests: $work/lb
  loadBalancer:
    announce: true
    nodes:
      - {name: node1, addresses: [192.0.2.1]}
      - {name: node2, addresses: [192.0.2.2]}
      - {name: node3, addresses: [192.0.2.3]}
EOF
}

# run_agent N: in the background; its pid in $work/nodeN.pid.
run_agent() {
  ip netns exec "$prefix-node$1" bin/penstock run --config "$work/node$1.yaml" >>"$work/penstock.log" 2>&1 8>&- &
  echo $! >"$work/node$1.pid"
}

# stop_agent N SIGNAL
stop_agent() {
  local pid
  pid=$(cat "$work/node$1.pid")
  kill "-$2" "$pid"
  wait "$pid" 2>/dev/null || true # or bash reports the kill
}

start_node() {
  lan_config "$1" nftables
  run_agent "$1"
}

serve_on() {
  ip netns exec "$prefix-node$1" node scripts/lib/pod.mjs "pod$1" >"$work/pod$1.log" 2>&1 8>&- &
  eventually "the server on node$1 did not start" grep listening "$work/pod$1.log"
}

# Whether the router sends packets for the address to NODE.
router_sends_to() {
  local mac
  mac=$(ip -n "$prefix-$1" -br link show eth0 | grep -oE '([0-9a-f]{2}:){5}[0-9a-f]{2}')
  in_ns client node scripts/lib/client.mjs "http://$vip" 1 >/dev/null
  ip -n "$prefix-router" neigh show to $vip dev eth0 | grep -q "$mac"
}

# owner_is NODE [ASKED]: whether NODE announces the address, in the words of the agent on ASKED.
owner_is() { in_ns "${2:-$1}" bin/penstock lb owners -o json | grep -q "\"owner\": *\"$1\"" && announces "$1"; }
announces() { in_ns "$1" bin/penstock lb owners | grep -q "owning"; }

show_owners() {
  typed "$1" "bin/penstock lb owners"
  in_ns "$1" bin/penstock lb owners | sed 's/^/  /' || true
}

# start_talking COUNT: connections that stay.
start_talking() {
  ip netns exec "$prefix-client" node scripts/lib/talker.mjs $vip 80 "$1" >"$work/talk" 8>&- &
  talking=$!
  sleep 1
}

stop_talking() {
  kill "$talking"
  wait "$talking" || fail "long connections were lost: $(cat "$work/talk")"
  good "long connections: $(cat "$work/talk")"
}

# Milliseconds until a new connection is answered.
first_answer() {
  in_ns client node -e '
    const began = Date.now();
    const one = () => { const s = require("net").connect({ host: process.argv[1], port: 80 }, () => { console.log(Date.now() - began); process.exit(0); });
      s.on("error", () => {}); setTimeout(() => { s.destroy(); one(); }, 100); };
    one();' $vip
}

load_balancer() {
  title "Three nodes, a router, a client; no balancer in front"
  unmake_world
  make_lan
  lb_manifests node1
  serve_on 2
  serve_on 3
  say "node1, node2, node3 on one LAN; pods on node2 and node3; the client is beyond"
  say "the router. MetalLB's objects say that $vip is announced:"
  sed -n '1,7p' "$work/lb/shop.yaml" | sed 's/^/    /'
  typed node1 "bin/penstock run --config node1.yaml   # and so on node2, node3"
  for n in 1 2 3; do start_node "$n"; done
  eventually "node1 does not announce $vip" owner_is node1
  show_owners node2

  title "Packets arrive at node1, which has no pod: they go on, and the client's address stays"
  ask client http://$vip 40
  answered_by "pod2 pod3"
  pods_saw $client_address

  title "The address moves to node2, under connects"
  typed node1 "bin/penstock lb move $vip --to node2"
  in_ns node1 env -u KUBECONFIG bin/penstock lb move $vip --to node2 | sed 's/^/  /'
  start_talking 30
  start_asking client http://$vip
  lb_manifests node2
  eventually "node2 does not announce it" owner_is node2
  sleep 0.5
  stop_asking
  stop_talking
  lb_manifests node1
  eventually "node1 does not announce it again" owner_is node1
  eventually "the router does not send to node1" router_sends_to node1

  title "node1, where packets arrive, dies"
  start_talking 30
  typed node1 "kill -KILL \$PENSTOCK; and its cable is cut"
  stop_agent 1 KILL
  cable node1 down
  good "the first new connection is answered after $(first_answer) ms"
  sleep 1.5
  stop_talking
  show_owners node3

  title "It comes back, and then its cable is out for a moment"
  cable node1 up
  start_node 1
  eventually "node1 does not announce it again" owner_is node1
  eventually "the router does not send to node1" router_sends_to node1
  start_talking 30
  typed node1 "# the cable is out"
  cable node1 down
  good "the first new connection is answered after $(first_answer) ms"
  cable node1 up
  eventually "node1 does not announce it again" owner_is node1
  sleep 1.2
  stop_talking
  ask client http://$vip 20
  answered_by "pod2 pod3"

  title "Why is something not announced?"
  typed node2 "bin/penstock lb why shop"
  in_ns node2 bin/penstock lb why shop | sed 's/^/  /' || true
}
