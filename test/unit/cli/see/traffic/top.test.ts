/** What penstock top says of entries of the kernel's table, and how. */
import t from 'tap';
import { FailureCounts } from '../../../../../src/cli/see/traffic/FailureCounts.js';
import { TrafficCount } from '../../../../../src/cli/see/traffic/TrafficCount.js';
import { shortBytes, sortRows, type TopRow, topText } from '../../../../../src/cli/see/traffic/topRows.js';
import type { ConntrackEntry } from '../../../../../src/kernel/conntrack/ConntrackEntry.js';
import { ConntrackStatus, TcpState } from '../../../../../src/kernel/conntrack/constants.js';
import type { FlowRecord } from '../../../../../src/observe/flows/FlowLog.js';
import { entryOf } from '../../../dataplane/conntrack/entries.js';

interface Seen {
  readonly id: number;
  readonly to?: string;
  readonly answered?: boolean;
  readonly tcpState?: number;
  readonly bytes?: number;
}

function entry({ id, to = '10.96.0.1:80', answered = true, tcpState, bytes }: Seen): ConntrackEntry {
  return {
    ...entryOf({ to }),
    id,
    status: answered ? ConntrackStatus.SEEN_REPLY : 0,
    tcpState,
    bytes,
  };
}

function counted(most?: number) {
  const count = new TrafficCount(
    ({ original }) => (original.destination === '9.9.9.9' ? undefined : original.destination),
    most,
  );
  return (now: number, ...seen: readonly Seen[]) => {
    const goesOn = seen.map((each) => count.take(entry(each)));
    return { goesOn, ...count.end(now) };
  };
}

t.test('rates are of what came between two looks', (t) => {
  const look = counted();
  t.match(look(1000, { id: 1, bytes: 500 }), {
    elapsed: 0,
    rows: [{ name: '10.96.0.1', newPerSecond: 0, bytesPerSecond: 0, open: 1 }],
  });
  const second = look(
    3000,
    { id: 1, bytes: 2500 },
    { id: 2, bytes: 400, tcpState: TcpState.ESTABLISHED },
    { id: 3, bytes: 0, tcpState: TcpState.CLOSE },
    { id: 4, to: '9.9.9.9:1' },
  );
  t.match(second, {
    elapsed: 2000,
    connections: 3,
    rows: [{ newPerSecond: 1, bytesPerSecond: 1200, open: 2, silent: 0 }],
  });
  // One that ended takes nothing away; one with an id that was used before has fewer bytes.
  t.match(look(4000, { id: 1, bytes: 100 }), { rows: [{ newPerSecond: 0, bytesPerSecond: 0 }] });
  t.same(look(5000).rows, []);
  t.end();
});

t.test('silent is who had no answer at the look before either', (t) => {
  const look = counted();
  t.match(look(0, { id: 1, answered: false, bytes: 60 }), { rows: [{ silent: 0, open: 0 }] });
  t.match(look(1000, { id: 1, answered: false, bytes: 120 }, { id: 2, answered: false }), {
    rows: [{ silent: 1, open: 0, bytesPerSecond: 60 }],
  });
  t.match(look(2000, { id: 1, bytes: 180 }, { id: 2, answered: false }), {
    rows: [{ silent: 1, open: 1, bytesPerSecond: 60 }],
  });
  t.end();
});

t.test('bytes that nobody counts are none, not zero; a long table is cut', (t) => {
  const look = counted(2);
  t.match(look(0, { id: 1 }), { rows: [{ bytesPerSecond: null }], isCut: false });
  t.match(look(1000, { id: 1 }, { id: 2 }, { id: 3 }), {
    goesOn: [true, true, false],
    isCut: true,
    connections: 2,
  });
  t.match(look(2000, { id: 1 }), { isCut: false });
  t.end();
});

t.test('failures since the command began', (t) => {
  const counts = new FailureCounts('2026-01-01T00:00:10.000Z');
  const record = (fields: Partial<FlowRecord>) =>
    counts.take({
      time: '2026-01-01T00:00:11.000Z',
      service: 'shop/cart:http',
      protocol: 'TCP',
      count: 1,
      ...fields,
    } as FlowRecord);
  record({});
  record({ count: 5 });
  record({ time: '2026-01-01T00:00:09.000Z', count: 7 });
  record({ service: '' });
  t.equal(counts.of('shop/cart:http/TCP'), 5);
  t.same([...counts.names], ['shop/cart:http/TCP', '(no Service)']);
  t.equal(counts.of('shop/else/TCP'), 0);
  t.end();
});

t.test('a table of 80 columns, the most first', (t) => {
  const row = (name: string, fields: Partial<TopRow>): TopRow => ({
    name,
    newPerSecond: 0,
    open: 0,
    bytesPerSecond: null,
    silent: 0,
    failed: null,
    ...fields,
  });
  const rows = sortRows(
    [
      row('b', { open: 3 }),
      row('a', { open: 3 }),
      row('c', { newPerSecond: 0.25, open: 1, bytesPerSecond: 1_600_000_000, failed: 0 }),
      row('x'.repeat(200), { newPerSecond: 123_456, silent: 1_000_000, failed: 1_000_000 }),
    ],
    'new',
  );
  t.same(
    rows.map(({ name }) => name[0]),
    ['x', 'c', 'a', 'b'],
  );
  t.same(
    sortRows(rows, 'open').map(({ name }) => name[0]),
    ['a', 'b', 'c', 'x'],
  );
  const lines = topText({
    node: 'node1',
    mode: 'nftables',
    time: '12:00:00',
    title: 'SERVICE',
    sample: { rows: [], connections: 200_000, isCut: false, elapsed: 2000 },
    readMs: 412.3,
    rows,
    limit: 3,
    notes: [],
  });
  for (const line of lines) t.ok(line.length <= 80, line);
  t.match(lines[0], /200000 connections, read in 412 ms/);
  t.match(lines[4], /^c +0\.3 +1 +1\.5G +0 +0$/);
  t.match(lines[5], /^a +0 +3 +- +0 +-$/);
  t.equal(lines.at(-1), 'and 1 more');
  t.same([0, 1023, 1023.6, 1536, 10_300, 1024 ** 2, 1024 ** 5].map(shortBytes), [
    '0',
    '1023',
    '1.0K',
    '1.5K',
    '10K',
    '1.0M',
    '1024T',
  ]);
  t.end();
});
