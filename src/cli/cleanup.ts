/** penstock cleanup: removes every rule, chain and counter of ours, and puts changed kernel parameters back. */
import { parseArgs } from 'node:util';
import { planCleanup } from '../dataplane/iptables/planCleanup.js';
import { SECTION_LIMIT } from '../dataplane/iptables/sections.js';
import { messageOf, PenstockError } from '../errors.js';
import { Sysctls } from '../kernel/sysctl/Sysctls.js';
import { XtablesTool } from '../kernel/xtables/XtablesTool.js';
import type { IpFamily } from '../net/ip.js';

const HELP = `penstock cleanup [--dry-run]

Removes the iptables rules and chains of penstock (they are kube-proxy's too), its packet counters, and puts kernel
parameters back to what they were. Nothing else is touched.

  --dry-run   print what would be done
`;

const PROGRAMS: readonly (readonly [IpFamily, string])[] = [
  ['IPv4', 'iptables-nft'],
  ['IPv4', 'iptables-legacy'],
  ['IPv6', 'ip6tables-nft'],
  ['IPv6', 'ip6tables-legacy'],
];

/** Resolves with 1 when something could not be removed; says what and goes on with the rest. */
export async function cleanup(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { 'dry-run': { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const mode = values['dry-run'] ? 'print' : 'remove';
  let failures = 0;
  for (const [family, program] of PROGRAMS) {
    try {
      process.stdout.write(await cleanTables(family, program, mode));
    } catch (error) {
      failures++;
      process.stderr.write(`penstock cleanup: ${program}: ${messageOf(error)}\n`);
    }
  }
  if (mode === 'remove') {
    for (const name of new Sysctls().restore())
      process.stdout.write(`put back: ${name.replaceAll('/', '.')}\n`);
  }
  return failures === 0 ? 0 : 1;
}

async function cleanTables(family: IpFamily, program: string, mode: 'print' | 'remove'): Promise<string> {
  const tool = await openIfInstalled(family, program);
  if (!tool) return '';
  const present = await tool.tables();
  const save = (table: string) => (present.includes(table) ? tool.save(table) : Promise.resolve(''));
  const saved = { mangle: await save('mangle'), filter: await save('filter'), nat: await save('nat') };
  const input = planCleanup(saved, SECTION_LIMIT[tool.version.backend]);
  if (input.isEmpty) return `${tool.description}: nothing of ours\n`;
  if (mode === 'print') return `# ${tool.description}: ${program}-restore --noflush\n${input}`;
  await tool.restore(input);
  return `${tool.description}: removed ${input.toString().match(/^-X /gm)?.length ?? 0} chains\n`;
}

async function openIfInstalled(family: IpFamily, program: string): Promise<XtablesTool | undefined> {
  try {
    return await XtablesTool.open(family, program);
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'PENSTOCK_XTABLES_MISSING') return undefined;
    throw error;
  }
}
