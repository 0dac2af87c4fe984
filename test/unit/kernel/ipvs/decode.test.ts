import fc from 'fast-check';
import t from 'tap';
import {
  decodeDestination,
  decodeInfo,
  decodeService,
  decodeTimeouts,
} from '../../../../src/kernel/ipvs/decode.js';
import { Message } from '../../../../src/kernel/netlink/Message.js';
import { fromHex } from '../../../support/hex.js';
import { DESTINATION, MARK_SERVICE, SERVICE } from './recorded.js';

const HEADER = new DataView(new ArrayBuffer(16));
const message = (payload: Uint8Array) => new Message(HEADER, payload);

const NOTHING = { connections: 0, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };

t.test('virtual servers', async (t) => {
  t.strictSame(decodeService(message(fromHex(SERVICE))), {
    family: 'IPv4',
    protocol: 'TCP',
    address: '10.0.0.1',
    port: 80,
    scheduler: 'rr',
    // Without IP_VS_SVC_F_HASHED, which the kernel added.
    flags: 1,
    timeoutSeconds: 10800,
    netmaskBits: 24,
    counters: NOTHING,
  });
  t.strictSame(decodeService(message(fromHex(MARK_SERVICE))), {
    family: 'IPv6',
    mark: 0x7000_0001,
    scheduler: 'wlc',
    flags: 0,
    timeoutSeconds: 0,
    netmaskBits: 128,
    counters: NOTHING,
  });
});

t.test('real servers', async (t) => {
  const expected = {
    address: 'fd00::2',
    port: 5353,
    weight: 3,
    forwarding: 'masquerade',
    upperThreshold: 9,
    lowerThreshold: 4,
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
    counters: NOTHING,
  };
  t.strictSame(decodeDestination(message(fromHex(DESTINATION)), 'IPv6'), expected);
  t.strictSame(decodeDestination(message(fromHex(DESTINATION)), 'IPv4'), expected, 'it tells its own family');
});

t.test('counters that count', async (t) => {
  // The first of IPVS_STATS_ATTR_* in STATS64: 2^32 + 5 connections.
  const none = '0c0001000000000000000000';
  const some = '0c0001000500000001000000';
  const at = SERVICE.replaceAll(/\s/g, '').lastIndexOf(none);
  const hex = SERVICE.replaceAll(/\s/g, '');
  const service = decodeService(message(fromHex(hex.slice(0, at) + some + hex.slice(at + some.length))));
  t.equal(service?.counters.connections, 2 ** 32 + 5);
});

t.test('any bytes are read without harm', async () => {
  const readAll = (payload: Uint8Array) => {
    const one = message(payload);
    decodeService(one);
    decodeDestination(one, 'IPv4');
    decodeDestination(one, 'IPv6');
    decodeInfo([one]);
    decodeTimeouts([one]);
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), readAll));
  // Real messages with a few bytes changed or cut off get further.
  const real = fc.constantFrom(SERVICE, MARK_SERVICE, DESTINATION).map(fromHex);
  const change = fc.record({ at: fc.nat(400), byte: fc.nat(255) });
  fc.assert(
    fc.property(real, fc.array(change, { maxLength: 4 }), fc.nat(400), (bytes, changes, length) => {
      const broken = bytes.slice(0, Math.max(4, length));
      for (const { at, byte } of changes) if (at < broken.length) broken[at] = byte;
      readAll(broken);
    }),
    { numRuns: 2000 },
  );
});
