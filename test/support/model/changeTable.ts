/** What each message of a transaction does, with the kernel's checks in the kernel's order (nf_tables_api.c of 6.18). */
import { constants } from 'node:os';
import { MessageFlag } from '../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../src/kernel/netlink/Message.js';
import {
  ChainAttribute,
  HookAttribute,
  NftMessage,
  RuleAttribute,
  TableAttribute,
} from '../../../src/kernel/nftables/constants.js';
import { Attributes } from './Attributes.js';
import { type ChangeContext, familyOf, findTable, refuse, tableKey } from './ChangeContext.js';
import { changeElements } from './changeElements.js';
import { deleteSet, newSet } from './changeSet.js';
import { livingRules, type ModelChain, type ModelHook, type ModelRule, type ModelTable } from './Ruleset.js';
import { readRuleExpressions } from './readExpressions.js';

const { EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP } = constants.errno;

/** NFPROTO_UNSPEC. */
const UNSPEC = 0;
/** NFT_TABLE_F_DORMANT, _OWNER and _PERSIST. */
const TABLE_FLAGS = 0x7;
/** NFTA_CHAIN_HANDLE, NFTA_RULE_POSITION, NFTA_RULE_USERDATA. */
export const CHAIN_HANDLE = 2;
export const RULE_POSITION = 6;
export const RULE_USER_DATA = 7;
/** NF_DROP. */
const DROP = 0;
const ACCEPT = 1;

/** Throws Refused. */
export function change(message: Message, context: ChangeContext): void {
  switch (message.type) {
    case NftMessage.NEW_TABLE:
      newTable(message, context);
      return;
    case NftMessage.DELETE_TABLE:
      deleteTable(message, context);
      return;
    case NftMessage.NEW_CHAIN:
      newChain(message, context);
      return;
    case NftMessage.DELETE_CHAIN:
      deleteChain(message, context);
      return;
    case NftMessage.NEW_RULE:
      newRule(message, context);
      return;
    case NftMessage.DELETE_RULE:
      deleteRule(message, context);
      return;
    case NftMessage.NEW_SET:
      newSet(message, context);
      return;
    case NftMessage.DELETE_SET:
      deleteSet(message, context);
      return;
    case NftMessage.NEW_ELEMENTS:
    case NftMessage.DELETE_ELEMENTS:
      changeElements(message, context);
      return;
    default:
      refuse(EINVAL);
  }
}

function tableOf(
  attributes: Attributes,
  attribute: number,
  message: Message,
  context: ChangeContext,
): ModelTable {
  return findTable(context.tables, familyOf(message), attributes.string(attribute));
}

function newTable(message: Message, context: ChangeContext): void {
  const attributes = Attributes.of(message);
  const name = attributes.string(TableAttribute.NAME) ?? refuse(EINVAL);
  const flags = attributes.u32(TableAttribute.FLAGS);
  const key = tableKey(familyOf(message), name);
  const known = context.tables.get(key);
  if (known) {
    if ((message.flags & MessageFlag.EXCLUSIVE) !== 0) refuse(EEXIST);
    if ((message.flags & MessageFlag.REPLACE) !== 0) refuse(EOPNOTSUPP);
    if (flags === undefined) return;
    if ((flags & ~TABLE_FLAGS) !== 0) refuse(EOPNOTSUPP);
    if (flags === known.flags && !context.changes.flaggedTables.has(known)) return;
    if (context.changes.busyTables.has(known)) refuse(EINVAL);
    context.changes.setTableFlags(known, flags);
    return;
  }
  if (((flags ?? 0) & ~TABLE_FLAGS) !== 0) refuse(EOPNOTSUPP);
  const table: ModelTable = {
    family: familyOf(message),
    name,
    handle: context.nextHandle(),
    flags: flags ?? 0,
    chains: new Map(),
    sets: new Map(),
    lastHandle: 0,
  };
  context.changes.addTable(context.tables, key, table);
}

function deleteTable(message: Message, context: ChangeContext): void {
  const attributes = Attributes.of(message);
  const family = familyOf(message);
  const name = attributes.string(TableAttribute.NAME);
  if (family === UNSPEC || name === undefined) {
    for (const [key, table] of [...context.tables]) {
      if (family !== UNSPEC && table.family !== family) continue;
      if (name !== undefined && table.name !== name) continue;
      context.changes.deleteTable(context.tables, key, table);
    }
    return;
  }
  const table = findTable(context.tables, family, name);
  const isUsed = table.chains.size + table.sets.size > 0;
  if ((message.flags & MessageFlag.NON_RECURSIVE) !== 0 && isUsed) refuse(EBUSY);
  context.changes.deleteTable(context.tables, tableKey(family, name), table);
}

function newChain(message: Message, context: ChangeContext): void {
  const attributes = Attributes.of(message);
  const table = tableOf(attributes, ChainAttribute.TABLE, message, context);
  const name = attributes.string(ChainAttribute.NAME) ?? refuse(EINVAL);
  const known = table.chains.get(name);
  const policy = attributes.u32(ChainAttribute.POLICY);
  if (policy !== undefined) {
    if (known ? !known.hook : !attributes.has(ChainAttribute.HOOK)) refuse(EOPNOTSUPP);
    if (policy !== ACCEPT && policy !== DROP) refuse(EINVAL);
  }
  if (!known) {
    const hook = attributes.has(ChainAttribute.HOOK) ? readHook(attributes) : undefined;
    context.changes.addChain({
      table,
      name,
      handle: ++table.lastHandle,
      hook,
      policy: policy ?? ACCEPT,
      rules: [],
      references: 0,
    });
    return;
  }
  if ((message.flags & MessageFlag.EXCLUSIVE) !== 0) refuse(EEXIST);
  if ((message.flags & MessageFlag.REPLACE) !== 0) refuse(EOPNOTSUPP);
  if (attributes.has(ChainAttribute.HOOK)) {
    if (!known.hook) refuse(EEXIST);
    requireSameHook(attributes, known.hook);
  }
  context.changes.repeatChain(known, policy);
}

