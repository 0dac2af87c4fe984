/** What stock kube-proxy wrote is equal to what penstock would do; after one change of it, exactly that change is named. */
import { test } from 'tap';
import { Sfc32 } from '../../../src/balancing/pick/Sfc32.js';
import { compareRules, type Difference } from '../../../src/compare/compareRules.js';
import { type RuleText, type RuleTexts, readRules } from '../../../src/compare/readRules.js';
import { reportText } from '../../../src/compare/report.js';
import { goldenRules, goldenTexts, goldenWorld } from '../../support/goldenRules.js';
import { needsShared, readShared } from '../../support/shared.js';

type ComparedMode = 'iptables' | 'nftables' | 'ipvs';
const MODES: readonly ComparedMode[] = ['iptables', 'nftables', 'ipvs'];

/** How many random changes: 500 were run once; `PENSTOCK_CHANGES=500` runs them again. */
const CHANGES = Number(process.env.PENSTOCK_CHANGES ?? 45);

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

/** Places in rules where an endpoint stands as a target. */
const TARGETS: Readonly<Record<ComparedMode, RegExp>> = {
  iptables: /(?<=--to-destination )(10\.244\.\d+\.\d+):(\d+)/g,
  nftables: /(?<=\d : |dnat to )(10\.244\.\d+\.\d+)( \. |:)(\d+)/g,
  ipvs: /(?<=-r )(10\.244\.\d+\.\d+):(\d+)/g,
};
const OTHER = '10.244.7.77';

/** One endpoint in the rules becomes another: who it was, and the text after it. */
function changeEndpoint(mode: ComparedMode, text: string, random: Sfc32): { from: string; text: string } {
  const found = [...text.matchAll(TARGETS[mode])];
  const match = found[random.below(found.length)];
  if (match?.[1] === undefined) throw new Error('the recording has no endpoint');
  const [, from] = match;
  return { from, text: text.slice(0, match.index) + OTHER + text.slice(match.index + from.length) };
}

function replaceText(texts: RuleTexts, mode: ComparedMode, change: (text: string) => string): RuleTexts {
  const changed = (file: RuleText) => ({ ...file, text: change(file.text) });
  if (mode === 'iptables') {
    return { ...texts, iptablesSave: texts.iptablesSave.map((f, i) => (i === 0 ? changed(f) : f)) };
  }
  if (mode === 'nftables') return { ...texts, nft: texts.nft && changed(texts.nft) };
  return { ...texts, ipvsadm: texts.ipvsadm && changed(texts.ipvsadm) };
}

test('one endpoint that was changed is named, and nothing else', needsShared, async (t) => {
  const world = goldenWorld();
  const random = new Sfc32(20261128);
  for (let i = 0; i < CHANGES; i++) {
    const mode = MODES[i % MODES.length] ?? 'iptables';
    let from = '';
    const texts = replaceText(goldenTexts(mode), mode, (text) => {
      const changed = changeEndpoint(mode, text, random);
      from = changed.from;
      return changed.text;
    });
    const owners = new Set(
      world.slices
        .filter(({ endpoints }) => endpoints.some(({ address }) => address === from))
        .map(({ namespace, serviceName }) => `${namespace}/${serviceName}`),
    );
    const found = differences(mode, texts);
    t.ok(found.length > 0, `${mode}: ${from} was changed, and is seen`);
    for (const { question, ours, theirs } of found) {
      const extra = theirs.endpoints.filter((endpoint) => !ours.endpoints.includes(endpoint));
      const missing = ours.endpoints.filter((endpoint) => !theirs.endpoints.includes(endpoint));
      const isNamed =
        owners.has(question.name.split(':')[0] ?? '') &&
        extra.length === 1 &&
        missing.length <= 1 &&
        missing.every((endpoint) => endpoint.startsWith(`${from}:`)) &&
        extra[0]?.startsWith(`${OTHER}:`) === true;
      if (!isNamed) t.fail(`${mode}, ${from}: ${question.name} ${JSON.stringify({ missing, extra })}`);
    }
  }
});

test('a rule of one Service that is gone is named', needsShared, async (t) => {
  const lines = (goldenTexts('iptables').iptablesSave[0]?.text ?? '').split('\n');
  const ofServices = lines.flatMap((line, i) =>
    /^-A KUBE-(SERVICES|NODEPORTS|SVC|SVL|EXT|FW|SEP)/.test(line) && /--comment "?golden\/s/.test(line)
      ? [i]
      : [],
  );
  t.ok(ofServices.length > 100);
  const random = new Sfc32(7);
  const silent: string[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const gone = ofServices[random.below(ofServices.length)] ?? 0;
    const line = lines[gone] ?? '';
    const name = /golden\/[a-z0-9-]+/.exec(line)?.[0] ?? '';
    const text = lines.filter((_, at) => at !== gone).join('\n');
    const found = differences(
      'iptables',
      replaceText(goldenTexts('iptables'), 'iptables', () => text),
    );
    if (found.length === 0) silent.push(line);
    const others = found.filter(({ question }) => question.name.split(':')[0] !== name);
    t.same(
      others.map(({ question }) => question.name),
      [],
      `${line} is of ${name} alone`,
    );
  }
  // The endpoint of another node cannot be a client of this one; what counts packets only, or lets health checks in,
  // leads nobody anywhere.
  const harmless = /-s 10\.244\.1\.\d+\/32 .*KUBE-MARK-MASQ|--nfacct-name|health check node port/;
  t.same(
    silent.filter((line) => !harmless.test(line)),
    [],
  );
});

test('what the rules reach beyond the objects is named', needsShared, async (t) => {
  const extra = '-A -t 172.30.9.9:81 -s rr\n-a -t 172.30.9.9:81 -r 10.244.0.99:8080 -m -w 1\n';
  const found = differences(
    'ipvs',
    replaceText(goldenTexts('ipvs'), 'ipvs', (text) => text + extra),
  );
  t.ok(found.length > 0);
  t.same([...new Set(found.map(({ question }) => question.place.address))], ['172.30.9.9']);
  const report = reportText({ asked: 1, differences: found }, { title: 'kube-proxy' });
  t.match(report, /no Service has it 172\.30\.9\.9:81\/tcp/);
  t.match(report, /only in the rules: 10\.244\.0\.99:8080/);
});
