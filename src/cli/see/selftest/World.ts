/**
 * The small cluster of the selftest: this network namespace is the node, and pods and a client outside are others. All of it is in
 * mount, process and network namespaces that nobody else has, so that the kernel removes it with the last process.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { NODE, OUTSIDE, POD_GATEWAY, PODS } from './objects.js';
import { brokenWorld, Peer } from './Peer.js';

const run = promisify(execFile);

export class TestWorld {
  readonly pods: readonly Peer[];
  readonly outside: Peer;

  /** `peerCommand`: in place of this program, `selftest --role peer` of penstock. */
  static async make(peerCommand?: [string, string[]]): Promise<TestWorld> {
    for (const [key, value] of SYSCTLS) writeFileSync(`/proc/sys/net/${key}`, value);
    for (const name of ['outside', ...PODS.map((pod) => pod.name)]) {
      await ip(`netns add ${name}`);
      await ip(`-n ${name} link set lo up`);
    }
    await batch([
      'link set lo up',
      'link add eth0 type veth peer name eth0 netns outside',
      ...addresses('eth0', `${NODE.IPv4}/24`, `${NODE.IPv6}/64`),
      'link set eth0 up',
      `route add default via ${OUTSIDE.IPv4}`,
      `-6 route add default via ${OUTSIDE.IPv6}`,
      ...PODS.flatMap((pod) => [
        `link add ${pod.name} type veth peer name eth0 netns ${pod.name}`,
        ...addresses(pod.name, `${POD_GATEWAY}/32`, 'fe80::1/64'),
        `link set ${pod.name} up`,
        `route add ${pod.IPv4}/32 dev ${pod.name}`,
        `-6 route add ${pod.IPv6}/128 dev ${pod.name}`,
      ]),
    ]);
    await batch(
      [
        ...addresses('eth0', `${OUTSIDE.IPv4}/24`, `${OUTSIDE.IPv6}/64`),
        'link set eth0 up',
        `route add default via ${NODE.IPv4}`,
        `-6 route add default via ${NODE.IPv6}`,
      ],
      'outside',
    );
    for (const pod of PODS) {
      await batch(
        [
          ...addresses('eth0', `${pod.IPv4}/32`, `${pod.IPv6}/128`),
          'link set eth0 up',
          `route add ${POD_GATEWAY} dev eth0`,
          `route add default via ${POD_GATEWAY}`,
          '-6 route add default via fe80::1 dev eth0',
        ],
        pod.name,
      );
    }
    const world = new TestWorld(peerCommand);
    await Promise.all(PODS.map((pod, i) => world.pods[i]?.serve([pod.IPv4, pod.IPv6])));
    return world;
  }

  private constructor(peerCommand: [string, string[]] | undefined) {
    this.outside = new Peer('outside', peerCommand);
    this.pods = PODS.map(({ name }) => new Peer(name, peerCommand));
  }
}

/** Replies of another way than the request are none of the test's business; ICMP errors are, each of them. */
const SYSCTLS = [
  ['ipv4/ip_forward', '1'],
  ['ipv6/conf/all/forwarding', '1'],
  ['ipv4/conf/all/rp_filter', '0'],
  ['ipv4/conf/default/rp_filter', '0'],
  ['ipv4/conf/all/send_redirects', '0'],
  ['ipv4/icmp_ratelimit', '0'],
  ['ipv6/icmp/ratelimit', '0'],
] as const;

/** Usable at once: nobody else could have them. */
function addresses(link: string, ipv4: string, ipv6: string): string[] {
  return [`addr add ${ipv4} dev ${link}`, `-6 addr add ${ipv6} dev ${link} nodad`];
}

async function ip(words: string): Promise<void> {
  try {
    await run('ip', words.split(' '));
  } catch (error) {
    const { stderr = '', message } = error as { stderr?: string; message: string };
    throw brokenWorld(`ip ${words}: ${stderr.trim() || message}`, error);
  }
}

async function batch(lines: readonly string[], namespace?: string): Promise<void> {
  for (const line of lines) await ip(namespace === undefined ? line : `-n ${namespace} ${line}`);
}
