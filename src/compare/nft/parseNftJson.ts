/** `nft -j list ruleset` as tables: its expressions become the words that `nft list ruleset` has for them. */
import { PenstockError } from '../../errors.js';
import { makeSet, type NftChain, type NftSet, type NftTable } from './Ruleset.js';

type Json = { readonly [key: string]: unknown };

/** Throws PENSTOCK_RULES_UNREADABLE. */
export function parseNftJson(text: string, name: string): NftTable[] {
  let items: readonly Json[];
  try {
    items = (JSON.parse(text) as { readonly nftables: readonly Json[] }).nftables;
    if (!Array.isArray(items)) throw new TypeError('there is no list "nftables" in it');
  } catch (error) {
    throw unreadable(name, error);
  }
  const tables = new Map<
    string,
    {
      readonly chains: Map<string, NftChain & { rules: string[][] }>;
      readonly sets: Map<string, NftSet>;
      readonly family: string;
      readonly name: string;
    }
  >();
  const tableOf = ({ family, table }: Json) => tables.get(`${family} ${table}`);
  try {
    for (const item of items) {
      const { table, chain, rule, set, map } = item as Readonly<Record<string, Json | undefined>>;
      if (table) {
        const own = {
          family: String(table.family),
          name: String(table.name),
          chains: new Map(),
          sets: new Map(),
        };
        tables.set(`${table.family} ${table.name}`, own);
      } else if (chain) {
        const hook =
          chain.hook === undefined
            ? undefined
            : { type: String(chain.type), name: String(chain.hook), priority: Number(chain.prio) };
        tableOf(chain)?.chains.set(String(chain.name), { hook, rules: [] });
      } else if (rule) {
        const words = (rule.expr as readonly Json[]).flatMap(statementWords);
        tableOf(rule)?.chains.get(String(rule.chain))?.rules.push(words);
      } else if (set ?? map) {
        const own = (set ?? map) as Json;
        const elements = ((own.elem ?? []) as readonly unknown[]).map(elementWords);
        tableOf(own)?.sets.set(String(own.name), makeSet(elements));
      }
    }
  } catch (error) {
    throw unreadable(name, error);
  }
  return [...tables.values()];
}

function unreadable(name: string, error: unknown): PenstockError {
  const why = error instanceof Error ? error.message : String(error);
  return new PenstockError('PENSTOCK_RULES_UNREADABLE', `${name}: ${why}`, {
    remedy: 'Give the output of `nft -j list ruleset` (or `nft list ruleset`) as it is.',
    cause: error,
  });
}

function elementWords(element: unknown): string[] {
  if (Array.isArray(element)) return [...elementWords(element[0]), ':', ...verdictOrValue(element[1])];
  return expressionWords(element);
}

function verdictOrValue(value: unknown): string[] {
  return isObject(value) && Object.keys(value).some((key) => VERDICTS.includes(key))
    ? statementWords(value)
    : expressionWords(value);
}

const VERDICTS = ['accept', 'drop', 'return', 'continue', 'jump', 'goto'];

function statementWords(statement: Json): string[] {
  const [[kind, value] = ['', undefined]] = Object.entries(statement);
  const body = (isObject(value) ? value : {}) as Json;
  switch (kind) {
    case 'match': {
      const operator = body.op === 'in' || body.op === '==' ? [] : [String(body.op)];
      return [...expressionWords(body.left), ...operator, ...expressionWords(body.right)];
    }
    case 'accept':
    case 'drop':
    case 'return':
    case 'continue':
    case 'notrack':
      return [kind];
    case 'jump':
    case 'goto':
      return [kind, String(body.target)];
    case 'vmap':
      return [...expressionWords(body.key), 'vmap', ...expressionWords(body.data)];
    case 'mangle':
      return [...expressionWords(body.key), 'set', ...expressionWords(body.value)];
    case 'masquerade':
    case 'reject':
    case 'counter':
    case 'log':
      return [kind];
    case 'dnat': {
      const family = body.family === undefined ? [] : [String(body.family)];
      const host = isObject(body.addr) ? expressionWords(body.addr) : [hostPort(body)];
      return ['dnat', ...family, 'to', ...host];
    }
    case 'set':
      return [String(body.op), String(body.set), '{', ...expressionWords(body.elem), '}'];
    default:
      // The tracer names what it does not know.
      return [kind];
  }
}

function hostPort({ addr, port }: Json): string {
  const address = String(addr);
  if (port === undefined) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function expressionWords(value: unknown): string[] {
  if (!isObject(value))
    return Array.isArray(value)
      ? value.flatMap((v, i) => [...(i > 0 ? [','] : []), ...expressionWords(v)])
      : [String(value)];
  const [[kind, body] = ['', undefined]] = Object.entries(value);
  const inner = (isObject(body) ? body : {}) as Json;
  switch (kind) {
    case 'payload':
      return [String(inner.protocol), String(inner.field)];
    case 'meta':
    case 'ct':
      return [kind, ...(inner.dir === undefined ? [] : [String(inner.dir)]), String(inner.key)];
    case 'fib':
      return ['fib', ...[inner.flags].flat().map(String), String(inner.result)];
    case 'concat':
      return (body as readonly unknown[]).flatMap((part, i) => [
        ...(i > 0 ? ['.'] : []),
        ...expressionWords(part),
      ]);
    case 'prefix':
      return [`${inner.addr}/${inner.len}`];
    case 'range':
      return [(body as readonly unknown[]).map(String).join('-')];
    case 'set':
      return [
        '{',
        ...(body as readonly unknown[]).flatMap((item, i) => [
          ...(i > 0 ? [','] : []),
          ...elementWords(item),
        ]),
        '}',
      ];
    case 'elem':
      return [
        ...expressionWords(inner.val),
        ...(inner.comment === undefined ? [] : ['comment', `"${inner.comment}"`]),
      ];
    case 'map':
      return [...expressionWords(inner.key), 'map', ...expressionWords(inner.data)];
    case 'numgen':
      return [
        'numgen',
        String(inner.mode),
        'mod',
        String(inner.mod),
        ...(inner.offset ? ['offset', String(inner.offset)] : []),
      ];
    case 'jhash':
      return ['jhash', ...expressionWords(inner.expr), 'mod', String(inner.mod)];
    case '|':
    case '&':
    case '^': {
      const [left, right] = body as readonly unknown[];
      return [...expressionWords(left), kind, ...expressionWords(right)];
    }
    default:
      return [kind];
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
