/** Where several things are opened in a row and a later one cannot be, the earlier ones are closed. */

import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { makeAdmin, openAdmin } from '../../../src/agent/servers/openAdmin.js';
import type { DataplaneListener } from '../../../src/dataplane/Dataplane.js';
import { agentNote } from '../../../src/kernel/host/stateFiles.js';
import { Sysctls } from '../../../src/kernel/sysctl/Sysctls.js';
import type { ModeHost } from '../../../src/modes/ModeHost.js';
import { openMode } from '../../../src/modes/openMode.js';
import { answers } from '../../../src/observe/admin/AdminServer.js';
import { SyncHistory } from '../../../src/observe/admin/SyncHistory.js';
import { systemClock } from '../../../src/time/Clock.js';
import { tableOf } from '../../support/builders.js';
import { settledDescriptors } from '../../support/descriptors.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { runFile } from '../../unit/config/runCommand.js';

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');

  t.test('modes: what fails last leaves nothing open', async (t) => {
    const log = pino({ level: 'silent' });
    const host: ModeHost = {
      clock: systemClock,
      sysctls: new Sysctls(),
      addresses: () => [],
      ignoreLink: () => {},
      // It is read when the channels to the kernel are open.
      get logGroup(): number {
        throw new Error('no more');
      },
    };
    for (const mode of ['nftables', 'userspace']) {
      const { config } = runFile(`mode: ${mode}\n`);
      const open = () => openMode(config, host, {} as DataplaneListener, log);
      await t.rejects(open(), { message: 'no more' }, mode);
      const before = await settledDescriptors(process.pid);
      for (let i = 0; i < 5; i++) await t.rejects(open(), { message: 'no more' });
      t.same(await settledDescriptors(process.pid), before, `${mode}: no descriptor is left over`);
    }
  });

  t.test('a note that cannot be written costs no more than the note', async (t) => {
    const said: string[] = [];
    mkdirSync(dirname(agentNote()), { recursive: true });
    mkdirSync(agentNote());
    t.teardown(() => rmSync(agentNote(), { recursive: true }));
    const { config } = runFile('mode: nftables\n');
    const admin = makeAdmin({
      config,
      agent: {
        healthState: () => ({
          families: new Map(),
          ready: true,
          reason: '',
          nodeEligible: true,
          contacts: [],
        }),
        contacts: () => [],
        problems: () => [],
        syncs: new SyncHistory(Date.now),
      },
      table: tableOf([]),
      dataplane: { description: '' },
      departure: () => ({ type: 'serving' }),
      flows: { records: [], follow: () => () => {} },
      version: '1',
      clock: systemClock,
      balancer: () => 'none',
      ledOn: () => undefined,
      hostAddresses: () => [],
    });
    const server = await openAdmin(
      admin,
      pino({ level: 'warn' }, { write: (line: string) => void said.push(line) }),
    );
    const path = server?.path ?? '';
    t.ok(await answers(path), 'the agent can be asked');
    t.match(said.join(''), 'will not know how this agent was called');
    server?.close();
    server?.refreshNote();
    t.equal(said.length, 1, 'it is said once');
    t.notOk(await answers(path));
  });
}
