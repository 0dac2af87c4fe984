/**
 * The text of a manifest file as Kubernetes objects: several YAML documents or one JSON text, lists taken apart.
 */
import { isMap, isSeq, type LineCounter, type ParsedNode } from 'yaml';
import { messageOf } from '../../errors.js';
import { isRawObject, type RawObject } from '../../objects/read/FieldReader.js';
import { MAX_DEPTH, type YamlDocument, YamlFault, yamlDocuments } from '../../yaml/boundedYaml.js';

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

const [QUOTE, BACKSLASH, BRACKET, BRACKET_END, BRACE, BRACE_END] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

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
    const line = tooDeepLine(text);
    if (line !== undefined)
      return { fault: { line, message: `not readable as JSON: nested deeper than ${MAX_DEPTH} levels` } };
    return expand(JSON.parse(text), () => undefined);
  } catch (error) {
    const message = messageOf(error).replace(/\s+/g, ' ');
    return { fault: { line: jsonErrorLine(text, message), message: `not valid JSON: ${message}` } };
  }
}

/** The line on which a text is nested too deep: whatever recurses into such an object would overflow the stack. */
function tooDeepLine(text: string): number | undefined {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = stringEnd(text, i);
    else if (code === BRACKET || code === BRACE) {
      if (++depth > MAX_DEPTH) return text.slice(0, i).split('\n').length;
    } else if (code === BRACKET_END || code === BRACE_END) depth--;
  }
  return undefined;
}

/** Where the string that begins at `start` ends; the end of the text when it does not. */
function stringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let first = end;
    while (text.charCodeAt(first - 1) === BACKSLASH) first--;
    if ((end - first) % 2 === 0) return end;
  }
  return text.length;
}

/** V8 gives a position in some messages; in the others it quotes the text around it. */
function jsonErrorLine(text: string, message: string): number | undefined {
  const position = /at position (\d+)/.exec(message)?.[1];
  if (position !== undefined) return text.slice(0, Number(position)).split('\n').length;
  return message.startsWith('Unexpected end') ? text.trimEnd().split('\n').length : undefined;
}

async function parseYaml(text: string): Promise<ParsedManifest> {
  const objects: ManifestObject[] = [];
  let line: number | undefined;
  try {
    for await (const { document, lines } of yamlDocuments(text)) {
      line = lineOf(document.contents, lines);
      const found = expandDocument(document, lines);
      if ('fault' in found) return found;
      for (const object of found.objects) objects.push(object);
      line = undefined;
    }
  } catch (error) {
    if (error instanceof YamlFault) return { fault: { line: error.line, message: error.message } };
    // Unknown or too many aliases.
    return { fault: { line, message: `not readable as YAML: ${messageOf(error)}` } };
  }
  return { objects };
}

function expandDocument(document: YamlDocument, lines: LineCounter): ParsedManifest {
  const raw: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
  const items = isMap(document.contents) ? document.contents.get('items', true) : undefined;
  return expand(raw, (item) => {
    if (item === undefined) return lineOf(document.contents, lines);
    return lineOf(isSeq(items) ? items.items[item] : undefined, lines);
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
