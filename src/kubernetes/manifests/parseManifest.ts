/**
 * The text of a manifest file as Kubernetes objects: several YAML documents or one JSON text, lists taken apart.
 */
import { Composer, type CST, type Document, LineCounter, type ParsedNode, Parser } from 'yaml';
import { messageOf } from '../../errors.js';
import { isRawObject, type RawObject } from '../../objects/read/FieldReader.js';

export interface ManifestObject {
  readonly raw: unknown;
  /** Where the object begins, from 1; undefined in JSON, where that is not known. */
  readonly line: number | undefined;
  /** Type for objects that carry none: set for the items of a typed list such as ServiceList. */
  readonly apiVersion: string | undefined;
  readonly kind: string | undefined;
}

/** The text as a whole cannot be read. */
export interface ManifestFault {
  /** From 1; undefined when no line is to blame. */
  readonly line: number | undefined;
  readonly message: string;
}

export type ParsedManifest =
  | { readonly objects: readonly ManifestObject[] }
  | { readonly fault: ManifestFault };

/** Aliases may multiply a document at most this much; more is a bomb ("billion laughs"). */
const MAX_ALIASES = 100;
/** Levels of nesting; Kubernetes objects have less than 20. The YAML library recurses, see boundedDepth. */
const MAX_DEPTH = 100;

/** Never throws for a bad text. JSON is far faster to read than YAML; the first character says which one it is. */
export async function parseManifest(text: string, extension: string): Promise<ParsedManifest> {
  const looksLikeJson = extension === '.json' || /^\s*\{/.test(text);
  if (!looksLikeJson) return parseYaml(text);
  const parsed = parseJson(text);
  // `{a: 1}` is YAML that looks like JSON.
  return 'fault' in parsed && extension !== '.json' ? parseYaml(text) : parsed;
}

function parseJson(text: string): ParsedManifest {
  try {
    return expand(JSON.parse(text), () => undefined);
  } catch (error) {
    const message = messageOf(error).replace(/\s+/g, ' ');
    return { fault: { line: jsonErrorLine(text, message), message: `not valid JSON: ${message}` } };
  }
}

/** V8 gives a position in some messages; in the others it quotes the text around it. */
function jsonErrorLine(text: string, message: string): number | undefined {
  const position = /at position (\d+)/.exec(message)?.[1];
  if (position !== undefined) return text.slice(0, Number(position)).split('\n').length;
  return message.startsWith('Unexpected end') ? text.trimEnd().split('\n').length : undefined;
}

function parseYaml(text: string): ParsedManifest {
  const lines = new LineCounter();
  const objects: ManifestObject[] = [];
  let line: number | undefined;
  try {
    const composer = new Composer<ParsedNode>({ merge: true });
    for (const document of composer.compose(boundedDepth(new Parser(lines.addNewLine).parse(text)))) {
      const [error] = document.errors;
      if (error) {
        const message = `not valid YAML: ${error.message.replace(/\s+/g, ' ')}`;
        return { fault: { line: lines.linePos(error.pos[0]).line, message } };
      }
      line = lineOf(document.contents, lines);
      const found = expandDocument(document, lines);
      if ('fault' in found) return found;
      for (const object of found.objects) objects.push(object);
      line = undefined;
    }
  } catch (error) {
    // Unknown or too many aliases, or too deep.
    return { fault: { line, message: `not readable as YAML: ${messageOf(error)}` } };
  }
  return { objects };
}

/**
 * Passes the tokens on and throws at one that is nested too deep. The library would overflow the stack, which is not
 * always an exception: V8 ends the process when a regular expression is compiled close to the end of the stack.
 */
function* boundedDepth(tokens: Iterable<CST.Token>): Iterable<CST.Token> {
  for (const token of tokens) {
    let level: CST.Token[] = [token];
    for (let depth = 0; level.length > 0; depth++) {
      if (depth > MAX_DEPTH) throw new RangeError(`nested deeper than ${MAX_DEPTH} levels`);
      level = level.flatMap(childrenOf);
    }
    yield token;
  }
}

function childrenOf(token: CST.Token): CST.Token[] {
  if (token.type === 'document') return token.value ? [token.value] : [];
  if (!('items' in token)) return [];
  return token.items
    .flatMap(({ key, value }) => [key, value])
    .filter((part) => part !== undefined && part !== null);
}

function expandDocument(document: Document.Parsed, lines: LineCounter): ParsedManifest {
  const raw: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
  return expand(raw, (item) => {
    if (item === undefined) return lineOf(document.contents, lines);
    return lineOf(document.getIn(['items', item], true), lines);
  });
}

function lineOf(node: unknown, lines: LineCounter): number | undefined {
  const start = (node as ParsedNode | null | undefined)?.range?.[0];
  return start === undefined ? undefined : lines.linePos(start).line;
}

/** `lineOfItem` gives the line of an item of the list, or of the whole when there is no list. */
function expand(raw: unknown, lineOfItem: (item?: number) => number | undefined): ParsedManifest {
  const items = isRawObject(raw) && isList(raw) ? (raw.items ?? []) : undefined;
  if (items === undefined) {
    const isEmpty = raw === null || raw === undefined;
    const object = { raw, line: lineOfItem(), apiVersion: undefined, kind: undefined };
    return { objects: isEmpty ? [] : [object] };
  }
  const { kind, apiVersion } = raw as RawObject;
  if (!Array.isArray(items))
    return { fault: { line: lineOfItem(), message: `items of ${kind} must be a list` } };
  const typed = kind !== 'List' && typeof kind === 'string' && typeof apiVersion === 'string';
  return {
    objects: items.map((item: unknown, index) => ({
      raw: item,
      line: lineOfItem(index),
      apiVersion: typed ? apiVersion : undefined,
      kind: typed ? kind.slice(0, -'List'.length) : undefined,
    })),
  };
}

/** Only lists of the API end in List and have items; of other kinds with that ending there is nothing to read. */
function isList(raw: RawObject): boolean {
  return typeof raw.kind === 'string' && raw.kind.endsWith('List') && 'items' in raw;
}
