/**
 * YAML from whoever may write a file: documents one by one, each checked before anything recurses into it. The YAML library
 * takes some 2 µs for a byte, and compares each key of a map with every other one; both are bounded here.
 */
import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type ParsedNode,
  Parser,
} from 'yaml';

export type YamlDocument = Document.Parsed<ParsedNode>;

/** Levels of nesting; Kubernetes objects have less than 20. The YAML library recurses, see withinDepth. */
export const MAX_DEPTH = 100;
/** In one document. The YAML library looks for the anchor of each through all of the document, and for nested ones again. */
const MOST_ALIASES = 200;
/** Bytes. JSON of the same size is read a hundred times faster. */
export const LARGEST_YAML = 8 * 1024 * 1024;
/** Milliseconds after which others get their turn. */
const TURN_MS = 20;

/** The text cannot be read. The message continues "is ". */
export class YamlFault extends Error {
  /** From 1; undefined when no line is to blame. */
  readonly line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

export interface YamlReading {
  readonly document: YamlDocument;
  readonly lines: LineCounter;
}

/** `unique`: a map that has a key twice is a fault. `any`: whoever reads the document looks for that. */
export type YamlKeys = 'unique' | 'any';

/** Throws YamlFault, also for a document that the library finds faulty. Others get their turn every 20 ms. */
export async function* yamlDocuments(text: string): AsyncGenerator<YamlReading> {
  const steps = read(text, 'unique');
  let began = performance.now();
  for (const step of steps) {
    if (step !== undefined) yield step;
    if (performance.now() - began < TURN_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    began = performance.now();
  }
}

/** The only document of a short text. undefined: there is none. Throws as yamlDocuments(), and for several. */
export function yamlDocument(text: string, keys: YamlKeys): YamlReading | undefined {
  let only: YamlReading | undefined;
  for (const step of read(text, keys)) {
    if (step !== undefined && only !== undefined) {
      const line = step.lines.linePos(step.document.range[0]).line;
      throw new YamlFault('not valid YAML: it holds several documents, and one is read', line);
    }
    only = step ?? only;
  }
  return only;
}

/** Yields undefined where it may be interrupted. */
function* read(text: string, keys: YamlKeys): Generator<YamlReading | undefined> {
  if (text.length > LARGEST_YAML) {
    const size = Math.ceil(text.length / 1024 / 1024);
    throw new YamlFault(
      `${size} MiB of YAML, at most ${LARGEST_YAML / 1024 / 1024} are read; use JSON, or several files`,
    );
  }
  const lines = new LineCounter();
  const parser = new Parser(lines.addNewLine);
  // The keys are compared below, by a set and not each with each.
  const composer = new Composer<ParsedNode>({ merge: true, uniqueKeys: false });
  function* composed(tokens: Iterable<CST.Token>): Generator<YamlReading> {
    for (const token of tokens) {
      withinDepth(token);
      for (const document of composer.next(token)) yield checked(document, lines, keys);
    }
  }
  lines.addNewLine(0);
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    yield* composed(parser.next(lexeme));
    if (++lexemes % 1000 === 0) yield undefined;
  }
  yield* composed(parser.end());
  for (const document of composer.end()) yield checked(document, lines, keys);
}

function checked(document: YamlDocument, lines: LineCounter, keys: YamlKeys): YamlReading {
  const [error] = document.errors;
  if (error)
    throw new YamlFault(
      `not valid YAML: ${error.message.replace(/\s+/g, ' ')}`,
      lines.linePos(error.pos[0]).line,
    );
  const alias = aliasTooMany(document.contents);
  if (alias !== undefined)
    throw new YamlFault(
      `not readable as YAML: more than ${MOST_ALIASES} aliases in one document; write the values out`,
      lines.linePos(alias).line,
    );
  const twice = keys === 'unique' ? repeatedKey(document.contents) : undefined;
  if (twice !== undefined)
    throw new YamlFault(
      `not valid YAML: Map keys must be unique; ${JSON.stringify(twice.key)} is there twice`,
      lines.linePos(twice.offset).line,
    );
  return { document, lines };
}

/** The first key that a map has twice. */
function repeatedKey(contents: ParsedNode | null): { key: string; offset: number } | undefined {
  const left: unknown[] = [contents];
  for (let node = left.pop(); left.length > 0 || node !== undefined; node = left.pop()) {
    if (isSeq(node)) for (const item of node.items) left.push(item);
    if (!isMap(node)) continue;
    const seen = new Set<string>();
    for (const { key, value } of node.items) {
      left.push(value);
      if (!isScalar(key)) {
        left.push(key);
        continue;
      }
      const name = String(key.value);
      if (seen.has(name) && name !== '<<') return { key: name.slice(0, 60), offset: key.range?.[0] ?? 0 };
      seen.add(name);
    }
  }
  return undefined;
}

/** The offset of an alias beyond those that a document may have. */
function aliasTooMany(contents: ParsedNode | null): number | undefined {
  let count = 0;
  const left: unknown[] = [contents];
  for (let node = left.pop(); left.length > 0 || node !== undefined; node = left.pop()) {
    if (isAlias(node) && ++count > MOST_ALIASES) return node.range?.[0] ?? 0;
    if (isSeq(node)) for (const item of node.items) left.push(item);
    if (isMap(node)) for (const { key, value } of node.items) left.push(key, value);
  }
  return undefined;
}

/**
 * Throws at a token that is nested too deep. The library would overflow the stack, which is not always an exception: V8
 * ends the process when a regular expression is compiled close to the end of the stack.
 */
function withinDepth(token: CST.Token): void {
  let level: CST.Token[] = [token];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH)
      throw new YamlFault(`not readable as YAML: nested deeper than ${MAX_DEPTH} levels`);
    level = level.flatMap(childrenOf);
  }
}

function childrenOf(token: CST.Token): CST.Token[] {
  if (token.type === 'document') return token.value ? [token.value] : [];
  if (!('items' in token)) return [];
  return token.items
    .flatMap(({ key, value }) => [key, value])
    .filter((part) => part !== undefined && part !== null);
}
