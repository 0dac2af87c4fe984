/** iptables and friends in the network namespace of the test. */
import { execFileSync } from 'node:child_process';
import { PATIENCE } from './patience.js';

/** A command line that runs without what tap gives to child processes: penstock must run as users run it. */
export function plain(...command: readonly string[]): [program: string, args: string[]] {
  return ['env', ['-i', `PATH=${process.env.PATH}`, ...command]];
}

export function shell(command: string): string {
  return execFileSync(...plain('sh', '-ec', command), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** All rules of the namespace without counters and dates: equal texts are equal rules. */
export function savedRules(program = 'iptables'): string {
  return ['mangle', 'filter', 'nat']
    .map((table) => shell(`${program}-save -t ${table}`))
    .join('')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\[\d+:\d+\]/g, '[0:0]');
}

/** Everything nftables lists, counts left out; '' where there is nothing. */
export function listedRuleset(what = 'ruleset'): string {
  return shell(`nft -s list ${what} 2>/dev/null || true`).replaceAll(/ counter packets \d+ bytes \d+/g, '');
}

/** Calls `check` until it is true; false after `limitMs`, longer where the processor is emulated. */
export async function eventually(
  check: () => boolean | Promise<boolean>,
  limitMs = 20_000,
): Promise<boolean> {
  const end = performance.now() + limitMs * PATIENCE;
  while (performance.now() < end) {
    if (await check()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}
