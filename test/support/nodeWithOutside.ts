/** The network namespace of a test as a small node. */
import { shell } from './iptables.js';

/** An interface to an outside in which nobody answers, a default route there, and `pods` as addresses of the node itself. */
export function nodeWithOutside(...pods: readonly string[]): void {
  shell(
    'ip link set lo up; ip link add out type veth peer name peer; ip link set out up; ip link set peer up',
  );
  shell('ip addr add 192.168.77.1/24 dev out; ip route add default dev out');
  for (const pod of pods) shell(`ip addr add ${pod}/32 dev lo`);
}

/** Packets to 10.66.0.0/16 leave, and nobody is there. After nodeWithOutside(). */
export function addSilentPods(): void {
  shell('ip route add 10.66.0.0/16 via 192.168.77.2 dev out onlink');
  shell('ip neigh add 192.168.77.2 lladdr 02:00:00:00:00:99 dev out');
}
