/**
 * A YAML (or JSON) configuration text as plain data that remembers its lines.
 *
 * Equal keys in one block are faults: YAML would keep one of them silently. Fields without a value (`iptables:`) are
 * left out, which Kubernetes treats alike. Anchors and aliases are refused, so that every value stands where it counts.
 */
import { isAlias, isMap, isScalar, isSeq, type LineCounter, type YAMLMap } from 'yaml';
import { YamlFault, type YamlReading, yamlDocument } from '../../yaml/boundedYaml.js';
import type { ConfigFault, FieldPath } from './ConfigFault.js';

/** Characters. The longest that is known has 5,000. */
export const LONGEST = 256 * 1024;

export class ConfigDocument {
  /** Undefined when the text holds nothing, or is no YAML; the faults then say why. */
  readonly value: unknown;
  /** True when the text is no YAML, or has aliases. */
  readonly broken: boolean;

  readonly #faults: ConfigFault[] = [];
  readonly #lineCounter: LineCounter | undefined;
  readonly #lines = new Map<string, number>();
  #aliases = 0;
  #firstAlias: { readonly path: FieldPath; readonly name: string } | undefined;

  constructor(text: string) {
    const reading = this.#parse(text);
    this.#lineCounter = reading?.lines;
    const isText = this.#faults.length === 0;
    this.value = reading && this.#read(reading.document.contents, []);
    // What an alias stands for would be said to be missing.
    this.broken = !isText || this.#firstAlias !== undefined;
    if (this.#firstAlias) this.#faults.push(this.#aliasFault(this.#firstAlias));
  }

  #parse(text: string): YamlReading | undefined {
    try {
      if (text.length > LONGEST)
        throw new YamlFault(`longer than ${LONGEST / 1024} KiB, which no configuration is`);
      return yamlDocument(text, 'any');
    } catch (error) {
      if (!(error instanceof YamlFault)) throw error;
      this.#faults.push({ path: [], message: `is ${error.message}`, line: error.line ?? 1 });
      return undefined;
    }
  }

  /** One for all: a few lines of YAML may have thousands. */
  #aliasFault({ path, name }: { readonly path: FieldPath; readonly name: string }): ConfigFault {
    const more = this.#aliases === 1 ? '' : `, nor are ${this.#aliases - 1} others`;
    return {
      path,
      message: `must be written out: the YAML alias ${JSON.stringify(`*${name}`)} is not supported here${more}`,
    };
  }

  get faults(): readonly ConfigFault[] {
    return this.#faults;
  }

  /** The line of the first of these fields that the text has, or a block around; 1 when it has none. */
  lineOf(...paths: readonly FieldPath[]): number {
    for (const path of paths) {
      for (let length = path.length; length > 0; length--) {
        const line = this.#lines.get(keyOf(path.slice(0, length)));
        if (line !== undefined) return line;
      }
    }
    return 1;
  }

  #read(node: unknown, path: FieldPath): unknown {
    if (isScalar(node)) return node.value ?? undefined;
    if (isMap(node)) return this.#readMap(node, path);
    if (isSeq(node)) {
      return node.items.map((item, index) => {
        const itemPath = [...path, index];
        this.#lines.set(keyOf(itemPath), this.#lineAt(startOf(item)));
        return this.#read(item, itemPath);
      });
    }
    if (isAlias(node)) {
      this.#aliases++;
      this.#firstAlias ??= { path, name: node.source };
    }
    return undefined;
  }

  #readMap(map: YAMLMap, path: FieldPath): unknown {
    const fields = new Map<string, unknown>();
    for (const { key, value } of map.items) {
      const name = String(isScalar(key) ? key.value : key);
      const fieldPath = [...path, name];
      const line = this.#lineAt(startOf(key));
      const firstLine = this.#lines.get(keyOf(fieldPath));
      if (firstLine !== undefined) {
        this.#faults.push({ path: fieldPath, message: `is given twice, first on line ${firstLine}`, line });
        continue;
      }
      this.#lines.set(keyOf(fieldPath), line);
      const read = this.#read(value, fieldPath);
      if (read !== undefined) fields.set(name, read);
    }
    return Object.fromEntries(fields);
  }

  #lineAt(offset: number): number {
    return this.#lineCounter?.linePos(offset).line ?? 1;
  }
}

function keyOf(path: FieldPath): string {
  return JSON.stringify(path);
}

/** Offset of a YAML node in its text. */
function startOf(node: unknown): number {
  return (node as { range?: readonly number[] | null } | null)?.range?.[0] ?? 0;
}
