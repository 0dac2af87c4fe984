/** What Kubernetes' components tell of their process and prom-client does not. */
import { readFileSync } from 'node:fs';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

/** RLIM_INFINITY, as Go's collector writes it. */
const UNLIMITED = 2 ** 64;

/** Bytes; undefined when /proc does not tell. */
export interface NetworkBytes {
  readonly received: number;
  readonly sent: number;
}

let ofThisProcess: Registry | undefined;

/** One for the process, however many agents it has had: what observes the process for prom-client never ends. */
export function processRegistry(): Registry {
  if (ofThisProcess !== undefined) return ofThisProcess;
  ofThisProcess = new Registry();
  // With its default, 10 ms, the loop would wake a hundred times a second to measure itself.
  collectDefaultMetrics({ register: ofThisProcess, eventLoopMonitoringPrecision: 1000 });
  registerProcessMetrics(ofThisProcess);
  return ofThisProcess;
}

/** Left out where /proc does not tell. */
function registerProcessMetrics(registry: Registry): void {
  const registers = [registry];
  const limit = readAddressSpaceLimit(readProc('limits'));
  if (limit !== undefined) {
    new Gauge({
      name: 'process_virtual_memory_max_bytes',
      help: 'Maximum amount of virtual memory available in bytes.',
      registers,
    }).set(limit);
  }
  const counter = (name: string, help: string, read: (bytes: NetworkBytes) => number) =>
    new Counter({
      name,
      help,
      registers,
      collect() {
        const bytes = readNetworkBytes(readProc('net/netstat'));
        this.reset();
        if (bytes !== undefined) this.inc(read(bytes));
      },
    });
  counter(
    'process_network_receive_bytes_total',
    'Bytes of IP packets received in the network namespace of the process.',
    ({ received }) => received,
  );
  counter(
    'process_network_transmit_bytes_total',
    'Bytes of IP packets sent in the network namespace of the process.',
    ({ sent }) => sent,
  );
}

/** From /proc/self/limits. */
export function readAddressSpaceLimit(limits: string): number | undefined {
  const soft = /^Max address space +(\S+)/m.exec(limits)?.[1];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? UNLIMITED : Number(soft);
}

/** From /proc/self/net/netstat: of each group a line of names and a line of values. */
export function readNetworkBytes(netstat: string): NetworkBytes | undefined {
  const [names, values] = [...netstat.matchAll(/^IpExt: (.*)$/gm)].map(([, text = '']) => text.split(' '));
  const value = (name: string) => Number(values?.[names?.indexOf(name) ?? -1] ?? Number.NaN);
  const [received, sent] = [value('InOctets'), value('OutOctets')];
  return Number.isNaN(received) || Number.isNaN(sent) ? undefined : { received, sent };
}

function readProc(name: string): string {
  try {
    return readFileSync(`/proc/self/${name}`, 'utf8');
  } catch {
    return '';
  }
}
