/** What the classes of the addon owe their callers: no wrong object, nothing left open after a failure, an end with the thread. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';

const ADDON = fileURLToPath(fromRoot('build/Release/penstock.node'));
const ENGINE = {
  threads: 3,
  ipv6: 1,
  firstPort: 0,
  lastPort: 0,
  mark: 0,
  untranslated: 0,
  takeOverFrom: '',
} as const;
const RESPONDER = { node: 'node1', port: 0, everyMs: 1000, lost: 3 } as const;
const nothing = () => {};

/** JavaScript that makes one of each, over `addon`. */
const ONE_OF_EACH = `
  const made = [
    ['ProxyEngine', () => new addon.ProxyEngine(${JSON.stringify(ENGINE)})],
    ['BfdEngine', () => new addon.BfdEngine(() => {})],
    ['AnnounceResponder', () => new addon.AnnounceResponder(${JSON.stringify(RESPONDER)}, () => {})],
  ];`;

/** In a process that may open 100 files: with so many left, each is made or fails, and nothing stays open. */
const FEW_DESCRIPTORS = `
  const addon = require(${JSON.stringify(ADDON)});
  const { closeSync, openSync, readdirSync } = require('node:fs');
  ${ONE_OF_EACH}
  const filled = [];
  const fill = () => { try { for (;;) filled.push(openSync('/dev/null')); } catch {} };
  const open = () => { const spare = filled.pop(); closeSync(spare); const n = readdirSync('/proc/self/fd').length; filled.push(openSync('/dev/null')); return n; };
  fill();
  const before = open();
  const faults = [];
  for (const [name, make] of made) {
    let failed = 0;
    for (let left = 0; left < 60; left++) {
      for (let i = 0; i < left; i++) closeSync(filled.pop());
      let engine;
      try { engine = make(); } catch (error) { failed++; if (error.code !== 'EMFILE') faults.push(name + ': ' + error); }
      if (engine && engine.offerTakeover) {
        // Once for each number of descriptors that may be left.
        fill();
        for (let few = 0; few < 4; few++) {
          for (let i = 0; i < few && filled.length > 1; i++) closeSync(filled.pop());
          try { engine.offerTakeover('/run/penstock/nativeClasses.sock'); break; } catch (error) { if (error.code !== 'EMFILE') faults.push('offer: ' + error); }
          fill();
        }
      }
      if (engine) engine.close();
      fill();
      const now = open();
      if (now !== before) faults.push(name + ' with ' + left + ' descriptors: ' + (now - before) + ' more are open');
    }
    if (failed === 0 || failed === 60) faults.push(name + ' failed ' + failed + ' times');
  }
  for (const fd of filled) closeSync(fd);
  console.log(JSON.stringify(faults));`;

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up; mkdir -p /run/penstock');
  const addon = nativeAddon();

  await t.test('arguments that are none', async (t) => {
    for (const make of [addon.ProxyEngine, addon.BfdEngine, addon.AnnounceResponder, addon.AnnounceModel]) {
      const made = make as unknown as new (...args: unknown[]) => unknown;
      for (const args of [[], [undefined, nothing], [null, null], [1, 2]])
        t.throws(() => new made(...args), TypeError, `${made.name} of ${JSON.stringify(args)}`);
    }
  });

  await t.test('objects that are others, or closed', async (t) => {
    const engine = new addon.ProxyEngine(ENGINE);
    const bfd = new addon.BfdEngine(nothing);
    const responder = new addon.AnnounceResponder(RESPONDER, nothing);
    const methods = [engine.stopListening, bfd.takeChanges, responder.takeEvents] as const;
    for (const method of methods) {
      for (const self of [engine, bfd, responder, {}, undefined]) {
        const own = self !== undefined && method.name in self;
        if (!own) t.throws(() => Reflect.apply(method, self, []), TypeError);
      }
    }
    for (const each of [engine, bfd, responder]) {
      each.close();
      t.throws(() => each.close(), { code: 'EBADF' });
    }
    t.throws(() => bfd.takeChanges(), { code: 'EBADF' });
    t.throws(() => engine.status, { code: 'EBADF' });
  });

  await t.test('with few descriptors', async (t) => {
    const child = spawnSync(
      'sh',
      ['-c', 'ulimit -n 100; exec "$0" -e "$1"', process.execPath, FEW_DESCRIPTORS],
      {
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    t.strictSame(JSON.parse(child.stdout || '["no answer"]'), [], child.stderr);
  });

  await t.test('a thread that ends with all of them open', async (t) => {
    for (const end of ['terminate', 'itself'] as const) {
      const code = `
        const addon = require(${JSON.stringify(ADDON)});
        ${ONE_OF_EACH}
        globalThis.kept = made.map(([, make]) => make());
        require('node:worker_threads').parentPort.postMessage('made');
        ${end === 'itself' ? 'process.exit(0)' : 'setInterval(() => {}, 1000)'};`;
      const worker = new Worker(code, { eval: true });
      const ended = new Promise<number>((resolve) => worker.once('exit', resolve));
      await new Promise((resolve) => worker.once('message', resolve));
      if (end === 'terminate') await worker.terminate();
      t.type(await ended, 'number', end);
    }
  });
}
