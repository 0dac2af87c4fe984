/** Who has the admin socket when agents of several network namespaces share /run. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { claimFile } from '../../../../src/host/fileLock.js';
import { AdminServer } from '../../../../src/observe/admin/AdminServer.js';

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-admin-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

function ask(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath: path, path: '/', agent: false }, (response) => {
      let text = '';
      response
        .setEncoding('utf8')
        .on('data', (part) => {
          text += part;
        })
        .on('end', () => resolve(text.trim()));
    })
      .on('error', reject)
      .end();
  });
}

t.test(
  'agents that start at the same time: each answers where it says, and one has the first socket',
  async (t) => {
    const folder = folderOf(t);
    const shared = join(folder, 'agent.sock');
    for (let round = 0; round < 5; round++) {
      const servers = await Promise.all(
        Array.from({ length: 12 }, (_, n) =>
          AdminServer.open([shared, join(folder, `agent-${n}.sock`)], () => ({ json: n }), claimFile),
        ),
      );
      const answers = await Promise.all(servers.map(({ path }) => ask(path)));
      t.same(
        answers,
        servers.map((_, n) => `${n}`),
        'everybody is there',
      );
      t.equal(servers.filter(({ path }) => path === shared).length, 1);
      if (round < 4) for (const server of servers) server.close();
      else {
        // Killed, as far as the files tell: the next ones find sockets that nobody answers at.
        servers.forEach((server, n) => {
          if (n % 2 === 0) server.close();
        });
        const next = await AdminServer.open(
          [shared, join(folder, 'next.sock')],
          () => ({ json: 'next' }),
          claimFile,
        );
        t.equal(await ask(next.path), '"next"');
        next.close();
        for (const server of servers) server.close();
      }
    }
    t.same(readdirSync(folder), [], 'and nothing is left');
  },
);

t.test('what an agent that was killed has left is taken over', async (t) => {
  const folder = folderOf(t);
  const path = join(folder, 'agent.sock');
  const first = await AdminServer.open([path], () => ({ json: 'first' }), claimFile);
  await t.rejects(
    AdminServer.open([path], () => ({ json: 'second' }), claimFile),
    /another agent answers there/,
  );
  t.equal(await ask(path), '"first"', 'and the one that lives keeps it');
  first.close();
  const { spawnSync } = await import('node:child_process');
  const leave = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', leave]);
  t.ok(existsSync(path), 'a socket that nobody answers at');
  const next = await AdminServer.open([path], () => ({ json: 'next' }), claimFile);
  t.equal(await ask(path), '"next"');
  next.close();
  t.notOk(existsSync(path));
});
