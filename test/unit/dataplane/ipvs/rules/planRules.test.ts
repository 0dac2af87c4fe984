/** The fixed rules come, stay and go, also beside those of mode iptables, which has chains of the same names. */
import t from 'tap';
import { NO_RULES } from '../../../../../src/dataplane/iptables/plan/ExistingRules.js';
import { planCleanup } from '../../../../../src/dataplane/iptables/plan/planCleanup.js';
import { planFull } from '../../../../../src/dataplane/iptables/plan/planFull.js';
import type { RuleSet } from '../../../../../src/dataplane/iptables/plan/RuleSet.js';
import type { RuleSettings } from '../../../../../src/dataplane/ipvs/desired/IpvsSettings.js';
import { kernelName, SET_NAMES } from '../../../../../src/dataplane/ipvs/desired/sets.js';
import { fixedRules } from '../../../../../src/dataplane/ipvs/rules/fixedRules.js';
import {
  describeMissing,
  isOtherMode,
  NO_SAVED_RULES,
  planOwnRemoval,
  planRemoval,
  planRules,
  readSavedRules,
} from '../../../../../src/dataplane/ipvs/rules/planRules.js';
import { IP_FAMILIES } from '../../../../../src/net/ip.js';
import { endpoint, service, slice, tableOf } from '../../../../support/builders.js';
import { FakeXtables } from '../../../../support/FakeXtables.js';
import { DEFAULT_CONFIG, rulesOf, settingsOf } from '../../../../support/renderTable.js';

const SETTINGS: RuleSettings = {
  family: 'IPv4',
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  localTraffic: { isLocal: '-s 10.244.0.0/16', isNotLocal: '! -s 10.244.0.0/16' },
  randomFully: true,
  localhostPorts: { tcp: 4001, udp: 4002 },
};

class Host {
  readonly fake = new FakeXtables({ family: 'IPv4', backend: 'legacy' });
  readonly #tool = this.fake.open();

  async saved(): Promise<Record<'nat' | 'filter' | 'mangle', string>> {
    const tool = await this.#tool;
    return {
      nat: await tool.save('nat'),
      filter: await tool.save('filter'),
      mangle: await tool.save('mangle'),
    };
  }

