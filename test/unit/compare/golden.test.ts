/** What stock kube-proxy wrote is equal to what penstock would do; after one change of it, exactly that change is named. */
import t, { test } from 'tap';
import { Sfc32 } from '../../../src/balancing/pick/Sfc32.js';
import { compareRules, type Difference } from '../../../src/compare/compareRules.js';
import { type RuleTexts, readRules } from '../../../src/compare/readRules.js';
import { reportText } from '../../../src/compare/report.js';
import { joinHostPort } from '../../../src/net/ip.js';
import { type ComparedMode, changeEndpoint, OTHER, removeRule } from '../../support/goldenChanges.js';
import { goldenRules, goldenTexts, goldenWorld } from '../../support/goldenRules.js';
import { needsShared, readShared } from '../../support/shared.js';

const MODES: readonly ComparedMode[] = ['iptables', 'nftables', 'ipvs'];

t.setTimeout(3_600_000);

/** How many random changes, and which: `PENSTOCK_CHANGES=500 PENSTOCK_SEED=7` for others. */
const CHANGES = Number(process.env.PENSTOCK_CHANGES ?? 45);
const SEED = Number(process.env.PENSTOCK_SEED ?? 20261128);

/** Rules without an effect on where a client is led: */
const HARMLESS: readonly RegExp[] = [
  // The endpoint of another node is no client of this one;
  /-s (10\.244\.1\.\d+\/32|fd00:244:1::\S+) .*KUBE-MARK-MASQ/,
  // one that terminates is led to those that do not when it asks itself;
  /-s 10\.244\.0\.28\/32 .*s14b-term-etp-local.*KUBE-MARK-MASQ/,
  // what counts packets only, or lets health checks in.
  /--nfacct-name|health check node port/,
  // A cluster IP without endpoints is refused at every port by another rule.
  /^nftables: (172\.30\.|fd00:172:30:).*goto reject-chain/,
  // A node that asks its own load balancer's address from that address: IPVS alone has it on a link, and no client here is it.
  /KUBE-LOAD-BALANCER-SOURCE-IP/,
];

function differences(mode: ComparedMode, texts: RuleTexts): readonly Difference[] {
  const world = goldenWorld();
  const rules = goldenRules(mode);
  const comparison = compareRules(world, { ...rules, mode }, readRules(texts, world, rules));
  return comparison.differences.filter(({ meant }) => meant === undefined);
}

for (const mode of MODES) {
  test(`the recorded rules of mode ${mode} are equal`, needsShared, async (t) => {
    t.same(differences(mode, goldenTexts(mode)), []);
  });
}

test('nft in JSON says the same as nft in words', needsShared, async (t) => {
  const nft = { name: 'nft.json', text: readShared('stock/golden/nftables/nft.json') };
  t.same(differences('nftables', { ...goldenTexts('nftables'), nft }), []);
});

test('one endpoint that was changed is named, and nothing else', needsShared, async (t) => {
  const random = new Sfc32(SEED);
  for (let i = 0; i < CHANGES; i++) {
    const mode = MODES[i % MODES.length] ?? 'iptables';
    const { texts, from, of, what } = changeEndpoint(mode, random);
    const found = differences(mode, texts);
    t.ok(found.length > 0, `${mode}: ${from} was changed, and is seen`);
    for (const difference of found) {
      const { question, ours, theirs } = difference;
      const extra = theirs.endpoints.filter((endpoint) => !ours.endpoints.includes(endpoint));
      const missing = ours.endpoints.filter((endpoint) => !theirs.endpoints.includes(endpoint));
      const isNamed =
        isOf(difference, of) &&
        extra.length === 1 &&
        missing.length <= 1 &&
        missing.every((endpoint) => addressOf(endpoint) === from) &&
        Object.values<string>(OTHER).includes(addressOf(extra[0] ?? ''));
      if (!isNamed) t.fail(`${mode}, ${what}: ${question.name} ${JSON.stringify({ missing, extra })}`);
    }
  }
});

/** Of the service port, in the words of the rules; where they have no names, of the place. */
function isOf({ question: { name, place } }: Difference, of: string): boolean {
  return name === of || joinHostPort(place.address, place.port) === of;
}

function addressOf(endpoint: string): string {
  return endpoint.replace(/:\d+$/, '').replaceAll(/[[\]]/g, '');
}

test('a rule of one Service that is gone is named, and no other Service', needsShared, async (t) => {
  const random = new Sfc32(SEED + 1);
  const silent: string[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const mode = MODES[i % MODES.length] ?? 'iptables';
    const { texts, of, what } = removeRule(mode, random);
    const found = differences(mode, texts);
    if (found.length === 0) silent.push(`${mode}: ${what}`);
    const others = found.filter((difference) => !isOf(difference, of));
    t.same(
      [...new Set(others.map(({ question }) => question.name))],
      [],
      `${mode}: ${what} is of ${of} alone`,
    );
  }
  t.same(
    silent.filter((line) => !HARMLESS.some((harmless) => harmless.test(line))),
    [],
  );
});

test('what the rules reach beyond the objects is named', needsShared, async (t) => {
  const extra = '-A -t 172.30.9.9:81 -s rr\n-a -t 172.30.9.9:81 -r 10.244.0.99:8080 -m -w 1\n';
  const { ipvsadm = { name: '', text: '' }, ...rest } = goldenTexts('ipvs');
  const found = differences('ipvs', { ...rest, ipvsadm: { ...ipvsadm, text: ipvsadm.text + extra } });
  t.ok(found.length > 0);
  t.same([...new Set(found.map(({ question }) => question.place.address))], ['172.30.9.9']);
  const report = reportText({ asked: 1, differences: found }, { title: 'kube-proxy' });
  t.match(report, /no Service has it 172\.30\.9\.9:81\/tcp/);
  t.match(report, /only in the rules: 10\.244\.0\.99:8080/);
});
