/** What both writers need: a template beside this file, and its `{{names}}` filled in. */
import { readFileSync } from 'node:fs';

export interface ProxyOptions {
  /** Where the files will be. */
  readonly folder: string;
  /** The listeners take PROXY protocol from these addresses or networks, and from nobody else. */
  readonly proxyFrom: readonly string[];
  /** Seconds after which a connection to a cluster IP is not used again: by then new pods have their share. */
  readonly keepAlive: number;
}

/** Text by name below the folder; the first is the file that the proxy is started with. */
export type ProxyFiles = ReadonlyMap<string, string>;

/** Lines of a value get the place's indentation. Throws when a name has no value. */
export function fill(template: string, values: Readonly<Record<string, readonly string[]>>): string {
  const text = readFileSync(new URL(`../../../examples/path/${template}`, import.meta.url), 'utf8');
  return text.replace(/(?<=^( *)[^\n]*)\{\{([a-z-]+)\}\}/gm, (_, indent: string, name: string) => {
    const lines = values[name];
    if (lines === undefined) throw new Error(`${template} names ${name}`);
    return lines.join(`\n${indent}`);
  });
}
