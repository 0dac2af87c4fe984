/** Who is chosen for, how rules of both modes find whom a mark names, and what the thread is told. */
import t from 'tap';
import { Chooser } from '../../../../src/dataplane/choice/Chooser.js';
import { CHOICE_CONTENT, choiceChains } from '../../../../src/dataplane/choice/choiceSets.js';
import { removeRecord, setRecord } from '../../../../src/dataplane/choice/encodeChoice.js';
import { KeyTable } from '../../../../src/dataplane/family/KeyTable.js';
import {
  countIndexes,
  emitServicePort,
} from '../../../../src/dataplane/nftables/desired/servicePortElements.js';
import type { NativeChoice } from '../../../../src/kernel/addon/NativeChoice.js';
import { NetlinkError } from '../../../../src/kernel/netlink/NetlinkError.js';
import { indexKey } from '../../../../src/kernel/nftables/dataTypes.js';
import { choicePieces } from '../../../../src/observe/metrics/ChoiceMetrics.js';
import { CHOICE_MASK, CHOICE_SHIFT, choiceMarks, isChosenFor } from '../../../../src/routing/choice.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../../support/builders.js';
import { textOf } from '../../observe/parseMetrics.js';

function servicePort(options: Record<string, string>, endpoints: number, fields = {}): ServicePort {
  const addresses = Array.from({ length: endpoints }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
  const table = tableOf([
    service({ options, ...fields }),
    slice(addresses.map((each, i) => endpoint(each, { nodeName: i === 0 ? 'node1' : 'node2' }))),
  ]);
  table.commit();
  const [found] = table.servicePorts('IPv4').values();
  if (!found) throw new Error('no service port');
  return found;
}

const SETTINGS = { family: 'IPv4', queue: 5, by: 'expression', nodeAddress: undefined } as const;
const LEAST = { algorithm: 'least-connections' };

t.test('who is chosen for', async (t) => {
  t.ok(isChosenFor(servicePort(LEAST, 2)));
  t.ok(isChosenFor(servicePort({ algorithm: 'twos' }, 2)), 'names of IPVS schedulers too');
  t.notOk(isChosenFor(servicePort(LEAST, 1)), 'there is no choice');
  t.notOk(isChosenFor(servicePort({}, 3)));
  t.notOk(isChosenFor(servicePort({ algorithm: 'maglev' }, 3)));
  t.ok(isChosenFor(servicePort(LEAST, 1023)));
  t.notOk(isChosenFor(servicePort(LEAST, 1024)), 'more than a mark can name');
  const marks = [...choiceMarks(servicePort(LEAST, 1023)).values()];
  t.equal(new Set(marks).size, 1023);
  t.ok(marks.every((mark) => mark !== 0 && (mark & ~CHOICE_MASK) === 0));
});

t.test('elements: each mark leads to its endpoint, beside the indexes', async (t) => {
  const chosen = servicePort(LEAST, 3, {
    type: 'NodePort',
    externalTrafficPolicy: 'Local',
    externalIPs: [ip('192.0.2.9')],
    ports: [port({ nodePort: 30_080 })],
  });
  const sets = new Map<string, string[]>();
  const chains: string[] = [];
  emitServicePort(chosen, countIndexes(chosen), {
    element: (set, key) => sets.set(set, [...(sets.get(set) ?? []), key]),
    shared: () => {},
    chain: (_, { kind, pick, shortCircuit }) =>
      chains.push(`${kind} ${pick.algorithm} ${shortCircuit?.algorithm ?? ''}`),
    draw: () => {},
    sticky: () => {},
  });
  const marks = [...choiceMarks(chosen).values()].map(indexKey);
  const vip = (sets.get('chosen') ?? []).map((key) => key.slice(0, 4));
  t.strictSame(vip, [...marks, ...marks.slice(0, 1)], 'all at the cluster IP, the local one from outside');
  t.strictSame(
    (sets.get('node-port-chosen') ?? []).map((key) => key.slice(0, 4)),
    marks.slice(0, 1),
  );
  t.ok(chains.includes('cluster chosen '));
  t.ok(chains.includes('local chosen random'), 'who chooses does not know of the short circuit');
  t.strictSame(
    [...CHOICE_CONTENT.elements(chosen, SETTINGS)].map(([set]) => set),
    ['services', 'services', 'node-ports'],
  );
  t.strictSame([...CHOICE_CONTENT.elements(servicePort({}, 3), SETTINGS)], []);
});

t.test('a packet without a program passes, whatever the kernel has', async (t) => {
  for (const by of ['expression', 'target'] as const) {
    const [choose] = choiceChains({ ...SETTINGS, by });
    for (const rule of choose?.rules ?? []) {
      const last = rule.at(-1)?.expressions.at(-1);
      const flags = by === 'expression' ? last?.values.flags : String(last?.values.info).charCodeAt(4);
      t.equal(flags, 1, `${by}: bypass`);
    }
    const [several] = choiceChains({ ...SETTINGS, by, queues: 4 });
    for (const rule of several?.rules ?? []) {
      const last = rule.at(-1);
      t.equal(last?.text, 'queue flags bypass,fanout to 5-8');
      const { total, flags, info } = last?.expressions.at(-1)?.values ?? {};
      const said = by === 'expression' ? [total, flags] : [2, 4].map((at) => String(info).charCodeAt(at));
      t.strictSame(said, [4, 3], `${by}: how many, and bypass by processor`);
    }
  }
});

t.test('what the thread is told', async (t) => {
  const chosen = servicePort({ ...LEAST, weights: '{"10.1.0.1": 7}' }, 2);
  const record = setRecord(chosen, 3, (each) => 100 + chosen.endpoints.reachable.indexOf(each));
  t.strictSame(
    [...record.subarray(0, 9)],
    [1, 3, 0, 0, 0, 6, 4, 2, 1],
    'set, cell, TCP, IPv4, algorithm, lists',
  );
  t.equal(record.readUInt32LE(9), 2, 'two endpoints');
  const second = 9 + 4 + 26;
  t.equal(record.readUInt32LE(second + 18), 101, 'cell');
  t.equal(record.readUInt16LE(second + 22), 7, 'weight');
  t.equal(
    record.readUInt16LE(second + 24),
    (choiceMarks(chosen).get(chosen.endpoints.reachable[1] as never) ?? 0) >> CHOICE_SHIFT,
  );
  t.strictSame([...removeRecord(258)], [2, 2, 1, 0, 0]);

  const told: number[] = [];
  const native: NativeChoice = {
    queue: 9,
    queues: 2,
    cells: new ArrayBuffer(((1 << 18) + 8) * 64),
    status: {
      decided: 4,
      repeated: 1,
      forgotten: 0,
      strangers: 0,
      nanoseconds: 2e9,
      connections: 3,
      lost: 0,
      recounted: 1,
      timesOpen: 0,
      isWatched: 1,
    },
    update: (records) => told.push(records[0] ?? 0),
    hang: () => {},
    close: () => {},
  };
  const chooser = new Chooser(native, () => 0);
  const key = chosen.key;
  chooser.apply('IPv4', [{ key, before: undefined, after: chosen }]);
  const fewer = servicePort(LEAST, 3);
  chooser.apply('IPv4', [{ key, before: chosen, after: fewer }]);
  const [reported] = chooser.report().servicePorts;
  t.equal([...(reported?.endpoints ?? [])].length, 3);
  const text = await textOf(choicePieces(chooser.report(), { limit: 10, endpointLimit: 2 }));
  t.match(text, /^penstock_choice_decided_total 4$/m);
  t.match(text, /^penstock_choice_decision_seconds_total 2$/m);
  t.equal(text.match(/^penstock_choice_endpoint_away\{/gm)?.length, 2, 'the limit holds');
  t.equal(await textOf(choicePieces(undefined, { limit: 1, endpointLimit: 1 })), '');
  chooser.apply('IPv4', [{ key, before: fewer, after: servicePort({}, 3) }]);
  t.strictSame(chooser.report().servicePorts, []);
  t.strictSame(told, [1, 1, 2], 'set, set, removed');
});

t.test('a kernel without nf_tables has no table to remove', async (t) => {
  const refused = (code: string) => () => Promise.reject(new NetlinkError('ask', { code, errno: 95 }));
  const tableThat = (code: string) =>
    new KeyTable({ family: 'IPv4', exists: refused(code), delete: refused(code) } as never, CHOICE_CONTENT);
  await t.resolves(tableThat('EOPNOTSUPP').remove());
  await t.rejects(tableThat('EPERM').remove(), { code: 'EPERM' });
});
