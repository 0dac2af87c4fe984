# Starts the agent in a root file system as a node would: the privileged part once with --init-only, then read-only, with the
# given capabilities alone. To be run in namespaces of its own (scripts/rootfs check): ROOT MODE CAPABILITIES [FIELDS], as in
#   rootfs-check.sh /some/root iptables net_admin,net_raw 'penstock: {iptablesBackend: legacy}'
set -euo pipefail
root=$1 mode=$2 capabilities=$3 fields=${4:-}
world=$root/mnt

fail() {
  printf 'rootfs check, mode %s: %s\n' "$mode" "$*" >&2
  [ ! -s "$world/agent.log" ] || tail -20 "$world/agent.log" >&2
  exit 1
}

status_of() { # PATH: the status that the health server answers with
  { exec 3<>/dev/tcp/127.0.0.1/10256; } 2>/dev/null || return 0
  printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3
  head -1 <&3 | cut -d' ' -f2
  exec 3>&-
}

for tool in g++ cc make python3 npm; do
  [ -z "$(chroot "$root" sh -c "command -v $tool" || true)" ] || fail "$tool was left in the image"
done

mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$world"
mkdir "$world/etc"
cat >"$world/etc/config.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: $mode
hostnameOverride: node1
clusterCIDR: 10.244.0.0/16
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 1h}
$fields
YAML
cp -r examples/manifests "$world/etc/manifests"
ip link set lo up

chroot "$root" penstock run --config /mnt/etc/config.yaml --init-only >"$world/agent.log" || fail "--init-only ended with $?"
[ "$(cat /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established)" = 3600 ] || fail "--init-only set no conntrack timeout"

# As a container has it, with the host's own view of the kernel's parameters out of reach.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
chroot "$root" setpriv --no-new-privs --bounding-set=-all,+${capabilities//,/,+} --inh-caps=-all -- \
  penstock run --config /mnt/etc/config.yaml --manifests /mnt/etc/manifests >>"$world/agent.log" 2>&1 &
agent=$!
for _ in {1..100}; do
  [ "$(status_of /readyz)" != 200 ] || break
  kill -0 $agent 2>/dev/null || fail "the agent ended"
  sleep 0.1
done
[ "$(status_of /readyz)" = 200 ] || fail "the agent did not get ready"

held=$(sed -n 's/^CapEff:\t//p' "$root/proc/$agent/status")
[ "$(capsh --decode="$held")" = "0x$held=cap_${capabilities//,/,cap_}" ] || fail "the agent has other capabilities: $held"
case $mode in
  userspace) ;;
  nftables) [[ $(nft list table ip penstock) == *172.30.0.14* ]] || fail "no rules" ;;
  iptables)
    backend=nft
    [[ $fields != *legacy* ]] || backend=legacy
    [[ $(iptables-$backend-save -t nat) == *KUBE-SVC-* ]] || fail "no rules"
    ;;
esac

kill -TERM $agent
wait $agent || fail "the agent ended with $? after SIGTERM"
echo "rootfs: mode $mode runs on a read-only root with $capabilities alone ($(du -sxm --exclude=mnt "$root" 2>/dev/null | cut -f1) MB)"
