/** What it costs a process to read its first list from an API server, besides reading it. */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { fromRoot } from '../../../support/fromRoot.js';

/** In pieces: V8 takes a parser that is called so often for worth its optimising. */
const READ_A_LIST = `
import { createRequire } from 'node:module';
import { ApiClient } from '${fromRoot('dist/src/kubernetes/http/ApiClient.js')}';
import { NOBODY } from '${fromRoot('dist/src/kubernetes/kubeconfig/Connection.js')}';
import { Credentials } from '${fromRoot('dist/src/kubernetes/kubeconfig/Credentials.js')}';

// Imported, it loads undici itself, on Node.js 22 and newer: it has a WebSocket among its exports.
const { createServer } = createRequire('/')('node:http');
const server = createServer(async (_, response) => {
  for (let turn = 0; turn < 3000; turn++) {
    for (let piece = 0; piece < 20; piece++) response.write('x');
    await new Promise(setImmediate);
  }
  response.end();
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const connection = { server: 'http://127.0.0.1:' + server.address().port, verify: 'certificate', compression: 'none', user: NOBODY };
const client = new ApiClient(connection, new Credentials(connection, Date.now), 'penstock/test');
let bytes = 0;
for await (const { length } of (await client.get('/list', new AbortController().signal)).body) bytes += length;
await client.close();
server.close();
console.log('read', bytes);
for (const loaded of process.moduleLoadList) console.log(loaded);
`;

t.test("neither fetch nor Node's own undici is loaded, and no parser optimised", async (t) => {
  const text = execFileSync(
    process.execPath,
    ['--trace-wasm-compilation-times', '--input-type=module', '-e', READ_A_LIST],
    { encoding: 'utf8' },
  );
  const lines = text.split('\n');
  t.ok(lines.includes('read 60000'));
  t.ok(lines.includes('NativeModule net'), 'what is loaded is told');
  t.ok(
    lines.some((line) => line.includes('using Liftoff')),
    'what is compiled is told',
  );
  t.same(
    lines.filter((line) => /undici|using TurboFan/.test(line)),
    [],
  );
});