/** Type of chain → its hooks, NF_INET_*. */
const CHAIN_TYPES: Readonly<Record<string, readonly number[]>> = {
  filter: [0, 1, 2, 3, 4],
  nat: [0, 1, 3, 4],
  route: [3],
};
/** NF_IP_PRI_CONNTRACK. */
const CONNTRACK_PRIORITY = -200;

/** As nft_chain_parse_hook(). */
function readHook(attributes: Attributes): ModelHook {
  const hook = attributes.nested(ChainAttribute.HOOK);
  const number = hook?.u32(HookAttribute.NUMBER) ?? refuse(ENOENT);
  const priority = (hook?.u32(HookAttribute.PRIORITY) ?? refuse(ENOENT)) | 0;
  const type = attributes.string(ChainAttribute.TYPE) ?? 'filter';
  const hooks = CHAIN_TYPES[type] ?? refuse(ENOENT);
  if (!hooks.includes(number)) refuse(EOPNOTSUPP);
  if (type === 'nat' && priority <= CONNTRACK_PRIORITY) refuse(EOPNOTSUPP);
  return { type, number, priority };
}

/** The hook of a chain that is there, which may be left out in part. */
function requireSameHook(attributes: Attributes, present: ModelHook): void {
  const hook = attributes.nested(ChainAttribute.HOOK);
  const number = hook?.u32(HookAttribute.NUMBER) ?? present.number;
  const priority = hook?.u32(HookAttribute.PRIORITY) ?? present.priority;
  if (number !== present.number || (priority | 0) !== present.priority) refuse(EOPNOTSUPP);
  const type = attributes.string(ChainAttribute.TYPE) ?? present.type;
  if (CHAIN_TYPES[type] === undefined) refuse(ENOENT);
  if (type !== present.type) refuse(EEXIST);
}

function deleteChain(message: Message, context: ChangeContext): void {
  const attributes = Attributes.of(message);
  const table = tableOf(attributes, ChainAttribute.TABLE, message, context);
  const chain = findChain(table, attributes.string(ChainAttribute.NAME));
  const isUsed = livingRules(chain).length + chain.references > 0;
  if ((message.flags & MessageFlag.NON_RECURSIVE) !== 0 && isUsed) refuse(EBUSY);
  // Counted before: a rule of its own that goes to it keeps it too.
  const { references } = chain;
  for (const rule of livingRules(chain)) context.changes.deleteRule(rule);
  if (references > 0) refuse(EBUSY);
  context.changes.deleteChain(chain);
}

function findChain(table: ModelTable, name: string | undefined): ModelChain {
  if (name === undefined) refuse(EINVAL);
  return table.chains.get(name) ?? refuse(ENOENT);
}

function newRule(message: Message, context: ChangeContext): void {
  const attributes = Attributes.of(message);
  const table = tableOf(attributes, RuleAttribute.TABLE, message, context);
  const chain = findChain(table, attributes.string(RuleAttribute.CHAIN));
  const flags = message.flags;
  const handle = attributes.u64(RuleAttribute.HANDLE);
  const isReplacing = (flags & MessageFlag.REPLACE) !== 0;
  const known = handle === undefined ? undefined : findRule(chain, handle);
  if (known && (flags & MessageFlag.EXCLUSIVE) !== 0) refuse(EEXIST);
  if (known && !isReplacing) refuse(EOPNOTSUPP);
  if (!known && ((flags & MessageFlag.CREATE) === 0 || isReplacing)) refuse(EINVAL);
  const position = attributes.u64(RULE_POSITION);
  const beside = known || position === undefined ? undefined : findRule(chain, position);
  const expressions = attributes.bytes(RuleAttribute.EXPRESSIONS) ?? new Uint8Array();
  const rule: ModelRule = {
    chain,
    handle: known ? known.handle : ++table.lastHandle,
    expressions,
    userData: attributes.bytes(RULE_USER_DATA),
    ...readRuleExpressions(expressions, table),
    isDeleted: false,
  };
  const isAppended = (flags & MessageFlag.APPEND) !== 0;
  if (known) {
    if (known.isDeleted) refuse(ENOENT);
    const index = chain.rules.indexOf(known);
    context.changes.deleteRule(known);
    context.changes.insertRule(rule, index);
  } else if (beside) context.changes.insertRule(rule, chain.rules.indexOf(beside) + (isAppended ? 1 : 0));
  else context.changes.insertRule(rule, isAppended ? chain.rules.length : 0);
}

function findRule(chain: ModelChain, handle: number): ModelRule {
  return chain.rules.find((rule) => rule.handle === handle) ?? refuse(ENOENT);
}

function deleteRule(message: Message, context: ChangeContext): void {
  const attributes = Attributes.of(message);
  const table = tableOf(attributes, RuleAttribute.TABLE, message, context);
  const name = attributes.string(RuleAttribute.CHAIN);
  const handle = attributes.u64(RuleAttribute.HANDLE);
  if (name !== undefined && handle !== undefined) {
    const rule = findRule(findChain(table, name), handle);
    if (rule.isDeleted) refuse(ENOENT);
    context.changes.deleteRule(rule);
    return;
  }
  const chains = name === undefined ? [...table.chains.values()] : [findChain(table, name)];
  for (const chain of chains) for (const rule of livingRules(chain)) context.changes.deleteRule(rule);
}
