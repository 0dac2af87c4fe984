/** What must be there before anything is touched, and that all of what is missing is said at once. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import {
  type Capability,
  heldCapabilities,
  missingForLegacy,
  missingPrivileges,
  type ProcessView,
  requireAll,
} from '../../../src/host/privileges.js';
import { PENSTOCK } from '../../support/AgentProcess.js';
import { plain } from '../../support/iptables.js';
import { runFile } from '../config/runCommand.js';

const view = (capabilities: readonly Capability[], fields: Partial<ProcessView> = {}): ProcessView => ({
  capabilities: new Set(capabilities),
  mask: 0n,
  firstFreePort: 1024,
  canWrite: () => true,
  ...fields,
});
const LEGACY = 'mode: iptables\npenstock: {iptablesBackend: legacy}';
const LOW = 'healthzBindAddress: 0.0.0.0:80\nmetricsBindAddress: 127.0.0.1:81';

/** A file, what the process may do → beginnings of the lines. */
const CASES: readonly (readonly [string, ProcessView, ...string[]])[] = [
  ['mode: nftables', view(['NET_ADMIN'])],
  ['mode: nftables', view([]), 'CAP_NET_ADMIN: '],
  ['mode: iptables', view(['NET_ADMIN'])],
  [LEGACY, view(['NET_ADMIN', 'NET_RAW'])],
  [LEGACY, view(['NET_ADMIN']), 'CAP_NET_RAW: '],
  [LEGACY, view([], { canWrite: () => false }), 'CAP_NET_ADMIN: ', 'CAP_NET_RAW: ', '/run/xtables.lock: '],
  [LOW, view(['NET_ADMIN', 'NET_BIND_SERVICE'])],
  [LOW, view(['NET_ADMIN'], { firstFreePort: 80 })],
  [
    LOW,
    view(['NET_ADMIN']),
    'CAP_NET_BIND_SERVICE: healthzBindAddress has port 80, below 1024',
    'CAP_NET_BIND_SERVICE: metricsBindAddress has port 81, below 1024',
  ],
];

t.test('one line for each thing', (t) => {
  for (const [text, process, ...expected] of CASES) {
    const missing = missingPrivileges(runFile(text).config, process);
    t.strictSame(
      missing.map((line, index) => line.slice(0, expected[index]?.length)),
      expected,
      text,
    );
  }
  t.strictSame(missingForLegacy(view(['NET_RAW'])), []);
  t.end();
});

t.test('the list is the error', (t) => {
  requireAll([]);
  t.throws(() => requireAll(['A: x', 'B: y']), {
    code: 'PENSTOCK_NOT_PRIVILEGED',
    message: 'this process lacks what it needs:\n  A: x\n  B: y',
    remedy: /docs\/privileges\.md/,
  });
  t.end();
});

t.test('capabilities as the kernel writes them', (t) => {
  t.strictSame(
    [...heldCapabilities('CapPrm:\t0\nCapEff:\t0000000000003400\n')],
    ['NET_BIND_SERVICE', 'NET_ADMIN', 'NET_RAW'],
  );
  t.strictSame([...heldCapabilities('CapEff:\t0000000000001000\n')], ['NET_ADMIN']);
  t.strictSame([...heldCapabilities('')], []);
  t.end();
});

t.test('without any, penstock run ends with the list, and has touched nothing', (t) => {
  const words = [
    'run',
    '--manifests',
    '/tmp',
    '--proxy-mode',
    'nftables',
    '--healthz-bind-address',
    '0.0.0.0:80',
  ];
  const { status, stderr } = spawnSync(
    ...plain('setpriv', '--bounding-set=-all', '--inh-caps=-all', '--reuid=65534', PENSTOCK, ...words),
    { encoding: 'utf8' },
  );
  t.equal(status, 1);
  t.match(
    stderr,
    /^penstock run: this process lacks what it needs:\n {2}CAP_NET_ADMIN: .*\n {2}CAP_NET_BIND_SERVICE: .*80.*\n→ /,
  );
  t.end();
});
