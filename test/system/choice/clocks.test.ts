/** Threads that choose look at the clock one after the other: a time that is older than a stored one does no harm. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { address, bytes, FAMILY, PROTOCOL, u16, u32 } from '../../../src/dataplane/choice/littleEndian.js';
import { ip } from '../../support/builders.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { insertConnections } from '../../support/insertConnections.js';

const ROOT = fileURLToPath(fromRoot(''));
/** More than are read in a turn. */
const COUNT = 8000;
const THREADS = 8;
const VIP = '10.96.0.10';
const ENDPOINT = '10.244.0.2';
const CELL = 2;
const SOURCES = [
  'choice/connections.cc',
  'choice/flow.cc',
  'choice/health.cc',
  'choice/netlink.cc',
  'choice/services.cc',
  'service/cells.cc',
  'service/decode.cc',
  'service/prepare.cc',
];

/** A service port of TCP, chosen for by least connections, with one endpoint. */
const RECORDS = Buffer.concat([
  ...[bytes(1), u32(1), bytes(PROTOCOL.TCP, FAMILY.IPv4, 2)],
  ...[bytes(1), u32(1), address(ip(ENDPOINT)), u16(8080), u32(CELL), u16(1), u16(1)],
  ...[u16(1), bytes(0, 0), address(ip(VIP)), u16(80)],
]);

if (await inNetns(import.meta.url)) {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-clocks-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const program = join(folder, 'clocks');
  const sources = [
    join(ROOT, 'test/support/choiceClocks.cc'),
    ...SOURCES.map((each) => join(ROOT, 'native', each)),
  ];
  execFileSync('g++', ['-std=c++17', '-D_GNU_SOURCE', '-O0', '-o', program, ...sources, '-lpthread']);
  writeFileSync(join(folder, 'records'), RECORDS);
  await insertConnections({ vip: VIP, port: 80, endpoint: ENDPOINT, endpointPort: 8080, count: COUNT });
  const said = execFileSync(program, [join(folder, 'records'), `${CELL}`], { encoding: 'utf8' });
  const { 'most turns': turns = Number.NaN, ...found } = Object.fromEntries(
    said
      .trim()
      .split('\n')
      .map((line) => line.split(': '))
      .map(([what, number]) => [what, Number(number)]),
  );
  t.strictSame(found, {
    'at first': COUNT,
    'lists that were over too soon': 0,
    'after an older time': COUNT,
    'after a list that was given up': COUNT,
    'away after two failures': 1,
    'a second one tries': 0,
  });
  t.ok(turns <= 2 * THREADS, `JavaScript waited for ${turns} turns of ${THREADS} threads`);
}
