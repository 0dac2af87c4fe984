# The way of outside traffic, whole: client, router, three nodes; nginx as ingress on two of them, app pods, a mesh of HAProxy
# sidecars, HAProxy as API gateway. To be sourced after demo-world.sh and demo-lb.sh, whose words it uses.

edge_vip=192.0.2.100
# Seconds that a pod which is told to end goes on serving, so that every agent has heard of it.
pre_stop=2
api_vip=192.0.2.101
# Pods: name, node, address.
path_pods=(edge1:2:10.244.2.10 edge2:3:10.244.3.10 pod1:2:10.244.2.11 pod2:3:10.244.3.11 pod3:3:10.244.3.12 api:3:10.244.3.20)

# pod_field NAME FIELD: 2 its node's number, 3 its address.
pod_field() { printf '%s\n' "${path_pods[@]}" | grep "^$1:" | cut -d: -f"$2"; }

make_path_world() {
  local each name node address other
  make_lan
  for node in 1 2 3; do
    ip -n "$prefix-node$node" addr add "10.244.$node.1/32" dev lo
    for other in 1 2 3; do
      [ "$node" = "$other" ] || ip -n "$prefix-node$node" route add "10.244.$other.0/24" via "192.0.2.$other"
    done
  done
  for each in "${path_pods[@]}"; do
    IFS=: read -r name node address <<<"$each"
    ip netns add "$prefix-$name"
    ip -n "$prefix-$name" link set lo up
    ip link add eth0 netns "$prefix-$name" type veth peer name "$name" netns "$prefix-node$node"
    ip -n "$prefix-node$node" link set "$name" up
    ip -n "$prefix-node$node" route add "$address/32" dev "$name"
    ip -n "$prefix-$name" addr add "$address/32" dev eth0
    ip -n "$prefix-$name" link set eth0 up
    ip -n "$prefix-$name" route add "10.244.$node.1" dev eth0
    ip -n "$prefix-$name" route add default via "10.244.$node.1"
    in_ns "node$node" sysctl -qw "net.ipv4.conf.$name.rp_filter=0"
  done
}

