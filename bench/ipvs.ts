/**
 * Mode ipvs on a kernel with IPVS: the first sync and single changes, beside ipset restore, ipvsadm -R and ip -batch of the
 * same. Runs in the virtual machine: scripts/vm node dist/bench/ipvs.js
 */
import { fileURLToPath } from 'node:url';
import { inNamespace } from './inNamespace.js';
import { median, quantile, table } from './statistics.js';

export interface IpvsResult {
  readonly firstMs: number;
  /** Of firstMs, what iptables-save and iptables-restore took. */
  readonly rulesMs: number;
  readonly firstMessages: number;
  readonly changeMs: readonly number[];
  readonly changeMessages: readonly number[];
  readonly restartMs: number;
  readonly restartMessages: number;
  /** ipset restore + ipvsadm -R + ip -batch + iptables-restore. */
  readonly toolsMs: number;
}

const ENDPOINTS = 5;
const SIZES = [200, 1000, 5000];

if (process.argv[2] === 'measure') {
  const { measureIpvs } = await import('./ipvsCore.js');
  process.stdout.write(`${JSON.stringify(await measureIpvs(Number(process.argv[3]), ENDPOINTS))}\n`);
} else {
  const rows: (string | number)[][] = [];
  for (const size of SIZES) {
    const output = await inNamespace(fileURLToPath(import.meta.url), ['measure', String(size)]);
    const result = JSON.parse(output) as IpvsResult;
    rows.push([
      `${size} × ${ENDPOINTS}`,
      result.firstMs,
      result.rulesMs,
      `${result.firstMessages}`,
      result.toolsMs,
      result.restartMs,
      `${result.restartMessages}`,
      median(result.changeMs),
      quantile(result.changeMs, 0.95),
      `${Math.max(...result.changeMessages)}`,
    ]);
  }
  const header = [
    'services × endpoints',
    'first sync ms',
    'of it rules ms',
    'messages',
    'the tools ms',
    'restart ms',
    'messages',
    'one change ms',
    '95 % ms',
    'messages',
  ];
  process.stdout.write(table(header, rows));
}
