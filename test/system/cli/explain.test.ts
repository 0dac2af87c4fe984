/** penstock explain as a user types it. Needs neither root nor a kernel of its own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { fromRoot } from '../../support/fromRoot.js';
import { plain } from '../../support/iptables.js';

const MANIFESTS = fileURLToPath(fromRoot('examples/manifests'));

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function penstock(...words: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    const [file, args] = plain(PENSTOCK, ...words);
    execFile(file, args, { env: { ...process.env, NO_COLOR: '1' } }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
    });
  });
}

t.test('a connection that works', async (t) => {
  const { code, out } = await penstock(
    'explain',
    'outside',
    'cart:http',
    '--manifests',
    MANIFESTS,
    '-o',
    'json',
  );
  t.equal(code, 0);
  t.match(JSON.parse(out), { outcome: 'endpoint', reason: 'forwarded', service: 'shop/cart' });
});

t.test('80 columns, and exit status 1 for one that does not', async (t) => {
  const { code, out } = await penstock('explain', 'outside', 'payments:http', '--manifests', MANIFESTS);
  t.equal(code, 1);
  t.match(out, /is refused \[no-endpoints\]/);
  t.ok(
    out.split('\n').every((line) => line.length <= 80),
    out,
  );
});

t.test('wrong calls: one line, what to do, exit status 2, no stack', async (t) => {
  const calls = [
    ['explain'],
    ['explain', 'a'],
    ['explain', 'a', 'b', 'c'],
    ['explain', 'outside', 'cart:http', '--manifests', MANIFESTS, '-o', 'yaml'],
    ['explain', 'outside', 'cart:http', '--manifests', MANIFESTS, '--mode', 'ebpf'],
    ['explain', 'outside', 'cart:http', '--manifests', MANIFESTS, '--node-address', 'x'],
    ['explain', 'outside', 'cart:http', '--manifests', MANIFESTS, '--wait', '5'],
    ['explain', 'outside', 'cart:http', '--manifests', MANIFESTS, '--live', '--wait', '0'],
    ['explain', 'outside', 'cart:http', '--manifests', MANIFESTS, '--live', '--wait', 'x'],
    ['explain', 'outside', 'cart:http', '--manifests', MANIFESTS, '--live', '--mode', 'ipvs'],
    ['explain', 'outside', 'cart:http', '--manifests', '/nonexistent'],
    ['explain', 'outside', 'cart:http', '--config', '/nonexistent'],
    ['explain', 'outside', 'cart:http', '--manifest', MANIFESTS],
    ['explain', 'outside', 'carf:http', '--manifests', MANIFESTS],
    ['explain', 'outside', '172.30.0.10:70000', '--manifests', MANIFESTS],
    ['explain', '\u001b[31mred', 'cart:http', '--manifests', MANIFESTS],
  ];
  for (const words of calls) {
    const { code, out, err } = await penstock(...words);
    t.equal(code, 2, words.join(' '));
    t.equal(out, '');
    const [first, ...rest] = err.trimEnd().split('\n');
    t.match(first, /^penstock explain: /, err);
    t.ok(
      rest.every((line) => line.startsWith('→ ')),
      err,
    );
    t.notOk(err.includes('\u001b'));
  }
});
