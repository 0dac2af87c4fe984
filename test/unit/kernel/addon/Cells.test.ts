import t from 'tap';
import { Cells } from '../../../../src/kernel/addon/Cells.js';

/** Room for all service ports and four endpoints. */
const FIRST_ENDPOINT = 1 << 18;
const ENDPOINTS = 4;

function world() {
  const memory = new ArrayBuffer((FIRST_ENDPOINT + ENDPOINTS) * 64);
  const words = new BigUint64Array(memory);
  const clock = { now: 1000 };
  const cells = new Cells(memory, () => clock.now);
  const set = (cell: number, word: number, value: number) => {
    words[cell * 8 + word] = BigInt(value);
  };
  return { cells, clock, set };
}

const ACTIVE = 1;
const SERVICE_EJECTED = 5;
const EJECTED_UNTIL = 6;

t.test('each gets its own, until there are no more', async (t) => {
  const { cells } = world();
  t.strictSame([cells.takeService(), cells.takeService()], [0, 1]);
  const endpoints = Array.from({ length: ENDPOINTS + 1 }, () => cells.takeEndpoint());
  t.strictSame(endpoints, [0, 1, 2, 3].map((n): number | undefined => FIRST_ENDPOINT + n).concat(undefined));
});

t.test('the engine’s words by their names', async (t) => {
  const { cells, set } = world();
  const service = cells.takeService() as number;
  const endpoint = cells.takeEndpoint() as number;
  for (let word = 0; word < 8; word++) {
    set(service, word, 100 + word);
    set(endpoint, word, 200 + word);
  }
  t.strictSame(cells.service(service), {
    connections: 100,
    active: 101,
    retries: 102,
    failed: 103,
    ejected: 105,
  });
  t.strictSame(cells.endpoint(endpoint), {
    connections: 200,
    active: 201,
    refused: 202,
    timedOut: 203,
    bytesTo: 204,
    bytesFrom: 205,
    isEjected: true,
  });
  set(endpoint, EJECTED_UNTIL, 0);
  t.equal(cells.endpoint(endpoint).isEjected, false);
});

t.test('a cell is used again after two seconds, when its last connection has ended', async (t) => {
  const { cells, clock, set } = world();
  const service = cells.takeService() as number;
  const all = Array.from({ length: ENDPOINTS }, () => cells.takeEndpoint() as number);
  const [idle = 0, busy = 0] = all;
  set(idle, 0, 55);
  set(busy, ACTIVE, 1);
  cells.retireEndpoint(idle, service);
  cells.retireEndpoint(busy, service);
  cells.reuse();
  t.equal(cells.takeEndpoint(), undefined, 'at once');
  clock.now += 1999;
  cells.reuse();
  t.equal(cells.takeEndpoint(), undefined, 'a millisecond before');
  clock.now += 1;
  t.equal(cells.takeEndpoint(), undefined, 'only reuse() looks');
  cells.reuse();
  t.equal(cells.takeEndpoint(), idle);
  t.equal(cells.endpoint(idle).connections, 0, 'it begins anew');
  t.equal(cells.takeEndpoint(), undefined, 'the busy one is not free');
  clock.now += 1e6;
  cells.reuse();
  t.equal(cells.takeEndpoint(), undefined, 'however long it takes');
  set(busy, ACTIVE, 0);
  cells.reuse();
  t.equal(cells.takeEndpoint(), busy);
  cells.reuse();
  t.equal(cells.takeEndpoint(), undefined, 'once');
});

t.test('cells of service ports and of endpoints do not mix', async (t) => {
  const { cells, clock } = world();
  const service = cells.takeService() as number;
  cells.retireService(service);
  clock.now += 2000;
  cells.reuse();
  t.equal(cells.takeEndpoint(), FIRST_ENDPOINT);
  t.equal(cells.takeService(), service);
});

t.test('an endpoint that goes while it is ejected is not counted among the ejected any more', async (t) => {
  const { cells, set } = world();
  const service = cells.takeService() as number;
  const [away = 0, well = 0] = [cells.takeEndpoint(), cells.takeEndpoint()];
  set(service, SERVICE_EJECTED, 1);
  set(away, EJECTED_UNTIL, 12_345);
  cells.retireEndpoint(well, service);
  t.equal(cells.service(service).ejected, 1);
  cells.retireEndpoint(away, service);
  t.equal(cells.service(service).ejected, 0);
  t.equal(cells.endpoint(away).isEjected, false);
});
