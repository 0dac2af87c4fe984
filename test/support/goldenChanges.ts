/** One change of the rules that stock kube-proxy was recorded with, and what it is of. */

import type { Sfc32 } from '../../src/balancing/pick/Sfc32.js';
import type { RuleText, RuleTexts } from '../../src/compare/readRules.js';
import { goldenTexts } from './goldenRules.js';

export type ComparedMode = 'iptables' | 'nftables' | 'ipvs';

export interface Change {
  readonly texts: RuleTexts;
  /** The line or element that was changed, or is gone. */
  readonly what: string;
  /** The service port (`golden/s02-multiport:http`) that it is of; or the place (`172.30.1.2:80`), where the rules have no names. */
  readonly of: string;
}

/** An address of no endpoint. */
export const OTHER = { IPv4: '10.244.7.77', IPv6: 'fd00:244:7::77' } as const;

/** Places in rules where an endpoint stands as a target. */
const TARGETS: Readonly<Record<ComparedMode, RegExp>> = {
  iptables: /(?<=--to-destination )(?:(10\.244\.\d+\.\d+)|\[(fd00:244:[0-9a-f:]+)\]):\d+/g,
  nftables: /(?<=\d : |dnat to )(?:(10\.244\.\d+\.\d+)|\[?(fd00:244:[0-9a-f:]+)\]?)(?: \. |:)\d+/g,
  ipvs: /(?<=-r )(?:(10\.244\.\d+\.\d+)|\[(fd00:244:[0-9a-f:]+)\]):\d+/g,
};

type Edit = (text: string) => string;

/** One endpoint in the rules becomes another. */
export function changeEndpoint(mode: ComparedMode, random: Sfc32): Change & { readonly from: string } {
  const texts = goldenTexts(mode);
  const files = filesOf(mode, texts);
  const found = files.flatMap(({ text }, file) =>
    [...text.matchAll(TARGETS[mode])].map((match) => ({ file, text, match })),
  );
  const chosen = found[random.below(found.length)];
  if (chosen === undefined) throw new Error('the recording has no endpoint');
  const { file, text, match } = chosen;
  const from = match[1] ?? match[2] ?? '';
  const at = text.indexOf(from, match.index);
  const other = OTHER[from.includes(':') ? 'IPv6' : 'IPv4'];
  const what = lineAt(text, match.index);
  const of = ownerOf(mode, text, match.index);
  const edit: Edit = (whole) => whole.slice(0, at) + other + whole.slice(at + from.length);
  return { texts: edited(mode, texts, file, edit), what, of, from };
}

interface Piece {
  readonly file: number;
  readonly what: string;
  readonly of: string;
  readonly edit: Edit;
}

/** One rule of a Service, or one element of a set or map, is gone. */
export function removeRule(mode: ComparedMode, random: Sfc32): Change {
  const texts = goldenTexts(mode);
  const pieces = filesOf(mode, texts).flatMap(({ text }, file) =>
    PIECES[mode](text).map((piece) => ({ file, ...piece })),
  );
  const piece: Piece | undefined = pieces[random.below(pieces.length)];
  if (piece === undefined) throw new Error('the recording has no rule of a Service');
  return { texts: edited(mode, texts, piece.file, piece.edit), what: piece.what, of: piece.of };
}

