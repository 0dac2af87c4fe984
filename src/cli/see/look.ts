/** Where a command gets its answer from: what the call names, else a running agent, else what the last agent was given. */
import { readFileSync } from 'node:fs';
import {
  type RuleFacts,
  readRuleFacts,
  type SetsByFamily,
  type WantedKeysOfSet,
} from '../../dataplane/Dataplane.js';
import { PenstockError } from '../../errors.js';
import { NodeLock } from '../../host/NodeLock.js';
import { agentNote } from '../../kernel/host/stateFiles.js';
import type { Said } from '../../modes/reading/isAsWanted.js';
import { ModelReader, type NodeLine, viewOfNode } from '../../observe/admin/modelLines.js';
import { type ServiceRow, serviceRows } from '../../observe/admin/serviceRows.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { WrongCall } from '../readArguments.js';
import { type AgentClient, notPrivileged } from './AgentClient.js';
import { type ModelFlags, namesSource } from './modelFlags.js';
import type { Model } from './readModel.js';
import { findAgent } from './startingAgent.js';

export type Look =
  | { readonly from: 'agent'; readonly agent: AgentClient }
  /** `agentIsGone`: there was one. */
  | { readonly from: 'model'; readonly model: Model; readonly agentIsGone: boolean };

/** How an agent was called. */
export interface AgentNote {
  readonly mode: string;
  readonly node: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly arguments: readonly string[];
  readonly folder: string;
  /** RuleFacts, as they were when the agent started; absent in notes of older versions. */
  readonly ruleFacts?: unknown;
}

/** Rejects with PENSTOCK_NO_AGENT when there is nothing to look at. */
export async function look(flags: ModelFlags): Promise<Look> {
  if (namesSource(flags)) return { from: 'model', model: await readObjects(flags), agentIsGone: false };
  const agent = await findAgent();
  const asksElse =
    flags.mode !== undefined || flags.node !== undefined || flags['node-address'] !== undefined;
  if (agent && !asksElse) return { from: 'agent', agent };
  const note = agent?.status ?? readNote();
  if (note)
    return {
      from: 'model',
      model: await readObjects(flags, note),
      agentIsGone: agent === undefined,
    };
  const holder = NodeLock.holder();
  if (holder !== undefined)
    throw new PenstockError(
      'PENSTOCK_NO_AGENT',
      `${holder.description} serves this node, but cannot be asked`,
      {
        remedy:
          'Its log says why; or say where objects are: --manifests PATH, --kubeconfig FILE or --config FILE.',
      },
    );
  throw new PenstockError('PENSTOCK_NO_AGENT', 'no agent runs here, and none has', {
    remedy:
      'Start penstock run, or say where objects are: --manifests PATH, --kubeconfig FILE or --config FILE.',
  });
}

/** Loaded when it is needed: who asks an agent needs none of what reads configurations and API servers. */
async function readObjects(flags: ModelFlags, called?: AgentNote): Promise<Model> {
  const { readModel } = await import('./readModel.js');
  const { fileProblemLines } = await import('../../kubernetes/manifests/manifestErrors.js');
  const model = await readModel(flags, called ? { called } : {});
  for (const line of fileProblemLines(model.problems)) process.stderr.write(`penstock: ${line}\n`);
  return model;
}

/** The ports of Services, as the agent or the model has them. */
export async function servicesOf(found: Look): Promise<readonly ServiceRow[]> {
  return found.from === 'agent'
    ? found.agent.list<ServiceRow>('/v1/services')
    : serviceRows(found.model.table, found.model.config.mode);
}

/** The routing table as the agent has it; of `services` (`namespace/name`) alone, if any are named. Rejects with PENSTOCK_NO_AGENT. */
export async function agentView(agent: AgentClient, services: readonly string[] = []): Promise<RoutingView> {
  const reader = new ModelReader();
  const words = services.length === 0 ? '' : `?${new URLSearchParams({ service: services.join(',') })}`;
  await agent.lines(`/v1/model${words}`, (line) => reader.take(line));
  const view = reader.view();
  if (!view) throw new PenstockError('PENSTOCK_NO_AGENT', 'the agent did not say what it serves');
  return view;
}

/** What the rules of the agent must come to; undefined for an agent that does not know what is asked. Rejects with PENSTOCK_NO_AGENT. */
export async function agentDigest(
  agent: AgentClient,
  keysOf: SetsByFamily,
  takeKeys: (keys: WantedKeysOfSet) => void,
): Promise<Said | undefined> {
  const sets = Object.entries(keysOf).flatMap(([family, names]) => names.map((set) => `${family}/${set}`));
  const path = sets.length === 0 ? '/v1/digest' : `/v1/digest?keys=${sets.join(',')}`;
  let said: Said | undefined;
  await agent.linesOfWork(path, (line) => {
    if ('keys' in (line as object)) takeKeys(line as WantedKeysOfSet);
    else {
      const { node, digest } = line as { readonly node: NodeLine; readonly digest: Said['digest'] };
      said = { view: viewOfNode(node), digest };
    }
  });
  return said;
}

/** What rules depend on beside the objects, as the agent says it, or as the last one noted it. Throws PENSTOCK_NOT_PRIVILEGED. */
export function ruleFactsOf(found: Look): RuleFacts {
  return readRuleFacts(found.from === 'agent' ? found.agent.status.ruleFacts : readNote()?.ruleFacts);
}

export function noSuchService(name: string): WrongCall {
  return new WrongCall(`there is no Service ${JSON.stringify(name)}`, '`penstock services` lists them.');
}

/** Of the last agent of this network namespace. Throws PENSTOCK_NOT_PRIVILEGED. */
export function readNote(): AgentNote | undefined {
  try {
    const note = JSON.parse(readFileSync(agentNote(), 'utf8')) as AgentNote;
    return Array.isArray(note.arguments) && typeof note.folder === 'string' ? note : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') throw notPrivileged(agentNote(), error);
    return undefined;
  }
}
