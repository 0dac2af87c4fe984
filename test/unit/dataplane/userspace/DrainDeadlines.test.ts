import { mock } from 'node:test';
import t from 'tap';
import { DrainDeadlines } from '../../../../src/dataplane/userspace/DrainDeadlines.js';
import type { LeavingEndpoint } from '../../../../src/dataplane/userspace/EngineTable.js';
import { type ProxyOptions, readProxyOptions } from '../../../../src/dataplane/userspace/proxyOptions.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { servicePort } from '../../../support/proxyEngine.js';

const DAY = 24 * 3_600_000;
mock.timers.enable({ apis: ['setTimeout'] });

function leaving(cell: number, how: LeavingEndpoint['how'], fields: Partial<ProxyOptions>): LeavingEndpoint {
  const port = servicePort();
  const defaults = readProxyOptions(port, { udpIdleTimeout: 250, drainTimeout: undefined }).options;
  const options = { ...defaults, ...fields };
  return { row: { port, options, cell: 0, endpoints: new Map() }, target: '10.0.0.1:80', cell, how };
}

function world() {
  const reset: number[] = [];
  return { reset, drains: new DrainDeadlines(systemClock, (cell) => void reset.push(cell)) };
}

t.test('without a deadline connections live on', async (t) => {
  const { reset, drains } = world();
  drains.leaving(leaving(1, 'terminating', {}));
  drains.leaving(leaving(2, 'removed', {}));
  mock.timers.tick(DAY);
  t.strictSame(reset, []);
});

t.test('they are cut at the deadline, and the first deadline counts', async (t) => {
  const { reset, drains } = world();
  drains.leaving(leaving(1, 'terminating', { drainTimeout: 5000 }));
  mock.timers.tick(4000);
  drains.leaving(leaving(1, 'removed', { drainTimeout: 5000 }));
  drains.leaving(leaving(2, 'removed', { drainTimeout: 5000 }));
  mock.timers.tick(999);
  t.strictSame(reset, []);
  mock.timers.tick(1);
  t.strictSame(reset, [1]);
  mock.timers.tick(DAY);
  t.strictSame(reset, [1, 2]);
});

t.test('at once when the policy is to reset those of removed endpoints', async (t) => {
  const { reset, drains } = world();
  const options = { drainTimeout: 5000, removedEndpoints: 'reset' } as const;
  drains.leaving(leaving(1, 'terminating', options));
  t.strictSame(reset, [], 'it still exists');
  drains.leaving(leaving(1, 'removed', options));
  t.strictSame(reset, [1]);
  mock.timers.tick(DAY);
  t.strictSame(reset, [1], 'once');
});

t.test('not when the endpoint serves again', async (t) => {
  const { reset, drains } = world();
  drains.leaving(leaving(1, 'terminating', { drainTimeout: 5000 }));
  mock.timers.tick(4000);
  drains.returned(1);
  drains.returned(7);
  mock.timers.tick(DAY);
  t.strictSame(reset, []);
  drains.leaving(leaving(1, 'terminating', { drainTimeout: 5000 }));
  mock.timers.tick(5000);
  t.strictSame(reset, [1], 'with its full time the next time');
});

t.test('a deadline that is further away than a timer can wait', async (t) => {
  const { reset, drains } = world();
  drains.leaving(leaving(1, 'terminating', { drainTimeout: 40 * DAY }));
  drains.leaving(leaving(2, 'terminating', { drainTimeout: 40 * DAY }));
  // Of a longer step the mock would count all for a timer that is set within it.
  const pass = (days: number) => {
    for (let hour = 0; hour < days * 24; hour++) mock.timers.tick(DAY / 24);
  };
  pass(30);
  t.strictSame(reset, []);
  drains.returned(2);
  pass(9);
  t.strictSame(reset, []);
  pass(1.1);
  t.strictSame(reset, [1]);
});

t.test('nothing is cut after the end', async (t) => {
  const { reset, drains } = world();
  drains.leaving(leaving(1, 'terminating', { drainTimeout: 5000 }));
  drains.close();
  mock.timers.tick(DAY);
  t.strictSame(reset, []);
});