const PIECES: Readonly<Record<ComparedMode, (text: string) => readonly Omit<Piece, 'file'>[]>> = {
  iptables: (text) =>
    linesOf(text, /^-A KUBE-(SERVICES|NODEPORTS|SVC|SVL|EXT|FW|SEP).*--comment "?golden\/s/),
  nftables: (text) => [...rulesInChains(text), ...elements(text)],
  // A virtual server goes with its real servers; of the sets, those with places of a Service.
  ipvs: (text) => [
    ...linesOf(text, /^-a /),
    ...servers(text),
    ...linesOf(text, /^add (6-)?KUBE-(CLUSTER-IP|EXTERNAL-IP|LOAD-BALANCER)\S* /).filter(({ of }) =>
      isServed(of),
    ),
  ],
};

/** Whether IPVS leads this place to anybody: where it refuses, no set makes a difference. */
function isServed(place: string): boolean {
  return goldenTexts('ipvs').ipvsadm?.text.includes(` ${place} -r `) === true;
}

function linesOf(text: string, wanted: RegExp): Omit<Piece, 'file'>[] {
  return [...text.matchAll(/^.*\n/gm)].flatMap((match) => {
    const [line] = match;
    if (!wanted.test(line)) return [];
    const mode = line.startsWith('-A KUBE') ? 'iptables' : 'ipvs';
    return [
      { what: line.trim(), of: ownerOf(mode, text, match.index), edit: without(match.index, line.length) },
    ];
  });
}

function servers(text: string): Omit<Piece, 'file'>[] {
  return [
    ...text.matchAll(/^-A -[tu] .*\n(?:-a .*\n)+/gm),
    ...text.matchAll(/^-A --sctp-service .*\n(?:-a .*\n)+/gm),
  ].map((match) => ({
    what: lineAt(text, match.index),
    of: ownerOf('ipvs', text, match.index),
    edit: without(match.index, match[0].length),
  }));
}

function rulesInChains(text: string): Omit<Piece, 'file'>[] {
  const chains = text.matchAll(
    /^\tchain (?:service|external|local|endpoint|firewall)-\S*golden\/\S* \{\n((?:\t\t.*\n)+)/gm,
  );
  return [...chains].flatMap((chain) => {
    const start = chain.index + chain[0].length - (chain[1]?.length ?? 0);
    return [...(chain[1] ?? '').matchAll(/^.*\n/gm)].map((line) => ({
      what: line[0].trim(),
      of: ownerOf('nftables', text, start + line.index),
      edit: without(start + line.index, line[0].length),
    }));
  });
}

/** Of the maps that lead to chains of Services or end them. */
function elements(text: string): Omit<Piece, 'file'>[] {
  const maps = text.matchAll(/^\tmap \S+ \{\n[\s\S]*?elements = \{ ([\s\S]*?) \}\n/gm);
  return [...maps].flatMap((map) => {
    const list = map[1] ?? '';
    const start = map.index + map[0].lastIndexOf(list);
    const all = list.split(/,\s+/);
    return all.flatMap((element, i) => {
      const of = /"(golden\/[^"]+)"/.exec(element)?.[1] ?? portOfChain(/goto (\S+)/.exec(element)?.[1] ?? '');
      if (of === undefined) return [];
      const rest = all.filter((_, at) => at !== i).join(',\n\t\t\t     ');
      const edit: Edit = (whole) =>
        rest === ''
          ? whole.slice(0, map.index) +
            map[0].replace(/\n.*elements = [\s\S]*/, '\n') +
            whole.slice(map.index + map[0].length)
          : whole.slice(0, start) + rest + whole.slice(start + list.length);
      return [{ what: element, of, edit }];
    });
  });
}

function without(at: number, length: number): Edit {
  return (whole) => whole.slice(0, at) + whole.slice(at + length);
}

/** What the rules themselves say beside the place `at`. */
function ownerOf(mode: ComparedMode, text: string, at: number): string {
  const line = lineAt(text, at);
  if (mode === 'iptables') return /golden\/[a-z0-9-]+(?::[a-z0-9-]+)?/.exec(line)?.[0] ?? '';
  if (mode === 'nftables') {
    const chain =
      /\tchain (\S+) \{\n[^}]*$/.exec(text.slice(0, at))?.[1] ??
      [...text.slice(0, at).matchAll(/\tchain (\S+) \{/g)].pop()?.[1];
    return portOfChain(chain ?? '') ?? '';
  }
  const inSet = /^add \S+ ([^,]+),\w+:(\d+)/.exec(line);
  if (inSet) return place(inSet[1] ?? '', inSet[2] ?? '');
  return / (?:-[tu]|--sctp-service) (\S+)/.exec(line)?.[1] ?? '';
}

function place(address: string, port: string): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `service-BYTRQYRJ-golden/s02-multiport/tcp/http` → `golden/s02-multiport:http`. */
function portOfChain(chain: string): string | undefined {
  const [, service, port] = /-(golden\/[a-z0-9-]+)\/\w+\/([a-z0-9-]*)/.exec(chain) ?? [];
  if (service === undefined) return undefined;
  return port === '' ? service : `${service}:${port}`;
}

function lineAt(text: string, at: number): string {
  const end = text.indexOf('\n', at);
  return text.slice(text.lastIndexOf('\n', at - 1) + 1, end < 0 ? undefined : end).trim();
}

function filesOf(mode: ComparedMode, { iptablesSave, nft, ipvsadm, ipset }: RuleTexts): readonly RuleText[] {
  const of = { iptables: iptablesSave, nftables: [nft], ipvs: [ipvsadm, ipset] }[mode];
  return of.filter((file) => file !== undefined);
}

function edited(mode: ComparedMode, texts: RuleTexts, file: number, edit: Edit): RuleTexts {
  const changed = (of: RuleText | undefined) => of && { ...of, text: edit(of.text) };
  if (mode === 'nftables') return { ...texts, nft: changed(texts.nft) };
  if (mode === 'ipvs')
    return file === 0
      ? { ...texts, ipvsadm: changed(texts.ipvsadm) }
      : { ...texts, ipset: changed(texts.ipset) };
  return {
    ...texts,
    iptablesSave: texts.iptablesSave.map((of, i) => (i === file ? (changed(of) ?? of) : of)),
  };
}
