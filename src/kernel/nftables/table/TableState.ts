/** What a table holds in the kernel, elements aside: read at start and after trouble, to write only what differs. */

import { AttributeReader } from '../../netlink/AttributeReader.js';
import { MESSAGE_HEADER, NETFILTER_HEADER } from '../../netlink/constants.js';
import type { Message } from '../../netlink/Message.js';
import { MessageWriter } from '../../netlink/MessageWriter.js';
import {
  ACCEPT,
  ChainAttribute,
  HOOK_NUMBER,
  HookAttribute,
  RuleAttribute,
  SetAttribute,
  SetDescription,
  TableAttribute,
} from '../constants.js';
import { canonicalExpression, type Expression, readExpression, withMapTests } from '../Expression.js';
import { type SetSpec, VERDICT_TYPE, writeSetSpec } from '../SetSpec.js';
import type { Rule } from '../statements.js';
import type { ChainSpec } from '../Transaction.js';

export interface TableState {
  /** NFT_TABLE_F_*: 0 for a table of ours, others may set some. */
  readonly flags: number;
  /** Chain → where it is hooked, as hookText() says it. */
  readonly chains: ReadonlyMap<string, string>;
  /** Chain → its rules, as ruleText() says them. */
  readonly rules: ReadonlyMap<string, readonly string[]>;
  /** Set → its declaration, as setText() says it. */
  readonly sets: ReadonlyMap<string, string>;
  /** Set → how many elements it has, where the kernel says so. */
  readonly counts?: ReadonlyMap<string, number>;
}

/** What of a table is there, without a look into rules: that is most of the time that a table with few elements takes. */
export interface TableOutline extends Pick<TableState, 'flags' | 'chains'> {
  /** Chain → how many; a chain without rules may be absent. */
  readonly ruleCounts: ReadonlyMap<string, number>;
}

export const EMPTY_TABLE: TableState = { flags: 0, chains: new Map(), rules: new Map(), sets: new Map() };

/** A text that is the same for chains that are hooked alike, with the same policy. */
export function hookText({ hook }: ChainSpec): string {
  if (hook === undefined) return '';
  return `${hook.type} ${HOOK_NUMBER[hook.hook]} ${hook.priority}${atDevice(hook.device)} ${ACCEPT}`;
}

const atDevice = (name: string | undefined) => (name === undefined ? '' : ` at ${name}`);

/** A text that is the same for rules that do the same. */
export function ruleText(rule: Rule): string {
  return rule.flatMap(({ expressions }) => expressions.map(canonicalExpression)).join('\n');
}

/** A text that is the same for chains whose rules do the same, wherever they are hooked. */
export function chainText({ rules }: Pick<ChainSpec, 'rules'>): string {
  return rules.map(ruleText).join(BETWEEN_RULES);
}

/** The same of a chain that was read; '' of one without rules, or that is not there. */
export function presentText(state: TableState | undefined, chain: string): string {
  return (state?.rules.get(chain) ?? []).join(BETWEEN_RULES);
}

const BETWEEN_RULES = '\n\n';

/** A text that is the same for sets declared alike. */
export function setText(spec: SetSpec): string {
  const writer = new MessageWriter(512);
  writer.beginMessage(0);
  writeSetSpec(writer, spec, 0);
  writer.endMessage();
  return readSet(new AttributeReader(writer.bytes(), MESSAGE_HEADER))[1];
}

/** `messages`: what the kernel answers when it is asked for one table. */
export function readTableFlags(messages: readonly Message[]): number {
  let flags = 0;
  for (const message of messages) {
    const reader = message.attributes(NETFILTER_HEADER);
    while (reader.next()) if (reader.type === TableAttribute.FLAGS) flags = reader.u32be();
  }
  return flags;
}

export function readChains(messages: readonly Message[], table: string): Map<string, string> {
  const chains = new Map<string, string>();
  for (const message of messages) {
    const reader = message.attributes(NETFILTER_HEADER);
    let [owner, name, type, hook] = ['', '', '', ''];
    let policy = ACCEPT;
    while (reader.next()) {
      if (reader.type === ChainAttribute.TABLE) owner = reader.string();
      else if (reader.type === ChainAttribute.NAME) name = reader.string();
      else if (reader.type === ChainAttribute.TYPE) type = reader.string();
      else if (reader.type === ChainAttribute.POLICY) policy = reader.u32be();
      else if (reader.type === ChainAttribute.HOOK) hook = readHook(reader.children());
    }
    if (owner === table) chains.set(name, hook === '' ? '' : `${type} ${hook} ${policy}`);
  }
  return chains;
}

