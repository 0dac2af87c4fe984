import fc from 'fast-check';
import t from 'tap';
import { UNWEIGHTED } from '../../../../src/balancing/Balancing.js';
import { type ProxyOptions, readProxyOptions } from '../../../../src/dataplane/userspace/proxyOptions.js';
import { servicePort } from '../../../support/proxyEngine.js';

const DEFAULTS = { udpIdleTimeout: 250, drainTimeout: undefined } as const;

const TCP_DEFAULT: ProxyOptions = {
  algorithm: 'power-of-two',
  attempts: [250, 500, 1000, 2000],
  idleTimeout: 0,
  maxLifetime: 0,
  sourceAddress: 'auto',
  proxyProtocol: 'none',
  drainTimeout: undefined,
  removedEndpoints: 'keep',
  wait: 0,
};
const UDP_DEFAULT: ProxyOptions = { ...TCP_DEFAULT, idleTimeout: 250 };

function read(options: Readonly<Record<string, string>>, protocol: 'TCP' | 'UDP' = 'TCP') {
  return readProxyOptions(servicePort({ options, protocol }), DEFAULTS);
}

t.test('without annotations, and with empty ones', async (t) => {
  const empty = Object.fromEntries(
    ['retries', 'idle-timeout', 'max-lifetime', 'source-address', 'proxy-protocol', 'drain-timeout']
      .concat('removed-endpoints', 'udp-idle-timeout', 'algorithm')
      .map((name) => [name, '']),
  );
  for (const options of [{}, empty]) {
    t.strictSame(read(options), { options: TCP_DEFAULT, faults: [] });
    t.strictSame(read(options, 'UDP'), { options: UDP_DEFAULT, faults: [] });
  }
});

t.test('the configuration has the defaults of two', async (t) => {
  const defaults = { udpIdleTimeout: 9000, drainTimeout: 8000 };
  const { options } = readProxyOptions(servicePort({ protocol: 'UDP' }), defaults);
  t.strictSame(options, { ...UDP_DEFAULT, idleTimeout: 9000, drainTimeout: 8000 });
  const years = readProxyOptions(servicePort({ protocol: 'UDP' }), { ...defaults, udpIdleTimeout: 1e12 });
  t.equal(years.options.idleTimeout, 960 * 3_600_000, 'the engine counts in 32 bits');
});

t.test('the algorithm is that of the Service when it names one', async (t) => {
  const port = servicePort({ options: { algorithm: 'random' }, balancing: UNWEIGHTED.random });
  t.equal(readProxyOptions(port, DEFAULTS).options.algorithm, 'random');
  const maglev = servicePort({ options: { algorithm: 'maglev' }, balancing: UNWEIGHTED.maglev });
  t.equal(readProxyOptions(maglev, DEFAULTS).options.algorithm, 'maglev');
  const weighted = servicePort({ options: { weights: '{}' }, balancing: UNWEIGHTED.random });
  t.equal(readProxyOptions(weighted, DEFAULTS).options.algorithm, 'power-of-two');
  const usual = { ...DEFAULTS, algorithm: 'maglev' } as const;
  t.equal(readProxyOptions(weighted, usual).options.algorithm, 'maglev', 'or what the node has');
  t.equal(readProxyOptions(port, usual).options.algorithm, 'random');
});

type Good = readonly [options: Record<string, string>, changed: Partial<ProxyOptions>];

const GOOD: readonly Good[] = [
  [{ retries: '1s' }, { attempts: [1000] }],
  [{ retries: '100ms, 200ms ,1.5s' }, { attempts: [100, 200, 1500] }],
  [{ retries: new Array(16).fill('1ms').join() }, { attempts: new Array(16).fill(1) }],
  [{ 'idle-timeout': '30s' }, { idleTimeout: 30_000 }],
  [{ 'idle-timeout': '0' }, { idleTimeout: 0 }],
  [{ 'max-lifetime': '960h' }, { maxLifetime: 960 * 3_600_000 }],
  [{ 'source-address': 'transparent' }, { sourceAddress: 'transparent' }],
  [{ 'source-address': 'node' }, { sourceAddress: 'node' }],
  [{ 'proxy-protocol': 'v1' }, { proxyProtocol: 'v1' }],
  [{ 'proxy-protocol': 'v2' }, { proxyProtocol: 'v2' }],
  [{ 'proxy-protocol': 'none' }, {}],
  [{ 'drain-timeout': '5m' }, { drainTimeout: 300_000 }],
  [{ 'drain-timeout': '0s' }, { drainTimeout: 0 }],
  [{ 'removed-endpoints': 'reset' }, { removedEndpoints: 'reset' }],
  [{ 'removed-endpoints': 'keep' }, {}],
];