  async present() {
    return readSavedRules(await (await this.#tool).saveAll());
  }

  async write(settings = SETTINGS): Promise<void> {
    const input = planRules(settings, await this.present());
    if (!input.isEmpty) await (await this.#tool).restore(input);
  }

  async remove(): Promise<void> {
    const input = planRemoval(await this.present());
    if (!input.isEmpty) await (await this.#tool).restore(input);
  }

  async removeOwn(): Promise<void> {
    await (await this.#tool).restore(planOwnRemoval(await this.present()));
  }

  async writeIptables(): Promise<void> {
    const table = tableOf([service(), slice([endpoint('10.244.1.1')])]);
    table.commit();
    const settings = settingsOf('IPv4', table, DEFAULT_CONFIG);
    const rules: RuleSet = rulesOf(table, settings);
    await (await this.#tool).restore(planFull(rules, NO_RULES, settings, Number.POSITIVE_INFINITY));
  }

  async removeIptables(): Promise<void> {
    const input = planCleanup(await this.saved(), Number.POSITIVE_INFINITY);
    if (!input.isEmpty) await (await this.#tool).restore(input);
  }
}

t.test('written once, nothing is written again', async (t) => {
  const host = new Host();
  t.match(describeMissing(SETTINGS, await host.present()), /^the jump from OUTPUT to KUBE-SERVICES/);
  await host.write();
  t.equal(describeMissing(SETTINGS, await host.present()), undefined);
  const inputs = host.fake.inputs.length;
  await host.write();
  t.equal(host.fake.inputs.length, inputs);
  t.strictSame(host.fake.mistakes, []);
});

t.test('what others changed is named and repaired', async (t) => {
  const host = new Host();
  await host.write();
  host.fake.write('*nat\n:KUBE-NODE-PORT - [0:0]\nCOMMIT\n');
  t.equal(
    describeMissing(SETTINGS, await host.present()),
    'the rules of chain KUBE-NODE-PORT (table nat) are others',
  );
  await host.write();
  t.equal(describeMissing(SETTINGS, await host.present()), undefined);
  host.fake.flush();
  await host.write();
  t.equal(describeMissing(SETTINGS, await host.present()), undefined);
});

t.test('removal leaves what was there before', async (t) => {
  const host = new Host();
  host.fake.write('*filter\n:OTHERS - [0:0]\n-A INPUT -j OTHERS\nCOMMIT\n');
  const before = host.fake.dump();
  await host.write();
  t.notSame(host.fake.dump(), before);
  await host.remove();
  t.strictSame(host.fake.dump(), before);
  await host.remove();
  t.strictSame(host.fake.dump(), before);
});

t.test('from mode iptables, and back', async (t) => {
  const onlyIptables = new Host();
  await onlyIptables.writeIptables();
  const onlyIpvs = new Host();
  await onlyIpvs.write();

  const host = new Host();
  await host.writeIptables();
  t.ok(isOtherMode(await host.present()), 'rules of mode iptables are seen');
  await host.write();
  t.notOk(isOtherMode(await host.present()));
  await host.removeIptables();
  t.strictSame(sorted(host.fake.dump()), sorted(onlyIpvs.fake.dump()), 'only mode ipvs is left');

  await host.writeIptables();
  await host.remove();
  t.strictSame(
    withoutCopies(host.fake.dump()),
    withoutCopies(onlyIptables.fake.dump()),
    'only mode iptables is left',
  );
  t.strictSame(host.fake.mistakes, []);
});

t.test('both modes go, whichever wrote last, and in both orders', async (t) => {
  for (const last of ['ipvs', 'iptables'] as const) {
    for (const first of ['ipvs', 'iptables'] as const) {
      const host = new Host();
      const before = host.fake.dump();
      if (last === 'ipvs') await host.writeIptables();
      await host.write();
      if (last === 'iptables') await host.writeIptables();
      if (first === 'ipvs') await host.remove();
      await host.removeIptables();
      if (first === 'iptables') await host.remove();
      t.strictSame(host.fake.dump(), before, `${last} wrote last, ${first} goes first`);
      t.strictSame(host.fake.mistakes, []);
    }
  }
});

t.test('rules name every set but the record, and no other', async (t) => {
  for (const family of IP_FAMILIES) {
    const rules = fixedRules({ ...SETTINGS, family });
    const text = Object.values(rules).flatMap((chains) => [...chains.values()].flat());
    const named = new Set(text.flatMap((rule) => /--(?:match|map)-set (\S+)/.exec(rule)?.[1] ?? []));
    const sets = SET_NAMES.filter((name) => name !== 'PENSTOCK-SERVERS').map((name) =>
      kernelName(name, family),
    );
    t.strictSame([...named].sort(), sets.sort(), family);
    for (const name of named) t.ok(name.length <= 31, name);
  }
});

t.test('an empty host has nothing to remove', async (t) => {
  t.ok(planRemoval(NO_SAVED_RULES).isEmpty);
});

t.test('where kube-proxy goes on in mode ipvs, only what it does not have is removed', async (t) => {
  const host = new Host();
  await host.write();
  const before = host.fake.dump();
  await host.removeOwn();
  const after = host.fake.dump();
  const isOwn = (rule: string) => /PENSTOCK-|REDIRECT|--mark 0x70000000/.test(rule);
  const wanted = Object.entries(before)
    .filter(([name]) => !name.includes('PENSTOCK-'))
    .map(([name, rules]) => [name, rules.filter((rule) => !isOwn(rule))] as const);
  t.strictSame(after, Object.fromEntries(wanted));
  t.ok(
    Object.values(after)
      .flat()
      .some((rule) => rule.includes('KUBE-LOOP-BACK')),
    'what kube-proxy has is there',
  );
  t.ok(planOwnRemoval(await host.present()).isEmpty, 'nothing is left to remove');
});

/** The order of jumps from base chains depends on who came first. */
function sorted(dump: Record<string, readonly string[]>): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(dump).map(([chain, rules]) => [
      chain,
      / (IN|OUT)PUT$|FORWARD$/.test(chain) ? [...rules].sort() : rules,
    ]),
  );
}

/** planFull was told that nothing was there, so it inserted jumps that were. */
function withoutCopies(dump: Record<string, readonly string[]>): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(dump).map(([chain, rules]) => [
      chain,
      / (IN|OUT)PUT$|FORWARD$|ROUTING$/.test(chain) ? [...new Set(rules)].sort() : rules,
    ]),
  );
}