function readHook(reader: AttributeReader): string {
  let number = 0;
  let priority = 0;
  let device: string | undefined;
  while (reader.next()) {
    if (reader.type === HookAttribute.NUMBER) number = reader.u32be();
    else if (reader.type === HookAttribute.PRIORITY) priority = reader.u32be() | 0;
    else if (reader.type === HookAttribute.DEVICE) device = reader.string();
  }
  return `${number} ${priority}${atDevice(device)}`;
}

export function readRules(messages: readonly Message[]): Map<string, string[]> {
  const rules = new Map<string, string[]>();
  for (const message of messages) {
    const reader = message.attributes(NETFILTER_HEADER);
    let chain = '';
    let text = '';
    while (reader.next()) {
      if (reader.type === RuleAttribute.CHAIN) chain = reader.string();
      else if (reader.type === RuleAttribute.EXPRESSIONS) text = readExpressions(reader.children());
    }
    const known = rules.get(chain);
    if (known) known.push(text);
    else rules.set(chain, [text]);
  }
  return rules;
}

export function countRules(messages: readonly Message[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const message of messages) {
    const reader = message.attributes(NETFILTER_HEADER);
    while (reader.next()) {
      if (reader.type !== RuleAttribute.CHAIN) continue;
      const chain = reader.string();
      counts.set(chain, (counts.get(chain) ?? 0) + 1);
    }
  }
  return counts;
}

/** Something that is not ours reads as `?`, which equals no rule of ours. */
function readExpressions(reader: AttributeReader): string {
  const found: (Expression | undefined)[] = [];
  while (reader.next()) found.push(readExpression(reader.children()));
  return withMapTests(found)
    .map((each) => (each ? canonicalExpression(each) : '?'))
    .join('\n');
}

export function readSets(messages: readonly Message[], table: string): Map<string, string> {
  const sets = new Map<string, string>();
  for (const message of messages) {
    let owner = '';
    const reader = message.attributes(NETFILTER_HEADER);
    while (reader.next()) if (reader.type === SetAttribute.TABLE) owner = reader.string();
    if (owner === table) sets.set(...readSet(message.attributes(NETFILTER_HEADER)));
  }
  return sets;
}

export function readCounts(messages: readonly Message[], table: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const message of messages) {
    const reader = message.attributes(NETFILTER_HEADER);
    let [owner, name] = ['', ''];
    let count: number | undefined;
    while (reader.next()) {
      if (reader.type === SetAttribute.TABLE) owner = reader.string();
      else if (reader.type === SetAttribute.NAME) name = reader.string();
      else if (reader.type === SetAttribute.COUNT) count = reader.u32be();
    }
    if (owner === table && count !== undefined) counts.set(name, count);
  }
  return counts;
}

function readSet(reader: AttributeReader): [name: string, text: string] {
  const values = new Map<number, number | string>();
  let name = '';
  let size = 0;
  while (reader.next()) {
    switch (reader.type) {
      case SetAttribute.NAME:
        name = reader.string();
        break;
      case SetAttribute.FLAGS:
      case SetAttribute.KEY_TYPE:
      case SetAttribute.KEY_LENGTH:
      case SetAttribute.DATA_TYPE:
      case SetAttribute.DATA_LENGTH:
        values.set(reader.type, reader.u32be());
        break;
      case SetAttribute.USERDATA:
        values.set(reader.type, reader.latin1());
        break;
      case SetAttribute.EXPRESSION:
        values.set(reader.type, readExpression(reader.children())?.name ?? '?');
        break;
      case SetAttribute.DESCRIPTION: {
        const description = reader.children();
        while (description.next()) if (description.type === SetDescription.SIZE) size = description.u32be();
        break;
      }
    }
  }
  // The kernel says how long its own verdicts are.
  if (values.get(SetAttribute.DATA_TYPE) === VERDICT_TYPE) values.delete(SetAttribute.DATA_LENGTH);
  const words = [...values].sort(([a], [b]) => a - b).filter(([, value]) => value !== 0);
  return [name, JSON.stringify([words, size])];
}

/** The size in a text of setText(); 0 for none. */
export function setSizeIn(text: string): number {
  return text === '' ? 0 : Number((JSON.parse(text) as readonly unknown[])[1]);
}
