# The demo's Service with no process at all: a connection starts one, and without connections it ends. To be sourced after
# demo-world.sh, whose words it uses.

wake_vip=198.51.100.20

# systemd plays no part in network namespaces of a demo: a loop here takes jobs as it would, and `systemctl` hands them over.
play_systemd() {
  mkdir -p "$work/bin"
  cat >"$work/bin/systemctl" <<END
#!/bin/sh
# systemctl --no-ask-password --no-block VERB -- UNIT
echo "\$3 \$5" >>$work/jobs
END
  chmod +x "$work/bin/systemctl"
  : >"$work/jobs"
  (
    tail -n +1 -F "$work/jobs" 2>/dev/null | while read -r verb unit; do
      case "$verb $unit" in
        "start web.service") kill -0 "$(cat "$work/pod4.pid" 2>/dev/null || echo 0)" 2>/dev/null || start_pod 4 ;;
        "stop web.service") stop_pod 4 && rm -f "$work/pod4.pid" ;;
      esac
    done
  ) 8>&- &
  systemd=$!
}

stop_systemd() {
  pkill -P "$systemd" tail 2>/dev/null || true
  kill "$systemd" 2>/dev/null || true
}

web_processes() { ip netns pids "$prefix-pod4" | wc -l; }
web_is_gone() { [ "$(web_processes)" -eq 0 ]; }
holds() { in_ns node node -e 'fetch("http://127.0.0.1:10249/metrics").then((r) => r.text()).then((t) => process.exit(/^penstock_wake_asleep [1-9]/m.test(t) ? 0 : 1), () => process.exit(1))'; }

wake_on_connect() {
  title "A Service with no process at all"
  stop_pod 4
  eventually "pod4's server goes on" web_is_gone
  mkdir "$work/manifests"
  cat >"$work/manifests/web.yaml" <<END
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations:
    penstock.io/wake: hold
    penstock.io/wake-target: unit/web.service
    penstock.io/idle-after: 3s
    penstock.io/endpoints: $(address_of 4):8080
    penstock.io/health-check: tcp
    penstock.io/health-check-interval: 200ms
    penstock.io/health-check-rise: "1"
    penstock.io/health-check-fall: "1"
spec:
  externalIPs: [$wake_vip]
  ports: [{port: 80}]
END
  cat >"$work/config.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: node1
penstock:
  wake: {units: [web.service]}
END
  typed node "cat web.yaml"
  sed 's/^/    /' "$work/manifests/web.yaml"
  say "penstock.wake.units in its configuration lists web.service: an annotation alone starts nothing."
  say "(systemd is played by the demo: \"start\" runs the server of pod4, \"stop\" ends it.)"
  play_systemd
  PATH=$work/bin:$PATH start_penstock
  eventually "the Service does not sleep" holds
  typed pod4 "ps   # $(web_processes) processes"

  title "A connection waits, and wakes it"
  typed outside "curl http://$wake_vip"
  in_ns outside curl -sS --max-time 25 -w '%{time_total}\n' "http://$wake_vip" >"$work/woken" || fail "curl got no answer"
  grep -q '^pod4' "$work/woken" || fail "somebody else answered: $(cat "$work/woken")"
  good "$(head -1 "$work/woken"), after $(tail -1 "$work/woken") s; penstock said:"
  sed -n 's/.*\(Service default.web: a connection .*\)/    \1/p' "$work/penstock.log" | tail -1
  typed outside "curl http://$wake_vip"
  in_ns outside curl -sS --max-time 25 -w '%{time_total}\n' "http://$wake_vip" >"$work/awake" || fail "curl got no answer"
  good "$(head -1 "$work/awake"), after $(tail -1 "$work/awake") s: it is awake"

  title "Without connections for 3 s it sleeps again"
  eventually "it does not end" web_is_gone
  good "pod4 has $(web_processes) processes; penstock said:"
  sed -n 's/.*\(Service default.web: no connection .*\)/    \1/p' "$work/penstock.log" | tail -1
  eventually "the Service does not sleep again" holds
  kill "$penstock"
  wait "$penstock" || fail "penstock ended with status $?"
  stop_systemd
}
