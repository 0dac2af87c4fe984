/** Whatever bytes come: reading them neither throws nor hangs. */
import fc from 'fast-check';
import t from 'tap';
import { nftablesSettings } from '../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { planFull } from '../../../src/dataplane/nftables/plan/planFull.js';
import { AttributeReader } from '../../../src/kernel/netlink/AttributeReader.js';
import { MESSAGE_HEADER } from '../../../src/kernel/netlink/constants.js';
import { type Message, parseMessages } from '../../../src/kernel/netlink/Message.js';
import { MessageWriter } from '../../../src/kernel/netlink/MessageWriter.js';
import { NftMessage } from '../../../src/kernel/nftables/constants.js';
import {
  canonicalExpression,
  expression,
  readExpression,
  writeExpression,
} from '../../../src/kernel/nftables/Expression.js';
import { readElements } from '../../../src/kernel/nftables/elements.js';
import { readChains, readRules, readSets, setSizeIn } from '../../../src/kernel/nftables/table/TableState.js';
import { decodeTrace, readRuleComment } from '../../../src/kernel/nftables/trace/decodeTrace.js';
import { writeTransaction } from '../../../src/kernel/nftables/writeTransaction.js';
import { tableOf } from '../../support/builders.js';
import { everything, HOST_ADDRESSES, OPTIONS } from '../../support/nftablesWorld.js';

/** Everything that is read from the kernel. */
function readAll(messages: readonly Message[]): void {
  readChains(messages, 'penstock');
  readRules(messages);
  for (const text of readSets(messages, 'penstock').values()) setSizeIn(text);
  readElements(messages, ({ key, value }) => `${key}${value}`);
  for (const message of messages) readRuleComment(message);
  for (const message of messages) decodeTrace(message);
}

/** A real transaction, whose messages have the form of what the kernel lists. */
async function realMessages(): Promise<Uint8Array> {
  const table = tableOf(
    everything().filter((object) => object.kind !== 'Service' || object.options.algorithm !== 'maglev'),
  );
  table.commit();
  const facts = { addresses: HOST_ADDRESSES, localhostPorts: { tcp: 1, udp: 2 } };
  const settings = nftablesSettings(OPTIONS, 'IPv4', table, facts);
  const { transaction } = await planFull(
    table.servicePorts('IPv4').values(),
    settings,
    undefined,
    'penstock',
  );
  return writeTransaction(transaction).writer.bytes().slice();
}

t.test('real messages are understood', async (t) => {
  const { messages, fault } = parseMessages(await realMessages());
  t.equal(fault, undefined);
  const of = (type: number) => messages.filter((message) => message.type === type);
  const rules = readRules(of(NftMessage.NEW_RULE));
  t.match(rules.get('services')?.join('\n'), /lookup dreg=0|lookup set=service-ips/);
  const lines = [...rules.values()].flat().flatMap((text) => text.split('\n'));
  t.ok(lines.length > 200 && !lines.includes('?'), 'every expression of ours is known');
  t.equal(readChains(of(NftMessage.NEW_CHAIN), 'penstock').get('nat-prerouting'), 'nat 0 -105 1');
  t.equal(setSizeIn(readSets(of(NftMessage.NEW_SET), 'penstock').get('endpoints') ?? ''), 12_288);
  let elements = 0;
  readElements(of(NftMessage.NEW_ELEMENTS), () => elements++);
  t.ok(elements > 60, `${elements} elements`);
});

t.test('bytes that were changed, cut or made up', async () => {
  const real = await realMessages();
  const change = fc.record({ at: fc.nat(real.length - 1), byte: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 40 }), fc.nat(real.length), (changes, length) => {
      const bytes = real.slice(0, length);
      for (const { at, byte } of changes) if (at < length) bytes[at] = byte;
      readAll(parseMessages(bytes).messages);
    }),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      readAll(parseMessages(bytes).messages);
      const found = readExpression(new AttributeReader(bytes));
      if (found) canonicalExpression(found);
    }),
    { numRuns: 2000 },
  );
});

t.test('an expression reads as what was written, defaults aside', async (t) => {
  const samples = [
    expression('payload', { dreg: 1, base: 2, offset: 2, length: 2 }),
    expression('cmp', { sreg: 1, op: 1, data: '\u007f\u0000\u00ff' }),
    expression('immediate', { dreg: 0, verdict: { code: -4, chain: 'endpoints-3' } }),
    expression('immediate', { dreg: 0, verdict: { code: 0 } }),
    expression('dynset', { key: 1, data: 2, op: 1, timeout: 10_800_000, set: 'affinity' }),
    expression('dynset', {
      key: 1,
      op: 1,
      timeout: 10_000,
      set: 'crowds',
      each: expression('limit', { rate: 1024, unit: 1, burst: 2048, kind: 0, flags: 1 }),
    }),
    expression('counter', { bytes: 2 ** 40 + 7, packets: 3 }),
    expression('ct', { key: 20, dreg: 1, direction: 0 }),
  ];
  for (const sample of samples) {
    const writer = new MessageWriter();
    writer.beginMessage(0);
    writeExpression(writer, sample);
    writer.endMessage();
    const found = readExpression(new AttributeReader(writer.bytes(), MESSAGE_HEADER));
    t.equal(found && canonicalExpression(found), canonicalExpression(sample));
  }
  const nat = expression('nat', { kind: 1, family: 2, address: 1, port: 9 });
  const listed = expression('nat', { kind: 1, family: 2, address: 1, port: 9, flags: 3 });
  t.equal(canonicalExpression(listed), canonicalExpression(nat), 'flags that the kernel adds');
});
