/** Node ports and ports of the agent that processes of this host listen on. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { attempt } from '../../errors.js';
import type { World } from '../../explain/World.js';
import type { Remark } from './Remark.js';

/** How /proc is read, injected; undefined: not there, or not for us to see. */
export interface ProcView {
  readonly read: (path: string) => string | undefined;
  readonly list: (path: string) => readonly string[];
  readonly link: (path: string) => string | undefined;
}

export const PROC: ProcView = {
  read: (path) => attempt(() => readFileSync(path, 'utf8')),
  list: (path) => attempt(() => readdirSync(path)) ?? [],
  link: (path) => attempt(() => readlinkSync(path)),
};

interface Held {
  readonly protocol: 'TCP' | 'UDP';
  readonly port: number;
  readonly inode: string;
}

/** TCP_LISTEN; an unconnected UDP socket has the state of a closed TCP one. */
const LISTENING = { TCP: '0A', UDP: '07' } as const;

export function portsHeld(
  world: World,
  config: Pick<NodeConfig, 'healthz' | 'metrics'>,
  proc = PROC,
): Remark[] {
  const held = heldPorts(proc);
  const wanted = wantedPorts(world, config);
  const found = held.filter(({ protocol, port }) => wanted.has(`${port}/${protocol}`));
  const names = processNames(proc, new Set(found.map(({ inode }) => inode)));
  const seen = new Set<string>();
  const findings: Remark[] = [];
  for (const { protocol, port, inode } of found) {
    const key = `${port}/${protocol}`;
    const { what, own } = wanted.get(key) ?? { what: '', own: false };
    const holder = names.get(inode) ?? 'a process';
    if (seen.has(`${key} ${holder}`)) continue;
    seen.add(`${key} ${holder}`);
    findings.push({ section: 'ports', subject: `port ${key}`, ...saying(what, own, holder) });
  }
  return findings;
}

function saying(what: string, own: boolean, holder: string): Pick<Remark, 'level' | 'text'> {
  const isKubeProxys = /^kube-proxy\b/.test(holder);
  if (isKubeProxys)
    return { level: 'note', text: `${what}: ${holder} has it, and lets go of it when it ends` };
  return own
    ? { level: 'attend', text: `${what}: ${holder} has it; penstock could not listen there` }
    : {
        level: 'attend',
        text: `${what}: ${holder} listens there and gets no connections to this node's addresses`,
      };
}

function wantedPorts(
  world: World,
  { healthz, metrics }: Pick<NodeConfig, 'healthz' | 'metrics'>,
): Map<string, { what: string; own: boolean }> {
  const wanted = new Map<string, { what: string; own: boolean }>();
  if (healthz) wanted.set(`${healthz.port}/TCP`, { what: 'the health server', own: true });
  wanted.set(`${metrics.port}/TCP`, { what: 'the metrics server', own: true });
  for (const { namespace, name, ports, healthCheckNodePort } of world.services) {
    const service = `${namespace}/${name}`;
    if (healthCheckNodePort !== 0)
      wanted.set(`${healthCheckNodePort}/TCP`, { what: `health-check port of ${service}`, own: true });
    for (const { nodePort, protocol } of ports)
      if (nodePort !== 0)
        wanted.set(`${nodePort}/${protocol}`, { what: `node port of ${service}`, own: false });
  }
  return wanted;
}

function heldPorts(proc: ProcView): Held[] {
  const held: Held[] = [];
  for (const [file, protocol] of [
    ['tcp', 'TCP'],
    ['tcp6', 'TCP'],
    ['udp', 'UDP'],
    ['udp6', 'UDP'],
  ] as const) {
    const lines = proc.read(`/proc/net/${file}`)?.split('\n').slice(1) ?? [];
    for (const line of lines) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      if (state !== LISTENING[protocol]) continue;
      held.push({ protocol, port: Number.parseInt(local.slice(local.indexOf(':') + 1), 16), inode });
    }
  }
  return held;
}

/** Inode → `nginx (pid 4711)`. */
function processNames(proc: ProcView, inodes: ReadonlySet<string>): Map<string, string> {
  const names = new Map<string, string>();
  if (inodes.size === 0) return names;
  for (const pid of proc.list('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const fd of proc.list(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(proc.link(`/proc/${pid}/fd/${fd}`) ?? '')?.[1];
      if (inode === undefined || !inodes.has(inode) || names.has(inode)) continue;
      names.set(inode, `${proc.read(`/proc/${pid}/comm`)?.trim() ?? 'a process'} (pid ${pid})`);
    }
  }
  return names;
}
