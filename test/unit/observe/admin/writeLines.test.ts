/** Lists of any length to a reader who is slow: nothing piles up on the response. */
import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { AdminServer } from '../../../../src/observe/admin/AdminServer.js';

const LINES = 40_000;

function* lines(): Generator<object> {
  for (let number = 0; number < LINES; number++) yield { number, text: 'x'.repeat(200) };
}

t.test('a slow reader gets every line, and no listener stays behind', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-lines-'));
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  const server = await AdminServer.open(
    [join(folder, 'agent.sock')],
    async () => ({ lines: lines() }),
    () => () => {},
  );
  t.teardown(() => {
    process.off('warning', note);
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const count = await new Promise<number>((resolve, reject) => {
    let newlines = 0;
    get({ socketPath: server.path, path: '/v1/model' }, (response) => {
      response.on('data', (chunk: Buffer) => {
        for (const byte of chunk) if (byte === 10) newlines++;
        response.pause();
        setImmediate(() => response.resume());
      });
      response.on('end', () => resolve(newlines));
    }).on('error', reject);
  });
  t.equal(count, LINES);
  t.strictSame(warnings, []);
});
