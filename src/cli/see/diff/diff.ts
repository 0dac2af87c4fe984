/** penstock diff: what the kernel has against what the objects ask for; or who reaches what in one mode and in another. */
import type { KernelDifference } from '../../../dataplane/KernelDifference.js';
import type { Mode } from '../../../explain/World.js';
import { freeHeap } from '../../../host/heap.js';
import { printable } from '../../../net/printable.js';
import type { Problem } from '../../../objects/Problem.js';
import type { RoutingView } from '../../../routing/RoutingView.js';
import { readArguments, readLimit, WrongCall } from '../../readArguments.js';
import { agentDigest, agentView, type Look, look, ruleFactsOf } from '../look.js';
import { MODEL_FLAGS, type ModelFlags, modeFlag } from '../modelFlags.js';
import { colour, formatOf, OUTPUT_FLAG, print, printJson, wrap } from '../output.js';
import { afterFirstSync, findAgent, isBeforeFirstSync } from '../startingAgent.js';
import { isOfService } from '../traffic/trafficNames.js';

export const HELP = `penstock diff [--service NAMESPACE/NAME] [-o json]
penstock diff --mode MODE --mode MODE [--manifests PATH …] [-o json]

Compares the rules in the kernel with those that the objects ask for, in the
words of the mode: + is wanted and missing, - is there and not wanted, ~ is
otherwise than wanted. Changes nothing. Needs root.

With --mode twice: what would be different for clients in the second mode:
who reaches what, from the objects alone. Needs no root when it is told where
objects are.

  --service NS/NAME      only what is of this Service
  --limit N              at most so many lines (default 100); JSON has all
  --manifests PATH, --config FILE, --kubeconfig FILE, --cluster-cidr CIDR,
  --node NAME, --node-address IP    as for penstock explain

Exit status: 0 equal, 1 there are differences, 2 could not look.
`;

const DEFAULT_LIMIT = 100;

