/** penstock leave: hands this node back to another proxy, and waits until that is done. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PenstockError } from '../../errors.js';
import { hasLeaveNote, removeLeaveNote, writeLeaveNote } from '../../host/leaveNote.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { AgentClient } from '../see/AgentClient.js';
import { formatOf, OUTPUT_FLAG, print, printJson } from '../see/output.js';

export const HELP = `penstock leave [--timeout SECONDS] [--withdraw] [-o json]

Hands this node back to another proxy, kube-proxy mostly. The penstock that runs here serves on until the other's rules lead every
client to where its own do; then it removes its own in one go, and idles. No connection fails, and none is cut. The wish outlives
the agent: one that is started again idles too, until --withdraw or until the machine starts anew.

  --timeout SECONDS   how long to wait for the other's rules; default 300. The agent waits on afterwards
  --withdraw          serve again: takes the wish back, also after the agent has left

The exit status is 0 when it has left (with --withdraw: when it serves), 1 when it still waits, 2 when there is nobody to ask.
For a whole node of a cluster: kubectl label node NODE penstock.io/leave=true. Where the agent is dead: penstock cleanup.
`;

const DEFAULT_SECONDS = 300;
const LOOK_EVERY_MS = 250;
const MOST_TRIES = 40;

export async function leave(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, {
    options: { ...OUTPUT_FLAG, timeout: { type: 'string' }, withdraw: { type: 'boolean' } },
  });
  if (values.help) {
    print([HELP.trimEnd()]);
    return 0;
  }
  const format = formatOf(values.output);
  const seconds = values.timeout === undefined ? DEFAULT_SECONDS : Number(values.timeout);
  if (!Number.isFinite(seconds) || seconds < 0)
    throw new WrongCall(`--timeout is ${JSON.stringify(values.timeout)}`, 'Give a number of seconds.');
  const wanted = values.withdraw ? 'serving' : 'left';
  const isNew = !hasLeaveNote();
  if (wanted === 'left') {
    await agentHere();
    writeLeaveNote();
  } else removeLeaveNote();
  const say = (text: string) => {
    if (format === 'text') print([text]);
  };
  if (wanted === 'left' && isNew) say('asked the agent to leave; it waits for the rules of another proxy');
  const deadline = performance.now() + seconds * 1000;
  let said = '';
  for (;;) {
    const { departure, departureSays, mode, node, ready } = await agentHere();
    const isDone = departure === wanted && (wanted === 'left' || ready);
    if (isDone || performance.now() >= deadline) {
      if (format === 'json') printJson({ node, mode, done: isDone, departure, says: departureSays });
      else if (!isDone) say(`not yet: ${departureSays || `it is ${departure}`}`);
      else if (wanted === 'left') say(`left: ${departureSays} serves this node`);
      else say(`serving in mode ${mode}`);
      return isDone ? 0 : 1;
    }
    if (departure === 'waiting' && departureSays !== said) {
      said = departureSays;
      say(`waiting: ${said}`);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** A moment without an agent is waited for: it is put together anew when it serves again. */
async function agentHere(): Promise<AgentClient['status']> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const agent = await AgentClient.find();
    if (agent) return agent.status;
    await sleep(LOOK_EVERY_MS);
  }
  throw new PenstockError('PENSTOCK_NO_AGENT', 'no penstock serves this network namespace', {
    remedy: 'Where it has died and left its rules: penstock cleanup.',
  });
}
