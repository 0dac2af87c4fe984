/** penstock selftest: proof that every kind of VIP works, on this node or in namespaces of its own. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf, PenstockError } from '../../../errors.js';
import { IP_FAMILIES, type IpFamily } from '../../../net/ip.js';
import { readArguments, WrongCall } from '../../readArguments.js';
import { dumpFailure } from '../dump/dumpFailure.js';
import { modeFlag } from '../modelFlags.js';
import { formatOf, OUTPUT_FLAG, print, printJson } from '../output.js';
import { DISRUPTIONS } from './disrupt.js';
import { inNamespaces } from './inNamespaces.js';
import { insideNamespaces, type NamespacesTask } from './insideNamespaces.js';
import { onNode } from './onNode.js';
import { failures, junit, reportOf, reportText } from './Report.js';
import { runPeer } from './runPeer.js';

export const HELP = `penstock selftest [--service NAMESPACE/NAME…] [--junit FILE] [-o json]
penstock selftest --namespaces [--mode MODE…] [--disrupt KIND] [--junit FILE]

Makes connections to every kind of VIP, family and protocol, and compares what
becomes of them with what \`penstock explain\` says.

On this node it asks for what the running agent serves: the API server, DNS, and
the first other Services. It connects to them and says nothing. With --namespaces
it makes a small cluster of its own (a node, three pods, a client outside; needs
root), which nobody else sees and which is gone when the command is.

  --service NAME         this Service; may be repeated
  --family 4|6           only of this IP family
  --namespaces           in namespaces of its own
  --mode MODE            with --namespaces: this mode; may be repeated. Default: all
                         that this kernel can
  --disrupt KIND         with --namespaces: restart, upgrade or mode: counts what breaks
                         while the agent is restarted, upgraded, or changes its mode
  --junit FILE           writes the result as JUnit
  --sysdump FILE         writes the archive of sysdump when something fails

Exit status: 0 all passed, 1 something failed or broke, 2 could not look.
`;

export async function selftest(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, {
    options: {
      ...OUTPUT_FLAG,
      namespaces: { type: 'boolean' },
      service: { type: 'string', multiple: true },
      family: { type: 'string' },
      mode: { type: 'string', multiple: true },
      disrupt: { type: 'string' },
      junit: { type: 'string' },
      sysdump: { type: 'string' },
      // How it calls itself in namespaces.
      role: { type: 'string' },
      task: { type: 'string' },
    },
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  if (values.role === 'peer') return runPeer();
  if (values.role === 'inside') return insideNamespaces(JSON.parse(values.task ?? '{}') as NamespacesTask);
  const format = formatOf(values.output);
  const families = familiesOf(values.family);
  const began = performance.now();
  const found = values.namespaces
    ? { where: 'namespaces', ...(await inNamespaces(namespacesTask(values, families))) }
    : {
        where: 'this node',
        disruptions: [],
        ...(await testNode(nodeTask(values, families), values.sysdump)),
      };
  const report = reportOf({ ...found, milliseconds: Math.round(performance.now() - began) });
  if (values.junit !== undefined) writeReport(values.junit, junit(report));
  if (format === 'json') printJson(report);
  else print(reportText(report));
  return report.passed ? 0 : 1;
}

async function testNode(task: Parameters<typeof onNode>[0], sysdump: string | undefined) {
  const { cells, notes } = await onNode(task);
  if (sysdump === undefined || failures(cells, []) === 0) return { cells, notes };
  return { cells, notes: [...notes, await dumpFailure(sysdump)] };
}

interface Flags {
  readonly sysdump?: string | undefined;
  readonly service?: readonly string[] | undefined;
  readonly mode?: readonly string[] | undefined;
  readonly disrupt?: string | undefined;
}

function familiesOf(text: string | undefined): readonly IpFamily[] {
  if (text === undefined) return IP_FAMILIES;
  if (text === '4') return ['IPv4'];
  if (text === '6') return ['IPv6'];
  throw new WrongCall(`--family ${JSON.stringify(text)}: there are 4 and 6`);
}

function namespacesTask(flags: Flags, families: readonly IpFamily[]): NamespacesTask {
  if (flags.service) throw new WrongCall('--service is for a node in use, not for --namespaces');
  const modes = flags.mode?.flatMap((text) => modeFlag(text) ?? []);
  const disrupt = DISRUPTIONS.find((kind) => kind === flags.disrupt);
  if (flags.disrupt !== undefined && disrupt === undefined)
    throw new WrongCall(`--disrupt ${JSON.stringify(flags.disrupt)}: there are ${DISRUPTIONS.join(', ')}`);
  return {
    modes,
    families,
    disrupt,
    sysdump: flags.sysdump === undefined ? undefined : resolve(flags.sysdump),
  };
}

function nodeTask(flags: Flags, families: readonly IpFamily[]): Parameters<typeof onNode>[0] {
  if (flags.mode) throw new WrongCall('--mode needs --namespaces', 'An agent in use keeps its mode.');
  if (flags.disrupt !== undefined)
    throw new WrongCall('--disrupt needs --namespaces', 'An agent in use is not disturbed.');
  return { services: flags.service ?? [], families };
}

function writeReport(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new PenstockError('PENSTOCK_CANNOT_TEST', `--junit: ${messageOf(error)}`, {
      cause: error,
      remedy: 'Name a file in a folder that is there.',
    });
  }
}