t.test('each annotation', async (t) => {
  for (const [options, changed] of GOOD) {
    t.strictSame(read(options), { options: { ...TCP_DEFAULT, ...changed }, faults: [] });
  }
});

t.test('what a protocol does not have is not read', async (t) => {
  t.strictSame(read({ 'idle-timeout': '30s', 'proxy-protocol': 'v2' }, 'UDP'), {
    options: UDP_DEFAULT,
    faults: [],
  });
  t.strictSame(read({ 'udp-idle-timeout': '30s' }), { options: TCP_DEFAULT, faults: [] });
  t.equal(read({ 'udp-idle-timeout': '30s' }, 'UDP').options.idleTimeout, 30_000);
});

const DURATION = 'must be a duration such as 30s, at most 960h';
const RETRIES =
  'must be the timeouts of 1 to 16 attempts, each at most 60s, such as 250ms,500ms,1s; until then it is 250ms,500ms,1000ms,2000ms';

type Bad = readonly [name: string, text: string, rest: string];

const BAD: readonly Bad[] = [
  ...['3', '0', '1s,', '1s,0ms', '-1s', '61s', '961h', 'many', new Array(17).fill('1s').join()].map(
    (text): Bad => ['retries', text, RETRIES],
  ),
  ...['30', '-1s', 'soon', '961h', '1d', ' '].flatMap((text): Bad[] => [
    ['idle-timeout', text, `${DURATION}; until then it is 0 ms`],
    ['max-lifetime', text, `${DURATION}; until then it is 0 ms`],
  ]),
  ['source-address', 'client', 'must be one of auto, node, transparent; until then it is auto'],
  ['proxy-protocol', 'V2', 'must be one of none, v1, v2; until then it is none'],
  ['removed-endpoints', 'cut', 'must be one of keep, reset; until then it is keep'],
];

t.test('a bad value is told in one sentence, and the default holds', async (t) => {
  for (const [name, text, rest] of BAD) {
    const { options, faults } = read({ [name]: text });
    t.strictSame(options, TCP_DEFAULT, `${name} ${text}`);
    t.strictSame(faults, [`metadata.annotations[penstock.io/${name}] is "${text}", ${rest}`]);
  }
  for (const text of ['x', '24h', '61m']) {
    const { options, faults } = read({ 'udp-idle-timeout': text }, 'UDP');
    t.strictSame(options, UDP_DEFAULT);
    t.strictSame(faults, [
      `metadata.annotations[penstock.io/udp-idle-timeout] is "${text}", must be a duration such as 30s, at most 1h; until then it is 250 ms`,
    ]);
  }
});

t.test('a bad drain timeout says what holds instead', async (t) => {
  const fault = `metadata.annotations[penstock.io/drain-timeout] is "x", ${DURATION}; until then`;
  t.strictSame(read({ 'drain-timeout': 'x' }), {
    options: TCP_DEFAULT,
    faults: [`${fault} there is none`],
  });
  const port = servicePort({ options: { 'drain-timeout': 'x' } });
  const { options, faults } = readProxyOptions(port, { ...DEFAULTS, drainTimeout: 8000 });
  t.equal(options.drainTimeout, 8000);
  t.strictSame(faults, [`${fault} it is 8000 ms`]);
});

t.test('one bad value leaves the others', async (t) => {
  const { options, faults } = read({ retries: 'x', 'proxy-protocol': 'x', 'idle-timeout': '5s' });
  t.strictSame(options, { ...TCP_DEFAULT, idleTimeout: 5000 });
  t.equal(faults.length, 2);
});

t.test('whatever the texts are, the engine can hold what comes out', async () => {
  const text = fc.oneof(fc.string(), fc.constantFrom('1e9h', '99999999999999999h', '0.4ms', '1ns'));
  const names = GOOD.map(([options]) => Object.keys(options)[0] as string);
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names, 'udp-idle-timeout'), text), (options) => {
      for (const protocol of ['TCP', 'UDP'] as const) {
        const { attempts, idleTimeout, maxLifetime, drainTimeout } = read(options, protocol).options;
        for (const each of [...attempts, idleTimeout, maxLifetime, drainTimeout ?? 0]) {
          if (!Number.isInteger(each) || each < 0 || each > 0xffffffff) return false;
        }
        if (attempts.length < 1 || attempts.length > 16 || Math.min(...attempts) < 1) return false;
      }
      return true;
    }),
  );
});