# slice SERVICE PORTS POD...: an EndpointSlice as a control plane writes it. PORTS are NAME=PORT, separated by commas. $ending are the
# pods that are told to end: they still serve what they have, and get nobody new.
slice() {
  local pod port conditions
  printf -- '---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s-1, namespace: shop, labels: {kubernetes.io/service-name: %s}}\n' "$1" "$1"
  printf 'addressType: IPv4\nports:\n'
  for port in ${2//,/ }; do printf '  - {name: %s, port: %s}\n' "${port%%=*}" "${port##*=}"; done
  printf 'endpoints:\n'
  for pod in "${@:3}"; do
    conditions='ready: true, serving: true, terminating: false'
    [[ " ${ending:-} " != *" $pod "* ]] || conditions='ready: false, serving: true, terminating: true'
    printf '  - {addresses: [%s], nodeName: node%s, conditions: {%s}}\n' "$(pod_field "$pod" 3)" "$(pod_field "$pod" 2)" "$conditions"
  done
}

# path_service NAME CLUSTERIP TYPE PORTS [MORE]
path_service() {
  printf -- '---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: shop, annotations: {%s}}\nspec: {clusterIP: %s, type: %s, %sports: [%s]}\n' "$1" "${6:-}" "$2" "$3" "${5:-}" "$4"
}

# path_manifests APP_PODS EDGE_PODS: what a cluster would have.
path_manifests() {
  {
    cat <<END
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [192.0.2.96/28]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
END
    path_service edge 10.96.0.5 LoadBalancer '{name: http, port: 80, nodePort: 30080}, {name: https, port: 443, nodePort: 30443}' \
      'externalTrafficPolicy: Local, ' "penstock.io/load-balancer-ips: $edge_vip, penstock.io/announce-from: node1"
    path_service app 10.96.0.10 ClusterIP '{name: http, port: 80}'
    path_service app-v2 10.96.0.11 ClusterIP '{name: http, port: 80}'
    path_service api 10.96.0.20 LoadBalancer '{name: http, port: 80}' 'externalTrafficPolicy: Local, ' \
      "penstock.io/load-balancer-ips: $api_vip, penstock.io/announce-from: node1"
    # shellcheck disable=SC2086
    slice edge http=80,https=443 $2
    # shellcheck disable=SC2086
    slice app http=8080 $1
    slice app-v2 http=8080 pod3
    slice api http=80 api
  } >"$work/path.new"
  mkdir -p "$work/lb"
  mv "$work/path.new" "$work/lb/path.yaml"
}

# ingresses: one description, for the edge and for the sidecars.
ingresses() {
  mkdir -p "$work/ingress"
  cp examples/path/manifests/shop.yaml "$work/ingress"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=shop.example \
    -keyout "$work/tls.key" -out "$work/tls.crt" 2>/dev/null
  cat >"$work/ingress/secret.yaml" <<END
apiVersion: v1
kind: Secret
metadata: {name: shop, namespace: shop}
type: kubernetes.io/tls
data: {tls.crt: $(base64 -w0 "$work/tls.crt"), tls.key: $(base64 -w0 "$work/tls.key")}
END
}

# controller FLAGS...: the example of examples/path, once. In a namespace of its own nginx -t may bind what it likes.
controller() {
  cat "$work/lb/path.yaml" >"$work/ingress/services.yaml"
  in_ns lan node dist/examples/path/controller.js --once --manifests "$work/ingress" --keep-alive 2 "$@" 2>"$work/controller.log" ||
    fail "the controller: $(cat "$work/controller.log")"
}

path_config() { lan_config "$1" "$2" 'clusterCIDR: 10.244.0.0/16'; } # N MODE

node_ready() { in_ns "node$1" curl -sf -o /dev/null http://127.0.0.1:10256/readyz; }

start_edge() {
  mkdir -p "$work/$1"
  controller --nginx "$work/$1"
  in_ns "$1" nginx -c "$work/$1/nginx.conf"
}

start_app() {
  launch_app "$1"
  app_listens "$1"
}

launch_app() {
  ip netns exec "$prefix-$1" node scripts/lib/pod.mjs "$1" >"$work/$1.log" 2>&1 8>&- &
  echo $! >"$work/$1.pid"
}

app_listens() {
  eventually "$1's server did not start" grep listening "$work/$1.log"
}

# start_sidecar POD all|PREROUTING [MORE]: HAProxy with routes from the Ingress objects, and the REDIRECT of a mesh's init container;
# PREROUTING is left out where only what the pod opens goes through it. MORE changes HAProxy's file.
start_sidecar() {
  mkdir -p "$work/$1.sidecar"
  chmod 755 "$work" "$work/$1.sidecar"
  controller --sidecar "$work/$1.sidecar"
  chmod 644 "$work/$1.sidecar/haproxy.cfg"
  ${3:-true} "$work/$1.sidecar/haproxy.cfg"
  in_ns "$1" setpriv --reuid 1337 --regid 1337 --clear-groups haproxy -D -f "$work/$1.sidecar/haproxy.cfg"
  grep -v "${2/all/^#}" examples/path/redirect.rules | in_ns "$1" iptables-restore --noflush
}

# inject_fault FILE: the sidecar refuses half of the requests to its app that ask for it by a header.
inject_fault() { sed -i '/^  bind :15006/a \  http-request return status 418 if { req.hdr(x-try-fault) -m found } { rand(100) lt 50 }' "$1"; }

# http WHERE HOST URL [FLAGS...]: the status and the answer on one line.
http() {
  in_ns "$1" curl -sk -m 5 --connect-timeout 3 -H "Host: $2" -w '%{http_code}' "${@:4}" "$3" | tr '\n' ' ' || true
}

# path_asks TITLE WHERE HOST URL PATTERN [FLAGS...]
path_asks() {
  local answer
  typed "$2" "curl -H 'Host: $3' $4${6:+ ${*:6}}"
  answer=$(http "$2" "$3" "$4" "${@:6}")
  [[ $answer =~ $5 ]] || fail "$1: $answer instead of $5"
  good "$answer"
}

explained() {
  typed "$1" "penstock explain $2 $3"
  in_ns "$1" bin/penstock explain "$2" "$3" | fold -s -w 90 | sed 's/^/    /' || true
}

start_load() {
  ip netns exec "$prefix-client" node scripts/lib/load.mjs "http://$edge_vip/" "${PATH_RATE:-500}" shop.example >"$work/load" 2>&1 8>&- &
  loading=$!
  eventually "nobody asks" grep -q asking "$work/load"
  sleep 0.5
}

# stop_load WHAT MOST_FAILED MOST_GAP_MS
stop_load() {
  local failed gap
  sleep 0.5
  kill "$loading"
  wait "$loading" || true
  failed=$(sed -n 's/.*"failed":\([0-9]*\).*/\1/p' "$work/load")
  gap=$(sed -n 's/.*"gapMs":\([0-9]*\).*/\1/p' "$work/load")
  say "$(tail -1 "$work/load")"
  [ "${failed:-99999}" -le "$2" ] || tail -n 5 "$work"/edge?/error.log >&2
  [ "${failed:-99999}" -le "$2" ] || fail "$1: $failed failed, at most $2"
  [ "${gap:-99999}" -le "$3" ] || fail "$1: $gap ms without an answer, at most $3"
  good "$1: $failed failed (at most $2)"
}

# change_mode N MODE: as an administrator does.
change_mode() {
  stop_agent "$1" TERM
  path_config "$1" "$2"
  run_agent "$1"
  eventually "node$1 did not become ready in mode $2" node_ready "$1"
}

# As a cluster does: first the slice says that the pod ends, and nobody new is sent there; the pod waits (preStop), ends what it has,
# and only then it is gone from the slice.
restart_app() {
  local ending=$1
  path_manifests "pod1 pod2" "edge1 edge2"
  sleep $pre_stop
  kill "$(cat "$work/$1.pid")"
  ending=
  path_manifests "$2" "edge1 edge2"
  start_app "$1"
  path_manifests "pod1 pod2" "edge1 edge2"
}

# To which nodes tier 1, on node1, sends the clients of the edge.
edge_slots() {
  local table
  table=$(in_ns node1 nft list map netdev penstock-balancer services-4 | sed -nE 's/.*192\.0\.2\.100 \. \S+ \. \S+ : goto f(\w+).*/\1/p' | head -1)
  in_ns node1 nft list map netdev penstock-balancer "$table-eth0" 2>/dev/null || echo " : 192.0.2.2 : 192.0.2.3 "
}

restart_edge() {
  local ending=$1 config=$work/$1/nginx.conf
  path_manifests "pod1 pod2" "edge1 edge2"
  leads_elsewhere() { ! edge_slots | grep -q " : 192.0.2.$(pod_field "$1" 2)\b"; }
  eventually "node1 still sends to $1" leads_elsewhere "$1"
  sleep $pre_stop
  in_ns "$1" nginx -c "$config" -s quit 2>/dev/null
  edge_ended() { ! [ -e "$work/$1/nginx.pid" ]; }
  # Its worker_shutdown_timeout is 30 s, as long as eventually waits.
  for _ in $(seq 300); do edge_ended "$1" || sleep 0.1; done
  eventually "nginx of $1 does not end" edge_ended "$1"
  ending=
  path_manifests "pod1 pod2" "$2"
  in_ns "$1" nginx -c "$config"
  path_manifests "pod1 pod2" "edge1 edge2"
}

path_up() {
  local n pod
  unmake_world
  make_path_world
  path_manifests "pod1 pod2" "edge1 edge2"
  ingresses
  for n in 1 2 3; do
    path_config "$n" "$1"
    run_agent "$n"
  done
  for pod in pod1 pod2 pod3; do launch_app "$pod"; done
  for pod in edge1 edge2; do start_edge "$pod"; done
  for pod in pod1 pod2 pod3; do app_listens "$pod"; done
  for n in 1 2 3; do eventually "node$n did not become ready" node_ready "$n"; done
  answers() { [[ $(http client shop.example "http://$edge_vip/") == *200 ]]; }
  eventually "$edge_vip does not answer" answers
}

way_of_traffic() {
  local n share
  title "The cluster: three nodes, nginx as ingress on two, app pods, mode ${1:-nftables}"
  path_up "${1:-nftables}"
  say "client 203.0.113.5 → router → $edge_vip (node1 announces it)"
  say "  → nginx (edge1 on node2, edge2 on node3) → cluster IP 10.96.0.10 → pod1, pod2"
  fold -s -w 74 "$work/controller.log" | sed 's/^/    /'

  title "Hop 1: the address. Policy Local and two tiers keep the client's address"
  path_asks "address" client shop.example "http://$edge_vip/" '^pod[12] 10\.244\.[23]\.10 203\.0\.113\.5 200$'
  explained node2 203.0.113.5 $edge_vip:80/TCP

  title "Beside it: the node port, straight to node2"
  path_asks "node port" client shop.example "http://192.0.2.2:30080/" '^pod[12] 10\.244\.2\.10 203\.0\.113\.5 200$'

  title "Hop 2: nginx. TLS ends here; host and URL choose the Service"
  path_asks "TLS" client shop.example "https://shop.example/" '203\.0\.113\.5 200$' --resolve "shop.example:443:$edge_vip"
  path_asks "URL" client shop.example "http://$edge_vip/v2" '^pod3 .* 200$'
  path_asks "host" client nobody.example "http://$edge_vip/" '404$'
  path_asks "forged" client shop.example "http://$edge_vip/" ' 203\.0\.113\.5 200$' -H 'X-Forwarded-For: 9.9.9.9'
  share=$(in_ns client curl -s -m 20 -H 'Host: canary.example' "http://$edge_vip/?[1-60]" | grep -c '^pod3' || true)
  [ "$share" -ge 4 ] && [ "$share" -le 28 ] || fail "the canary of 25 % got $share of 60"
  good "canary by weight at the edge: $share of 60 requests go to app-v2 (25 %)"

  title "Hop 3: the cluster IP, on nginx' node"
  explained node2 10.244.2.10 shop/app:http

  title "The mesh: pod3 gets a sidecar; its routes come from the same Ingress objects"
  start_sidecar pod3 all inject_fault
  typed pod3 "iptables -t nat -S"
  in_ns pod3 iptables -t nat -S | grep -E '^-A' | sed 's/^/    /'
  path_asks "inbound" client shop.example "http://$edge_vip/v2" '^pod3 127\.0\.0\.1 203\.0\.113\.5 200$'
  path_asks "outbound by route" pod3 shop.example "http://10.96.0.99/" '^pod[12] 10\.244\.3\.12 200$'
  path_asks "outbound without route" pod3 other.example "http://10.96.0.10/" '^pod[12] 10\.244\.3\.12 200$'
  share=$(in_ns client curl -s -m 20 -o "$work/faults" -w '%{http_code}\n' -H 'Host: shop.example' -H 'x-try-fault: 1' \
    "http://$edge_vip/v2?[1-40]" | grep -c 418 || true)
  [ "$share" -ge 6 ] && [ "$share" -le 34 ] || fail "the fault of 50 % came $share times of 40"
  good "fault injected inside, by pod3's sidecar: $share of 40 (50 % of those who ask for it)"

  title "The API gateway: keys, a rate limit, rewriting; outbound alone goes through the mesh"
  in_ns api haproxy -D -f examples/path/api-gateway.cfg
  start_sidecar api PREROUTING
  eventually "the API gateway does not answer" in_ns client curl -s -o /dev/null -m 2 "http://$api_vip/"
  path_asks "no key" client x "http://$api_vip/api/orders/7" '401$'
  path_asks "key" client x "http://$api_vip/api/orders/7" '^pod3 127\.0\.0\.1 203\.0\.113\.5 200$' -H 'X-Api-Key: key-of-anna'
  in_ns client curl -s -o /dev/null -w '%{http_code}\n' -H 'X-Api-Key: key-of-anna' "http://$api_vip/api/orders/[1-30]" >"$work/limited"
  grep -q '429' "$work/limited" || fail "no limit: $(sort "$work/limited" | uniq -c | paste -sd,)"
  good "more than 20 in 10 s with one key: 429"
  path_asks "the other key" client x "http://$api_vip/api/orders/7" '200$' -H 'X-Api-Key: key-of-ben'

  title "${PATH_RATE:-500} requests a second, and what may happen"
  start_load
  restart_app pod1 pod2
  restart_app pod2 pod1
  stop_load "rolling restart of the app pods" 0 2000
  start_load
  restart_edge edge1 edge2
  sleep 1
  restart_edge edge2 edge1
  stop_load "rolling restart of the gateways" 0 2000
  start_load
  stop_agent 2 KILL
  run_agent 2
  eventually "node2 did not come back" node_ready 2
  for n in iptables userspace; do change_mode 2 $n; done
  change_mode 3 userspace
  stop_load "agent killed and started, modes changed to iptables and userspace" 0 3000
  start_load
  kill -KILL "$(cat "$work/pod1.pid")"
  sleep 1
  path_manifests "pod2" "edge1 edge2"
  sleep 0.5
  # While its sockets close one after the other, a dying process can take and drop one request three times.
  stop_load "an app pod dies without a word, in mode userspace" 5 2000
  start_load
  stop_agent 1 KILL
  cable node1 down
  sleep 3
  stop_load "the node that owns the address dies" 2000 2500
}
