import { createServer } from 'node:net';
import t from 'tap';
import { HealthCheckPorts } from '../../../../src/observe/http/HealthCheckPorts.js';
import type { HealthCheck } from '../../../../src/routing/HealthChecks.js';
import { ip } from '../../../support/builders.js';
import { ask } from '../../../support/recordedAnswer.js';

/** Of our own, on loopback, so that no other test listens there. */
const HERE = ip('127.0.77.1');
const PORT = 32101;

function checks(...given: readonly (readonly [service: string, port: number, endpoints: number])[]) {
  return new Map(
    given.map(([service, port, localEndpoints]): [string, HealthCheck] => [
      `shop/${service}`,
      { namespace: 'shop', service, port, localEndpoints },
    ]),
  );
}

/** Service and endpoints in the answer of a port. */
async function told(port: number): Promise<string> {
  const { body } = await ask(`http://${HERE}:${port}/`);
  const { service, localEndpoints } = JSON.parse(body) as {
    service: { name: string };
    localEndpoints: number;
  };
  return `${service.name} ${localEndpoints}`;
}

const refused = (port: number) =>
  ask(`http://${HERE}:${port}/`).then(
    () => false,
    () => true,
  );

t.test('a port that is removed and added again, again and again, answers in the end', async (t) => {
  const ports = new HealthCheckPorts(() => true);
  t.teardown(() => ports.close());
  for (let round = 0; round < 20; round++) {
    t.strictSame(await ports.update(checks(['cart', PORT, 1]), [HERE]), []);
    t.equal(await told(PORT), 'cart 1');
    await ports.update(checks(), [HERE]);
    t.ok(await refused(PORT));
  }
});

t.test('updates that overlap end with what the last one said', async (t) => {
  const ports = new HealthCheckPorts(() => true);
  t.teardown(() => ports.close());
  const updates = [
    ports.update(checks(['cart', PORT, 1]), [HERE]),
    ports.update(checks(), [HERE]),
    ports.update(checks(['cart', PORT, 2]), [HERE]),
    ports.update(checks(['till', PORT, 3]), [HERE]),
  ];
  t.strictSame((await Promise.all(updates)).flat(), []);
  t.equal(await told(PORT), 'till 3');
  void ports.update(checks(['cart', PORT, 1]), [HERE]);
  ports.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.ok(await refused(PORT), 'nothing is opened once it is closed');
});

t.test('a port goes from one Service to another, and two Services trade theirs, in one update', async (t) => {
  const ports = new HealthCheckPorts(() => true);
  t.teardown(() => ports.close());
  await ports.update(checks(['cart', PORT, 1], ['till', PORT + 1, 2]), [HERE]);
  t.strictSame(await ports.update(checks(['till', PORT, 2], ['cart', PORT + 1, 1]), [HERE]), []);
  t.equal(await told(PORT), 'till 2');
  t.equal(await told(PORT + 1), 'cart 1');
  t.strictSame(await ports.update(checks(['desk', PORT, 3]), [HERE]), []);
  t.equal(await told(PORT), 'desk 3');
  t.ok(await refused(PORT + 1));
});

t.test('a port that somebody else has is a problem until it is free', async (t) => {
  const other = createServer().listen(PORT, HERE);
  await new Promise((resolve) => other.once('listening', resolve));
  const ports = new HealthCheckPorts(() => true);
  t.teardown(() => ports.close());
  const [problem] = await ports.update(checks(['cart', PORT, 1], ['till', PORT + 1, 2]), [HERE]);
  t.match(problem, { subject: 'Service shop/cart', message: `health-check node port ${PORT} cannot be` });
  t.equal(await told(PORT + 1), 'till 2', 'the others are open');
  await new Promise((resolve) => other.close(resolve));
  t.strictSame(await ports.update(checks(['cart', PORT, 1], ['till', PORT + 1, 2]), [HERE]), []);
  t.equal(await told(PORT), 'cart 1');
});

t.test('two Services with one port: one of them has it, the other is told of', async (t) => {
  const ports = new HealthCheckPorts(() => true);
  t.teardown(() => ports.close());
  const both = checks(['cart', PORT, 1], ['till', PORT, 2]);
  t.match(await ports.update(both, [HERE]), [{ subject: 'Service shop/till' }]);
  t.equal(await told(PORT), 'cart 1');
  t.strictSame(await ports.update(checks(['till', PORT, 2]), [HERE]), []);
  t.equal(await told(PORT), 'till 2');
});