export async function diff(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, {
    options: {
      ...OUTPUT_FLAG,
      ...MODEL_FLAGS,
      mode: { type: 'string', multiple: true },
      service: { type: 'string' },
      limit: { type: 'string' },
    },
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const format = formatOf(values.output);
  const limit = readLimit(values.limit) ?? DEFAULT_LIMIT;
  const [first, second, ...more] = (values.mode ?? []).flatMap((text) => modeFlag(text) ?? []);
  if (more.length > 0) throw new WrongCall('two modes can be compared', 'Give --mode twice.');
  const { mode: _, ...rest } = values;
  if (first !== undefined && second !== undefined)
    return (await import('./diffModes.js')).diffModes({
      ...rest,
      modes: [first, second],
      format,
      limit,
      service: values.service,
    });
  const flags = { ...rest, mode: first };
  const { mode, differences, problems, agentIsGone, awaits } = await comparedAtRest(flags);
  const shown = differences.filter(({ service }) => isOfService(service, values.service ?? ''));
  if (format === 'json')
    printJson({
      equal: shown.length === 0,
      mode,
      agent: !agentIsGone,
      awaits,
      count: shown.length,
      differences: shown,
      problems,
    });
  else print(diffText(mode, shown, { limit, problems, agentIsGone, awaits }));
  return shown.length === 0 ? 0 : 1;
}

/** The agent says what its rules come to, which is a hundredth of what it serves; only where that differs all of it is looked at. */
async function agreesWithAgent(found: Extract<Look, { readonly from: 'agent' }>): Promise<boolean> {
  const { agent } = found;
  const mode = agent.status.mode as Mode;
  if (mode !== 'nftables' && mode !== 'userspace') return false;
  const facts = ruleFactsOf(found);
  // Tables of first packets are in no digest.
  if (facts.beside !== undefined) return false;
  const { isAsWanted } = await import('../../../modes/reading/isAsWanted.js');
  return isAsWanted(mode, facts, (keysOf, takeKeys) => agentDigest(agent, keysOf, takeKeys));
}

interface Compared {
  readonly mode: Mode;
  readonly differences: readonly KernelDifference[];
  readonly problems: readonly Problem[];
  readonly agentIsGone: boolean;
  /** What the agent waits for that has not made its first sync; '' when it has, and where none runs. */
  readonly awaits: string;
}

/** Until its first sync an agent's objects and the kernel differ because it starts, and for no other cause. */
async function synced(found: Look): Promise<Look> {
  if (found.from !== 'agent') return found;
  const say = (text: string) => process.stderr.write(`${printable(`penstock diff: ${text}`)}\n`);
  return { from: 'agent', agent: await afterFirstSync(found.agent, say) };
}

/** Where an agent has come while the objects were read without one, it is asked: it runs then, and differences are its work. */
async function comparedAtRest(flags: ModelFlags): Promise<Compared> {
  const found = await compared(flags, await synced(await look(flags)));
  if (!found.agentIsGone) return found;
  const agent = await findAgent();
  return agent ? compared(flags, await synced({ from: 'agent', agent })) : found;
}

async function compared(flags: ModelFlags, found: Look): Promise<Compared> {
  const isAgents = found.from === 'agent';
  if (isAgents && (await agreesWithAgent(found)))
    return {
      mode: found.agent.status.mode as Mode,
      differences: [],
      problems: found.agent.status.problems,
      agentIsGone: false,
      awaits: '',
    };
  freeHeap();
  // Loaded when they are needed: where all is as it should be nobody reads configurations.
  const { readConfig } = await import('../readModel.js');
  const { kernelDifferences } = await import('../../../modes/reading/kernelDifferences.js');
  const { createLogger } = await import('../../../observe/log/createLogger.js');
  const log = createLogger({ format: 'text', verbosity: 0 }, process.stderr);
  const config = isAgents ? readConfig(flags, { called: found.agent.status }).config : found.model.config;
  const view: RoutingView = isAgents ? await agentView(found.agent) : found.model.table;
  const mode = isAgents ? (found.agent.status.mode as Mode) : ((config.mode || 'nftables') as Mode);
  const differences = await kernelDifferences({
    config: { ...config, mode },
    view,
    facts: ruleFactsOf(found),
    log,
  });
  return {
    mode,
    differences,
    problems: isAgents ? found.agent.status.problems : found.model.problems,
    agentIsGone: !isAgents && found.agentIsGone,
    awaits: isAgents && isBeforeFirstSync(found.agent.status) ? found.agent.status.waitingFor : '',
  };
}

const SIGN_COLOURS = { '+': 'green', '-': 'red', '~': 'yellow' } as const;

function diffText(
  mode: Mode,
  differences: readonly KernelDifference[],
  { limit, problems, agentIsGone, awaits }: { limit: number } & Omit<Compared, 'mode' | 'differences'>,
): string[] {
  const lines = differences
    .slice(0, limit)
    .map(({ sign, what, service, text }) =>
      colour(
        SIGN_COLOURS[sign],
        printable(`${sign} ${what}${service === '' ? '' : ` of ${service}`}: ${text}`),
      ),
    );
  const hidden = differences.length - lines.length;
  const aside = problems.filter(({ severity }) => severity !== 'note').length;
  return [
    ...(agentIsGone ? ['The agent does not run: nobody mends what differs.'] : []),
    ...(awaits === '' ? [] : wrap(`The agent has not made its first sync: ${awaits}.`, 80)),
    ...lines,
    ...(hidden > 0 ? [`… and ${hidden} more (--limit, or -o json)`] : []),
    ...(lines.length > 0 && aside > 0
      ? [`${aside} objects are set aside or in conflict, which may be why: penstock status`]
      : []),
    differences.length === 0
      ? colour('green', `equal: the kernel has what the objects ask for (mode ${mode})`)
      : colour('red', `${differences.length} differences between the objects and the kernel (mode ${mode})`),
  ];
}
