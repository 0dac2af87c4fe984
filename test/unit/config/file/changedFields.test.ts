/** Which changes of a configuration are in force at once, which need a new start, which a new process. */
import t from 'tap';
import { changedFields } from '../../../../src/config/file/changedFields.js';
import { runFile } from '../runCommand.js';

const BEFORE = 'mode: nftables\nclusterCIDR: 10.0.0.0/8\n';

/** Two files → live, anew, restart. */
const CASES: readonly (readonly [string, string, string[], string[], string[]])[] = [
  [BEFORE, BEFORE, [], [], []],
  [BEFORE, `${BEFORE}nftables: {syncPeriod: 30s}`, [], [], []],
  [
    BEFORE,
    `${BEFORE}logging: {verbosity: 4}\nconntrack: {min: 1}\noomScoreAdj: 0`,
    ['logging.verbosity', 'oomScoreAdj', 'conntrack.min'],
    [],
    [],
  ],
  [
    BEFORE,
    'mode: iptables\nclusterCIDR: 10.0.0.0/9\nnodePortAddresses: [10.0.0.0/8]',
    [],
    ['mode', 'clusterCIDR', 'nodePortAddresses'],
    [],
  ],
  [`${BEFORE}logging: {format: json}`, BEFORE, [], [], ['logging.format']],
  [
    BEFORE,
    `${BEFORE}featureGates: {AllowServiceExternalIPs: false}`,
    [],
    ['featureGates.AllowServiceExternalIPs'],
    [],
  ],
  ['mode: userspace', 'mode: nftables\nconntrack: {min: 1}', ['conntrack.min'], [], ['mode']],
];

t.test('changes by what they take', (t) => {
  for (const [before, after, live, anew, restart] of CASES) {
    t.strictSame(
      changedFields(runFile(before).source, runFile(after).source),
      { live, anew, restart },
      after,
    );
  }
  t.end();
});
